/** What the server and a room say to each other about adaptation. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RoomEvent } from './events';
import type { StreamState as WireState, TrackSettings } from './generated/protocol';
import type { RemoteTrackPublication } from './publication';
import { Room } from './room';
import { StreamState } from './stream-state';
import { FakePeerConnection } from './testing/fake-peer';
import { FakeServer, joined, participant, sid, track } from './testing/fake-socket';
import { FakeObservers, stubPage } from './testing/page';
import type { FakeElement } from './testing/page';

const [ME, ANN, BOB] = [sid('PA', '0'), sid('PA', '1'), sid('PA', '2')];
const SLOT = { slot: 0, participant: ANN, audio: null, video: { track: 'TR_1', after: null } };
const LAYER = { rid: 'h', spatial: 0, temporal: 2, width: 640, height: 360, bitrate: 500_000 };

let server: FakeServer;
let peers: FakePeerConnection[];
let observers: FakeObservers;
let room: Room;

beforeEach(async () => {
  vi.useFakeTimers();
  stubPage();
  observers = new FakeObservers();
  observers.stub();
  server = new FakeServer();
  peers = [];
  const others = [participant(ANN, 'ann', [track('TR_1')]), participant(BOB, 'bob', [track('TR_2', { source: 'screen_share' })])];
  server.join = { type: 'joined', ...joined({ participants: others, slots: [SLOT], slotsRevision: 1 }) };
  room = new Room({
    webSocketFactory: server.factory,
    reconnectPolicy: { nextDelay: ({ attempt }) => (attempt < 3 ? 10 : null) },
    adaptiveStream: { pixelDensity: 1 },
    dynacast: true,
    peerConnectionFactory: () => {
      const peer = new FakePeerConnection();
      peers.push(peer);
      return peer as unknown as RTCPeerConnection;
    },
  });
  await Promise.all([room.connect('wss://sfu.test', 'token'), settle()]);
});
afterEach(async () => {
  await Promise.all([room.disconnect(), settle(1000)]);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const settle = (milliseconds = 50): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);
const event = (seq: number, rest: object): void => server.socket.deliver({ seq, ...rest });
const publication = (): RemoteTrackPublication => room.remoteParticipants.get('ann')!.trackPublications.get('TR_1')!;
/** What was configured on this WebSocket, one list for each request. */
const configured = (): TrackSettings[][] => server.socket.sent.flatMap((it) => (it.type === 'configure' ? [it.tracks] : []));

async function loseSession(): Promise<void> {
  server.resume = { type: 'error', code: 'session_gone', message: '', retryable: false };
  server.socket.drop();
  await settle(200);
}

describe('wishes', () => {
  it('are told together, and only where they are not as by default', async () => {
    expect(configured()).toEqual([[{ track: 'TR_2', priority: 'high' }]]);
    publication().setVideoQuality('low');
    publication().setVideoDimensions({ width: 320.2, height: 180 });
    publication().setVideoFPS(14.6);
    publication().setPriority('low');
    publication().setEnabled(false);
    await settle(100);
    const wish = { track: 'TR_1', enabled: false, width: 321, height: 180, maxFps: 15, maxQuality: 'low', priority: 'low' };
    expect(configured()).toEqual([[{ track: 'TR_2', priority: 'high' }], [wish]]);
    publication().setEnabled(true);
    publication().setVideoQuality('low');
    await settle(100);
    const { enabled: _enabled, ...rest } = wish;
    expect(configured().at(-1)).toEqual([rest]);
    expect(configured()).toHaveLength(3);
  });

  it('are few while a window is dragged, and the last one arrives', async () => {
    for (let width = 100; width < 200; width++) {
      publication().setVideoDimensions({ width, height: 100 });
      await settle(5);
    }
    await settle(100);
    expect(configured().length).toBeLessThan(8);
    expect(configured().at(-1)).toEqual([{ track: 'TR_1', width: 199, height: 100 }]);
  });

  it('are told a new session whole, and a resumed one not again', async () => {
    publication().setVideoQuality('low');
    await settle(100);
    server.socket.drop();
    await settle();
    expect(configured()).toEqual([]);
    await loseSession();
    await settle(200);
    expect(room.state).toBe('connected');
    const told = configured().flat();
    expect(told).toContainEqual(expect.objectContaining({ track: 'TR_1', maxQuality: 'low' }));
    expect(told).toContainEqual({ track: 'TR_2', priority: 'high' });
  });

  it('are said again when the server was busy', async () => {
    let busy = true;
    server.other = ({ type }) => (type === 'configure' && busy ? { type: 'error', code: 'server_busy', message: '', retryable: true } : undefined);
    publication().setVideoQuality('low');
    await settle(100);
    busy = false;
    await settle(1000);
    const wish = expect.objectContaining({ track: 'TR_1', maxQuality: 'low' });
    expect(configured().slice(1)).toEqual([[wish], [wish]]);
  });

  it('of a track that ended are forgotten', async () => {
    publication().setVideoQuality('low');
    event(1, { type: 'track_unpublished', participant: ANN, track: 'TR_1' });
    await settle(100);
    expect(configured()).toHaveLength(1);
  });
});

