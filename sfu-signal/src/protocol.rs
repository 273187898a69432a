//! The wire messages of `/v1/rtc`: JSON over WebSocket, text frames. docs/protocol.md explains them; golden files hold them still.
//!
//! Client to server is always a [`Request`] in an [`Envelope`](ClientMessage) with the client's `id`; the server answers each with one
//! [`Reply`] that carries the same `id`. What happens in the room comes as [`RoomEvent`]s with a `seq` that rises by one,
//! so that a resumed session can be told exactly what it missed. Unknown fields are ignored in both directions; unknown
//! message types are answered by `bad_request` and ignored by clients.
//!
//! The TypeScript types of the SDK are generated from this file (`make types`), never written twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The protocol version that this server speaks; it also serves the one before, where there is one.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct ClientMessage {
    /// Chosen by the client; its reply carries the same.
    pub id: u32,
    /// What it asks.
    #[serde(flatten)]
    pub request: Request,
}

/// What a client can ask. The first request of a WebSocket is `join` or `resume`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Request {
    /// Enters the room that the token names. Answered by `joined`.
    Join {
        /// The client's protocol version.
        protocol: u32,
        /// The SDP offer.
        offer: String,
        /// The offer's m-lines that receive, in the order of slot indexes.
        #[serde(default)]
        slots: Vec<SlotLayout>,
        /// Tracks to publish at once.
        #[serde(default)]
        publish: Vec<PublishTrack>,
        /// False: only tracks named by `subscribe` are shown.
        #[serde(default = "yes")]
        auto_subscribe: bool,
        /// For logs: SDK and browser, e.g. `js/0.1.0 Firefox 153`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        client: Option<String>,
    },
    /// Continues a session after its WebSocket was lost. Answered by `resumed`. Where the token may have expired, open
    /// the WebSocket with `?session=SE_...` instead of a token; `resume` is then the only first message.
    Resume {
        /// The client's protocol version.
        protocol: u32,
        /// From `joined`.
        session: String,
        /// From `joined`.
        secret: String,
        /// The last `seq` that the client has handled.
        last_seq: u64,
    },
    /// A further offer: more slots, other codecs, or new ICE credentials (ICE restart). Answered by `answer`.
    Offer {
        /// The SDP offer.
        offer: String,
        /// The whole slot layout; it only grows.
        #[serde(default)]
        slots: Vec<SlotLayout>,
    },
    /// A trickled candidate of the client. The server is ICE-lite and needs none: it is accepted and not used.
    Candidate {
        /// The `candidate` line; empty: end of candidates.
        candidate: String,
        /// Its m-line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        mid: Option<String>,
    },
    /// Publishes what flows on an m-line. Answered by `published`.
    Publish {
        /// What is published.
        #[serde(flatten)]
        track: PublishTrack,
    },
    /// Ends a publication. Its m-line may be used again.
    Unpublish {
        /// The track's id.
        track: String,
    },
    /// Mutes or unmutes an own track for all.
    Mute {
        /// The track's id.
        track: String,
        /// The new state.
        muted: bool,
    },
    /// Wants these tracks.
    Subscribe {
        /// Track ids.
        tracks: Vec<String>,
    },
    /// Does not want these tracks.
    Unsubscribe {
        /// Track ids.
        tracks: Vec<String>,
    },
    /// Names who shall be in which slot; the other slots fill in order of arrival. Replaces earlier pins.
    Slots {
        /// The pins.
        pins: Vec<SlotPin>,
    },
    /// All slot events up to this revision are applied: elements of replaced tracks are detached.
    SlotsAck {
        /// From the `slots` event.
        revision: u64,
    },
    /// Changes what others see of oneself. Absent fields stay; an attribute with an empty value is removed.
    Update {
        /// The display name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        name: Option<String>,
        /// Free text of the application.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        metadata: Option<String>,
        /// Key and value of the application.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        attributes: Option<BTreeMap<String, String>>,
    },
    /// Statistics of the server about this participant. Answered by `stats`.
    Stats,
    /// Leaves for good. Answered by `ok`, then the server closes the WebSocket.
    Leave,
    /// Answered by `pong`.
    Ping {
        /// The client's clock, returned as it came.
        #[serde(default)]
        timestamp: f64,
    },
}

