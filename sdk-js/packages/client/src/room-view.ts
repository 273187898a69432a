/** The room as the server tells it: applies snapshots and events to the roster and the stage. */
import type { EventEmitter } from 'eventemitter3';
import { AdaptiveStream } from './adaptive-stream';
import type { RoomEvents } from './events';
import type { Dynacast } from './dynacast';
import type { Joined, Snapshot, StreamState as WireStreamState } from './generated/protocol';
import { Intents } from './intents';
import type { LocalParticipant } from './local-participant';
import { log } from './log';
import type { AdaptiveStreamOptions } from './options';
import { Presence } from './presence';
import type { EventMessage } from './protocol';
import type { RemoteTrackPublication } from './publication';
import type { RemoteParticipant } from './remote-participant';
import type { RemoteTrack } from './remote-track';
import { Roster } from './roster';
import type { Session } from './session';
import { Stage } from './stage';
import { StreamState } from './stream-state';
import { Wishes } from './wishes';

export interface RoomViewHooks {
  local: () => LocalParticipant;
  subscribe: (track: string, wanted: boolean) => Promise<void>;
  /** Present: the server is told what the page shows. */
  adaptive: AdaptiveStreamOptions | undefined;
  dynacast: Dynacast;
  /** A participant left. */
  left: (sid: string) => void;
  /** A track is about to be shown for the first time. */
  created: (track: RemoteTrack) => void;
}

export class RoomView {
  readonly roster: Roster;
  readonly presence: Presence;
  private readonly wishes = new Wishes();
  private readonly stage: Stage;
  private info = { id: '', name: '' };

  constructor(
    private readonly events: EventEmitter<RoomEvents>,
    private readonly hooks: RoomViewHooks,
  ) {
    const removing = (publication: RemoteTrackPublication, participant: RemoteParticipant): void => this.stage.remove(publication, participant);
    this.roster = new Roster(events, { subscribe: hooks.subscribe, wishes: this.wishes, intents: new Intents() }, removing, hooks.left);
    const adaptive = hooks.adaptive && new AdaptiveStream(hooks.adaptive, (track, view) => track.sid !== undefined && this.wishes.change(track.sid, { view }));
    this.stage = new Stage(this.roster, events, (track) => {
      adaptive?.follow(track);
      hooks.created(track);
    });
    events.on('trackUnsubscribed', (track, { trackSid }) => {
      adaptive?.unfollow(track);
      this.wishes.unwatch(trackSid);
    });
    this.presence = new Presence(hooks.local, () => this.roster, {
      speakers: (speakers) => events.emit('activeSpeakersChanged', speakers),
      quality: (quality, participant) => events.emit('connectionQualityChanged', quality, participant),
    });
    events.on('participantDisconnected', (participant) => this.presence.forget(participant));
  }

  /** The room's name and the id of this incarnation. */
  get room(): { id: string; name: string } {
    return this.info;
  }

  applyJoined(session: Session, joined: Joined): void {
    const local = this.hooks.local();
    local.renumber(session, joined.published);
    this.wishes.attach((tracks) => session.signal.request<'configure'>({ type: 'configure', tracks }));
    const known = this.roster.tracks;
    this.applySnapshot(session, joined);
    this.roster.restoreSubscriptions(known);
    local.restoreInfo(session);
  }

  applySnapshot(session: Session, snapshot: Snapshot): void {
    const { room, participant, participants, slots, slotsRevision, streams = [], demand = [], speakers = [], qualities = [] } = snapshot;
    this.info = room;
    this.roster.updateInfo(this.hooks.local(), participant);
    this.roster.replace(participants);
    this.stage.replace(session.transport, slotsRevision, slots, (revision) => acknowledge(session, revision));
    this.applyStreams(streams);
    this.hooks.dynacast.replace(demand);
    this.presence.applySpeakers(speakers);
    this.presence.applyQualities(qualities);
  }

  /** What does not concern participants, tracks and slots is left to the caller. */
  apply(session: Session, event: EventMessage): void {
    switch (event.type) {
      case 'participant_joined':
        return this.roster.join(event.participant);
      case 'participant_left':
        return this.roster.leave(event.participant, event.reason === 'left' || event.reason === 'removed');
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
      case 'streams':
        return this.applyStreams(event.streams);
      case 'demand':
        return this.hooks.dynacast.apply(event);
      case 'speakers':
        return this.presence.applySpeakers(event.speakers);
      case 'qualities':
        return this.presence.applyQualities(event.qualities);
      case 'slots':
        return this.stage.apply(session.transport, event.revision, event.slots, (revision) => acknowledge(session, revision));
    }
  }

  /** Whether the server says that it sends us video now. */
  get expectsVideo(): boolean {
    const publications = [...this.roster.participants.values()].flatMap(({ trackPublications }) => [...trackPublications.values()]);
    return publications.some(({ kind, track, isMuted, streamState }) => kind === 'video' && track && !isMuted && streamState?.state === 'active');
  }

  /** The transport is gone: nothing is shown, and wishes wait for the next. */
  clearStage(): void {
    this.wishes.attach(undefined);
    this.stage.clear();
  }

  private applyStreams(streams: readonly WireStreamState[]): void {
    const wanted = new Map(streams.map((state) => [state.track, state]));
    for (const participant of this.roster.participants.values()) {
      for (const [sid, publication] of participant.trackPublications) {
        const told = wanted.get(sid);
        if (!told) continue;
        const state = new StreamState(told);
        publication.setStreamState(state);
        this.events.emit('trackStreamStateChanged', publication, state, participant);
      }
    }
  }
}

function acknowledge(session: Session, revision: number): void {
  session.signal.request<'slots_ack'>({ type: 'slots_ack', revision }).catch((error: unknown) => log.debug('slots_ack failed', error));
}
