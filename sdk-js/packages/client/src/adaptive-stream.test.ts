import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AdaptiveStream } from './adaptive-stream';
import type { AdaptiveStreamOptions } from './options';
import { RemoteVideoTrack } from './remote-track';
import { FakeObservers, stubPage } from './testing/page';
import type { FakeDocument, FakeElement } from './testing/page';
import type { View } from './wishes';

let page: FakeDocument;
let observers: FakeObservers;
let told: View[];
let track: RemoteVideoTrack;
let stream: AdaptiveStream;

function begin(options: AdaptiveStreamOptions = { pixelDensity: 1 }): void {
  stream = new AdaptiveStream(options, (_track, view) => told.push(view));
  stream.follow(track);
}

/** An element of this size on screen. */
function show(width: number, height: number): FakeElement {
  const element = track.attach() as unknown as FakeElement;
  observers.resize(element, width, height);
  observers.intersect(element, true);
  return element;
}

const visible = (width: number, height: number): View => ({ visible: true, width, height });
const HIDDEN: View = { visible: false, width: 0, height: 0 };

beforeEach(() => {
  vi.useFakeTimers();
  page = stubPage();
  observers = new FakeObservers();
  observers.stub();
  told = [];
  track = new RemoteVideoTrack('camera');
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('adaptive stream', () => {
  it('tells at once what comes into view or grows, and later what shrinks', () => {
    begin();
    const element = show(320, 180);
    expect(told).toEqual([visible(320, 180)]);
    observers.resize(element, 640, 360);
    expect(told.at(-1)).toEqual(visible(640, 360));
    observers.resize(element, 200, 100);
    vi.advanceTimersByTime(299);
    expect(told).toHaveLength(2);
    observers.resize(element, 160, 90);
    vi.advanceTimersByTime(1);
    expect(told.at(-1)).toEqual(visible(160, 90));
    vi.advanceTimersByTime(5000);
    expect(told).toHaveLength(3);
  });

  it('tells what is hidden after a second, and never what was hidden for less', () => {
    begin();
    const element = show(320, 180);
    observers.intersect(element, false);
    vi.advanceTimersByTime(999);
    observers.intersect(element, true);
    vi.advanceTimersByTime(5000);
    expect(told).toEqual([visible(320, 180)]);
    observers.intersect(element, false);
    vi.advanceTimersByTime(1000);
    expect(told.at(-1)).toEqual(HIDDEN);
    observers.intersect(element, true);
    expect(told.at(-1)).toEqual(visible(320, 180));
  });

  it('takes a track without an element for hidden', () => {
    begin();
    vi.advanceTimersByTime(1000);
    expect(told).toEqual([HIDDEN]);
    const element = show(320, 180);
    track.detach(element as unknown as HTMLMediaElement);
    vi.advanceTimersByTime(1000);
    expect(told).toEqual([HIDDEN, visible(320, 180), HIDDEN]);
  });

  it('takes the largest element that is visible', () => {
    begin();
    show(320, 180);
    const large = show(1280, 720);
    expect(told.at(-1)).toEqual(visible(1280, 720));
    observers.intersect(large, false);
    vi.advanceTimersByTime(300);
    expect(told.at(-1)).toEqual(visible(320, 180));
  });

  it('counts the pixels of the screen, up to two for one', () => {
    vi.stubGlobal('devicePixelRatio', 1.5);
    begin({});
    show(100, 51);
    expect(told.at(-1)).toEqual(visible(150, 77));
    vi.stubGlobal('devicePixelRatio', 4);
    page.defaultView.dispatchEvent(new Event('resize'));
    expect(told.at(-1)).toEqual(visible(200, 102));
  });

  it('pauses in the background, unless told not to or in picture-in-picture', () => {
    begin();
    const element = show(320, 180);
    page.become('hidden');
    vi.advanceTimersByTime(1000);
    expect(told.at(-1)).toEqual(HIDDEN);
    const window = Object.assign(new EventTarget(), { width: 240, height: 135 });
    element.dispatchEvent(Object.assign(new Event('enterpictureinpicture'), { pictureInPictureWindow: window }));
    expect(told.at(-1)).toEqual(visible(240, 135));
    window.width = 480;
    window.dispatchEvent(new Event('resize'));
    expect(told.at(-1)).toEqual(visible(480, 135));
    element.dispatchEvent(new Event('leavepictureinpicture'));
    vi.advanceTimersByTime(1000);
    expect(told.at(-1)).toEqual(HIDDEN);
    page.become('visible');
    expect(told.at(-1)).toEqual(visible(320, 180));
    stream.unfollow(track);

    told = [];
    begin({ pixelDensity: 1, pauseVideoInBackground: false });
    observers.resize(element, 320, 180);
    observers.intersect(element, true);
    page.become('hidden');
    vi.advanceTimersByTime(5000);
    expect(told).toEqual([visible(320, 180)]);
  });

  it('lets go of everything', () => {
    begin();
    const element = show(320, 180);
    observers.intersect(element, false);
    stream.unfollow(track);
    vi.advanceTimersByTime(5000);
    track.attach();
    expect(told).toEqual([visible(320, 180)]);
    expect(observers.observed.size).toBe(0);
  });

  it('takes elements for visible where a browser cannot tell', () => {
    vi.stubGlobal('IntersectionObserver', undefined);
    begin();
    const element = track.attach() as unknown as FakeElement;
    observers.resize(element, 320, 180);
    expect(told).toEqual([visible(320, 180)]);
  });
});
