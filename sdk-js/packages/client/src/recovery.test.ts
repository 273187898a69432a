import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RoomEvent } from './events';
import type { FakePeerConnection } from './testing/fake-peer';
import { joined, participant, sid, track } from './testing/fake-socket';
import { RoomFixture, SERVER } from './testing/room-fixture';

const call = RoomFixture.forEach();
const [ANN, BOB] = [sid('PA', '1'), sid('PA', '2')];

/** The server was killed and is there again: it knows no session, and a resume is refused as the real one refuses it. */
async function crash(after: Partial<Parameters<typeof joined>[0]> = {}): Promise<void> {
  call.server.refuses = 'session_gone';
  call.server.join = { type: 'joined', ...joined({ session: 'SE_2', ...after }) };
  call.server.socket.drop();
  await call.settle(13);
  call.server.refuses = undefined;
  await call.settle(100);
}

const requests = (type: string): object[] => call.server.socket.sent.filter((it) => it.type === type);

describe('after a crash of the server', () => {
  it('the room is joined again at once, and says so', async () => {
    await call.connect();
    const seen: string[] = [];
    call.room.on(RoomEvent.Reconnected, () => seen.push('reconnected')).on(RoomEvent.Reconnecting, () => seen.push('reconnecting'));
    await crash();
    expect(call.room.state).toBe('connected');
    expect(seen).toEqual(['reconnecting', 'reconnected']);
    expect(call.peers).toHaveLength(2);
    expect(call.peers[0]!.closed).toBe(true);
    expect(requests('join')).toHaveLength(1);
  });

  it('tracks, mute state and codecs are as they were', async () => {
    await call.connect();
    const me = call.room.localParticipant;
    const camera = (await call.done(me.setCameraEnabled(true, {}, { name: 'front' })))!;
    await call.done(me.setMicrophoneEnabled(true, {}, { red: true, stereo: true }));
    await call.done(me.setMicrophoneEnabled(false));
    const before = camera.trackSid;
    await crash();
    expect(requests('join')).toMatchObject([{ publish: [{ source: 'camera', muted: false, name: 'front' }, { source: 'microphone', muted: true }] }]);
    expect(camera.trackSid).not.toBe(before);
    expect(me.trackPublications.get(camera.trackSid)).toBe(camera);
    expect(me.isMicrophoneEnabled).toBe(false);
    // What the track was published with is in the first offer of the new connection.
    expect(call.peer.offeredStereo).toBe(true);
  });

  it('name, metadata and attributes are told again', async () => {
    await call.connect();
    const me = call.room.localParticipant;
    await call.done(me.setName('Ann'));
    await call.done(me.setAttributes({ hand: 'up', gone: 'x' }));
    await call.done(me.setAttributes({ gone: '' }));
    await crash();
    expect(requests('update')).toMatchObject([{ name: 'Ann', attributes: { hand: 'up' } }]);
    expect(requests('update')[0]).not.toHaveProperty('metadata');
    expect([me.name, me.attributes]).toEqual(['Ann', { hand: 'up' }]);
  });

  it('what was asked of others counts for their new tracks', async () => {
    const tracks = [track('TR_1'), track('TR_screen', { source: 'screen_share' })];
    call.server.join = { type: 'joined', ...joined({ participants: [participant(ANN, 'ann', tracks)] }) };
    await call.connect();
    const ann = call.room.remoteParticipants.get('ann')!;
    const camera = ann.getTrackPublication('camera')!;
    camera.setVideoQuality('low');
    await call.done(camera.setSubscribed(false));
    await call.done(call.room.setPinned([ann]));
    expect(requests('slots').at(-1)).toMatchObject({ pins: [{ slot: 0, participant: ANN }, { slot: 9, participant: ANN }] });
    await crash();
    expect(call.room.remoteParticipants.size).toBe(0);
    call.event(1, { type: 'participant_joined', participant: participant(BOB, 'ann') });
    call.event(2, { type: 'track_published', participant: BOB, track: track('TR_2') });
    await call.settle(200);
    expect(requests('unsubscribe')).toMatchObject([{ tracks: ['TR_2'] }]);
    expect(requests('configure')).toMatchObject([{ tracks: [{ track: 'TR_2', maxQuality: 'low' }] }]);
    expect(requests('slots').at(-1)).toMatchObject({ pins: [{ slot: 0, participant: BOB }] });
  });

  it('a track that was unpublished or muted meanwhile is neither a ghost nor another', async () => {
    await call.connect();
    const me = call.room.localParticipant;
    const camera = (await call.done(me.setCameraEnabled(true)))!;
    const microphone = (await call.done(me.setMicrophoneEnabled(true)))!;
    call.server.refuses = 'session_gone';
    let publishing: object[] = [];
    call.server.other = (request) => {
      if (request.type !== 'join') return undefined;
      publishing = request.publish;
      return null;
    };
    call.server.socket.drop();
    await call.settle(13);
    call.server.refuses = undefined;
    await call.settle(30);
    expect(publishing).toHaveLength(2);
    // The join is under way with both.
    const ended = me.unpublishTrack(camera.track);
    const muted = microphone.mute();
    const { id } = call.server.socket.sent[0]!;
    call.server.other = () => undefined;
    await call.settle(1);
    call.server.socket.deliver({ id, type: 'joined', ...joined({ session: 'SE_2', published: [track('TR_new_camera'), track('TR_new_mic', { source: 'microphone' })] }) });
    await call.settle(50);
    await Promise.all([ended, muted]);
    expect([...me.trackPublications.keys()]).toEqual(['TR_new_mic']);
    expect(me.trackPublications.get('TR_new_mic')).toBe(microphone);
    expect(requests('unpublish')).toContainEqual(expect.objectContaining({ track: 'TR_new_camera' }));
    expect(requests('mute')).toContainEqual(expect.objectContaining({ track: 'TR_new_mic', muted: true }));
    expect(requests('mute')).not.toContainEqual(expect.objectContaining({ track: 'TR_new_camera' }));
  });

  it('what was asked while nothing was connected is done afterwards', async () => {
    await call.connect();
    call.server.reachable = false;
    call.server.socket.drop();
    await call.settle(2);
    const said = call.room.localParticipant.setName('Late');
    const published = call.room.localParticipant.setCameraEnabled(true);
    call.server.reachable = true;
    await crash();
    await Promise.all([said, published]);
    expect(call.room.localParticipant.name).toBe('Late');
    expect(call.room.localParticipant.isCameraEnabled).toBe(true);
  });

  it('ends where the server says no', async () => {
    await call.connect();
    const ended = new Promise((resolve) => call.room.on(RoomEvent.Disconnected, resolve));
    call.server.refuses = 'token_expired';
    call.server.socket.drop();
    await call.settle(100);
    expect(await ended).toBe('joinFailed');
  });
});

