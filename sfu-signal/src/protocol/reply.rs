//! How requests are answered.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{Snapshot, Track};
use crate::error::ErrorCode;

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
