//! A track that comes in, and the m-lines that it goes out on.

use crate::control::Source;
use crate::id::{Mid, TrackId};
use crate::sdp::Codec;

use super::MemberIndex;

/// An m-line that forwards a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscriber {
    pub member: MemberIndex,
    /// Its place among the member's lines.
    pub line: u16,
}

/// A track that comes in.
#[derive(Debug)]
pub struct Publication {
    pub track: TrackId,
    pub publisher: MemberIndex,
    pub mid: Mid,
    pub source: Source,
    /// Nothing of it is forwarded.
    pub muted: bool,
    /// The codec of its last packet; `None` before the first.
    pub codec: Option<Codec>,
    /// Where it goes: a flat list, walked once per packet.
    pub subscribers: Vec<Subscriber>,
}

impl Publication {
    /// A track that nobody receives yet.
    pub const fn new(track: TrackId, publisher: MemberIndex, mid: Mid, source: Source, muted: bool) -> Self {
        Self { track, publisher, mid, source, muted, codec: None, subscribers: Vec::new() }
    }

    /// Adds a subscriber, which is not there yet.
    pub fn subscribe(&mut self, subscriber: Subscriber) {
        debug_assert!(!self.subscribers.contains(&subscriber));
        self.subscribers.push(subscriber);
    }

    /// Removes a subscriber if it is there.
    pub fn unsubscribe(&mut self, subscriber: Subscriber) {
        self.subscribers.retain(|other| *other != subscriber);
    }
}
