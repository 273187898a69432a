/** One picture of somebody: a camera, or a shared screen. It shows state; it decides nothing. */

import { ConnectionQuality, RemoteTrackPublication, type Participant, type StreamState, type TrackSource } from '@madang/client';

import { h } from '../ui/dom';
import { icon } from '../ui/icon';
import type { Rect } from './layout';

const BARS: Record<string, { level: number; text: string }> = {
  [ConnectionQuality.Excellent]: { level: 3, text: 'connection excellent' },
  [ConnectionQuality.Good]: { level: 2, text: 'connection good' },
  [ConnectionQuality.Poor]: { level: 1, text: 'connection poor' },
  [ConnectionQuality.Lost]: { level: 0, text: 'connection lost' },
};

/** What people should be told unasked: the picture is worse than it could be, or missing, for a reason that is not theirs. */
const WORTH_TELLING: readonly StreamState['limit'][] = ['bandwidth', 'overload', 'codec'];

/** The initials of a name, at most two. */
function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  return words.slice(0, 2).map((word) => [...word][0] ?? '').join('').toUpperCase() || '?';
}

/** A tile. */
export class Tile {
  readonly element: HTMLElement;
  private readonly avatar = h('div', { class: 'avatar', 'aria-hidden': 'true' });
  private readonly name = h('span', { class: 'name' });
  private readonly muted = h('span', { hidden: true, title: 'Microphone off' }, icon('micOff'));
  private readonly speaks = h('span', { class: 'speaks', hidden: true, title: 'Speaking' }, icon('speaks'));
  private readonly bars = h('span', { class: 'bars', hidden: true }, h('i'), h('i'), h('i'));
  private readonly hand = h('div', { class: 'hand', hidden: true }, icon('hand'), 'Hand up');
  private readonly why = h('p', { class: 'why' });
  private readonly pin: HTMLButtonElement;
  private video: HTMLMediaElement | undefined;
  private unavailable: string | undefined;

  constructor(
    readonly key: string,
    readonly participant: Participant,
    readonly source: TrackSource,
    onPin: (key: string) => void,
  ) {
    this.pin = h('button', { class: 'button square pin', type: 'button', 'aria-pressed': 'false', onclick: () => onPin(key) }, icon('pin'));
    const plate = h('div', { class: 'plate' }, this.muted, this.speaks, this.name, this.bars);
    this.element = h('article', { class: this.isScreen ? 'tile screen' : 'tile', 'data-identity': participant.identity, 'data-source': source, hidden: true }, this.avatar, this.why, plate, this.hand, this.pin);
    this.update();
  }

  /** Whether it is a shared screen. */
  get isScreen(): boolean {
    return this.source === 'screen_share';
  }

  /** What the tile is called. */
  get title(): string {
    const who = this.participant.isLocal ? 'You' : this.participant.name || this.participant.identity;
    if (!this.isScreen) return who;
    return this.participant.isLocal ? 'Your screen' : `${who}’s screen`;
  }

  /** Puts it somewhere; undefined: out of sight. */
  place(rect: Rect | undefined): void {
    this.element.hidden = !rect;
    if (!rect) return;
    const { style } = this.element;
    style.left = `${rect.x}px`;
    style.top = `${rect.y}px`;
    style.width = `${rect.width}px`;
    style.height = `${rect.height}px`;
  }

  /** Shows the participant's state as it is now. */
  update(): void {
    const { participant } = this;
    const publication = participant.getTrackPublication(this.source);
    const stream = publication instanceof RemoteTrackPublication && !publication.isMuted ? publication.streamState : undefined;
    this.showVideo(publication && !publication.isMuted ? publication.track : undefined);
    const why = this.showWhy(stream);
    const muted = !this.isScreen && !participant.isMicrophoneEnabled;
    const hand = !this.isScreen && participant.attributes['hand'] === 'up';
    const speaking = !this.isScreen && participant.isSpeaking && !muted;
    this.name.textContent = this.title;
    this.avatar.textContent = initials(participant.name || participant.identity);
    this.muted.hidden = !muted;
    this.hand.hidden = !hand;
    this.speaks.hidden = !speaking;
    this.element.classList.toggle('speaking', speaking);
    const quality = this.showQuality();
    const states = [muted && 'microphone off', hand && 'hand raised', quality, why].filter(Boolean);
    this.element.setAttribute('aria-label', [this.title, ...states].join(', '));
  }

  /** Whether it is pinned. */
  showPinned(pinned: boolean): void {
    this.pin.setAttribute('aria-pressed', String(pinned));
    this.pin.setAttribute('aria-label', `${pinned ? 'Unpin' : 'Pin'} ${this.title}`);
  }

  /** Lets the picture go. */
  remove(): void {
    this.showVideo(undefined);
    this.element.remove();
  }

  /** Why the picture is as it is. What is worth telling is returned, and seen without asking. */
  private showWhy(stream: StreamState | undefined): string {
    const paused = stream?.state === 'paused';
    const picture = this.hasPicture;
    const missing = this.missing();
    const telling = stream !== undefined && (WORTH_TELLING.includes(stream.limit) || (paused && stream.limit !== 'hidden'));
    this.why.textContent = missing || (stream?.describe() ?? '');
    this.why.classList.toggle('telling', telling || missing !== '');
    // The last frame before a pause is not what happens now.
    this.element.classList.toggle('paused', paused);
    this.avatar.hidden = picture && !paused;
    return telling || missing ? (this.why.textContent ?? '') : '';
  }

  private get hasPicture(): boolean {
    return this.video instanceof HTMLVideoElement && this.video.videoWidth > 0;
  }

  /** Why there is no picture of something that is published; empty: there is one, or none is expected, or the server says why. */
  private missing(): string {
    const publication = this.participant.getTrackPublication(this.source);
    if (!(publication instanceof RemoteTrackPublication) || publication.isMuted || this.hasPicture) return '';
    if (this.unavailable === publication.trackSid) return 'This browser cannot show this kind of video';
    if (publication.track) return publication.streamState?.state === 'paused' ? '' : 'No picture yet';
    return this.isScreen ? 'Not shown: as many screens as fit are shown. Pin this one to see it' : '';
  }

  /** The browser has no codec for what is published. */
  showUnavailable(trackSid: string): void {
    this.unavailable = trackSid;
    this.update();
  }

  private showQuality(): string {
    const bars = this.isScreen ? undefined : BARS[this.participant.connectionQuality];
    this.bars.hidden = !bars;
    this.bars.dataset['level'] = String(bars?.level ?? 0);
    this.bars.title = bars?.text ?? '';
    return bars?.text ?? '';
  }

  private showVideo(track: { attach(element?: HTMLMediaElement): HTMLMediaElement; detach(element: HTMLMediaElement): unknown; attachedElements: HTMLMediaElement[] } | undefined): void {
    if (this.video && (!track || !track.attachedElements.includes(this.video))) {
      this.shown?.detach(this.video);
      this.video.remove();
      this.video = undefined;
    }
    this.shown = track;
    if (track && !this.video) {
      this.video = track.attach();
      this.video.setAttribute('playsinline', '');
      this.video.muted = true;
      this.video.classList.toggle('mirror', this.participant.isLocal && !this.isScreen);
      // Until its first frame an element is black, and stays so where the browser cannot decode what comes.
      for (const event of ['loadeddata', 'resize', 'emptied']) this.video.addEventListener(event, () => this.update());
      this.element.insertBefore(this.video, this.avatar.nextSibling);
    }
  }

  private shown: { detach(element: HTMLMediaElement): unknown } | undefined;
}
