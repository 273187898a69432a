// Mute and unmute, of sound and picture, are seen by all.

import { after, before, test } from 'node:test';

import { Cast, hears, seesFrames, trackOf } from '../lib/cast.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

/** Waits until `viewer` sees the source as muted, or not. */
function seesMuted(viewer, identity, source, muted) {
  return until(async () => (await trackOf(viewer, identity, source))?.muted === muted, {
    what: async () => `${viewer.identity} to see ${source} muted: ${muted}; it has ${JSON.stringify(await viewer.call('snapshot'))}`,
  });
}

test('mute and unmute are seen by all', { timeout: 90_000 }, async () => {
  const room = freshRoom();
  const ann = await cast.join(room, 'ann');
  const bob = await cast.join(room, 'bob', { publish: false });
  const cat = await cast.join(room, 'cat', { publish: false });
  const viewers = [bob, cat];
  await Promise.all(viewers.flatMap((viewer) => [seesFrames(viewer, 'ann'), hears(viewer, 'ann')]));

  await ann.call('setMicrophone', false);
  await Promise.all(viewers.map((viewer) => seesMuted(viewer, 'ann', 'microphone', true)));
  await ann.call('setMicrophone', true);
  await Promise.all(viewers.map((viewer) => seesMuted(viewer, 'ann', 'microphone', false)));
  await Promise.all(viewers.map((viewer) => hears(viewer, 'ann')));

  await ann.call('setCamera', false);
  await Promise.all(viewers.map((viewer) => seesMuted(viewer, 'ann', 'camera', true)));
  await ann.call('setCamera', true);
  await Promise.all(viewers.map((viewer) => seesMuted(viewer, 'ann', 'camera', false)));
  await Promise.all(viewers.map((viewer) => viewer.call('restartWatches')));
  await Promise.all(viewers.map((viewer) => seesFrames(viewer, 'ann')));
});

test('a newcomer finds a muted track muted', { timeout: 60_000 }, async () => {
  const room = freshRoom();
  const ann = await cast.join(room, 'ann');
  await ann.call('setMicrophone', false);
  const bob = await cast.join(room, 'bob', { publish: false });
  await seesMuted(bob, 'ann', 'microphone', true);
});
