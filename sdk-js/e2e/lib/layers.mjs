// What the scenarios of adaptation wait for: a layer by its width, a stream that stands still, what a publisher encodes.

import assert from 'node:assert/strict';

import { explain } from './explain.mjs';
import { throughout, until } from './until.mjs';

/** 720p: what the three layers of a camera measure. */
export const LOW = 320;
export const MIDDLE = 640;
export const HIGH = 1280;

/** A camera of three layers, slow enough for four pages on two cores. */
export const CAMERA = { width: 1280, height: 720, frameRate: 15, audio: false };

/** Room options of everybody here. */
export const ADAPTIVE = { room: { adaptiveStream: true, dynacast: true } };

/** Shows somebody's camera at `width` CSS pixels, 16:9; pages are 1280x720 at one device pixel each. */
export async function showAt(person, identity, width) {
  const style = { display: '', position: '', top: '', width: `${width}px`, height: `${(width * 9) / 16}px` };
  const elements = await until(() => person.call('styleVideo', identity, style), { what: `${person.identity} to have an element of ${identity}` });
  assert.equal(elements, 1);
}

/** Everything that tells why a picture is as it is, for a failure's message. */
async function story(person, identity, publisher) {
  const received = await person.call('receivedVideo', identity);
  const sent = publisher ? await publisher.call('sentVideo') : 'not asked';
  const why = await explain(person, identity).catch(String);
  const parts = { received, sent, why, problems: person.problems };
  return Object.entries(parts).map(([name, value]) => `\n  ${name}: ${JSON.stringify(value)}`).join('');
}

/**
 * The width that `person` has of `identity` now; undefined: nothing. Of AV1 it is what the server sends: dav1d gives out each spatial
 * layer of a keyframe, so that the browser's `frameWidth` is now and then that of a lower one.
 */
async function widthOf(person, identity, received) {
  if (received?.codec !== 'video/AV1') return received?.frameWidth;
  return (await explain(person, identity)).subscription?.flowing?.width;
}

/** Waits until `person` decodes `identity` at one of these widths; gives the milliseconds that it took. */
export async function getsWidth(person, identity, widths, { within = 10_000, publisher } = {}) {
  const startedAt = Date.now();
  let seen;
  const arrives = async () => {
    const now = await person.call('receivedVideo', identity);
    const decodes = now && seen && now.framesDecoded > seen.framesDecoded;
    seen = now;
    return decodes && widths.includes(await widthOf(person, identity, now));
  };
  await until(arrives, { within, every: 100, what: async () => `${widths} px: ${await story(person, identity, publisher)}` });
  return Date.now() - startedAt;
}

/** For `milliseconds`, `person` goes on with one of these widths. */
export async function keepsWidth(person, identity, widths, milliseconds, { publisher } = {}) {
  const holds = async () => widths.includes(await widthOf(person, identity, await person.call('receivedVideo', identity)));
  await throughout(milliseconds, holds, { every: 200, what: async () => `${widths} px: ${await story(person, identity, publisher)}` });
}

/** Waits until `person` has had one of these widths for so many milliseconds on end. */
export async function settlesAt(person, identity, widths, milliseconds, { within = 30_000, publisher } = {}) {
  let since = Date.now();
  const stands = async () => {
    if (!widths.includes(await widthOf(person, identity, await person.call('receivedVideo', identity)))) since = Date.now();
    return Date.now() - since >= milliseconds;
  };
  await until(stands, { within, every: 200, what: async () => `${widths} px for ${milliseconds} ms: ${await story(person, identity, publisher)}` });
}

/** Waits until nothing more of `identity`'s video arrives; gives the milliseconds until its last byte, to about 100. */
export async function getsNothing(person, identity, { within = 2_500, still = 600 } = {}) {
  const startedAt = Date.now();
  let bytes;
  let since = startedAt;
  const stands = async () => {
    const now = (await person.call('receivedVideo', identity))?.bytesReceived;
    if (now !== bytes) [bytes, since] = [now, Date.now()];
    return Date.now() - since >= still;
  };
  await until(stands, { within: within + still, every: 100, what: async () => `silence: ${await story(person, identity)}` });
  return since - startedAt;
}

/** Frames that are encoded now by RID, between two looks. */
async function encoding(publisher, between = 250) {
  const frames = async () => Object.fromEntries((await publisher.call('sentVideo')).map(({ rid, framesEncoded }) => [rid, framesEncoded]));
  const before = await frames();
  await new Promise((done) => setTimeout(done, between));
  const after = await frames();
  return Object.keys(after).filter((rid) => after[rid] > (before[rid] ?? 0)).sort();
}

/** Waits until `publisher` encodes exactly these RIDs; gives the milliseconds that it took, with those of one look. */
export async function encodes(publisher, rids, { within = 2_000 } = {}) {
  const startedAt = Date.now();
  const wanted = [...rids].sort().join();
  let found;
  await until(async () => (found = await encoding(publisher)).join() === wanted, {
    within,
    every: 0,
    what: async () => `${publisher.identity} to encode ${wanted || 'nothing'}; it encodes ${found}: ${JSON.stringify(await publisher.call('sentVideo'))}`,
  });
  return Date.now() - startedAt;
}

/** Waits until the server gives one of `limits` as what keeps the picture from being better; gives what it says of it. */
export async function isLimitedBy(person, identity, limits, { within = 3_000 } = {}) {
  let said;
  await until(async () => (said = await explain(person, identity)).subscription && limits.includes(said.subscription.limit), {
    within,
    every: 200,
    what: () => `${person.identity} to be limited by ${limits}; it is said ${JSON.stringify(said)}`,
  });
  assert.match(said.subscription.reason, /\w+: .*\w+/, 'it is said in words');
  return said;
}

/** Gaps between frames count from now on. */
export async function startWatching(people) {
  await Promise.all(people.map((person) => person.call('restartWatches')));
}

/** Nobody's picture stood still for longer since `startWatching`. */
export async function assertSmooth(people, identity, longest = 500) {
  for (const person of people) {
    const { participants } = await person.call('snapshot');
    const { maxGap, sinceLastFrame, frames } = participants.find((one) => one.identity === identity).tracks.find(({ source }) => source === 'camera');
    assert.ok(frames > 1, `${person.identity} was watched`);
    assert.ok(Math.max(maxGap, sinceLastFrame) <= longest, `${person.identity}'s picture stood still for ${maxGap} ms (${sinceLastFrame} since the last frame)`);
  }
}
