// Generated from sfu-signal/src/protocol/ by `make types`. Do not edit.

/** The protocol version that these types describe. */
export const PROTOCOL_VERSION = 1;

/** What a client sends. */
export type ClientMessage = { id: number } & Request;

/** What the server sends: the answer to a request, or what happened. */
export type ServerMessage = ({ id: number } & Reply) | ({ seq: number } & RoomEvent);

/**
 * What a client can ask. The first request of a WebSocket is `join` or `resume`.
 */
export type Request = { "type": "join", 
/**
 * The client's protocol version.
 */
protocol: number, 
/**
 * The SDP offer.
 */
offer: string, 
/**
 * The offer's m-lines that receive, in the order of slot indexes.
 */
slots: Array<SlotLayout>, 
/**
 * Tracks to publish at once.
 */
publish: Array<PublishTrack>, 
/**
 * False: only tracks named by `subscribe` are shown.
 */
autoSubscribe: boolean, 
/**
 * For logs: SDK and browser, e.g. `js/0.1.0 Firefox 153`.
 */
client?: string, } | { "type": "resume", 
/**
 * The client's protocol version.
 */
protocol: number, 
/**
 * From `joined`.
 */
session: string, 
/**
 * From `joined`.
 */
secret: string, 
/**
 * The last `seq` that the client has handled.
 */
lastSeq: number, } | { "type": "offer", 
/**
 * The SDP offer.
 */
offer: string, 
/**
 * The whole slot layout; it only grows.
 */
slots: Array<SlotLayout>, } | { "type": "candidate", 
/**
 * The `candidate` line; empty: end of candidates.
 */
candidate: string, 
/**
 * Its m-line.
 */
mid?: string, } | { "type": "publish", 
/**
 * The m-line that it flows on.
 */
mid: string, 
/**
 * Where it comes from.
 */
source: TrackSource, 
/**
 * A name of the application.
 */
name: string, 
/**
 * Whether it starts muted.
 */
muted: boolean, } | { "type": "unpublish", 
/**
 * The track's id.
 */
track: string, } | { "type": "mute", 
/**
 * The track's id.
 */
track: string, 
/**
 * The new state.
 */
muted: boolean, } | { "type": "subscribe", 
/**
 * Track ids.
 */
tracks: Array<string>, } | { "type": "unsubscribe", 
/**
 * Track ids.
 */
tracks: Array<string>, } | { "type": "configure", 
/**
 * At most 256.
 */
tracks: Array<TrackSettings>, } | { "type": "slots", 
/**
 * The pins.
 */
pins: Array<SlotPin>, } | { "type": "slots_ack", 
/**
 * From the `slots` event.
 */
revision: number, } | { "type": "update", 
/**
 * The display name.
 */
name?: string, 
/**
 * Free text of the application.
 */
metadata?: string, 
/**
 * Key and value of the application.
 */
attributes?: { [key in string]: string }, } | { "type": "stats" } | { "type": "leave" } | { "type": "ping", 
/**
 * The client's clock, returned as it came.
 */
timestamp: number, };

/**
 * One slot: two receiving m-lines that belong together, or one.
 */
export type SlotLayout = { 
/**
 * What it is for.
 */
role: SlotRole, 
/**
 * The MID of its audio m-line.
 */
audio?: string, 
/**
 * The MID of its video m-line.
 */
video?: string, };

/**
 * What a slot may show.
 */
export type SlotRole = "pair" | "screen" | "audio";

/**
 * A wish of who is in a slot.
 */
export type SlotPin = { 
/**
 * The slot's index.
 */
slot: number, 
/**
 * The participant's id.
 */
participant: string, };

/**
 * How a client wants a track. It replaces what was said of the track before; absent members have their defaults.
 */
export type TrackSettings = { 
/**
 * The track's id.
 */
track: string, 
/**
 * False: the application does not want it now. Its slot stays.
 */
enabled?: boolean, 
/**
 * False: it is not on screen, and nothing need be sent.
 */
visible?: boolean, 
/**
 * The width that it is shown at, in physical pixels. With `height`, or neither: as large as it comes.
 */
width?: number, 
/**
 * The height that it is shown at, in physical pixels.
 */
height?: number, 
/**
 * Frames per second that are enough; absent: all.
 */
maxFps?: number, 
/**
 * A cap in words. Absent: `high`.
 */
maxQuality?: VideoQuality, 
/**
 * Who goes first when not everything fits. Absent: `medium`.
 */
priority?: TrackPriority, };

/**
 * The lowest of a track's sizes, the middle, or all.
 */
export type VideoQuality = "low" | "medium" | "high";

