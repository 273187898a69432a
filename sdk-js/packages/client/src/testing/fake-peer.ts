/** As much of RTCPeerConnection as the SDK uses, without media. */

export class FakeTrack extends EventTarget {
  enabled = true;
  readyState: 'live' | 'ended' = 'live';
  contentHint = '';

  constructor(
    readonly kind: 'audio' | 'video',
    readonly id = `${kind}-${Math.random()}`,
  ) {
    super();
  }

  getSettings(): MediaTrackSettings {
    return this.kind === 'video' ? { width: 1280, height: 720, deviceId: 'device' } : { deviceId: 'device' };
  }

  stop(): void {
    this.readyState = 'ended';
  }
}

export class FakeSender {
  track: FakeTrack | null = null;
  parameters: RTCRtpSendParameters;

  constructor(encodings: RTCRtpEncodingParameters[]) {
    this.parameters = { encodings } as unknown as RTCRtpSendParameters;
  }

  async replaceTrack(track: FakeTrack | null): Promise<void> {
    this.track = track;
  }

  getParameters(): RTCRtpSendParameters {
    return structuredClone(this.parameters);
  }

  async setParameters(parameters: RTCRtpSendParameters): Promise<void> {
    this.parameters = parameters;
  }

  readonly transport = { state: 'connected' };
  /** What `getStats()` tells. */
  stats: object[] = [];

  async getStats(): Promise<Map<string, object>> {
    return new Map(this.stats.map((it, index) => [String(index), it]));
  }
}

export class FakeTransceiver {
  mid: string | null = null;
  readonly sender: FakeSender;
  readonly receiver: { track: FakeTrack; getStats: () => Promise<Map<string, object>> };

  constructor(
    readonly kind: 'audio' | 'video',
    readonly direction: string,
    encodings: RTCRtpEncodingParameters[],
  ) {
    this.sender = new FakeSender(encodings);
    this.receiver = { track: new FakeTrack(kind), getStats: async () => new Map() };
  }
}

export class FakeChannel extends EventTarget {
  readyState = 'connecting';
  binaryType = 'blob';
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onbufferedamountlow: (() => void) | null = null;
  readonly sent: Uint8Array[] = [];

  constructor(readonly label: string) {
    super();
  }

  send(bytes: Uint8Array): void {
    this.sent.push(bytes.slice());
    this.bufferedAmount += bytes.length;
  }

  open(): void {
    this.readyState = 'open';
    this.dispatchEvent(new Event('open'));
  }

  drain(): void {
    this.bufferedAmount = 0;
    this.onbufferedamountlow?.();
  }
}

export class FakePeerConnection {
  connectionState: RTCPeerConnectionState = 'new';
  signalingState = 'stable';
  localDescription: { type: string; sdp: string } | null = null;
  currentLocalDescription: object | null = null;
  remoteDescription: { type: string; sdp: string } | null = null;
  onconnectionstatechange: (() => void) | null = null;
  readonly transceivers: FakeTransceiver[] = [];
  readonly channels: FakeChannel[] = [];
  readonly restarts: boolean[] = [];
  closed = false;
  /** False: ICE never gets through. */
  connects = true;

  addTransceiver(kind: 'audio' | 'video', init: RTCRtpTransceiverInit): FakeTransceiver {
    const transceiver = new FakeTransceiver(kind, init.direction ?? 'sendrecv', init.sendEncodings ?? [{}]);
    this.transceivers.push(transceiver);
    return transceiver;
  }

  createDataChannel(label: string): FakeChannel {
    const channel = new FakeChannel(label);
    this.channels.push(channel);
    return channel;
  }

  /** An offer with a microphone that sends and a slot that receives. */
  async createOffer({ iceRestart = false }: RTCOfferOptions): Promise<RTCSessionDescriptionInit> {
    this.restarts.push(iceRestart);
    const opus = (mid: number, direction: string): string => `m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:${mid}\r\na=${direction}\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n`;
    return { type: 'offer', sdp: `v=0\r\n${opus(0, 'sendonly')}${opus(4, 'recvonly')}` };
  }

  /** Whether the offer says that the microphone sends two channels. */
  get offeredStereo(): boolean {
    return /sprop-stereo=1/.test(this.localDescription?.sdp ?? '');
  }

  async setLocalDescription(description: { type: string; sdp: string }): Promise<void> {
    this.signalingState = description.type === 'rollback' ? 'stable' : 'have-local-offer';
    if (description.type === 'rollback') return;
    this.localDescription = description;
    this.transceivers.forEach((it, index) => (it.mid = String(index)));
  }

  async setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
    this.remoteDescription = description;
    this.signalingState = 'stable';
    this.currentLocalDescription = this.localDescription;
    if (this.connects) this.become('connected');
  }

  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  setConfiguration(): void {}
  getConfiguration(): RTCConfiguration {
    return {};
  }

  /** What has passed over its one path, as the browser counts it; undefined: it counts nothing. */
  passed: { bytesReceived: number; bytesSent: number; packetsSent: number } | undefined;

  async getStats(): Promise<Map<string, object>> {
    if (!this.passed) return new Map();
    const { packetsSent, ...pair } = this.passed;
    return new Map<string, object>([
      ['pair', { type: 'candidate-pair', ...pair }],
      ['sender', { type: 'outbound-rtp', packetsSent }],
    ]);
  }

  close(): void {
    this.closed = true;
    this.connectionState = 'closed';
  }
}
