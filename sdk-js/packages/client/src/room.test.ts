import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ConnectionError } from './errors';
import { RoomEvent } from './events';
import { Room } from './room';
import { FakePeerConnection } from './testing/fake-peer';
import { FakeServer, joined, participant, sid, track } from './testing/fake-socket';
import { stubPage } from './testing/page';
import { ConnectionState } from './types';

const POLICY = { nextDelay: ({ attempt }: { attempt: number }) => (attempt < 3 ? 10 : null) };
const URL = 'wss://sfu.test';

let server: FakeServer;
let peers: FakePeerConnection[];
let room: Room;
let states: string[];

beforeEach(() => {
  vi.useFakeTimers();
  stubPage();
  server = new FakeServer();
  peers = [];
  states = [];
  room = new Room({
    webSocketFactory: server.factory,
    reconnectPolicy: POLICY,
    peerConnectionFactory: () => {
      const peer = new FakePeerConnection();
      peers.push(peer);
      return peer as unknown as RTCPeerConnection;
    },
  });
  room.on(RoomEvent.ConnectionStateChanged, (state) => states.push(state));
});
afterEach(async () => {
  const left = room.disconnect();
  await vi.advanceTimersByTimeAsync(1000);
  await left;
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const settle = (milliseconds = 50): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);
async function connect(): Promise<void> {
  const done = room.connect(URL, 'token');
  await settle();
  await done;
}
function event(seq: number, rest: object): void {
  server.socket.deliver({ seq, ...rest });
}

describe('connect', () => {
  it('joins with one offer that holds everything', async () => {
    await connect();
    expect(states).toEqual(['connecting', 'connected']);
    const join = server.socket.sent[0]!;
    expect(join).toMatchObject({ type: 'join', protocol: 1, autoSubscribe: true });
    const { slots } = join as Extract<typeof join, { type: 'join' }>;
    expect(slots.map(({ role }) => role)).toEqual([...Array<string>(9).fill('pair'), 'screen', 'audio', 'audio', 'audio']);
    expect(new Set(slots.flatMap(({ audio, video }) => [audio, video])).size).toBe(24);
    expect(peers[0]!.channels.map(({ label }) => label)).toEqual(['reliable', 'lossy']);
    expect(peers[0]!.transceivers.slice(0, 4).map(({ kind, direction }) => [kind, direction])).toEqual([
      ['audio', 'sendonly'],
      ['video', 'sendonly'],
      ['video', 'sendonly'],
      ['audio', 'sendonly'],
    ]);
    expect(server.socket.sent[1]).toMatchObject({ type: 'slots_ack', revision: 0 });
  });

  it('is idempotent', async () => {
    const [first, second] = [room.connect(URL, 'token'), room.connect(URL, 'token')];
    await settle();
    await Promise.all([first, second, room.connect(URL, 'token')]);
    expect(server.sockets).toHaveLength(1);
    expect(peers).toHaveLength(1);
  });

  it('can be aborted, and be tried again', async () => {
    const abort = new AbortController();
    const failed = room.connect(URL, 'token', { signal: abort.signal }).catch((error: unknown) => error);
    abort.abort();
    await settle();
    expect(await failed).toMatchObject({ reason: 'cancelled' });
    expect(room.state).toBe('disconnected');
    expect(peers[0]!.closed).toBe(true);
    await connect();
    expect(room.state).toBe('connected');
  });

  it('fails at once with a signal that is aborted already', async () => {
    const failed = await room.connect(URL, 'token', { signal: AbortSignal.abort() }).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(ConnectionError);
    expect(server.sockets).toHaveLength(0);
  });

  it('loses against disconnect()', async () => {
    const ended: string[] = [];
    room.on(RoomEvent.Disconnected, (reason) => ended.push(reason));
    const failed = room.connect(URL, 'token').catch((error: unknown) => error);
    await room.disconnect();
    await settle();
    expect(await failed).toMatchObject({ reason: 'cancelled' });
    expect(states).toEqual(['connecting', 'disconnected']);
    expect(ended).toEqual([]);
  });

  it('says why the server refused', async () => {
    server.join = { type: 'error', code: 'room_full', message: 'full', retryable: true };
    const failed = room.connect(URL, 'token').catch((error: unknown) => error);
    await settle();
    expect(await failed).toMatchObject({ reason: 'refused', code: 'room_full', retryable: true });
    expect(room.state).toBe('disconnected');
  });

  it('gives up in time', async () => {
    server.other = ({ type }) => (type === 'join' ? null : undefined);
    const failed = room.connect(URL, 'token', { timeout: 1000 }).catch((error: unknown) => error);
    await settle(1100);
    expect(await failed).toMatchObject({ reason: 'timeout' });
  });
});

describe('a lost WebSocket', () => {
  it('is resumed while media flows on', async () => {
    await connect();
    const seen: string[] = [];
    for (const name of ['signalReconnecting', 'reconnecting', 'reconnected'] as const) room.on(name, () => seen.push(name));
    server.socket.drop();
    expect(room.state).toBe('signalReconnecting');
    await settle();
    expect(room.state).toBe('connected');
    expect(seen).toEqual(['signalReconnecting', 'reconnected']);
    expect(peers).toHaveLength(1);
    expect(peers[0]!.closed).toBe(false);
  });

  it('leads to a new join, with the same tracks, when the session is gone', async () => {
    await connect();
    const publishing = room.localParticipant.setCameraEnabled(true);
    await settle();
    const before = (await publishing)!;
    const old = before.trackSid;
    server.resume = { type: 'error', code: 'session_gone', message: '', retryable: false };
    server.socket.drop();
    await settle(200);
    expect(states).toEqual(['connecting', 'connected', 'signalReconnecting', 'reconnecting', 'connected']);
    expect(peers).toHaveLength(2);
    expect(server.socket.sent[0]).toMatchObject({ type: 'join', publish: [{ source: 'camera', muted: false }] });
    expect(peers[1]!.transceivers[1]!.sender.track).toBe(before.track.mediaStreamTrack);
    expect(before.trackSid).not.toBe(old);
    expect(room.localParticipant.trackPublications.get(before.trackSid)).toBe(before);
  });

  it('ends with a reason when nothing helps', async () => {
    await connect();
    const ended = new Promise((resolve) => room.on(RoomEvent.Disconnected, resolve));
    server.reachable = false;
    server.socket.drop();
    await settle(500);
    expect(await ended).toBe('signalLost');
    expect(room.state).toBe('disconnected');
  });
});

describe('the media path', () => {
  it('is not touched on ICE disconnected alone', async () => {
    await connect();
    peers[0]!.become('disconnected');
    await settle(5000);
    expect(room.state).toBe('connected');
    expect(peers[0]!.restarts).toEqual([false]);
  });

  it.each(['failed', 'interrupted'])('is restarted on %s', async (how) => {
    await connect();
    if (how === 'failed') peers[0]!.become('failed');
    else event(1, { type: 'connection', state: 'interrupted' });
    expect(room.state).toBe('reconnecting');
    await settle();
    expect(room.state).toBe('connected');
    expect(peers[0]!.restarts).toEqual([false, true]);
    expect(server.socket.types()).toContain('offer');
  });

  it('waits for the WebSocket when both are lost', async () => {
    await connect();
    server.socket.drop();
    peers[0]!.become('failed');
    expect(room.state).toBe('reconnecting');
    await settle();
    expect(server.socket.types()).toEqual(['resume', 'offer']);
    expect(room.state).toBe('connected');
  });
});

describe('participants', () => {
  it('come, publish, mute, change and leave', async () => {
    const ann = sid('PA', '1');
    server.join = { type: 'joined', ...joined({ participants: [participant(ann, 'ann')] }) };
    const seen: string[] = [];
    room.on('participantConnected', ({ identity }) => seen.push(`+${identity}`));
    room.on('participantDisconnected', ({ identity }) => seen.push(`-${identity}`));
    room.on('trackPublished', ({ source }, { identity }) => seen.push(`${identity} ${source}`));
    room.on('trackMuted', ({ source }, { identity }) => seen.push(`${identity} mutes ${source}`));
    room.on('participantAttributesChanged', (changed, { identity }) => seen.push(`${identity} ${JSON.stringify(changed)}`));
    await connect();
    event(1, { type: 'track_published', participant: ann, track: track('TR_1') });
    event(2, { type: 'track_updated', participant: ann, track: track('TR_1', { muted: true }) });
    event(3, { type: 'participant_updated', participant: { ...participant(ann, 'ann'), attributes: { hand: 'up' } } });
    event(4, { type: 'some_day', of: 'a newer server' });
    event(5, { type: 'participant_left', participant: ann, reason: 'left' });
    expect(seen).toEqual(['+ann', 'ann camera', 'ann mutes camera', 'ann {"hand":"up"}', '-ann']);
    expect(room.remoteParticipants.size).toBe(0);
  });

  it('are replaced by a snapshot after a long absence', async () => {
    const [ann, bob] = [sid('PA', '1'), sid('PA', '2')];
    server.join = { type: 'joined', ...joined({ participants: [participant(ann, 'ann', [track('TR_1')])] }) };
    await connect();
    const before = room.remoteParticipants.get('ann');
    server.resume = { type: 'resumed', seq: 9, snapshot: joined({ participants: [participant(ann, 'ann'), participant(bob, 'bob')], slotsRevision: 4 }) };
    server.socket.drop();
    await settle();
    expect([...room.remoteParticipants.keys()]).toEqual(['ann', 'bob']);
    expect(room.remoteParticipants.get('ann')).toBe(before);
    expect(before!.trackPublications.size).toBe(0);
    expect(server.socket.sent.at(-1)).toMatchObject({ type: 'slots_ack', revision: 4 });
  });
});

describe('the local participant', () => {
  it('reuses the sender over mute, and the device only while it is on', async () => {
    await connect();
    const on = room.localParticipant.setCameraEnabled(true);
    await settle();
    const publication = (await on)!;
    const sender = peers[0]!.transceivers[1]!.sender;
    const first = sender.track;
    const off = room.localParticipant.setCameraEnabled(false);
    await settle();
    await off;
    expect(first!.readyState).toBe('ended');
    expect(sender.track).toBeNull();
    expect(room.localParticipant.isCameraEnabled).toBe(false);
    const again = room.localParticipant.setCameraEnabled(true);
    await settle();
    expect(await again).toBe(publication);
    expect(sender.track).not.toBe(first);
    expect(server.socket.types().filter((type) => type === 'publish')).toHaveLength(1);
    expect(server.socket.sent.filter(({ type }) => type === 'mute')).toMatchObject([{ muted: true }, { muted: false }]);
  });

  it('opens one camera on two clicks', async () => {
    await connect();
    const both = Promise.all([room.localParticipant.setCameraEnabled(true), room.localParticipant.setCameraEnabled(true)]);
    await settle();
    const [first, second] = await both;
    expect(first).toBe(second);
    expect(room.localParticipant.trackPublications.size).toBe(1);
  });

  it('gives the device back when publishing is refused', async () => {
    await connect();
    server.other = ({ type }) => (type === 'publish' ? { type: 'error', code: 'permission_denied', message: 'no', retryable: false } : undefined);
    const failed = room.localParticipant.setMicrophoneEnabled(true).catch((error: unknown) => error);
    await settle();
    expect(await failed).toMatchObject({ name: 'PublishError', code: 'permission_denied', kind: 'audio' });
    expect(peers[0]!.transceivers[0]!.sender.track).toBeNull();
    expect(room.localParticipant.isMicrophoneEnabled).toBe(false);
  });

  it('stops its devices when the room is left', async () => {
    await connect();
    const on = room.localParticipant.setMicrophoneEnabled(true);
    await settle();
    const { track: microphone } = (await on)!;
    const left = room.disconnect();
    await settle(1000);
    await left;
    expect(microphone.mediaStreamTrack.readyState).toBe('ended');
    expect(server.socket.types()).toContain('leave');
  });

  it('needs a room', async () => {
    await expect(room.localParticipant.sendText('hi')).rejects.toMatchObject({ reason: 'notConnected' });
  });
});

it('ends when the server says so', async () => {
  await connect();
  const ended = new Promise((resolve) => room.on(RoomEvent.Disconnected, resolve));
  event(1, { type: 'disconnected', reason: 'duplicate_identity', message: '' });
  expect(await ended).toBe('duplicateIdentity');
  await settle(1000);
  expect(server.sockets).toHaveLength(1);
  expect(room.state).toBe(ConnectionState.Disconnected);
});
