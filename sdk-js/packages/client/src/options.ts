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
  /** Send several sizes of a camera, so that each viewer can be given one that fits. Default true for cameras. */
  simulcast?: boolean;
  /** Which codec video is sent with. Default `vp8`. Firefox sends VP8 in place of VP9. */
  videoCodec?: VideoCodec;
  /** For one encoding with several layers (VP9, AV1), for example `L3T3_KEY`. Switches simulcast off. */
  scalabilityMode?: string;
  /** Bits per second, of the largest encoding for video. */
  maxBitrate?: number;
  maxFramerate?: number;
  /** Opus: send almost nothing in silence. Default true. */
  dtx?: boolean;
  /** Opus: repeat earlier audio in each packet. Takes effect where browser and server both can. Default false. */
  red?: boolean;
  /** Opus: two channels. Default false. */
  stereo?: boolean;
  /** Opus: in-band forward error correction. Default true. */
  fec?: boolean;
  /** Opus: the highest sampling rate that receivers play, in Hz. */
  maxPlaybackRate?: number;
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
  /** Reserved: the server forwards the highest encoding that flows until it chooses layers by what is shown. */
  adaptiveStream?: boolean;
  /** Reserved: encodings that nobody needs are not paused yet. */
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
