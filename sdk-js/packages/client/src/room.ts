/**
 * A room: connects, hands events to those who keep the state, and comes back when it breaks (`recovery.ts`). Invariants:
 * `connect()` while connecting or connected is the same attempt; `disconnect()` wins over everything; each loss ends in
 * `reconnected` or `disconnected` with a reason.
 */
import { EventEmitter } from 'eventemitter3';
import { ActiveDevices } from './active-devices';
import { abortError, abortable } from './async';
import { checkConnection } from './connection-check';
import type { ConnectionCheck } from './connection-check';
import { DataHub } from './data-hub';
import type { ReaderHandler, RpcMethod } from './data-hub';
import { localDevices, watchDevices } from './devices';
import { Dynacast } from './dynacast';
import { ConnectionError, MediaDeviceError, RequestError } from './errors';
import type { RoomEvents } from './events';
import { LocalParticipant } from './local-participant';
import type { Engine } from './local-participant';
import { Monitor } from './monitor';
import type { AdaptiveStreamOptions, RoomConnectOptions, RoomOptions } from './options';
import type { Participant } from './participant';
import { Pins } from './pins';
import { Playback } from './playback';
import type { EventMessage } from './protocol';
import { DefaultReconnectPolicy } from './reconnect-policy';
import { Recovery, lossBy, lossOf } from './recovery';
import type { Loss } from './recovery';
import type { RemoteParticipant } from './remote-participant';
import { RoomView } from './room-view';
import type { Roster } from './roster';
import { Session } from './session';
import type { RoomStats } from './stats';
import type { ByteStreamReader, TextStreamReader } from './stream-reader';
import { ConnectionState, DisconnectReason, disconnectReason } from './types';

/** Milliseconds that an attempt to connect may take. */
const CONNECT_TIMEOUT = 15_000;

interface Target {
  url: string;
  token: string;
  options: RoomConnectOptions;
}

export class Room extends EventEmitter<RoomEvents> {
  readonly localParticipant: LocalParticipant;
  /** The others, by identity. */
  readonly remoteParticipants: ReadonlyMap<string, RemoteParticipant>;
  private current: ConnectionState = ConnectionState.Disconnected;
  private target: Target | undefined;
  private connecting: Promise<void> | undefined;
  private attempt: AbortController | undefined;
  private session: Session | undefined;
  private mediaDown = false;
  private readonly recovery: Recovery;
  private readonly pins = new Pins(() => this.roster);
  private readonly view: RoomView;
  private readonly dynacast: Dynacast;
  private readonly monitor: Monitor;
  private readonly playback = new Playback((canPlay) => this.emit('audioPlaybackStatusChanged', canPlay));
  private readonly data = new DataHub(this, () => this.roster);
  private readonly devices: ActiveDevices;
  private unwatch: (() => void)[] = [];

  constructor(readonly options: RoomOptions = {}) {
    super();
    const own = (): LocalParticipant['trackPublications'] => this.localParticipant.trackPublications;
    this.dynacast = new Dynacast(options.dynacast === true, own, () => this.session?.transport);
    this.view = new RoomView(this, {
      local: () => this.localParticipant,
      subscribe: (track, wanted) => this.setSubscribed(track, wanted),
      adaptive: adaptiveOptions(options.adaptiveStream),
      dynacast: this.dynacast,
      left: (sid) => this.data.abort(sid),
      created: (track) => {
        this.playback.watch(track);
        this.devices.adopt(track);
      },
    });
    this.remoteParticipants = this.roster.participants;
    this.on('trackUnsubscribed', (track) => this.playback.forget(track));
    this.localParticipant = new LocalParticipant(this.engine());
    this.devices = new ActiveDevices(options, () => this.localParticipant, () => this.roster);
    this.monitor = new Monitor(this.localParticipant, this.roster, () => this.session?.transport);
    this.on('participantConnected', (participant) => this.session?.signal.isOpen && this.pins.restore(this.session, participant));
    this.recovery = new Recovery({
      policy: options.reconnectPolicy ?? new DefaultReconnectPolicy(),
      target: () => this.target!,
      join: ({ onlyTcp, signal }) => this.join(this.target!, signal, onlyTcp),
    });
  }