describe('adaptive streams', () => {
  it('tell what elements show, capped by what the application asks', async () => {
    const element = publication().track!.attach() as unknown as FakeElement;
    observers.resize(element, 640, 360);
    observers.intersect(element, true);
    await settle(100);
    expect(configured().at(-1)).toEqual([{ track: 'TR_1', width: 640, height: 360 }]);
    publication().setVideoDimensions({ width: 320, height: 180 });
    await settle(100);
    expect(configured().at(-1)).toEqual([{ track: 'TR_1', width: 320, height: 180 }]);
    observers.intersect(element, false);
    await settle(1100);
    expect(configured().at(-1)).toEqual([{ track: 'TR_1', visible: false, width: 320, height: 180 }]);
  });

  it('tell of a track that comes back what is seen of it then', async () => {
    await settle(1100);
    expect(configured().at(-1)).toEqual([{ track: 'TR_1', visible: false }]);
    event(1, { type: 'slots', revision: 2, slots: [{ slot: 0, participant: null, audio: null, video: null }] });
    event(2, { type: 'slots', revision: 3, slots: [SLOT] });
    const element = publication().track!.attach() as unknown as FakeElement;
    observers.resize(element, 640, 360);
    observers.intersect(element, true);
    await settle(100);
    expect(configured().at(-1)).toEqual([{ track: 'TR_1', width: 640, height: 360 }]);
  });
});

describe('stream states', () => {
  const words = (rest: Partial<WireState>): string => new StreamState({ track: 'TR_1', layer: LAYER, limit: 'none', ...rest }).describe();

  it('arrive at publications, rooms and statistics', async () => {
    const seen: string[] = [];
    publication().on('streamStateChanged', (state) => seen.push(state.state));
    room.on(RoomEvent.TrackStreamStateChanged, ({ trackSid }, state, { identity }) => seen.push(`${identity} ${trackSid} ${state.limit}`));
    event(1, { type: 'streams', streams: [{ track: 'TR_1', layer: LAYER, limit: 'bandwidth', estimate: 800_000 }] });
    expect(publication().streamState).toMatchObject({ state: 'active', layer: LAYER, limit: 'bandwidth', estimate: 800_000 });
    expect((await room.getStats()).tracks).toMatchObject([{ trackSid: 'TR_1', streamState: { limit: 'bandwidth' } }]);
    event(2, { type: 'streams', streams: [{ track: 'TR_1', layer: null, limit: 'hidden' }, { track: 'TR_unknown', layer: null, limit: 'hidden' }] });
    expect(seen).toEqual(['active', 'ann TR_1 bandwidth', 'paused', 'ann TR_1 hidden']);
    event(3, { type: 'slots', revision: 2, slots: [{ slot: 0, participant: null, audio: null, video: null }] });
    expect(publication().streamState).toBeUndefined();
  });

  it('have words', () => {
    expect(words({ limit: 'bandwidth', estimate: 812_000 })).toBe('360p: your connection carries 0.8 Mbps');
    expect(words({ limit: 'bandwidth', layer: null, estimate: 60_000 })).toBe('Paused: your connection carries 0.06 Mbps');
    expect(words({ limit: 'bandwidth' })).toBe('360p: your connection carries no more');
    expect(words({ limit: 'hidden', layer: null })).toBe('Paused: not on screen');
    expect(words({ limit: 'size', layer: { ...LAYER, width: 180, height: 320 } })).toBe('180p: fits the size it is shown at');
    expect(words({ layer: { rid: 'h', spatial: 0, temporal: 0, bitrate: 1 } })).toBe('layer h: the best there is');
    expect(words({ layer: { spatial: 1, temporal: 0, bitrate: 1 } })).toBe('layer 2: the best there is');
    expect(words({ limit: 'moon phase' as 'none', layer: null })).toBe('Paused: moon phase');
  });
});

