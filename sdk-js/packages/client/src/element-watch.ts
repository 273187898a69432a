/**
 * What media elements show: whether any part of each is on screen, and how large, in CSS pixels. Elements in
 * picture-in-picture are on screen wherever the page is; elements of a page in the background are not.
 *
 * One IntersectionObserver and one ResizeObserver serve all elements. Where a browser has none, elements count as visible.
 */

/** An element as it is now. */
export interface ElementView {
  visible: boolean;
  width: number;
  height: number;
}

interface PictureInPicture extends EventTarget {
  width: number;
  height: number;
}

interface Watched {
  intersects: boolean;
  width: number;
  height: number;
  window: PictureInPicture | undefined;
  changed: () => void;
  stop: () => void;
}

export class ElementWatch {
  private readonly watched = new Map<Element, Watched>();
  private intersections: IntersectionObserver | undefined;
  private sizes: ResizeObserver | undefined;
  private stopPage: (() => void) | undefined;

  constructor(private readonly pauseInBackground: boolean) {}

  /** Calls `changed` whenever the element's view may have changed. */
  watch(element: HTMLMediaElement, changed: () => void): void {
    if (this.watched.has(element)) this.unwatch(element);
    this.begin();
    const window = pictureInPictureOf(element);
    const { width, height } = element.getBoundingClientRect();
    const it: Watched = { intersects: this.intersections === undefined, width, height, window, changed, stop: () => undefined };
    it.stop = this.watchPictureInPicture(element, it);
    this.watched.set(element, it);
    this.intersections?.observe(element);
    this.sizes?.observe(element);
  }

  unwatch(element: Element): void {
    this.watched.get(element)?.stop();
    this.watched.delete(element);
    this.intersections?.unobserve(element);
    this.sizes?.unobserve(element);
    if (this.watched.size === 0) this.end();
  }

  /** Undefined: it is not watched. */
  view(element: Element): ElementView | undefined {
    const it = this.watched.get(element);
    if (!it) return undefined;
    if (it.window) return { visible: true, width: it.window.width || it.width, height: it.window.height || it.height };
    const inBackground = this.pauseInBackground && element.ownerDocument?.visibilityState === 'hidden';
    return { visible: it.intersects && !inBackground, width: it.width, height: it.height };
  }

  private begin(): void {
    if (this.stopPage) return;
    if (typeof IntersectionObserver !== 'undefined') this.intersections = new IntersectionObserver((entries) => this.onIntersections(entries));
    if (typeof ResizeObserver !== 'undefined') this.sizes = new ResizeObserver((entries) => this.onSizes(entries));
    const all = (): void => this.watched.forEach(({ changed }) => changed());
    const page = document;
    page.addEventListener('visibilitychange', all);
    // A window that moves to another screen, or is zoomed, has other pixels.
    page.defaultView?.addEventListener('resize', all);
    this.stopPage = () => {
      page.removeEventListener('visibilitychange', all);
      page.defaultView?.removeEventListener('resize', all);
    };
  }

  private end(): void {
    this.intersections?.disconnect();
    this.sizes?.disconnect();
    this.intersections = this.sizes = undefined;
    this.stopPage?.();
    this.stopPage = undefined;
  }

  private onIntersections(entries: readonly IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting } of entries) this.update(target, { intersects: isIntersecting });
  }

  private onSizes(entries: readonly ResizeObserverEntry[]): void {
    for (const { target, contentRect } of entries) this.update(target, { width: contentRect.width, height: contentRect.height });
  }

  private update(element: Element, change: Partial<Watched>): void {
    const it = this.watched.get(element);
    if (!it) return;
    Object.assign(it, change);
    it.changed();
  }

  private watchPictureInPicture(element: HTMLMediaElement, it: Watched): () => void {
    const resized = (): void => it.changed();
    const set = (window: PictureInPicture | undefined): void => {
      it.window?.removeEventListener('resize', resized);
      it.window = window;
      window?.addEventListener('resize', resized);
      it.changed();
    };
    const enter = (event: Event): void => set((event as Event & { pictureInPictureWindow: PictureInPicture }).pictureInPictureWindow);
    const leave = (): void => set(undefined);
    element.addEventListener('enterpictureinpicture', enter);
    element.addEventListener('leavepictureinpicture', leave);
    return () => {
      it.window?.removeEventListener('resize', resized);
      element.removeEventListener('enterpictureinpicture', enter);
      element.removeEventListener('leavepictureinpicture', leave);
    };
  }
}

/** The window of an element that was in picture-in-picture before it was watched; its size comes with the next resize. */
function pictureInPictureOf(element: Element): PictureInPicture | undefined {
  const shown = element.ownerDocument?.pictureInPictureElement === element;
  return shown ? Object.assign(new EventTarget(), { width: 0, height: 0 }) : undefined;
}
