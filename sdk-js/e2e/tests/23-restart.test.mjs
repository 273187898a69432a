// The server is killed, or stopped, under a call: everybody sees everybody again soon after it is back, without a hand on the page.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast, hears, seesFrames, trackOf } from '../lib/cast.mjs';
import { freshRoom, mint } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

/** Milliseconds from `/readyz` until a new frame has been shown at both ends. */
const BACK_WITHIN = 5_000;

let cast;
before(async () => (cast = await Cast.start()));
after(async () => cast?.end());

for (const [signal, downFor] of [['SIGKILL', 2_500], ['SIGTERM', 0], ['SIGKILL', 9_000]]) {
  test(`${signal} and a restart after ${downFor} ms under a call`, { timeout: 120_000 }, async () => {
    const room = freshRoom();
    const ann = await cast.join(room, 'ann', { token: await mint(room, 'ann', { grant: { canUpdateOwnMetadata: true } }) });
    const bob = await cast.join(room, 'bob', { browser: 'firefox' });
    const both = [[ann, 'bob'], [bob, 'ann']];
    await Promise.all(both.map(([viewer, other]) => seesFrames(viewer, other, { frames: 10 })));
    await ann.call('setAttributes', { hand: 'up' });
    await bob.call('setMicrophone', false);

    await cast.server.restart(signal, { downFor });
    const readyAt = Date.now();
    const back = await Promise.all(
      both.map(async ([viewer, other]) => {
        await viewer.call('restartWatches');
        await seesFrames(viewer, other, { frames: 3, within: 20_000 });
        return Date.now() - readyAt;
      }),
    );
    console.log(`${signal}, down for ${downFor} ms: back after ${back.join(' and ')} ms`);
    assert.ok(Math.max(...back) <= BACK_WITHIN, `both see each other again after ${back.join(' and ')} ms`);

    await hears(bob, 'ann');
    await until(async () => (await trackOf(ann, 'bob', 'microphone'))?.muted, { what: 'the mute state to be as it was' });
    const attributes = await bob.call('attributes', 'ann');
    assert.deepEqual(attributes, { hand: 'up' });
    for (const person of [ann, bob]) {
      const events = await person.call('events');
      assert.ok(!events.some(({ name }) => name === 'Disconnected'), `${person.identity} was never disconnected`);
      assert.ok(events.some(({ name, detail }) => name === 'ConnectionStateChanged' && detail === 'reconnecting'), `${person.identity} was told`);
    }
    await Promise.all([ann, bob].map((person) => person.call('disconnect')));
  });
}
