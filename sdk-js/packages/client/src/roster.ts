/**
 * Who is in the room and what they publish, kept as snapshots and events say. Joining again brings a snapshot too: what it does
 * not hold is gone, what stayed keeps its objects.
 */
import type { EventEmitter } from 'eventemitter3';
import type { RoomEvents } from './events';
import type { Participant as WireParticipant, Track as WireTrack } from './generated/protocol';
import type { Participant } from './participant';
import { RemoteTrackPublication } from './publication';
import type { Subscriber } from './publication';
import { RemoteParticipant } from './remote-participant';

export class Roster {
  /** By identity. */
  readonly participants = new Map<string, RemoteParticipant>();

  constructor(
    private readonly events: EventEmitter<RoomEvents>,
    private readonly subscriber: Subscriber,
    /** The track ends: take it out of its slot first. */
    private readonly removing: (publication: RemoteTrackPublication, participant: RemoteParticipant) => void,
    private readonly left: (sid: string) => void,
  ) {}

  bySid(sid: string | undefined): RemoteParticipant | undefined {
    return [...this.participants.values()].find((participant) => participant.sid === sid);
  }

  /** Makes everything as the snapshot says, with events for what changed. */
  replace(infos: readonly WireParticipant[]): void {
    const present = new Set(infos.map(({ id }) => id));
    for (const participant of [...this.participants.values()]) if (!present.has(participant.sid)) this.leave(participant.sid, false);
    for (const info of infos) {
      const known = this.bySid(info.id);
      if (!known) {
        this.join(info);
        continue;
      }
      this.updateInfo(known, info);
      const tracks = new Set(info.tracks.map(({ id }) => id));
      for (const sid of [...known.trackPublications.keys()]) if (!tracks.has(sid)) this.unpublish(known.sid, sid, false);
      for (const track of info.tracks) this.publish(known.sid, track);
    }
  }

  join(info: WireParticipant): void {
    // The same identity from elsewhere: the one before is gone.
    const before = this.participants.get(info.identity);
    if (before && before.sid !== info.id) this.leave(before.sid, false);
    if (before?.sid === info.id) return this.replaceOne(before, info);
    const participant = new RemoteParticipant(info);
    this.participants.set(info.identity, participant);
    this.events.emit('participantConnected', participant);
    for (const track of info.tracks) this.publish(info.id, track);
  }

  /** `forGood`: what the application asked of the tracks is forgotten. */
  leave(sid: string, forGood = true): void {
    const participant = this.bySid(sid);
    if (!participant) return;
    for (const track of [...participant.trackPublications.keys()]) this.unpublish(sid, track, forGood);
    this.participants.delete(participant.identity);
    this.left(sid);
    this.events.emit('participantDisconnected', participant);
  }

  /** A new publication, or news of one that is known. */
  publish(sid: string, info: WireTrack): void {
    const participant = this.bySid(sid);
    if (!participant) return;
    const known = participant.trackPublications.get(info.id);
    if (known) {
      if (known.update(info)) this.events.emit(info.muted ? 'trackMuted' : 'trackUnmuted', known, participant);
      return;
    }
    const publication = new RemoteTrackPublication(info, this.subscriber, participant.identity);
    participant.trackPublications.set(info.id, publication);
    this.subscriber.wishes.add(info.id, info.source);
    publication.restore();
    this.events.emit('trackPublished', publication, participant);
  }

  unpublish(sid: string, track: string, forGood = true): void {
    const participant = this.bySid(sid);
    const publication = participant?.trackPublications.get(track);
    if (!participant || !publication) return;
    this.removing(publication, participant);
    participant.trackPublications.delete(track);
    this.subscriber.wishes.remove(track);
    if (forGood) publication.forget();
    this.events.emit('trackUnpublished', publication, participant);
  }

  /** Name, metadata, attributes and permissions, of others and of oneself. */
  updateInfo(participant: Participant, info: WireParticipant): void {
    const before = participant.setInfo(info);
    if (before.name !== info.name) this.events.emit('participantNameChanged', before.name, participant);
    if (before.metadata !== info.metadata) this.events.emit('participantMetadataChanged', before.metadata, participant);
    const changed = changedAttributes(before.attributes, info.attributes);
    if (Object.keys(changed).length > 0) this.events.emit('participantAttributesChanged', changed, participant);
    if (JSON.stringify(before.permissions) !== JSON.stringify(info.permissions)) {
      this.events.emit('participantPermissionsChanged', before.permissions, participant);
    }
  }

  /** Tracks that a new session finds as they were: it has to be told of their subscriptions. */
  restoreSubscriptions(known: ReadonlySet<string>): void {
    for (const participant of this.participants.values()) {
      for (const [sid, publication] of participant.trackPublications) if (known.has(sid)) publication.restoreSubscription();
    }
  }

  /** The ids of all tracks. */
  get tracks(): Set<string> {
    return new Set([...this.participants.values()].flatMap(({ trackPublications }) => [...trackPublications.keys()]));
  }

  clear(): void {
    this.subscriber.intents.clear();
    for (const { sid } of [...this.participants.values()]) this.leave(sid);
  }

  private replaceOne(participant: RemoteParticipant, info: WireParticipant): void {
    this.updateInfo(participant, info);
    for (const track of info.tracks) this.publish(participant.sid, track);
  }
}

type Attributes = Record<string, string | undefined>;

function changedAttributes(before: Attributes, after: Attributes): Record<string, string> {
  const changed: Record<string, string> = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (before[key] !== after[key]) changed[key] = after[key] ?? '';
  }
  return changed;
}
