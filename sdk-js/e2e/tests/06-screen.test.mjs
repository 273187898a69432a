// A screen is shared beside the camera.

import { after, before, test } from 'node:test';

import { Cast, seesFrames, trackOf } from '../lib/cast.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

test('a screen is seen beside the camera, and ends', { timeout: 90_000 }, async () => {
  const room = freshRoom();
  const ann = await cast.join(room, 'ann');
  const bob = await cast.join(room, 'bob', { publish: false });
  await seesFrames(bob, 'ann');

  await ann.call('shareScreen', true);
  // A still page gives few frames.
  await seesFrames(bob, 'ann', { source: 'screen_share', frames: 1 });
  await bob.call('restartWatches');
  await seesFrames(bob, 'ann');

  await ann.call('shareScreen', false);
  await until(async () => {
    const screen = await trackOf(bob, 'ann', 'screen_share');
    return !screen || screen.muted;
  }, { what: 'the screen to end' });
  await bob.call('restartWatches');
  await seesFrames(bob, 'ann');
});
