/** Who speaks and how connections are, as the server says. */
import type { ParticipantQuality, Speaker } from './generated/protocol';
import type { LocalParticipant } from './local-participant';
import type { Participant } from './participant';
import type { Roster } from './roster';
import { ConnectionQuality } from './types';

export interface PresenceEvents {
  speakers: (speakers: Participant[]) => void;
  quality: (quality: ConnectionQuality, participant: Participant) => void;
}

export class Presence {
  private speaking: Participant[] = [];
  /** What the server said last of our own connection. */
  private own: ConnectionQuality = ConnectionQuality.Unknown;

  constructor(
    private readonly local: () => LocalParticipant,
    private readonly roster: () => Roster,
    private readonly events: PresenceEvents,
  ) {}

  /** The loudest first. */
  get activeSpeakers(): Participant[] {
    return [...this.speaking];
  }

  /** Everybody who speaks; whoever is not named is silent. */
  applySpeakers(speakers: readonly Speaker[]): void {
    const levels = new Map<Participant, number>();
    for (const { participant: sid, level } of speakers) {
      const participant = this.find(sid);
      if (participant) levels.set(participant, level);
    }
    for (const participant of this.everybody()) participant.setAudio(levels.get(participant) ?? 0, levels.has(participant));
    this.setSpeaking([...levels.keys()]);
  }

  /** Somebody left. */
  forget(participant: Participant): void {
    this.setSpeaking(this.speaking.filter((it) => it !== participant));
  }

  /** Those that are named; others are as before. */
  applyQualities(qualities: readonly ParticipantQuality[]): void {
    for (const { participant: sid, quality } of qualities) {
      const participant = this.find(sid);
      if (participant?.isLocal) this.own = quality;
      if (participant) this.setQuality(participant, quality);
    }
  }

  /** Without a way to the server it cannot say how bad our own connection is. */
  setLost(lost: boolean): void {
    this.setQuality(this.local(), lost ? ConnectionQuality.Lost : this.own);
  }

  /** The room was left. */
  clear(): void {
    this.own = ConnectionQuality.Unknown;
    this.applySpeakers([]);
    for (const participant of this.everybody()) this.setQuality(participant, ConnectionQuality.Unknown);
  }

  private setSpeaking(speaking: Participant[]): void {
    const same = speaking.length === this.speaking.length && speaking.every((it, index) => it === this.speaking[index]);
    this.speaking = speaking;
    if (!same) this.events.speakers(this.activeSpeakers);
  }

  private setQuality(participant: Participant, quality: ConnectionQuality): void {
    if (participant.setConnectionQuality(quality)) this.events.quality(quality, participant);
  }

  private find(sid: string): Participant | undefined {
    return sid === this.local().sid ? this.local() : this.roster().bySid(sid);
  }

  private everybody(): Participant[] {
    return [this.local(), ...this.roster().participants.values()];
  }
}