describe('disconnected by the server', () => {
  it.each(['server_shutdown', 'media_failed', 'media_restarted', 'signal_lost'])('with %s: joins again', async (reason) => {
    await call.connect();
    const ended = vi.fn();
    call.room.on(RoomEvent.Disconnected, ended);
    call.event(1, { type: 'disconnected', reason, message: '' });
    expect(call.room.state).toBe('reconnecting');
    await call.settle(600);
    expect(call.room.state).toBe('connected');
    expect(call.peers).toHaveLength(2);
    expect(ended).not.toHaveBeenCalled();
  });

  it('with a time: not before it', async () => {
    await call.connect();
    call.event(1, { type: 'disconnected', reason: 'server_shutdown', message: '', retryAfterMs: 3000 });
    await call.settle(2900);
    expect(call.peers).toHaveLength(1);
    await call.settle(700);
    expect(call.room.state).toBe('connected');
  });

  it('with a server that never comes back: says why', async () => {
    await call.connect();
    const ended = new Promise((resolve) => call.room.on(RoomEvent.Disconnected, resolve));
    call.server.reachable = false;
    call.event(1, { type: 'disconnected', reason: 'server_shutdown', message: '', retryAfterMs: 100 });
    await call.settle(2000);
    expect(await ended).toBe('serverShutdown');
  });

  it.each([
    ['removed', 'participantRemoved'],
    ['duplicate_identity', 'duplicateIdentity'],
    ['room_closed', 'roomClosed'],
    ['some_day', 'protocolError'],
  ])('with %s: the room ends', async (reason, wanted) => {
    await call.connect();
    const ended = new Promise((resolve) => call.room.on(RoomEvent.Disconnected, resolve));
    call.event(1, { type: 'disconnected', reason, message: '' });
    expect(await ended).toBe(wanted);
    await call.settle(2000);
    expect(call.server.sockets).toHaveLength(1);
  });
});

