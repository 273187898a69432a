/** Options of the public API, with their defaults. */
import type { ReconnectPolicy } from './reconnect-policy';
import type { TrackSource, VideoCodec } from './types';

/** How a microphone is captured. Everything that improves speech is on unless it is switched off. */
export interface AudioCaptureOptions {
  deviceId?: ConstrainDOMString;
  echoCancellation?: boolean;
  noiseSuppression?: boolean;
  autoGainControl?: boolean;
  channelCount?: number;
}

/** How a camera is captured. Default: 1280x720, 30 fps. */
export interface VideoCaptureOptions {
  deviceId?: ConstrainDOMString;
  facingMode?: 'user' | 'environment';
  resolution?: VideoResolution;
}

/** A size in pixels, and frames per second. */
export interface VideoResolution {
  width: number;
  height: number;
  frameRate?: number;
}

/** How a screen is captured. */
export interface ScreenShareCaptureOptions {
  /** Also capture sound, where the browser can. Default true. */
  audio?: boolean;
  resolution?: VideoResolution;
  /** Offer the current tab first, where the browser can. */
  preferCurrentTab?: boolean;
  /** What the encoder favours: `detail` for text, `motion` for films. Default `detail`. */
  contentHint?: 'detail' | 'text' | 'motion';
}

/** How tracks are published. */
export interface TrackPublishOptions {
  source?: TrackSource;
  /** A name of the application. */
  name?: string;
  /**
   * Send several sizes of a video, so that each viewer can be given one that fits. Default: VP8 and H264 as simulcast, VP9
   * and AV1 as one encoding with spatial layers where the browser can. True: simulcast for these, too. False: one size.
   */
  simulcast?: boolean;
  /** Which codec video is sent with. Default `vp8`. Firefox sends VP8 in place of VP9. */
  videoCodec?: VideoCodec;
  /** `L3T3_KEY` and the like: one encoding with these layers (VP9, AV1). `L1T3` and the like: simulcast of such encodings. */
  scalabilityMode?: string;
  /** Bits per second, of the largest encoding for video. */
  maxBitrate?: number;
  maxFramerate?: number;
  /** Opus: send almost nothing in silence. Default true. */
  dtx?: boolean;
  /**
   * Microphone: repeat earlier audio in each packet (RED, RFC 2198), about twice the bits, so that what is lost is heard all the
   * same. Chromium sends it; others send plain Opus. Receivers that know no RED get the same audio without it. Default false.
   */
  red?: boolean;
  /** Opus: two channels. Default false. */
  stereo?: boolean;
  /** Opus: in-band forward error correction. Default true. */
  fec?: boolean;
  /** Opus: the highest sampling rate that receivers play, in Hz. */
  maxPlaybackRate?: number;
}

/** How the server is told what is seen of remote videos. */
export interface AdaptiveStreamOptions {
  /** Device pixels per CSS pixel. Default `screen`: as the screen has, at most 2. */
  pixelDensity?: number | 'screen';
  /** Receive no video while the page is in the background, but for picture-in-picture. Default true. */
  pauseVideoInBackground?: boolean;
}

/** How many tracks of others can be shown at once. */
export interface SlotOptions {
  /** Camera and microphone of a participant. Default 9. */
  pairs?: number;
  /** A shared screen and its sound. Default 1. */
  screens?: number;
  /** Microphones of participants who are not shown. Default 3. */
  audio?: number;
}

/** Options of a {@link Room}. */
export interface RoomOptions {
  slots?: SlotOptions;
  audioCaptureDefaults?: AudioCaptureOptions;
  videoCaptureDefaults?: VideoCaptureOptions;
  publishDefaults?: TrackPublishOptions;
  reconnectPolicy?: ReconnectPolicy;
  /** Stop the devices of local tracks when they are unpublished or the room is left. Default true. */
  stopLocalTrackOnUnpublish?: boolean;
  /** Disconnect when the page is left. Default true. */
  disconnectOnPageLeave?: boolean;
  /**
   * Receive of each video what its elements show: none where none is on screen. Needs `track.attach()`; a page that
   * draws `mediaStreamTrack` itself leaves it off. Default false.
   */
  adaptiveStream?: boolean | AdaptiveStreamOptions;
  /** Pause encodings of our own video that nobody takes. Default false. */
  dynacast?: boolean;
  /** How WebSockets are made; tests delay or cut them here. */
  webSocketFactory?: (url: string) => WebSocket;
  /** How peer connections are made. */
  peerConnectionFactory?: (configuration: RTCConfiguration) => RTCPeerConnection;
}

/** Options of {@link Room.connect}. */
export interface RoomConnectOptions {
  /** Aborts the attempt. */
  signal?: AbortSignal;
  /** Receive everybody's tracks without asking. Default true. */
  autoSubscribe?: boolean;
  /** Milliseconds until an attempt counts as failed. Default 15,000. */
  timeout?: number;
  rtcConfiguration?: RTCConfiguration;
}

/** To whom data goes, and under which topic. */
export interface DataOptions {
  /** At most 255 bytes of UTF-8. */
  topic?: string;
  /** Identities; absent or empty: everybody in the room. */
  destinationIdentities?: string[];
}

/** Options of `sendFile` and `sendBytes`. */
export interface SendFileOptions extends DataOptions {
  name?: string;
  mimeType?: string;
  attributes?: Record<string, string>;
  /** Called with a fraction from 0 to 1. */
  onProgress?: (fraction: number) => void;
  signal?: AbortSignal;
}