/// One slot: two receiving m-lines that belong together, or one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SlotLayout {
    /// What it is for.
    pub role: SlotRole,
    /// The MID of its audio m-line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub audio: Option<String>,
    /// The MID of its video m-line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub video: Option<String>,
}

/// What a slot may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum SlotRole {
    /// A participant's camera and microphone.
    Pair,
    /// A shared screen and its sound.
    Screen,
    /// The microphone of somebody who is not shown.
    Audio,
}

/// A wish of who is in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SlotPin {
    /// The slot's index.
    pub slot: u8,
    /// The participant's id.
    pub participant: String,
}

/// What a client publishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PublishTrack {
    /// The m-line that it flows on.
    pub mid: String,
    /// Where it comes from.
    pub source: TrackSource,
    /// A name of the application.
    #[serde(default)]
    pub name: String,
    /// Whether it starts muted.
    #[serde(default)]
    pub muted: bool,
}

/// Where a track comes from. The names are those of LiveKit's `canPublishSources`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum TrackSource {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A shared screen.
    ScreenShare,
    /// The sound of a shared screen.
    ScreenShareAudio,
}

/// What the server sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(untagged)]
pub enum ServerMessage {
    /// The answer to a request.
    Reply {
        /// The request's `id`.
        id: u32,
        /// The answer.
        #[serde(flatten)]
        reply: Reply,
    },
    /// What happened.
    Event {
        /// Rises by one per event of the session, from 1.
        seq: u64,
        /// What.
        #[serde(flatten)]
        event: RoomEvent,
    },
}

/// Answers to requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Reply {
    /// To `join`.
    Joined(Box<Joined>),
    /// To `resume`.
    Resumed(Box<Resumed>),
    /// To `offer`.
    Answer {
        /// The SDP answer.
        answer: String,
    },
    /// To `publish`.
    Published {
        /// The new track.
        track: Track,
    },
    /// To `stats`; the members are those of the server's `ParticipantStats`.
    Stats {
        /// Free-form JSON; see docs/protocol.md.
        #[ts(type = "unknown")]
        stats: serde_json::Value,
    },
    /// To `ping`.
    Pong {
        /// From the request.
        timestamp: f64,
    },
    /// To every other request that worked.
    Ok,
    /// To a request that did not.
    Error(WireError),
}

/// The room as a participant finds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The version that the server speaks with this client.
    pub protocol: u32,
    /// The session, for `resume`.
    pub session: String,
    /// The session's secret, for `resume`. Keep it out of logs.
    pub secret: String,
    /// Seconds for which a lost WebSocket may be resumed.
    pub resume_within: u32,
    /// The SDP answer.
    pub answer: String,
    /// For `RTCConfiguration.iceServers`; empty unless STUN or TURN is configured.
    pub ice_servers: Vec<IceServer>,
    /// What the room holds.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// The own tracks that `publish` in the request made, in its order.
    pub published: Vec<Track>,
    /// Limits that the client can respect beforehand.
    pub limits: ClientLimits,
}

/// To `resume`: the missed events follow, or a snapshot replaces everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Resumed {
    /// The last `seq` of the session. Without a snapshot, the events after the client's `lastSeq` follow.
    pub seq: u64,
    /// Present when the missed events are no longer known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub snapshot: Option<Snapshot>,
}

/// The state of a room as one participant sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The room.
    pub room: Room,
    /// Oneself.
    pub participant: Participant,
    /// The others.
    pub participants: Vec<Participant>,
    /// All slots that show something.
    pub slots: Vec<Slot>,
    /// The revision of `slots`.
    pub slots_revision: u64,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// This incarnation of the room: `RM_...`.
    pub id: String,
    /// The name that tokens carry.
    pub name: String,
}

/// A participant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// `PA_...`
    pub id: String,
    /// The token's `sub`; one participant per identity and room.
    pub identity: String,
    /// The display name; may be empty.
    pub name: String,
    /// Free text of the application.
    pub metadata: String,
    /// Key and value of the application.
    pub attributes: BTreeMap<String, String>,
    /// What it may do.
    pub permissions: Permissions,
    /// What it publishes.
    pub tracks: Vec<Track>,
    /// Unix time of the join, in milliseconds.
    pub joined_at: f64,
}

