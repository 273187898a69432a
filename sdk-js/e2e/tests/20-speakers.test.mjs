// Who speaks is said to everybody, follows when somebody else does, and ends when nobody does.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast } from '../lib/cast.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

/** Of full scale: a voice near the microphone, and the noise of a quiet room. */
const LOUD = 0.3;
const QUIET = 0.0005;

let cast;
let people;
let listener;
const room = freshRoom();

before(async () => {
  cast = await Cast.start();
  people = {};
  for (const [index, identity] of ['ann', 'bob', 'cat'].entries()) {
    people[identity] = await cast.join(room, identity, { publish: false });
    await people[identity].call('publishTone', 300 + 200 * index);
    await people[identity].call('setLoudness', QUIET);
  }
  listener = await cast.join(room, 'dan', { publish: false });
});
after(() => cast?.end());

/** Waits until everybody in `observers` has exactly these speakers, the loudest first. */
async function speak(observers, wanted, within = 3_000) {
  const startedAt = Date.now();
  for (const person of observers) {
    await until(async () => (await person.call('activeSpeakers')).join() === wanted.join(), {
      within: Math.max(0, within - (Date.now() - startedAt)),
      what: async () => `${person.identity} to hear of [${wanted}]; it has [${await person.call('activeSpeakers')}]`,
    });
  }
  return Date.now() - startedAt;
}

test('one speaks, then another, then nobody', { timeout: 60_000 }, async (t) => {
  // Each hears the others' speaker; somebody's own voice is theirs to know.
  for (const identity of ['bob', 'cat', 'ann']) {
    const observers = [listener, ...Object.values(people).filter((person) => person.identity !== identity)];
    await people[identity].call('setLoudness', LOUD);
    t.diagnostic(`${identity} after ${await speak(observers, [identity])} ms`);
    await people[identity].call('setLoudness', QUIET);
    t.diagnostic(`nobody after ${await speak(observers, [])} ms`);
  }
  const named = (await listener.call('events')).filter(({ name }) => name === 'ActiveSpeakersChanged').map(({ detail }) => detail.join());
  assert.deepEqual(named.filter(Boolean), ['bob', 'cat', 'ann'], 'nobody else was ever named');
});

test('the louder comes first', { timeout: 30_000 }, async () => {
  await people.ann.call('setLoudness', LOUD / 10);
  await speak([listener], ['ann']);
  await people.cat.call('setLoudness', LOUD);
  await speak([listener], ['cat', 'ann']);
});
