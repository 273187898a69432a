/** As much of a page as tracks need: media elements that hold what they were given. */
import { vi } from 'vitest';
import { FakeTrack } from './fake-peer';

export class FakeStream {
  constructor(private readonly tracks: FakeTrack[]) {}
  getTracks(): FakeTrack[] {
    return this.tracks;
  }
}

export class FakeElement {
  srcObject: FakeStream | null = null;
  autoplay = false;
  muted = false;
  volume = 1;
  refuses = false;
  constructor(readonly tag: string) {}
  setAttribute(): void {}
  async play(): Promise<void> {
    if (this.refuses) throw Object.assign(new Error('refused'), { name: 'NotAllowedError' });
  }
  /** What it shows. */
  get shown(): FakeTrack | undefined {
    return this.srcObject?.getTracks()[0];
  }
}

export function stubPage(): void {
  vi.stubGlobal('fetch', undefined);
  vi.stubGlobal('MediaStream', FakeStream);
  vi.stubGlobal('document', { createElement: (tag: string) => new FakeElement(tag) });
  const getUserMedia = async (constraints: MediaStreamConstraints): Promise<FakeStream> =>
    new FakeStream([new FakeTrack(constraints.audio ? 'audio' : 'video')]);
  vi.stubGlobal('navigator', { mediaDevices: { getUserMedia }, userAgent: 'test' });
}
