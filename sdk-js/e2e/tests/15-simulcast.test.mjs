// Three sizes of one camera, as simulcast (VP8) or as the SDK's choice for the codec: whoever has little bandwidth gets the
// small one, others keep theirs, and nothing stands still.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast, trackOf } from '../lib/cast.mjs';
import { ADAPTIVE, assertSmooth, getsWidth, isLimitedBy, keepsWidth, settlesAt, showAt, startWatching } from '../lib/layers.mjs';
import { freshRoom } from '../lib/tokens.mjs';

/** The picture's width; the low layer's is a quarter of it. AV1 in 720p takes more than a core to encode. */
const WIDTHS = { vp8: 1280, vp9: 1280, av1: 960 };

/** The low layer takes 100 to 150 kbps, the next one would take 360 to 560. */
const NARROW = { kbps: 300, queueMs: 400, delayMs: 20 };

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

for (const [codec, HIGH] of Object.entries(WIDTHS)) {
  const LOW = HIGH / 4;
  test(`${codec}: a narrow path gets the low layer, the other keeps the high one`, { timeout: 120_000 }, async (t) => {
    const room = freshRoom();
    const network = await cast.network({ seed: 15, down: NARROW });
    const ann = await cast.join(room, 'ann', { options: ADAPTIVE, publish: false });
    await ann.call('publishBusy', { width: HIGH, height: (HIGH * 9) / 16, videoCodec: codec });
    const bob = await cast.join(room, 'bob', { options: ADAPTIVE, publish: false });
    // What layers cost is known when they were sent for a while: Chromium begins each with less than it takes later.
    await showAt(bob, 'ann', HIGH / 2);
    await settlesAt(bob, 'ann', [HIGH / 2], 3_000, { publisher: ann });
    await showAt(bob, 'ann', HIGH);
    // Chromium adds its layers one by one as its own estimate rises.
    t.diagnostic(`the high layer came after ${await getsWidth(bob, 'ann', [HIGH], { within: 30_000, publisher: ann })} ms`);

    await settlesAt(bob, 'ann', [HIGH], 3_000, { publisher: ann });
    const cat = await cast.join(room, 'cat', { options: ADAPTIVE, publish: false, network });
    await showAt(cat, 'ann', HIGH);
    await getsWidth(cat, 'ann', [LOW], { within: 10_000, publisher: ann });
    t.diagnostic(`its first frame came ${Math.round((await trackOf(cat, 'ann')).firstFrameAfter)} ms after connect()`);
    await startWatching([bob, cat]);
    const everybody = [keepsWidth(bob, 'ann', [HIGH], 8_000, { publisher: ann }), keepsWidth(cat, 'ann', [LOW], 8_000, { publisher: ann })];
    await Promise.all(everybody);
    await assertSmooth([bob, cat], 'ann');
    const { participant } = await isLimitedBy(cat, 'ann', ['bandwidth'], { within: 5_000 });
    assert.equal(participant.estimateSource, 'twcc');
    t.diagnostic(`its estimate behind ${NARROW.kbps} kbps: ${participant.estimate}`);
    assert.ok(participant.estimate <= 1.2 * NARROW.kbps * 1_000, `the estimate is that of the path: ${participant.estimate}`);
    await isLimitedBy(bob, 'ann', ['none', 'size']);

    await startWatching([bob, cat]);
    network.setDown({ kbps: Infinity });
    t.diagnostic(`it climbed within ${await getsWidth(cat, 'ann', [HIGH], { within: 10_000, publisher: ann })} ms`);
    await keepsWidth(cat, 'ann', [HIGH], 1_000, { publisher: ann });
    await assertSmooth([bob, cat], 'ann');

    await startWatching([bob, cat]);
    network.setDown(NARROW);
    t.diagnostic(`it fell within ${await getsWidth(cat, 'ann', [LOW], { within: 10_000, publisher: ann })} ms`);
    // What tells of the fall is as old as the queue is long, and what comes after it waits for as long: 0.4 s each. Whoever had to
    // wait for libwebrtc to ask for a keyframe would stand still for more than 3 s.
    const still = Math.round((await trackOf(cat, 'ann')).maxGap);
    t.diagnostic(`its picture stood still for ${still} ms`);
    assert.ok(still <= 2_000, `the picture stood still for ${still} ms`);
    await keepsWidth(cat, 'ann', [LOW], 3_000, { publisher: ann });
    await keepsWidth(bob, 'ann', [HIGH], 500, { publisher: ann });
    await assertSmooth([bob], 'ann');
    t.diagnostic(JSON.stringify(network.counts()));
    await Promise.all([ann, bob, cat].map((person) => person.close()));
  });
}
