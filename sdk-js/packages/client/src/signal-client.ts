/**
 * The signalling session: requests and replies matched by id, events in the order of their `seq`, over a WebSocket that
 * may be lost and resumed. Invariants: an event is handed on once and in order; a request that was sent before the
 * WebSocket was lost and has no reply yet is sent again after the resume, except `ping`; nothing is sent before the
 * `join` or `resume` of a WebSocket was answered; an answer that cannot get better (the session is gone, a token is refused)
 * ends the resume at once.
 */
import { EventEmitter } from 'eventemitter3';
import { ConnectionError, RequestError } from './errors';
import { log } from './log';
import { askFirst } from './probe';
import { PROTOCOL_VERSION } from './protocol';
import type { Admission, EventMessage, Replies, ReplyMessage, ReplyOf, Request, RequestOf, RequestType } from './protocol';
import type { Resumed } from './generated/protocol';
import { DefaultReconnectPolicy } from './reconnect-policy';
import type { ReconnectPolicy } from './reconnect-policy';
import { abortError, abortable, deferred, onAbort, sleep, sleepUnlessOnline } from './async';
import { forget, isFinal, isOpen, openSocket } from './signal-socket';
import type { WebSocketFactory } from './signal-socket';

/** Milliseconds between pings. Proxies cut connections that are silent for 30 to 60 s. */
const PING_INTERVAL = 10_000;
/** Milliseconds without a pong after which a WebSocket counts as dead. */
const PONG_TIMEOUT = 8_000;
/** Milliseconds that a pong may take when something else looks broken already. */
const CHECK_TIMEOUT = 1_500;
/** Milliseconds that one attempt to open and resume may take. */
const ATTEMPT_TIMEOUT = 8_000;

export interface SignalClientOptions {
  webSocketFactory?: WebSocketFactory;
  reconnectPolicy?: ReconnectPolicy;
  /** Milliseconds until a request without a reply fails. Time without a WebSocket counts. */
  requestTimeout?: number;
}

export interface SignalEvents {
  /** What happened in the room. */
  event: (event: EventMessage) => void;
  /** The WebSocket is gone; the session is being resumed. */
  suspended: () => void;
  /** The session goes on. With a snapshot, the missed events are unknown and it replaces everything. */
  resumed: (resumed: Resumed) => void;
  /** The session cannot be resumed. */
  lost: (error: ConnectionError | RequestError) => void;
}

interface Pending {
  message: Request & { id: number };
  resolve: (reply: ReplyMessage) => void;
  reject: (error: Error) => void;
  timer: ReturnType<typeof setTimeout>;
  sent: boolean;
}

type Phase =
  | { name: 'idle' }
  | { name: 'opening'; socket: WebSocket }
  | { name: 'open'; socket: WebSocket }
  | { name: 'suspended' }
  | { name: 'closed' };

export class SignalClient extends EventEmitter<SignalEvents> {
  /** The smoothed time from ping to pong, in milliseconds. */
  rtt: number | undefined;
  private phase: Phase = { name: 'idle' };
  private pending = new Map<number, Pending>();
  private nextId = 1;
  private lastSeq = 0;
  private session: { id: string; secret: string } | undefined;
  private opened: Promise<WebSocket> | undefined;
  private joinedOn: WebSocket | undefined;
  /** Messages that came after the first reply, before it was handled. */
  private early: unknown[] = [];
  private pingTimer: ReturnType<typeof setInterval> | undefined;
  private pongTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly lifetime = new AbortController();
  private readonly policy: ReconnectPolicy;

  constructor(
    private readonly server: string,
    private readonly token: string,
    private readonly options: SignalClientOptions = {},
  ) {
    super();
    this.policy = options.reconnectPolicy ?? new DefaultReconnectPolicy();
  }

  /** Whether requests leave at once. */
  get isOpen(): boolean {
    return this.phase.name === 'open';
  }

  /** Begins to open the WebSocket, so that this and the making of the offer go side by side. */
  open(): void {
    this.opened ??= this.openSocket(this.lifetime.signal);
    this.opened.catch(() => undefined);
  }

  /** Enters the room. Everything that comes after the reply waits for {@link start}. */
  async join(request: RequestOf<'join'>): Promise<ReplyOf<'joined'>> {
    this.open();
    const socket = await this.opened!;
    const joined = (await this.exchangeFirst(socket, request)) as ReplyOf<'joined'>;
    if (joined.type !== 'joined') throw new ConnectionError('protocol', `expected joined, got ${String(joined.type)}`);
    this.session = { id: joined.session, secret: joined.secret };
    this.joinedOn = socket;
    return joined;
  }

  /** Begins to hand on events: the caller has handled the reply to `join`. */
  start(): void {
    if (!this.joinedOn) return;
    this.becomeOpen(this.joinedOn);
    this.joinedOn = undefined;
  }

