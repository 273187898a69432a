/** Records what this browser shows and hears into a WebM file. Nothing leaves the machine. */

import type { Stage } from './stage';

const WIDTH = 1280;
const HEIGHT = 720;
const FRAMES_PER_SECOND = 15;

/** Whether this browser can. */
export function canRecord(): boolean {
  return typeof MediaRecorder !== 'undefined' && 'captureStream' in HTMLCanvasElement.prototype;
}

/** One recording, from construction to `stop`. */
export class Recorder {
  private readonly canvas = Object.assign(document.createElement('canvas'), { width: WIDTH, height: HEIGHT });
  private readonly pen = this.canvas.getContext('2d');
  private readonly audio = new AudioContext();
  private readonly mix = this.audio.createMediaStreamDestination();
  private readonly sources = new Map<MediaStreamTrack, MediaStreamAudioSourceNode>();
  private readonly chunks: Blob[] = [];
  private readonly recorder: MediaRecorder;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(
    private readonly stage: Stage,
    private readonly hears: () => MediaStreamTrack[],
  ) {
    const stream = this.canvas.captureStream(FRAMES_PER_SECOND);
    for (const track of this.mix.stream.getAudioTracks()) stream.addTrack(track);
    this.recorder = new MediaRecorder(stream);
    this.recorder.addEventListener('dataavailable', (event) => this.chunks.push(event.data));
    this.timer = setInterval(() => this.draw(), 1000 / FRAMES_PER_SECOND);
    this.recorder.start(1000);
  }

  /** Ends it and saves the file. */
  async stop(name: string): Promise<void> {
    clearInterval(this.timer);
    const stopped = new Promise((done) => this.recorder.addEventListener('stop', done, { once: true }));
    this.recorder.stop();
    await stopped;
    await this.audio.close();
    saveBlob(new Blob(this.chunks, { type: this.recorder.mimeType }), `${name}.webm`);
  }

  private draw(): void {
    this.mixIn();
    if (!this.pen) return;
    this.pen.fillStyle = '#191613';
    this.pen.fillRect(0, 0, WIDTH, HEIGHT);
    const area = this.stage.element.getBoundingClientRect();
    const scale = Math.min(WIDTH / area.width, HEIGHT / area.height);
    const left = (WIDTH - area.width * scale) / 2 - area.left * scale;
    const top = (HEIGHT - area.height * scale) / 2 - area.top * scale;
    for (const { video, rect, name } of this.stage.visibleVideos()) {
      if (!video.videoWidth) continue;
      const fit = Math.min((rect.width * scale) / video.videoWidth, (rect.height * scale) / video.videoHeight);
      const [w, h] = [video.videoWidth * fit, video.videoHeight * fit];
      const x = left + rect.left * scale + (rect.width * scale - w) / 2;
      const y = top + rect.top * scale + (rect.height * scale - h) / 2;
      this.pen.drawImage(video, x, y, w, h);
      this.pen.font = '16px system-ui, sans-serif';
      this.pen.fillStyle = '#fff';
      this.pen.fillText(name, x + 12, y + h - 14);
    }
  }

  private mixIn(): void {
    const now = new Set(this.hears());
    for (const [track, node] of this.sources) {
      if (now.has(track)) continue;
      node.disconnect();
      this.sources.delete(track);
    }
    for (const track of now) {
      if (this.sources.has(track) || track.readyState === 'ended') continue;
      const node = this.audio.createMediaStreamSource(new MediaStream([track]));
      node.connect(this.mix);
      this.sources.set(track, node);
    }
  }
}

/** Gives the user a file. */
export function saveBlob(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
