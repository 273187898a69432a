// A TCP proxy before the server's HTTP port: it delays what passes, in order, and can cut connections.

import { createServer, connect } from 'node:net';

import { freePorts } from './server.mjs';

/** Forwards to `port`; `delay()` gives the milliseconds that each chunk waits. */
export async function startProxy(port, { delay = () => 0 } = {}) {
  const pairs = new Set();
  let refusing = false;
  let cutting = false;
  const server = createServer((client) => {
    if (refusing) return client.destroy();
    const upstream = connect(port, '127.0.0.1');
    const pair = [client, upstream];
    pairs.add(pair);
    const end = (error) => {
      if (error instanceof Error && !cutting) console.error(`proxy to ${port}: ${error.message}`);
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    pipe(client, upstream, delay);
    pipe(upstream, client, delay);
    for (const socket of pair) socket.on('close', end).on('error', end);
  });
  const listening = await freePorts(1);
  await new Promise((done, failed) => server.once('error', failed).listen(listening, '127.0.0.1', done));
  return {
    ws: `ws://127.0.0.1:${server.address().port}`,
    /** Cuts all connections as a lost network would. */
    cut() {
      cutting = true;
      for (const pair of pairs) for (const socket of pair) socket.destroy();
    },
    /** While true, new connections are refused. */
    refuse(value) {
      refusing = value;
    },
    close() {
      this.cut();
      return new Promise((done) => server.close(done));
    },
  };
}

/** Passes chunks on, each not before the one ahead of it. */
function pipe(from, to, delay) {
  let last = 0;
  const waiting = [];
  from.on('data', (chunk) => {
    last = Math.max(last, Date.now() + delay());
    waiting.push(chunk);
    // Timers of nearly the same time may fire in any order: each passes on what has waited longest.
    setTimeout(() => {
      const next = waiting.shift();
      if (to.writable) to.write(next);
    }, last - Date.now());
  });
}
