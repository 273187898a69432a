/**
 * Which layers of a video are sent, and with how much.
 *
 * | Picture, 30 fps | VP8, H264 | VP9 | AV1 |
 * |---|---|---|---|
 * | 320x180 | 0.15 Mbps | 0.12 | 0.11 |
 * | 640x360 | 0.5 | 0.4 | 0.36 |
 * | 1280x720 | 1.7 | 1.4 | 1.2 |
 * | 1920x1080 | 3.4 | 2.8 | 2.4 |
 *
 * The longest side says how many layers a picture is worth: >= 960: 3, >= 480: 2, else 1, each of half the size of the next.
 * VP8 and H264 are sent as simulcast, VP9 and AV1 as one encoding with spatial layers where the browser can (Chromium),
 * else as simulcast. Temporal layers, where the browser can, let a viewer have fewer frames per second.
 */
import type { TrackPublishOptions } from './options';
import type { TrackSource, VideoCodec } from './types';

/** What an encoding is set to. `rid` is absent where there is one encoding. */
export interface Layer {
  rid?: string;
  active: boolean;
  scaleResolutionDownBy: number;
  maxBitrate?: number;
  maxFramerate?: number;
  scalabilityMode?: string;
  priority?: RTCPriorityType;
}

/** How several sizes of a video are sent. */
export type Shape = 'single' | 'simulcast' | 'svc';

interface Picture {
  width: number;
  height: number;
}

/** Bits per second of 1280x720 at 30 fps. */
const BITRATE_720P = 1_700_000;
/** How bits grow with pixels: a large picture has more that is alike. */
const BITRATE_GROWTH = 0.87;
/** What codecs need of the bits that VP8 needs. */
const SAVING: Record<VideoCodec, number> = { vp8: 1, h264: 1, vp9: 0.8, av1: 0.7 };
/** Frames per second of a shared screen: text wants detail. */
const SCREEN_FRAMERATE = 15;
/** The same, of its lower layer. */
const SMALL_SCREEN_FRAMERATE = 5;

/** How many layers a picture is worth. Chromium drops the top encodings of smaller pictures by the same numbers. */
export function layerCount(width: number, height: number): 1 | 2 | 3 {
  const longest = Math.max(width, height);
  return longest >= 960 ? 3 : longest >= 480 ? 2 : 1;
}

/** Bits per second for a picture. */
export function bitrateFor(width: number, height: number, framerate = 30, codec: VideoCodec = 'vp8'): number {
  const pixels = Math.max(1, width * height);
  const natural = BITRATE_720P * (pixels / (1280 * 720)) ** BITRATE_GROWTH * Math.min(1, Math.sqrt(framerate / 30)) * SAVING[codec];
  return Math.round(Math.max(60_000, Math.min(8_000_000, natural)));
}

/** How a video is sent that has several RIDs to its name. `svc` is a wish: the browser may not know how. */
export function shapeOf(options: TrackPublishOptions): Shape {
  const { simulcast, scalabilityMode: mode, videoCodec: codec } = options;
  if (mode !== undefined) return mode.startsWith('L1') && simulcast !== false ? 'simulcast' : 'single';
  if (simulcast === false) return 'single';
  return (codec === 'vp9' || codec === 'av1') && simulcast !== true ? 'svc' : 'simulcast';
}

/** The layers of a video: always one for each of `rids`, those that are not needed switched off. */
export function videoLayers(rids: readonly (string | undefined)[], source: TrackSource, size: Picture, options: TrackPublishOptions, shape: Shape): Layer[] {
  const spatial = Math.min(layerCount(size.width, size.height), source === 'screen_share' ? 2 : 3);
  const count = shape === 'simulcast' ? Math.min(spatial, rids.length) : 1;
  return rids.map((rid, index) => {
    const down = index < count ? count - 1 - index : 0;
    const mode = modeOf(options, shape, spatial);
    const framerate = framerateOf(source, down, options);
    return {
      ...(rid === undefined ? {} : { rid }),
      active: index < count,
      scaleResolutionDownBy: 2 ** down,
      maxBitrate: bitrateOf(size, down, framerate, options, shape === 'svc' ? spatial : 1),
      ...(framerate ? { maxFramerate: framerate } : {}),
      ...(mode ? { scalabilityMode: mode } : {}),
      // Where not everything fits, what somebody shares goes before their face. Chromium takes it of the first encoding only.
      ...(source === 'screen_share' && index === 0 ? { priority: 'high' as const } : {}),
    };
  });
}

/** Bits per second of a layer that is `down` halvings smaller than the picture, with as many spatial layers in it. */
function bitrateOf(size: Picture, down: number, framerate: number | undefined, options: TrackPublishOptions, spatial: number): number {
  let natural = 0;
  for (let halvings = down; halvings < down + spatial; halvings++) {
    natural += bitrateFor(size.width / 2 ** halvings, size.height / 2 ** halvings, framerate, options.videoCodec);
  }
  if (!options.maxBitrate) return natural;
  return down === 0 ? options.maxBitrate : Math.min(natural, options.maxBitrate);
}

function framerateOf(source: TrackSource, down: number, { maxFramerate }: TrackPublishOptions): number | undefined {
  if (source !== 'screen_share') return maxFramerate;
  const full = maxFramerate ?? SCREEN_FRAMERATE;
  return down === 0 ? full : Math.min(full, SMALL_SCREEN_FRAMERATE);
}

/** H264 encoders of browsers differ in what they know of temporal layers, and say so only by failing. */
function modeOf({ scalabilityMode, videoCodec }: TrackPublishOptions, shape: Shape, spatial: number): string | undefined {
  if (scalabilityMode !== undefined) return scalabilityMode;
  if (shape === 'svc' && spatial > 1) return `L${spatial}T3_KEY`;
  return videoCodec === 'h264' ? undefined : 'L1T3';
}
