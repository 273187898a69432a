// Runs the GStreamer clients with Debian's Python, for which its bindings are built. `scripts/setup` installs them.

import { join } from 'node:path';

import { PythonClient } from './python-client.mjs';

const FOLDER = join(import.meta.dirname, '../gstreamer');

/** A running webrtcbin client. */
export class GStreamerClient extends PythonClient {
  constructor(script, ...args) {
    super('/usr/bin/python3', join(FOLDER, script), ...args);
  }
}
