/** Names for the parts of the generated wire types that the SDK speaks of. */
import type { ClientMessage } from './generated/ClientMessage';
import type { ServerMessage } from './generated/ServerMessage';

/** The protocol version that this SDK speaks. */
export const PROTOCOL_VERSION = 1;

type WithoutKey<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** What can be asked. */
export type Request = WithoutKey<ClientMessage, 'id'>;
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
  slots: ReplyOf<'ok'>;
  slots_ack: ReplyOf<'ok'>;
  update: ReplyOf<'ok'>;
  leave: ReplyOf<'ok'>;
}

/** The WebSocket address for a server's address: `https` becomes `wss`; the token rides in the query. */
export function signalUrl(server: string, token: string): string {
  const url = new URL(server);
  if (url.protocol === 'http:') url.protocol = 'ws:';
  if (url.protocol === 'https:') url.protocol = 'wss:';
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/rtc`;
  url.searchParams.set('access_token', token);
  return url.href;
}

/** The same endpoint over HTTP, to learn why a WebSocket was refused; browsers do not tell. */
export function probeUrl(server: string, token: string): string {
  return signalUrl(server, token).replace(/^ws/, 'http');
}
