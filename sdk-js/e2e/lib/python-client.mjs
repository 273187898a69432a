// Clients that are not browsers, in Python: each prints a line of JSON for what happens to it.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { until } from './until.mjs';

/** A running client; `said` holds what it printed, one object a line. */
export class PythonClient {
  constructor(python, script, ...args) {
    this.script = script;
    this.said = [];
    this.errors = '';
    this.child = spawn(python, [script, ...args.map(String)]);
    createInterface({ input: this.child.stdout }).on('line', (line) => this.said.push(JSON.parse(line)));
    this.child.stderr.on('data', (text) => (this.errors += text));
    this.ended = new Promise((done) => this.child.once('exit', done));
  }

  /** Waits for a line that has this member, and gives its value. */
  async value(member, within = 20_000) {
    const line = await until(() => this.said.find((one) => member in one) ?? (this.child.exitCode !== null && this.said.find((one) => 'error' in one)), {
      within,
      what: () => `"${member}" from ${this.script}; it said ${JSON.stringify(this.said)}\n${this.errors}`,
    });
    if (!(member in line)) throw new Error(`${this.script}: ${line.error}`);
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