  /** The devices of this machine. */
  static getLocalDevices(kind?: MediaDeviceKind, requestPermission = true): Promise<MediaDeviceInfo[]> {
    return localDevices(kind, requestPermission);
  }

  /** Tries signalling, media and data with a connection of its own, and says what worked. */
  static checkConnection(url: string, token: string): Promise<ConnectionCheck> {
    return checkConnection(new Room(), url, token);
  }

  get state(): ConnectionState {
    return this.current;
  }

  /** The room's name; empty before the first connect. */
  get name(): string {
    return this.view.room.name;
  }

  /** The id of this incarnation of the room. */
  get sid(): string {
    return this.view.room.id;
  }

  /** Who speaks, the loudest first. */
  get activeSpeakers(): Participant[] {
    return this.view.presence.activeSpeakers;
  }

  /** False: call {@link startAudio} from a click. */
  get canPlaybackAudio(): boolean {
    return this.playback.isAllowed;
  }

  /** Enters the room. Resolves when signalling is up; media follows within moments. */
  connect(url: string, token: string, options: RoomConnectOptions = {}): Promise<void> {
    if (this.connecting) return this.connecting;
    if (this.current !== ConnectionState.Disconnected) return Promise.resolve();
    this.target = { url, token, options };
    const attempt = new AbortController();
    this.attempt = attempt;
    const outer = options.signal;
    const abort = (): void => attempt.abort(outer?.reason);
    outer?.addEventListener('abort', abort, { once: true });
    if (outer?.aborted) abort();
    this.setState(ConnectionState.Connecting);
    this.connecting = this.join(this.target, attempt.signal, false)
      .then(() => this.becomeConnected())
      .catch((error: unknown) => {
        if (this.attempt === attempt) this.reset();
        throw error;
      })
      .finally(() => {
        outer?.removeEventListener('abort', abort);
        if (this.attempt === attempt) this.connecting = undefined;
      });
    return this.connecting;
  }

  /** Leaves the room. A `connect()` under way fails with reason `cancelled`. */
  async disconnect(): Promise<void> {
    if (this.current === ConnectionState.Disconnected) return;
    const wasConnecting = this.current === ConnectionState.Connecting;
    this.attempt?.abort(new ConnectionError('cancelled', 'disconnect() was called'));
    const gone = this.session?.leave();
    await this.end(DisconnectReason.ClientInitiated, !wasConnecting);
    await gone;
  }

  /** Plays sound that the browser has refused. Call it from a click. */
  startAudio(): Promise<void> {
    return this.playback.start();
  }

  /** Uses another camera, microphone or speaker, now and for what is opened later. */
  async switchActiveDevice(kind: MediaDeviceKind, deviceId: string): Promise<void> {
    await this.devices.use(kind, deviceId);
    this.emit('activeDeviceChanged', kind, deviceId);
  }

  /** The device that was chosen, or that a local track uses. */
  getActiveDevice(kind: MediaDeviceKind): string | undefined {
    return this.devices.inUse(kind);
  }

  /** Statistics of the connection and of each track that is sent or shown. */
  getStats(): Promise<RoomStats> {
    return this.monitor.stats();
  }

  getParticipantByIdentity(identity: string): Participant | undefined {
    return identity === this.localParticipant.identity ? this.localParticipant : this.roster.participants.get(identity);
  }

  /** These participants get the first slots, in this order, and their screens, too; the others fill the rest in order of arrival. */
  async setPinned(participants: readonly RemoteParticipant[]): Promise<void> {
    await this.pins.set(await this.whenConnected(), participants);
  }

  /** Reads texts of a topic. One handler per topic; the last one counts. */
  registerTextStreamHandler(topic: string, handler: ReaderHandler<TextStreamReader>): void {
    this.data.setTextHandler(topic, handler);
  }

  unregisterTextStreamHandler(topic: string): void {
    this.data.setTextHandler(topic, undefined);
  }

  /** Reads files of a topic. One handler per topic; the last one counts. */
  registerByteStreamHandler(topic: string, handler: ReaderHandler<ByteStreamReader>): void {
    this.data.setByteHandler(topic, handler);
  }

  unregisterByteStreamHandler(topic: string): void {
    this.data.setByteHandler(topic, undefined);
  }

