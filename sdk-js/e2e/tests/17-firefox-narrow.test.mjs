// Firefox behind a narrow path, with transport-wide feedback and with REMB alone, which older clients have.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast } from '../lib/cast.mjs';
import { explain } from '../lib/explain.mjs';
import { withoutTransportCc } from '../lib/init-scripts.mjs';
import { ADAPTIVE, CAMERA, getsWidth, HIGH, isLimitedBy, LOW, MIDDLE, showAt } from '../lib/layers.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const NARROW = { kbps: 300, queueMs: 400, delayMs: 20 };

/** REMB only rises by its own rate; nobody can probe it faster. */
const FEEDBACK = {
  'transport-wide feedback': { sources: ['twcc'], before: [], climbs: 10_000 },
  'REMB alone': { sources: ['remb', 'reports'], before: [withoutTransportCc()], climbs: 30_000 },
};

let cast;
let ann;
let bob;
const room = freshRoom();

before(async () => {
  cast = await Cast.start();
  ann = await cast.join(room, 'ann', { options: ADAPTIVE, publish: CAMERA });
  bob = await cast.join(room, 'bob', { options: ADAPTIVE, publish: false });
  await showAt(bob, 'ann', HIGH);
  await getsWidth(bob, 'ann', [HIGH], { within: 30_000, publisher: ann });
});
after(() => cast?.end());

for (const [what, { sources, before: scripts, climbs }] of Object.entries(FEEDBACK)) {
  test(`Firefox with ${what}`, { timeout: 120_000 }, async (t) => {
    const network = await cast.network({ seed: 17, down: NARROW });
    const fox = await cast.join(room, 'fox', { browser: 'firefox', options: ADAPTIVE, publish: false, network, before: scripts });
    await showAt(fox, 'ann', HIGH);
    await getsWidth(fox, 'ann', [LOW, MIDDLE], { within: 15_000, publisher: ann });
    // Without transport-wide feedback it begins with the best, and the queue overflows until a report tells. Firefox sends a
    // REMB when it gets too much and no other; receiver reports have to do for the rest.
    await until(async () => sources.includes((await explain(fox, 'ann')).participant?.estimateSource), { within: 8_000, what: `an estimate by ${sources}` });
    await isLimitedBy(fox, 'ann', ['bandwidth']);
    await getsWidth(fox, 'ann', [LOW, MIDDLE], { within: 5_000, publisher: ann });
    assert.equal((await bob.call('receivedVideo', 'ann')).frameWidth, HIGH, 'the other did not notice');

    network.setDown({ kbps: Infinity });
    t.diagnostic(`it climbed within ${await getsWidth(fox, 'ann', [HIGH], { within: climbs, publisher: ann })} ms`);
    await fox.close();
  });
}
