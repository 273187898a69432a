/**
 * Keeps the media path of one peer connection: notices that it is broken, moves it by an ICE restart, and does not believe that
 * it is back before media has passed.
 *
 * | Phase | Left by |
 * |---|---|
 * | `starting` | ICE `connected`: `well`. ICE `failed`, or {@link START_TIMEOUT}: `over` |
 * | `well` | ICE `disconnected`, silence where media should arrive, a change of the network: `suspected`. ICE `failed`, the server hears nothing, `online`: `restarting` |
 * | `suspected` | the WebSocket is asked at once. Media arrives again: `well`. The WebSocket answers and media does not come back within {@link GRACE} (after silence {@link SILENT_GRACE}): `restarting`. The WebSocket is dead: its resume goes first, then `restarting` |
 * | `waiting` | the path is broken and the WebSocket, too: the resume leads to `restarting` |
 * | `restarting` | media passed both ways: `well`. It did not within {@link VERIFY_TIMEOUT}: `over` |
 * | `over` | nothing: the room joins anew, with another peer connection |
 *
 * Firefox goes to `over` rather than to `restarting` after ICE `failed`: there its ICE comes back and its media never does.
 */
import { EventEmitter } from 'eventemitter3';
import { onOnline, sleep } from './async';
import { ConnectionError } from './errors';
import { log } from './log';
import { FlowMeter } from './media-flow';
import type { Flow } from './media-flow';
import { isFirefox } from './negotiation';

/** Milliseconds between looks at what arrives. */
const LOOK_INTERVAL = 500;
/** Milliseconds without a byte, where media should arrive, that are silence. Reports come each second. */
const SILENCE = 1_300;
/** Milliseconds from a suspicion to an ICE restart, unless the path heals. ICE `disconnected` often does. */
const GRACE = 2_000;
/** The same where media that should arrive does not, and the WebSocket answers. */
const SILENT_GRACE = 300;
/** Milliseconds that a first connection may take. */
const START_TIMEOUT = 10_000;
/** Milliseconds from the answer of an ICE restart until media must have passed both ways. */
const VERIFY_TIMEOUT = 3_000;
/** Milliseconds after which a restart counts as done where there is no media that could pass. */
const IDLE_TIME = 1_000;
/** Milliseconds between looks during a restart. */
const VERIFY_INTERVAL = 150;

export interface PathGuardEvents {
  /** The path is broken. */
  interrupted: () => void;
  /** The path is back. */
  restored: () => void;
  /** The path does not come back on this peer connection. */
  lost: (error: ConnectionError) => void;
}

export interface PathGuardSetup {
  connection: RTCPeerConnection;
  /** Whether the server says that it sends us video now. */
  expectsVideo: () => boolean;
  isSignalOpen: () => boolean;
  /** Asks over the WebSocket; one that does not answer is dropped and resumed. */
  checkSignal: () => Promise<boolean>;
  /** Offers again, with new ICE credentials. */
  restart: () => Promise<void>;
}

type Phase = 'starting' | 'well' | 'suspected' | 'waiting' | 'restarting' | 'over';

export class PathGuard extends EventEmitter<PathGuardEvents> {
  private phase: Phase = 'starting';
  private heardAt = 0;
  /** A restart did not end the silence: it is not the path's. */
  private silenceIsOthers = false;
  private stops: (() => void)[] = [];
  private readonly meter: FlowMeter;
  private readonly lifetime = new AbortController();

  constructor(private readonly setup: PathGuardSetup) {
    super();
    this.meter = new FlowMeter(setup.connection);
  }

  /** Begins, once signalling is up. */
  start(): void {
    const looks = setInterval(() => void this.look().catch((error: unknown) => log.debug('no statistics', error)), LOOK_INTERVAL);
    const started = setTimeout(() => this.phase === 'starting' && this.lose('the media path was not made in time'), START_TIMEOUT);
    this.stops = [
      () => clearInterval(looks),
      () => clearTimeout(started),
      onOnline(() => this.phase === 'well' && this.restart('the network is back')),
      onNetworkChange(() => this.suspect('the network changed')),
    ];
    this.handleState();
  }

  close(): void {
    this.phase = 'over';
    this.lifetime.abort(new ConnectionError('cancelled', 'the session was closed'));
    for (const stop of this.stops.splice(0)) stop();
    this.removeAllListeners();
  }

  /** The peer connection's state changed. `disconnected` alone is no reason for a restart: it often heals. */
  handleState(): void {
    const { connectionState } = this.setup.connection;
    if (connectionState === 'connected' && this.phase === 'starting') {
      this.phase = 'well';
      this.heardAt = Date.now();
    }
    if (connectionState === 'disconnected') this.suspect('the media path is silent');
    if (connectionState !== 'failed') return;
    if (this.phase === 'starting') this.lose('the media path could not be made');
    else this.restart('the media path failed');
  }

