/**
 * The binary header of every data channel message, big-endian (docs/protocol.md):
 *
 * ```text
 * u8 version | u8 kind | u16 flags | [12] sender | u8 topic length | topic
 * u8 destination count | n x [12] destination | u32 stream id | u32 chunk index | payload
 * ```
 *
 * The sender is zero from a client and set by the server. Decoding never throws: what is no envelope gives undefined.
 */
import { DataError } from './errors';

const VERSION = 1;
/** Bytes of one message on a data channel, header included. */
export const MAX_MESSAGE = 65_536;
/** Bytes of one chunk of a stream: small enough that media and other messages get between. */
export const MAX_CHUNK = 15 * 1024;
const ID_BYTES = 12;
const PREFIX = 'PA_';
/** Version to flags, sender, topic length. */
const FIXED = 1 + 1 + 2 + ID_BYTES + 1;

/** What a message is. */
export const EnvelopeKind = {
  Packet: 0,
  Text: 1,
  StreamHeader: 2,
  StreamChunk: 3,
  StreamEnd: 4,
  RpcRequest: 5,
  RpcResponse: 6,
} as const;
export type EnvelopeKind = (typeof EnvelopeKind)[keyof typeof EnvelopeKind];

export interface Envelope {
  kind: EnvelopeKind;
  /** The participant's id; undefined from a client. */
  sender?: string | undefined;
  topic: string;
  /** Participant ids; empty: everybody. */
  destinations: readonly string[];
  streamId: number;
  chunkIndex: number;
  payload: Uint8Array;
}

export function encodeEnvelope(envelope: Envelope): Uint8Array<ArrayBuffer> {
  const topic = new TextEncoder().encode(envelope.topic);
  if (topic.length > 255) throw new DataError('tooLarge', 'a topic has at most 255 bytes');
  if (envelope.destinations.length > 255) throw new DataError('tooLarge', 'a message has at most 255 destinations');
  const length = FIXED + topic.length + 1 + envelope.destinations.length * ID_BYTES + 8 + envelope.payload.length;
  if (length > MAX_MESSAGE) throw new DataError('tooLarge', `a message has at most ${MAX_MESSAGE} bytes; send a file or a stream`);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  bytes[0] = VERSION;
  bytes[1] = envelope.kind;
  if (envelope.sender !== undefined) bytes.set(idBytes(envelope.sender), 4);
  bytes[FIXED - 1] = topic.length;
  bytes.set(topic, FIXED);
  let at = FIXED + topic.length;
  bytes[at++] = envelope.destinations.length;
  for (const destination of envelope.destinations) {
    bytes.set(idBytes(destination), at);
    at += ID_BYTES;
  }
  view.setUint32(at, envelope.streamId);
  view.setUint32(at + 4, envelope.chunkIndex);
  bytes.set(envelope.payload, at + 8);
  return bytes;
}

export function decodeEnvelope(bytes: Uint8Array): Envelope | undefined {
  if (bytes.length < FIXED + 1 + 8 || bytes[0] !== VERSION) return undefined;
  const kind = bytes[1]!;
  if (kind > EnvelopeKind.RpcResponse) return undefined;
  const topicEnd = FIXED + bytes[FIXED - 1]!;
  const count = bytes[topicEnd];
  if (count === undefined) return undefined;
  const tail = topicEnd + 1 + count * ID_BYTES;
  if (tail + 8 > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sender = bytes.subarray(4, 4 + ID_BYTES);
  return {
    kind: kind as EnvelopeKind,
    sender: sender.some((byte) => byte !== 0) ? idText(sender) : undefined,
    topic: new TextDecoder().decode(bytes.subarray(FIXED, topicEnd)),
    destinations: Array.from({ length: count }, (_, i) => idText(bytes.subarray(topicEnd + 1 + i * ID_BYTES, topicEnd + 1 + (i + 1) * ID_BYTES))),
    streamId: view.getUint32(tail),
    chunkIndex: view.getUint32(tail + 4),
    payload: bytes.subarray(tail + 8),
  };
}

function idBytes(id: string): Uint8Array {
  if (!/^PA_[0-9a-f]{24}$/.test(id)) throw new DataError('malformed', `no participant id: ${id}`);
  return Uint8Array.from({ length: ID_BYTES }, (_, i) => parseInt(id.slice(PREFIX.length + 2 * i, PREFIX.length + 2 * i + 2), 16));
}

function idText(bytes: Uint8Array): string {
  return PREFIX + Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