/**
 * Who goes first when not everything fits.
 */
export type TrackPriority = "low" | "medium" | "high";

/**
 * What a client publishes.
 */
export type PublishTrack = { 
/**
 * The m-line that it flows on.
 */
mid: string, 
/**
 * Where it comes from.
 */
source: TrackSource, 
/**
 * A name of the application.
 */
name: string, 
/**
 * Whether it starts muted.
 */
muted: boolean, };

/**
 * Where a track comes from. The names are those of LiveKit's `canPublishSources`.
 */
export type TrackSource = "camera" | "microphone" | "screen_share" | "screen_share_audio";

/**
 * Answers to requests.
 */
export type Reply = { "type": "joined" } & Joined | { "type": "resumed" } & Resumed | { "type": "answer", 
/**
 * The SDP answer.
 */
answer: string, } | { "type": "published", 
/**
 * The new track.
 */
track: Track, } | { "type": "stats", 
/**
 * Free-form JSON; see docs/protocol.md.
 */
stats: unknown, } | { "type": "pong", 
/**
 * From the request.
 */
timestamp: number, } | { "type": "ok" } | { "type": "error" } & WireError;

/**
 * The room as a participant finds it.
 */
export type Joined = { 
/**
 * The version that the server speaks with this client.
 */
protocol: number, 
/**
 * The session, for `resume`.
 */
session: string, 
/**
 * The session's secret, for `resume`. Keep it out of logs.
 */
secret: string, 
/**
 * Seconds for which a lost WebSocket may be resumed.
 */
resumeWithin: number, 
/**
 * The SDP answer.
 */
answer: string, 
/**
 * For `RTCConfiguration.iceServers`; empty unless STUN or TURN is configured.
 */
iceServers: Array<IceServer>, 
/**
 * The own tracks that `publish` in the request made, in its order.
 */
published: Array<Track>, 
/**
 * Limits that the client can respect beforehand.
 */
limits: ClientLimits, 
/**
 * The room.
 */
room: Room, 
/**
 * Oneself.
 */
participant: Participant, 
/**
 * The others.
 */
participants: Array<Participant>, 
/**
 * All slots that show something.
 */
slots: Array<Slot>, 
/**
 * The revision of `slots`.
 */
slotsRevision: number, 
/**
 * What the client is sent of the tracks in its slots, as far as that is decided.
 */
streams?: Array<StreamState>, 
/**
 * What anybody takes of the own tracks; of one that is not named: everything.
 */
demand?: Array<TrackDemand>, 
/**
 * Who speaks, the loudest first.
 */
speakers?: Array<Speaker>, 
/**
 * How connections are, as far as known.
 */
qualities?: Array<ParticipantQuality>, };

/**
 * To `resume`: the missed events follow, or a snapshot replaces everything.
 */
export type Resumed = { 
/**
 * The last `seq` of the session. Without a snapshot, the events after the client's `lastSeq` follow.
 */
seq: number, 
/**
 * Present when the missed events are no longer known.
 */
snapshot?: Snapshot, };

/**
 * The state of a room as one participant sees it.
 */
export type Snapshot = { 
/**
 * The room.
 */
room: Room, 
/**
 * Oneself.
 */
participant: Participant, 
/**
 * The others.
 */
participants: Array<Participant>, 
/**
 * All slots that show something.
 */
slots: Array<Slot>, 
/**
 * The revision of `slots`.
 */
slotsRevision: number, 
/**
 * What the client is sent of the tracks in its slots, as far as that is decided.
 */
streams?: Array<StreamState>, 
/**
 * What anybody takes of the own tracks; of one that is not named: everything.
 */
demand?: Array<TrackDemand>, 
/**
 * Who speaks, the loudest first.
 */
speakers?: Array<Speaker>, 
/**
 * How connections are, as far as known.
 */
qualities?: Array<ParticipantQuality>, };

/**
 * A room.
 */
export type Room = { 
/**
 * This incarnation of the room: `RM_...`.
 */
id: string, 
/**
 * The name that tokens carry.
 */
name: string, };

/**
 * A participant.
 */
export type Participant = { 
/**
 * `PA_...`
 */
id: string, 
/**
 * The token's `sub`; one participant per identity and room.
 */
identity: string, 
/**
 * The display name; may be empty.
 */
name: string, 
/**
 * Free text of the application.
 */
metadata: string, 
/**
 * Key and value of the application.
 */
attributes: { [key in string]: string }, 
/**
 * What it may do.
 */
permissions: Permissions, 
/**
 * What it publishes.
 */
tracks: Array<Track>, 
/**
 * Unix time of the join, in milliseconds.
 */
joinedAt: number, };

