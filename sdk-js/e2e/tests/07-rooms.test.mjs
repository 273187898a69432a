// Two rooms on one server never see each other.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast, seesFrames } from '../lib/cast.mjs';
import { freshRoom } from '../lib/tokens.mjs';

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

test('two rooms never see each other', { timeout: 90_000 }, async () => {
  const [left, right] = [freshRoom(), freshRoom()];
  const people = [
    await cast.join(left, 'ann', { colour: 'red' }),
    await cast.join(right, 'cat', { colour: 'blue' }),
    await cast.join(left, 'bob', { publish: false, options: { colours: true } }),
    await cast.join(right, 'dan', { publish: false, options: { colours: true } }),
  ];
  const [, , bob, dan] = people;
  await Promise.all([seesFrames(bob, 'ann', { frames: 30 }), seesFrames(dan, 'cat', { frames: 30 })]);
  await people[0].call('sendText', 'only for the left room');

  const known = async (person) => (await person.call('snapshot')).participants.map((one) => one.identity);
  assert.deepEqual(await Promise.all(people.map(known)), [['bob'], ['dan'], ['ann'], ['cat']]);
  assert.deepEqual(Object.keys((await bob.call('coloursByIdentity')).ann), ['red']);
  assert.deepEqual(Object.keys((await dan.call('coloursByIdentity')).cat), ['blue']);
  for (const stranger of [people[1], dan]) assert.deepEqual(await stranger.call('texts'), []);
});

test('the same identity in two rooms is two people', { timeout: 60_000 }, async () => {
  const [left, right] = [freshRoom(), freshRoom()];
  const first = await cast.join(left, 'eve', { publish: false });
  const second = await cast.join(right, 'eve', { publish: false });
  assert.equal((await first.call('snapshot')).state, 'connected');
  assert.equal((await second.call('snapshot')).state, 'connected');
});
