// Starts and stops a `madang` process of its own for a test file.

import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdirSync, openSync, readFileSync, closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { until } from './until.mjs';

const REPOSITORY = resolve(import.meta.dirname, '../../..');
const LOGS = process.env.MADANG_E2E_LOGS ?? join(tmpdir(), 'madang-e2e');

/** The key that `serve --dev` knows. */
export const DEV_KEY = { key: 'devkey', secret: 'secret-for-development-only-do-not-use' };

/**
 * Runs of `count` consecutive TCP ports that are free now, on all addresses; media ports follow the same numbers on UDP. Below
 * 32768, from where on the system gives ports to outgoing connections, of which a browser has many.
 */
export async function freePorts(count) {
  for (let attempt = 0; attempt < 50; attempt++) {
    const first = 20_000 + Math.floor(Math.random() * 12_000);
    const free = await Promise.all(Array.from({ length: count }, (_, index) => isFree(first + index)));
    if (free.every(Boolean)) return first;
  }
  throw new Error('no free ports');
}

function isFree(port) {
  return new Promise((done) => {
    const probe = createServer();
    probe.once('error', () => done(false));
    probe.listen(port, () => probe.close(() => done(true)));
  });
}

/** A running server: `http` and `ws` are its base URLs, `logFile` holds what it printed. */
export class Server {
  /** Starts one and waits until it answers; `env` adds to or replaces settings. */
  static async start({ env = {}, args = [] } = {}) {
    const server = new Server(await freePorts(12), { env, args });
    server.spawn();
    process.once('exit', server.killNow);
    await until(() => server.answers(), { within: 20_000, what: () => `the server to answer; it printed:\n${server.log()}` });
    return server;
  }

  constructor(first, { env, args }) {
    this.settings = { env, args };
    this.port = first;
    this.http = `http://127.0.0.1:${first}`;
    this.ws = `ws://127.0.0.1:${first}`;
    /** UDP: one port for each worker, of which there may be as many as fit below the operator's. */
    this.mediaPorts = Array.from({ length: 7 }, (_, worker) => first + 2 + worker);
    this.operator = `http://127.0.0.1:${first + 9}`;
    this.logFile = join(LOGS, `madang-${first}.log`);
  }

  /** Starts the process; what it prints is added to the log. */
  spawn() {
    const binary = resolve(REPOSITORY, process.env.MADANG_BIN ?? 'target/debug/madang');
    const { env, args } = this.settings;
    mkdirSync(LOGS, { recursive: true });
    const log = openSync(this.logFile, 'a');
    const child = spawn(binary, ['serve', '--dev', ...portFlags(this.port), ...args], {
      stdio: ['ignore', log, log],
      env: { ...ownEnvironment(), ...env },
    });
    closeSync(log);
    this.child = child;
    this.exited = new Promise((done) => child.once('exit', (code, signal) => done({ code, signal })));
    child.once('error', (error) => (this.failure = error));
  }

  /** Ends the process by a signal and starts another on the same ports. Resolves when it is ready for joins. */
  async restart(signal, { downFor = 0 } = {}) {
    this.child.kill(signal);
    await this.exited;
    const endedAt = Date.now();
    await until(() => Date.now() - endedAt >= downFor, { within: downFor + 5_000 });
    this.spawn();
    await until(async () => (await fetch(`${this.operator}/readyz`).catch(() => undefined))?.ok, { within: 20_000, every: 20, what: () => `the server to be ready; it printed:\n${this.log()}` });
  }

  killNow = () => {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
  };

  /** Whether `/healthz` says yes. */
  async answers() {
    if (this.failure) throw new Error(`the server did not start: ${this.failure.message}`);
    if (this.child.exitCode !== null) throw new Error(`the server ended with ${this.child.exitCode}:\n${this.log()}`);
    const response = await fetch(`${this.http}/healthz`).catch(() => undefined);
    return response?.ok ?? false;
  }

  /** What it has printed. */
  log() {
    return readFileSync(this.logFile, 'utf8');
  }

  /** Ends it as an operator would; by force after five seconds. */
  async stop() {
    process.removeListener('exit', this.killNow);
    if (this.child.exitCode !== null) return { code: this.child.exitCode };
    this.child.kill('SIGTERM');
    const timer = setTimeout(this.killNow, 5_000);
    const ended = await this.exited;
    clearTimeout(timer);
    return ended;
  }
}

/** The ports of docs/operations.md, moved to where a test has room. */
function portFlags(first) {
  const flags = { '--http-port': first, '--tcp-port': first + 1, '--udp-port': first + 2, '--operator': `127.0.0.1:${first + 9}` };
  return Object.entries(flags).flatMap(([flag, value]) => [flag, String(value)]);
}

/** The environment without our own settings: the server refuses keys that it does not know. */
function ownEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MADANG_')));
}
