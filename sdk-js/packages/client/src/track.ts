/** Media in the page: what local and remote tracks share. */
import { EventEmitter } from 'eventemitter3';
import { TrackKind, TrackSource } from './types';

export interface TrackEvents {
  muted: () => void;
  unmuted: () => void;
  /** The device or the screen share ended by itself. */
  ended: () => void;
  /** The browser wants a click before it plays sound. */
  playbackBlocked: () => void;
  /** An element plays. */
  playbackStarted: () => void;
  elementAttached: (element: HTMLMediaElement) => void;
  elementDetached: (element: HTMLMediaElement) => void;
}

export abstract class Track extends EventEmitter<TrackEvents> {
  static readonly Source = TrackSource;
  static readonly Kind = TrackKind;

  /** The server's id, once published. */
  sid: string | undefined;
  private readonly elements = new Set<HTMLMediaElement>();
  private muted = false;

  constructor(
    readonly kind: TrackKind,
    readonly source: TrackSource,
  ) {
    super();
  }

  /** What the browser plays or sends. */
  abstract get mediaStreamTrack(): MediaStreamTrack;

  /** What elements may show now; undefined: nothing yet. */
  protected abstract get playable(): MediaStreamTrack | undefined;

  get isMuted(): boolean {
    return this.muted;
  }

  get attachedElements(): HTMLMediaElement[] {
    return [...this.elements];
  }

  /** Shows or plays the track in this element, or in a new one. An element holds one track. */
  attach(element: HTMLMediaElement = document.createElement(this.kind)): HTMLMediaElement {
    element.autoplay = true;
    if (this.kind === 'video') {
      (element as HTMLVideoElement).playsInline = true;
      element.setAttribute('playsinline', '');
      // Its sound, if any, is a track of its own; without this browsers may refuse to play.
      element.muted = true;
    }
    if (this.elements.has(element)) return element;
    OWNERS.get(element)?.detach(element);
    OWNERS.set(element, this);
    this.elements.add(element);
    this.show(element);
    this.emit('elementAttached', element);
    return element;
  }

  /** Empties this element, or all; returns what was emptied. */
  detach(element?: HTMLMediaElement): HTMLMediaElement[] {
    const leaving = element ? [element].filter((it) => this.elements.has(it)) : [...this.elements];
    for (const it of leaving) {
      this.elements.delete(it);
      OWNERS.delete(it);
      it.srcObject = null;
      this.emit('elementDetached', it);
    }
    return leaving;
  }

  /** Tries again to play, from a click. Rejects where the browser still refuses. */
  async play(): Promise<void> {
    await Promise.all([...this.elements].map((element) => element.play()));
    this.emit('playbackStarted');
  }

  /** Lets all elements show what is playable now. */
  protected refresh(): void {
    for (const element of this.elements) this.show(element);
  }

  protected setMutedState(muted: boolean): void {
    if (this.muted === muted) return;
    this.muted = muted;
    this.emit(muted ? 'muted' : 'unmuted');
  }

  private show(element: HTMLMediaElement): void {
    const track = this.playable;
    if (!track) {
      element.srcObject = null;
      return;
    }
    const shown = element.srcObject as MediaStream | null;
    if (shown?.getTracks()[0] === track) return;
    element.srcObject = new MediaStream([track]);
    element.play().then(
      () => this.emit('playbackStarted'),
      (error: unknown) => {
        if ((error as Error | undefined)?.name === 'NotAllowedError') this.emit('playbackBlocked');
      },
    );
  }
}

/** Which track an element shows, so that attaching another lets go of it. */
const OWNERS = /* @__PURE__ */ new WeakMap<HTMLMediaElement, Track>();
