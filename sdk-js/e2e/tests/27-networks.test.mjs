// Networks that change under a call: UDP is blocked, or everything is gone for a while. Times run from the change to the next frame
// at both ends; nobody touches the page.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast, seesFrames } from '../lib/cast.mjs';
import { pointToProxy } from '../lib/init-scripts.mjs';
import { startProxy } from '../lib/proxy.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

/** Milliseconds until media flows over TCP both ways once UDP is blocked both ways: the client moves after 2 to 4 s, the server follows. */
const OVER_TCP_WITHIN = 15_000;
/** Milliseconds until media flows once the network is back: the longest wait between two attempts, and a join. */
const BACK_WITHIN = 15_000;

let cast;
before(async () => (cast = await Cast.start()));
after(async () => cast?.end());

/** Ann on a good network, and bob on one that the test decides over. */
async function call(browser) {
  const room = freshRoom();
  const media = await cast.network();
  const signal = await startProxy(cast.server.port);
  const ann = await cast.join(room, 'ann');
  const bob = await cast.join(room, 'bob', { browser, url: signal.ws, before: [pointToProxy(media, { keepTcp: true })] });
  const both = [[ann, 'bob'], [bob, 'ann']];
  await Promise.all(both.map(([viewer, other]) => seesFrames(viewer, other, { frames: 20 })));
  const lose = (loss) => (media.setDown({ loss }), media.setUp({ loss }));
  /** Milliseconds until each sees the other again. */
  const frames = async () => {
    const since = Date.now();
    return Promise.all(
      both.map(async ([viewer, other]) => {
        await viewer.call('restartWatches');
        await seesFrames(viewer, other, { frames: 3, within: 40_000 });
        return Date.now() - since;
      }),
    );
  };
  const end = async () => {
    await Promise.all([ann, bob].map((person) => person.call('disconnect')));
    await signal.close();
  };
  return { ann, bob, signal, lose, frames, end };
}

for (const browser of ['chromium', 'firefox']) {
  test(`UDP is blocked under a call of ${browser}`, { timeout: 90_000 }, async () => {
    const { bob, lose, frames, end } = await call(browser);
    lose(1);
    const back = await frames();
    console.log(`${browser}, UDP blocked both ways: ${back.join(' and ')} ms`);
    assert.ok(Math.max(...back) <= OVER_TCP_WITHIN, `frames after ${back.join(' and ')} ms`);
    assert.match(String((await bob.call('transport')).protocol), /tcp/i);
    await end();
  });

  for (const seconds of [5, 20, 40]) {
    test(`the network of ${browser} is gone for ${seconds} s`, { timeout: 150_000 }, async () => {
      const { bob, signal, lose, frames, end } = await call(browser);
      signal.refuse(true);
      signal.cut();
      lose(1);
      const since = Date.now();
      await until(() => Date.now() - since >= seconds * 1000, { within: seconds * 1000 + 5_000 });
      lose(0);
      signal.refuse(false);
      const back = await frames();
      console.log(`${browser}, gone for ${seconds} s: ${back.join(' and ')} ms`);
      const events = await bob.call('events');
      assert.ok(!events.some(({ name }) => name === 'Disconnected'), 'bob stays in the room');
      assert.ok(Math.max(...back) <= BACK_WITHIN, `frames after ${back.join(' and ')} ms`);
      await end();
    });
  }
}