describe('the media path', () => {
  /** Lets as much pass each 100 ms, until it is stopped. */
  let flow: { received: number; sent: number; made: number };
  let timer: ReturnType<typeof setInterval>;
  beforeEach(() => {
    flow = { received: 1000, sent: 1000, made: 5 };
    timer = setInterval(() => call.peers.forEach((peer) => pass(peer)), 100);
  });
  afterEach(() => clearInterval(timer));

  function pass(peer: FakePeerConnection): void {
    const before = peer.passed ?? { bytesReceived: 0, bytesSent: 0, packetsSent: 0 };
    peer.passed = { bytesReceived: before.bytesReceived + flow.received, bytesSent: before.bytesSent + flow.sent, packetsSent: before.packetsSent + flow.made };
  }

  it('is left alone while media passes', async () => {
    await call.connect();
    await call.settle(20_000);
    expect(call.peer.restarts).toEqual([false]);
    expect(requests('ping').length).toBeLessThanOrEqual(2);
  });

  it('is left alone while there is nothing that could pass', async () => {
    flow = { received: 0, sent: 0, made: 0 };
    await call.connect();
    await call.settle(20_000);
    expect(call.peer.restarts).toEqual([false]);
  });

  it('is moved within 5 s of its silence, and believed when media passes', async () => {
    await call.connect();
    await call.settle(2000);
    flow = { received: 0, sent: 1000, made: 5 };
    await call.settle(4_300);
    expect(call.peer.restarts).toEqual([false, true]);
    expect(call.room.state).toBe('reconnecting');
    flow.received = 1000;
    await call.settle(500);
    expect(call.room.state).toBe('connected');
    expect(call.peers).toHaveLength(1);
  });

  it('is given up where ICE comes back and media does not, and the next one goes over TCP', async () => {
    await call.connect();
    await call.settle(2000);
    // As Firefox: packets are made and leave over no path.
    flow = { received: 0, sent: 0, made: 5 };
    call.peer.become('failed');
    await call.settle(3_400);
    expect(call.peers).toHaveLength(2);
    expect(call.room.state).toBe('connected');
    flow = { received: 1000, sent: 1000, made: 5 };
  });

  it('is given up at once in Firefox when ICE has failed', async () => {
    vi.stubGlobal('window', Object.assign(new EventTarget(), { mozInnerScreenX: 0 }));
    await call.connect();
    call.peer.become('failed');
    await call.settle(100);
    expect(call.peers).toHaveLength(2);
    expect(call.peers[0]!.restarts).toEqual([false]);
    expect(call.room.state).toBe('connected');
  });

  it('asks the WebSocket as soon as ICE is disconnected, and moves after a resume', async () => {
    await call.connect();
    await call.settle(1000);
    flow = { received: 0, sent: 0, made: 5 };
    const dead = call.server.socket;
    call.server.other = ({ type }) => (type === 'ping' && call.server.socket === dead ? null : undefined);
    call.peer.become('disconnected');
    expect(dead.types().at(-1)).toBe('ping');
    await call.settle(1_600);
    expect(call.server.socket).not.toBe(dead);
    expect(call.server.socket.types().slice(0, 2)).toEqual(['resume', 'offer']);
    flow.received = flow.sent = 1000;
    await call.settle(500);
    expect(call.room.state).toBe('connected');
  });

  it('is moved when the browser says that the network is back', async () => {
    const page = new EventTarget();
    vi.stubGlobal('window', page);
    await call.connect();
    page.dispatchEvent(new Event('online'));
    await call.settle(500);
    expect(call.peer.restarts).toEqual([false, true]);
    expect(call.room.state).toBe('connected');
  });

  it('does not blame the path twice for the silence of others', async () => {
    const info = { track: 'TR_1', layer: { spatial: 0, temporal: 0, bitrate: 1 }, limit: 'none' };
    const slots = [{ slot: 0, participant: ANN, audio: null, video: { track: 'TR_1', after: null } }];
    call.server.join = { type: 'joined', ...joined({ participants: [participant(ANN, 'ann', [track('TR_1')])], slots: slots as never, streams: [info as never] }) };
    flow = { received: 1000, sent: 1000, made: 0 };
    await call.connect();
    await call.settle(2000);
    flow = { received: 0, sent: 1000, made: 0 };
    await call.settle(30_000);
    expect(call.peers).toHaveLength(1);
    expect(call.peer.restarts).toEqual([false, true]);
  });

  it('that is never made ends the room after four joins, every second one over TCP alone', async () => {
    call.room.options.peerConnectionFactory = undefined as never;
    const answers: string[] = [];
    const sdp = 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=candidate:1 1 udp 1 127.0.0.1 1 typ host\r\na=candidate:2 1 tcp 1 127.0.0.1 2 typ host tcptype passive\r\n';
    call.server.join = { type: 'joined', ...joined({ answer: sdp }) };
    const { FakePeerConnection } = await import('./testing/fake-peer');
    vi.stubGlobal('RTCPeerConnection', class extends FakePeerConnection {
      override connects = false;
      override async setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
        answers.push(description.sdp);
        return super.setRemoteDescription(description);
      }
    });
    const ended = new Promise((resolve) => call.room.on(RoomEvent.Disconnected, resolve));
    await call.done(call.room.connect(SERVER, 'token'));
    await call.settle(60_000);
    expect(await ended).toBe('mediaFailed');
    expect(answers.map((it) => it.includes(' udp '))).toEqual([true, false, true, false]);
  });
});
