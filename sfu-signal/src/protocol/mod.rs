//! The wire messages of `/v1/rtc`: JSON over WebSocket, text frames. docs/protocol.md explains them; golden files hold them still.
//!
//! Client to server is always a [`Request`] in an [`Envelope`](ClientMessage) with the client's `id`; the server answers each with one
//! [`Reply`] that carries the same `id`. What happens in the room comes as [`RoomEvent`]s with a `seq` that rises by one,
//! so that a resumed session can be told exactly what it missed. Unknown fields are ignored in both directions; unknown
//! message types are answered by `bad_request` and ignored by clients.
//!
//! The TypeScript types of the SDK are generated from this module (`make types`), never written twice.

mod adaptation;
mod event;
mod reply;
mod request;
mod state;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub use crate::error::ErrorCode;
pub use adaptation::{
    ConnectionQuality, EncodingDemand, ParticipantQuality, SentLayer, Speaker, StreamLimit, StreamState, TrackDemand,
    TrackPriority, TrackSettings, VideoQuality,
};
pub use event::{ConnectionState, DataLimit, LeaveReason, MediaLimit, RoomEvent};
pub use reply::{ClientLimits, IceServer, Joined, Reply, Resumed, WireError};
pub use request::{PublishTrack, Request, SlotLayout, SlotPin, SlotRole, TrackSource};
pub use state::{Participant, Permissions, Room, Slot, SlotTrack, Snapshot, Track};

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
        /// Rises by one per event of the session, from 1. 0: state of the moment, which is neither counted nor replayed.
        seq: u64,
        /// What.
        #[serde(flatten)]
        event: RoomEvent,
    },
}
