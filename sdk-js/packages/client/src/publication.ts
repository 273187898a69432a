/** A participant's publication of a track, whether or not the track itself is here. */
import type { Track as WireTrack } from './generated/protocol';
import type { LocalTrack } from './local-track';
import type { RemoteTrack } from './remote-track';
import type { Track } from './track';
import { kindOf } from './types';
import type { TrackKind, TrackSource } from './types';

export abstract class TrackPublication {
  /** @internal */
  constructor(protected info: WireTrack) {}

  /** The track, where it is here. */
  abstract readonly track: Track | undefined;

  get trackSid(): string {
    return this.info.id;
  }

  get trackName(): string {
    return this.info.name;
  }

  get source(): TrackSource {
    return this.info.source;
  }

  get kind(): TrackKind {
    return kindOf(this.info.source);
  }

  get isMuted(): boolean {
    return this.info.muted;
  }

  /** `VP8`, `opus` and so on, once media has arrived at the server. */
  get codec(): string | undefined {
    return this.info.codec;
  }
}

/** What a remote publication needs of its room. @internal */
export type Subscriber = (track: string, wanted: boolean) => Promise<void>;

export class RemoteTrackPublication extends TrackPublication {
  private shown: RemoteTrack | undefined;

  /** @internal */
  constructor(
    info: WireTrack,
    private readonly subscriber: Subscriber,
  ) {
    super(info);
  }

  /** Present while a slot shows it. */
  get track(): RemoteTrack | undefined {
    return this.shown;
  }

  get isSubscribed(): boolean {
    return this.shown !== undefined;
  }

  /** Whether the server may show this track in a slot. */
  setSubscribed(wanted: boolean): Promise<void> {
    return this.subscriber(this.trackSid, wanted);
  }

  /** @internal */
  setTrack(track: RemoteTrack | undefined): void {
    this.shown = track;
  }

  /** Returns whether the mute state changed. @internal */
  update(info: WireTrack): boolean {
    const changed = info.muted !== this.info.muted;
    this.info = info;
    this.shown?.setMuted(info.muted);
    return changed;
  }
}

/** What a local publication needs of its participant. @internal */
export interface Muter {
  mute(publication: LocalTrackPublication): Promise<void>;
  unmute(publication: LocalTrackPublication): Promise<void>;
}

export class LocalTrackPublication extends TrackPublication {
  /** @internal */
  constructor(
    info: WireTrack,
    readonly track: LocalTrack,
    private readonly muter: Muter,
  ) {
    super(info);
    track.sid = info.id;
  }

  /** Others see it muted; a camera is switched off. The sender stays. */
  mute(): Promise<void> {
    return this.muter.mute(this);
  }

  unmute(): Promise<void> {
    return this.muter.unmute(this);
  }

  /** @internal */
  update(info: WireTrack): void {
    this.info = info;
    this.track.sid = info.id;
  }

  /** @internal */
  setMuted(muted: boolean): void {
    this.info = { ...this.info, muted };
  }
}