/**
 * What a participant may do, as its token says.
 */
export type Permissions = { 
/**
 * May publish tracks.
 */
canPublish: boolean, 
/**
 * Which sources; empty: all.
 */
canPublishSources: Array<TrackSource>, 
/**
 * Receives others' tracks.
 */
canSubscribe: boolean, 
/**
 * May send data.
 */
canPublishData: boolean, 
/**
 * May change its own name, metadata and attributes.
 */
canUpdateOwnMetadata: boolean, };

/**
 * A published track.
 */
export type Track = { 
/**
 * `TR_...`
 */
id: string, 
/**
 * Where it comes from.
 */
source: TrackSource, 
/**
 * A name of the application.
 */
name: string, 
/**
 * Whether its publisher muted it.
 */
muted: boolean, 
/**
 * The codec's name (`VP8`, `opus`), once media has arrived.
 */
codec?: string, };

/**
 * What a slot shows from now on.
 */
export type Slot = { 
/**
 * The slot's index in the layout.
 */
slot: number, 
/**
 * Whom it shows; null: nobody.
 */
participant: string | null, 
/**
 * The track on its audio m-line.
 */
audio: SlotTrack | null, 
/**
 * The track on its video m-line.
 */
video: SlotTrack | null, };

/**
 * A track on an m-line of a slot.
 */
export type SlotTrack = { 
/**
 * The track's id.
 */
track: string, 
/**
 * Only frames with a later RTP timestamp (mod 2^32) show this track; null: all that come.
 */
after: number | null, };

/**
 * What a client is sent of a video track.
 */
export type StreamState = { 
/**
 * The track's id.
 */
track: string, 
/**
 * The layer; null: paused, `limit` says why.
 */
layer: SentLayer | null, 
/**
 * What keeps it from being better.
 */
limit: StreamLimit, 
/**
 * Bits per second that this client's connection carries in all, as the server estimates; absent: it does not know yet.
 */
estimate?: number, };

/**
 * A layer that is sent.
 */
export type SentLayer = { 
/**
 * The encoding's RID, where there is one.
 */
rid?: string, 
/**
 * The spatial layer, from 0.
 */
spatial: number, 
/**
 * The temporal layer, from 0.
 */
temporal: number, 
/**
 * Its size, where the stream tells.
 */
width?: number, 
/**
 * Its size, where the stream tells.
 */
height?: number, 
/**
 * Bits per second, as measured.
 */
bitrate: number, };

/**
 * What keeps a stream from being better than it is.
 */
export type StreamLimit = "none" | "size" | "cap" | "bandwidth" | "publisher" | "hidden" | "disabled" | "muted" | "codec" | "overload";

/**
 * What anybody takes of an own track.
 */
export type TrackDemand = { 
/**
 * The track's id.
 */
track: string, 
/**
 * All its encodings.
 */
encodings: Array<EncodingDemand>, };

/**
 * Whether anybody takes an encoding.
 */
export type EncodingDemand = { 
/**
 * Its RID; absent: it is the only one.
 */
rid?: string, 
/**
 * False: it may be paused.
 */
wanted: boolean, 
/**
 * The highest spatial layer that anybody takes of an SVC stream; absent: all, or it is none.
 */
maxSpatial?: number, };

/**
 * A limit on what a client sends. See `limits` in docs/operations.md.
 */
export type MediaLimit = "track_bitrate" | "track_packets" | "publisher_bitrate" | "publisher_packets" | "packet_size";

/**
 * Somebody who speaks.
 */
export type Speaker = { 
/**
 * The participant's id.
 */
participant: string, 
/**
 * Loudness, 0 to 1.
 */
level: number, };

/**
 * How somebody's connection is.
 */
export type ParticipantQuality = { 
/**
 * The participant's id.
 */
participant: string, 
/**
 * How it is.
 */
quality: ConnectionQuality, };

/**
 * How a connection is.
 */
export type ConnectionQuality = "lost" | "poor" | "good" | "excellent";

/**
 * What happens in a room.
 */
