/** The receiving end of a text or file. */
import { deferred } from './async';
import type { Deferred } from './async';
import { DataError } from './errors';

/** What a stream's header says. */
export interface StreamInfo {
  id: number;
  topic: string;
  name: string;
  mimeType: string;
  /** Bytes, where the sender knows. */
  size: number | undefined;
  /** Unix time in milliseconds, by the sender's clock. */
  timestamp: number;
  attributes: Record<string, string>;
}

/**
 * What all streams of one room may hold unread, in bytes. A sender does not wait for a slow reader, so what comes is kept; where
 * it is too much, the stream that was not read for longest ends, so that one that nobody reads does not end those that are read.
 */
export class ReadBudget {
  private held = 0;
  /** By when they were read last. */
  private readonly holders = new Map<StreamSink, number>();

  constructor(private readonly limit = 64 * 1024 * 1024) {}

  /** False: there is no room for it, and the stream is the one to end. */
  take(sink: StreamSink, bytes: number): boolean {
    while (this.held + bytes > this.limit) {
      const [longest] = this.holders.keys();
      if (!longest || longest === sink) return false;
      longest.fail(unread());
    }
    this.held += bytes;
    this.holders.set(sink, (this.holders.get(sink) ?? 0) + bytes);
    return true;
  }

  /** Bytes were read or dropped. */
  give(sink: StreamSink, bytes: number): void {
    const left = (this.holders.get(sink) ?? 0) - bytes;
    this.held -= bytes;
    this.holders.delete(sink);
    if (left > 0) this.holders.set(sink, left);
  }
}

function unread(): DataError {
  return new DataError('tooLarge', 'too much was sent that is not read');
}

/** How a stream is read as a whole. */
export interface ReadOptions {
  /** More bytes end the reading with `data_tooLarge`. Default 64 MiB; `Infinity` for as much as comes. */
  maxBytes?: number;
}

/** Bytes that `readAll` takes unless it is told otherwise. */
const READ_ALL_LIMIT = 64 * 1024 * 1024;

/** Where chunks arrive. Chunks out of order mean that one was lost, which ends the stream. */
export class StreamSink {
  onProgress: ((fraction: number) => void) | undefined;
  private readonly chunks: Uint8Array<ArrayBuffer>[] = [];
  private next = 0;
  private received = 0;
  private outcome: 'open' | 'ended' | DataError = 'open';
  private waiting: Deferred<void> | undefined;

  constructor(
    readonly info: StreamInfo,
    private readonly budget: ReadBudget,
  ) {}

  /** False: the stream is over. */
  push(index: number, bytes: Uint8Array): boolean {
    if (this.outcome !== 'open') return false;
    if (index !== this.next) return this.fail(new DataError('malformed', `chunk ${index} came in place of ${this.next}`));
    const size = this.info.size;
    if (size !== undefined && this.received + bytes.length > size) return this.fail(new DataError('tooLarge', 'more bytes than announced'));
    if (!this.budget.take(this, bytes.length)) return this.fail(unread());
    this.next++;
    this.received += bytes.length;
    this.chunks.push(bytes.slice());
    if (size) this.onProgress?.(this.received / size);
    this.wake();
    return true;
  }

  /** `reason` is empty, or JSON that says why the sender gave up. */
  end(reason: string): void {
    if (this.outcome !== 'open') return;
    const short = this.info.size !== undefined && this.received < this.info.size;
    this.outcome = reason !== '' || short ? new DataError('aborted', 'the sender gave up') : 'ended';
    this.wake();
  }

  /** What has come and was not read is dropped. */
  fail(error: DataError): false {
    // What has ended well and was read whole stays so.
    if (this.outcome === 'open' || (this.outcome === 'ended' && this.chunks.length > 0)) this.outcome = error;
    for (const chunk of this.chunks.splice(0)) this.budget.give(this, chunk.length);
    this.wake();
    return false;
  }

  /** The next chunk; undefined at the end. */
  async take(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    for (;;) {
      const chunk = this.chunks.shift();
      if (chunk) {
        this.budget.give(this, chunk.length);
        return chunk;
      }
      if (this.outcome === 'ended') return undefined;
      if (this.outcome !== 'open') throw this.outcome;
      this.waiting ??= deferred<void>();
      await this.waiting.promise;
    }
  }

  private wake(): void {
    this.waiting?.resolve();
    this.waiting = undefined;
  }
}

abstract class StreamReader<Piece, Whole> implements AsyncIterable<Piece> {
  constructor(protected readonly sink: StreamSink) {}

  get info(): StreamInfo {
    return this.sink.info;
  }

  /** Called with a fraction from 0 to 1, where the size is known. */
  set onProgress(listener: ((fraction: number) => void) | undefined) {
    this.sink.onProgress = listener;
  }

  /** Reads no further: what came is dropped, and what still comes is ignored. */
  cancel(): void {
    this.sink.fail(new DataError('aborted', 'the reading was cancelled'));
  }

  /** Waits for the end and gives everything. Rejects when the sender gives up, and where it is more than the options allow. */
  abstract readAll(options?: ReadOptions): Promise<Whole>;
  abstract [Symbol.asyncIterator](): AsyncIterator<Piece>;

  /** All chunks, as long as they are not too many; the announced size is not believed, but a larger one is refused at once. */
  protected async *limited({ maxBytes = READ_ALL_LIMIT }: ReadOptions): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    let bytes = this.info.size ?? 0;
    if (bytes <= maxBytes) {
      bytes = 0;
      for (let chunk = await this.sink.take(); chunk; chunk = await this.sink.take()) {
        bytes += chunk.length;
        if (bytes > maxBytes) break;
        yield chunk;
      }
    }
    if (bytes <= maxBytes) return;
    const error = new DataError('tooLarge', `more than ${maxBytes} bytes`);
    this.sink.fail(error);
    throw error;
  }
}

/** Reads a file. */
export class ByteStreamReader extends StreamReader<Uint8Array<ArrayBuffer>, Blob> {
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (let chunk = await this.sink.take(); chunk; chunk = await this.sink.take()) yield chunk;
  }

  async readAll(options: ReadOptions = {}): Promise<Blob> {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for await (const chunk of this.limited(options)) chunks.push(chunk);
    return new Blob(chunks, { type: this.info.mimeType });
  }
}

/** Reads a text. */
export class TextStreamReader extends StreamReader<string, string> {
  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    yield* decoded(this.limited({ maxBytes: Infinity }));
  }

  async readAll(options: ReadOptions = {}): Promise<string> {
    let text = '';
    for await (const piece of decoded(this.limited(options))) text += piece;
    return text;
  }
}

async function* decoded(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk, { stream: true });
    if (text !== '') yield text;
  }
}
