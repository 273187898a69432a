/** Somebody in the room. */
import type { Participant as WireParticipant, Permissions } from './generated/protocol';
import type { TrackPublication } from './publication';
import { ConnectionQuality } from './types';
import type { TrackSource } from './types';

export abstract class Participant {
  abstract readonly isLocal: boolean;
  abstract readonly trackPublications: ReadonlyMap<string, TrackPublication>;
  private speaking = false;
  private level = 0;
  private quality: ConnectionQuality = ConnectionQuality.Unknown;

  /** @internal */
  constructor(protected info: WireParticipant) {}

  /** The server's id of this stay: `PA_...`. */
  get sid(): string {
    return this.info.id;
  }

  /** Who it is, as the token says; unique in a room. */
  get identity(): string {
    return this.info.identity;
  }

  /** The display name; may be empty. */
  get name(): string {
    return this.info.name;
  }

  get metadata(): string {
    return this.info.metadata;
  }

  get attributes(): Readonly<Record<string, string>> {
    return this.info.attributes as Record<string, string>;
  }

  get permissions(): Readonly<Permissions> {
    return this.info.permissions;
  }

  get joinedAt(): Date {
    return new Date(this.info.joinedAt);
  }

  get isSpeaking(): boolean {
    return this.speaking;
  }

  /** Loudness now, 0 to 1. */
  get audioLevel(): number {
    return this.level;
  }

  get connectionQuality(): ConnectionQuality {
    return this.quality;
  }

  get isCameraEnabled(): boolean {
    return this.isEnabled('camera');
  }

  get isMicrophoneEnabled(): boolean {
    return this.isEnabled('microphone');
  }

  get isScreenShareEnabled(): boolean {
    return this.isEnabled('screen_share');
  }

  getTrackPublication(source: TrackSource): TrackPublication | undefined {
    return [...this.trackPublications.values()].find((publication) => publication.source === source);
  }

  /** The state before. @internal */
  setInfo(info: WireParticipant): WireParticipant {
    const previous = this.info;
    this.info = info;
    return previous;
  }

  /** Returns whether speaking began or ended. @internal */
  setAudio(level: number, speaking: boolean): boolean {
    const changed = speaking !== this.speaking;
    this.level = level;
    this.speaking = speaking;
    return changed;
  }

  /** Returns whether it changed. @internal */
  setConnectionQuality(quality: ConnectionQuality): boolean {
    const changed = quality !== this.quality;
    this.quality = quality;
    return changed;
  }

  private isEnabled(source: TrackSource): boolean {
    const publication = this.getTrackPublication(source);
    return publication !== undefined && !publication.isMuted;
  }
}