export type RoomEvent = { "type": "participant_joined", 
/**
 * Who.
 */
participant: Participant, } | { "type": "participant_left", 
/**
 * The participant's id.
 */
participant: string, 
/**
 * Why.
 */
reason: LeaveReason, } | { "type": "participant_updated", 
/**
 * The new state.
 */
participant: Participant, } | { "type": "track_published", 
/**
 * The publisher's id.
 */
participant: string, 
/**
 * What.
 */
track: Track, } | { "type": "track_updated", 
/**
 * The publisher's id.
 */
participant: string, 
/**
 * The new state.
 */
track: Track, } | { "type": "track_unpublished", 
/**
 * The publisher's id.
 */
participant: string, 
/**
 * The track's id.
 */
track: string, } | { "type": "track_unavailable", 
/**
 * The publisher's id.
 */
participant: string, 
/**
 * The track's id.
 */
track: string, 
/**
 * `codec`: the offer has no codec that fits.
 */
reason: string, } | { "type": "slots", 
/**
 * Rises by one.
 */
revision: number, 
/**
 * The slots that changed, whole.
 */
slots: Array<Slot>, } | { "type": "streams", 
/**
 * Those that changed.
 */
streams: Array<StreamState>, } | { "type": "track_limited", 
/**
 * The track's id.
 */
track: string, 
/**
 * Which limit.
 */
limit: MediaLimit, 
/**
 * Packets that were dropped because of it since this was said last.
 */
dropped: number, } | { "type": "demand" } & TrackDemand | { "type": "speakers", 
/**
 * Those who speak.
 */
speakers: Array<Speaker>, } | { "type": "qualities", 
/**
 * Those that changed.
 */
qualities: Array<ParticipantQuality>, } | { "type": "data_limited", 
/**
 * Which.
 */
limit: DataLimit, 
/**
 * Messages that were lost. Reliable ones over the rate are not lost: they wait.
 */
lost: number, } | { "type": "connection", 
/**
 * The new state.
 */
state: ConnectionState, } | { "type": "token", 
/**
 * The JWT.
 */
token: string, } | { "type": "disconnected", 
/**
 * Why.
 */
reason: LeaveReason, 
/**
 * For people.
 */
message: string, 
/**
 * Milliseconds until a new join may work, where that is known: with `server_shutdown`.
 */
retryAfterMs?: number, };

/**
 * A limit of data channels.
 */
export type DataLimit = "rate" | "reading";

/**
 * The state of a media path.
 */
export type ConnectionState = "connected" | "interrupted";

/**
 * Why a participant is gone.
 */
export type LeaveReason = "left" | "duplicate_identity" | "signal_lost" | "media_failed" | "room_closed" | "removed" | "server_shutdown" | "media_restarted" | "protocol_error";

/**
 * A STUN or TURN server.
 */
export type IceServer = { 
/**
 * `stun:` and `turn:` URLs.
 */
urls: Array<string>, 
/**
 * For TURN.
 */
username?: string, 
/**
 * For TURN.
 */
credential?: string, };

/**
 * Limits that a client can respect beforehand.
 */
export type ClientLimits = { 
/**
 * Bytes of one WebSocket message.
 */
messageBytes: number, 
/**
 * Messages per second.
 */
messagesPerSecond: number, 
/**
 * Tracks that one participant may publish.
 */
tracks: number, 
/**
 * M-lines of one offer.
 */
media: number, 
/**
 * Bytes of one message on a data channel.
 */
dataMessageBytes: number, };

/**
 * An error, on WebSocket and HTTP alike.
 */
export type WireError = { 
/**
 * Stable: for programs. docs/errors.md lists all.
 */
code: ErrorCode, 
/**
 * What to do, for people.
 */
message: string, 
/**
 * Whether the same request may work later.
 */
retryable: boolean, };

/**
 * Stable for programs; docs/errors.md lists all with their HTTP status.
 */
export type ErrorCode = "bad_request" | "unsupported_protocol" | "not_joined" | "already_joined" | "join_timeout" | "token_missing" | "token_invalid" | "token_expired" | "token_not_yet_valid" | "token_unknown_key" | "permission_denied" | "wrong_room" | "origin_not_allowed" | "room_not_found" | "not_found" | "session_gone" | "room_full" | "too_many_tracks" | "mid_unusable" | "kind_mismatch" | "slot_layout" | "sdp_malformed" | "sdp_too_large" | "sdp_too_many_media" | "sdp_too_many_streams" | "sdp_no_media" | "sdp_unsupported_media" | "sdp_nothing_in_common" | "sdp_no_bundle" | "sdp_no_rtcp_mux" | "sdp_no_ice" | "sdp_ice_lite" | "sdp_no_fingerprint" | "sdp_fingerprint_hash" | "sdp_fingerprint_changed" | "sdp_setup" | "sdp_media_order" | "sdp_mid_missing" | "sdp_mid_duplicate" | "sdp_contradiction" | "request_timeout" | "message_too_large" | "unsupported_media_type" | "method_not_allowed" | "precondition_required" | "precondition_failed" | "ice_restart_unsupported" | "upgrade_required" | "rate_limited" | "too_many_connections" | "server_busy" | "shutting_down" | "media_timeout" | "media_restarted" | "internal";
