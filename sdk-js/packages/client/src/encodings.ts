/** Which layers of a camera are sent, and with how much. */
import type { TrackPublishOptions } from './options';

/** What an encoding is set to. `rid` is absent where there is one encoding. */
export interface Layer {
  rid?: string;
  active: boolean;
  scaleResolutionDownBy: number;
  maxBitrate?: number;
  maxFramerate?: number;
  scalabilityMode?: string;
}

/**
 * How many layers a picture is worth: longest side >= 960: 3, >= 480: 2, else 1. Chromium drops the top encodings of smaller
 * pictures by the same numbers.
 */
export function layerCount(width: number, height: number): 1 | 2 | 3 {
  const longest = Math.max(width, height);
  return longest >= 960 ? 3 : longest >= 480 ? 2 : 1;
}

/** Bits per second for a picture: about 0.1 bit per pixel and frame of a large one, more for a small one. */
export function bitrateFor(width: number, height: number, framerate = 30): number {
  const pixels = Math.max(1, width * height);
  const perSecond = 2_500_000 * (pixels / (1280 * 720)) ** 0.75;
  return Math.round(Math.max(100_000, Math.min(8_000_000, perSecond)) * Math.min(1, Math.sqrt(framerate / 30)));
}

/** The layers of a camera: always one for each of `rids`, those that are not needed switched off. */
export function cameraLayers(rids: readonly string[], size: { width: number; height: number }, options: TrackPublishOptions): Layer[] {
  const single = options.simulcast === false || options.scalabilityMode !== undefined;
  const count = single ? 1 : layerCount(size.width, size.height);
  const modern = options.videoCodec === 'vp9' || options.videoCodec === 'av1';
  return rids.map((rid, index) => {
    const scale = index < count ? 2 ** (count - 1 - index) : 1;
    const top = index === count - 1;
    const natural = bitrateFor(size.width / scale, size.height / scale, options.maxFramerate);
    const scalabilityMode = options.scalabilityMode ?? (modern && !single ? 'L1T3' : undefined);
    return {
      rid,
      active: index < count,
      scaleResolutionDownBy: scale,
      maxBitrate: top && options.maxBitrate ? options.maxBitrate : Math.min(natural, options.maxBitrate ?? natural),
      ...(options.maxFramerate ? { maxFramerate: options.maxFramerate } : {}),
      ...(scalabilityMode ? { scalabilityMode } : {}),
    };
  });
}

/** The one layer of a screen or other video. */
export function singleLayer(options: TrackPublishOptions): Layer {
  return {
    active: true,
    scaleResolutionDownBy: 1,
    maxBitrate: options.maxBitrate ?? 3_000_000,
    ...(options.maxFramerate ? { maxFramerate: options.maxFramerate } : {}),
    ...(options.scalabilityMode ? { scalabilityMode: options.scalabilityMode } : {}),
  };
}

/** Sets a sender's encodings. Where the browser refuses a scalability mode, once more without. */
export async function applyLayers(sender: RTCRtpSender, layers: readonly Layer[]): Promise<void> {
  const set = async (withModes: boolean): Promise<void> => {
    const parameters = sender.getParameters();
    parameters.encodings?.forEach((encoding, index) => {
      const layer = encoding.rid === undefined ? layers[0] : layers.find(({ rid }) => rid === encoding.rid) ?? layers[index];
      if (!layer) return;
      const { rid: _rid, scalabilityMode, ...rest } = layer;
      Object.assign(encoding, rest, withModes && scalabilityMode ? { scalabilityMode } : {});
    });
    await sender.setParameters(parameters);
  };
  await set(true).catch(() => set(false));
}
