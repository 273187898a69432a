import { describe, expect, it } from 'vitest';
import { ConnectionError } from './errors';
import { RoomEvent } from './events';
import { joined, participant, sid, track } from './testing/fake-socket';
import { RoomFixture, SERVER as URL } from './testing/room-fixture';
import { ConnectionState } from './types';

const call = RoomFixture.forEach();
const settle = (milliseconds?: number): Promise<unknown> => call.settle(milliseconds);
const connect = (): Promise<void> => call.connect();
const event = (seq: number, rest: object): void => call.event(seq, rest);

describe('connect', () => {
  it('joins with one offer that holds everything', async () => {
    await connect();
    expect(call.states).toEqual(['connecting', 'connected']);
    const join = call.server.socket.sent[0]!;
    expect(join).toMatchObject({ type: 'join', protocol: 1, autoSubscribe: true });
    const { slots } = join as Extract<typeof join, { type: 'join' }>;
    expect(slots.map(({ role }) => role)).toEqual([...Array<string>(9).fill('pair'), 'screen', 'audio', 'audio', 'audio']);
    expect(new Set(slots.flatMap(({ audio, video }) => [audio, video])).size).toBe(24);
    expect(call.peers[0]!.channels.map(({ label }) => label)).toEqual(['reliable', 'lossy']);
    expect(call.peers[0]!.transceivers.slice(0, 4).map(({ kind, direction }) => [kind, direction])).toEqual([
      ['audio', 'sendonly'],
      ['video', 'sendonly'],
      ['video', 'sendonly'],
      ['audio', 'sendonly'],
    ]);
    expect(call.server.socket.sent[1]).toMatchObject({ type: 'slots_ack', revision: 0 });
  });

  it('is idempotent', async () => {
    const [first, second] = [call.room.connect(URL, 'token'), call.room.connect(URL, 'token')];
    await settle();
    await Promise.all([first, second, call.room.connect(URL, 'token')]);
    expect(call.server.sockets).toHaveLength(1);
    expect(call.peers).toHaveLength(1);
  });

  it('can be aborted, and be tried again', async () => {
    const abort = new AbortController();
    const failed = call.room.connect(URL, 'token', { signal: abort.signal }).catch((error: unknown) => error);
    abort.abort();
    await settle();
    expect(await failed).toMatchObject({ reason: 'cancelled' });
    expect(call.room.state).toBe('disconnected');
    expect(call.peers[0]!.closed).toBe(true);
    await connect();
    expect(call.room.state).toBe('connected');
  });

  it('fails at once with a signal that is aborted already', async () => {
    const failed = await call.room.connect(URL, 'token', { signal: AbortSignal.abort() }).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(ConnectionError);
    expect(call.server.sockets).toHaveLength(0);
  });

  it('loses against disconnect()', async () => {
    const ended: string[] = [];
    call.room.on(RoomEvent.Disconnected, (reason) => ended.push(reason));
    const failed = call.room.connect(URL, 'token').catch((error: unknown) => error);
    await call.room.disconnect();
    await settle();
    expect(await failed).toMatchObject({ reason: 'cancelled' });
    expect(call.states).toEqual(['connecting', 'disconnected']);
    expect(ended).toEqual([]);
  });

  it('says why the server refused', async () => {
    call.server.join = { type: 'error', code: 'room_full', message: 'full', retryable: true };
    const failed = call.room.connect(URL, 'token').catch((error: unknown) => error);
    await settle();
    expect(await failed).toMatchObject({ reason: 'refused', code: 'room_full', retryable: true });
    expect(call.room.state).toBe('disconnected');
  });

  it('gives up in time', async () => {
    call.server.other = ({ type }) => (type === 'join' ? null : undefined);
    const failed = call.room.connect(URL, 'token', { timeout: 1000 }).catch((error: unknown) => error);
    await settle(1100);
    expect(await failed).toMatchObject({ reason: 'timeout' });
  });
});

