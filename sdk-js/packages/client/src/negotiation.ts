/** What is asked of offer and answer beyond the browser's defaults: codecs, header extensions, Opus parameters. */
import type { TrackKind, VideoCodec } from './types';

/** What the encoder of a microphone may do; the answer's `fmtp` line says it (RFC 7587 section 6.1). */
export interface OpusOptions {
  dtx?: boolean;
  stereo?: boolean;
  fec?: boolean;
  maxBitrate?: number;
  maxPlaybackRate?: number;
  /** Not a parameter but a codec of its own (RFC 2198), which is sent where the answer names it first. */
  red?: boolean;
}

/** Extensions that browsers know but do not offer on every m-line. */
const EXTENSIONS = [
  'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension',
  'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time',
];

interface HeaderExtension {
  uri: string;
  direction: RTCRtpTransceiverDirection;
}

interface ExtensionControl {
  getHeaderExtensionsToNegotiate?: () => HeaderExtension[];
  setHeaderExtensionsToNegotiate?: (extensions: HeaderExtension[]) => void;
}

/** Asks for {@link EXTENSIONS} where the browser lets us. */
export function wantExtensions(transceiver: RTCRtpTransceiver): void {
  const control = transceiver as unknown as ExtensionControl;
  const known = control.getHeaderExtensionsToNegotiate?.();
  if (!known || !control.setHeaderExtensionsToNegotiate) return;
  const wanted = known.map((it) => (EXTENSIONS.includes(it.uri) ? { ...it, direction: 'sendrecv' as const } : it));
  try {
    control.setHeaderExtensionsToNegotiate(wanted);
  } catch {
    // The browser has reasons; media works without them.
  }
}

/** What the server forwards. All else would make each of the many m-lines longer and slower to negotiate. */
const WANTED_TYPES = new Set(['audio/opus', 'video/vp8', 'video/vp9', 'video/h264', 'video/av1', 'video/rtx']);
/** Audio that repeats itself: received from whoever sends it, sent where that is asked for. */
const RED_TYPE = 'audio/red';

function isWanted({ mimeType, sdpFmtpLine = '' }: RTCRtpCodec, withRed: boolean): boolean {
  const type = mimeType.toLowerCase();
  if (type === RED_TYPE) return withRed;
  // 10-bit and 4:4:4 profiles are for screens that nobody has asked for.
  const otherProfile = (type === 'video/vp9' && /profile-id=[1-9]/.test(sdpFmtpLine)) || (type === 'video/av1' && /profile=[1-9]/.test(sdpFmtpLine));
  return WANTED_TYPES.has(type) && !otherProfile;
}

/** Offers the codecs that are of use here, `first` before the others. False: the browser cannot. */
export function preferCodecs(transceiver: RTCRtpTransceiver, kind: TrackKind, first?: VideoCodec | 'red'): boolean {
  if (typeof transceiver.setCodecPreferences !== 'function') return false;
  const sends = transceiver.direction === 'sendonly';
  const capabilities = sends ? RTCRtpSender.getCapabilities?.(kind) : RTCRtpReceiver.getCapabilities?.(kind);
  const known = (capabilities?.codecs ?? []).filter((codec) => isWanted(codec, !sends || first === 'red'));
  const chosen = known.filter(({ mimeType }) => first !== undefined && mimeType.toLowerCase() === `${kind}/${first}`);
  if (known.length === 0 || (first !== undefined && chosen.length === 0)) return false;
  try {
    transceiver.setCodecPreferences([...chosen, ...known.filter((it) => !chosen.includes(it))]);
    return true;
  } catch {
    return false;
  }
}

/** It is the one engine with `mozInnerScreenX`. */
export function isFirefox(): boolean {
  return typeof window !== 'undefined' && 'mozInnerScreenX' in window;
}

