/** Cameras, microphones, screens and speakers. */
import { MediaDeviceError } from './errors';
import type { AudioCaptureOptions, ScreenShareCaptureOptions, VideoCaptureOptions } from './options';

/** What a microphone is asked for unless the application says otherwise. */
const AUDIO_DEFAULTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
/** What a camera is asked for unless the application says otherwise. */
const VIDEO_DEFAULT = { width: 1280, height: 720, frameRate: 30 };

/** The constraints that capture options stand for. */
export function constraintsFor(kind: 'audioinput' | 'videoinput', options: AudioCaptureOptions & VideoCaptureOptions): MediaTrackConstraints {
  const { resolution, ...rest } = options;
  const exact = typeof rest.deviceId === 'string' ? { deviceId: { exact: rest.deviceId } } : {};
  if (kind === 'audioinput') return { ...AUDIO_DEFAULTS, ...rest, ...exact };
  const { width, height, frameRate } = { ...VIDEO_DEFAULT, ...resolution };
  return { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate }, ...rest, ...exact };
}

/** Rejects where the machine has no such device. Where it tells no ids, before a permission, nothing is known against one. */
export async function requireDevice(kind: MediaDeviceKind, deviceId: string): Promise<void> {
  const ids = (await localDevices(kind, false)).map((it) => it.deviceId).filter(Boolean);
  const isDefault = deviceId === '' || deviceId === 'default';
  if (!isDefault && ids.length > 0 && !ids.includes(deviceId)) throw new MediaDeviceError('notFound', kind);
}

/** Opens one device. A remembered device that is gone is replaced by the default one, unless it is `strict`. */
export async function capture(kind: 'audioinput' | 'videoinput', options: AudioCaptureOptions | VideoCaptureOptions, strict = false): Promise<MediaStreamTrack> {
  const devices = mediaDevices(kind);
  const open = async (wanted: AudioCaptureOptions | VideoCaptureOptions): Promise<MediaStreamTrack> => {
    const constraints = constraintsFor(kind, wanted);
    const stream = await devices.getUserMedia(kind === 'audioinput' ? { audio: constraints } : { video: constraints });
    return stream.getTracks()[0]!;
  };
  try {
    return await open(options);
  } catch (error) {
    const failure = MediaDeviceError.from(error, kind);
    const { deviceId, ...others } = options;
    const gone = failure.failure === 'constraintsUnmet' || failure.failure === 'notFound';
    if (typeof deviceId !== 'string' || !gone || strict) throw failure;
    return open(others).catch((second: unknown) => Promise.reject(MediaDeviceError.from(second, kind)));
  }
}

/** Lets the user pick a screen; video first, then sound where the browser gives it. */
export async function captureScreen(options: ScreenShareCaptureOptions = {}): Promise<MediaStreamTrack[]> {
  const devices = mediaDevices('screen');
  const { width, height, frameRate } = { width: 1920, height: 1080, frameRate: 15, ...options.resolution };
  const constraints = {
    video: { width: { max: width }, height: { max: height }, frameRate: { max: frameRate } },
    audio: options.audio === false ? false : { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    ...(options.preferCurrentTab ? { preferCurrentTab: true } : {}),
  };
  try {
    const stream = await devices.getDisplayMedia(constraints);
    const video = stream.getVideoTracks();
    for (const track of video) track.contentHint = options.contentHint ?? 'detail';
    return [...video, ...stream.getAudioTracks()];
  } catch (error) {
    throw MediaDeviceError.from(error, 'screen');
  }
}

/** The devices of this machine. Labels are known only after a permission, which is asked for unless told not to. */
export async function localDevices(kind?: MediaDeviceKind, requestPermission = true): Promise<MediaDeviceInfo[]> {
  const devices = mediaDevices(kind ?? 'audioinput');
  const list = async (): Promise<MediaDeviceInfo[]> => (await devices.enumerateDevices()).filter((it) => !kind || it.kind === kind);
  const first = await list();
  if (!requestPermission || first.length === 0 || first.some(({ label }) => label !== '')) return first;
  const inputs = { audio: kind !== 'videoinput', video: kind === undefined || kind === 'videoinput' };
  const stream = await devices.getUserMedia(inputs).catch((error: unknown) => {
    throw MediaDeviceError.from(error, kind ?? 'audioinput');
  });
  try {
    return await list();
  } finally {
    stream.getTracks().forEach((track) => track.stop());
  }
}

/** Calls `changed` when a device comes or goes. Returns how to stop. */
export function watchDevices(changed: () => void): () => void {
  const devices = typeof navigator === 'undefined' ? undefined : (navigator.mediaDevices as MediaDevices | undefined);
  devices?.addEventListener?.('devicechange', changed);
  return () => devices?.removeEventListener?.('devicechange', changed);
}

function mediaDevices(kind: MediaDeviceKind | 'screen'): MediaDevices {
  const devices = typeof navigator === 'undefined' ? undefined : (navigator.mediaDevices as MediaDevices | undefined);
  const needed = kind === 'screen' ? devices?.getDisplayMedia : devices?.getUserMedia;
  if (!devices || typeof needed !== 'function') throw new MediaDeviceError('unsupported', kind);
  return devices;
}
