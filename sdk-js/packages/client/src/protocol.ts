/** Names for the parts of the generated wire types that the SDK speaks of. */
import { ConnectionError } from './errors';
import type { Request, ServerMessage } from './generated/protocol';

export { PROTOCOL_VERSION } from './generated/protocol';
export type { Request } from './generated/protocol';

/** What can be asked. */
export type RequestType = Request['type'];
export type RequestOf<T extends RequestType> = Extract<Request, { type: T }>;

/** An answer, with the id of its request. */
export type ReplyMessage = Extract<ServerMessage, { id: number }>;
export type ReplyType = ReplyMessage['type'];
export type ReplyOf<T extends ReplyType> = Extract<ReplyMessage, { type: T }>;

/** What happened in the room, with its number. */
export type EventMessage = Extract<ServerMessage, { seq: number }>;
export type EventType = EventMessage['type'];
export type EventOf<T extends EventType> = Extract<EventMessage, { type: T }>;

/** The answer that each request gets when it works. */
export interface Replies {
  join: ReplyOf<'joined'>;
  resume: ReplyOf<'resumed'>;
  offer: ReplyOf<'answer'>;
  publish: ReplyOf<'published'>;
  stats: ReplyOf<'stats'>;
  ping: ReplyOf<'pong'>;
  candidate: ReplyOf<'ok'>;
  unpublish: ReplyOf<'ok'>;
  mute: ReplyOf<'ok'>;
  subscribe: ReplyOf<'ok'>;
  unsubscribe: ReplyOf<'ok'>;
  configure: ReplyOf<'ok'>;
  slots: ReplyOf<'ok'>;
  slots_ack: ReplyOf<'ok'>;
  update: ReplyOf<'ok'>;
  leave: ReplyOf<'ok'>;
}

/** How a WebSocket is let in: by a token, or, to be resumed, by the session's id; the secret follows in `resume`. */
export type Admission = { access_token: string } | { session: string };

/** The WebSocket address for a server's address: `https` becomes `wss`; the admission rides in the query. */
export function signalUrl(server: string, admission: Admission): string {
  const url = serverUrl(server);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/rtc`;
  for (const [key, value] of Object.entries(admission)) url.searchParams.set(key, String(value));
  return url.href;
}

/** A server's address as a WebSocket one. */
function serverUrl(server: string): URL {
  let url: URL;
  try {
    url = new URL(server);
  } catch (cause) {
    throw new ConnectionError('invalidUrl', `${JSON.stringify(server)} is no address of a server; wss://sfu.example.com is one`, { cause });
  }
  if (url.protocol === 'http:') url.protocol = 'ws:';
  if (url.protocol === 'https:') url.protocol = 'wss:';
  if (url.protocol === 'ws:' || url.protocol === 'wss:') return url;
  throw new ConnectionError('invalidUrl', `a server's address begins with wss:, ws:, https: or http:, not with ${url.protocol}`);
}

/** The same endpoint over HTTP, to learn why a WebSocket was refused; browsers do not tell. */
export function probeUrl(server: string, admission: Admission): string {
  return signalUrl(server, admission).replace(/^ws/, 'http');
}
