/** A track of somebody else. It lives while a slot shows it, and moves with it from slot to slot. */
import { MediaDeviceError } from './errors';
import { waitForFrame } from './frame-gate';
import { Track } from './track';
import type { TrackSource } from './types';

/** The receiving half of a slot's m-line. */
export interface Line {
  readonly mid: string;
  readonly receiver: RTCRtpReceiver;
}

export abstract class RemoteTrack extends Track {
  private line: Line | undefined;
  private open = false;
  private stopWaiting: (() => void) | undefined;
  private lastTrack: MediaStreamTrack | undefined;

  get mediaStreamTrack(): MediaStreamTrack {
    const track = this.line?.receiver.track ?? this.lastTrack;
    if (!track) throw new Error('a remote track that was never bound');
    return track;
  }

  /** The receiver, for statistics; undefined while no slot shows the track. */
  get receiver(): RTCRtpReceiver | undefined {
    return this.line?.receiver;
  }

  /** Whether frames are let through to elements: false until one surely belongs to this track. */
  get isVisible(): boolean {
    return this.open;
  }

  protected get playable(): MediaStreamTrack | undefined {
    return this.open ? this.line?.receiver.track : undefined;
  }

  /** The slot's m-line shows this track from the first frame after `after` on. @internal */
  bind(line: Line, after: number | null): void {
    this.unbind();
    this.line = line;
    this.lastTrack = line.receiver.track;
    if (after === null || this.kind === 'audio') return this.letThrough();
    this.stopWaiting = waitForFrame(line.receiver.track, after, () => this.letThrough());
  }

  /** The slot shows it no longer: every element is empty when this returns. Not if another line shows it. @internal */
  unbind(line: Line | undefined = this.line): void {
    if (line?.mid !== this.line?.mid) return;
    this.stopWaiting?.();
    this.stopWaiting = undefined;
    this.line = undefined;
    this.open = false;
    this.refresh();
  }

  /** @internal */
  setMuted(muted: boolean): void {
    this.setMutedState(muted);
  }

  private letThrough(): void {
    this.open = true;
    this.refresh();
  }
}

export class RemoteVideoTrack extends RemoteTrack {
  constructor(source: TrackSource) {
    super('video', source);
  }
}

export class RemoteAudioTrack extends RemoteTrack {
  private volume = 1;
  private sinkId: string | undefined;

  constructor(source: TrackSource) {
    super('audio', source);
  }

  override attach(element?: HTMLMediaElement): HTMLMediaElement {
    const attached = super.attach(element);
    attached.volume = this.volume;
    if (this.sinkId !== undefined) void this.setSinkId(this.sinkId).catch(() => undefined);
    return attached;
  }

  /** 0 to 1, for all elements of the track. */
  setVolume(volume: number): void {
    this.volume = Math.min(1, Math.max(0, volume));
    for (const element of this.attachedElements) element.volume = this.volume;
  }

  /** Plays on this speaker. */
  async setSinkId(deviceId: string): Promise<void> {
    this.sinkId = deviceId;
    for (const element of this.attachedElements) {
      if (typeof element.setSinkId !== 'function') throw new MediaDeviceError('unsupported', 'audiooutput');
      await element.setSinkId(deviceId).catch((error: unknown) => {
        throw MediaDeviceError.from(error, 'audiooutput');
      });
    }
  }
}