describe('speakers and qualities', () => {
  it('are as the server says, uncounted', () => {
    const seen: string[][] = [];
    room.on(RoomEvent.ActiveSpeakersChanged, (speakers) => seen.push(speakers.map(({ identity }) => identity)));
    event(0, { type: 'speakers', speakers: [{ participant: BOB, level: 0.5 }, { participant: ME, level: 0.2 }, { participant: 'PA_unknown', level: 1 }] });
    expect(room.activeSpeakers.map(({ audioLevel, isSpeaking }) => [audioLevel, isSpeaking])).toEqual([[0.5, true], [0.2, true]]);
    event(0, { type: 'speakers', speakers: [{ participant: BOB, level: 0.4 }, { participant: ME, level: 0.2 }] });
    expect(room.remoteParticipants.get('bob')!.audioLevel).toBe(0.4);
    event(1, { type: 'participant_left', participant: BOB, reason: 'left' });
    event(0, { type: 'speakers', speakers: [] });
    expect(seen).toEqual([['bob', 'me'], ['me'], []]);
    expect(room.localParticipant.isSpeaking).toBe(false);
    expect(room.state).toBe('connected');
  });

  it('come with snapshots, and a lost path is told without the server', async () => {
    const seen: string[] = [];
    room.on(RoomEvent.ConnectionQualityChanged, (quality, { identity }) => seen.push(`${identity} ${quality}`));
    event(0, { type: 'qualities', qualities: [{ participant: ME, quality: 'good' }, { participant: ANN, quality: 'poor' }] });
    peers[0]!.become('failed');
    await settle();
    expect(seen).toEqual(['me good', 'ann poor', 'me lost', 'me good']);
    server.resume = {
      type: 'resumed',
      seq: 9,
      snapshot: joined({ participants: [participant(ANN, 'ann')], speakers: [{ participant: ANN, level: 0.3 }], qualities: [{ participant: ANN, quality: 'excellent' }] }),
    };
    server.socket.drop();
    await settle();
    expect(seen.at(-1)).toBe('ann excellent');
    expect(room.activeSpeakers.map(({ identity }) => identity)).toEqual(['ann']);
  });
});

describe('demand', () => {
  const active = (): (string | undefined)[] => peers.at(-1)!.transceivers[1]!.sender.parameters.encodings.filter((it) => it.active).map(({ rid }) => rid);
  const encodings = ['q', 'h', 'f'].map((rid) => ({ rid, wanted: rid === 'q' }));
  const answer = ['v=0', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:1', 'a=simulcast:recv q;h;f', ''].join('\r\n');

  it('pauses encodings, also when it comes before the publication, and not in a new session', async () => {
    peers[0]!.remoteDescription = { type: 'answer', sdp: answer };
    event(1, { type: 'demand', track: 'TR_own1', encodings });
    await Promise.all([room.localParticipant.setCameraEnabled(true), settle()]);
    expect(active()).toEqual(['q']);
    event(2, { type: 'demand', track: 'TR_own1', encodings: encodings.map((it) => ({ ...it, wanted: true })) });
    await settle();
    expect(active()).toEqual(['q', 'h', 'f']);
    event(3, { type: 'demand', track: 'TR_own1', encodings });
    await loseSession();
    expect(room.state).toBe('connected');
    expect(active()).toEqual(['q', 'h', 'f']);
  });
});

describe('a codec that cannot be sent', () => {
  const known = (...types: string[]): void => {
    const codecs = types.map((type) => ({ mimeType: `video/${type}`, clockRate: 90_000 }));
    vi.stubGlobal('RTCRtpSender', { getCapabilities: () => ({ codecs }) });
    for (const transceiver of peers.at(-1)!.transceivers) Object.assign(transceiver, { setCodecPreferences: () => undefined });
  };
  let fallbacks: string[];
  beforeEach(() => {
    fallbacks = [];
    room.on(RoomEvent.LocalTrackCodecFallback, ({ source }, from, reason) => fallbacks.push(`${source} ${from} ${reason}`));
  });
  const publish = (): Promise<unknown> => Promise.all([room.localParticipant.setCameraEnabled(true, {}, { videoCodec: 'av1' }), settle()]);

  it('is replaced where the browser has none', async () => {
    known('VP8');
    await publish();
    expect(fallbacks).toEqual(['camera av1 unsupported']);
  });

  it('is replaced where the browser refuses it', async () => {
    known('VP8', 'AV1');
    const { sender } = peers[0]!.transceivers[1]!;
    const set = sender.setParameters.bind(sender);
    let refusals = 0;
    sender.setParameters = (parameters) => (refusals++ < 2 ? Promise.reject(new Error('no')) : set(parameters));
    await publish();
    expect(fallbacks).toEqual(['camera av1 refused']);
    expect(sender.track).not.toBeNull();
  });

  it('is replaced where its encoder delivers nothing', async () => {
    known('VP8', 'AV1');
    await publish();
    expect(fallbacks).toEqual([]);
    const { sender } = peers[0]!.transceivers[1]!;
    for (let frames = 1; frames < 200; frames += 30) {
      sender.stats = [{ type: 'media-source', frames }, { type: 'outbound-rtp', framesEncoded: 0 }];
      await settle(2000);
    }
    expect(fallbacks).toEqual(['camera av1 encoder']);
    expect(server.socket.types().filter((type) => type === 'offer')).toHaveLength(2);
  });
});
