// Nobody under another's name: over 200 slot changes, with late signalling, no element shows a colour that is not its participant's.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast, seesFrames } from '../lib/cast.mjs';
import { startProxy } from '../lib/proxy.mjs';
import { freshRoom } from '../lib/tokens.mjs';

const COLOURS = { ruth: 'red', gale: 'green', beth: 'blue' };
const CHANGES = 200;

let cast;
let proxy;
before(async () => {
  cast = await Cast.start();
  // Half of it on the way there and half on the way back.
  proxy = await startProxy(cast.server.port, { delay: () => Math.random() * 150 });
});
after(async () => {
  await cast?.end();
  await proxy?.close();
});

for (const browser of ['chromium', 'firefox']) {
  test(`${browser}: an element without a picture is not taken for the one that was sampled before it`, async () => {
    const page = await cast.page(browser);
    assert.deepEqual(await page.call('sampleBeforePicture', 'blue'), ['blue', 'nothing']);
    await page.close();
  });
}

for (const [browser, changes] of [['chromium', CHANGES], ['firefox', CHANGES / 4]]) {
  test(`${changes} slot changes in ${browser} show nobody under another's name`, { timeout: 240_000 }, async (t) => {
    const room = freshRoom();
    const publishers = [];
    for (const [identity, colour] of Object.entries(COLOURS)) {
      publishers.push(await cast.join(room, identity, { colour, options: { autoSubscribe: false } }));
    }
    const viewer = await cast.join(room, 'viewer', {
      browser,
      publish: false,
      url: proxy.ws,
      options: { colours: true, room: { slots: { pairs: 1, screens: 1, audio: 1 } } },
    });
    await seesFrames(viewer, 'ruth', { frames: 1 });

    assert.equal(await viewer.call('rotatePins', changes), changes);

    const seen = await viewer.call('coloursByIdentity');
    t.diagnostic(`samples by identity and colour: ${JSON.stringify(seen)}`);
    for (const [identity, colour] of Object.entries(COLOURS)) {
      assert.deepEqual(Object.keys(seen[identity] ?? {}), [colour], `${identity} is only ever ${colour}`);
      assert.ok(seen[identity][colour] > changes / 10, `${identity} was seen often enough to tell`);
    }
    await Promise.all([...publishers, viewer].map((person) => person.close()));
  });
}
