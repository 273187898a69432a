/**
 * One join: a signalling session and its media transport, which live and die together. Offers for more (codecs, ICE restart)
 * go through here. A room that has to join anew makes a new session.
 */
import EventEmitter from 'eventemitter3';
import { abortable, sleep } from './async';
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
import { opusOf } from './publisher';
import { SignalClient } from './signal-client';

export const SDK_VERSION = '0.1.0';
/** Milliseconds that an ICE restart may take before the session counts as lost. */
const RESTART_TIMEOUT = 15_000;

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
  /** The transport is made; local tracks that are to be published with the join say where they flow. */
  publish: (transport: MediaTransport) => Promise<PublishTrack[]>;
  onData: EnvelopeHandler;
}

export class Session extends EventEmitter<SessionEvents> {
  readonly signal: SignalClient;
  readonly transport: MediaTransport;
  readonly data: DataChannels;
  private restarting: Promise<void> | undefined;
  private restartAfterResume = false;
  private readonly lifetime = new AbortController();

  constructor(private readonly setup: SessionSetup) {
    super();
    const { room, connect } = setup;
    this.signal = new SignalClient(setup.url, setup.token, {
      ...(room.webSocketFactory ? { webSocketFactory: room.webSocketFactory } : {}),
      ...(room.reconnectPolicy ? { reconnectPolicy: room.reconnectPolicy } : {}),
    });
    // The WebSocket opens while the offer is made.
    this.signal.open();
    const codec = room.publishDefaults?.videoCodec;
    this.transport = new MediaTransport({
      ...(room.slots ? { slots: room.slots } : {}),
      ...(codec ? { videoCodec: publishableCodec(codec) } : {}),
      opus: opusOf(room.publishDefaults ?? {}),
      ...(connect.rtcConfiguration ? { configuration: connect.rtcConfiguration } : {}),
      ...(room.peerConnectionFactory ? { peerConnectionFactory: room.peerConnectionFactory } : {}),
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
      if (event.type === 'connection' && event.state === 'interrupted') this.restartIce('the server hears nothing');
      this.emit('event', event);
    });
    this.signal.on('suspended', () => this.emit('signalSuspended'));
    this.signal.on('resumed', (resumed) => this.handleResumed(resumed));
    this.signal.on('lost', (error) => this.lose(error));
    this.transport.on('failed', () => this.restartIce('the media path failed'));
    this.signal.start();
    if (this.transport.connection.connectionState === 'failed') this.restartIce('the media path failed');
  }

  /** Offers again. */
  renegotiate(iceRestart = false): Promise<void> {
    const exchange = async (offer: string, slots: Parameters<Parameters<MediaTransport['negotiate']>[0]>[1]): Promise<string> =>
      (await this.signal.request<'offer'>({ type: 'offer', offer, slots })).answer;
    return this.transport.negotiate(exchange, iceRestart);
  }

  /** Resolves when media can flow. */
  whenConnected(): Promise<void> {
    if (this.transport.isConnected) return Promise.resolve();
    return abortable(new Promise((resolve) => this.transport.once('connected', resolve)), this.lifetime.signal);
  }

  /** Moves the media path: new ICE credentials, the same DTLS and SRTP. */
  restartIce(why: string): void {
    if (this.restarting || this.lifetime.signal.aborted) return;
    if (!this.signal.isOpen) {
      // A path that broke together with the WebSocket: the resume comes first.
      this.restartAfterResume = true;
      this.emit('mediaInterrupted');
      return;
    }
    log.info(`ICE restart: ${why}`);
    this.emit('mediaInterrupted');
    this.restarting = this.restartOnce()
      .then(() => this.emit('mediaRestored'))
      .catch((error: unknown) => this.lose(error instanceof Error ? error : new Error(String(error))))
      .then(() => {
        this.restarting = undefined;
      });
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

  private async restartOnce(): Promise<void> {
    await this.renegotiate(true);
    const late = sleep(RESTART_TIMEOUT, this.lifetime.signal).then(() => Promise.reject(new ConnectionError('mediaFailed', 'the media path did not come back')));
    late.catch(() => undefined);
    await Promise.race([this.whenConnected(), late]);
  }

  private handleResumed(resumed: Resumed): void {
    this.emit('signalResumed', resumed);
    if (!this.restartAfterResume) return;
    this.restartAfterResume = false;
    // The WebSocket counts as open once this handler has returned.
    queueMicrotask(() => this.restartIce('after a resume'));
  }

  private lose(error: Error): void {
    if (this.lifetime.signal.aborted) return;
    log.warn(`the session is lost: ${error instanceof RequestError ? error.code : error.message}`);
    this.emit('lost', error);
  }

  private closeMedia(error: Error = new ConnectionError('cancelled', 'the session was closed')): void {
    this.lifetime.abort(error);
    this.removeAllListeners();
    this.data.close();
    this.transport.close();
  }
}
