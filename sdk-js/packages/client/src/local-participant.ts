/** Oneself: devices on and off, publishing, data out. */
import { Queue } from './async';
import { EncoderWatch, warnOfFallback } from './codec-fallback';
import type { CodecFallbackReason } from './codec-fallback';
import { randomId, sendStream, sendText } from './data-streams';
import { capture, captureScreen } from './devices';
import { EnvelopeKind } from './envelope';
import { DataError, MediaDeviceError, PublishError, RequestError, RpcError } from './errors';
import type { Participant as WireParticipant, PublishTrack, Track as WireTrack } from './generated/protocol';
import { LocalAudioTrack, LocalTrack, LocalVideoTrack } from './local-track';
import { log } from './log';
import type { MediaTransport } from './media-transport';
import type { AudioCaptureOptions, DataOptions, RoomOptions, ScreenShareCaptureOptions, SendFileOptions, TrackPublishOptions, VideoCaptureOptions } from './options';
import { Participant } from './participant';
import type { RequestOf } from './protocol';
import { LocalTrackPublication } from './publication';
import { carry, carryBest, prepare, release, setLayers } from './publisher';
import type { Rpc } from './rpc';
import type { Session } from './session';
import { TrackSource, kindOf } from './types';
import type { VideoCodec } from './types';

/** What the local participant needs of its room. @internal */
export interface Engine {
  readonly options: RoomOptions;
  readonly rpc: Rpc;
  /** The session, as soon as the room is connected; rejects when it is not and does not try. */
  session(): Promise<Session>;
  /** The id of an identity; undefined: nobody has it. */
  sidOf(identity: string): string | undefined;
  /** The ids of these identities; an unknown one is an error. */
  sidsOf(identities: readonly string[] | undefined): string[];
  published(publication: LocalTrackPublication): void;
  unpublished(publication: LocalTrackPublication): void;
  muteChanged(publication: LocalTrackPublication): void;
  /** The server took a change of our own name, metadata or attributes. */
  infoChanged(info: WireParticipant): void;
  codecFellBack(publication: LocalTrackPublication, from: VideoCodec, reason: CodecFallbackReason): void;
  deviceFailed(error: unknown): void;
}

const NOBODY: WireParticipant = {
  id: '',
  identity: '',
  name: '',
  metadata: '',
  attributes: {},
  permissions: { canPublish: true, canPublishSources: [], canSubscribe: true, canPublishData: true, canUpdateOwnMetadata: false },
  tracks: [],
  joinedAt: 0,
};

export class LocalParticipant extends Participant {
  readonly isLocal = true;
  readonly trackPublications = new Map<string, LocalTrackPublication>();
  private readonly queues = new Map<TrackSource, Queue>();
  private readonly publishOptions = new WeakMap<LocalTrack, TrackPublishOptions>();
  /** What the application said of us, which a new join has to be told again. */
  private said: OwnInfo = {};
  /** What the join under way publishes. */
  private carried: LocalTrackPublication[] = [];
  private readonly encoders = new EncoderWatch((publication) => void this.fallBack(publication).catch((error: unknown) => log.warn('VP8 could not be sent either', error)));

  /** @internal */
  constructor(private readonly engine: Engine) {
    super(NOBODY);
  }

  override getTrackPublication(source: TrackSource): LocalTrackPublication | undefined {
    return super.getTrackPublication(source) as LocalTrackPublication | undefined;
  }

  /** Camera on or off. Off stops the device and mutes; the sender stays for the next time. */
  setCameraEnabled(enabled: boolean, options?: VideoCaptureOptions, publish?: TrackPublishOptions): Promise<LocalTrackPublication | undefined> {
    return this.setEnabled('camera', enabled, publish, async () => {
      const wanted = { ...this.engine.options.videoCaptureDefaults, ...options };
      return [new LocalVideoTrack(await capture('videoinput', wanted), 'camera', wanted)];
    });
  }

  /** Microphone on or off. Off mutes; the device stays open so that the first word is not lost. */
  setMicrophoneEnabled(enabled: boolean, options?: AudioCaptureOptions, publish?: TrackPublishOptions): Promise<LocalTrackPublication | undefined> {
    return this.setEnabled('microphone', enabled, publish, async () => {
      const wanted = { ...this.engine.options.audioCaptureDefaults, ...options };
      return [new LocalAudioTrack(await capture('audioinput', wanted), 'microphone', wanted)];
    });
  }

