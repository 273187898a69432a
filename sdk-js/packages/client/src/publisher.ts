/** Puts local tracks on the m-lines that wait for them. */
import { shapeOf, videoLayers } from './encodings';
import type { CodecFallbackReason } from './codec-fallback';
import { PublishError } from './errors';
import type { PublishTrack } from './generated/protocol';
import { log } from './log';
import type { LocalTrack } from './local-track';
import type { MediaTransport } from './media-transport';
import { publishableCodec } from './negotiation';
import type { OpusOptions } from './negotiation';
import type { TrackPublishOptions } from './options';
import type { Session } from './session';
import type { VideoCodec } from './types';

/** The part of publish options that Opus knows. */
export function opusOf(options: TrackPublishOptions): OpusOptions {
  const { dtx, stereo, fec, maxPlaybackRate, red } = options;
  return {
    ...(dtx === undefined ? {} : { dtx }),
    ...(stereo === undefined ? {} : { stereo }),
    ...(fec === undefined ? {} : { fec }),
    ...(maxPlaybackRate === undefined ? {} : { maxPlaybackRate }),
    ...(red === undefined ? {} : { red }),
  };
}

/** What the first offer or a further one must hold for this track. True: an offer is needed. */
export function prepare(transport: MediaTransport, track: LocalTrack, options: TrackPublishOptions): boolean {
  if (track.kind === 'video') {
    const codec = options.videoCodec;
    return codec !== undefined && transport.preferCodec(track.source, publishableCodec(codec));
  }
  return transport.preferOpus(track.source, opusOf(options));
}

/** Lets the track flow on its m-line, and says which one that is. */
export async function carry(transport: MediaTransport, track: LocalTrack, options: TrackPublishOptions): Promise<PublishTrack> {
  const transceiver = transport.sender(track.source);
  if (transceiver.mid === null) throw new PublishError(track.kind, 'the m-line was not offered');
  const occupied = transceiver.sender.track;
  if (occupied && occupied !== track.mediaStreamTrack) throw new PublishError(track.kind, `another track is published as ${track.source}`);
  await setLayers(transport, track, options);
  await track.setSender(transceiver.sender);
  return { mid: transceiver.mid, source: track.source, name: options.name ?? '', muted: track.isMuted };
}

/** A track on its way, and with what. */
export interface Carried {
  request: PublishTrack;
  options: TrackPublishOptions;
  /** It is sent with VP8 in place of what was asked for. */
  fallback: { from: VideoCodec; reason: CodecFallbackReason } | undefined;
}

/** {@link carry}, with an offer where one is needed, and with VP8 where the codec that was asked for cannot be sent. */
export async function carryBest(session: Session, track: LocalTrack, wanted: TrackPublishOptions): Promise<Carried> {
  const codec = track.kind === 'video' ? wanted.videoCodec : undefined;
  const sendable = codec && publishableCodec(codec);
  let options: TrackPublishOptions = sendable ? { ...wanted, videoCodec: sendable } : wanted;
  let fallback: Carried['fallback'] = codec && sendable !== codec ? { from: codec, reason: 'unsupported' } : undefined;
  if (prepare(session.transport, track, options)) await session.renegotiate();
  try {
    return { request: await carry(session.transport, track, options), options, fallback };
  } catch (error) {
    if (!sendable || sendable === 'vp8' || error instanceof PublishError) throw error;
    log.debug(`${sendable} was refused`, error);
    options = { ...options, videoCodec: 'vp8' };
    fallback = { from: sendable, reason: 'refused' };
  }
  if (prepare(session.transport, track, options)) await session.renegotiate();
  return { request: await carry(session.transport, track, options), options, fallback };
}

/** Sets the encodings that fit the track's size. Rejects where the browser takes none that make sense. */
export async function setLayers(transport: MediaTransport, track: LocalTrack, options: TrackPublishOptions): Promise<void> {
  const sender = transport.layers(track.source);
  const { rids } = sender;
  if (rids.length === 0) return;
  if (track.kind === 'audio') {
    if (options.maxBitrate) await sender.set([{ active: true, scaleResolutionDownBy: 1, maxBitrate: options.maxBitrate }]);
    return;
  }
  const { width = 1280, height = 720 } = track.mediaStreamTrack.getSettings();
  const codec = options.videoCodec && publishableCodec(options.videoCodec);
  const known = { ...options, ...(codec ? { videoCodec: codec } : {}) };
  // Without simulcast in the answer only the first encoding flows, which must then be the whole picture. Before an answer
  // (a join that publishes at once) it is expected.
  const refused = transport.connection.remoteDescription !== null && !transport.acceptsSimulcast(track.source);
  const alone = refused || rids.length === 1;
  const wanted = shapeOf(known);
  const shape = alone && wanted === 'simulcast' ? 'single' : wanted;
  const hasModes = await sender.set(videoLayers(rids, track.source, { width, height }, known, shape));
  // A browser that knows no spatial layers (Firefox) sends several sizes the other way.
  if (shape === 'svc' && !hasModes && !alone) await sender.set(videoLayers(rids, track.source, { width, height }, known, 'simulcast'));
}

/** Takes the track off its m-line, which stays for the next one. */
export async function release(track: LocalTrack): Promise<void> {
  const sender = track.sender;
  await track.setSender(undefined);
  await sender?.replaceTrack(null).catch(() => undefined);
}
