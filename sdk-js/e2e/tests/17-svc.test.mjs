// One encoding with three spatial layers (L3T3_KEY): each receiver gets as many of them as its path carries.

import { after, before, test } from 'node:test';

import { Cast } from '../lib/cast.mjs';
import { ADAPTIVE, assertSmooth, CAMERA, getsWidth, HIGH, keepsWidth, LOW, showAt, startWatching } from '../lib/layers.mjs';
import { freshRoom } from '../lib/tokens.mjs';

const NARROW = { kbps: 300, queueMs: 400, delayMs: 20 };

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

for (const codec of ['vp9', 'av1']) {
  test(`${codec}: a narrow path gets the lowest spatial layer, the other all`, { timeout: 120_000 }, async (t) => {
    const room = freshRoom();
    const network = await cast.network({ seed: 17, down: NARROW });
    const publish = { ...CAMERA, videoCodec: codec, scalabilityMode: 'L3T3_KEY' };
    const ann = await cast.join(room, 'ann', { options: ADAPTIVE, publish });
    const bob = await cast.join(room, 'bob', { options: ADAPTIVE, publish: false });
    await showAt(bob, 'ann', HIGH);
    await getsWidth(bob, 'ann', HIGH, { within: 20_000, publisher: ann });

    const cat = await cast.join(room, 'cat', { options: ADAPTIVE, publish: false, network });
    await showAt(cat, 'ann', HIGH);
    await getsWidth(cat, 'ann', LOW, { within: 10_000, publisher: ann });
    await startWatching([bob, cat]);
    await Promise.all([keepsWidth(cat, 'ann', LOW, 5_000, { publisher: ann }), keepsWidth(bob, 'ann', HIGH, 5_000, { publisher: ann })]);

    network.setDown({ kbps: Infinity });
    t.diagnostic(`it climbed within ${await getsWidth(cat, 'ann', HIGH, { within: 10_000, publisher: ann })} ms`);
    await assertSmooth([bob, cat], 'ann');
    await Promise.all([ann, bob, cat].map((person) => person.close()));
  });
}
