// Runs the aiortc clients, in a virtual environment that is made once.

import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { until } from './until.mjs';

const run = promisify(execFile);
const FOLDER = join(import.meta.dirname, '../aiortc');
const ENVIRONMENT = process.env.MADANG_E2E_VENV ?? join(FOLDER, '.venv');
const PYTHON = join(ENVIRONMENT, 'bin/python');

/** Makes the environment where it is missing or incomplete. */
export async function prepareAiortc() {
  if (!existsSync(PYTHON)) await run('python3', ['-m', 'venv', ENVIRONMENT]);
  const ready = await run(PYTHON, ['-c', 'import aiortc, aiohttp, numpy']).then(() => true, () => false);
  if (!ready) await run(PYTHON, ['-m', 'pip', 'install', '--quiet', '-r', join(FOLDER, 'requirements.txt')]);
}

/** A running client; `said` holds what it printed, one object a line. */
export class AiortcClient {
  constructor(script, ...args) {
    this.said = [];
    this.errors = '';
    this.child = spawn(PYTHON, [join(FOLDER, script), ...args.map(String)]);
    createInterface({ input: this.child.stdout }).on('line', (line) => this.said.push(JSON.parse(line)));
    this.child.stderr.on('data', (text) => (this.errors += text));
    this.ended = new Promise((done) => this.child.once('exit', done));
  }

  /** Waits for a line that has this member, and gives its value. */
  async value(member, within = 20_000) {
    const line = await until(() => this.said.find((one) => member in one) ?? (this.child.exitCode !== null && this.said.find((one) => 'error' in one)), {
      within,
      what: () => `"${member}" from aiortc; it said ${JSON.stringify(this.said)}\n${this.errors}`,
    });
    if (!(member in line)) throw new Error(`aiortc: ${line.error}`);
    return line[member];
  }

  /** Ends a client that runs until its input ends; gives the DELETE's status. */
  async hangUp() {
    this.child.stdin.end();
    return this.value('deleted');
  }

  kill() {
    if (this.child.exitCode === null) this.child.kill('SIGKILL');
  }
}
