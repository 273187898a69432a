/** Looks at the connection while it lasts: who speaks, how well it goes, and statistics when they are asked for. */
import type { LocalParticipant } from './local-participant';
import type { MediaTransport } from './media-transport';
import type { Participant } from './participant';
import { qualityOf } from './quality';
import type { Roster } from './roster';
import { SpeakerDetector, receiverLevel, senderLevel } from './speakers';
import { StatsReader } from './stats';
import type { RoomStats, StatsSource } from './stats';
import type { ConnectionQuality } from './types';

/** Milliseconds between looks at audio levels. */
const LEVEL_INTERVAL = 200;
/** Milliseconds between looks at statistics for the quality. */
const QUALITY_INTERVAL = 3000;

export interface MonitorEvents {
  speakers: (speakers: Participant[]) => void;
  quality: (quality: ConnectionQuality, participant: Participant) => void;
}

export class Monitor {
  activeSpeakers: Participant[] = [];
  private readonly detector = new SpeakerDetector();
  private readonly reader = new StatsReader();
  /** A reader of its own, so that the application's rates do not depend on ours. */
  private readonly qualityReader = new StatsReader();
  private timers: ReturnType<typeof setInterval>[] = [];

  constructor(
    private readonly local: LocalParticipant,
    private readonly roster: Roster,
    private readonly transport: () => MediaTransport | undefined,
    private readonly events: MonitorEvents,
  ) {}

  start(): void {
    this.stop();
    this.timers = [setInterval(() => void this.listen(), LEVEL_INTERVAL), setInterval(() => void this.judge(), QUALITY_INTERVAL)];
  }

  stop(): void {
    this.timers.forEach(clearInterval);
    this.timers = [];
  }

  stats(): Promise<RoomStats> {
    return this.read(this.reader);
  }

  private async listen(): Promise<void> {
    const levels = new Map<Participant, number>();
    const own = this.local.getTrackPublication('microphone');
    if (own && !own.isMuted && own.track.sender) levels.set(this.local, await senderLevel(own.track.sender).catch(() => 0));
    for (const participant of this.roster.participants.values()) {
      const publication = participant.getTrackPublication('microphone');
      const receiver = publication?.track?.receiver;
      if (publication && receiver) levels.set(participant, publication.isMuted ? 0 : receiverLevel(receiver));
    }
    this.compare(levels, Date.now());
  }

  private compare(levels: ReadonlyMap<Participant, number>, now: number): void {
    let changed = false;
    for (const participant of [this.local, ...this.roster.participants.values()]) {
      const { level, speaking } = this.detector.update(participant.sid, levels.get(participant) ?? 0, now);
      changed = participant.setAudio(level, speaking) || changed;
    }
    this.detector.retain(new Set([this.local, ...this.roster.participants.values()].map(({ sid }) => sid)));
    const present = this.activeSpeakers.every((it) => it.isLocal || this.roster.bySid(it.sid) === it);
    if (!changed && present) return;
    const speaking = [this.local, ...this.roster.participants.values()].filter((it) => it.isSpeaking);
    this.activeSpeakers = speaking.sort((a, b) => b.audioLevel - a.audioLevel);
    this.events.speakers(this.activeSpeakers);
  }

  private async judge(): Promise<void> {
    const stats = await this.read(this.qualityReader).catch(() => undefined);
    if (!stats) return;
    for (const participant of [this.local, ...this.roster.participants.values()]) {
      const tracks = stats.tracks.filter(({ identity }) => identity === participant.identity);
      const quality = qualityOf(tracks, participant.isLocal ? stats.roundTripTime : undefined);
      if (participant.setConnectionQuality(quality)) this.events.quality(quality, participant);
    }
  }

  private async read(reader: StatsReader): Promise<RoomStats> {
    const transport = this.transport();
    if (!transport) return { ...reader.transport(new Map() as unknown as RTCStatsReport), tracks: [] };
    const [whole, sources] = await Promise.all([transport.connection.getStats(), Promise.all(this.sources())]);
    return { ...reader.transport(whole), tracks: sources.map((source) => reader.track(source)) };
  }

  private sources(): Promise<StatsSource>[] {
    const wanted: Promise<StatsSource>[] = [];
    const add = (participant: Participant, direction: 'send' | 'receive', half: RTCRtpSender | RTCRtpReceiver | undefined, publication: { trackSid: string; source: StatsSource['source'] }): void => {
      if (!half) return;
      const { trackSid, source } = publication;
      wanted.push(half.getStats().then((report) => ({ identity: participant.identity, trackSid, source, direction, report })));
    };
    for (const it of this.local.trackPublications.values()) add(this.local, 'send', it.track.sender, it);
    for (const participant of this.roster.participants.values()) {
      for (const it of participant.trackPublications.values()) add(participant, 'receive', it.track?.receiver, it);
    }
    return wanted;
  }
}
