/** The events of a {@link Room}: their names, and what their listeners get. */
import type { CodecFallbackReason } from './codec-fallback';
import type { MediaDeviceError } from './errors';
import type { Permissions } from './generated/protocol';
import type { LocalParticipant } from './local-participant';
import type { Participant } from './participant';
import type { LocalTrackPublication, RemoteTrackPublication, TrackPublication } from './publication';
import type { RemoteParticipant } from './remote-participant';
import type { RemoteTrack } from './remote-track';
import type { StreamState } from './stream-state';
import type { ConnectionQuality, ConnectionState, DisconnectReason, VideoCodec } from './types';

export const RoomEvent = {
  Connected: 'connected',
  Disconnected: 'disconnected',
  SignalReconnecting: 'signalReconnecting',
  Reconnecting: 'reconnecting',
  Reconnected: 'reconnected',
  ConnectionStateChanged: 'connectionStateChanged',
  ParticipantConnected: 'participantConnected',
  ParticipantDisconnected: 'participantDisconnected',
  ParticipantNameChanged: 'participantNameChanged',
  ParticipantMetadataChanged: 'participantMetadataChanged',
  ParticipantAttributesChanged: 'participantAttributesChanged',
  ParticipantPermissionsChanged: 'participantPermissionsChanged',
  TrackPublished: 'trackPublished',
  TrackUnpublished: 'trackUnpublished',
  TrackSubscribed: 'trackSubscribed',
  TrackUnsubscribed: 'trackUnsubscribed',
  TrackSubscriptionFailed: 'trackSubscriptionFailed',
  TrackStreamStateChanged: 'trackStreamStateChanged',
  TrackMuted: 'trackMuted',
  TrackUnmuted: 'trackUnmuted',
  LocalTrackPublished: 'localTrackPublished',
  LocalTrackUnpublished: 'localTrackUnpublished',
  LocalTrackCodecFallback: 'localTrackCodecFallback',
  ActiveSpeakersChanged: 'activeSpeakersChanged',
  ConnectionQualityChanged: 'connectionQualityChanged',
  DataReceived: 'dataReceived',
  AudioPlaybackStatusChanged: 'audioPlaybackStatusChanged',
  MediaDevicesChanged: 'mediaDevicesChanged',
  MediaDevicesError: 'mediaDevicesError',
  ActiveDeviceChanged: 'activeDeviceChanged',
  TokenRefreshed: 'tokenRefreshed',
} as const;
export type RoomEvent = (typeof RoomEvent)[keyof typeof RoomEvent];

export interface RoomEvents {
  connected: () => void;
  disconnected: (reason: DisconnectReason) => void;
  /** The WebSocket was lost; media flows on. */
  signalReconnecting: () => void;
  /** The media path was lost. */
  reconnecting: () => void;
  reconnected: () => void;
  connectionStateChanged: (state: ConnectionState) => void;
  participantConnected: (participant: RemoteParticipant) => void;
  participantDisconnected: (participant: RemoteParticipant) => void;
  participantNameChanged: (previous: string, participant: Participant) => void;
  participantMetadataChanged: (previous: string, participant: Participant) => void;
  /** `changed` holds the new values; an empty one was removed. */
  participantAttributesChanged: (changed: Record<string, string>, participant: Participant) => void;
  participantPermissionsChanged: (previous: Permissions, participant: Participant) => void;
  trackPublished: (publication: RemoteTrackPublication, participant: RemoteParticipant) => void;
  trackUnpublished: (publication: RemoteTrackPublication, participant: RemoteParticipant) => void;
  /** A slot shows the track: attach it. */
  trackSubscribed: (track: RemoteTrack, publication: RemoteTrackPublication, participant: RemoteParticipant) => void;
  /** No slot shows it any more: its elements are empty. */
  trackUnsubscribed: (track: RemoteTrack, publication: RemoteTrackPublication, participant: RemoteParticipant) => void;
  /** `codec`: this browser cannot decode it. */
  trackSubscriptionFailed: (publication: RemoteTrackPublication, participant: RemoteParticipant, reason: string) => void;
  /** What the server sends of a remote video, and why. */
  trackStreamStateChanged: (publication: RemoteTrackPublication, state: StreamState, participant: RemoteParticipant) => void;
  trackMuted: (publication: TrackPublication, participant: Participant) => void;
  trackUnmuted: (publication: TrackPublication, participant: Participant) => void;
  localTrackPublished: (publication: LocalTrackPublication, participant: LocalParticipant) => void;
  localTrackUnpublished: (publication: LocalTrackPublication, participant: LocalParticipant) => void;
  /** VP8 is sent in place of `from`. */
  localTrackCodecFallback: (publication: LocalTrackPublication, from: VideoCodec, reason: CodecFallbackReason) => void;
  /** The loudest first. */
  activeSpeakersChanged: (speakers: Participant[]) => void;
  connectionQualityChanged: (quality: ConnectionQuality, participant: Participant) => void;
  dataReceived: (payload: Uint8Array, participant: RemoteParticipant | undefined, topic: string, reliable: boolean) => void;
  /** False: call `startAudio()` from a click. */
  audioPlaybackStatusChanged: (canPlay: boolean) => void;
  mediaDevicesChanged: () => void;
  mediaDevicesError: (error: MediaDeviceError) => void;
  activeDeviceChanged: (kind: MediaDeviceKind, deviceId: string) => void;
  tokenRefreshed: (token: string) => void;
}
