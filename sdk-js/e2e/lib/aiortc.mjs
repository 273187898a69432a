// Runs the aiortc clients and LiveKit's Python SDK, in a virtual environment that is made once.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { PythonClient } from './python-client.mjs';

const run = promisify(execFile);
const FOLDER = join(import.meta.dirname, '../aiortc');
const ENVIRONMENT = process.env.MADANG_E2E_VENV ?? join(FOLDER, '.venv');
const PYTHON = join(ENVIRONMENT, 'bin/python');

/** Makes the environment where it is missing or incomplete. */
export async function prepareAiortc() {
  if (!existsSync(PYTHON)) await run('python3', ['-m', 'venv', ENVIRONMENT]);
  const ready = await run(PYTHON, ['-c', 'import aiortc, aiohttp, livekit.api, numpy']).then(() => true, () => false);
  if (!ready) await run(PYTHON, ['-m', 'pip', 'install', '--quiet', '-r', join(FOLDER, 'requirements.txt')]);
}

/** A token as LiveKit's Python SDK mints it: aiortc/mint.py ROOM IDENTITY KEY SECRET. */
export async function mintByPython(room, identity, { key, secret }) {
  const { stdout } = await run(PYTHON, [join(FOLDER, 'mint.py'), room, identity, key, secret]);
  return stdout.trim();
}

/** A running aiortc client. */
export class AiortcClient extends PythonClient {
  constructor(script, ...args) {
    super(PYTHON, join(FOLDER, script), ...args);
  }
}