/// What a participant may do, as its token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// May publish tracks.
    pub can_publish: bool,
    /// Which sources; empty: all.
    pub can_publish_sources: Vec<TrackSource>,
    /// Receives others' tracks.
    pub can_subscribe: bool,
    /// May send data.
    pub can_publish_data: bool,
    /// May change its own name, metadata and attributes.
    pub can_update_own_metadata: bool,
}

/// A published track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Track {
    /// `TR_...`
    pub id: String,
    /// Where it comes from.
    pub source: TrackSource,
    /// A name of the application.
    pub name: String,
    /// Whether its publisher muted it.
    pub muted: bool,
    /// The codec's name (`VP8`, `opus`), once media has arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub codec: Option<String>,
}

/// What a slot shows from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// The slot's index in the layout.
    pub slot: u8,
    /// Whom it shows; null: nobody.
    pub participant: Option<String>,
    /// The track on its audio m-line.
    pub audio: Option<SlotTrack>,
    /// The track on its video m-line.
    pub video: Option<SlotTrack>,
}

/// A track on an m-line of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SlotTrack {
    /// The track's id.
    pub track: String,
    /// Only frames with a later RTP timestamp (mod 2^32) show this track; null: all that come.
    pub after: Option<u32>,
}

/// What happens in a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum RoomEvent {
    /// Somebody came.
    ParticipantJoined {
        /// Who.
        participant: Participant,
    },
    /// Somebody left.
    ParticipantLeft {
        /// The participant's id.
        participant: String,
        /// Why.
        reason: LeaveReason,
    },
    /// Name, metadata, attributes or permissions changed; the tracks are as they were.
    ParticipantUpdated {
        /// The new state.
        participant: Participant,
    },
    /// Somebody published.
    TrackPublished {
        /// The publisher's id.
        participant: String,
        /// What.
        track: Track,
    },
    /// Mute state or codec changed.
    TrackUpdated {
        /// The publisher's id.
        participant: String,
        /// The new state.
        track: Track,
    },
    /// A publication ended.
    TrackUnpublished {
        /// The publisher's id.
        participant: String,
        /// The track's id.
        track: String,
    },
    /// This client cannot be sent a track.
    TrackUnavailable {
        /// The publisher's id.
        participant: String,
        /// The track's id.
        track: String,
        /// `codec`: the offer has no codec that fits.
        reason: String,
    },
    /// Slots changed. Confirm by `slots_ack` once elements of replaced tracks are detached.
    Slots {
        /// Rises by one.
        revision: u64,
        /// The slots that changed, whole.
        slots: Vec<Slot>,
    },
    /// The state of the media path, as the server sees it.
    Connection {
        /// The new state.
        state: ConnectionState,
    },
    /// A fresh token for further connections of this participant.
    Token {
        /// The JWT.
        token: String,
    },
    /// The server ends the session; it is gone when the WebSocket closes.
    Disconnected {
        /// Why.
        reason: LeaveReason,
        /// For people.
        message: String,
    },
}

/// The state of a media path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Media flows.
    Connected,
    /// The client's checks stopped; an ICE restart may help.
    Interrupted,
}

/// Why a participant is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It said so.
    Left,
    /// The same identity joined again.
    DuplicateIdentity,
    /// Its WebSocket was lost and not resumed in time.
    SignalLost,
    /// Its media path failed.
    MediaFailed,
    /// The room closed.
    RoomClosed,
    /// It was removed.
    Removed,
    /// The server stops.
    ServerShutdown,
    /// It broke the protocol or a limit.
    ProtocolError,
}

/// A STUN or TURN server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct IceServer {
    /// `stun:` and `turn:` URLs.
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub username: Option<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub credential: Option<String>,
}

/// Limits that a client can respect beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ClientLimits {
    /// Bytes of one WebSocket message.
    pub message_bytes: u32,
    /// Messages per second.
    pub messages_per_second: u32,
    /// Tracks that one participant may publish.
    pub tracks: u32,
    /// M-lines of one offer.
    pub media: u32,
    /// Bytes of one message on a data channel.
    pub data_message_bytes: u32,
}

/// An error, on WebSocket and HTTP alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct WireError {
    /// Stable: for programs. docs/errors.md lists all.
    pub code: ErrorCode,
    /// What to do, for people.
    pub message: String,
    /// Whether the same request may work later.
    pub retryable: bool,
}

pub use crate::error::ErrorCode;

const fn yes() -> bool {
    true
}
