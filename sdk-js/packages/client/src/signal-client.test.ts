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
    server = new FakeServer();
    vi.stubGlobal('fetch', server.fetch);
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

  it.each(['session_gone', 'token_expired'])('gives up at once when the upgrade of a resume is refused with %s', async (code) => {
    await join();
    server.refuses = code;
    const lost = new Promise<Error>((resolve) => client.on('lost', resolve));
    server.socket.drop();
    await vi.advanceTimersByTimeAsync(15);
    expect(await lost).toMatchObject({ code, retryable: false });
    expect(server.sockets).toHaveLength(2);
  });

  it('goes on trying while the server shuts down', async () => {
    await join();
    server.refuses = 'shutting_down';
    server.socket.drop();
    await vi.advanceTimersByTimeAsync(25);
    server.refuses = undefined;
    await vi.advanceTimersByTimeAsync(25);
    expect(client.isOpen).toBe(true);
  });

  it('asks over HTTP before a third WebSocket, and leaves no listener behind', async () => {
    await join();
    const listeners = countListeners();
    server.reachable = false;
    server.socket.drop();
    await vi.advanceTimersByTimeAsync(35);
    expect(server.sockets).toHaveLength(3);
    expect(server.asked.length).toBeGreaterThan(2);
    server.reachable = true;
    await vi.advanceTimersByTimeAsync(30);
    expect(client.isOpen).toBe(true);
    expect(listeners()).toBe(0);
  });

  it('drops a WebSocket that does not answer when it is asked', async () => {
    await join();
    const first = server.socket;
    const fine = client.check();
    await vi.advanceTimersByTimeAsync(5);
    expect(await fine).toBe(true);
    server.other = ({ type }) => (type === 'ping' ? null : undefined);
    const dead = client.check();
    await vi.advanceTimersByTimeAsync(1_600);
    expect(await dead).toBe(false);
    expect(server.socket).not.toBe(first);
    expect(client.isOpen).toBe(true);
  });

  it('gives up when the policy does', async () => {
    await join();
    server.reachable = false;
    const lost = new Promise<Error>((resolve) => client.on('lost', resolve));
    server.socket.drop();
    await vi.advanceTimersByTimeAsync(200);
    expect(await lost).toMatchObject({ reason: 'signalLost' });
    expect(server.sockets).toHaveLength(3);
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

  it.each([
    ['token_expired', { reason: 'notAllowed', retryable: false }],
    ['token_invalid', { reason: 'notAllowed', retryable: false }],
    ['origin_not_allowed', { reason: 'notAllowed', retryable: false }],
    ['session_gone', { reason: 'refused', retryable: false }],
    ['shutting_down', { reason: 'refused', retryable: true }],
  ])('learns from HTTP that a WebSocket was refused with %s', async (code, wanted) => {
    server.refuses = code;
    const failed = client.join(JOIN).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(5);
    expect(await failed).toMatchObject({ ...wanted, code });
    expect(server.asked).toEqual(['https://sfu.test/base/v1/rtc?access_token=a+token']);
  });

  it('names the proxy where only HTTP passes, after a second try', async () => {
    server.refuses = 'proxy';
    const failed = client.join(JOIN).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(5);
    expect(await failed).toMatchObject({ reason: 'webSocketBlocked', code: 'websocket_blocked' });
    expect(String(await failed)).toContain('proxy');
    expect(server.sockets).toHaveLength(2);
  });

  it.each(['<html>nginx</html>', '{"code":"session_gone"}'])('does not take a proxy\'s 404 for the server\'s: %s', async (body) => {
    await join();
    server.refuses = 'session_gone';
    vi.stubGlobal('fetch', async () => new Response(body, { status: 404 }));
    const lost = vi.fn();
    client.on('lost', lost);
    server.socket.drop();
    await vi.advanceTimersByTimeAsync(25);
    expect(lost).not.toHaveBeenCalled();
    server.refuses = undefined;
    vi.stubGlobal('fetch', server.fetch);
    await vi.advanceTimersByTimeAsync(50);
    expect(client.isOpen).toBe(true);
  });

  it.each(['not a url', 'ftp://sfu.test', ''])('says that %j is no address', async (address) => {
    const other = new SignalClient(address, 't', { webSocketFactory: server.factory });
    await expect(other.join(JOIN)).rejects.toMatchObject({ name: 'ConnectionError', reason: 'invalidUrl', retryable: false });
  });

  it('says that there is no WebSocket here', async () => {
    vi.stubGlobal('WebSocket', undefined);
    await expect(new SignalClient('wss://sfu.test', 't').join(JOIN)).rejects.toMatchObject({ name: 'ConnectionError', reason: 'unsupported' });
  });

  it('survives garbage', async () => {
    await join();
    for (const data of ['', 'null', '[]', '{"type":1}', '{"seq":1}', '{"id":99,"type":"ok"}']) server.socket.onmessage?.({ data });
    await expect(client.request<'stats'>({ type: 'stats' })).resolves.toBeDefined();
  });
});

/** How many listeners of aborts there are more than now. */
function countListeners(): () => number {

  const add = AbortSignal.prototype.addEventListener;
  const remove = AbortSignal.prototype.removeEventListener;
  const live = new Map<AbortSignal, Set<unknown>>();
  vi.spyOn(AbortSignal.prototype, 'addEventListener').mockImplementation(function (this: AbortSignal, ...args: Parameters<typeof add>) {
    const known = live.get(this) ?? new Set();
    live.set(this, known.add(args[1]));
    add.apply(this, args);
  });
  vi.spyOn(AbortSignal.prototype, 'removeEventListener').mockImplementation(function (this: AbortSignal, ...args: Parameters<typeof remove>) {
    live.get(this)?.delete(args[1]);
    remove.apply(this, args);
  });
  return () => {
    vi.restoreAllMocks();
    return [...live].filter(([signal]) => !signal.aborted).reduce((sum, [, listeners]) => sum + listeners.size, 0);
  };
}
