// What the server answers to a WebSocket upgrade: `fetch` cannot ask for one.

import { request } from 'node:http';

/** The status of an upgrade at `path`; 101 where it was accepted. */
export function upgradeStatus(base, path, headers = {}) {
  return new Promise((done, fail) => {
    const asked = request(new URL(path, base), {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
      },
    });
    asked.once('upgrade', (response, socket) => {
      socket.destroy();
      done({ status: response.statusCode, body: '' });
    });
    asked.once('response', async (response) => {
      let body = '';
      for await (const chunk of response) body += chunk;
      done({ status: response.statusCode, body });
    });
    asked.once('error', fail);
    asked.end();
  });
}
