// Each codec flows between the browsers that have it, and media flows over TCP where UDP does not.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast, hears, seesFrames } from '../lib/cast.mjs';
import { freshRoom } from '../lib/tokens.mjs';

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

const ROUTES = [
  { codec: 'vp8', from: 'chromium', to: 'firefox' },
  { codec: 'vp8', from: 'firefox', to: 'chromium' },
  { codec: 'vp9', from: 'chromium', to: 'firefox' },
  { codec: 'av1', from: 'chromium', to: 'firefox' },
  { codec: 'av1', from: 'firefox', to: 'chromium' },
  { codec: 'vp9', from: 'chromium', to: 'chromium' },
  { codec: 'av1', from: 'chromium', to: 'chromium' },
  { codec: 'h264', from: 'chromium', to: 'chromium' },
];

for (const { codec, from, to } of ROUTES) {
  test(`${codec} from ${from} to ${to}`, { timeout: 60_000 }, async () => {
    const room = freshRoom();
    const ann = await cast.join(room, 'ann', { browser: from, publish: { width: 320, height: 180, audio: false, videoCodec: codec } });
    const bob = await cast.join(room, 'bob', { browser: to, publish: false });
    await seesFrames(bob, 'ann', { frames: 20 });
    const [stream] = (await bob.call('inbound')).filter((one) => one.kind === 'video');
    assert.equal(stream.codec.toLowerCase(), `video/${codec}`);
    await Promise.all([ann.close(), bob.close()]);
  });
}

for (const [from, to] of [['chromium', 'firefox'], ['firefox', 'chromium']]) {
  test(`${from} to ${to} over ICE-TCP`, { timeout: 60_000 }, async () => {
    const room = freshRoom();
    const options = { iceTransport: 'tcp' };
    const ann = await cast.join(room, 'ann', { browser: from, options });
    const bob = await cast.join(room, 'bob', { browser: to, options, publish: false });
    await seesFrames(bob, 'ann', { frames: 30 });
    await hears(bob, 'ann');
    for (const person of [ann, bob]) assert.equal((await person.call('transport')).protocol, 'tcp');
    await Promise.all([ann.close(), bob.close()]);
  });
}