  /** Starts or ends sharing a screen, with its sound where the browser gives it. */
  setScreenShareEnabled(enabled: boolean, options?: ScreenShareCaptureOptions, publish?: TrackPublishOptions): Promise<LocalTrackPublication | undefined> {
    return this.setEnabled('screen_share', enabled, publish, async () =>
      (await captureScreen(options)).map((track) =>
        track.kind === 'video' ? new LocalVideoTrack(track, 'screen_share') : new LocalAudioTrack(track, 'screen_share_audio'),
      ),
    );
  }

  /** Publishes a track. One track for each source; without one a video counts as camera and a sound as microphone. */
  async publishTrack(track: LocalTrack | MediaStreamTrack, options: TrackPublishOptions = {}): Promise<LocalTrackPublication> {
    const local = track instanceof LocalTrack ? track : wrap(track, options.source);
    checkSource(local);
    const wanted = { ...this.engine.options.publishDefaults, ...options };
    return this.onSession(async (session) => {
      if (this.getTrackPublication(local.source)) throw new PublishError(local.kind, `there is already a ${local.source}`);
      try {
        const { request, options: used, fallback } = await carryBest(session, local, wanted);
        this.publishOptions.set(local, used);
        const { track: info } = await session.signal.request<'publish'>({ type: 'publish', ...request });
        const publication = this.add(info, local);
        if (fallback) this.announceFallback(publication, fallback.from, fallback.reason);
        if ((used.videoCodec ?? 'vp8') !== 'vp8' && local.kind === 'video') this.encoders.watch(publication);
        return publication;
      } catch (error) {
        await release(local);
        if (error instanceof RequestError) throw new PublishError(local.kind, error.message, { code: error.code, cause: error });
        throw error;
      }
    });
  }

  /** Ends a publication; its device too, unless the application made the track. */
  async unpublishTrack(track: LocalTrack | MediaStreamTrack): Promise<void> {
    const publication = [...this.trackPublications.values()].find((it) => it.track === track || it.track.mediaStreamTrack === track);
    if (!publication) return;
    this.trackPublications.delete(publication.trackSid);
    this.encoders.forget(publication);
    await release(publication.track);
    if (publication.track.isOwned && this.engine.options.stopLocalTrackOnUnpublish !== false) publication.track.stop();
    this.engine.unpublished(publication);
    await this.onSession(async ({ signal }) => {
      await signal.request<'unpublish'>({ type: 'unpublish', track: publication.trackSid }).catch((error: unknown) => {
        // Gone already, as after a rejoin.
        if (!(error instanceof RequestError)) throw error;
      });
    });
  }

  setName(name: string): Promise<void> {
    return this.tell({ name });
  }

  setMetadata(metadata: string): Promise<void> {
    return this.tell({ metadata });
  }

  /** Sets these attributes; others stay, and an empty value removes one. */
  setAttributes(attributes: Record<string, string>): Promise<void> {
    return this.tell({ attributes });
  }

  /** Sends a text to all or some; it arrives at `registerTextStreamHandler` of its topic. */
  async sendText(text: string, options: DataOptions = {}): Promise<void> {
    const { data } = await this.engine.session();
    await sendText(data, text, options.topic ?? '', this.engine.sidsOf(options.destinationIdentities));
  }

  /** Sends a file to all or some; it arrives at `registerByteStreamHandler` of its topic. */
  async sendFile(file: Blob, options: SendFileOptions = {}): Promise<{ id: number }> {
    const { data } = await this.engine.session();
    const name = options.name ?? ('name' in file ? String(file.name) : '');
    const header = { name, mimeType: options.mimeType ?? file.type, attributes: options.attributes ?? {} };
    return { id: await sendStream(data, file, header, options, this.engine.sidsOf(options.destinationIdentities)) };
  }

  /** Sends bytes, at most about 64 KiB; they arrive as `DataReceived`. Unreliable ones may be lost and overtake each other. */
  async publishData(payload: Uint8Array, options: DataOptions & { reliable?: boolean } = {}): Promise<void> {
    if (!(payload instanceof Uint8Array)) throw new DataError('invalid', 'publishData takes a Uint8Array; sendText sends text');
    const { data } = await this.engine.session();
    const destinations = this.engine.sidsOf(options.destinationIdentities);
    const envelope = { kind: EnvelopeKind.Packet, topic: options.topic ?? '', destinations, streamId: randomId(), chunkIndex: 0, payload };
    await data.send(envelope, options.reliable ?? true);
  }

  /** Calls a method that another participant has registered. */
  async performRpc(call: { destinationIdentity: string; method: string; payload: string; timeout?: number }): Promise<string> {
    const { data } = await this.engine.session();
    const destination = this.engine.sidOf(call.destinationIdentity);
    if (destination === undefined) throw new RpcError('rpc_no_recipient', `nobody is ${call.destinationIdentity}`);
    return this.engine.rpc.call(data, { destination, method: call.method, payload: call.payload, timeout: call.timeout });
  }

