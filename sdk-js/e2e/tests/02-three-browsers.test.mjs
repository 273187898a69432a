// Two Chromium tabs and one Firefox; one leaves and comes back, one reloads, a fourth joins late.

import { after, before, test } from 'node:test';

import { Cast, flowsFor, hears, seesFrames } from '../lib/cast.mjs';
import { assertAead, assertFlows } from '../lib/check.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

let cast;
let ann;
let bob;
let fox;
const room = freshRoom();

before(async () => (cast = await Cast.start()));
after(() => cast?.end());

/** Everybody sees and hears everybody. */
async function allMeet(people) {
  for (const person of people) {
    for (const other of people) {
      if (person === other) continue;
      await seesFrames(person, other.identity);
      await hears(person, other.identity);
    }
  }
}

/** Waits until `person` no longer knows `identity`. */
function forgets(person, identity) {
  return until(async () => !(await person.call('snapshot')).participants.some((one) => one.identity === identity), { what: `${person.identity} to see ${identity} leave` });
}

test('Chromium and Firefox decode each other for ten seconds', { timeout: 120_000 }, async () => {
  ann = await cast.join(room, 'ann');
  bob = await cast.join(room, 'bob');
  fox = await cast.join(room, 'fox', { browser: 'firefox' });
  await allMeet([ann, bob, fox]);
  assertFlows(await flowsFor([ann, bob, fox], 10_000), 10);
  await Promise.all([ann, bob, fox].map(assertAead));
});

test('one leaves and comes back', { timeout: 60_000 }, async () => {
  await bob.call('disconnect');
  await Promise.all([forgets(ann, 'bob'), forgets(fox, 'bob')]);
  await cast.join(room, 'bob', { page: bob });
  await allMeet([ann, bob, fox]);
});

test('one reloads', { timeout: 60_000 }, async () => {
  await ann.load(cast.site.url);
  await cast.join(room, 'ann', { page: ann });
  await allMeet([ann, bob, fox]);
});

test('a fourth joins late', { timeout: 60_000 }, async () => {
  const dan = await cast.join(room, 'dan');
  await allMeet([ann, bob, fox, dan]);
});