  /** The WebSocket was resumed. */
  handleResumed(): void {
    const isBroken = this.phase === 'waiting' || this.phase === 'suspected' || this.setup.connection.connectionState === 'disconnected';
    if (isBroken && !this.isHeardSince(Date.now() - LOOK_INTERVAL)) this.restart('after a resume');
    else if (this.phase === 'suspected') this.phase = 'well';
  }

  /** Moves the media path: new ICE credentials, the same DTLS and SRTP. */
  restart(why: string): void {
    if (this.phase === 'restarting' || this.phase === 'over') return;
    this.emit('interrupted');
    if (!this.setup.isSignalOpen()) {
      this.phase = 'waiting';
      return;
    }
    const { connectionState } = this.setup.connection;
    if (connectionState === 'failed' && isFirefox()) return this.lose('the media path failed');
    log.info(`ICE restart: ${why}`);
    this.phase = 'restarting';
    this.restartOnce(connectionState !== 'connected').then(
      (done) => {
        if (this.phase !== 'restarting') return;
        this.phase = done ? 'well' : 'waiting';
        this.heardAt = Date.now();
        if (done) this.emit('restored');
        else if (this.setup.isSignalOpen()) this.restart('after a resume');
      },
      (error: unknown) => this.lose(error),
    );
  }

  /** False: the WebSocket was lost meanwhile. Rejects where nothing passes. */
  private async restartOnce(wasDown: boolean): Promise<boolean> {
    const meter = new FlowMeter(this.setup.connection);
    await meter.read();
    await this.setup.restart();
    const since = Date.now();
    const sum: Flow = { received: 0, sent: 0, made: 0 };
    for (;;) {
      if (!this.setup.isSignalOpen()) return false;
      const flow = await meter.read();
      if (flow) for (const member of ['received', 'sent', 'made'] as const) sum[member] += flow[member];
      const elapsed = Date.now() - since;
      const expected = sum.made > 0 || (wasDown && this.setup.expectsVideo());
      const passed = sum.received > 0 && (sum.sent > 0 || sum.made === 0);
      const idle = !flow || (!expected && elapsed >= IDLE_TIME);
      if (this.setup.connection.connectionState === 'connected' && (passed || idle)) {
        this.silenceIsOthers = !passed;
        return true;
      }
      if (elapsed >= VERIFY_TIMEOUT) throw new ConnectionError('mediaFailed', `no media passes after an ICE restart: ${JSON.stringify(sum)}`, { code: 'no_media_passes' });
      await sleep(VERIFY_INTERVAL, this.lifetime.signal);
    }
  }

  private suspect(why: string, grace = GRACE): void {
    if (this.phase !== 'well') return;
    log.debug(`is the media path broken? ${why}`);
    this.phase = 'suspected';
    void this.investigate(why, Date.now(), grace).catch(() => undefined);
  }

  private async investigate(why: string, since: number, grace: number): Promise<void> {
    // Without an answer the WebSocket is being resumed, and what follows is up to that.
    if (!(await this.setup.checkSignal())) return;
    while (this.phase === 'suspected') {
      if (this.isHeardSince(since)) {
        this.phase = 'well';
        return;
      }
      if (Date.now() - since >= grace) return this.restart(why);
      await sleep(VERIFY_INTERVAL, this.lifetime.signal);
    }
  }

  private isHeardSince(time: number): boolean {
    return this.setup.connection.connectionState === 'connected' && this.heardAt > time;
  }

  private async look(): Promise<void> {
    const flow = await this.meter.read();
    if (!flow) {
      // Where the browser counts nothing, its word has to do.
      if (this.setup.connection.connectionState === 'connected') this.heardAt = Date.now();
      return;
    }
    if (flow.received > 0) this.silenceIsOthers = false;
    const isExpected = flow.made > 0 || this.setup.expectsVideo();
    if (flow.received > 0 || !isExpected) this.heardAt = Date.now();
    if (!this.silenceIsOthers && Date.now() - this.heardAt >= SILENCE) this.suspect('nothing arrives', SILENT_GRACE);
  }

  private lose(why: unknown): void {
    if (this.phase === 'over') return;
    this.phase = 'over';
    this.emit('lost', why instanceof ConnectionError && why.reason === 'mediaFailed' ? why : new ConnectionError('mediaFailed', String(why)));
  }
}

/** Calls `listener` when the machine moves to another network, where the browser tells. Returns how to stop. */
function onNetworkChange(listener: () => void): () => void {
  const { connection } = (typeof navigator === 'undefined' ? {} : navigator) as { connection?: EventTarget };
  if (typeof connection?.addEventListener !== 'function') return () => undefined;
  connection.addEventListener('change', listener);
  return () => connection.removeEventListener('change', listener);
}