  /** Asks something. Waits for the resume when the WebSocket is lost. */
  request<T extends Exclude<RequestType, 'join' | 'resume'>>(request: RequestOf<T>): Promise<Replies[T]> {
    if (this.phase.name === 'closed') return Promise.reject(new ConnectionError('notConnected', 'the session has ended'));
    return this.enqueue(request) as Promise<Replies[T]>;
  }

  /** Says goodbye where that is possible, and ends the session. */
  async leave(): Promise<void> {
    if (this.phase.name === 'open') {
      const reply = this.enqueue({ type: 'leave' }).catch(() => undefined);
      await Promise.race([reply, sleep(500)]);
    }
    this.close();
  }

  /** Ends the session without a word. */
  close(error: Error = new ConnectionError('cancelled', 'the session was closed')): void {
    if (this.phase.name === 'closed') return;
    const socket = 'socket' in this.phase ? this.phase.socket : undefined;
    this.phase = { name: 'closed' };
    this.stopPings();
    this.lifetime.abort(error);
    for (const pending of [...this.pending.values()]) this.settle(pending, error);
    if (socket) {
      forget(socket);
      socket.close(1000);
    }
    this.removeAllListeners();
  }

  /**
   * Asks at once whether the WebSocket still carries, because something else looks broken. One that does not answer in time is
   * dropped and resumed. False: it is not open, or was dropped.
   */
  async check(): Promise<boolean> {
    if (this.phase.name !== 'open') return false;
    const answered = deferred<boolean>();
    const timer = setTimeout(() => answered.resolve(false), Math.max(CHECK_TIMEOUT, 4 * (this.rtt ?? 0)));
    this.enqueue({ type: 'ping', timestamp: Date.now() }).then(() => answered.resolve(true), () => answered.resolve(false));
    const alive = await answered.promise;
    clearTimeout(timer);
    if (!alive) this.restart('no pong');
    return alive;
  }

  /** Drops a WebSocket that is believed dead, and resumes. */
  restart(why: string): void {
    if (this.phase.name === 'open') this.suspend(this.phase.socket, why);
  }

  /** A resume needs no token: it may have expired. */
  private get admission(): Admission {
    return this.session ? { session: this.session.id } : { access_token: this.token };
  }

  private async openSocket(signal: AbortSignal): Promise<WebSocket> {
    const { server, admission } = this;
    const socket = await openSocket({ server, admission, factory: this.options.webSocketFactory, signal });
    if (signal.aborted) {
      socket.close();
      throw abortError(signal);
    }
    this.phase = { name: 'opening', socket };
    return socket;
  }

  /** The first exchange of a WebSocket; nothing else is under way on it. */
  private exchangeFirst(socket: WebSocket, request: Request): Promise<ReplyMessage> {
    const id = this.nextId++;
    let stop = (): void => undefined;
    const reply = new Promise<ReplyMessage>((resolve, reject) => {
      stop = onAbort(this.lifetime.signal, () => reject(abortError(this.lifetime.signal)));
      const closed = (): void => reject(new ConnectionError('signalLost', 'the WebSocket was closed'));
      if (this.lifetime.signal.aborted) return;
      if (!isOpen(socket)) return closed();
      socket.onclose = socket.onerror = closed;
      socket.onmessage = ({ data }) => {
        const message = parse(data);
        if (!message || !('id' in message) || message.id !== id) return;
        socket.onmessage = (later) => this.early.push(later.data);
        if (message.type === 'error') reject(new RequestError(message));
        else resolve(message);
      };
      socket.send(JSON.stringify({ id, ...request }));
    });
    return reply.finally(() => stop());
  }

  private becomeOpen(socket: WebSocket): void {
    if (this.phase.name === 'closed') return;
    this.phase = { name: 'open', socket };
    socket.onclose = socket.onerror = () => this.suspend(socket, 'the WebSocket was closed');
    socket.onmessage = ({ data }) => this.handleMessage(data);
    const early = this.early;
    this.early = [];
    this.startPings();
    for (const data of early) this.handleMessage(data);
    for (const pending of this.pending.values()) this.transmit(pending);
    if (!isOpen(socket)) this.suspend(socket, 'the WebSocket was closed');
  }

