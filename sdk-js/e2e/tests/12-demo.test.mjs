// The demo: axe finds nothing, nothing overflows at 360 and 1440 px, and a call is possible by keyboard alone.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { TrackSource } from 'livekit-server-sdk';

import { launchChromium } from '../lib/browsers.mjs';
import { Server } from '../lib/server.mjs';
import { freshRoom, mint } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SIZES = { small: { width: 360, height: 740 }, large: { width: 1440, height: 900 } };
/** Where the button that enters used to be far below the fold. */
const LOW = [
  { width: 360, height: 640 },
  { width: 740, height: 360 },
  { width: 720, height: 450 },
];

let server;
let browser;
before(async () => {
  server = await Server.start();
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The demo as the server serves it. */
async function openDemo(room, viewport) {
  const context = await browser.raw.newContext({ viewport, permissions: ['camera', 'microphone'] });
  const page = await context.newPage();
  await page.goto(`${server.http}/?room=${room}`);
  await page.locator('h1').waitFor();
  return page;
}

async function assertAccessible(page, where) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`);
  assert.deepEqual(found, [], `axe finds nothing in the ${where}`);
}

async function assertFits(page, where) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(over <= 0, `the ${where} is ${over} px too wide`);
}

/** Buttons that are seen have at least 44 px each way. */
async function assertTargets(page, where) {
  const small = await page.evaluate(() =>
    [...document.querySelectorAll('button, select, summary, .input')]
      .map((element) => ({ name: element.getAttribute('aria-label') ?? element.textContent, box: element.getBoundingClientRect() }))
      .filter(({ box }) => box.width > 0 && (box.width < 43.5 || box.height < 43.5))
      .map(({ name, box }) => `${name} ${Math.round(box.width)}×${Math.round(box.height)}`),
  );
  assert.deepEqual(small, [], `targets in the ${where} are large enough`);
}

/** Enters with camera and microphone off. */
async function enterSilently(page, name) {
  for (const device of ['Microphone', 'Camera']) {
    const button = page.getByRole('button', { name: device, exact: true });
    if ((await button.getAttribute('aria-pressed')) === 'true') await button.click();
  }
  await enter(page, name);
}

async function enter(page, name) {
  await page.fill('#name', name);
  await page.getByRole('button', { name: 'Enter the room' }).click();
  await page.waitForFunction(() => globalThis.madang?.room?.state === 'connected');
}

for (const [label, viewport] of Object.entries(SIZES)) {
  test(`lobby and call are accessible and fit at ${viewport.width} px`, { timeout: 120_000 }, async () => {
    const room = freshRoom();
    const page = await openDemo(room, viewport);
    for (const summary of await page.locator('summary').all()) await summary.click();
    await assertAccessible(page, 'lobby');
    await assertFits(page, 'lobby');
    await assertTargets(page, 'lobby');

    await enter(page, 'Ann');
    const other = await openDemo(room, SIZES.small);
    await enter(other, 'Bob');
    await page.locator('.tile[data-identity^="bob"] video').waitFor();
    await page.waitForFunction(() => (document.querySelector('.tile[data-identity^="bob"] video')?.videoWidth ?? 0) > 0);
    await assertAccessible(page, 'call');
    await assertFits(page, 'call');
    await assertTargets(page, 'call');

    await page.getByRole('button', { name: 'Chat', exact: true }).click();
    await page.keyboard.type('Hello <b>Bob</b>');
    await page.keyboard.press('Enter');
    await other.getByRole('button', { name: 'Chat, 1 unread' }).waitFor();
    await assertAccessible(page, 'chat');
    await assertFits(page, 'chat');
    await page.getByRole('button', { name: 'Close chat' }).click();

    await page.keyboard.press('i');
    await page.getByRole('dialog', { name: 'Statistics' }).getByRole('row').nth(2).waitFor();
    await assertAccessible(page, 'statistics');
    await assertFits(page, 'statistics');
    assert.match(await page.getByRole('dialog').innerText(), /GCM/);
    await Promise.all([page.context().close(), other.context().close()]);
    assert.ok(label);
  });
}

test('a call by keyboard alone', { timeout: 120_000 }, async () => {
  const room = freshRoom();
  const other = await openDemo(room, SIZES.small);
  await enter(other, 'Bob');
  const page = await openDemo(room, SIZES.large);
  await tabTo(page, '#name');
  await page.keyboard.type('Ann');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => globalThis.madang?.room?.state === 'connected');
  const pressed = (name) => page.getByRole('button', { name, exact: true }).getAttribute('aria-pressed');
  await until(async () => (await pressed('Microphone')) === 'true' && (await pressed('Camera')) === 'true', { what: 'devices to be on' });

  // A shortcut, and a button reached by Tab.
  await page.keyboard.press('m');
  await until(async () => (await pressed('Microphone')) === 'false', { what: 'm to mute' });
  await other.locator('.tile[data-identity^="ann"][aria-label*="microphone off"]').waitFor();
  await tabTo(page, '[aria-label="Camera"]');
  await page.keyboard.press('Space');
  await until(async () => (await pressed('Camera')) === 'false', { what: 'the camera to go off' });

  await page.keyboard.press('h');
  await other.locator('.tile[data-identity^="ann"] .hand:visible').waitFor();

  // In the chat, letters are letters.
  await page.keyboard.press('c');
  await page.keyboard.type('mvhc');
  assert.equal(await page.locator('.compose textarea').inputValue(), 'mvhc');
  await page.keyboard.press('Enter');
  await other.getByRole('button', { name: 'Chat, 1 unread' }).waitFor();
  assert.equal(await pressed('Microphone'), 'false');
  await tabTo(page, '[aria-label="Close chat"]', 'Shift+Tab');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'Chat', 'the focus returns');

  // A dialog holds the focus and gives it back.
  await page.keyboard.press('?');
  const dialog = page.getByRole('dialog', { name: 'Keyboard' });
  await dialog.waitFor();
  for (let step = 0; step < 6; step++) {
    await page.keyboard.press('Tab');
    const inside = await page.evaluate(() => document.activeElement === document.body || document.activeElement?.closest('dialog') !== null);
    assert.ok(inside, 'the focus stays in the dialog');
  }
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'Chat', 'the focus returns');

  await tabTo(page, '[aria-label="Leave the call"]');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Enter the room' }).waitFor();
  await other.locator('.tile[data-identity^="ann"]').waitFor({ state: 'detached' });
});

/** Presses Tab until an element has the focus. */
async function tabTo(page, selector, key = 'Tab') {
  for (let step = 0; step < 40; step++) {
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
    await page.keyboard.press(key);
  }
  throw new Error(`${selector} is not reached by ${key}`);
}

for (const viewport of LOW) {
  test(`at ${viewport.width}x${viewport.height} the way in is in sight`, { timeout: 60_000 }, async () => {
    const page = await openDemo(freshRoom(), viewport);
    const box = await page.getByRole('button', { name: 'Enter the room' }).boundingBox();
    assert.ok(box.y >= 0 && box.y + box.height <= viewport.height, `the button is in sight: ${JSON.stringify(box)}`);
    await page.context().close();
  });
}

test('a token link works again after a reload, after leaving, and after a failure', { timeout: 120_000 }, async () => {
  const room = freshRoom();
  const context = await browser.raw.newContext({ viewport: SIZES.large, permissions: ['camera', 'microphone', 'clipboard-read', 'clipboard-write'] });
  const page = await context.newPage();
  const token = await mint(room, 'ann', { name: 'Ann' });
  await page.goto(`${server.http}/#token=${token}`);
  await enter(page, 'Ann');
  assert.ok(!page.url().includes(token), 'the token is not left in the address');
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1', 'the focus is in the call');

  await page.reload();
  await enter(page, 'Ann');
  await page.getByRole('button', { name: 'Leave the call' }).click();
  await page.getByRole('button', { name: 'Enter the room' }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1', 'the focus is in the lobby');
  await enter(page, 'Ann');
  assert.equal(await page.evaluate(() => globalThis.madang.room.localParticipant.identity), 'ann');

  // The link that others get holds no token, and says so.
  await page.getByRole('button', { name: 'More' }).click();
  await page.getByRole('button', { name: 'Copy the room’s link' }).click();
  await page.locator('.notices', { hasText: 'token of their own' }).waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(copied, `${server.http}/?room=${room}`);
  await context.close();
});

test('what fails is told apart', { timeout: 60_000 }, async () => {
  const page = await openDemo(freshRoom(), SIZES.large);
  const room = freshRoom();
  const say = async (token, wanted) => {
    await page.goto(`${server.http}/?x=${Math.random()}#token=${token}`);
    await page.fill('#name', 'Ann');
    await page.getByRole('button', { name: 'Enter the room' }).click();
    await page.getByRole('alert').filter({ hasText: wanted }).waitFor();
    assert.equal(await page.locator('#token').inputValue(), token, 'the token is still there');
  };
  await say(await mint(room, 'ann', { ttl: -3600 }), 'has expired');
  await say(await mint(room, 'ann', { key: { key: 'other', secret: 'another-secret-of-at-least-32-bytes-123' } }), 'of another server');
  await say(await mint(room, 'ann', { grant: { roomJoin: false } }), 'does not let you enter');
  await page.context().close();
});

test('a token without the camera asks for no camera, and says nothing', { timeout: 60_000 }, async () => {
  const room = freshRoom();
  const page = await openDemo(room, SIZES.large);
  await page.goto(`${server.http}/#token=${await mint(room, 'ann', { grant: { canPublishSources: [TrackSource.MICROPHONE] } })}`);
  await enter(page, 'Ann');
  await page.waitForFunction(() => globalThis.madang.room.localParticipant.isMicrophoneEnabled);
  assert.equal(await page.getByRole('button', { name: 'Camera', exact: true }).count(), 0);
  assert.equal(await page.locator('dialog, .notice.card[data-title]').count(), 0);
  await page.context().close();
});

test('a link to another server goes nowhere before the person agrees', { timeout: 60_000 }, async () => {
  const foreign = await Server.start();
  try {
    const page = await openDemo(freshRoom(), SIZES.large);
    const sockets = [];
    page.on('websocket', (socket) => sockets.push(socket.url()));
    page.on('request', (request) => sockets.push(request.url()));
    const token = await mint('there', 'ann');
    await page.goto(`${server.http}/?url=${encodeURIComponent(foreign.ws)}#token=${token}`);
    await page.fill('#name', 'Ann');
    await page.getByRole('button', { name: 'Enter the room' }).click();
    const host = new URL(foreign.http).host;
    const dialog = page.getByRole('dialog', { name: 'Another server' });
    await dialog.filter({ hasText: host }).waitFor();
    await assertAccessible(page, 'question');
    await dialog.getByRole('button', { name: 'Stay here' }).click();
    assert.ok(!sockets.some((url) => url.includes(host) && !url.startsWith(server.http)), `nothing went there: ${sockets}`);
    await page.getByRole('button', { name: 'Enter the room' }).click();
    await page.getByRole('button', { name: `Go to ${host}` }).click();
    await page.waitForFunction(() => globalThis.madang?.room?.state === 'connected');
    await page.context().close();
  } finally {
    await foreign.stop();
  }
});

test('files of others are never pages of ours', { timeout: 60_000 }, async () => {
  const room = freshRoom();
  const [ann, bob] = [await openDemo(room, SIZES.large), await openDemo(room, SIZES.small)];
  const broken = [];
  ann.on('console', (message) => message.type() === 'error' && broken.push(message.text()));
  await ann.evaluate(() => {
    globalThis.blobTypes = [];
    const make = URL.createObjectURL.bind(URL);
    URL.createObjectURL = (blob) => (globalThis.blobTypes.push(blob.type), make(blob));
  });
  await enter(ann, 'Ann');
  await enter(bob, 'Bob');
  await ann.locator('.tile[data-identity^="bob"]').waitFor();
  await bob.evaluate(async () => {
    const html = new Blob(['<script>document.title = "mine"</script>'], { type: 'text/html' });
    await globalThis.madang.room.localParticipant.sendFile(html, { topic: 'files', name: 'page.html' });
  });
  await ann.getByRole('button', { name: 'Chat, 1 unread' }).click();
  const saved = ann.getByRole('link', { name: 'Save page.html' });
  await saved.waitFor();
  assert.deepEqual(await ann.evaluate(() => globalThis.blobTypes), ['application/octet-stream'], "the sender's type is not kept");
  assert.deepEqual(broken, [], 'the policy refuses nothing that the demo needs');
  const { headers } = await fetch(`${server.http}/`);
  assert.match(headers.get('content-security-policy'), /default-src 'none'.*frame-ancestors 'none'/);
  await Promise.all([ann.context().close(), bob.context().close()]);
});

test('a second shared screen is seen beside the first, and a third can be pinned', { timeout: 90_000 }, async () => {
  const room = freshRoom();
  const people = [];
  for (const name of ['Ann', 'Bob', 'Cy']) {
    const page = await openDemo(room, SIZES.small);
    await enterSilently(page, name);
    await page.evaluate(async () => {
      const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
      const pen = canvas.getContext('2d');
      setInterval(() => pen.fillRect(Math.random() * 300, Math.random() * 160, 20, 20), 100);
      for (const source of ['camera', 'screen_share']) {
        await globalThis.madang.room.localParticipant.publishTrack(canvas.captureStream(10).getVideoTracks()[0], { source, simulcast: false });
      }
    });
    people.push(page);
  }
  const viewer = await openDemo(room, SIZES.large);
  await enterSilently(viewer, 'Dee');
  const playing = (name) => viewer.waitForFunction((who) => (document.querySelector(`.tile.screen[data-identity^="${who}"] video`)?.videoWidth ?? 0) > 0, name);
  await playing('ann');
  await playing('bob');
  const third = viewer.locator('.tile.screen[data-identity^="cy"]');
  await third.filter({ hasText: 'Pin this one to see it' }).waitFor();
  await third.getByRole('button', { name: /^Pin / }).click();
  await playing('cy');
  // The order for keyboard and ear is that of the eye.
  const first = await viewer.evaluate(() => document.querySelector('.tiles').firstElementChild?.getAttribute('data-identity') ?? '');
  assert.match(first, /^cy/);
  await Promise.all([viewer, ...people].map((page) => page.context().close()));
});