  /** Lets others call a method here. Throw an `RpcError` to choose what the caller sees. */
  registerRpcMethod(method: string, handler: RpcMethod): void {
    this.data.setMethod(method, handler);
  }

  unregisterRpcMethod(method: string): void {
    this.data.setMethod(method, undefined);
  }

  /** Makes a session and applies what it finds. On failure nothing is left of it. */
  private async join(target: Target, signal: AbortSignal, onlyTcp: boolean): Promise<void> {
    if (signal.aborted) throw abortError(signal);
    const timeout = target.options.timeout ?? CONNECT_TIMEOUT;
    const session: Session = new Session({
      onlyTcp,
      url: target.url,
      token: target.token,
      room: this.options,
      connect: target.options,
      prepare: (transport) => this.localParticipant.prepare(transport),
      publish: (transport) => this.localParticipant.republish(transport),
      expectsVideo: () => this.view.expectsVideo,
      onData: (envelope, reliable) => this.data.handle(session.data, envelope, reliable),
    });
    const timer = setTimeout(() => session.close(new ConnectionError('timeout', `no connection within ${timeout} ms`)), timeout);
    try {
      const joined = await abortable(session.join(), signal);
      this.session = session;
      this.follow(session);
      this.view.applyJoined(session, joined);
      this.pins.restore(session);
      session.start();
    } catch (error) {
      session.close();
      if (error instanceof RequestError) {
        throw new ConnectionError('refused', error.message, { code: error.code, retryable: error.retryable, cause: error });
      }
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  private follow(session: Session): void {
    session.on('event', (event) => this.handleEvent(session, event));
    session.on('signalSuspended', () => this.updateState(session));
    session.on('signalResumed', ({ snapshot }) => {
      if (snapshot) this.view.applySnapshot(session, snapshot);
      queueMicrotask(() => this.updateState(session));
    });
    session.on('mediaInterrupted', () => this.setMediaDown(session, true));
    session.on('mediaRestored', () => this.setMediaDown(session, false));
    session.on('lost', (error) => void this.rejoin(session, lossBy(error)));
  }

  private handleEvent(session: Session, event: EventMessage): void {
    switch (event.type) {
      case 'token':
        if (this.target) this.target.token = event.token;
        this.emit('tokenRefreshed', event.token);
        return;
      case 'disconnected': {
        const loss = lossOf(event);
        if (loss) return void this.rejoin(session, loss);
        session.close();
        return void this.end(disconnectReason(event.reason), true);
      }
      default:
        return this.view.apply(session, event);
    }
  }

  /** The session is lost: joins anew, with all that the application made of the room. */
  private async rejoin(lost: Session, loss: Loss): Promise<void> {
    if (this.session !== lost) return;
    const { hadMedia } = lost;
    this.dropSession(lost);
    this.setState(ConnectionState.Reconnecting);
    const attempt = new AbortController();
    this.attempt = attempt;
    try {
      const reason = await this.recovery.rejoin(loss, hadMedia, attempt.signal);
      if (reason) await this.end(reason, true);
      else this.becomeConnected();
    } catch (error) {
      if (!attempt.signal.aborted) throw error;
    }
  }

  private dropSession(session: Session): void {
    session.close();
    this.session = undefined;
    this.mediaDown = false;
    this.view.clearStage();
    this.data.abort();
  }

  private becomeConnected(): void {
    const first = this.current === ConnectionState.Connecting;
    if (first) this.watchPage();
    this.setState(ConnectionState.Connected);
    this.emit(first ? 'connected' : 'reconnected');
    // Something may have happened between the join and now.
    if (this.session) this.updateState(this.session);
  }

  private setMediaDown(session: Session, down: boolean): void {
    this.mediaDown = down;
    this.updateState(session);
  }

  /** The state follows from what is down. */
  private updateState(session: Session): void {
    if (this.session !== session || this.current === ConnectionState.Connecting || this.current === ConnectionState.Disconnected) return;
    const before = this.current;
    const resuming = session.signal.isOpen ? ConnectionState.Connected : ConnectionState.SignalReconnecting;
    this.view.presence.setLost(this.mediaDown);
    this.setState(this.mediaDown ? ConnectionState.Reconnecting : resuming);
    if (this.current === ConnectionState.Connected && before !== ConnectionState.Connected) this.emit('reconnected');
  }

  private setState(state: ConnectionState): void {
    if (this.current === state) return;
    this.current = state;
    this.emit('connectionStateChanged', state);
    if (state === ConnectionState.SignalReconnecting) this.emit('signalReconnecting');
    if (state === ConnectionState.Reconnecting) this.emit('reconnecting');
  }

  private async end(reason: DisconnectReason, announce: boolean): Promise<void> {
    if (this.current === ConnectionState.Disconnected) return;
    this.attempt?.abort(new ConnectionError('cancelled', 'the room was left'));
    const cleared = this.localParticipant.clear();
    this.reset();
    if (announce) this.emit('disconnected', reason);
    await cleared;
  }

  private reset(): void {
    this.connecting = undefined;
    this.attempt = undefined;
    this.unwatch.splice(0).forEach((stop) => stop());
    if (this.session) this.dropSession(this.session);
    this.roster.clear();
    this.pins.clear();
    this.view.presence.clear();
    this.setState(ConnectionState.Disconnected);
  }

  private watchPage(): void {
    this.unwatch.push(watchDevices(() => this.emit('mediaDevicesChanged')));
    if (typeof window === 'undefined' || this.options.disconnectOnPageLeave === false) return;
    const leave = (): void => void this.disconnect();
    window.addEventListener('pagehide', leave);
    this.unwatch.push(() => window.removeEventListener('pagehide', leave));
  }

  private async setSubscribed(track: string, wanted: boolean): Promise<void> {
    const { signal } = await this.whenConnected();
    if (wanted) await signal.request<'subscribe'>({ type: 'subscribe', tracks: [track] });
    else await signal.request<'unsubscribe'>({ type: 'unsubscribe', tracks: [track] });
  }

  private whenConnected(): Promise<Session> {
    const session = this.session;
    if (session && this.current !== ConnectionState.Connecting) return Promise.resolve(session);
    if (this.current === ConnectionState.Disconnected) return Promise.reject(new ConnectionError('notConnected', 'the room is not connected'));
    return new Promise((resolve, reject) => {
      const changed = (state: ConnectionState): void => {
        if (state === ConnectionState.Connected && this.session) resolve(this.session);
        else if (state === ConnectionState.Disconnected) reject(new ConnectionError('notConnected', 'the room was left'));
        else return;
        this.off('connectionStateChanged', changed);
      };
      this.on('connectionStateChanged', changed);
    });
  }

  private get roster(): Roster {
    return this.view.roster;
  }

  private sidOf(identity: string): string | undefined {
    return this.roster.participants.get(identity)?.sid;
  }

  private sidsOf(identities: readonly string[] = []): string[] {
    return identities.map((identity) => {
      const sid = this.sidOf(identity);
      if (sid === undefined) throw new RequestError({ code: 'not_found', message: `nobody is ${identity}`, retryable: false });
      return sid;
    });
  }

  private engine(): Engine {
    return {
      options: this.options,
      rpc: this.data.rpc,
      session: () => this.whenConnected(),
      sidOf: (identity) => this.sidOf(identity),
      sidsOf: (identities) => this.sidsOf(identities),
      infoChanged: (info) => this.roster.updateInfo(this.localParticipant, info),
      published: (publication) => {
        this.dynacast.adopt(publication);
        this.emit('localTrackPublished', publication, this.localParticipant);
      },
      unpublished: (publication) => {
        this.dynacast.release(publication);
        this.emit('localTrackUnpublished', publication, this.localParticipant);
      },
      codecFellBack: (publication, from, reason) => this.emit('localTrackCodecFallback', publication, from, reason),
      muteChanged: (publication) => this.emit(publication.isMuted ? 'trackMuted' : 'trackUnmuted', publication, this.localParticipant),
      deviceFailed: (error) => error instanceof MediaDeviceError && this.emit('mediaDevicesError', error),
    };
  }
}

function adaptiveOptions(option: RoomOptions['adaptiveStream']): AdaptiveStreamOptions | undefined {
  return option === true ? {} : option || undefined;
}
