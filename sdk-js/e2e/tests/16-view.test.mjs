// What is sent follows what is seen: a small element gets a small picture, a hidden one none; and the publisher encodes only
// what somebody takes.

import { after, before, test } from 'node:test';

import { Cast } from '../lib/cast.mjs';
import { ADAPTIVE, assertSmooth, CAMERA, encodes, getsNothing, getsWidth, HIGH, isLimitedBy, LOW, MIDDLE, showAt, startWatching } from '../lib/layers.mjs';
import { freshRoom } from '../lib/tokens.mjs';

let cast;
let ann;
let bob;
const room = freshRoom();

before(async () => {
  cast = await Cast.start();
  ann = await cast.join(room, 'ann', { options: ADAPTIVE, publish: CAMERA });
  bob = await cast.join(room, 'bob', { options: ADAPTIVE, publish: false });
  await showAt(bob, 'ann', HIGH);
  await getsWidth(bob, 'ann', HIGH, { within: 30_000, publisher: ann });
});
after(() => cast?.end());

test('a smaller element gets a smaller picture, a larger one a larger', { timeout: 60_000 }, async (t) => {
  await startWatching([bob]);
  for (const width of [LOW, MIDDLE, LOW, HIGH]) {
    await showAt(bob, 'ann', width);
    t.diagnostic(`${width} px within ${await getsWidth(bob, 'ann', width, { within: 5_000, publisher: ann })} ms`);
  }
  await assertSmooth([bob], 'ann');
});

test('the publisher encodes what is taken', { timeout: 60_000 }, async (t) => {
  await showAt(bob, 'ann', LOW);
  await isLimitedBy(bob, 'ann', 'size');
  t.diagnostic(`the large ones stopped within ${await encodes(ann, ['q'], { within: 4_000 })} ms`);
  await showAt(bob, 'ann', HIGH);
  t.diagnostic(`the largest came back within ${await encodes(ann, ['f'], { within: 3_000 })} ms`);
  await getsWidth(bob, 'ann', HIGH, { within: 3_000, publisher: ann });
});

const HIDDEN = {
  'not displayed': { display: 'none' },
  'scrolled out': { position: 'absolute', top: '5000px' },
};

for (const [how, style] of Object.entries(HIDDEN)) {
  test(`what is ${how} is not sent, and not encoded`, { timeout: 60_000 }, async (t) => {
    await bob.call('styleVideo', 'ann', style);
    t.diagnostic(`silent within ${await getsNothing(bob, 'ann')} ms`);
    await isLimitedBy(bob, 'ann', 'hidden');
    await encodes(ann, [], { within: 3_000 });
    await showAt(bob, 'ann', HIGH);
    t.diagnostic(`back within ${await getsWidth(bob, 'ann', HIGH, { within: 5_000, publisher: ann })} ms`);
  });
}

test('what one does not take another may', { timeout: 60_000 }, async () => {
  await showAt(bob, 'ann', LOW);
  const cat = await cast.join(room, 'cat', { options: ADAPTIVE, publish: false });
  await showAt(cat, 'ann', MIDDLE);
  await getsWidth(cat, 'ann', MIDDLE, { publisher: ann });
  await encodes(ann, ['h', 'q'], { within: 4_000 });
  await cat.call('disconnect');
  await encodes(ann, ['q'], { within: 4_000 });
});
