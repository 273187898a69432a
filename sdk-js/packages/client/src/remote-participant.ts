/** Somebody else in the room. */
import type { Participant as WireParticipant } from './generated/protocol';
import { Participant } from './participant';
import type { RemoteTrackPublication } from './publication';
import type { RemoteAudioTrack } from './remote-track';
import type { TrackSource } from './types';

export class RemoteParticipant extends Participant {
  readonly isLocal = false;
  readonly trackPublications = new Map<string, RemoteTrackPublication>();

  /** @internal */
  constructor(info: WireParticipant) {
    super(info);
  }

  override getTrackPublication(source: TrackSource): RemoteTrackPublication | undefined {
    return super.getTrackPublication(source) as RemoteTrackPublication | undefined;
  }

  /** How loud this participant is played here, 0 to 1. */
  setVolume(volume: number, source: 'microphone' | 'screen_share_audio' = 'microphone'): void {
    (this.getTrackPublication(source)?.track as RemoteAudioTrack | undefined)?.setVolume(volume);
  }
}
