import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MediaTransport } from './media-transport';
import { withStereo, withoutUdp } from './negotiation';
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
    expect(transport.preferOpus('microphone', opusOf({ red: true }))).toBe(true);
    expect(peer.of(microphone)).toEqual(['audio/red', 'audio/opus']);
    expect(transport.preferOpus('microphone', opusOf({ red: true }))).toBe(false);
    expect(transport.preferOpus('microphone', opusOf({}))).toBe(true);
    expect(peer.of(microphone)).toEqual(['audio/opus']);
  });

  it('gives way to plain audio where the browser knows none', () => {
    know(['opus']);
    open(true);
    expect([peer.of(microphone), peer.of(pairAudio)]).toEqual([['audio/opus'], ['audio/opus']]);
  });
});

describe('stereo', () => {
  const opus = (direction: string, fmtp = 'minptime=10;useinbandfec=1'): string =>
    `m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=mid:0\r\na=${direction}\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 ${fmtp}\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n`;
  const video = 'm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\na=fmtp:96 x=1\r\n';
  const session = 'v=0\r\ns=-\r\n';

  it('is asked for wherever Opus is received, and only there', () => {
    const offer = session + opus('sendonly') + video + opus('recvonly') + opus('inactive') + opus('recvonly', 'stereo=0');
    const wanted = session + opus('sendonly') + video + opus('recvonly', 'minptime=10;useinbandfec=1;stereo=1') + opus('inactive') + opus('recvonly', 'stereo=1');
    expect(withStereo(offer, [false])).toBe(wanted);
  });

  it('is announced where it is published', () => {
    expect(withStereo(session + opus('sendonly') + opus('sendonly'), [false, true])).toBe(
      session + opus('sendonly') + opus('sendonly', 'minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1'),
    );
  });

  it('leaves an offer alone that asks by itself, as that of Firefox', () => {
    const offer = session + opus('recvonly', 'maxplaybackrate=48000;stereo=1;useinbandfec=1');
    expect(withStereo(offer, [])).toBe(offer);
  });

  it('adds the parameters where there are none', () => {
    const bare = 'm=audio 9 UDP/TLS/RTP/SAVPF 111\na=recvonly\na=rtpmap:111 opus/48000/2\n';
    expect(withStereo(bare, [])).toBe('m=audio 9 UDP/TLS/RTP/SAVPF 111\na=recvonly\na=rtpmap:111 opus/48000/2\na=fmtp:111 stereo=1\n');
  });

  it('of a screen is sent unless the application says otherwise', async () => {
    const peer = new FakePeerConnection();
    const transport = new MediaTransport({ peerConnectionFactory: () => peer as unknown as RTCPeerConnection });
    expect(transport.preferOpus('screen_share_audio', opusOf({}))).toBe(false);
    expect(transport.preferOpus('screen_share_audio', opusOf({ stereo: false }))).toBe(true);
    expect(transport.preferOpus('microphone', opusOf({ stereo: true }))).toBe(true);
    await transport.negotiate(async () => 'v=0\r\n');
    expect(peer.offeredStereo).toBe(true);
  });

  it('is given up where the browser lets nobody change its offer', async () => {
    const peer = new FakePeerConnection();
    const set = peer.setLocalDescription.bind(peer);
    peer.setLocalDescription = async (description) => {
      if (description.sdp.includes('stereo=1')) throw new DOMException('changed', 'InvalidModificationError');
      return set(description);
    };
    const transport = new MediaTransport({ peerConnectionFactory: () => peer as unknown as RTCPeerConnection });
    await transport.negotiate(async () => 'v=0\r\n');
    expect(peer.localDescription!.sdp).not.toContain('stereo');
  });
});

describe('an answer for TCP alone', () => {
  const line = (protocol: string): string => `a=candidate:1 1 ${protocol} 1 192.0.2.1 7882 typ host\r\n`;

  it('has no UDP candidates, unless there are no others', () => {
    expect(withoutUdp(`m=audio\r\n${line('udp')}${line('UDP')}${line('tcp')}a=end-of-candidates\r\n`)).toBe(`m=audio\r\n${line('tcp')}a=end-of-candidates\r\n`);
    expect(withoutUdp(`m=audio\r\n${line('udp')}`)).toBe(`m=audio\r\n${line('udp')}`);
  });
});
