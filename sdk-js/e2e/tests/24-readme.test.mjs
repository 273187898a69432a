// The example of the SDK's README, as it stands there: one HTML file and the bundle make a call.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';

import { launchChromium } from '../lib/browsers.mjs';
import { Server } from '../lib/server.mjs';
import { serveSite } from '../lib/site.mjs';

const CLIENT = resolve(import.meta.dirname, '../../packages/client');

let server;
let browser;
let site;
const folder = mkdtempSync(join(tmpdir(), 'madang-readme-'));
before(async () => {
  server = await Server.start();
  browser = await launchChromium();
  site = await serveSite(folder);
});
after(async () => {
  await browser?.close();
  await site?.close();
  await server?.stop();
  rmSync(folder, { recursive: true });
});

test('the example of the README is a call', { timeout: 60_000 }, async () => {
  const [, html] = /```html\n([\s\S]*?)```/.exec(readFileSync(join(CLIENT, 'README.md'), 'utf8'));
  writeFileSync(join(folder, 'index.html'), html.replaceAll('localhost:7880', new URL(server.http).host));
  cpSync(join(CLIENT, 'dist/bundle/index.js'), join(folder, 'madang-client.js'));
  const pages = [];
  for (let index = 0; index < 2; index++) {
    const page = await (await browser.raw.newContext()).newPage();
    await page.goto(site.url);
    pages.push(page);
  }
  await Promise.all(pages.map((page) => page.waitForFunction(() => (document.querySelector('#grid video')?.videoWidth ?? 0) > 0)));
  await pages[0].locator('#chat li', { hasText: 'hi' }).waitFor();
});
