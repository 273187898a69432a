/**
 * How this client wants tracks: what the application asked for and what the page shows, told to the server.
 *
 * Invariants: changes of a moment go as one `configure`, at most one each {@link INTERVAL}; what failed is said again; a new
 * session is told everything that is not as by default, since the server knows nothing of the one before.
 */
import type { TrackPriority, TrackSettings, VideoQuality } from './generated/protocol';
import { log } from './log';
import type { TrackSource } from './types';

/** Milliseconds between two `configure`, so that a window that is dragged costs little. */
const INTERVAL = 100;
/** Milliseconds until what failed is said again. */
const RETRY = 1000;
/** Tracks in one `configure`; the server takes 256. */
const BATCH = 200;

/** A size in pixels. */
export interface VideoDimensions {
  width: number;
  height: number;
}

/** What is wanted of one track. Absent: as by default. */
export interface Wish {
  enabled?: boolean;
  quality?: VideoQuality;
  dimensions?: VideoDimensions;
  fps?: number;
  priority?: TrackPriority;
  /** What the page shows of it; absent: not watched. */
  view?: View;
}

/** What a page shows of a track, in physical pixels. */
export interface View {
  visible: boolean;
  width: number;
  height: number;
}

/** Sends `configure`; rejects where it did not work. */
export type Tell = (tracks: TrackSettings[]) => Promise<unknown>;

export class Wishes {
  private readonly wishes = new Map<string, Wish>();
  private readonly sources = new Map<string, TrackSource>();
  private readonly untold = new Set<string>();
  private tell: Tell | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private lastTold = -Infinity;

  /** A publication became known. */
  add(track: string, source: TrackSource): void {
    this.sources.set(track, source);
    if (isTelling(this.settings(track))) this.note(track);
  }

  /** A publication ended. */
  remove(track: string): void {
    this.wishes.delete(track);
    this.sources.delete(track);
    this.untold.delete(track);
  }

  /** Changes what is wanted; other parts of the wish stay. */
  change(track: string, wish: Wish): void {
    if (!this.sources.has(track)) return;
    const before = JSON.stringify(this.settings(track));
    this.wishes.set(track, { ...this.wishes.get(track), ...wish });
    if (JSON.stringify(this.settings(track)) !== before) this.note(track);
  }

  /** The page does not watch the track any more: what it showed counts no longer. */
  unwatch(track: string): void {
    const { view: _view, ...rest } = this.wishes.get(track) ?? {};
    if (_view) this.wishes.set(track, rest);
  }

  /** A session begins, which knows of no wishes; without one, they wait. */
  attach(tell: Tell | undefined): void {
    this.tell = tell;
    this.lastTold = -Infinity;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.untold.clear();
    if (!tell) return;
    for (const track of this.sources.keys()) if (isTelling(this.settings(track))) this.note(track);
  }

  /** What the server is told of a track. */
  settings(track: string): TrackSettings {
    const { enabled = true, quality, dimensions, fps, priority, view } = this.wishes.get(track) ?? {};
    const size = smaller(dimensions, view?.visible ? view : undefined);
    // What somebody shares is what the others look at.
    const first = priority ?? (this.sources.get(track) === 'screen_share' ? 'high' : undefined);
    return {
      track,
      ...(enabled ? {} : { enabled }),
      ...(view?.visible === false ? { visible: false } : {}),
      ...(size ? { width: pixels(size.width), height: pixels(size.height) } : {}),
      ...(fps ? { maxFps: Math.max(1, Math.min(255, Math.round(fps))) } : {}),
      ...(quality ? { maxQuality: quality } : {}),
      ...(first ? { priority: first } : {}),
    };
  }

  private note(track: string): void {
    this.untold.add(track);
    if (this.tell) this.schedule(Math.max(0, this.lastTold + INTERVAL - Date.now()));
  }

  private schedule(delay: number): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.flush();
    }, delay);
  }

  private async flush(): Promise<void> {
    const { tell } = this;
    const batch = [...this.untold].slice(0, BATCH);
    if (!tell || batch.length === 0) return;
    for (const track of batch) this.untold.delete(track);
    this.lastTold = Date.now();
    if (this.untold.size > 0) this.schedule(INTERVAL);
    try {
      await tell(batch.map((track) => this.settings(track)));
    } catch (error) {
      log.debug('configure failed', error);
      // A session that is over is followed by one that is told everything.
      if (this.tell !== tell) return;
      for (const track of batch) if (this.sources.has(track)) this.untold.add(track);
      this.schedule(RETRY);
    }
  }
}

/** Whether the settings say more than the defaults. */
function isTelling(settings: TrackSettings): boolean {
  return Object.keys(settings).length > 1;
}

/** The one with fewer pixels: what the application asks for caps what the page shows. */
function smaller(one: VideoDimensions | undefined, other: VideoDimensions | undefined): VideoDimensions | undefined {
  if (!one || !other) return one ?? other;
  return one.width * one.height <= other.width * other.height ? one : other;
}

function pixels(length: number): number {
  return Math.max(1, Math.min(65_535, Math.ceil(length)));
}
