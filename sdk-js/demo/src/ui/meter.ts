/** A level meter of a microphone, by an analyser node. */

/** Shows the level of a stream in `element` (as `--level`, 0 to 1) until stopped. */
export class LevelMeter {
  private readonly context = new AudioContext();
  private readonly analyser = this.context.createAnalyser();
  private readonly samples = new Float32Array(512);
  private source: MediaStreamAudioSourceNode | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly element: HTMLElement) {
    this.analyser.fftSize = this.samples.length;
  }

  /** Measures this stream from now on; undefined: silence. */
  watch(stream: MediaStream | undefined): void {
    this.source?.disconnect();
    this.source = undefined;
    clearInterval(this.timer);
    this.show(0);
    if (!stream || stream.getAudioTracks().length === 0) return;
    this.source = this.context.createMediaStreamSource(stream);
    this.source.connect(this.analyser);
    void this.context.resume().catch(() => undefined);
    this.timer = setInterval(() => this.measure(), 60);
  }

  /** Ends it. */
  stop(): void {
    this.watch(undefined);
    void this.context.close();
  }

  private measure(): void {
    this.analyser.getFloatTimeDomainData(this.samples);
    let sum = 0;
    for (const sample of this.samples) sum += sample * sample;
    const rms = Math.sqrt(sum / this.samples.length);
    // -60 dB is the left end, 0 dB the right one.
    this.show(rms > 0 ? Math.max(0, 1 + Math.log10(rms) / 3) : 0);
  }

  private show(level: number): void {
    this.element.style.setProperty('--level', level.toFixed(3));
  }
}
