import { describe, expect, it, vi } from 'vitest';
import { ConnectionError, DataError, MediaDeviceError, MadangError, NegotiationError, PublishError, RequestError, RpcError } from './errors';
import { RoomEvent } from './events';
import { Room } from './room';
import { FakeTrack } from './testing/fake-peer';
import { FakeStream } from './testing/page';
import { RoomFixture } from './testing/room-fixture';
import { FakeServer } from './testing/fake-socket';

const call = RoomFixture.forEach();
const me = (): Room['localParticipant'] => call.room.localParticipant;
const failed = (work: Promise<unknown>): Promise<unknown> => call.done(work.catch((error: unknown) => error));

describe('what I change of myself', () => {
  it('I see, and hear of', async () => {
    await call.connect();
    const seen: unknown[] = [];
    call.room
      .on(RoomEvent.ParticipantNameChanged, (before, who) => seen.push(['name', before, who.name, who.isLocal]))
      .on(RoomEvent.ParticipantMetadataChanged, (before, who) => seen.push(['metadata', before, who.metadata]))
      .on(RoomEvent.ParticipantAttributesChanged, (changed) => seen.push(['attributes', changed]));
    await call.done(me().setName('Ann'));
    await call.done(me().setMetadata('m'));
    await call.done(me().setAttributes({ hand: 'up', seat: '1' }));
    await call.done(me().setAttributes({ hand: '' }));
    expect([me().name, me().metadata, me().attributes]).toEqual(['Ann', 'm', { seat: '1' }]);
    expect(seen).toEqual([['name', 'me', 'Ann', true], ['metadata', '', 'm'], ['attributes', { hand: 'up', seat: '1' }], ['attributes', { hand: '' }]]);
    // The server's own word for it changes nothing, and says nothing twice.
    const { sid, identity, permissions } = me();
    call.event(1, { type: 'participant_updated', participant: { id: sid, identity, permissions, name: 'Ann', metadata: 'm', attributes: { seat: '1' }, tracks: [], joinedAt: 0 } });
    expect(seen).toHaveLength(4);
  });

  it('I do not see where the server refuses it', async () => {
    await call.connect();
    call.server.other = ({ type }) => (type === 'update' ? { type: 'error', code: 'permission_denied', message: 'no', retryable: false } : undefined);
    expect(await failed(me().setName('Ann'))).toMatchObject({ code: 'permission_denied' });
    expect(me().name).toBe('me');
  });
});

describe('publishing', () => {
  it.each([
    ['video', 'unknown', 'unknown_source'],
    ['video', '', 'unknown_source'],
    ['video', 'microphone', 'kind_mismatch'],
    ['audio', 'camera', 'kind_mismatch'],
  ] as const)('of a %s as %j says what is possible', async (kind, source, code) => {
    await call.connect();
    const error = await failed(me().publishTrack(new FakeTrack(kind) as never, { source: source as never }));
    expect(error).toMatchObject({ name: 'PublishError', code, kind });
    if (code === 'unknown_source') expect(String(error)).toContain('camera, microphone, screen_share, screen_share_audio');
  });

  const share = (): { picture: FakeTrack; sound: FakeTrack } => {
    const [picture, sound] = [new FakeTrack('video'), new FakeTrack('audio')];
    const stream = Object.assign(new FakeStream([picture, sound]), { getVideoTracks: () => [picture], getAudioTracks: () => [sound] });
    Object.assign(navigator.mediaDevices, { getDisplayMedia: async () => stream });
    return { picture, sound };
  };
  const refuse = (source: string): void => {
    call.server.other = (request) => (request.type === 'publish' && request.source === source ? { type: 'error', code: 'permission_denied', message: 'no', retryable: false } : undefined);
  };

  it('a screen whose sound is refused shares the picture, and can be ended', async () => {
    await call.connect();
    const { picture, sound } = share();
    refuse('screen_share_audio');
    const published = await call.done(me().setScreenShareEnabled(true));
    expect(published).toMatchObject({ source: 'screen_share' });
    expect([picture.readyState, sound.readyState]).toEqual(['live', 'ended']);
    picture.dispatchEvent(new Event('ended'));
    await call.settle();
    expect(me().isScreenShareEnabled).toBe(false);
    expect(call.server.socket.types()).toContain('unpublish');
  });

  it('a screen whose picture is refused leaves nothing', async () => {
    await call.connect();
    const { picture, sound } = share();
    refuse('screen_share');
    expect(await failed(me().setScreenShareEnabled(true))).toMatchObject({ code: 'permission_denied' });
    expect([picture.readyState, sound.readyState]).toEqual(['ended', 'ended']);
    expect(me().trackPublications.size).toBe(0);
  });
});

