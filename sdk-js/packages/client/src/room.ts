/**
 * A room: connects, hands events to those who keep the state, and brings the connection back when it breaks. Invariants:
 * `connect()` while connecting or connected is the same attempt; `disconnect()` wins over everything; each loss ends in
 * `reconnected` or `disconnected` with a reason.
 */
import EventEmitter from 'eventemitter3';
import { abortError, abortable, sleepUnlessOnline } from './async';
import { checkConnection } from './connection-check';
import type { ConnectionCheck } from './connection-check';
import type { DataChannels } from './data-channels';
import { DataStreams } from './data-streams';
import type { StreamHandler } from './data-streams';
import { localDevices, watchDevices } from './devices';
import { EnvelopeKind } from './envelope';
import type { Envelope } from './envelope';
import { ConnectionError, MediaDeviceError, RequestError, RpcError } from './errors';
import type { RoomEvents } from './events';
import type { Joined, Snapshot } from './generated/protocol';
import { LocalParticipant } from './local-participant';
import type { Engine } from './local-participant';
import type { LocalAudioTrack, LocalVideoTrack } from './local-track';
import { log } from './log';
import { Monitor } from './monitor';
import type { RoomConnectOptions, RoomOptions } from './options';
import type { Participant } from './participant';
import { Playback } from './playback';
import type { EventMessage } from './protocol';
import { DefaultReconnectPolicy } from './reconnect-policy';
import { RemoteAudioTrack } from './remote-track';
import type { RemoteParticipant } from './remote-participant';
import { Roster } from './roster';
import { Rpc } from './rpc';
import { Session } from './session';
import { Stage } from './stage';
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
  private info = { id: '', name: '' };
  private target: Target | undefined;
  private connecting: Promise<void> | undefined;
  private attempt: AbortController | undefined;
  private session: Session | undefined;
  private mediaDown = false;
  private readonly roster: Roster;
  private readonly stage: Stage;
  private readonly monitor: Monitor;
  private readonly playback = new Playback((canPlay) => this.emit('audioPlaybackStatusChanged', canPlay));
  private readonly streams = new DataStreams();
  private readonly rpc = new Rpc();
  private readonly activeDevices = new Map<MediaDeviceKind, string>();
  private unwatch: (() => void)[] = [];

  constructor(readonly options: RoomOptions = {}) {
    super();
    this.roster = new Roster(
      this,
      (track, wanted) => this.setSubscribed(track, wanted),
      (publication, participant) => this.stage.remove(publication, participant),
      (sid) => this.handleLeft(sid),
    );
    this.remoteParticipants = this.roster.participants;
    this.stage = new Stage(this.roster, this, (track) => {
      this.playback.watch(track);
      const speaker = this.activeDevices.get('audiooutput');
      if (speaker !== undefined && track instanceof RemoteAudioTrack) void track.setSinkId(speaker).catch(() => undefined);
    });
    this.on('trackUnsubscribed', (track) => this.playback.forget(track));
    this.localParticipant = new LocalParticipant(this.engine());
    this.monitor = new Monitor(this.localParticipant, this.roster, () => this.session?.transport, {
      speakers: (speakers) => this.emit('activeSpeakersChanged', speakers),
      quality: (quality, participant) => this.emit('connectionQualityChanged', quality, participant),
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
    return this.info.name;
  }

  /** The id of this incarnation of the room. */
  get sid(): string {
    return this.info.id;
  }

  get activeSpeakers(): Participant[] {
    return this.monitor.activeSpeakers;
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
    this.connecting = this.join(this.target, attempt.signal)
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
    if (kind === 'audiooutput') {
      const tracks = [...this.roster.participants.values()].flatMap((it) => [...it.trackPublications.values()].map(({ track }) => track));
      await Promise.all(tracks.map((track) => (track instanceof RemoteAudioTrack ? track.setSinkId(deviceId) : undefined)));
    } else {
      const source = kind === 'videoinput' ? 'camera' : 'microphone';
      const defaults = kind === 'videoinput' ? 'videoCaptureDefaults' : 'audioCaptureDefaults';
      const track = this.localParticipant.getTrackPublication(source)?.track as LocalAudioTrack | LocalVideoTrack | undefined;
      await track?.setDeviceId(deviceId);
      this.options[defaults] = { ...this.options[defaults], deviceId };
    }
    this.activeDevices.set(kind, deviceId);
    this.emit('activeDeviceChanged', kind, deviceId);
  }

  /** The device that was chosen, or that a local track uses. */
  getActiveDevice(kind: MediaDeviceKind): string | undefined {
    const source = kind === 'videoinput' ? 'camera' : 'microphone';
    const used = kind === 'audiooutput' ? undefined : this.localParticipant.getTrackPublication(source)?.track.deviceId;
    return used ?? this.activeDevices.get(kind);
  }

  /** Statistics of the connection and of each track that is sent or shown. */
  getStats(): Promise<RoomStats> {
    return this.monitor.stats();
  }

  getParticipantByIdentity(identity: string): Participant | undefined {
    return identity === this.localParticipant.identity ? this.localParticipant : this.roster.participants.get(identity);
  }

  /** These participants get the first slots, in this order; the others fill the rest in order of arrival. */
  async setPinned(participants: readonly RemoteParticipant[]): Promise<void> {
    const { signal, transport } = await this.whenConnected();
    const pins = participants.slice(0, transport.pairs).map(({ sid }, slot) => ({ slot, participant: sid }));
    await signal.request<'slots'>({ type: 'slots', pins });
  }

  /** Reads texts of a topic. One handler per topic; the last one counts. */
  registerTextStreamHandler(topic: string, handler: (reader: TextStreamReader, participant: RemoteParticipant | undefined) => void): void {
    this.streams.textHandlers.set(topic, this.withParticipant(handler));
  }

  unregisterTextStreamHandler(topic: string): void {
    this.streams.textHandlers.delete(topic);
  }

  /** Reads files of a topic. One handler per topic; the last one counts. */
  registerByteStreamHandler(topic: string, handler: (reader: ByteStreamReader, participant: RemoteParticipant | undefined) => void): void {
    this.streams.byteHandlers.set(topic, this.withParticipant(handler));
  }

  unregisterByteStreamHandler(topic: string): void {
    this.streams.byteHandlers.delete(topic);
  }

  /** Lets others call a method here. Throw an `RpcError` to choose what the caller sees. */
  registerRpcMethod(method: string, handler: (call: { caller: RemoteParticipant; payload: string }) => string | Promise<string>): void {
    this.rpc.methods.set(method, (sid, payload) => {
      const caller = this.roster.bySid(sid);
      if (!caller) throw new RpcError('rpc_failed', 'the caller is not in the room');
      return handler({ caller, payload });
    });
  }

  unregisterRpcMethod(method: string): void {
    this.rpc.methods.delete(method);
  }

  /** Makes a session and applies what it finds. On failure nothing is left of it. */
  private async join(target: Target, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw abortError(signal);
    const timeout = target.options.timeout ?? CONNECT_TIMEOUT;
    const session = new Session({
      url: target.url,
      token: target.token,
      room: this.options,
      connect: target.options,
      publish: (transport) => this.localParticipant.republish(transport),
      onData: (envelope, reliable) => this.handleData(session.data, envelope, reliable),
    });
    const timer = setTimeout(() => session.close(new ConnectionError('timeout', `no connection within ${timeout} ms`)), timeout);
    try {
      const joined = await abortable(session.join(), signal);
      this.session = session;
      this.follow(session);
      this.applyJoined(session, joined);
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
      if (snapshot) this.applySnapshot(session, snapshot);
      queueMicrotask(() => this.updateState(session));
    });
    session.on('mediaInterrupted', () => this.setMediaDown(session, true));
    session.on('mediaRestored', () => this.setMediaDown(session, false));
    session.on('lost', (error) => void this.rejoin(session, error));
  }

  private applyJoined(session: Session, joined: Joined): void {
    this.localParticipant.renumber(joined.published);
    this.applySnapshot(session, joined);
  }

  private applySnapshot(session: Session, snapshot: Snapshot): void {
    this.info = snapshot.room;
    this.roster.updateInfo(this.localParticipant, snapshot.participant);
    this.roster.replace(snapshot.participants);
    this.stage.replace(session.transport, snapshot.slotsRevision, snapshot.slots, (revision) => this.acknowledge(session, revision));
  }

  private acknowledge(session: Session, revision: number): void {
    session.signal.request<'slots_ack'>({ type: 'slots_ack', revision }).catch((error: unknown) => log.debug('slots_ack failed', error));
  }

  private handleEvent(session: Session, event: EventMessage): void {
    switch (event.type) {
      case 'participant_joined':
        return this.roster.join(event.participant);
      case 'participant_left':
        return this.roster.leave(event.participant);
      case 'participant_updated': {
        const own = event.participant.id === this.localParticipant.sid;
        const participant = own ? this.localParticipant : this.roster.bySid(event.participant.id);
        return participant && this.roster.updateInfo(participant, event.participant);
      }
      case 'track_published':
      case 'track_updated':
        this.roster.publish(event.participant, event.track);
        return this.stage.revisit(session.transport, event.track.id);
      case 'track_unpublished':
        return this.roster.unpublish(event.participant, event.track);
      case 'track_unavailable': {
        const participant = this.roster.bySid(event.participant);
        const publication = participant?.trackPublications.get(event.track);
        if (participant && publication) this.emit('trackSubscriptionFailed', publication, participant, event.reason);
        return;
      }
      case 'slots':
        return this.stage.apply(session.transport, event.revision, event.slots, (revision) => this.acknowledge(session, revision));
      case 'token':
        if (this.target) this.target.token = event.token;
        this.emit('tokenRefreshed', event.token);
        return;
      case 'disconnected':
        session.close();
        return void this.end(disconnectReason(event.reason), true);
      default:
        // `connection` is the session's; what a newer server says is no concern of ours.
        return;
    }
  }

  private handleData(channels: DataChannels, envelope: Envelope, reliable: boolean): void {
    if (envelope.kind === EnvelopeKind.Packet) {
      this.emit('dataReceived', envelope.payload, this.roster.bySid(envelope.sender), envelope.topic, reliable);
    } else if (envelope.kind === EnvelopeKind.RpcRequest || envelope.kind === EnvelopeKind.RpcResponse) {
      this.rpc.handle(channels, envelope);
    } else {
      this.streams.handle(envelope);
    }
  }

  private handleLeft(sid: string): void {
    this.streams.abort(sid);
    this.rpc.abort(sid);
  }

  /** The session is lost: joins anew, with the same tracks, for as long as the policy says. */
  private async rejoin(lost: Session, cause: unknown): Promise<void> {
    if (this.session !== lost || !this.target) return;
    this.dropSession(lost);
    this.setState(ConnectionState.Reconnecting);
    const attempt = new AbortController();
    this.attempt = attempt;
    const policy = this.options.reconnectPolicy ?? new DefaultReconnectPolicy();
    const since = Date.now();
    let error = cause;
    for (let count = 0; !attempt.signal.aborted; count++) {
      const delay = policy.nextDelay({ attempt: count, elapsed: Date.now() - since, error });
      if (delay === null) return this.end(lossReason(cause), true);
      try {
        await sleepUnlessOnline(delay, attempt.signal);
        await this.join(this.target, attempt.signal);
        return this.becomeConnected();
      } catch (failure) {
        error = failure;
        const final = failure instanceof ConnectionError && !failure.retryable && failure.reason !== 'mediaFailed';
        if (final && !attempt.signal.aborted) return this.end(DisconnectReason.JoinFailed, true);
      }
    }
  }

  private dropSession(session: Session): void {
    session.close();
    this.session = undefined;
    this.mediaDown = false;
    this.stage.clear();
    this.streams.abort();
    this.rpc.abort();
  }

  private becomeConnected(): void {
    const first = this.current === ConnectionState.Connecting;
    this.monitor.start();
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
    this.monitor.stop();
    this.monitor.activeSpeakers = [];
    if (this.session) this.dropSession(this.session);
    this.roster.clear();
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

  private withParticipant<R>(handler: (reader: R, participant: RemoteParticipant | undefined) => void): StreamHandler<R> {
    return (reader, sender) => handler(reader, this.roster.bySid(sender));
  }

  private sidOf(identity: string): string {
    const participant = this.roster.participants.get(identity);
    if (!participant) throw new RequestError({ code: 'not_found', message: `nobody is ${identity}`, retryable: false });
    return participant.sid;
  }

  private engine(): Engine {
    return {
      options: this.options,
      rpc: this.rpc,
      session: () => this.whenConnected(),
      sidsOf: (identities) => (identities ?? []).map((identity) => this.sidOf(identity)),
      published: (publication) => this.emit('localTrackPublished', publication, this.localParticipant),
      unpublished: (publication) => this.emit('localTrackUnpublished', publication, this.localParticipant),
      muteChanged: (publication) => this.emit(publication.isMuted ? 'trackMuted' : 'trackUnmuted', publication, this.localParticipant),
      deviceFailed: (error) => error instanceof MediaDeviceError && this.emit('mediaDevicesError', error),
    };
  }
}

function lossReason(cause: unknown): DisconnectReason {
  return cause instanceof ConnectionError && cause.reason === 'mediaFailed' ? DisconnectReason.MediaFailed : DisconnectReason.SignalLost;
}
