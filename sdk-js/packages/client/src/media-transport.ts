/**
 * One RTCPeerConnection, which always offers. The first offer holds everything a call needs: four m-lines that send (they
 * get their tracks later, without renegotiation), the slots, and two data channels. The server is ICE-lite and answers with
 * its addresses, so the offer leaves without waiting for candidates and none are trickled.
 */
import { EventEmitter } from 'eventemitter3';
import { Queue } from './async';
import type { SlotLayout } from './generated/protocol';
import { ConnectionError, NegotiationError } from './errors';
import { log } from './log';
import { hasSimulcast, preferCodecs, wantExtensions, withOpus, withStereo, withoutUdp } from './negotiation';
import type { OpusOptions } from './negotiation';
import type { SlotOptions } from './options';
import type { Line } from './remote-track';
import { SenderLayers } from './sender-layers';
import { kindOf } from './types';
import type { TrackKind, TrackSource, VideoCodec } from './types';

export interface MediaTransportOptions {
  slots?: SlotOptions;
  videoCodec?: VideoCodec;
  /** Of the microphone. */
  opus?: OpusOptions;
  /** Leaves UDP candidates of the answer out, where there are others. */
  onlyTcp?: boolean;
  configuration?: RTCConfiguration;
  peerConnectionFactory?: (configuration: RTCConfiguration) => RTCPeerConnection;
}

export interface MediaTransportEvents {
  /** Of the peer connection. */
  stateChanged: () => void;
}

interface SlotLines {
  role: SlotLayout['role'];
  audio?: RTCRtpTransceiver;
  video?: RTCRtpTransceiver;
}

const SOURCES: readonly TrackSource[] = ['microphone', 'camera', 'screen_share', 'screen_share_audio'];
/** The sound of a screen is music and films rather than speech. */
const SCREEN_OPUS: OpusOptions = { dtx: false, stereo: true };
/** The encodings of each video that is sent, from small to large, and how much smaller each is than the whole. */
const RIDS: Partial<Record<TrackSource, Record<string, number>>> = { camera: { q: 4, h: 2, f: 1 }, screen_share: { q: 2, h: 1 } };

export class MediaTransport extends EventEmitter<MediaTransportEvents> {
  readonly connection: RTCPeerConnection;
  readonly reliable: RTCDataChannel;
  readonly lossy: RTCDataChannel;
  private readonly sending = new Map<TrackSource, RTCRtpTransceiver>();
  private readonly layering = new Map<TrackSource, SenderLayers>();
  private readonly slots: SlotLines[] = [];
  private readonly codecs = new Map<TrackSource, VideoCodec>();
  private readonly opus: Map<TrackSource, OpusOptions>;
  private readonly queue = new Queue();
  private closed = false;

  constructor(private readonly options: MediaTransportOptions = {}) {
    super();
    const configuration: RTCConfiguration = { bundlePolicy: 'max-bundle', ...options.configuration };
    this.opus = new Map([
      ['microphone', options.opus ?? {}],
      ['screen_share_audio', SCREEN_OPUS],
    ]);
    const make = options.peerConnectionFactory ?? makeConnection;
    this.connection = make(configuration);
    this.reliable = this.connection.createDataChannel('reliable', { ordered: true });
    this.lossy = this.connection.createDataChannel('lossy', { ordered: false, maxRetransmits: 0 });
    this.reliable.binaryType = this.lossy.binaryType = 'arraybuffer';
    for (const source of SOURCES) this.addSender(source);
    this.addSlots(options.slots ?? {});
    this.connection.onconnectionstatechange = () => this.emit('stateChanged');
  }

  /** Makes an offer and has it answered. Offers go one after another. */
  negotiate(exchange: (offer: string, slots: SlotLayout[]) => Promise<string>, iceRestart = false): Promise<void> {
    return this.queue.run(async () => {
      if (this.closed) throw new NegotiationError('the connection is closed');
      const offered = await this.offer(iceRestart);
      try {
        const answer = await exchange(this.connection.localDescription?.sdp ?? offered, this.layout());
        await this.accept(answer);
      } catch (error) {
        // Back to the state before, so that the next offer starts clean. A first offer cannot be taken back and needs not.
        const rollback = this.connection.currentLocalDescription && this.connection.signalingState === 'have-local-offer';
        if (rollback) await this.connection.setLocalDescription({ type: 'rollback' }).catch(() => undefined);
        throw error;
      }
    });
  }

  /** Sets an offer, the one place where its text is changed: in two channels where the browser would ask for one. */
  private async offer(iceRestart: boolean): Promise<string> {
    const { sdp = '' } = await this.connection.createOffer({ iceRestart });
    // Before the first offer is set no m-line has a MID; their order is that in which they were added.
    const sounds = SOURCES.filter((source) => kindOf(source) === 'audio');
    const wanted = withStereo(sdp, sounds.map((source) => this.opus.get(source)?.stereo === true));
    try {
      await this.connection.setLocalDescription({ type: 'offer', sdp: wanted });
      return wanted;
    } catch (error) {
      if (wanted === sdp) throw error;
      log.warn('this browser lets nobody change its offer: stereo is heard as mono', error);
      await this.connection.setLocalDescription({ type: 'offer', sdp });
      return sdp;
    }
  }

  private async accept(answer: string): Promise<void> {
    if (this.closed) throw new NegotiationError('the connection is closed');
    let sdp = this.options.onlyTcp ? withoutUdp(answer) : answer;
    for (const [source, opus] of this.opus) sdp = withOpus(sdp, this.sender(source).mid, opus);
    try {
      await this.connection.setRemoteDescription({ type: 'answer', sdp });
    } catch (cause) {
      throw new NegotiationError('the browser refused the answer', { cause });
    }
  }

