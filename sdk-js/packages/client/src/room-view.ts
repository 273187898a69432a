/** The room as the server tells it: applies snapshots and events to the roster and the stage. */
import type EventEmitter from 'eventemitter3';
import type { RoomEvents } from './events';
import type { Joined, Snapshot } from './generated/protocol';
import type { LocalParticipant } from './local-participant';
import { log } from './log';
import type { EventMessage } from './protocol';
import type { RemoteTrackPublication, Subscriber } from './publication';
import type { RemoteParticipant } from './remote-participant';
import type { RemoteTrack } from './remote-track';
import { Roster } from './roster';
import type { Session } from './session';
import { Stage } from './stage';

export interface RoomViewHooks {
  local: () => LocalParticipant;
  subscriber: Subscriber;
  /** A participant left. */
  left: (sid: string) => void;
  /** A track is about to be shown for the first time. */
  created: (track: RemoteTrack) => void;
}

export class RoomView {
  readonly roster: Roster;
  private readonly stage: Stage;
  private info = { id: '', name: '' };

  constructor(
    private readonly events: EventEmitter<RoomEvents>,
    private readonly hooks: RoomViewHooks,
  ) {
    const removing = (publication: RemoteTrackPublication, participant: RemoteParticipant): void => this.stage.remove(publication, participant);
    this.roster = new Roster(events, hooks.subscriber, removing, hooks.left);
    this.stage = new Stage(this.roster, events, hooks.created);
  }

  /** The room's name and the id of this incarnation. */
  get room(): { id: string; name: string } {
    return this.info;
  }

  applyJoined(session: Session, joined: Joined): void {
    this.hooks.local().renumber(joined.published);
    this.applySnapshot(session, joined);
  }

  applySnapshot(session: Session, { room, participant, participants, slots, slotsRevision }: Snapshot): void {
    this.info = room;
    this.roster.updateInfo(this.hooks.local(), participant);
    this.roster.replace(participants);
    this.stage.replace(session.transport, slotsRevision, slots, (revision) => acknowledge(session, revision));
  }

  /** What does not concern participants, tracks and slots is left to the caller. */
  apply(session: Session, event: EventMessage): void {
    switch (event.type) {
      case 'participant_joined':
        return this.roster.join(event.participant);
      case 'participant_left':
        return this.roster.leave(event.participant);
      case 'participant_updated': {
        const own = event.participant.id === this.hooks.local().sid;
        const participant = own ? this.hooks.local() : this.roster.bySid(event.participant.id);
        return participant && this.roster.updateInfo(participant, event.participant);
      }
      case 'track_published':
      case 'track_updated':
        this.roster.publish(event.participant, event.track);
        return this.stage.revisit(session.transport, event.track.id);
      case 'track_unpublished':
        return this.roster.unpublish(event.participant, event.track);
      case 'track_unavailable': {
        const participant = this.roster.bySid(event.participant);
        const publication = participant?.trackPublications.get(event.track);
        if (participant && publication) this.events.emit('trackSubscriptionFailed', publication, participant, event.reason);
        return;
      }
      case 'slots':
        return this.stage.apply(session.transport, event.revision, event.slots, (revision) => acknowledge(session, revision));
    }
  }

  /** The transport is gone: nothing is shown. */
  clearStage(): void {
    this.stage.clear();
  }
}

function acknowledge(session: Session, revision: number): void {
  session.signal.request<'slots_ack'>({ type: 'slots_ack', revision }).catch((error: unknown) => log.debug('slots_ack failed', error));
}