describe('a lost WebSocket', () => {
  it('is resumed while media flows on', async () => {
    await connect();
    const seen: string[] = [];
    for (const name of ['signalReconnecting', 'reconnecting', 'reconnected'] as const) call.room.on(name, () => seen.push(name));
    call.server.socket.drop();
    expect(call.room.state).toBe('signalReconnecting');
    await settle();
    expect(call.room.state).toBe('connected');
    expect(seen).toEqual(['signalReconnecting', 'reconnected']);
    expect(call.peers).toHaveLength(1);
    expect(call.peers[0]!.closed).toBe(false);
  });

  it('leads to a new join, with the same tracks, when the session is gone', async () => {
    await connect();
    const publishing = call.room.localParticipant.setCameraEnabled(true);
    await settle();
    const before = (await publishing)!;
    const old = before.trackSid;
    call.server.resume = { type: 'error', code: 'session_gone', message: '', retryable: false };
    call.server.socket.drop();
    await settle(200);
    expect(call.states).toEqual(['connecting', 'connected', 'signalReconnecting', 'reconnecting', 'connected']);
    expect(call.peers).toHaveLength(2);
    expect(call.server.socket.sent[0]).toMatchObject({ type: 'join', publish: [{ source: 'camera', muted: false }] });
    expect(call.peers[1]!.transceivers[1]!.sender.track).toBe(before.track.mediaStreamTrack);
    expect(before.trackSid).not.toBe(old);
    expect(call.room.localParticipant.trackPublications.get(before.trackSid)).toBe(before);
  });

  it('ends with a reason when nothing helps', async () => {
    await connect();
    const ended = new Promise((resolve) => call.room.on(RoomEvent.Disconnected, resolve));
    call.server.reachable = false;
    call.server.socket.drop();
    await settle(500);
    expect(await ended).toBe('signalLost');
    expect(call.room.state).toBe('disconnected');
  });
});

describe('the media path', () => {
  it('is not touched on an ICE disconnected that heals', async () => {
    await connect();
    call.peers[0]!.become('disconnected');
    await settle(1000);
    call.peers[0]!.become('connected');
    await settle(5000);
    expect(call.room.state).toBe('connected');
    expect(call.peers[0]!.restarts).toEqual([false]);
  });

  it.each(['failed', 'interrupted'])('is restarted on %s', async (how) => {
    await connect();
    if (how === 'failed') call.peers[0]!.become('failed');
    else event(1, { type: 'connection', state: 'interrupted' });
    expect(call.room.state).toBe('reconnecting');
    await settle();
    expect(call.room.state).toBe('connected');
    expect(call.peers[0]!.restarts).toEqual([false, true]);
    expect(call.server.socket.types()).toContain('offer');
  });

  it('waits for the WebSocket when both are lost', async () => {
    await connect();
    call.server.socket.drop();
    call.peers[0]!.become('failed');
    expect(call.room.state).toBe('reconnecting');
    await settle();
    expect(call.server.socket.types()).toEqual(['resume', 'offer']);
    expect(call.room.state).toBe('connected');
  });
});

describe('participants', () => {
  it('come, publish, mute, change and leave', async () => {
    const ann = sid('PA', '1');
    call.server.join = { type: 'joined', ...joined({ participants: [participant(ann, 'ann')] }) };
    const seen: string[] = [];
    call.room.on('participantConnected', ({ identity }) => seen.push(`+${identity}`));
    call.room.on('participantDisconnected', ({ identity }) => seen.push(`-${identity}`));
    call.room.on('trackPublished', ({ source }, { identity }) => seen.push(`${identity} ${source}`));
    call.room.on('trackMuted', ({ source }, { identity }) => seen.push(`${identity} mutes ${source}`));
    call.room.on('participantAttributesChanged', (changed, { identity }) => seen.push(`${identity} ${JSON.stringify(changed)}`));
    await connect();
    event(1, { type: 'track_published', participant: ann, track: track('TR_1') });
    event(2, { type: 'track_updated', participant: ann, track: track('TR_1', { muted: true }) });
    event(3, { type: 'participant_updated', participant: { ...participant(ann, 'ann'), attributes: { hand: 'up' } } });
    event(4, { type: 'some_day', of: 'a newer server' });
    event(5, { type: 'participant_left', participant: ann, reason: 'left' });
    expect(seen).toEqual(['+ann', 'ann camera', 'ann mutes camera', 'ann {"hand":"up"}', '-ann']);
    expect(call.room.remoteParticipants.size).toBe(0);
  });

  it('are replaced by a snapshot after a long absence', async () => {
    const [ann, bob] = [sid('PA', '1'), sid('PA', '2')];
    call.server.join = { type: 'joined', ...joined({ participants: [participant(ann, 'ann', [track('TR_1')])] }) };
    await connect();
    const before = call.room.remoteParticipants.get('ann');
    call.server.resume = { type: 'resumed', seq: 9, snapshot: joined({ participants: [participant(ann, 'ann'), participant(bob, 'bob')], slotsRevision: 4 }) };
    call.server.socket.drop();
    await settle();
    expect([...call.room.remoteParticipants.keys()]).toEqual(['ann', 'bob']);
    expect(call.room.remoteParticipants.get('ann')).toBe(before);
    expect(before!.trackPublications.size).toBe(0);
    expect(call.server.socket.sent.at(-1)).toMatchObject({ type: 'slots_ack', revision: 4 });
  });
});