  /** The transceiver that a source is sent on. */
  sender(source: TrackSource): RTCRtpTransceiver {
    return this.sending.get(source)!;
  }

  /** The encodings that a source is sent in. */
  layers(source: TrackSource): SenderLayers {
    return this.layering.get(source)!;
  }

  /** The receiving half of a slot. */
  line(slot: number, kind: TrackKind): Line | undefined {
    const transceiver = this.slots[slot]?.[kind];
    return transceiver?.mid ? { mid: transceiver.mid, receiver: transceiver.receiver } : undefined;
  }

  /** How many slots of camera and microphone there are; they come first. */
  get pairs(): number {
    return this.slots.filter(({ role }) => role === 'pair').length;
  }

  /** How many slots of shared screens there are; they come next. */
  get screens(): number {
    return this.slots.filter(({ role }) => role === 'screen').length;
  }

  /** Lets video of this source be sent with another codec. True: it must be negotiated. */
  preferCodec(source: TrackSource, codec: VideoCodec): boolean {
    if (kindOf(source) !== 'video' || this.codecs.get(source) === codec) return false;
    const changed = preferCodecs(this.sender(source), 'video', codec);
    if (changed) this.codecs.set(source, codec);
    return changed;
  }

  /** Changes what the encoder of a sound may do. True: it must be negotiated. */
  preferOpus(source: TrackSource, wanted: OpusOptions): boolean {
    const before = this.opus.get(source) ?? {};
    const opus = source === 'screen_share_audio' ? { ...SCREEN_OPUS, ...wanted } : wanted;
    if (kindOf(source) !== 'audio' || JSON.stringify(opus) === JSON.stringify(before)) return false;
    this.opus.set(source, opus);
    if (Boolean(opus.red) !== Boolean(before.red)) this.preferAudio(source);
    return true;
  }

  /** Whether the answer lets this source send several encodings. */
  acceptsSimulcast(source: TrackSource): boolean {
    const { mid } = this.sender(source);
    return mid !== null && hasSimulcast(this.connection.remoteDescription?.sdp ?? '', mid);
  }

  setIceServers(iceServers: RTCIceServer[]): void {
    if (iceServers.length > 0) this.connection.setConfiguration({ ...this.connection.getConfiguration(), iceServers });
  }

  get isConnected(): boolean {
    return this.connection.connectionState === 'connected';
  }

  close(): void {
    this.closed = true;
    this.removeAllListeners();
    this.connection.onconnectionstatechange = null;
    this.connection.close();
  }

  private addSender(source: TrackSource): void {
    const kind = kindOf(source);
    const init: RTCRtpTransceiverInit = { direction: 'sendonly' };
    const encodings = Object.entries(RIDS[source] ?? {}).map(([rid, scaleResolutionDownBy]) => ({ rid, scaleResolutionDownBy }));
    const transceiver = this.addWith(kind, encodings.length > 0 ? { ...init, sendEncodings: encodings } : init);
    this.layering.set(source, new SenderLayers(transceiver.sender));
    wantExtensions(transceiver);
    this.sending.set(source, transceiver);
    if (kind === 'audio') this.preferAudio(source);
    else this.preferCodec(source, this.options.videoCodec ?? 'vp8');
  }

  /** RED is offered ahead of plain audio, or not at all. */
  private preferAudio(source: TrackSource): void {
    const transceiver = this.sender(source);
    const red = source === 'microphone' && this.opus.get(source)?.red === true;
    if (!red || !preferCodecs(transceiver, 'audio', 'red')) preferCodecs(transceiver, 'audio');
  }

  /** A browser that takes no such encodings sends one. */
  private addWith(kind: TrackKind, init: RTCRtpTransceiverInit): RTCRtpTransceiver {
    try {
      return this.connection.addTransceiver(kind, init);
    } catch (error) {
      if (!init.sendEncodings) throw error;
      log.warn('this browser cannot send several encodings', error);
      const { sendEncodings: _encodings, ...plain } = init;
      return this.connection.addTransceiver(kind, plain);
    }
  }

  private addSlots({ pairs = 9, screens = 1, audio = 3 }: SlotOptions): void {
    for (let i = 0; i < pairs; i++) this.slots.push({ role: 'pair', audio: this.addReceiver('audio'), video: this.addReceiver('video') });
    for (let i = 0; i < screens; i++) this.slots.push({ role: 'screen', audio: this.addReceiver('audio'), video: this.addReceiver('video') });
    for (let i = 0; i < audio; i++) this.slots.push({ role: 'audio', audio: this.addReceiver('audio') });
  }

  private addReceiver(kind: TrackKind): RTCRtpTransceiver {
    const transceiver = this.connection.addTransceiver(kind, { direction: 'recvonly' });
    wantExtensions(transceiver);
    preferCodecs(transceiver, kind);
    return transceiver;
  }

  private layout(): SlotLayout[] {
    return this.slots.map(({ role, audio, video }) => ({
      role,
      ...(audio?.mid ? { audio: audio.mid } : {}),
      ...(video?.mid ? { video: video.mid } : {}),
    }));
  }
}

function makeConnection(configuration: RTCConfiguration): RTCPeerConnection {
  if (typeof RTCPeerConnection === 'undefined') throw new ConnectionError('unsupported', 'there is no WebRTC here: calls need a browser');
  return new RTCPeerConnection(configuration);
}
