/** Statistics of the connection and of each track, when they are asked for. */
import type { LocalParticipant } from './local-participant';
import type { MediaTransport } from './media-transport';
import type { Participant } from './participant';
import { RemoteTrackPublication } from './publication';
import type { TrackPublication } from './publication';
import type { Roster } from './roster';
import { StatsReader } from './stats';
import type { RoomStats, StatsSource } from './stats';

export class Monitor {
  private readonly reader = new StatsReader();

  constructor(
    private readonly local: LocalParticipant,
    private readonly roster: Roster,
    private readonly transport: () => MediaTransport | undefined,
  ) {}

  async stats(): Promise<RoomStats> {
    const transport = this.transport();
    if (!transport) return { ...this.reader.transport(new Map() as unknown as RTCStatsReport), tracks: [] };
    const [whole, sources] = await Promise.all([transport.connection.getStats(), Promise.all(this.sources())]);
    return { ...this.reader.transport(whole), tracks: sources.map((source) => this.reader.track(source)) };
  }

  private sources(): Promise<StatsSource>[] {
    const wanted: Promise<StatsSource>[] = [];
    const add = (participant: Participant, direction: 'send' | 'receive', half: RTCRtpSender | RTCRtpReceiver | undefined, publication: TrackPublication): void => {
      if (!half) return;
      const { trackSid, source } = publication;
      const streamState = publication instanceof RemoteTrackPublication ? publication.streamState : undefined;
      wanted.push(half.getStats().then((report) => ({ identity: participant.identity, trackSid, source, direction, report, streamState })));
    };
    for (const it of this.local.trackPublications.values()) add(this.local, 'send', it.track.sender, it);
    for (const participant of this.roster.participants.values()) {
      for (const it of participant.trackPublications.values()) add(participant, 'receive', it.track?.receiver, it);
    }
    return wanted;
  }
}
