/** A participant's publication of a track, whether or not the track itself is here. */
import { EventEmitter } from 'eventemitter3';
import type { Track as WireTrack, TrackPriority, VideoQuality } from './generated/protocol';
import type { Intent, Intents } from './intents';
import type { LocalTrack } from './local-track';
import { log } from './log';
import type { RemoteTrack } from './remote-track';
import { StreamState } from './stream-state';
import type { Track } from './track';
import { kindOf } from './types';
import type { TrackKind, TrackSource } from './types';
import type { VideoDimensions, Wishes } from './wishes';

export interface PublicationEvents {
  /** What the server sends of a remote video changed. */
  streamStateChanged: (state: StreamState) => void;
}

export abstract class TrackPublication extends EventEmitter<PublicationEvents> {
  /** @internal */
  constructor(protected info: WireTrack) {
    super();
  }

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
export interface Subscriber {
  subscribe: (track: string, wanted: boolean) => Promise<void>;
  wishes: Wishes;
  intents: Intents;
}

export class RemoteTrackPublication extends TrackPublication {
  private shown: RemoteTrack | undefined;
  private enabled = true;
  private stream: StreamState | undefined;

  /** @internal */
  constructor(
    info: WireTrack,
    private readonly subscriber: Subscriber,
    private readonly owner: string,
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
    this.subscriber.intents.change(this.owner, this.info, { subscribed: wanted });
    return this.subscriber.subscribe(this.trackSid, wanted);
  }

  get isEnabled(): boolean {
    return this.enabled;
  }

  /** What the server sends of a video and why; undefined before it said so. */
  get streamState(): StreamState | undefined {
    return this.stream;
  }

  /** False: nothing is sent of it, while its slot stays. Faster than {@link setSubscribed}, and nobody else moves up. */
  setEnabled(enabled: boolean): void {
    this.enabled = enabled;
    this.wish({ enabled });
  }

  /** At most this of the sizes that are published: the lowest, up to the middle, all. */
  setVideoQuality(quality: VideoQuality): void {
    this.wish({ quality });
  }

  /** No larger than is needed for this size, in physical pixels. With adaptive streams the smaller of both counts. */
  setVideoDimensions(dimensions: VideoDimensions): void {
    this.wish({ dimensions });
  }

  /** So many frames per second are enough. */
  setVideoFPS(fps: number): void {
    this.wish({ fps });
  }

  /** Who goes first when not everything fits. Shared screens are `high` unless this says otherwise. */
  setPriority(priority: TrackPriority): void {
    this.wish({ priority });
  }

  /** The track is known by an id that the server has not heard of: what was asked of it counts again. @internal */
  restore(): void {
    const intent = this.subscriber.intents.of(this.owner, this.info);
    if (!intent) return;
    this.enabled = intent.wish.enabled ?? true;
    this.subscriber.wishes.change(this.trackSid, intent.wish);
    this.restoreSubscription();
  }

  /** A new session knows nothing of subscriptions. @internal */
  restoreSubscription(): void {
    const wanted = this.subscriber.intents.of(this.owner, this.info)?.subscribed;
    if (wanted === undefined) return;
    this.subscriber.subscribe(this.trackSid, wanted).catch((error: unknown) => log.debug('a subscription was not restored', error));
  }

  /** The publication ended. @internal */
  forget(): void {
    this.subscriber.intents.forget(this.owner, this.info);
  }

  private wish(wish: Intent['wish']): void {
    this.subscriber.intents.change(this.owner, this.info, { wish });
    this.subscriber.wishes.change(this.trackSid, wish);
  }

  /** @internal */
  setTrack(track: RemoteTrack | undefined): void {
    this.shown = track;
    if (!track) this.stream = undefined;
  }

  /** @internal */
  setStreamState(state: StreamState | undefined): void {
    this.stream = state;
    if (state) this.emit('streamStateChanged', state);
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
