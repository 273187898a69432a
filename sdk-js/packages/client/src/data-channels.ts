/** The two data channels of a session: backpressure on the way out, envelopes on the way in. */
import { abortable, deferred } from './async';
import type { Deferred } from './async';
import { DataError } from './errors';
import { decodeEnvelope, encodeEnvelope } from './envelope';
import type { Envelope } from './envelope';
import { log } from './log';

/** Bytes that may wait in a channel before senders have to. */
const HIGH_WATER = 256 * 1024;
/** Bytes at which they may go on. */
const LOW_WATER = 64 * 1024;

export type EnvelopeHandler = (envelope: Envelope, reliable: boolean) => void;

export class DataChannels {
  private readonly ended = deferred<never>();
  private room: Deferred<void> | undefined;

  constructor(
    private readonly reliable: RTCDataChannel,
    private readonly lossy: RTCDataChannel,
    private readonly handle: EnvelopeHandler,
  ) {
    this.ended.promise.catch(() => undefined);
    for (const channel of [reliable, lossy]) {
      channel.bufferedAmountLowThreshold = LOW_WATER;
      channel.onmessage = ({ data }: MessageEvent<unknown>) => this.receive(data, channel === reliable);
    }
    reliable.onbufferedamountlow = () => {
      this.room?.resolve();
      this.room = undefined;
    };
  }

  /** Sends one envelope. Reliable ones wait while too much is under way; lossy ones are dropped then, as a network would. */
  async send(envelope: Envelope, reliable = true, signal?: AbortSignal): Promise<void> {
    const channel = reliable ? this.reliable : this.lossy;
    const bytes = encodeEnvelope(envelope);
    await this.whenOpen(channel, signal);
    if (!reliable && channel.bufferedAmount > HIGH_WATER) return;
    while (reliable && channel.bufferedAmount > HIGH_WATER) {
      this.room ??= deferred<void>();
      await this.orEnd(this.room.promise, signal);
    }
    if (signal?.aborted) throw new DataError('aborted', 'sending was aborted', { cause: signal.reason });
    if (channel.readyState !== 'open') throw closed();
    channel.send(bytes);
  }

  close(): void {
    this.ended.reject(closed());
    for (const channel of [this.reliable, this.lossy]) channel.onmessage = channel.onopen = channel.onclose = null;
  }

  private async whenOpen(channel: RTCDataChannel, signal?: AbortSignal): Promise<void> {
    if (channel.readyState === 'open') return;
    if (channel.readyState !== 'connecting') throw closed();
    const opened = deferred<void>();
    channel.addEventListener('open', () => opened.resolve(), { once: true });
    channel.addEventListener('close', () => opened.reject(closed()), { once: true });
    await this.orEnd(opened.promise, signal);
  }

  private orEnd<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
    const raced = Promise.race([work, this.ended.promise]);
    if (!signal) return raced;
    return abortable(raced, signal).catch((error: unknown) => {
      throw signal.aborted ? new DataError('aborted', 'sending was aborted', { cause: error }) : error;
    });
  }

  private receive(data: unknown, reliable: boolean): void {
    const envelope = data instanceof ArrayBuffer ? decodeEnvelope(new Uint8Array(data)) : undefined;
    if (envelope) this.handle(envelope, reliable);
    else log.warn('a data message that is no envelope');
  }
}

function closed(): DataError {
  return new DataError('closed', 'the data channel is not open');
}
