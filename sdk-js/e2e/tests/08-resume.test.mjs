// A WebSocket that dies under a call is resumed, and no picture freezes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast, hears, seesFrames, trackOf } from '../lib/cast.mjs';
import { startProxy } from '../lib/proxy.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

let cast;
let proxy;
before(async () => {
  cast = await Cast.start();
  proxy = await startProxy(cast.server.port);
});
after(async () => {
  await cast?.end();
  await proxy?.close();
});

for (const browser of ['chromium', 'firefox']) {
  test(`a killed WebSocket is resumed without a frozen frame in ${browser}`, { timeout: 90_000 }, async () => {
    const room = freshRoom();
    const ann = await cast.join(room, 'ann');
    const bob = await cast.join(room, 'bob', { browser, url: proxy.ws });
    await Promise.all([seesFrames(bob, 'ann', { frames: 30 }), seesFrames(ann, 'bob', { frames: 30 })]);
    await Promise.all([ann, bob].map((person) => person.call('restartWatches')));

    proxy.refuse(true);
    proxy.cut();
    await until(async () => (await bob.call('snapshot')).state === 'signalReconnecting', { what: 'bob to notice' });
    // Meanwhile something happens that bob has to be told afterwards.
    await ann.call('setMicrophone', false);
    proxy.refuse(false);
    await until(async () => (await bob.call('snapshot')).state === 'connected', { within: 15_000, what: 'bob to resume' });
    await until(async () => (await trackOf(bob, 'ann', 'microphone'))?.muted, { what: 'bob to be told what he missed' });
    await ann.call('setMicrophone', true);
    await hears(bob, 'ann');

    assert.equal(await bob.call('connectionCount'), 1, 'the peer connection is the same');
    for (const [viewer, other] of [[bob, 'ann'], [ann, 'bob']]) {
      const { maxGap, sinceLastFrame } = await trackOf(viewer, other);
      assert.ok(Math.max(maxGap, sinceLastFrame) < 1_000, `${viewer.identity}'s picture went on: ${maxGap}, ${sinceLastFrame}`);
    }
    const events = await ann.call('events');
    assert.ok(!events.some((event) => event.name === 'ParticipantDisconnected' && event.detail === 'bob'), 'nobody saw bob leave');
    await Promise.all([ann, bob].map((person) => person.call('disconnect')));
  });
}
