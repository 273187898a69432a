import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MediaTransport } from './media-transport';
import { opusOf } from './publisher';
import { FakePeerConnection } from './testing/fake-peer';
import type { FakeTransceiver } from './testing/fake-peer';

const AUDIO = ['opus', 'red', 'PCMU', 'telephone-event'];
const VIDEO = ['VP8', 'rtx', 'AV1'];

/** A peer connection that notes which codecs each of its m-lines is to offer. */
class ChoosyPeerConnection extends FakePeerConnection {
  readonly offered = new Map<FakeTransceiver, string[]>();

  override addTransceiver(kind: 'audio' | 'video', init: RTCRtpTransceiverInit): FakeTransceiver {
    const transceiver = super.addTransceiver(kind, init);
    const setCodecPreferences = (codecs: RTCRtpCodec[]): void => void this.offered.set(transceiver, codecs.map(({ mimeType }) => mimeType));
    return Object.assign(transceiver, { setCodecPreferences });
  }

  of(place: number): string[] | undefined {
    return this.offered.get(this.transceivers[place]!);
  }
}

function know(audio: string[]): void {
  const codecs = (kind: string): object[] => (kind === 'audio' ? audio : VIDEO).map((name) => ({ mimeType: `${kind}/${name}`, clockRate: 0 }));
  const capable = { getCapabilities: (kind: string) => ({ codecs: codecs(kind) }) };
  vi.stubGlobal('RTCRtpSender', capable);
  vi.stubGlobal('RTCRtpReceiver', capable);
}

describe('redundant audio', () => {
  let peer: ChoosyPeerConnection;
  const open = (red?: boolean): MediaTransport => {
    peer = new ChoosyPeerConnection();
    const opus = red === undefined ? {} : opusOf({ red });
    return new MediaTransport({ opus, slots: { pairs: 1, screens: 0, audio: 0 }, peerConnectionFactory: () => peer as unknown as RTCPeerConnection });
  };
  // As MediaTransport makes them.
  const [microphone, screenAudio, pairAudio] = [0, 3, 4];

  beforeEach(() => know(AUDIO));
  afterEach(() => vi.unstubAllGlobals());

  it('is received from whoever sends it, and sent by nobody unasked', () => {
    open();
    expect([peer.of(microphone), peer.of(screenAudio), peer.of(pairAudio)]).toEqual([['audio/opus'], ['audio/opus'], ['audio/opus', 'audio/red']]);
  });

  it('is offered ahead of plain audio where it is asked for', () => {
    open(true);
    expect([peer.of(microphone), peer.of(screenAudio)]).toEqual([['audio/red', 'audio/opus'], ['audio/opus']]);
  });

  it('is switched on and off by what is published, with an offer', () => {
    const transport = open();
    expect(transport.preferOpus(opusOf({ red: true }))).toBe(true);
    expect(peer.of(microphone)).toEqual(['audio/red', 'audio/opus']);
    expect(transport.preferOpus(opusOf({ red: true }))).toBe(false);
    expect(transport.preferOpus(opusOf({}))).toBe(true);
    expect(peer.of(microphone)).toEqual(['audio/opus']);
  });

  it('gives way to plain audio where the browser knows none', () => {
    know(['opus']);
    open(true);
    expect([peer.of(microphone), peer.of(pairAudio)]).toEqual([['audio/opus'], ['audio/opus']]);
  });
});
