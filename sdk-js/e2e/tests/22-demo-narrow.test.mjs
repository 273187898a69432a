// Somebody in the demo whose connection is narrow reads on the picture why it is small.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { launchChromium } from '../lib/browsers.mjs';
import { pointToProxy } from '../lib/init-scripts.mjs';
import { Server } from '../lib/server.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { UdpProxy } from '../lib/udp-proxy.mjs';
import { until } from '../lib/until.mjs';

/** The demo's camera of 30 frames a second takes more. */
const KBPS = 300;

let server;
let browser;
let network;
before(async () => {
  server = await Server.start();
  network = await UdpProxy.start(server.mediaPorts, { seed: 22, down: { kbps: KBPS, queueMs: 400, delayMs: 20 } });
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await network?.close();
  await server?.stop();
});

async function enter(room, name, before = []) {
  const context = await browser.raw.newContext({ viewport: { width: 1280, height: 720 }, permissions: ['camera', 'microphone'] });
  for (const { script, argument } of before) await context.addInitScript(script, argument);
  const page = await context.newPage();
  await page.goto(`${server.http}/?room=${room}`);
  await page.fill('#name', name);
  await page.getByRole('button', { name: 'Enter the room' }).click();
  await page.waitForFunction(() => globalThis.madang?.room?.state === 'connected');
  return page;
}

test('the picture says what the connection carries', { timeout: 90_000 }, async (t) => {
  const room = freshRoom();
  const ann = await enter(room, 'Ann');
  const bob = await enter(room, 'Bob', [pointToProxy(network)]);
  const tile = bob.locator('.tile[data-identity^="ann"]');
  await tile.locator('video').waitFor();
  const words = /^(?:180|360)p: your connection carries (\d\.\d+) Mbps$/;
  const said = await until(async () => words.exec(await tile.locator('.why.telling').textContent({ timeout: 1_000 }).catch(() => '')), {
    within: 20_000,
    every: 200,
    what: async () => `words on the picture; it says "${await tile.locator('.why').textContent()}"`,
  });
  t.diagnostic(said[0]);
  assert.ok(Number(said[1]) <= (1.3 * KBPS) / 1_000, `what it says is so: ${said[0]}`);
  assert.ok(await tile.locator('.why').isVisible());
  assert.match(await tile.getAttribute('aria-label'), /your connection carries/, 'who cannot see it hears it');

  network.setDown({ kbps: Infinity });
  await until(async () => (await tile.locator('.why.telling').count()) === 0, { within: 15_000, what: async () => `the words to go; it says "${await tile.locator('.why').textContent()}"` });
  await Promise.all([ann, bob].map((page) => page.context().close()));
});
