/** As much of a page as tracks need: media elements that hold what they were given. */
import { vi } from 'vitest';
import { FakeTrack } from './fake-peer';

export class FakeStream {
  constructor(private readonly tracks: FakeTrack[]) {}
  getTracks(): FakeTrack[] {
    return this.tracks;
  }
}

/** A document in the foreground or background. */
export class FakeDocument extends EventTarget {
  visibilityState: 'visible' | 'hidden' = 'visible';
  readonly defaultView = new EventTarget();
  pictureInPictureElement: FakeElement | null = null;
  createElement(tag: string): FakeElement {
    return new FakeElement(tag, this);
  }
  become(state: 'visible' | 'hidden'): void {
    this.visibilityState = state;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}

export class FakeElement extends EventTarget {
  srcObject: FakeStream | null = null;
  autoplay = false;
  muted = false;
  volume = 1;
  refuses = false;
  constructor(
    readonly tag: string,
    readonly ownerDocument = new FakeDocument(),
  ) {
    super();
  }
  getBoundingClientRect(): { width: number; height: number } {
    return { width: 0, height: 0 };
  }
  setAttribute(): void {}
  async play(): Promise<void> {
    if (this.refuses) throw Object.assign(new Error('refused'), { name: 'NotAllowedError' });
  }
  /** What it shows. */
  get shown(): FakeTrack | undefined {
    return this.srcObject?.getTracks()[0];
  }
}

type Report = (entries: object[]) => void;

/** IntersectionObserver and ResizeObserver, which see what a test says. */
export class FakeObservers {
  private readonly intersections = new Set<Report>();
  private readonly sizes = new Set<Report>();
  /** Elements that are observed for their size. */
  readonly observed = new Set<object>();

  stub(): void {
    const { intersections, sizes, observed } = this;
    const make = (reports: Set<Report>, targets: Set<object>): object =>
      class {
        constructor(private readonly report: Report) {
          reports.add(report);
        }
        observe(element: object): void {
          targets.add(element);
        }
        unobserve(element: object): void {
          targets.delete(element);
        }
        disconnect(): void {
          reports.delete(this.report);
        }
      };
    vi.stubGlobal('IntersectionObserver', make(intersections, new Set()));
    vi.stubGlobal('ResizeObserver', make(sizes, observed));
  }

  intersect(target: object, isIntersecting: boolean): void {
    for (const report of this.intersections) report([{ target, isIntersecting }]);
  }

  resize(target: object, width: number, height: number): void {
    for (const report of this.sizes) report([{ target, contentRect: { width, height } }]);
  }
}

export function stubPage(): FakeDocument {
  const page = new FakeDocument();
  vi.stubGlobal('MediaStream', FakeStream);
  vi.stubGlobal('document', page);
  const getUserMedia = async (constraints: MediaStreamConstraints): Promise<FakeStream> =>
    new FakeStream([new FakeTrack(constraints.audio ? 'audio' : 'video')]);
  vi.stubGlobal('navigator', { mediaDevices: { getUserMedia }, userAgent: 'test' });
  return page;
}
