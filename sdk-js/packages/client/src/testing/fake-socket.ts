/** A WebSocket whose other end is the test. */
import { refusal } from './refusals';
import type { Joined, Participant, Request, Resumed, Track } from '../generated/protocol';

type Sent = Request & { id: number };

export class FakeSocket {
  readyState = 0;
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  readonly sent: Sent[] = [];
  /** Called with each request; what it returns is the reply. */
  respond: ((request: Sent) => object | undefined) | undefined;

  constructor(readonly url: string) {}

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  send(text: string): void {
    if (this.readyState !== 1) return;
    const request = JSON.parse(text) as Sent;
    this.sent.push(request);
    const reply = this.respond?.(request);
    if (reply) queueMicrotask(() => this.deliver({ id: request.id, ...reply }));
  }

  deliver(message: object): void {
    if (this.readyState === 1) this.onmessage?.({ data: JSON.stringify(message) });
  }

  /** The network goes away, or the server closes. */
  drop(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.();
  }

  close(): void {
    this.readyState = 3;
  }

  types(): string[] {
    return this.sent.map(({ type }) => type);
  }
}

/** Makes sockets, which open by themselves and answer like a server, and keeps them. */
export class FakeServer {
  readonly sockets: FakeSocket[] = [];
  /** False: nothing answers, neither WebSocket nor HTTP. */
  reachable = true;
  /** Refuses WebSockets; HTTP answers as the real server was recorded to. `proxy`: only HTTP passes. */
  refuses: string | undefined;
  /** The addresses that were asked over HTTP. */
  readonly asked: string[] = [];
  resume: object = { type: 'resumed', seq: 0 } satisfies { type: 'resumed' } & Resumed;
  join: object = { type: 'joined', ...joined() };
  /** Replies to other requests; undefined: the usual one; null: none. */
  other: (request: Sent) => object | null | undefined = () => undefined;
  private tracks = 0;

  readonly factory = (url: string): WebSocket => {
    const socket = new FakeSocket(url);
    socket.respond = (request) => this.answer(request);
    this.sockets.push(socket);
    setTimeout(() => (this.reachable && this.refuses === undefined ? socket.open() : socket.drop()), 1);
    return socket as unknown as WebSocket;
  };

  /** In place of the page's `fetch`. */
  readonly fetch = async (url: string | URL | Request): Promise<Response> => {
    this.asked.push(String(url));
    if (!this.reachable) throw new TypeError('Failed to fetch');
    return refusal(this.refuses === undefined || this.refuses === 'proxy' ? 'upgrade_required' : this.refuses);
  };

  get socket(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  private answer(request: Sent): object | undefined {
    const other = this.other(request);
    if (other !== undefined) return other ?? undefined;
    switch (request.type) {
      case 'join': {
        const published = request.publish.map((it) => track(`TR_own${++this.tracks}`, { source: it.source }));
        return { ...this.join, ...(published.length > 0 ? { published } : {}) };
      }
      case 'resume':
        return this.resume;
      case 'offer':
        return { type: 'answer', answer: 'v=0\r\n' };
      case 'publish':
        return { type: 'published', track: track(`TR_own${++this.tracks}`, { source: request.source, muted: request.muted }) };
      case 'ping':
        return { type: 'pong', timestamp: request.timestamp };
      default:
        return { type: 'ok' };
    }
  }
}

export function sid(prefix: string, digit: string): string {
  return `${prefix}_${digit.repeat(24)}`;
}

export function participant(id: string, identity: string, tracks: Track[] = []): Participant {
  const permissions = { canPublish: true, canPublishSources: [], canSubscribe: true, canPublishData: true, canUpdateOwnMetadata: true };
  return { id, identity, name: identity, metadata: '', attributes: {}, permissions, tracks, joinedAt: 0 };
}

export function track(id: string, rest: Partial<Track> = {}): Track {
  return { id, source: 'camera', name: '', muted: false, ...rest };
}

export function joined(rest: Partial<Joined> = {}): Joined {
  return {
    protocol: 1,
    session: 'SE_1',
    secret: 'secret',
    resumeWithin: 30,
    answer: 'v=0\r\n',
    iceServers: [],
    published: [],
    limits: { messageBytes: 262_144, messagesPerSecond: 50, tracks: 8, media: 64, dataMessageBytes: 65_536 },
    room: { id: 'RM_1', name: 'demo' },
    participant: participant(sid('PA', '0'), 'me'),
    participants: [],
    slots: [],
    slotsRevision: 0,
    ...rest,
  };
}
