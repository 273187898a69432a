/** Watches what elements really present: when frames come, how large they are, and which colour they have. */

const sampler = Object.assign(document.createElement('canvas'), { width: 8, height: 8 });
const pen = sampler.getContext('2d', { willReadFrequently: true });

/**
 * The middle of what an element shows; undefined: it shows nothing yet.
 *
 * An element may know its size before it has a picture, and `drawImage` of such an element silently draws nothing. The canvas
 * is emptied first: else the colour of whatever element was sampled before would be read as this one's.
 */
export function colourOf(video: HTMLVideoElement): [number, number, number] | undefined {
  if (!pen || !video.videoWidth) return undefined;
  pen.clearRect(0, 0, sampler.width, sampler.height);
  pen.drawImage(video, video.videoWidth / 2 - 4, video.videoHeight / 2 - 4, 8, 8, 0, 0, 8, 8);
  const [r = 0, g = 0, b = 0, alpha = 0] = pen.getImageData(4, 4, 1, 1).data;
  return alpha > 0 ? [r, g, b] : undefined;
}

/** The hue's name; undefined where it is none of the three that publishers send. */
export function nameColour([r, g, b]: [number, number, number]): string | undefined {
  const ordered = [
    { name: 'red', value: r },
    { name: 'green', value: g },
    { name: 'blue', value: b },
  ].sort((x, y) => y.value - x.value);
  const [first, second] = ordered;
  return first && second && first.value - second.value > 60 ? first.name : undefined;
}

/** Whether a person would see the element. */
function isSeen(element: HTMLElement): boolean {
  if (!element.isConnected) return false;
  const style = getComputedStyle(element);
  return style.visibility !== 'hidden' && style.display !== 'none' && Number(style.opacity) > 0;
}

/** One video element under watch. */
export class Watch {
  frames = 0;
  maxGap = 0;
  firstFrameAt: number | undefined;
  firstWidth = 0;
  lastFrameAt: number | undefined;
  width = 0;
  height = 0;
  /** How often each colour was seen. */
  readonly colours: Record<string, number> = {};

  constructor(
    readonly element: HTMLVideoElement,
    private readonly sampleColours: boolean,
  ) {
    element.requestVideoFrameCallback(this.onFrame);
    if (sampleColours) requestAnimationFrame(this.onAnimation);
  }

  /** Gaps are counted from now. */
  restart(): void {
    this.frames = 0;
    this.maxGap = 0;
    this.lastFrameAt = undefined;
  }

  private readonly onFrame = (now: number): void => {
    if (this.lastFrameAt !== undefined) this.maxGap = Math.max(this.maxGap, now - this.lastFrameAt);
    if (this.firstFrameAt === undefined) [this.firstFrameAt, this.firstWidth] = [now, this.element.videoWidth];
    this.lastFrameAt = now;
    this.frames += 1;
    this.width = this.element.videoWidth;
    this.height = this.element.videoHeight;
    this.sample();
    this.element.requestVideoFrameCallback(this.onFrame);
  };

  /** Between frames too: an element may show an old picture without a new frame. */
  private readonly onAnimation = (): void => {
    this.sample();
    if (this.element.isConnected) requestAnimationFrame(this.onAnimation);
  };

  private sample(): void {
    if (!this.sampleColours || !isSeen(this.element)) return;
    const colour = colourOf(this.element);
    const name = colour ? nameColour(colour) : undefined;
    if (name) this.colours[name] = (this.colours[name] ?? 0) + 1;
  }
}
