// Packs the package as npm would, and uses it as applications do: type-checked under every way that TypeScript resolves modules,
// loaded by Node.js as a module and by `require`, and the bundle without anything beside it.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
const run = (command, args, cwd) => execFileSync(command, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });
const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin/tsc');

/** What an application does; each line failed once under some resolution. */
const APPLICATION = `
import { ConnectionError, DisconnectReason, Room, RoomEvent, type RemoteTrack, type RoomOptions, type TrackPublication } from '@madang/client';

const options: RoomOptions = { adaptiveStream: true };
export const room = new Room(options);
room
  .on(RoomEvent.TrackSubscribed, (track: RemoteTrack) => void track.attach())
  .once('disconnected', (reason) => void (reason === DisconnectReason.ServerShutdown));
room.localParticipant.trackPublications.forEach((publication: TrackPublication) => publication.on('streamStateChanged', (state) => void state.describe()));
// @ts-expect-error: events are typed.
room.on('no such event', () => undefined);
export const isOurs = (error: unknown): boolean => error instanceof ConnectionError && error.reason === 'timeout';
`;

/** By name: the file that the application is, and how its modules are resolved. */
const CONSUMERS = {
  'node16, module': ['app.mts', { module: 'node16', moduleResolution: 'node16' }],
  'node16, CommonJS': ['app.cts', { module: 'node16', moduleResolution: 'node16' }],
  'nodenext, module': ['app.mts', { module: 'nodenext', moduleResolution: 'nodenext' }],
  'nodenext, CommonJS': ['app.cts', { module: 'nodenext', moduleResolution: 'nodenext' }],
  bundler: ['app.ts', { module: 'esnext', moduleResolution: 'bundler' }],
  'CommonJS, node10': ['app.ts', { module: 'commonjs', moduleResolution: 'node10', esModuleInterop: true }],
};

const folder = mkdtempSync(join(tmpdir(), 'madang-consumers-'));
try {
  const modules = join(folder, 'node_modules');
  mkdirSync(join(modules, '@madang'), { recursive: true });
  const [{ filename }] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], process.cwd()));
  run('tar', ['-xzf', filename], folder);
  cpSync(join(folder, 'package'), join(modules, '@madang/client'), { recursive: true });
  cpSync(dirname(require.resolve('eventemitter3/package.json')), join(modules, 'eventemitter3'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  for (const [name, [file, compilerOptions]] of Object.entries(CONSUMERS)) {
    writeFileSync(join(folder, file), APPLICATION);
    const settings = { strict: true, noEmit: true, target: 'es2022', lib: ['es2022', 'dom', 'dom.iterable'], types: [], ...compilerOptions };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: settings, files: [file] }));
    try {
      run(process.execPath, [tsc, '-p', folder], folder);
    } catch (error) {
      throw new Error(`types do not hold for ${name}:\n${error.stdout}`);
    }
    rmSync(join(folder, file));
  }
  const check = 'if (new Room().state !== "disconnected") process.exit(1)';
  run(process.execPath, ['--input-type=module', '-e', `import { Room } from '@madang/client'; ${check}`], folder);
  run(process.execPath, ['--input-type=commonjs', '-e', `const { Room } = require('@madang/client'); ${check}`], folder);
  rmSync(join(modules, 'eventemitter3'), { recursive: true });
  run(process.execPath, ['--input-type=module', '-e', `import { Room } from '@madang/client/bundle'; ${check}`], folder);
  console.log(`@madang/client: types hold for ${Object.keys(CONSUMERS).join('; ')}; it loads as a module, by require, and as one file`);
} finally {
  rmSync(folder, { recursive: true });
}
