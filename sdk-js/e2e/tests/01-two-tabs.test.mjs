// Two Chromium tabs in one room see and hear each other.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast, flowsFor, hears, seesFrames } from '../lib/cast.mjs';
import { freshRoom } from '../lib/tokens.mjs';

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

test('two Chromium tabs see and hear each other', { timeout: 90_000 }, async () => {
  const room = freshRoom();
  const ann = await cast.join(room, 'ann');
  const bob = await cast.join(room, 'bob');

  await Promise.all([seesFrames(ann, 'bob'), seesFrames(bob, 'ann'), hears(ann, 'bob'), hears(bob, 'ann')]);

  for (const flow of await flowsFor([ann, bob], 5_000)) {
    assert.ok(flow.decoded >= 5 * 5, `frames are decoded: ${JSON.stringify(flow)}`);
    assert.ok(flow.maxGap < 1_000, `no gap of a second: ${JSON.stringify(flow)}`);
    assert.ok(flow.energy > 0, `there is sound: ${JSON.stringify(flow)}`);
  }
  for (const person of [ann, bob]) {
    const { srtpCipher } = await person.call('transport');
    assert.match(srtpCipher, /GCM/, 'media is sealed by an AEAD');
  }
});
