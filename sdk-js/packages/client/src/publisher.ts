/** Puts local tracks on the m-lines that wait for them. */
import { applyLayers, cameraLayers, singleLayer } from './encodings';
import { PublishError } from './errors';
import type { PublishTrack } from './generated/protocol';
import type { LocalTrack } from './local-track';
import type { MediaTransport } from './media-transport';
import { publishableCodec } from './negotiation';
import type { OpusOptions } from './negotiation';
import type { TrackPublishOptions } from './options';

/** The part of publish options that Opus knows. */
export function opusOf(options: TrackPublishOptions): OpusOptions {
  const { dtx, stereo, fec, maxPlaybackRate } = options;
  return {
    ...(dtx === undefined ? {} : { dtx }),
    ...(stereo === undefined ? {} : { stereo }),
    ...(fec === undefined ? {} : { fec }),
    ...(maxPlaybackRate === undefined ? {} : { maxPlaybackRate }),
  };
}

/** What the first offer or a further one must hold for this track. True: an offer is needed. */
export function prepare(transport: MediaTransport, track: LocalTrack, options: TrackPublishOptions): boolean {
  if (track.kind === 'video') {
    const codec = options.videoCodec;
    return codec !== undefined && transport.preferCodec(track.source, publishableCodec(codec));
  }
  return track.source === 'microphone' && transport.preferOpus(opusOf(options));
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

/** Sets the encodings that fit the track's size. A screen shared as `screen_share` has one. */
export async function setLayers(transport: MediaTransport, track: LocalTrack, options: TrackPublishOptions): Promise<void> {
  const { sender } = transport.sender(track.source);
  const encodings = sender.getParameters().encodings ?? [];
  if (encodings.length === 0) return;
  if (track.kind === 'audio') {
    if (options.maxBitrate) await applyLayers(sender, [{ active: true, scaleResolutionDownBy: 1, maxBitrate: options.maxBitrate }]);
    return;
  }
  const { width = 1280, height = 720 } = track.mediaStreamTrack.getSettings();
  const rids = encodings.map(({ rid }) => rid).filter((rid) => rid !== undefined);
  const codec = options.videoCodec && publishableCodec(options.videoCodec);
  // Without simulcast in the answer only the first encoding flows, which must then be the whole picture. Before an answer
  // (a join that publishes at once) it is expected.
  const refused = transport.connection.remoteDescription !== null && !transport.acceptsSimulcast(track.source);
  const known = { ...options, ...(codec ? { videoCodec: codec } : {}), ...(refused ? { simulcast: false } : {}) };
  const layers = rids.length > 1 ? cameraLayers(rids, { width, height }, known) : [singleLayer(known)];
  await applyLayers(sender, layers);
}

/** Takes the track off its m-line, which stays for the next one. */
export async function release(track: LocalTrack): Promise<void> {
  const sender = track.sender;
  await track.setSender(undefined);
  await sender?.replaceTrack(null).catch(() => undefined);
}
