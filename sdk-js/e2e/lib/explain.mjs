// What the server says about who is sent what, and why.

import { mint } from './tokens.mjs';

/** The whole answer for a room. */
export async function explainRoom(server, room) {
  const token = await mint(room, 'operator', { grant: { roomJoin: false, roomAdmin: true } });
  const response = await fetch(`${server.http}/v1/rooms/${room}/explain`, { headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`explain: ${response.status} ${await response.text()}`);
  return response.json();
}

/** What is said of `viewer`, and of the camera of `identity` that is sent there; undefined where there is no such thing. */
export async function explain(viewer, identity) {
  const { participants } = await explainRoom(viewer.server, viewer.room);
  const participant = participants.find((one) => one.identity === viewer.identity);
  const subscription = participant?.subscriptions.find((one) => one.publisherIdentity === identity && one.source === 'camera');
  return { participant, subscription };
}
