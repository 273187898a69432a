/** Whether sound may play. Browsers refuse until somebody has clicked, unless the page is trusted or captures. */
import type { RemoteTrack } from './remote-track';

export class Playback {
  private readonly blocked = new Set<RemoteTrack>();

  constructor(private readonly changed: (canPlay: boolean) => void) {}

  get isAllowed(): boolean {
    return this.blocked.size === 0;
  }

  /** Follows a track's elements. Only sound is ever refused: video elements are muted. */
  watch(track: RemoteTrack): void {
    track.on('playbackBlocked', () => this.update(() => this.blocked.add(track)));
    track.on('playbackStarted', () => this.update(() => this.blocked.delete(track)));
  }

  forget(track: RemoteTrack): void {
    this.update(() => this.blocked.delete(track));
  }

  /** Plays what was refused, from a click. */
  async start(): Promise<void> {
    await Promise.all([...this.blocked].map((track) => track.play()));
  }

  private update(change: () => void): void {
    const before = this.isAllowed;
    change();
    if (this.isAllowed !== before) this.changed(this.isAllowed);
  }
}
