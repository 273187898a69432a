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

/** Where chunks arrive. Chunks out of order mean that one was lost, which ends the stream. */
export class StreamSink {
  onProgress: ((fraction: number) => void) | undefined;
  private readonly chunks: Uint8Array<ArrayBuffer>[] = [];
  private next = 0;
  private received = 0;
  private outcome: 'open' | 'ended' | DataError = 'open';
  private waiting: Deferred<void> | undefined;

  constructor(readonly info: StreamInfo) {}

  /** False: the stream is over. */
  push(index: number, bytes: Uint8Array): boolean {
    if (this.outcome !== 'open') return false;
    if (index !== this.next) return this.fail(new DataError('malformed', `chunk ${index} came in place of ${this.next}`));
    const size = this.info.size;
    if (size !== undefined && this.received + bytes.length > size) return this.fail(new DataError('tooLarge', 'more bytes than announced'));
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

  fail(error: DataError): false {
    if (this.outcome === 'open') this.outcome = error;
    this.wake();
    return false;
  }

  /** The next chunk; undefined at the end. */
  async take(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    for (;;) {
      const chunk = this.chunks.shift();
      if (chunk) return chunk;
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

  /** Waits for the end and gives everything. Rejects when the sender gives up. */
  abstract readAll(): Promise<Whole>;
  abstract [Symbol.asyncIterator](): AsyncIterator<Piece>;
}

/** Reads a file. */
export class ByteStreamReader extends StreamReader<Uint8Array<ArrayBuffer>, Blob> {
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (let chunk = await this.sink.take(); chunk; chunk = await this.sink.take()) yield chunk;
  }

  async readAll(): Promise<Blob> {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for await (const chunk of this) chunks.push(chunk);
    return new Blob(chunks, { type: this.info.mimeType });
  }
}

/** Reads a text. */
export class TextStreamReader extends StreamReader<string, string> {
  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    const decoder = new TextDecoder();
    for (let chunk = await this.sink.take(); chunk; chunk = await this.sink.take()) {
      const text = decoder.decode(chunk, { stream: true });
      if (text !== '') yield text;
    }
  }

  async readAll(): Promise<string> {
    let text = '';
    for await (const piece of this) text += piece;
    return text;
  }
}
