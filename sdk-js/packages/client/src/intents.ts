/**
 * What the application asked of others' tracks, by who they are rather than by the server's ids. After a server has restarted,
 * and after somebody has come back, tracks have new ids, and the application wants of them what it wanted before.
 */
import type { Track as WireTrack } from './generated/protocol';
import type { Wish } from './wishes';

/** Tracks that are remembered; the oldest are forgotten first, so that people who come and go do not fill the memory. */
const MAX_KEPT = 1000;

/** What was asked of one track. */
export interface Intent {
  /** Absent: as `autoSubscribe` says. */
  subscribed?: boolean;
  wish: Omit<Wish, 'view'>;
}

export class Intents {
  private readonly kept = new Map<string, Intent>();

  of(identity: string, track: WireTrack): Intent | undefined {
    return this.kept.get(key(identity, track));
  }

  /** Adds to what was asked. */
  change(identity: string, track: WireTrack, { wish = {}, ...rest }: Partial<Intent>): void {
    const name = key(identity, track);
    const before = this.kept.get(name);
    this.kept.delete(name);
    this.kept.set(name, { ...before, ...rest, wish: { ...before?.wish, ...wish } });
    const [oldest] = this.kept.keys();
    if (this.kept.size > MAX_KEPT && oldest !== undefined) this.kept.delete(oldest);
  }

  forget(identity: string, track: WireTrack): void {
    this.kept.delete(key(identity, track));
  }

  clear(): void {
    this.kept.clear();
  }
}

function key(identity: string, { source, name }: WireTrack): string {
  return JSON.stringify([identity, source, name]);
}
