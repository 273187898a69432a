/**
 * Brings tracks and slots together: on a `slots` event the elements of replaced tracks are emptied, then the change is
 * acknowledged, then the new tracks are shown. The server sends nothing of a new track into a used slot before the
 * acknowledgement, so no frame of one participant can reach an element of another.
 */
import type { EventEmitter } from 'eventemitter3';
import type { RoomEvents } from './events';
import type { Slot } from './generated/protocol';
import type { MediaTransport } from './media-transport';
import type { RemoteTrackPublication } from './publication';
import type { RemoteParticipant } from './remote-participant';
import { RemoteAudioTrack, RemoteVideoTrack } from './remote-track';
import type { RemoteTrack } from './remote-track';
import type { Roster } from './roster';
import { SlotTable } from './slots';
import type { Placement, SlotChange } from './slots';

export class Stage {
  private readonly table = new SlotTable();

  constructor(
    private readonly roster: Roster,
    private readonly events: EventEmitter<RoomEvents>,
    private readonly created: (track: RemoteTrack) => void,
  ) {}

  get revision(): number {
    return this.table.revision;
  }

  /** The slots of an event. */
  apply(transport: MediaTransport, revision: number, slots: readonly Slot[], acknowledge: (revision: number) => void): void {
    this.perform(transport, this.table.apply(revision, slots), acknowledge);
  }

  /** The slots of a snapshot. */
  replace(transport: MediaTransport, revision: number, slots: readonly Slot[], acknowledge: (revision: number) => void): void {
    this.perform(transport, this.table.replace(revision, slots), acknowledge);
  }

  /** A publication that became known after the slot that shows it. */
  revisit(transport: MediaTransport, track: string): void {
    const placement = this.table.find(track);
    if (placement && !this.find(placement)?.publication.track) this.show(transport, placement);
  }

  /** A publication ends before the server said that its slot is free. */
  remove(publication: RemoteTrackPublication, participant: RemoteParticipant): void {
    const { track } = publication;
    if (!track) return;
    track.unbind();
    this.unsubscribe(track, publication, participant);
  }

  /** Before a new join: nothing is shown. */
  clear(): void {
    const { removed } = this.table.clear();
    this.release(removed, new Set());
  }

  private perform(transport: MediaTransport, change: SlotChange, acknowledge: (revision: number) => void): void {
    const staying = new Set(this.table.all().map(({ track }) => track));
    for (const placement of change.removed) {
      this.find(placement)?.publication.track?.unbind(transport.line(placement.slot, placement.kind));
    }
    acknowledge(this.table.revision);
    this.release(change.removed, staying);
    for (const placement of change.added) this.show(transport, placement);
  }

  private release(removed: readonly Placement[], staying: ReadonlySet<string>): void {
    for (const placement of removed) {
      const found = this.find(placement);
      const track = found?.publication.track;
      if (!found || !track || staying.has(placement.track)) continue;
      track.unbind();
      this.unsubscribe(track, found.publication, found.participant);
    }
  }

  private show(transport: MediaTransport, placement: Placement): void {
    const found = this.find(placement);
    const line = transport.line(placement.slot, placement.kind);
    if (!found || !line) return;
    const { publication, participant } = found;
    const known = publication.track;
    const track = known ?? this.make(publication);
    track.bind(line, placement.after);
    if (known) return;
    publication.setTrack(track);
    this.events.emit('trackSubscribed', track, publication, participant);
  }

  private make(publication: RemoteTrackPublication): RemoteTrack {
    const track = publication.kind === 'video' ? new RemoteVideoTrack(publication.source) : new RemoteAudioTrack(publication.source);
    track.sid = publication.trackSid;
    track.setMuted(publication.isMuted);
    this.created(track);
    return track;
  }

  private unsubscribe(track: RemoteTrack, publication: RemoteTrackPublication, participant: RemoteParticipant): void {
    publication.setTrack(undefined);
    this.events.emit('trackUnsubscribed', track, publication, participant);
  }

  private find({ participant: sid, track }: Placement): { publication: RemoteTrackPublication; participant: RemoteParticipant } | undefined {
    const participant = this.roster.bySid(sid);
    const publication = participant?.trackPublications.get(track);
    return participant && publication ? { publication, participant } : undefined;
  }
}
