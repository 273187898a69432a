// One face for both browsers: `open(url)` gives a page with `call(name, ...args)`, which runs a function of the test page.
// `before` are scripts of `init-scripts.mjs`.

import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';

const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const FIREFOX = process.env.FIREFOX_BIN ?? '/usr/bin/firefox-esr';

const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream=fps=30',
  '--allow-loopback-in-peer-connection',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--autoplay-policy=no-user-gesture-required',
  '--auto-accept-this-tab-capture',
  '--disable-gpu',
  '--disable-background-networking',
];

/** Loopback is allowed, devices are fake, nothing asks, nothing downloads. */
const FIREFOX_PREFERENCES = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'permissions.default.camera': 1,
  'permissions.default.microphone': 1,
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  'media.peerconnection.ice.tcp': true,
  'media.gmp-manager.updateEnabled': false,
};

/** A page of the test site. Every problem it logs is kept in `problems`. */
class Page {
  constructor(raw, browser) {
    this.raw = raw;
    this.browser = browser;
    this.problems = [];
    raw.on('pageerror', (error) => this.problems.push(String(error)));
    raw.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warn' || message.type() === 'warning') this.problems.push(message.text());
    });
  }

  /** Runs `e2e[name](...args)` in the page; the result travels as JSON. */
  async call(name, ...args) {
    const text = await this.raw.evaluate(
      async (json) => {
        const [fn, params] = JSON.parse(json);
        const result = await globalThis.e2e[fn](...params);
        return JSON.stringify(result ?? null);
      },
      JSON.stringify([name, args]),
    );
    return JSON.parse(text);
  }

  /** Loads a URL and waits for the page's functions. */
  async load(url) {
    await this.raw.goto(url);
    await this.raw.waitForFunction(() => Boolean(globalThis.e2e));
    return this;
  }

  async close() {
    await this.raw.close();
  }
}

/** Chromium. Pages of one browser share devices, not storage: each is a context of its own. */
export async function launchChromium({ flags = [] } = {}) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    headless: true,
    ignoreDefaultArgs: ['--mute-audio'],
    args: [...CHROMIUM_FLAGS, ...flags],
  });
  return {
    name: 'chromium',
    raw: browser,
    async open(url, { before = [] } = {}) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 720 } });
      for (const { script, argument } of before) await context.addInitScript(script, argument);
      const page = new Page(await context.newPage(), 'chromium');
      return page.load(url);
    },
    close: () => browser.close(),
  };
}

/** Firefox over WebDriver BiDi. */
export async function launchFirefox({ preferences = {} } = {}) {
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    extraPrefsFirefox: { ...FIREFOX_PREFERENCES, ...preferences },
  });
  return {
    name: 'firefox',
    raw: browser,
    async open(url, { before = [] } = {}) {
      const context = await browser.createBrowserContext();
      const raw = await context.newPage();
      for (const { script, argument } of before) await raw.evaluateOnNewDocument(script, argument);
      return new Page(raw, 'firefox').load(url);
    },
    close: () => browser.close(),
  };
}
