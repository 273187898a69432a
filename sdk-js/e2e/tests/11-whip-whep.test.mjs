// WHIP and WHEP with aiortc: what it publishes is seen in a browser in the room, and the other way round.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { AiortcClient, prepareAiortc } from '../lib/aiortc.mjs';
import { Cast, hears, seesFrames } from '../lib/cast.mjs';
import { freshRoom, mint } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

let cast;
const clients = [];
before(async () => {
  await prepareAiortc();
  cast = await Cast.start();
}, { timeout: 180_000 });
after(async () => {
  for (const client of clients) client.kill();
  await cast?.end();
});

function client(...args) {
  const made = new AiortcClient(...args);
  clients.push(made);
  return made;
}

test('what aiortc publishes over WHIP is seen and heard in both browsers', { timeout: 120_000 }, async () => {
  const room = freshRoom();
  const viewers = [
    await cast.join(room, 'bob', { publish: false, options: { colours: true } }),
    await cast.join(room, 'fox', { browser: 'firefox', publish: false, options: { colours: true } }),
  ];
  const whip = client('whip.py', `${cast.server.http}/whip/${room}`, await mint(room, 'whip'));
  await whip.value('resource');
  for (const viewer of viewers) {
    await seesFrames(viewer, 'whip', { frames: 30 });
    await hears(viewer, 'whip');
    assert.deepEqual(Object.keys((await viewer.call('coloursByIdentity')).whip), ['blue']);
  }
  assert.equal(await whip.hangUp(), 200, 'DELETE ends it');
  for (const viewer of viewers) {
    await until(async () => !(await viewer.call('snapshot')).participants.some((one) => one.identity === 'whip'), { what: `${viewer.identity} to see the publisher leave` });
  }
});

test('what a browser publishes is seen and heard by aiortc over WHEP', { timeout: 120_000 }, async () => {
  const room = freshRoom();
  const ann = await cast.join(room, 'ann', { colour: 'green' });
  await ann.call('setMicrophone', true);
  const whep = client('whep.py', `${cast.server.http}/whep/${room}`, await mint(room, 'whep'), 30, 20);
  assert.ok((await whep.value('video', 30_000)) >= 30, `frames: ${JSON.stringify(whep.said)}`);
  assert.ok((await whep.value('audio')) >= 30);
  assert.ok((await whep.value('peak')) > 100, 'there is sound');
  assert.equal(await whep.value('colour'), 'green');
  assert.equal(await whep.value('deleted'), 200);
});

test('preflight requests are answered', async () => {
  const options = await fetch(`${cast.server.http}/whip/room`, { method: 'OPTIONS', headers: { origin: 'https://example.org', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' } });
  assert.ok(options.status === 200 || options.status === 204, `OPTIONS: ${options.status}`);
});
