// Two Chromium tabs in one room see and hear each other.

import { after, before, test } from 'node:test';

import { Cast, flowsFor, hears, seesFrames } from '../lib/cast.mjs';
import { assertAead, assertFlows } from '../lib/check.mjs';
import { freshRoom } from '../lib/tokens.mjs';

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

test('two Chromium tabs see and hear each other', { timeout: 90_000 }, async () => {
  const room = freshRoom();
  const ann = await cast.join(room, 'ann');
  const bob = await cast.join(room, 'bob');

  await Promise.all([seesFrames(ann, 'bob'), seesFrames(bob, 'ann'), hears(ann, 'bob'), hears(bob, 'ann')]);

  assertFlows(await flowsFor([ann, bob], 5_000), 5);
  await Promise.all([ann, bob].map(assertAead));
});