  /** What the tracks need of the first offer of a new transport. @internal */
  prepare(transport: MediaTransport): void {
    for (const { track } of this.trackPublications.values()) prepare(transport, track, this.publishOptions.get(track) ?? {});
  }

  /** Puts all tracks on a new transport, for a rejoin. @internal */
  async republish(transport: MediaTransport): Promise<PublishTrack[]> {
    this.carried = [...this.trackPublications.values()];
    return Promise.all(this.carried.map(({ track }) => carry(transport, track, this.publishOptions.get(track) ?? {})));
  }

  /** The ids that a rejoin gave, in the order of {@link republish}. What changed under way is told. @internal */
  renumber({ signal }: Session, infos: readonly WireTrack[]): void {
    const staying = new Set(this.trackPublications.values());
    this.trackPublications.clear();
    infos.forEach((info, index) => {
      const publication = this.carried[index];
      if (!publication || !staying.has(publication)) {
        if (publication) void release(publication.track).catch(() => undefined);
        signal.request<'unpublish'>({ type: 'unpublish', track: info.id }).catch((error: unknown) => log.debug('a track that was unpublished meanwhile', error));
        return;
      }
      publication.update({ ...info, muted: publication.isMuted });
      this.trackPublications.set(info.id, publication);
      if (publication.isMuted === info.muted) return;
      signal.request<'mute'>({ type: 'mute', track: info.id, muted: publication.isMuted }).catch((error: unknown) => log.debug('a track that was muted meanwhile', error));
    });
    this.carried = [];
  }

  /** Tells a new session what the application said of us, where the server does not know it. @internal */
  restoreInfo({ signal }: Session): void {
    const { name, metadata, attributes = {} } = this.said;
    const stale = Object.entries(attributes).filter(([key, value]) => (this.attributes[key] ?? '') !== value);
    const change: OwnInfo = {
      ...(name === undefined || name === this.name ? {} : { name }),
      ...(metadata === undefined || metadata === this.metadata ? {} : { metadata }),
      ...(stale.length === 0 ? {} : { attributes: Object.fromEntries(stale) }),
    };
    if (Object.keys(change).length === 0) return;
    this.engine.infoChanged(changed(this.info, change));
    signal.request<'update'>({ type: 'update', ...change }).catch((error: unknown) => log.warn('name, metadata or attributes were not restored', error));
  }

  /** Lets go of all devices, when the room is left. @internal */
  async clear(): Promise<void> {
    const publications = [...this.trackPublications.values()];
    this.trackPublications.clear();
    this.said = {};
    for (const publication of publications) {
      const { track } = publication;
      this.encoders.forget(publication);
      await release(track);
      if (track.isOwned && this.engine.options.stopLocalTrackOnUnpublish !== false) track.stop();
    }
    for (const publication of publications) this.engine.unpublished(publication);
  }

  private setEnabled(
    source: TrackSource,
    enabled: boolean,
    options: TrackPublishOptions | undefined,
    open: () => Promise<LocalTrack[]>,
  ): Promise<LocalTrackPublication | undefined> {
    return this.queueOf(source).run(async () => {
      const publication = this.getTrackPublication(source);
      if (publication && source === 'screen_share') return enabled ? publication : this.endScreenShare();
      if (publication) await (enabled ? publication.unmute() : publication.mute());
      if (publication || !enabled) return publication;
      const tracks = await open().catch((error: unknown) => {
        this.engine.deviceFailed(error);
        throw error;
      });
      const [first, ...others] = tracks;
      try {
        const published = await this.publishTrack(first!, { ...options, source });
        for (const track of others) await this.publishBeside(published, track);
        return published;
      } catch (error) {
        tracks.forEach((track) => track.stop());
        throw error;
      }
    });
  }

  /** The sound of a screen. One that is refused, or whose screen ended meanwhile, does not end the screen. */
  private async publishBeside(screen: LocalTrackPublication, sound: LocalTrack): Promise<void> {
    try {
      await this.publishTrack(sound, { source: sound.source });
      if (this.trackPublications.get(screen.trackSid) !== screen) await this.unpublishTrack(sound);
    } catch (error) {
      sound.stop();
      log.warn(`the ${sound.source} is not sent`, error);
    }
  }

  /** Does something on the session, and again on the next one where this one ended meanwhile. */
  private async onSession<T>(work: (session: Session) => Promise<T>): Promise<T> {
    let last: Session | undefined;
    for (;;) {
      const session = await this.engine.session();
      try {
        return await work(session);
      } catch (error) {
        if (!session.isOver || session === last || error instanceof RequestError || error instanceof PublishError) throw error;
        last = session;
      }
    }
  }

