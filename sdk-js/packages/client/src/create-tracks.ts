/** Local tracks without a room, for a preview in a lobby; `publishTrack` takes them later. */
import { capture, captureScreen } from './devices';
import { LocalAudioTrack, LocalVideoTrack } from './local-track';
import type { LocalTrack } from './local-track';
import type { AudioCaptureOptions, ScreenShareCaptureOptions, VideoCaptureOptions } from './options';

export async function createLocalVideoTrack(options: VideoCaptureOptions = {}): Promise<LocalVideoTrack> {
  return new LocalVideoTrack(await capture('videoinput', options), 'camera', options);
}

export async function createLocalAudioTrack(options: AudioCaptureOptions = {}): Promise<LocalAudioTrack> {
  return new LocalAudioTrack(await capture('audioinput', options), 'microphone', options);
}

export async function createLocalScreenTracks(options: ScreenShareCaptureOptions = {}): Promise<LocalTrack[]> {
  const tracks = await captureScreen(options);
  return tracks.map((track) =>
    track.kind === 'video' ? new LocalVideoTrack(track, 'screen_share') : new LocalAudioTrack(track, 'screen_share_audio'),
  );
}

/** Opens a microphone and a camera, or one of them. If one fails, neither stays open. */
export async function createLocalTracks(
  options: { audio?: boolean | AudioCaptureOptions; video?: boolean | VideoCaptureOptions } = { audio: true, video: true },
): Promise<LocalTrack[]> {
  const wanted: Promise<LocalTrack>[] = [];
  if (options.audio) wanted.push(createLocalAudioTrack(options.audio === true ? {} : options.audio));
  if (options.video) wanted.push(createLocalVideoTrack(options.video === true ? {} : options.video));
  const results = await Promise.allSettled(wanted);
  const failed = results.find((it) => it.status === 'rejected');
  const opened = results.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : []));
  if (!failed) return opened;
  opened.forEach((track) => track.stop());
  throw failed.reason;
}
