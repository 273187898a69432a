// Codecs that the SDK sends as spatial layers, or that have none, as three encodings: each size is had for itself.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast } from '../lib/cast.mjs';
import { ADAPTIVE, assertSmooth, CAMERA, encodes, getsWidth, HIGH, LOW, MIDDLE, showAt, startWatching } from '../lib/layers.mjs';
import { freshRoom } from '../lib/tokens.mjs';

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

/** H264 is sent without temporal layers. */
const MODES = { vp9: 'L1T3', av1: 'L1T3', h264: undefined };

for (const [codec, mode] of Object.entries(MODES)) {
  test(`${codec} in three encodings`, { timeout: 90_000 }, async (t) => {
    const room = freshRoom();
    const ann = await cast.join(room, 'ann', { options: ADAPTIVE, publish: { ...CAMERA, videoCodec: codec, simulcast: true } });
    const bob = await cast.join(room, 'bob', { options: ADAPTIVE, publish: false });
    await showAt(bob, 'ann', HIGH);
    t.diagnostic(`the high layer came after ${await getsWidth(bob, 'ann', [HIGH], { within: 30_000, publisher: ann })} ms`);
    await startWatching([bob]);
    for (const [width, rids] of [[LOW, ['q']], [MIDDLE, ['h', 'q']], [HIGH, ['f', 'q']]]) {
      await showAt(bob, 'ann', width);
      t.diagnostic(`${width} px within ${await getsWidth(bob, 'ann', [width], { within: 5_000, publisher: ann })} ms`);
      await encodes(ann, rids, { within: 6_000 });
    }
    await assertSmooth([bob], 'ann');
    const sent = (await ann.call('sentVideo')).filter(({ framesEncoded }) => framesEncoded > 0);
    t.diagnostic(JSON.stringify(sent.map(({ rid, scalabilityMode, encoderImplementation }) => ({ rid, scalabilityMode, encoderImplementation }))));
    assert.deepEqual(sent.map(({ rid }) => rid).sort(), ['f', 'h', 'q']);
    for (const { codec: name } of sent) assert.equal(name.toLowerCase(), `video/${codec}`);
    const active = sent.filter(({ scalabilityMode }) => scalabilityMode !== undefined);
    if (mode) assert.ok(active.length > 0 && active.every(({ scalabilityMode }) => scalabilityMode === mode), 'each with temporal layers');
    assert.equal((await bob.call('receivedVideo', 'ann')).codec.toLowerCase(), `video/${codec}`);
    await Promise.all([ann, bob].map((person) => person.close()));
  });
}