  /** What we change of ourselves we see once the server took it. */
  private tell(change: OwnInfo): Promise<void> {
    return this.onSession(async ({ signal }) => {
      await signal.request<'update'>({ type: 'update', ...change });
      this.said = { ...this.said, ...change, attributes: { ...this.said.attributes, ...change.attributes } };
      this.engine.infoChanged(changed(this.info, change));
    });
  }

  private async endScreenShare(): Promise<undefined> {
    for (const source of ['screen_share', 'screen_share_audio'] as const) {
      const publication = this.getTrackPublication(source);
      if (publication) await this.unpublishTrack(publication.track);
    }
  }

  private add(info: WireTrack, track: LocalTrack): LocalTrackPublication {
    const publication = new LocalTrackPublication(info, track, {
      mute: (it) => this.setMuted(it, true),
      unmute: (it) => this.setMuted(it, false),
    });
    this.trackPublications.set(info.id, publication);
    track.on('ended', () => void this.handleEnded(publication).catch(() => undefined));
    this.engine.published(publication);
    return publication;
  }

  /** A screen that is no longer shared is unpublished; an unplugged device is muted. */
  private async handleEnded(publication: LocalTrackPublication): Promise<void> {
    if (this.trackPublications.get(publication.trackSid) !== publication) return;
    if (publication.source === 'screen_share') await this.endScreenShare();
    else if (publication.source === 'screen_share_audio' || !publication.track.isOwned) await this.unpublishTrack(publication.track);
    else {
      this.engine.deviceFailed(new MediaDeviceError('ended', publication.kind === 'video' ? 'videoinput' : 'audioinput'));
      await publication.mute();
    }
  }

  private async setMuted(publication: LocalTrackPublication, muted: boolean): Promise<void> {
    if (publication.isMuted === muted && publication.track.isMuted === muted) return;
    const { track } = publication;
    await (muted ? track.mute() : track.unmute());
    publication.setMuted(muted);
    this.engine.muteChanged(publication);
    await this.onSession(async ({ transport, signal }) => {
      if (!muted && track.kind === 'video') await setLayers(transport, track, this.publishOptions.get(track) ?? {});
      await signal.request<'mute'>({ type: 'mute', track: publication.trackSid, muted });
    });
  }

  /** The encoder delivers nothing. */
  private async fallBack(publication: LocalTrackPublication): Promise<void> {
    const { track } = publication;
    const options = this.publishOptions.get(track) ?? {};
    const from = options.videoCodec;
    if (!from) return;
    const session = await this.engine.session();
    const plain: TrackPublishOptions = { ...options, videoCodec: 'vp8' };
    this.publishOptions.set(track, plain);
    if (prepare(session.transport, track, plain)) await session.renegotiate();
    await setLayers(session.transport, track, plain);
    this.announceFallback(publication, from, 'encoder');
  }

  private announceFallback(publication: LocalTrackPublication, from: VideoCodec, reason: CodecFallbackReason): void {
    warnOfFallback(publication.source, from, reason);
    this.engine.codecFellBack(publication, from, reason);
  }

  private queueOf(source: TrackSource): Queue {
    const queue = this.queues.get(source) ?? new Queue();
    this.queues.set(source, queue);
    return queue;
  }
}

function wrap(track: MediaStreamTrack, source?: TrackSource): LocalTrack {
  return track.kind === 'video'
    ? new LocalVideoTrack(track, source ?? 'camera', {}, false)
    : new LocalAudioTrack(track, source ?? 'microphone', {}, false);
}

/** Name, metadata and attributes, as far as they are said. */
type OwnInfo = Omit<RequestOf<'update'>, 'type'>;

/** What a participant is after a change that the server took; an empty attribute is none. */
function changed(info: WireParticipant, { name = info.name, metadata = info.metadata, attributes = {} }: OwnInfo): WireParticipant {
  const merged = Object.entries({ ...info.attributes, ...attributes }).filter(([, value]) => value !== '');
  return { ...info, name, metadata, attributes: Object.fromEntries(merged) };
}

function checkSource({ kind, source }: LocalTrack): void {
  const sources: readonly string[] = Object.values(TrackSource);
  if (!sources.includes(source)) throw new PublishError(kind, `there is no source ${JSON.stringify(source)}; the sources are ${sources.join(', ')}`, { code: 'unknown_source' });
  if (kindOf(source) !== kind) throw new PublishError(kind, `a ${source} is ${kindOf(source)}, and the track is ${kind}`, { code: 'kind_mismatch' });
}
