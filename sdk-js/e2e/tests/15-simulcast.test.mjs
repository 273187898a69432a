// Three sizes of one camera: whoever has little bandwidth gets the small one, others keep theirs, and nothing stands still.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast } from '../lib/cast.mjs';
import { ADAPTIVE, assertSmooth, CAMERA, getsWidth, HIGH, isLimitedBy, keepsWidth, LOW, showAt, startWatching } from '../lib/layers.mjs';
import { freshRoom } from '../lib/tokens.mjs';

/** What the narrow path carries, in kbps, and what its queue holds. */
const NARROW = { kbps: 300, queueMs: 400, delayMs: 20 };

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
    t.diagnostic(`the high layer came after ${await getsWidth(bob, 'ann', HIGH, { within: 30_000, publisher: ann })} ms`);

    const cat = await cast.join(room, 'cat', { options: ADAPTIVE, publish: false, network });
    await showAt(cat, 'ann', HIGH);
    await getsWidth(cat, 'ann', LOW, { within: 10_000, publisher: ann });
    await startWatching([bob, cat]);
    await Promise.all([keepsWidth(cat, 'ann', LOW, 6_000, { publisher: ann }), keepsWidth(bob, 'ann', HIGH, 6_000, { publisher: ann })]);
    await assertSmooth([bob, cat], 'ann');
    const { participant, subscription } = await isLimitedBy(cat, 'ann', 'bandwidth');
    assert.equal(participant.estimateSource, 'twcc');
    assert.ok(participant.estimate <= 1.2 * NARROW.kbps * 1_000, `the estimate is that of the path: ${JSON.stringify(participant)}`);
    assert.match(subscription.reason, /Mbps|kbps/);
    await isLimitedBy(bob, 'ann', 'none');

    network.setDown({ kbps: Infinity });
    t.diagnostic(`it climbed within ${await getsWidth(cat, 'ann', HIGH, { within: 10_000, publisher: ann })} ms`);
    await keepsWidth(cat, 'ann', HIGH, 2_000, { publisher: ann });
    await assertSmooth([bob, cat], 'ann');
    assert.equal((await bob.call('receivedVideo', 'ann')).frameWidth, HIGH, 'the other did not notice');

    network.setDown(NARROW);
    t.diagnostic(`it fell within ${await getsWidth(cat, 'ann', LOW, { within: 10_000, publisher: ann })} ms`);
    await keepsWidth(cat, 'ann', LOW, 3_000, { publisher: ann });
    await assertSmooth([bob], 'ann');
    t.diagnostic(JSON.stringify(network.counts()));
    await Promise.all([ann, bob, cat].map((person) => person.close()));
  });
}
