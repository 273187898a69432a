import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { isAfter, waitForFrame } from './frame-gate';
import { FakeTrack } from './testing/fake-peer';
import { FakeElement, stubPage } from './testing/page';

type FrameCallback = (now: number, frame: { rtpTimestamp?: number }) => void;

/** An element that presents frames when a test says so. */
class Probe extends FakeElement {
  totalVideoFrames = 0;
  private waiting: FrameCallback[] = [];

  requestVideoFrameCallback(callback: FrameCallback): void {
    this.waiting.push(callback);
  }

  getVideoPlaybackQuality(): { totalVideoFrames: number } {
    return this;
  }

  /** Presents a frame; without a timestamp as some browsers do. */
  present(rtpTimestamp?: number): void {
    this.totalVideoFrames += 1;
    for (const callback of this.waiting.splice(0)) callback(0, rtpTimestamp === undefined ? {} : { rtpTimestamp });
  }
}

const AFTER = 5_000;
const open = vi.fn();
let probe: Probe;
let stop: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  stubPage();
  probe = new Probe('video');
  vi.stubGlobal('document', { createElement: () => probe });
  open.mockClear();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const wait = (after: number): void => {
  stop = waitForFrame(new FakeTrack('video') as unknown as MediaStreamTrack, after, open);
};

it('orders timestamps across the wrap', () => {
  expect(isAfter(AFTER, AFTER)).toBe(false);
  expect(isAfter(AFTER + 1, AFTER)).toBe(true);
  expect(isAfter(AFTER - 1, AFTER)).toBe(false);
  expect(isAfter(10, 0xffff_fff0)).toBe(true);
  expect(isAfter(0xffff_fff0, 10)).toBe(false);
});

it('opens at the first later frame, not at the last of the old track, and only once', () => {
  wait(AFTER);
  probe.present(AFTER - 3_000);
  probe.present(AFTER);
  vi.advanceTimersByTime(10_000);
  expect(open).not.toHaveBeenCalled();
  probe.present(AFTER + 3_000);
  expect(open).toHaveBeenCalledTimes(1);
  expect(probe.shown).toBeUndefined();
  probe.present(AFTER + 6_000);
  vi.advanceTimersByTime(10_000);
  expect(open).toHaveBeenCalledTimes(1);
});

it('never opens once it is stopped', () => {
  wait(AFTER);
  stop();
  expect(probe.shown).toBeUndefined();
  probe.present(AFTER + 3_000);
  vi.advanceTimersByTime(10_000);
  expect(open).not.toHaveBeenCalled();
});

it('without timestamps, opens when frames flow longer than any jitter buffer holds them', () => {
  wait(AFTER);
  vi.advanceTimersByTime(5_000);
  expect(open).not.toHaveBeenCalled();
  probe.present();
  vi.advanceTimersByTime(999);
  expect(open).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(open).toHaveBeenCalledTimes(1);
});
