/** A room between a fake server and fake peer connections, under fake timers. */
import { afterEach, beforeEach, vi } from 'vitest';
import { RoomEvent } from '../events';
import type { RoomOptions } from '../options';
import { Room } from '../room';
import { FakePeerConnection } from './fake-peer';
import { FakeServer } from './fake-socket';
import { stubPage } from './page';

export const SERVER = 'wss://sfu.test';
const POLICY = { nextDelay: ({ attempt }: { attempt: number }) => (attempt < 3 ? 10 : null) };

export class RoomFixture {
  server!: FakeServer;
  peers!: FakePeerConnection[];
  room!: Room;
  states!: string[];

  /** Makes one for each test of the file. */
  static forEach(options: RoomOptions = {}): RoomFixture {
    const fixture = new RoomFixture();
    beforeEach(() => fixture.begin(options));
    afterEach(() => fixture.end());
    return fixture;
  }

  get peer(): FakePeerConnection {
    return this.peers.at(-1)!;
  }

  settle(milliseconds = 50): Promise<unknown> {
    return vi.advanceTimersByTimeAsync(milliseconds);
  }

  /** Waits for something that needs timers to pass. */
  async done<T>(work: Promise<T>, milliseconds = 50): Promise<T> {
    work.catch(() => undefined);
    await this.settle(milliseconds);
    return work;
  }

  connect(): Promise<void> {
    return this.done(this.room.connect(SERVER, 'token'));
  }

  /** The server tells something. */
  event(seq: number, rest: object): void {
    this.server.socket.deliver({ seq, ...rest });
  }

  private begin(options: RoomOptions): void {
    vi.useFakeTimers();
    stubPage();
    this.server = new FakeServer();
    vi.stubGlobal('fetch', this.server.fetch);
    this.peers = [];
    this.states = [];
    this.room = new Room({
      webSocketFactory: this.server.factory,
      reconnectPolicy: POLICY,
      ...options,
      peerConnectionFactory: () => {
        const peer = new FakePeerConnection();
        this.peers.push(peer);
        return peer as unknown as RTCPeerConnection;
      },
    });
    this.room.on(RoomEvent.ConnectionStateChanged, (state) => this.states.push(state));
  }

  private async end(): Promise<void> {
    await this.done(this.room.disconnect(), 1000);
    vi.useRealTimers();
    vi.unstubAllGlobals();
  }
}
