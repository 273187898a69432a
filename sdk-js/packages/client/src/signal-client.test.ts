import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ConnectionError, RequestError } from './errors';
import type { RequestOf } from './protocol';
import { SignalClient } from './signal-client';
import { FakeServer, joined } from './testing/fake-socket';

const JOIN: RequestOf<'join'> = { type: 'join', protocol: 1, offer: '', slots: [], publish: [], autoSubscribe: true };
const POLICY = { nextDelay: ({ attempt }: { attempt: number }) => (attempt < 4 ? 10 : null) };

describe('SignalClient', () => {
  let server: FakeServer;
  let client: SignalClient;

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal('fetch', undefined);
    server = new FakeServer();
    client = new SignalClient('https://sfu.test/base/', 'a token', { webSocketFactory: server.factory, reconnectPolicy: POLICY });
  });
  afterEach(() => {
    client.close();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  async function join(): Promise<void> {
    const done = client.join(JOIN);
    await vi.advanceTimersByTimeAsync(5);
    await done;
    client.start();
  }

  it('opens the right address with the token', async () => {
    await join();
    expect(server.socket.url).toBe('wss://sfu.test/base/v1/rtc?access_token=a+token');
  });

  it('matches replies by id, in whatever order they come', async () => {
    await join();
    server.other = () => null;
    const first = client.request<'publish'>({ type: 'publish', mid: '0', source: 'camera', name: '', muted: false });
    const second = client.request<'mute'>({ type: 'mute', track: 'TR_1', muted: true });
    const [publish, mute] = server.socket.sent.slice(-2);
    server.socket.deliver({ id: mute!.id, type: 'ok' });
    server.socket.deliver({ id: publish!.id, type: 'error', code: 'permission_denied', message: 'no', retryable: false });
    await expect(second).resolves.toMatchObject({ type: 'ok' });
    await expect(first).rejects.toMatchObject({ code: 'permission_denied', retryable: false });
  });

  it('hands on each event once, in order', async () => {
    await join();
    const seen: number[] = [];
    client.on('event', ({ seq }) => seen.push(seq));
    for (const seq of [1, 2, 2, 1, 3]) server.socket.deliver({ seq, type: 'token', token: '' });
    expect(seen).toEqual([1, 2, 3]);
  });

  it('holds events back until the reply to join was handled', async () => {
    const seen: number[] = [];
    client.on('event', ({ seq }) => seen.push(seq));
    const done = client.join(JOIN);
    await vi.advanceTimersByTimeAsync(5);
    server.socket.deliver({ seq: 1, type: 'token', token: '' });
    await done;
    expect(seen).toEqual([]);
    client.start();
    expect(seen).toEqual([1]);
  });

  it('resumes with the last event that it has handled, by the session and not the token', async () => {
    await join();
    server.socket.deliver({ seq: 1, type: 'token', token: '' });
    const states: string[] = [];
    client.on('suspended', () => states.push('suspended'));
    client.on('resumed', () => states.push('resumed'));
    server.socket.drop();
    await vi.advanceTimersByTimeAsync(20);
    expect(states).toEqual(['suspended', 'resumed']);
    expect(server.socket.url).toBe('wss://sfu.test/base/v1/rtc?session=SE_1');
    expect(server.socket.sent[0]).toMatchObject({ type: 'resume', session: 'SE_1', secret: 'secret', lastSeq: 1 });
  });

  it('sends again what had no reply when the WebSocket was lost, and what was asked meanwhile', async () => {
    await join();
    server.other = ({ type }) => (type === 'mute' ? null : undefined);
    const muted = client.request<'mute'>({ type: 'mute', track: 'TR_1', muted: true });
    server.socket.drop();
    const acked = client.request<'slots_ack'>({ type: 'slots_ack', revision: 4 });
    server.other = () => undefined;
    await vi.advanceTimersByTimeAsync(20);
    await expect(muted).resolves.toMatchObject({ type: 'ok' });
    await expect(acked).resolves.toMatchObject({ type: 'ok' });
    expect(server.socket.types()).toEqual(['resume', 'mute', 'slots_ack']);
  });

  it('takes the numbers of a snapshot', async () => {
    await join();
    server.resume = { type: 'resumed', seq: 40, snapshot: joined() };
    server.socket.drop();
    await vi.advanceTimersByTimeAsync(20);
    const seen: number[] = [];
    client.on('event', ({ seq }) => seen.push(seq));
    server.socket.deliver({ seq: 41, type: 'token', token: '' });
    expect(seen).toEqual([41]);
  });

  it('resumes when an event is missing', async () => {
    await join();
    server.socket.deliver({ seq: 3, type: 'token', token: '' });
    await vi.advanceTimersByTimeAsync(20);
    expect(server.sockets).toHaveLength(2);
    expect(server.socket.sent[0]).toMatchObject({ type: 'resume', lastSeq: 0 });
  });

  it('gives up when the session is gone', async () => {
    await join();
    server.resume = { type: 'error', code: 'session_gone', message: '', retryable: false };
    const lost = new Promise<Error>((resolve) => client.on('lost', resolve));
    const open = client.request<'leave'>({ type: 'leave' }).catch((error: unknown) => error);
    server.socket.drop();
    await vi.advanceTimersByTimeAsync(20);
    expect(await lost).toBeInstanceOf(RequestError);
    await open;
    await expect(client.request<'mute'>({ type: 'mute', track: '', muted: true })).rejects.toMatchObject({ reason: 'notConnected' });
  });

  it('gives up when the policy does', async () => {
    await join();
    server.reachable = false;
    const lost = new Promise<Error>((resolve) => client.on('lost', resolve));
    server.socket.drop();
    await vi.advanceTimersByTimeAsync(200);
    expect(await lost).toMatchObject({ reason: 'signalLost' });
    expect(server.sockets).toHaveLength(5);
  });

  it('takes a silent WebSocket for dead', async () => {
    await join();
    server.other = ({ type }) => (type === 'ping' ? null : undefined);
    await vi.advanceTimersByTimeAsync(10_000 + 8_000 + 20);
    expect(server.sockets).toHaveLength(2);
  });

  it('fails a join whose server cannot be reached, or that is closed', async () => {
    server.reachable = false;
    const failed = client.join(JOIN).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(5);
    expect(await failed).toMatchObject({ reason: 'serverUnreachable', retryable: true });

    server.reachable = true;
    const other = new SignalClient('wss://sfu.test', 't', { webSocketFactory: server.factory });
    const closed = other.join(JOIN).catch((error: unknown) => error);
    other.close();
    expect(await closed).toBeInstanceOf(ConnectionError);
    expect(await closed).toMatchObject({ reason: 'cancelled' });
  });

  it('learns from HTTP why a WebSocket was refused', async () => {
    server.reachable = false;
    const asked = vi.fn(async () => new Response('{"code":"token_expired","message":"too late"}', { status: 401 }));
    vi.stubGlobal('fetch', asked);
    const failed = client.join(JOIN).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(5);
    expect(await failed).toMatchObject({ reason: 'notAllowed', code: 'token_expired', retryable: false });
    expect(asked.mock.calls[0]).toMatchObject(['https://sfu.test/base/v1/rtc?access_token=a+token', {}]);
  });

  it('survives garbage', async () => {
    await join();
    for (const data of ['', 'null', '[]', '{"type":1}', '{"seq":1}', '{"id":99,"type":"ok"}']) server.socket.onmessage?.({ data });
    await expect(client.request<'stats'>({ type: 'stats' })).resolves.toBeDefined();
  });
});
