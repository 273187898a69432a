// Three sizes of one camera, as simulcast (VP8) or as the SDK's choice for the codec: whoever has little bandwidth gets a small
// one, others keep theirs, and nothing stands still.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast } from '../lib/cast.mjs';
import { ADAPTIVE, assertSmooth, CAMERA, getsWidth, HIGH, isLimitedBy, keepsWidth, LOW, MIDDLE, showAt, startWatching } from '../lib/layers.mjs';
import { freshRoom } from '../lib/tokens.mjs';

/**
 * Chromium's fake camera moves so little that its 360p layer takes 200 kbps, 110 at half the frame rate: a path of 300 carries
 * that, and only one of 100 is for the smallest layer.
 */
const NARROW = { kbps: 300, queueMs: 400, delayMs: 20 };
const NARROWEST = { kbps: 100 };

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

for (const codec of ['vp8', 'vp9', 'av1']) {
  test(`${codec}: a narrow path gets the low layer, the other keeps the high one`, { timeout: 120_000 }, async (t) => {
    const room = freshRoom();
    const network = await cast.network({ seed: 15, down: NARROW });
    const ann = await cast.join(room, 'ann', { options: ADAPTIVE, publish: { ...CAMERA, videoCodec: codec } });
    const bob = await cast.join(room, 'bob', { options: ADAPTIVE, publish: false });
    await showAt(bob, 'ann', HIGH);
    // Chromium adds its layers one by one as its own estimate rises.
    t.diagnostic(`the high layer came after ${await getsWidth(bob, 'ann', [HIGH], { within: 30_000, publisher: ann })} ms`);

    const cat = await cast.join(room, 'cat', { options: ADAPTIVE, publish: false, network });
    await showAt(cat, 'ann', HIGH);
    await getsWidth(cat, 'ann', [LOW, MIDDLE], { within: 10_000, publisher: ann });
    await startWatching([bob, cat]);
    await keepsWidth(bob, 'ann', [HIGH], 6_000, { publisher: ann });
    await assertSmooth([bob], 'ann');
    await getsWidth(cat, 'ann', [LOW, MIDDLE], { within: 5_000, publisher: ann });
    t.diagnostic(`behind the narrow path: ${JSON.stringify(await cat.call('receivedVideo', 'ann'))}`);
    const { participant } = await isLimitedBy(cat, 'ann', ['bandwidth'], { within: 5_000 });
    assert.equal(participant.estimateSource, 'twcc');
    t.diagnostic(`its estimate: ${participant.estimate}`);
    await isLimitedBy(bob, 'ann', ['none', 'size']);

    await startWatching([bob]);
    network.setDown({ kbps: Infinity });
    t.diagnostic(`it climbed within ${await getsWidth(cat, 'ann', [HIGH], { within: 10_000, publisher: ann })} ms`);
    await assertSmooth([bob], 'ann');

    network.setDown(NARROWEST);
    t.diagnostic(`it fell within ${await getsWidth(cat, 'ann', [LOW], { within: 10_000, publisher: ann })} ms`);
    await keepsWidth(cat, 'ann', [LOW], 3_000, { publisher: ann });
    await keepsWidth(bob, 'ann', [HIGH], 500, { publisher: ann });
    await assertSmooth([bob], 'ann');
    t.diagnostic(JSON.stringify(network.counts()));
    await Promise.all([ann, bob, cat].map((person) => person.close()));
  });
}
