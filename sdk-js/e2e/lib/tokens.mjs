// Tokens, minted by LiveKit's own library: people have code that uses it.

import { AccessToken } from 'livekit-server-sdk';

import { DEV_KEY } from './server.mjs';

/** A token for a room; `grant` adds to the video grant. */
export async function mint(room, identity, { name = identity, ttl = '10m', key = DEV_KEY, grant = {}, ...options } = {}) {
  const token = new AccessToken(key.key, key.secret, { identity, name, ttl, ...options });
  token.addGrant({ roomJoin: true, room, ...grant });
  return token.toJwt();
}

let rooms = 0;

/** A room's name that no other test uses. */
export function freshRoom() {
  return `room-${process.pid}-${++rooms}`;
}
