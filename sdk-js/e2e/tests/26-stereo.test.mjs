// What is sent in two channels is heard in two.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast } from '../lib/cast.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const [LEFT, RIGHT] = [440, 1320];
/** Hz: the width of a few bins of the analyser. */
const TOLERANCE = 25;

let cast;
before(async () => (cast = await Cast.start()));
after(async () => cast?.end());

const isNear = (found, wanted) => Math.abs(found - wanted) <= TOLERANCE;

test('two channels of Chromium are two in Chromium', { timeout: 90_000 }, async () => {
  const room = freshRoom();
  const ann = await cast.join(room, 'ann', { publish: false });
  const bob = await cast.join(room, 'bob', { publish: false });
  await ann.call('publishTwoTones', LEFT, RIGHT, { stereo: true, dtx: false });
  await until(
    async () => {
      const [left, right] = await bob.call('tonesOf', 'ann');
      return isNear(left, LEFT) && isNear(right, RIGHT);
    },
    { within: 20_000, every: 200, what: async () => `${LEFT} and ${RIGHT} Hz to be heard; it is ${await bob.call('tonesOf', 'ann')}` },
  );
});

// Without a sound card Firefox computes no graph, so what it hears is not measured here.
for (const browser of ['chromium', 'firefox']) {
  test(`${browser} asks for two channels wherever it receives`, { timeout: 60_000 }, async () => {
    const ann = await cast.join(freshRoom(), 'ann', { browser, publish: false });
    const parameters = await ann.call('receivingOpus');
    assert.ok(parameters.length > 1, 'there are m-lines that receive');
    assert.deepEqual(parameters.filter((line) => !/(^|;)stereo=1(;|$)/.test(line)), []);
  });
}
