/**
 * One join: a signalling session and its media transport, which live and die together. Offers for more (codecs, ICE restart)
 * go through here. The signalling resumes by itself (`signal-client.ts`), the media path comes back by itself
 * (`path-guard.ts`); what neither can mend ends the session as `lost`, and the room makes a new one (`recovery.ts`).
 */
import { EventEmitter } from 'eventemitter3';
import { abortable } from './async';
import { DataChannels } from './data-channels';
import type { EnvelopeHandler } from './data-channels';
import { ConnectionError, RequestError } from './errors';
import type { Joined, PublishTrack, Resumed } from './generated/protocol';
import { log } from './log';
import { MediaTransport } from './media-transport';
import type { RoomConnectOptions, RoomOptions } from './options';
import { PROTOCOL_VERSION } from './protocol';
import type { EventMessage } from './protocol';
import { publishableCodec } from './negotiation';
import { PathGuard } from './path-guard';
import { opusOf } from './publisher';
import { SignalClient } from './signal-client';

export const SDK_VERSION = '0.1.0';

export interface SessionEvents {
  event: (event: EventMessage) => void;
  signalSuspended: () => void;
  signalResumed: (resumed: Resumed) => void;
  mediaInterrupted: () => void;
  mediaRestored: () => void;
  /** This session is over; a new join may help. */
  lost: (error: Error) => void;
}

export interface SessionSetup {
  url: string;
  token: string;
  room: RoomOptions;
  connect: RoomConnectOptions;
  /** Media over UDP did not get through: only TCP is tried, where the server has it. */
  onlyTcp: boolean;
  /** The transport is made and nothing offered: what local tracks need of the first offer. */
  prepare: (transport: MediaTransport) => void;
  /** Whether the server says that it sends us video now. */
  expectsVideo: () => boolean;
  /** The transport is made; local tracks that are to be published with the join say where they flow. */
  publish: (transport: MediaTransport) => Promise<PublishTrack[]>;
  onData: EnvelopeHandler;
}

export class Session extends EventEmitter<SessionEvents> {
  readonly signal: SignalClient;
  readonly transport: MediaTransport;
  readonly data: DataChannels;
  private readonly guard: PathGuard;
  private wasConnected = false;
  private readonly lifetime = new AbortController();

  constructor(private readonly setup: SessionSetup) {
    super();
    const { room, connect } = setup;
    this.signal = new SignalClient(setup.url, setup.token, {
      ...(room.webSocketFactory ? { webSocketFactory: room.webSocketFactory } : {}),
      ...(room.reconnectPolicy ? { reconnectPolicy: room.reconnectPolicy } : {}),
    });
    const codec = room.publishDefaults?.videoCodec;
    this.transport = new MediaTransport({
      ...(room.slots ? { slots: room.slots } : {}),
      ...(codec ? { videoCodec: publishableCodec(codec) } : {}),
      opus: opusOf(room.publishDefaults ?? {}),
      onlyTcp: setup.onlyTcp,
      ...(connect.rtcConfiguration ? { configuration: connect.rtcConfiguration } : {}),
      ...(room.peerConnectionFactory ? { peerConnectionFactory: room.peerConnectionFactory } : {}),
    });
    setup.prepare(this.transport);
    // The WebSocket opens while the offer is made.
    this.signal.open();
    this.guard = new PathGuard({
      connection: this.transport.connection,
      expectsVideo: setup.expectsVideo,
      isSignalOpen: () => this.signal.isOpen,
      checkSignal: () => this.signal.check(),
      restart: () => this.renegotiate(true),
    });
    this.data = new DataChannels(this.transport.reliable, this.transport.lossy, setup.onData);
  }

  /** Joins. Resolves with the room as it is; call {@link start} once that was handled. */
  async join(): Promise<Joined> {
    let joined: Joined | undefined;
    const exchange = async (offer: string, slots: Parameters<Parameters<MediaTransport['negotiate']>[0]>[1]): Promise<string> => {
      joined = await this.signal.join({
        type: 'join',
        protocol: PROTOCOL_VERSION,
        offer,
        slots,
        publish: await this.setup.publish(this.transport),
        autoSubscribe: this.setup.connect.autoSubscribe ?? true,
        client: `js/${SDK_VERSION}${typeof navigator === 'undefined' ? '' : ` ${navigator.userAgent}`}`,
      });
      this.transport.setIceServers(joined.iceServers);
      return joined.answer;
    };
    await abortable(this.transport.negotiate(exchange), this.lifetime.signal);
    return joined!;
  }

  /** Begins to hand on events. */
  start(): void {
    this.signal.on('event', (event) => {
      if (event.type === 'connection' && event.state === 'interrupted') this.guard.restart('the server hears nothing');
      this.emit('event', event);
    });
    this.signal.on('suspended', () => this.emit('signalSuspended'));
    this.signal.on('resumed', (resumed) => this.handleResumed(resumed));
    this.signal.on('lost', (error) => this.lose(error));
    this.transport.on('stateChanged', () => this.handleMediaState());
    this.guard.on('interrupted', () => this.emit('mediaInterrupted'));
    this.guard.on('restored', () => this.emit('mediaRestored'));
    this.guard.on('lost', (error) => this.lose(error));
    this.signal.start();
    this.guard.start();
    this.handleMediaState();
  }

  /** Whether it was closed. */
  get isOver(): boolean {
    return this.lifetime.signal.aborted;
  }

  /** Whether media has ever flowed. */
  get hadMedia(): boolean {
    return this.wasConnected;
  }

  /** Offers again. */
  renegotiate(iceRestart = false): Promise<void> {
    const exchange = async (offer: string, slots: Parameters<Parameters<MediaTransport['negotiate']>[0]>[1]): Promise<string> =>
      (await this.signal.request<'offer'>({ type: 'offer', offer, slots })).answer;
    return this.transport.negotiate(exchange, iceRestart);
  }

  /** Says goodbye and ends everything. */
  async leave(): Promise<void> {
    const gone = this.signal.leave();
    this.closeMedia();
    await gone;
  }

  close(error?: Error): void {
    this.signal.close(error);
    this.closeMedia(error);
  }

  private handleMediaState(): void {
    this.wasConnected ||= this.transport.isConnected;
    this.guard.handleState();
  }

  private handleResumed(resumed: Resumed): void {
    this.emit('signalResumed', resumed);
    // The WebSocket counts as open once this handler has returned.
    queueMicrotask(() => this.guard.handleResumed());
  }

  private lose(error: Error): void {
    if (this.lifetime.signal.aborted) return;
    log.warn(`the session is lost: ${error instanceof RequestError ? error.code : error.message}`);
    this.emit('lost', error);
  }

  private closeMedia(error: Error = new ConnectionError('cancelled', 'the session was closed')): void {
    this.lifetime.abort(error);
    this.removeAllListeners();
    this.guard.close();
    this.data.close();
    this.transport.close();
  }
}
