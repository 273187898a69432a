// The demo: axe finds nothing, nothing overflows at 360 and 1440 px, and a call is possible by keyboard alone.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { launchChromium } from '../lib/browsers.mjs';
import { Server } from '../lib/server.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SIZES = { small: { width: 360, height: 740 }, large: { width: 1440, height: 900 } };

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
