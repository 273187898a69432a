// One packet in twenty is lost on the way to a receiver: it is sent again, and the picture goes on.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast } from '../lib/cast.mjs';
import { ADAPTIVE, CAMERA, getsWidth, HIGH, showAt } from '../lib/layers.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const SECONDS = 10;

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

for (const browser of ['chromium', 'firefox']) {
  test(`${browser} decodes nine frames in ten behind 5 % loss`, { timeout: 90_000 }, async (t) => {
    const room = freshRoom();
    const network = await cast.network({ seed: 19, down: { loss: 0.05, delayMs: 20 }, up: { delayMs: 20 } });
    const ann = await cast.join(room, 'ann', { options: ADAPTIVE, publish: CAMERA });
    const bob = await cast.join(room, 'bob', { browser, options: ADAPTIVE, publish: false, network });
    await showAt(bob, 'ann', HIGH);
    await getsWidth(bob, 'ann', HIGH, { within: 30_000, publisher: ann });

    const [before, startedAt] = [await bob.call('receivedVideo', 'ann'), Date.now()];
    await until(() => Date.now() - startedAt >= SECONDS * 1_000, { within: SECONDS * 2_000, every: 250 });
    const now = await bob.call('receivedVideo', 'ann');
    const decoded = (now.framesDecoded - before.framesDecoded) / ((now.at - before.at) / 1_000);
    const said = JSON.stringify({ before, now, network: network.counts() });
    t.diagnostic(said);
    assert.ok(network.down.counts.lost > 10, `packets were lost: ${said}`);
    assert.ok(decoded >= 0.9 * CAMERA.frameRate, `${decoded} frames a second are decoded: ${said}`);
    assert.ok(now.nackCount > before.nackCount, `it asked again: ${said}`);
    // Firefox does not count what came by retransmission.
    if (browser === 'chromium') assert.ok(now.retransmittedPacketsReceived > (before.retransmittedPacketsReceived ?? 0), `it was sent again: ${said}`);
    await Promise.all([ann, bob].map((person) => person.close()));
  });
}
