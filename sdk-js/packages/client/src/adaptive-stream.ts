/**
 * Tells how large each remote video is shown, and whether at all, so that the server sends no more than is seen.
 *
 * Of several elements the largest visible one counts. What grows or comes into view is told at once, what shrinks after
 * {@link SHRINK_DELAY} and what is hidden after {@link HIDE_DELAY}: a picture too large for a moment is no harm, one too small is.
 */
import { ElementWatch } from './element-watch';
import type { AdaptiveStreamOptions } from './options';
import type { RemoteTrack } from './remote-track';
import type { View } from './wishes';

/** Milliseconds for which a smaller size must last. */
const SHRINK_DELAY = 300;
/** Milliseconds for which a track must be hidden: scrolling past, or moving an element, is not hiding it. */
const HIDE_DELAY = 1000;
/** Device pixels per CSS pixel beyond which more detail is not seen in moving pictures. */
const MAX_DENSITY = 2;

interface Following {
  told: View | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** What the timer waits to tell. */
  waitsFor: 'smaller' | 'hidden' | undefined;
  stop: () => void;
}

export class AdaptiveStream {
  private readonly elements: ElementWatch;
  private readonly density: number | 'screen';
  private readonly following = new Map<RemoteTrack, Following>();

  constructor(
    options: AdaptiveStreamOptions,
    private readonly tell: (track: RemoteTrack, view: View) => void,
  ) {
    this.elements = new ElementWatch(options.pauseVideoInBackground !== false);
    this.density = options.pixelDensity ?? 'screen';
  }

  /** A track is shown by a slot: its elements, and those that come, decide. */
  follow(track: RemoteTrack): void {
    if (track.kind !== 'video' || this.following.has(track)) return;
    const attached = (element: HTMLMediaElement): void => {
      this.elements.watch(element, () => this.look(track));
      this.look(track);
    };
    const detached = (element: HTMLMediaElement): void => {
      this.elements.unwatch(element);
      this.look(track);
    };
    track.on('elementAttached', attached);
    track.on('elementDetached', detached);
    const stop = (): void => {
      track.off('elementAttached', attached);
      track.off('elementDetached', detached);
      track.attachedElements.forEach((element) => this.elements.unwatch(element));
    };
    this.following.set(track, { told: undefined, timer: undefined, waitsFor: undefined, stop });
    track.attachedElements.forEach(attached);
    this.look(track);
  }

  /** No slot shows the track any more. */
  unfollow(track: RemoteTrack): void {
    const it = this.following.get(track);
    if (!it) return;
    clearTimeout(it.timer);
    it.stop();
    this.following.delete(track);
  }

  private look(track: RemoteTrack): void {
    const it = this.following.get(track);
    if (!it) return;
    const view = this.viewOf(track);
    const change = compare(it.told, view);
    if (change === 'larger') return this.say(track, it, view);
    if (change === it.waitsFor) return;
    clearTimeout(it.timer);
    it.waitsFor = change;
    if (!change) return;
    it.timer = setTimeout(() => this.say(track, it, this.viewOf(track)), change === 'hidden' ? HIDE_DELAY : SHRINK_DELAY);
  }

  private say(track: RemoteTrack, it: Following, view: View): void {
    clearTimeout(it.timer);
    it.waitsFor = undefined;
    it.told = view;
    this.tell(track, view);
  }

  private viewOf(track: RemoteTrack): View {
    const views = track.attachedElements.flatMap((element) => this.elements.view(element) ?? []).filter(({ visible }) => visible);
    const largest = views.reduce((best, it) => (it.width * it.height > best.width * best.height ? it : best), { width: 0, height: 0 });
    const density = this.density === 'screen' ? Math.min(MAX_DENSITY, globalThis.devicePixelRatio || 1) : this.density;
    const [width, height] = [Math.ceil(largest.width * density), Math.ceil(largest.height * density)];
    // An element without extent shows nothing, wherever it is.
    return { visible: width > 0 && height > 0, width, height };
  }
}

/** What happened to a view, and so how soon it is told. Undefined: nothing. */
function compare(told: View | undefined, now: View): 'larger' | 'smaller' | 'hidden' | undefined {
  if (!now.visible) return told?.visible === false ? undefined : 'hidden';
  if (!told?.visible || now.width > told.width || now.height > told.height) return 'larger';
  return now.width < told.width || now.height < told.height ? 'smaller' : undefined;
}
