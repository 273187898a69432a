/**
 * Sends VP8 where the codec that was asked for cannot be sent: the browser has no encoder, refuses its parameters, or has
 * one that never delivers a frame. Every browser can send VP8.
 */
import { log } from './log';
import type { LocalTrackPublication } from './publication';
import type { VideoCodec } from './types';

/** Why another codec is sent. */
export type CodecFallbackReason =
  /** The browser cannot encode it, or not well. */
  | 'unsupported'
  /** The browser refused to send with it. */
  | 'refused'
  /** The encoder delivered nothing. */
  | 'encoder';

/** Milliseconds between looks at an encoder. */
const INTERVAL = 2000;
/** Looks without a frame after which an encoder counts as broken. */
const PATIENCE = 3;

/** What an encoder was given and has made. */
interface Progress {
  /** Frames of the source; undefined: the browser does not tell. */
  given: number | undefined;
  encoded: number;
}

/** Watches encoders until their first frame. */
export class EncoderWatch {
  private readonly timers = new Map<LocalTrackPublication, ReturnType<typeof setInterval>>();

  constructor(private readonly broken: (publication: LocalTrackPublication) => void) {}

  /** Calls `broken` if the publication's encoder has a source and makes nothing of it. */
  watch(publication: LocalTrackPublication): void {
    this.forget(publication);
    let before: Progress = { given: undefined, encoded: 0 };
    let idle = 0;
    const look = async (): Promise<void> => {
      const sender = publication.track.sender;
      if (!sender || publication.isMuted || !isActive(sender)) return void (idle = 0);
      const now = await progressOf(sender).catch(() => undefined);
      if (!now || !this.timers.has(publication)) return;
      if (now.encoded > 0) return this.forget(publication);
      const fed = now.given === undefined || now.given > (before.given ?? now.given);
      before = now;
      idle = fed ? idle + 1 : 0;
      if (idle < PATIENCE) return;
      this.forget(publication);
      this.broken(publication);
    };
    this.timers.set(publication, setInterval(() => void look(), INTERVAL));
  }

  forget(publication: LocalTrackPublication): void {
    clearInterval(this.timers.get(publication));
    this.timers.delete(publication);
  }
}

/** Says it to whoever reads logs. */
export function warnOfFallback(source: string, from: VideoCodec, reason: CodecFallbackReason): void {
  const why = { unsupported: 'this browser cannot send it well', refused: 'this browser refused it', encoder: 'its encoder delivers nothing' };
  log.warn(`${source} is sent as VP8 in place of ${from.toUpperCase()}: ${why[reason]}`);
}

function isActive(sender: RTCRtpSender): boolean {
  const { encodings = [] } = sender.getParameters();
  const connected = sender.transport?.state === 'connected';
  return connected && (encodings.length === 0 || encodings.some(({ active }) => active));
}

async function progressOf(sender: RTCRtpSender): Promise<Progress> {
  const progress: Progress = { given: undefined, encoded: 0 };
  (await sender.getStats()).forEach((it: { type: string; frames?: number; framesEncoded?: number }) => {
    if (it.type === 'media-source') progress.given = it.frames;
    if (it.type === 'outbound-rtp') progress.encoded += it.framesEncoded ?? 0;
  });
  return progress;
}
