/** Pauses encodings of our own video that nobody takes, as the server says; each source by itself. */
import type { EncodingDemand, TrackDemand } from './generated/protocol';
import { log } from './log';
import type { MediaTransport } from './media-transport';
import type { LocalTrackPublication } from './publication';

export class Dynacast {
  /** By track id. A demand may come before the reply that says which publication the track is. */
  private readonly demands = new Map<string, readonly EncodingDemand[]>();

  constructor(
    private readonly isEnabled: boolean,
    private readonly publications: () => ReadonlyMap<string, LocalTrackPublication>,
    private readonly transport: () => MediaTransport | undefined,
  ) {}

  /** What anybody takes of a track changed. */
  apply({ track, encodings }: TrackDemand): void {
    if (!this.isEnabled) return;
    this.demands.set(track, encodings);
    const publication = this.publications().get(track);
    if (publication) this.adopt(publication);
  }

  /** A snapshot names all demands; of a track that it does not name everything is taken. */
  replace(demands: readonly TrackDemand[]): void {
    this.demands.clear();
    if (!this.isEnabled) return;
    for (const { track, encodings } of demands) this.demands.set(track, encodings);
    for (const publication of this.publications().values()) this.adopt(publication);
  }

  /** A publication is there, or its sender is another. */
  adopt(publication: LocalTrackPublication): void {
    this.set(publication, this.demands.get(publication.trackSid));
  }

  /** The sender is free for another track, which is taken whole until the server says otherwise. */
  release(publication: LocalTrackPublication): void {
    this.demands.delete(publication.trackSid);
    this.set(publication, undefined);
  }

  private set({ kind, source }: LocalTrackPublication, encodings: readonly EncodingDemand[] | undefined): void {
    if (!this.isEnabled || kind !== 'video') return;
    this.transport()?.layers(source).demand(encodings).catch((error: unknown) => log.warn(`encodings of ${source} could not be paused or resumed`, error));
  }
}