  private enqueue(request: Request): Promise<ReplyMessage> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const fail = (): void => this.settle(pending, new ConnectionError('timeout', `no reply to ${request.type}`));
      const timer = setTimeout(fail, this.options.requestTimeout ?? 15_000);
      const pending: Pending = { message: { id, ...request } as Pending['message'], resolve, reject, timer, sent: false };
      this.pending.set(id, pending);
      if (this.phase.name === 'open') this.transmit(pending);
    });
  }

  private transmit(pending: Pending): void {
    if (this.phase.name !== 'open') return;
    pending.sent = true;
    this.phase.socket.send(JSON.stringify(pending.message));
  }

  private settle(pending: Pending, outcome: ReplyMessage | Error): void {
    if (!this.pending.delete(pending.message.id)) return;
    clearTimeout(pending.timer);
    if (outcome instanceof Error) pending.reject(outcome);
    else if (outcome.type === 'error') pending.reject(new RequestError(outcome));
    else pending.resolve(outcome);
  }

  private handleMessage(data: unknown): void {
    const message = parse(data);
    if (!message) return log.warn('unreadable message from the server');
    if ('id' in message) {
      const pending = this.pending.get(message.id);
      if (pending) this.settle(pending, message);
    } else {
      this.handleEvent(message);
    }
  }

  private handleEvent(event: EventMessage): void {
    // State of the moment is not counted.
    if (event.seq === 0) return void this.emit('event', event);
    if (event.seq <= this.lastSeq) return;
    if (event.seq > this.lastSeq + 1) return this.restart(`event ${event.seq} after ${this.lastSeq}`);
    this.lastSeq = event.seq;
    this.emit('event', event);
  }

  private suspend(socket: WebSocket, why: string): void {
    if (this.phase.name !== 'open' || this.phase.socket !== socket) return;
    log.info(`signalling suspended: ${why}`);
    this.phase = { name: 'suspended' };
    this.stopPings();
    forget(socket);
    socket.close();
    for (const pending of [...this.pending.values()]) {
      if (pending.message.type === 'ping') this.settle(pending, new ConnectionError('signalLost', why));
    }
    this.emit('suspended');
    void this.resumeUntilDone();
  }

  private async resumeUntilDone(): Promise<void> {
    const since = Date.now();
    let error: unknown;
    for (let attempt = 0; this.phase.name !== 'closed'; attempt++) {
      const delay = this.policy.nextDelay({ attempt, elapsed: Date.now() - since, error });
      if (delay === null) return this.lose(new ConnectionError('signalLost', 'signalling could not be resumed', { cause: error }));
      await sleepUnlessOnline(delay, this.lifetime.signal).catch(() => undefined);
      if (this.lifetime.signal.aborted) return;
      try {
        await askFirst(this.server, this.admission, attempt, this.lifetime.signal);
        return await this.resumeOnce();
      } catch (failure) {
        if (this.lifetime.signal.aborted) return;
        error = failure;
        if (isFinal(failure)) return this.lose(failure as ConnectionError | RequestError);
      }
    }
  }

  private async resumeOnce(): Promise<void> {
    const attempt = new AbortController();
    const stop = onAbort(this.lifetime.signal, () => attempt.abort(this.lifetime.signal.reason));
    const timer = setTimeout(() => attempt.abort(new ConnectionError('timeout', 'the resume took too long')), ATTEMPT_TIMEOUT);
    try {
      const socket = await this.openSocket(attempt.signal);
      const { id, secret } = this.session!;
      const request: Request = { type: 'resume', protocol: PROTOCOL_VERSION, session: id, secret, lastSeq: this.lastSeq };
      const resumed = (await abortable(this.exchangeFirst(socket, request), attempt.signal)) as ReplyOf<'resumed'>;
      if (resumed.snapshot) this.lastSeq = resumed.seq;
      this.emit('resumed', resumed);
      this.becomeOpen(socket);
    } catch (error) {
      const { phase } = this;
      if (phase.name === 'opening') {
        forget(phase.socket);
        phase.socket.close();
        this.phase = { name: 'suspended' };
      }
      this.early = [];
      throw error;
    } finally {
      clearTimeout(timer);
      stop();
    }
  }

  private lose(error: ConnectionError | RequestError): void {
    if (this.phase.name === 'closed') return;
    this.emit('lost', error);
    this.close(error);
  }

  private startPings(): void {
    this.pingTimer = setInterval(() => this.ping(), PING_INTERVAL);
  }

  private stopPings(): void {
    clearInterval(this.pingTimer);
    clearTimeout(this.pongTimer);
    this.pongTimer = undefined;
  }

  private ping(): void {
    const sent = Date.now();
    this.pongTimer ??= setTimeout(() => this.restart('no pong'), PONG_TIMEOUT);
    const pong = (): void => {
      clearTimeout(this.pongTimer);
      this.pongTimer = undefined;
      const sample = Date.now() - sent;
      this.rtt = this.rtt === undefined ? sample : 0.8 * this.rtt + 0.2 * sample;
    };
    this.enqueue({ type: 'ping', timestamp: sent }).then(pong, () => undefined);
  }
}

function parse(data: unknown): ReplyMessage | EventMessage | undefined {
  try {
    const message: unknown = JSON.parse(String(data));
    if (typeof message !== 'object' || message === null) return undefined;
    const { id, seq, type } = message as { id?: unknown; seq?: unknown; type?: unknown };
    if (typeof type !== 'string' || (typeof id !== 'number' && typeof seq !== 'number')) return undefined;
    return message as ReplyMessage | EventMessage;
  } catch {
    return undefined;
  }
}
