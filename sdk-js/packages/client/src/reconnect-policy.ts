/** When to try again after a connection was lost. */

/** What a {@link ReconnectPolicy} decides from. */
export interface ReconnectContext {
  /** Failed attempts since the connection was lost, from 0. */
  attempt: number;
  /** Milliseconds since the connection was lost. */
  elapsed: number;
  /** What ended the last attempt. */
  error?: unknown;
}

/** Decides when to try again. */
export interface ReconnectPolicy {
  /** Milliseconds to wait before the next attempt; null: give up. */
  nextDelay(context: ReconnectContext): number | null;
}

/** Milliseconds before the first attempts; the last one stays for {@link RESTART_TIME}. */
const DELAYS = [0, 300, 1000, 2000];
/** Milliseconds that a server's restart may take: meanwhile attempts are so close that the call is back soon after the server is. */
const RESTART_TIME = 60_000;
/** Milliseconds between attempts after that. */
const LATE_DELAY = 7000;
/** From the third attempt on, up to this much is added, so that the clients of a restarted server do not come at once. */
const JITTER = 1000;
/** Switching a VPN takes a minute; a server's update somewhat more. */
const GIVE_UP_AFTER = 120_000;

/** 0, 0.3, 1, then 2 s for a minute, then 7 s, with jitter, for two minutes in all. */
export class DefaultReconnectPolicy implements ReconnectPolicy {
  constructor(
    private readonly giveUpAfter = GIVE_UP_AFTER,
    private readonly random: () => number = () => Math.random(),
  ) {}

  nextDelay({ attempt, elapsed }: ReconnectContext): number | null {
    if (elapsed >= this.giveUpAfter) return null;
    const early = DELAYS[Math.min(attempt, DELAYS.length - 1)] ?? 0;
    const delay = elapsed < RESTART_TIME ? early : LATE_DELAY;
    return attempt < 2 ? delay : delay + this.random() * JITTER;
  }
}
