/** Tracks of our own devices. The sender that carries one is kept over mute, device changes and processors. */
import { capture } from './devices';
import type { AudioCaptureOptions, VideoCaptureOptions } from './options';
import { Track } from './track';
import type { TrackKind, TrackSource } from './types';

/** Changes a track before it is sent, for example by blurring the background. */
export interface TrackProcessor {
  /** Returns the track to send in place of `track`. Called again when the device changes. */
  init(track: MediaStreamTrack): Promise<MediaStreamTrack>;
  destroy(): Promise<void>;
}

export abstract class LocalTrack extends Track {
  private captured: MediaStreamTrack;
  private processed: MediaStreamTrack | undefined;
  private processor: TrackProcessor | undefined;
  private carrier: RTCRtpSender | undefined;
  private live = true;

  constructor(
    track: MediaStreamTrack,
    kind: TrackKind,
    source: TrackSource,
    /** False: the application made the track and keeps it. */
    private readonly owned = true,
  ) {
    super(kind, source);
    this.captured = track;
    this.watch(track);
  }

  get mediaStreamTrack(): MediaStreamTrack {
    return this.processed ?? this.captured;
  }

  protected get playable(): MediaStreamTrack | undefined {
    return this.live ? this.mediaStreamTrack : undefined;
  }

  /** The sender that carries the track, for statistics. */
  get sender(): RTCRtpSender | undefined {
    return this.carrier;
  }

  /** The device that the track comes from. */
  get deviceId(): string | undefined {
    return this.captured.getSettings().deviceId;
  }

  /** Lets a sender carry the track, or none. @internal */
  async setSender(sender: RTCRtpSender | undefined): Promise<void> {
    this.carrier = sender;
    await sender?.replaceTrack(this.live ? this.mediaStreamTrack : null);
  }

  /** Sends through a processor, or, without one, the device's own track. */
  async setProcessor(processor?: TrackProcessor): Promise<void> {
    const old = this.processor;
    this.processor = processor;
    await this.process();
    await old?.destroy();
  }

  /** Makes it silent or dark for others, without the server knowing; `publication.mute()` also tells everybody. */
  async mute(): Promise<void> {
    this.captured.enabled = false;
    if (this.processed) this.processed.enabled = false;
    this.setMutedState(true);
  }

  async unmute(): Promise<void> {
    this.captured.enabled = true;
    if (this.processed) this.processed.enabled = true;
    this.setMutedState(false);
  }

  /** Ends the device. */
  stop(): void {
    this.live = false;
    this.processed?.stop();
    this.unwatch(this.captured);
    this.captured.stop();
    this.refresh();
  }

  /** Whether the device still delivers. */
  get isLive(): boolean {
    return this.live && this.captured.readyState === 'live';
  }

  /** Whether {@link stop} may be called by the SDK. @internal */
  get isOwned(): boolean {
    return this.owned;
  }

  /** Captures again, as at first. `strict`: this device or none. */
  protected abstract recapture(strict: boolean): Promise<MediaStreamTrack>;

  /** Captures again, with what `recapture` says now. The old device is stopped first, as iOS needs it. */
  protected async reopen(strict = false): Promise<void> {
    this.unwatch(this.captured);
    this.captured.stop();
    try {
      this.captured = await this.recapture(strict);
    } catch (error) {
      this.live = false;
      this.refresh();
      await this.carrier?.replaceTrack(null);
      throw error;
    }
    this.captured.enabled = !this.isMuted;
    this.live = true;
    this.watch(this.captured);
    await this.process();
  }

  /** Ends the device but keeps the sender. */
  protected async close(): Promise<void> {
    await this.carrier?.replaceTrack(null);
    this.stop();
  }

  private async process(): Promise<void> {
    this.processed = await this.processor?.init(this.captured);
    await this.carrier?.replaceTrack(this.mediaStreamTrack);
    this.refresh();
  }

  private readonly handleEnded = (): void => {
    this.live = false;
    this.refresh();
    this.emit('ended');
  };

  private watch(track: MediaStreamTrack): void {
    track.addEventListener('ended', this.handleEnded);
  }

  private unwatch(track: MediaStreamTrack): void {
    track.removeEventListener('ended', this.handleEnded);
  }
}

export class LocalAudioTrack extends LocalTrack {
  constructor(
    track: MediaStreamTrack,
    source: TrackSource = 'microphone',
    private options: AudioCaptureOptions = {},
    owned = true,
  ) {
    super(track, 'audio', source, owned);
  }

  /** Switches to another microphone. Where that cannot be opened, the one before goes on. */
  async setDeviceId(deviceId: ConstrainDOMString): Promise<void> {
    const before = this.options;
    this.options = { ...before, deviceId };
    try {
      await this.reopen(true);
    } catch (error) {
      this.options = before;
      await this.reopen();
      throw error;
    }
  }

  override async unmute(): Promise<void> {
    // A muted microphone that was unplugged, or taken away by the system, is captured anew.
    if (!this.isLive && this.isOwned && this.source === 'microphone') await this.reopen();
    await super.unmute();
  }

  protected recapture(strict: boolean): Promise<MediaStreamTrack> {
    return capture('audioinput', this.options, strict);
  }
}

export class LocalVideoTrack extends LocalTrack {
  constructor(
    track: MediaStreamTrack,
    source: TrackSource = 'camera',
    private options: VideoCaptureOptions = {},
    owned = true,
  ) {
    super(track, 'video', source, owned);
  }

  /** Switches to another camera, or from front to back. Where that cannot be opened, the one before goes on. */
  async setDeviceId(deviceId: ConstrainDOMString): Promise<void> {
    const before = this.options;
    const { facingMode: _facingMode, ...options } = before;
    this.options = { ...options, deviceId };
    if (this.isMuted) return;
    try {
      await this.reopen(true);
    } catch (error) {
      await this.restart(before);
      throw error;
    }
  }

  /** Captures again with other options. While the camera is off they are kept for later. */
  async restart(options: VideoCaptureOptions = this.options): Promise<void> {
    this.options = options;
    if (!this.isMuted) await this.reopen();
  }

  /** The camera is switched off, so that its light goes out. */
  override async mute(): Promise<void> {
    if (this.source === 'camera' && this.isOwned) await this.close();
    await super.mute();
  }

  override async unmute(): Promise<void> {
    if (!this.isLive && this.isOwned && this.source === 'camera') await this.reopen();
    await super.unmute();
  }

  protected recapture(strict: boolean): Promise<MediaStreamTrack> {
    return capture('videoinput', this.options, strict);
  }
}
