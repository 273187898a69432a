/** What the randomised scenario does with a room, and how it looks at one. */

import { MadangError, RemoteTrackPublication, type Participant, type Room, type TrackSource } from '@madang/client';

import { solidColour, tone } from './sources';

export type Act =
  | { do: 'publish' | 'unpublish' | 'mute' | 'unmute'; source: TrackSource }
  | { do: 'attributes'; attributes: Record<string, string> }
  | { do: 'killWebSocket' | 'leave' };

/** Each seen person, by identity: comparable between pages. */
export interface View {
  state: string | null;
  people: Record<string, { attributes: Record<string, string>; tracks: Record<string, boolean> }>;
  /** Of the others' tracks that are not muted: what was received so far, by `identity:source`. */
  received: Record<string, number>;
}

function makeTrack(source: TrackSource): MediaStreamTrack {
  if (source === 'camera' || source === 'screen_share') return solidColour('green', 160, 90, 8);
  const made = tone(440);
  made.setLoudness(0.3);
  return made.track;
}

async function perform({ localParticipant: me }: Room, operation: Act): Promise<void> {
  switch (operation.do) {
    case 'publish':
      await me.publishTrack(makeTrack(operation.source), { source: operation.source, simulcast: false });
      return;
    case 'unpublish': {
      const publication = me.getTrackPublication(operation.source);
      if (publication) await me.unpublishTrack(publication.track);
      return;
    }
    case 'mute':
      return me.getTrackPublication(operation.source)?.mute();
    case 'unmute':
      return me.getTrackPublication(operation.source)?.unmute();
    case 'attributes':
      return me.setAttributes(operation.attributes);
  }
}

/** Null: it worked. */
export async function act(room: Room, operation: Act): Promise<string | null> {
  try {
    await perform(room, operation);
    return null;
  } catch (error) {
    if (!(error instanceof MadangError)) throw error;
    return `${error.name} ${error.code}: ${error.message}`;
  }
}

function sorted<T>(entries: readonly (readonly [string, T])[]): Record<string, T> {
  return Object.fromEntries([...entries].sort(([a], [b]) => a.localeCompare(b)));
}

function describe(participant: Participant): View['people'][string] {
  const tracks = [...participant.trackPublications.values()].map(({ source, isMuted }) => [source, isMuted] as const);
  return { attributes: sorted(Object.entries(participant.attributes)), tracks: sorted(tracks) };
}

async function receivedOf(publication: RemoteTrackPublication): Promise<number> {
  let received = 0;
  (await publication.track?.receiver?.getStats())?.forEach((stat: { type: string; framesDecoded?: number; packetsReceived?: number }) => {
    if (stat.type === 'inbound-rtp') received = (publication.kind === 'video' ? stat.framesDecoded : stat.packetsReceived) ?? 0;
  });
  return received;
}

export async function view(room: Room | undefined): Promise<View> {
  const found: View = { state: room?.state ?? null, people: {}, received: {} };
  if (!room || room.state === 'disconnected') return found;
  for (const participant of [room.localParticipant, ...room.remoteParticipants.values()]) {
    found.people[participant.identity] = describe(participant);
    for (const publication of participant.trackPublications.values()) {
      const isWatched = publication instanceof RemoteTrackPublication && !publication.isMuted;
      if (isWatched) found.received[`${participant.identity}:${publication.source}`] = await receivedOf(publication);
    }
  }
  return found;
}
