//! One room on several workers: what its parts tell each other.
//!
//! A room that is too large for a worker has a *part* on several of them. A participant lives in one part; where it
//! publishes, it has a *stand-in* in every other: a member without a transport, to which what the participant sends is
//! relayed as it was decrypted, once per packet and worker. So a part forwards to its own participants as any room does,
//! with its own rings, layers and estimates, and answers their NACKs itself. Whoever only receives has no stand-in.
//!
//! Packets travel in a [`Batch`] and may be dropped when a worker does not keep up. [`Notice`]s must arrive, in order; they
//! and packets do not wait for each other, since packets of a stand-in that is not known yet are no loss: a keyframe
//! is asked for once it is.
//!
//! What is asked of a publisher goes the other way: keyframes, and which encodings a part takes. What no part but its own
//! takes is not relayed.

mod batch;
mod window;

use std::sync::Arc;

use bytes::Bytes;

pub use batch::{Batch, Kind, Relayed};
pub use window::Window;

use crate::control::Source;
use crate::id::{Mid, ParticipantId, RoomId, TrackId};
use crate::router::Taken;
use crate::sdp::AnswerMedia;
use crate::transport::Channel;

/// What a part of a room tells another.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The room of which both are parts.
    pub room: RoomId,
    /// What it tells.
    pub news: News,
}

/// What there is to tell.
#[derive(Debug, Clone)]
pub enum News {
    /// A part was opened: it wants to know what is published, from now on.
    Hello,
    /// A participant of the sending part publishes; `media` are the m-lines on which it sends.
    Published {
        participant: ParticipantId,
        media: Arc<[AnswerMedia]>,
        track: TrackId,
        mid: Mid,
        source: Source,
        muted: bool,
    },
    /// The m-lines of a participant that publishes have changed.
    Renegotiated { participant: ParticipantId, media: Arc<[AnswerMedia]> },
    /// A publication ended.
    Unpublished { track: TrackId },
    /// A publication was muted or unmuted.
    Muted { track: TrackId, muted: bool },
    /// A participant that published has left.
    Left { participant: ParticipantId },
    /// Somebody in the sending part waits for a keyframe of one of the encodings.
    KeyframeWanted { track: TrackId, encoding: u8 },
    /// What the sending part takes of a publication.
    Taken { track: TrackId, taken: Taken },
    /// A message on a data channel, in the envelope that its sender wrote.
    Data { sender: ParticipantId, channel: Channel, message: Bytes },
    /// Messages that count so much ([`data::cost`](crate::data::cost)) were taken: see [`Window`].
    DataTaken { channel: Channel, cost: usize },
    /// The part was closed. Nothing follows from it, and nothing of it is left.
    Closed,
}
