/**
 * The vocabulary of the SDK: constants that applications compare with. Each is a plain object with a type of the same
 * name, so that strings from JSON fit and bundlers can drop what is not used.
 */
import type { LeaveReason, TrackSource as WireSource } from './generated/protocol';

/** Where a track comes from; the values are those of the wire. */
export const TrackSource = {
  Camera: 'camera',
  Microphone: 'microphone',
  ScreenShare: 'screen_share',
  ScreenShareAudio: 'screen_share_audio',
} as const satisfies Record<string, WireSource>;
export type TrackSource = WireSource;

/** What a track carries. */
export const TrackKind = { Audio: 'audio', Video: 'video' } as const;
export type TrackKind = (typeof TrackKind)[keyof typeof TrackKind];

/** The kind of media that a source has. */
export function kindOf(source: TrackSource): TrackKind {
  return source === 'camera' || source === 'screen_share' ? 'video' : 'audio';
}

/** The state of a room's connection. */
export const ConnectionState = {
  /** Not connected, and not trying. */
  Disconnected: 'disconnected',
  /** `connect()` is under way. */
  Connecting: 'connecting',
  /** Signalling and media are up. */
  Connected: 'connected',
  /** The WebSocket was lost and is being resumed; media flows on. */
  SignalReconnecting: 'signalReconnecting',
  /** The media path was lost: an ICE restart or a new join is under way. */
  Reconnecting: 'reconnecting',
} as const;
export type ConnectionState = (typeof ConnectionState)[keyof typeof ConnectionState];

/** How well a participant's media gets through. */
export const ConnectionQuality = {
  Unknown: 'unknown',
  Lost: 'lost',
  Poor: 'poor',
  Good: 'good',
  Excellent: 'excellent',
} as const;
export type ConnectionQuality = (typeof ConnectionQuality)[keyof typeof ConnectionQuality];

/** Why a room is disconnected. */
export const DisconnectReason = {
  /** `disconnect()` was called. */
  ClientInitiated: 'clientInitiated',
  /** The same identity joined from elsewhere. */
  DuplicateIdentity: 'duplicateIdentity',
  /** The room closed. */
  RoomClosed: 'roomClosed',
  /** An administrator removed this participant. */
  ParticipantRemoved: 'participantRemoved',
  /** The part of the server that carries this room's media was restarted, and the room could not be entered again. */
  MediaRestarted: 'mediaRestarted',
  /** The server stops, and the room could not be entered again. */
  ServerShutdown: 'serverShutdown',
  /** Signalling could not be brought back. */
  SignalLost: 'signalLost',
  /** The media path could not be brought back. */
  MediaFailed: 'mediaFailed',
  /** A rejoin was refused, for example because the token has expired. */
  JoinFailed: 'joinFailed',
  /** Client and server did not understand each other. */
  ProtocolError: 'protocolError',
} as const;
export type DisconnectReason = (typeof DisconnectReason)[keyof typeof DisconnectReason];

const REASONS: Record<string, DisconnectReason> = {
  left: DisconnectReason.ClientInitiated,
  duplicate_identity: DisconnectReason.DuplicateIdentity,
  room_closed: DisconnectReason.RoomClosed,
  removed: DisconnectReason.ParticipantRemoved,
  server_shutdown: DisconnectReason.ServerShutdown,
  signal_lost: DisconnectReason.SignalLost,
  media_failed: DisconnectReason.MediaFailed,
  media_restarted: DisconnectReason.MediaRestarted,
} satisfies Partial<Record<LeaveReason | 'media_restarted', DisconnectReason>>;

/** The reason that the server's word for it stands for; a word of a newer server stands for a protocol error. */
export function disconnectReason(reason: string): DisconnectReason {
  return REASONS[reason] ?? DisconnectReason.ProtocolError;
}

/** A video codec that can be published. */
export type VideoCodec = 'vp8' | 'vp9' | 'av1' | 'h264';
