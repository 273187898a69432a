/**
 * Which m-line shows which track, as the server says.
 *
 * Invariants: a line shows at most one track; a change is given back as what to take away first and what to show then, so
 * that the acknowledgement goes between the two; what a snapshot does not name is empty; a line whose track did not change is
 * not touched.
 */
import type { Slot } from './generated/protocol';
import type { TrackKind } from './types';

/** A track on an m-line. */
export interface Placement {
  slot: number;
  kind: TrackKind;
  participant: string;
  track: string;
  /** Only frames after this RTP timestamp show the track; null: all. */
  after: number | null;
}

/** What to do, in this order: empty `removed`, acknowledge, fill `added`. */
export interface SlotChange {
  removed: Placement[];
  added: Placement[];
}

export class SlotTable {
  private readonly lines = new Map<string, Placement>();
  private latest = 0;

  /** The last revision that was applied. */
  get revision(): number {
    return this.latest;
  }

  /** The slots of an event: each listed one is whole, others stay. */
  apply(revision: number, slots: readonly Slot[]): SlotChange {
    this.latest = Math.max(this.latest, revision);
    const change: SlotChange = { removed: [], added: [] };
    for (const slot of slots) this.update(slot, change);
    return change;
  }

  /** The slots of a snapshot: those that are not listed are empty. */
  replace(revision: number, slots: readonly Slot[]): SlotChange {
    const listed = new Set(slots.map(({ slot }) => slot));
    const others = new Set([...this.lines.values()].map(({ slot }) => slot).filter((slot) => !listed.has(slot)));
    const emptied = [...others].map((slot): Slot => ({ slot, participant: null, audio: null, video: null }));
    this.latest = revision;
    return this.apply(revision, [...emptied, ...slots]);
  }

  /** Where a track is shown. */
  find(track: string): Placement | undefined {
    return [...this.lines.values()].find((placement) => placement.track === track);
  }

  /** Everything that is shown. */
  all(): Placement[] {
    return [...this.lines.values()];
  }

  /** Forgets everything, as before a new join. */
  clear(): SlotChange {
    const removed = this.all();
    this.lines.clear();
    this.latest = 0;
    return { removed, added: [] };
  }

  private update({ slot, participant, audio, video }: Slot, change: SlotChange): void {
    for (const [kind, shown] of [['audio', audio] as const, ['video', video] as const]) {
      const key = `${slot}/${kind}`;
      const before = this.lines.get(key);
      const next = participant !== null && shown ? { slot, kind, participant, track: shown.track, after: shown.after } : undefined;
      if (before?.track === next?.track) continue;
      if (before) change.removed.push(before);
      if (next) {
        this.lines.set(key, next);
        change.added.push(next);
      } else {
        this.lines.delete(key);
      }
    }
  }
}