describe('a device that is not there', () => {
  const list = (...devices: [string, string][]): void => {
    Object.assign(navigator.mediaDevices, { enumerateDevices: async () => devices.map(([kind, deviceId]) => ({ kind, deviceId, label: deviceId })) });
  };

  it.each(['audioinput', 'videoinput', 'audiooutput'] as const)('is not switched to (%s)', async (kind) => {
    list(['audioinput', 'mic'], ['videoinput', 'cam'], ['audiooutput', 'speaker']);
    const changed = vi.fn();
    call.room.on(RoomEvent.ActiveDeviceChanged, changed);
    expect(await failed(call.room.switchActiveDevice(kind, 'bogus'))).toMatchObject({ name: 'MediaDeviceError', failure: 'notFound', kind });
    expect(changed).not.toHaveBeenCalled();
    expect(call.room.getActiveDevice(kind)).toBeUndefined();
    await call.done(call.room.switchActiveDevice(kind, { audioinput: 'mic', videoinput: 'cam', audiooutput: 'speaker' }[kind]));
    expect(changed).toHaveBeenCalledOnce();
  });

  it('any more is muted, with a word', async () => {
    await call.connect();
    const microphone = (await call.done(me().setMicrophoneEnabled(true)))!;
    const failures: unknown[] = [];
    call.room.on(RoomEvent.MediaDevicesError, ({ failure, kind }) => failures.push([failure, kind]));
    microphone.track.mediaStreamTrack.dispatchEvent(new Event('ended'));
    await call.settle();
    expect(failures).toEqual([['ended', 'audioinput']]);
    expect(me().isMicrophoneEnabled).toBe(false);
    await call.done(me().setMicrophoneEnabled(true));
    expect(me().isMicrophoneEnabled).toBe(true);
  });

  it('leaves the one before in use', async () => {
    // Before a permission the browser names no ids.
    list(['videoinput', '']);
    await call.connect();
    const camera = (await call.done(me().setCameraEnabled(true)))!;
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (constraints) => {
      const { deviceId } = (constraints?.video ?? {}) as { deviceId?: { exact?: string } };
      if (deviceId?.exact === 'bogus') throw Object.assign(new Error(''), { name: 'OverconstrainedError' });
      return open(constraints);
    };
    expect(await failed(call.room.switchActiveDevice('videoinput', 'bogus'))).toMatchObject({ name: 'MediaDeviceError', failure: 'constraintsUnmet' });
    expect(camera.track.mediaStreamTrack.readyState).toBe('live');
    expect(call.peer.transceivers[1]!.sender.track).toBe(camera.track.mediaStreamTrack);
  });
});

describe('errors', () => {
  it('of data and calls have their own types', async () => {
    await call.connect();
    expect(await failed(me().publishData('text' as never))).toMatchObject({ name: 'DataError', code: 'data_invalid' });
    expect(await failed(me().performRpc({ destinationIdentity: 'nobody', method: 'm', payload: '' }))).toMatchObject({ name: 'RpcError', code: 'rpc_no_recipient' });
    expect(await failed(me().sendText('hi', { destinationIdentities: ['nobody'] }))).toMatchObject({ name: 'RequestError', code: 'not_found' });
  });

  it('of an address and of a place without WebRTC are connection errors', async () => {
    expect(await failed(call.room.connect('no url', 'token'))).toMatchObject({ name: 'ConnectionError', reason: 'invalidUrl' });
    const plain = new Room({ webSocketFactory: new FakeServer().factory });
    expect(await failed(plain.connect('wss://sfu.test', 'token'))).toMatchObject({ name: 'ConnectionError', reason: 'unsupported' });
    expect(plain.state).toBe('disconnected');
  });

  it('keep their names in a minified bundle', () => {
    const wire = { code: 'internal', message: '', retryable: false } as const;
    const all = [new MadangError('c', ''), new ConnectionError('timeout', ''), new RequestError(wire), new MediaDeviceError('other', 'screen'), new NegotiationError(''), new PublishError('audio', ''), new DataError('closed', ''), new RpcError('c', '')];
    expect(all.map((error) => [error.name, String(error).split(':')[0]])).toEqual(
      ['MadangError', 'ConnectionError', 'RequestError', 'MediaDeviceError', 'NegotiationError', 'PublishError', 'DataError', 'RpcError'].map((name) => [name, name]),
    );
    expect(all.every((error) => error instanceof MadangError)).toBe(true);
  });
});