describe('the local participant', () => {
  it('reuses the sender over mute, and the device only while it is on', async () => {
    await connect();
    const on = call.room.localParticipant.setCameraEnabled(true);
    await settle();
    const publication = (await on)!;
    const sender = call.peers[0]!.transceivers[1]!.sender;
    const first = sender.track;
    const off = call.room.localParticipant.setCameraEnabled(false);
    await settle();
    await off;
    expect(first!.readyState).toBe('ended');
    expect(sender.track).toBeNull();
    expect(call.room.localParticipant.isCameraEnabled).toBe(false);
    const again = call.room.localParticipant.setCameraEnabled(true);
    await settle();
    expect(await again).toBe(publication);
    expect(sender.track).not.toBe(first);
    expect(call.server.socket.types().filter((type) => type === 'publish')).toHaveLength(1);
    expect(call.server.socket.sent.filter(({ type }) => type === 'mute')).toMatchObject([{ muted: true }, { muted: false }]);
  });

  it('opens one camera on two clicks', async () => {
    await connect();
    const both = Promise.all([call.room.localParticipant.setCameraEnabled(true), call.room.localParticipant.setCameraEnabled(true)]);
    await settle();
    const [first, second] = await both;
    expect(first).toBe(second);
    expect(call.room.localParticipant.trackPublications.size).toBe(1);
  });

  it('gives the device back when publishing is refused', async () => {
    await connect();
    call.server.other = ({ type }) => (type === 'publish' ? { type: 'error', code: 'permission_denied', message: 'no', retryable: false } : undefined);
    const failed = call.room.localParticipant.setMicrophoneEnabled(true).catch((error: unknown) => error);
    await settle();
    expect(await failed).toMatchObject({ name: 'PublishError', code: 'permission_denied', kind: 'audio' });
    expect(call.peers[0]!.transceivers[0]!.sender.track).toBeNull();
    expect(call.room.localParticipant.isMicrophoneEnabled).toBe(false);
  });

  it('stops its devices when the room is left', async () => {
    await connect();
    const on = call.room.localParticipant.setMicrophoneEnabled(true);
    await settle();
    const { track: microphone } = (await on)!;
    const left = call.room.disconnect();
    await settle(1000);
    await left;
    expect(microphone.mediaStreamTrack.readyState).toBe('ended');
    expect(call.server.socket.types()).toContain('leave');
  });

  it('needs a room', async () => {
    await expect(call.room.localParticipant.sendText('hi')).rejects.toMatchObject({ reason: 'notConnected' });
  });
});

it('ends when the server says so', async () => {
  await connect();
  const ended = new Promise((resolve) => call.room.on(RoomEvent.Disconnected, resolve));
  event(1, { type: 'disconnected', reason: 'duplicate_identity', message: '' });
  expect(await ended).toBe('duplicateIdentity');
  await settle(1000);
  expect(call.server.sockets).toHaveLength(1);
  expect(call.room.state).toBe(ConnectionState.Disconnected);
});
