/**
 * How a room comes back by itself.
 *
 * | What is lost | What happens | State of the room |
 * |---|---|---|
 * | the WebSocket | resumed with backoff (`signal-client.ts`), media flows on. An answer that cannot get better (`session_gone`, a refused token) ends the resume | `signalReconnecting` |
 * | the media path | an ICE restart that media must confirm (`path-guard.ts`) | `reconnecting` |
 * | either for good, or `disconnected` with `server_shutdown`, `media_failed`, `media_restarted`, `signal_lost` | **a new join**, at once or when the server said | `reconnecting` |
 * | `disconnected` with another reason | the room ends: somebody wanted that | `disconnected` |
 *
 * A new join has a new peer connection and new ids for everything. It takes along what the application made of the room: tracks
 * and their mute state, codecs, name, metadata and attributes, pins, subscriptions and settings of others' tracks. `Reconnected`
 * follows when the room is as it was. The server's no, {@link MAX_WITHOUT_MEDIA} joins without media, or the policy ends it.
 */
import { sleepUnlessOnline } from './async';
import { ConnectionError } from './errors';
import { log } from './log';
import { askFirst } from './probe';
import type { EventOf } from './protocol';
import type { ReconnectPolicy } from './reconnect-policy';
import { isFinal } from './signal-socket';
import { DisconnectReason, disconnectReason } from './types';

/** Joins in a row without media after which media counts as impossible here. */
const MAX_WITHOUT_MEDIA = 4;
/** Milliseconds within which the clients of one failure spread their joins. */
const JITTER = 500;

/** Why a room has to join anew. */
export interface Loss {
  /** What the room says if it never comes back. */
  reason: DisconnectReason;
  /** Milliseconds before the first attempt. */
  after: number;
  error: unknown;
  /** The next join tries media over TCP alone. */
  onlyTcp?: boolean;
}

/** What the end of a session by the server calls for; `undefined`: the room ends. */
export function lossOf(event: EventOf<'disconnected'>, random: () => number = Math.random): Loss | undefined {
  const reason: string = event.reason;
  if (!['server_shutdown', 'media_failed', 'media_restarted', 'signal_lost'].includes(reason)) return undefined;
  const after = (event.retryAfterMs ?? 0) + random() * JITTER;
  return { reason: disconnectReason(event.reason), after, error: new ConnectionError('refused', event.message, { code: reason, retryable: true }) };
}

/** What a session that ended by itself calls for. */
export function lossBy(error: unknown): Loss {
  const isMedia = error instanceof ConnectionError && error.reason === 'mediaFailed';
  return { reason: isMedia ? DisconnectReason.MediaFailed : DisconnectReason.SignalLost, after: 0, error, onlyTcp: isMedia && error.code === 'no_media_passes' };
}

/** What one attempt needs. */
export interface Attempt {
  onlyTcp: boolean;
  signal: AbortSignal;
}

export interface RecoverySetup {
  policy: ReconnectPolicy;
  target: () => { url: string; token: string };
  join: (attempt: Attempt) => Promise<void>;
}

/** The new joins of one room. */
export class Recovery {
  private withoutMedia = 0;
  private wasOnlyTcp = false;

  constructor(private readonly setup: RecoverySetup) {}

  /** Joins until it works. Resolves with the reason to end the room where it does not; rejects when it is aborted. */
  async rejoin(loss: Loss, hadMedia: boolean, signal: AbortSignal): Promise<DisconnectReason | undefined> {
    const isMedia = loss.reason === DisconnectReason.MediaFailed;
    this.withoutMedia = isMedia && !hadMedia ? this.withoutMedia + 1 : 0;
    if (this.withoutMedia >= MAX_WITHOUT_MEDIA) return loss.reason;
    const onlyTcp = loss.onlyTcp ?? false;
    this.wasOnlyTcp = onlyTcp || (this.withoutMedia > 0 && !this.wasOnlyTcp);
    const since = Date.now();
    let { error } = loss;
    for (let attempt = 0; ; attempt++) {
      const delay = this.setup.policy.nextDelay({ attempt, elapsed: Date.now() - since, error });
      if (delay === null) return loss.reason;
      await sleepUnlessOnline(attempt === 0 ? Math.max(delay, loss.after) : delay, signal);
      try {
        const { url, token } = this.setup.target();
        await askFirst(url, { access_token: token }, attempt, signal);
        await this.setup.join({ onlyTcp: this.wasOnlyTcp, signal });
        return undefined;
      } catch (failure) {
        if (signal.aborted) throw failure;
        log.info('a new join failed', failure);
        // The answer may have had nothing but UDP after all.
        this.wasOnlyTcp = false;
        error = failure;
        if (isFinal(failure)) return DisconnectReason.JoinFailed;
      }
    }
  }
}
