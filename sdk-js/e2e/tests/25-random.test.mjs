// Four people, one of them in Firefox, do what a seed says: join, leave, reload, publish, unpublish, mute, share, raise a hand, lose
// their WebSocket, lose their network. Afterwards everybody has the same view of everybody, itself included, and everything that
// is published and not muted flows to everybody. A failing seed is run again with MADANG_E2E_SEEDS=<seed>.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast } from '../lib/cast.mjs';
import { pointToProxy } from '../lib/init-scripts.mjs';
import { startProxy } from '../lib/proxy.mjs';
import { seeded } from '../lib/random.mjs';
import { freshRoom, mint } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const SEEDS = (process.env.MADANG_E2E_SEEDS ?? '1,2,3').split(',').map(Number);
const OPERATIONS = Number(process.env.MADANG_E2E_OPERATIONS ?? 200);
/** Milliseconds until everybody agrees once nothing happens any more: a rejoin's longest wait and a join. */
const SETTLED_WITHIN = 30_000;
const SOURCES = ['camera', 'microphone', 'screen_share'];
/** How often each happens, beside the others. */
const WEIGHTS = { publish: 24, unpublish: 14, mute: 18, unmute: 18, attributes: 10, killWebSocket: 6, cutNetwork: 3, leave: 3, reload: 4 };
const SLOTS = { pairs: 3, screens: 3, audio: 0 };

let cast;
before(async () => (cast = await Cast.start()));
after(async () => cast?.end());

/** Somebody with a network of their own. One thing at a time happens to each, and to all side by side. */
class Person {
  static async arrive(room, identity, browser, random) {
    const person = new Person(room, identity, random);
    person.media = await cast.network();
    person.signal = await startProxy(cast.server.port);
    person.token = await mint(room, identity, { grant: { canUpdateOwnMetadata: true } });
    person.page = await cast.page(browser, [pointToProxy(person.media)]);
    await person.join();
    return person;
  }

  constructor(room, identity, random) {
    Object.assign(this, { room, identity, random, busy: undefined, isIn: false, log: [] });
  }

  async join() {
    await this.page.call('connect', this.signal.ws, this.token, { room: { slots: SLOTS } });
    this.isIn = true;
  }

  /** Begins an operation; false: one is under way. */
  begin(operation) {
    if (this.busy) return false;
    this.busy = this.perform(operation)
      .then((outcome) => this.log.push(`${JSON.stringify(operation)}${outcome ? ` -> ${outcome}` : ''}`))
      .catch((error) => (this.failure ??= new Error(`${this.identity}, ${JSON.stringify(operation)}`, { cause: error })))
      .finally(() => (this.busy = undefined));
    return true;
  }

  async perform(operation) {
    if (!this.isIn) return this.join();
    switch (operation.do) {
      case 'leave':
        this.isIn = false;
        return this.page.call('disconnect');
      case 'reload':
        this.isIn = false;
        await this.page.load(cast.site.url);
        return this.join();
      case 'killWebSocket':
        return this.signal.cut();
      case 'cutNetwork':
        return this.cutNetwork(operation.milliseconds);
      default:
        return this.page.call('act', operation);
    }
  }

  async cutNetwork(milliseconds) {
    const dead = (loss) => (this.media.setDown({ loss }), this.media.setUp({ loss }));
    this.signal.refuse(true);
    this.signal.cut();
    dead(1);
    const since = Date.now();
    await until(() => Date.now() - since >= milliseconds, { within: milliseconds + 5_000 });
    dead(0);
    this.signal.refuse(false);
  }
}

function pick(random, weights) {
  const entries = Object.entries(weights);
  let left = random() * entries.reduce((sum, [, weight]) => sum + weight, 0);
  return entries.find(([, weight]) => (left -= weight) < 0)[0];
}

function operationOf(random, count) {
  const kind = pick(random, WEIGHTS);
  const source = SOURCES[Math.floor(random() * SOURCES.length)];
  const value = random();
  switch (kind) {
    case 'attributes':
      return { do: kind, attributes: { hand: value < 0.5 ? 'up' : '', last: String(count) } };
    case 'cutNetwork':
      return { do: kind, milliseconds: Math.round(500 + 5_500 * value) };
    default:
      return SOURCES.includes(source) && ['publish', 'unpublish', 'mute', 'unmute'].includes(kind) ? { do: kind, source } : { do: kind };
  }
}

/** What differs between what people see; undefined: nothing. */
async function difference(people) {
  const views = await Promise.all(people.map(({ page }) => page.call('view')));
  const seen = views.map(({ state, people: all }) => JSON.stringify({ state, all: Object.entries(all).sort(([a], [b]) => a.localeCompare(b)) }));
  const everybody = views.every(({ state, people: all }) => state === 'connected' && Object.keys(all).length === people.length);
  return everybody && new Set(seen).size === 1 ? undefined : views;
}

for (const seed of SEEDS) {
  test(`seed ${seed}: ${OPERATIONS} random operations, and one view of the room`, { timeout: 240_000 }, async () => {
    const random = seeded(seed);
    const room = freshRoom();
    const people = await Promise.all(
      ['ann', 'bob', 'cy', 'dee'].map((identity, index) => Person.arrive(room, identity, index === 3 ? 'firefox' : 'chromium', random)),
    );
    const told = async () =>
      `${people.map((person) => `${person.identity}: ${person.log.slice(-12).join('; ')}\n  ${person.page.problems.slice(-5).join('\n  ')}`).join('\n')}\nreplay: MADANG_E2E_SEEDS=${seed}`;
    try {
      for (let count = 0; count < OPERATIONS; count++) {
        const person = people[Math.floor(random() * people.length)];
        const operation = operationOf(random, count);
        await until(() => person.begin(operation) || person.failure, { within: 40_000, every: 10, what: async () => `${person.identity} to be done with what it does\n${await told()}` });
        if (person.failure) throw person.failure;
      }
      await until(() => people.every(({ busy }) => !busy), { within: 40_000, what: async () => `the last operations\n${await told()}` });
      for (const person of people) if (!person.isIn) await person.join();
      for (const { failure } of people) if (failure) throw failure;

      await until(async () => !(await difference(people)), {
        within: SETTLED_WITHIN,
        every: 300,
        what: async () => `all to see the same: ${JSON.stringify(await difference(people), undefined, 1)}\n${await told()}`,
      });
      await Promise.all(people.map((person) => flows(person, told)));
    } finally {
      await Promise.all(people.map(({ page }) => page.close().catch(() => undefined)));
      await Promise.all(people.map(({ signal }) => signal.close()));
    }
    assert.ok(people.every(({ log }) => log.length > 0), 'everybody did something');
  });
}

/** Everything that is published by others and not muted rises from now on. */
async function flows({ page, identity }, told) {
  const { received: before } = await page.call('view');
  let still = Object.keys(before);
  await until(
    async () => {
      const { received } = await page.call('view');
      still = still.filter((key) => !(received[key] > before[key]));
      return still.length === 0;
    },
    { within: SETTLED_WITHIN, every: 300, what: async () => `${identity} to receive ${still.join(', ')}\n${await told()}` },
  );
}