/** Whether this browser can encode a codec well enough to publish it. */
export function publishableCodec(codec: VideoCodec): VideoCodec {
  const known = RTCRtpSender.getCapabilities?.('video')?.codecs ?? [];
  const has = known.some(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
  // Firefox sends all layers of VP9 in the smallest size.
  const brokenVp9 = codec === 'vp9' && isFirefox();
  return has && !brokenVp9 ? codec : 'vp8';
}

/** Whether an answer receives several encodings of an m-line (RFC 8853). */
export function hasSimulcast(answer: string, mid: string): boolean {
  const sections = mediaSections(answer);
  return /^a=simulcast:.*recv /m.test(sections[indexOf(sections, mid)] ?? '');
}

/** The answer, with the parameters of Opus on one m-line set. */
export function withOpus(answer: string, mid: string | null, options: OpusOptions): string {
  if (mid === null) return answer;
  const sections = mediaSections(answer);
  const index = indexOf(sections, mid);
  const section = sections[index];
  if (index < 1 || !section) return answer;
  const payloadType = /^a=rtpmap:(\d+) opus\/48000/im.exec(section)?.[1];
  if (!payloadType) return answer;
  sections[index] = setParameters(section, payloadType, opusParameters(options));
  return sections.join('');
}

/**
 * The offer, asking for two channels of Opus wherever we receive, and saying that two come on those of the first audio m-lines
 * that `sends` is true for. Browsers that ask for them by themselves are left alone. Without `stereo=1` a receiver decodes one
 * channel (RFC 7587 section 6.1).
 */
export function withStereo(offer: string, sends: readonly boolean[]): string {
  let place = 0;
  const change = (section: string): string => {
    if (!section.startsWith('m=audio')) return section;
    const isSent = sends[place++] === true;
    const receives = /^a=recvonly\r?$/m.test(section);
    if (!receives && !isSent) return section;
    const wanted = receives ? { stereo: '1' } : { stereo: '1', 'sprop-stereo': '1' };
    const payloadTypes = [...section.matchAll(/^a=rtpmap:(\d+) opus\/48000/gim)].flatMap(([, payloadType]) => payloadType ?? []);
    return payloadTypes.reduce((text, payloadType) => setParameters(text, payloadType, wanted), section);
  };
  return mediaSections(offer).map(change).join('');
}

/** The answer without UDP candidates, where it has others. */
export function withoutUdp(answer: string): string {
  const isUdp = /^a=candidate:\S+ \d+ udp .*\r?\n/gim;
  const others = answer.replace(isUdp, '');
  return /^a=candidate:/m.test(others) ? others : answer;
}

/** The session part, then one section for each m-line. */
function mediaSections(sdp: string): string[] {
  return sdp.split(/^(?=m=)/m);
}

function indexOf(sections: readonly string[], mid: string): number {
  return sections.findIndex((section) => section.split(/\r?\n/).includes(`a=mid:${mid}`));
}

function opusParameters(options: OpusOptions): Record<string, string> {
  return {
    usedtx: options.dtx === false ? '0' : '1',
    useinbandfec: options.fec === false ? '0' : '1',
    ...(options.stereo ? { stereo: '1' } : {}),
    ...(options.maxBitrate ? { maxaveragebitrate: String(Math.round(options.maxBitrate)) } : {}),
    ...(options.maxPlaybackRate ? { maxplaybackrate: String(options.maxPlaybackRate) } : {}),
  };
}

function setParameters(section: string, payloadType: string, parameters: Record<string, string>): string {
  const line = new RegExp(`^a=fmtp:${payloadType} (.*)$`, 'm');
  const present = line.exec(section)?.[1]?.trim() ?? '';
  const merged = new Map(present.split(';').filter(Boolean).map((part) => part.trim().split('=', 2) as [string, string]));
  if (Object.entries(parameters).every(([key, value]) => merged.get(key) === value)) return section;
  for (const [key, value] of Object.entries(parameters)) merged.set(key, value);
  const text = `a=fmtp:${payloadType} ${[...merged].map(([key, value]) => `${key}=${value}`).join(';')}`;
  if (line.test(section)) return section.replace(line, (whole) => text + (whole.endsWith('\r') ? '\r' : ''));
  return section.replace(new RegExp(`^(a=rtpmap:${payloadType} .*?)(\r?)$`, 'm'), (_all, rtpmap: string, cr: string) => `${rtpmap}${cr}\n${text}${cr}`);
}
