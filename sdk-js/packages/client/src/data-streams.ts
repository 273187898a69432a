/**
 * Texts and files over the reliable channel. A short text is one message; what is longer, and every file, is a stream: a
 * header, chunks with rising index, an end. A receiver reads a stream while it comes.
 */
import type { DataChannels } from './data-channels';
import { DataError } from './errors';
import { EnvelopeKind, MAX_CHUNK } from './envelope';
import type { Envelope } from './envelope';
import { log } from './log';
import type { SendFileOptions } from './options';
import { ByteStreamReader, ReadBudget, StreamSink, TextStreamReader } from './stream-reader';
import type { StreamInfo } from './stream-reader';

/** Streams of one sender that may be open at once; more are ignored, so that nobody can fill our memory with headers. */
const MAX_OPEN_STREAMS = 64;

/** Topics without a handler that are warned of; their names come from others. */
const MAX_WARNINGS = 20;

export type StreamHandler<R> = (reader: R, sender: string | undefined) => void;

export class DataStreams {
  readonly textHandlers = new Map<string, StreamHandler<TextStreamReader>>();
  readonly byteHandlers = new Map<string, StreamHandler<ByteStreamReader>>();
  private readonly sinks = new Map<string, StreamSink>();
  private readonly budget = new ReadBudget();
  private readonly unheard = new Set<string>();

  /** A message of kind text or stream. */
  handle(envelope: Envelope): void {
    const key = `${envelope.sender ?? ''}/${envelope.streamId}`;
    switch (envelope.kind) {
      case EnvelopeKind.Text:
        return this.handleText(envelope);
      case EnvelopeKind.StreamHeader:
        return this.handleHeader(envelope, key);
      case EnvelopeKind.StreamChunk:
        if (this.sinks.get(key)?.push(envelope.chunkIndex, envelope.payload) === false) this.sinks.delete(key);
        return;
      case EnvelopeKind.StreamEnd:
        this.sinks.get(key)?.end(new TextDecoder().decode(envelope.payload));
        this.sinks.delete(key);
    }
  }

  /** Streams of a participant who left, or of all, end with an error. */
  abort(sender?: string): void {
    for (const [key, sink] of this.sinks) {
      if (sender !== undefined && !key.startsWith(`${sender}/`)) continue;
      sink.fail(new DataError('aborted', 'the sender is gone'));
      this.sinks.delete(key);
    }
  }

  private handleText(envelope: Envelope): void {
    const info = infoOf(envelope, { mimeType: 'text/plain', size: envelope.payload.length });
    const sink = new StreamSink(info, this.budget);
    this.open(this.textHandlers, info.topic, new TextStreamReader(sink), envelope.sender);
    sink.push(0, envelope.payload);
    sink.end('');
  }

  private handleHeader(envelope: Envelope, key: string): void {
    const header = parseJson(envelope.payload);
    const open = [...this.sinks.keys()].filter((it) => it.startsWith(`${envelope.sender ?? ''}/`)).length;
    if (!header || this.sinks.has(key) || open >= MAX_OPEN_STREAMS) return log.debug('a stream header was ignored');
    const info = infoOf(envelope, header);
    const sink = new StreamSink(info, this.budget);
    const opened =
      header['text'] === true
        ? this.open(this.textHandlers, info.topic, new TextStreamReader(sink), envelope.sender)
        : this.open(this.byteHandlers, info.topic, new ByteStreamReader(sink), envelope.sender);
    if (opened) this.sinks.set(key, sink);
  }

  private open<R>(handlers: Map<string, StreamHandler<R>>, topic: string, reader: R, sender: string | undefined): boolean {
    const handler = handlers.get(topic);
    if (!handler) {
      this.warnOnce(topic, handlers === this.textHandlers ? 'registerTextStreamHandler' : 'registerByteStreamHandler');
      return false;
    }
    try {
      handler(reader, sender);
    } catch (error) {
      log.error(`the stream handler of topic ${topic} failed`, error);
    }
    return true;
  }

  /** What comes under a topic that nobody reads is dropped, which the application should know. */
  private warnOnce(topic: string, method: string): void {
    if (this.unheard.size >= MAX_WARNINGS || this.unheard.has(`${method} ${topic}`)) return;
    this.unheard.add(`${method} ${topic}`);
    log.warn(`something came under the topic ${JSON.stringify(topic)} and was dropped: ${method} reads it`);
  }
}

/** The sender's strings, as far as they are strings. */
function strings(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

/** Sends a text; in one message where it fits. */
export async function sendText(channels: DataChannels, text: string, topic: string, destinations: readonly string[]): Promise<void> {
  const payload = new TextEncoder().encode(text);
  if (payload.length > MAX_CHUNK) {
    await sendStream(channels, new Blob([payload]), { text: true, mimeType: 'text/plain' }, { topic }, destinations);
    return;
  }
  await channels.send({ kind: EnvelopeKind.Text, topic, destinations, streamId: randomId(), chunkIndex: 0, payload });
}

/** Sends a file or other bytes as a stream; returns its id. */
export async function sendStream(
  channels: DataChannels,
  blob: Blob,
  header: Record<string, unknown>,
  options: SendFileOptions,
  destinations: readonly string[],
): Promise<number> {
  const streamId = randomId();
  const base = { topic: options.topic ?? '', destinations, streamId };
  const message = (kind: EnvelopeKind, payload: Uint8Array, chunkIndex = 0): Envelope => ({ ...base, kind, chunkIndex, payload });
  const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const described = { ...header, size: blob.size, timestamp: Date.now() };
  await channels.send(message(EnvelopeKind.StreamHeader, json(described)), true, options.signal);
  try {
    for (let offset = 0, index = 0; offset < blob.size; offset += MAX_CHUNK, index++) {
      const chunk = new Uint8Array(await blob.slice(offset, offset + MAX_CHUNK).arrayBuffer());
      await channels.send(message(EnvelopeKind.StreamChunk, chunk, index), true, options.signal);
      options.onProgress?.((offset + chunk.length) / blob.size);
    }
  } catch (error) {
    await channels.send(message(EnvelopeKind.StreamEnd, json({ error: 'aborted' }))).catch(() => undefined);
    throw error;
  }
  await channels.send(message(EnvelopeKind.StreamEnd, new Uint8Array()));
  if (blob.size === 0) options.onProgress?.(1);
  return streamId;
}

/** A random id for a stream or call: unique among what one sender has open. */
export function randomId(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

function infoOf(envelope: Envelope, header: Record<string, unknown>): StreamInfo {
  const text = (key: string): string => (typeof header[key] === 'string' ? header[key] : '');
  const number = (key: string): number | undefined => (typeof header[key] === 'number' && header[key] >= 0 ? header[key] : undefined);
  return {
    id: envelope.streamId,
    topic: envelope.topic,
    name: text('name'),
    mimeType: text('mimeType'),
    size: number('size'),
    timestamp: number('timestamp') ?? Date.now(),
    attributes: strings(header['attributes']),
  };
}

function parseJson(payload: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(payload));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
