/** Which camera, microphone and speaker are in use. */
import { requireDevice } from './devices';
import type { LocalParticipant } from './local-participant';
import type { LocalAudioTrack, LocalVideoTrack } from './local-track';
import type { RoomOptions } from './options';
import { RemoteAudioTrack } from './remote-track';
import type { RemoteTrack } from './remote-track';
import type { Roster } from './roster';

export class ActiveDevices {
  private readonly chosen = new Map<MediaDeviceKind, string>();

  constructor(
    private readonly options: RoomOptions,
    private readonly local: () => LocalParticipant,
    private readonly roster: () => Roster,
  ) {}

  /** Uses another device, now and for what is opened later. */
  async use(kind: MediaDeviceKind, deviceId: string): Promise<void> {
    await requireDevice(kind, deviceId);
    if (kind === 'audiooutput') {
      const publications = [...this.roster().participants.values()].flatMap((it) => [...it.trackPublications.values()]);
      await Promise.all(publications.map(({ track }) => (track instanceof RemoteAudioTrack ? track.setSinkId(deviceId) : undefined)));
    } else {
      const video = kind === 'videoinput';
      const publication = this.local().getTrackPublication(video ? 'camera' : 'microphone');
      await (publication?.track as LocalAudioTrack | LocalVideoTrack | undefined)?.setDeviceId(deviceId);
      const defaults = video ? 'videoCaptureDefaults' : 'audioCaptureDefaults';
      this.options[defaults] = { ...this.options[defaults], deviceId };
    }
    this.chosen.set(kind, deviceId);
  }

  /** The device that a local track uses, or that was chosen. */
  inUse(kind: MediaDeviceKind): string | undefined {
    const source = kind === 'videoinput' ? 'camera' : 'microphone';
    const used = kind === 'audiooutput' ? undefined : this.local().getTrackPublication(source)?.track.deviceId;
    return used ?? this.chosen.get(kind);
  }

  /** Lets a new track play where the others do. */
  adopt(track: RemoteTrack): void {
    const speaker = this.chosen.get('audiooutput');
    if (speaker !== undefined && track instanceof RemoteAudioTrack) void track.setSinkId(speaker).catch(() => undefined);
  }
}
