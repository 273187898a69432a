/**
 * Waits for the first frame that surely belongs to a slot's new track.
 *
 * A receiver keeps its MediaStreamTrack when its slot shows somebody else, and frames of the old track may still be in the
 * jitter buffer or decoder. The server names the last RTP timestamp of the old track; a hidden probe element looks at each
 * frame (`requestVideoFrameCallback`, `rtpTimestamp`), and only when a later one was presented is the MediaStreamTrack
 * given to the application's elements. No element ever holds a foreign frame, not even one that is not painted.
 */

/** Milliseconds after which frames that flow but tell no timestamp count as new: no jitter buffer holds a frame that long. */
const BLIND_DELAY = 1000;

/** Whether `timestamp` comes after `reference` in 32-bit RTP time (RFC 3550 section 5.1: it wraps). */
export function isAfter(timestamp: number, reference: number): boolean {
  const distance = (timestamp - reference) >>> 0;
  return distance !== 0 && distance < 0x8000_0000;
}

/** Calls `open` once, when a frame later than `after` was presented. Returns how to stop waiting. */
export function waitForFrame(track: MediaStreamTrack, after: number, open: () => void): () => void {
  const probe = document.createElement('video');
  probe.muted = true;
  probe.playsInline = true;
  probe.srcObject = new MediaStream([track]);
  let done = false;
  const stop = (): void => {
    if (done) return;
    done = true;
    clearInterval(timer);
    probe.srcObject = null;
  };
  const pass = (): void => {
    if (done) return;
    stop();
    open();
  };
  const look = (_now: number, frame: { rtpTimestamp?: number }): void => {
    if (done) return;
    stamped ||= frame.rtpTimestamp !== undefined;
    if (frame.rtpTimestamp !== undefined && isAfter(frame.rtpTimestamp, after)) pass();
    else probe.requestVideoFrameCallback(look);
  };
  let stamped = false;
  let lastCount = framesOf(probe);
  const timer = setInterval(() => {
    const count = framesOf(probe);
    if (!stamped && count > lastCount) pass();
    lastCount = count;
  }, BLIND_DELAY);
  if (typeof probe.requestVideoFrameCallback === 'function') probe.requestVideoFrameCallback(look);
  void probe.play().catch(() => undefined);
  return stop;
}

function framesOf(video: HTMLVideoElement): number {
  return video.getVideoPlaybackQuality?.().totalVideoFrames ?? 0;
}
