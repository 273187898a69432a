// Redundant audio: Chromium sends it where it is asked to, who knows it receives it whole, and who does not hears it all the same.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cast, hears } from '../lib/cast.mjs';
import { freshRoom } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const LOUD = 0.3;
/** Packets of 20 ms: two seconds. */
const PACKETS = 100;

let cast;
before(async () => (cast = await Cast.start()));
after(() => cast?.end());

/** Bytes a packet over the next {@link PACKETS} of what `read` gives as `{ packets, bytes }`. */
async function bytesPerPacket(read, what) {
  const before = await until(read, { what });
  const enough = async () => {
    const now = await read();
    return now.packets - before.packets >= PACKETS ? now : undefined;
  };
  const now = await until(enough, { what });
  return (now.bytes - before.bytes) / (now.packets - before.packets);
}

const sentBy = (person) => async () => {
  const sent = await person.call('sentAudio');
  return sent && { packets: sent.packetsSent, bytes: sent.bytesSent };
};

const receivedBy = (person) => async () => {
  const stream = (await person.call('inbound')).find(({ identity, kind }) => identity === 'ann' && kind === 'audio');
  return stream && { packets: stream.packetsReceived, bytes: stream.bytesReceived };
};

async function publishes(red) {
  const room = freshRoom();
  const ann = await cast.join(room, 'ann', { publish: false });
  await ann.call('publishTone', 440, red === undefined ? {} : { red });
  await ann.call('setLoudness', LOUD);
  return ann;
}

test('redundant audio is sent where it is asked for', { timeout: 60_000 }, async (t) => {
  const [plain, redundant] = [await publishes(), await publishes(true)];
  const codecs = await Promise.all([plain, redundant].map(async (person) => (await until(() => person.call('sentAudio'), { what: 'audio to be sent' })).codec));
  assert.deepEqual(codecs.map((codec) => codec.toLowerCase()), ['audio/opus', 'audio/red']);
  const [less, more] = [await bytesPerPacket(sentBy(plain), 'plain audio'), await bytesPerPacket(sentBy(redundant), 'redundant audio')];
  t.diagnostic(`bytes a packet: ${Math.round(less)} plain, ${Math.round(more)} redundant`);
  assert.ok(more > 1.6 * less, `each packet repeats the one before: ${more} bytes and ${less}`);
  await Promise.all([plain, redundant].map((person) => person.close()));
});

test('who knows no redundant audio hears it without', { timeout: 60_000 }, async (t) => {
  const ann = await publishes(true);
  const bob = await cast.join(ann.room, 'bob', { publish: false });
  const fox = await cast.join(ann.room, 'fox', { browser: 'firefox', publish: false });
  for (const person of [bob, fox]) await hears(person, 'ann');
  const [whole, primary] = await Promise.all([bob, fox].map((person) => bytesPerPacket(receivedBy(person), `${person.identity} to receive audio`)));
  t.diagnostic(`bytes a packet: ${Math.round(whole)} at Chromium, ${Math.round(primary)} at Firefox`);
  assert.ok(whole > 1.6 * primary, `Chromium receives it whole, Firefox its newest part: ${whole} bytes and ${primary}`);
  await Promise.all([ann, bob, fox].map((person) => person.close()));
});
