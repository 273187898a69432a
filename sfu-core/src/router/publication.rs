//! A track that comes in, and the m-lines that it goes out on.

use std::time::{Duration, Instant};

use crate::audio::Voice;
use smallvec::SmallVec;

use crate::control::{Source, WorkerIndex};
use crate::id::{Mid, TrackId};
use crate::rtp::values::AudioLevel;
use crate::sdp::Codec;

use super::MemberIndex;
use super::catalog::Catalog;
use super::demand::{Demand, Taken};
use super::member_set::MemberSet;

/// An m-line that forwards a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscriber {
    pub member: MemberIndex,
    /// Its place among the member's lines.
    pub line: u16,
}

/// A codec is kept for so long. Packets of another one are late ones from before a change, or of a publisher who changes
/// it with every packet; neither shall make events.
const CODEC_KEPT: Duration = Duration::from_secs(1);

/// What a packet's codec is to a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodecUse {
    /// The one that is forwarded.
    Known,
    /// The one that is forwarded from now on.
    New,
    /// Not to be forwarded so soon after a change.
    TooSoon,
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
    /// It is forwarded: all but the microphones of a large room that are not among its loudest.
    pub audible: bool,
    /// When it became so in the place of another.
    pub audible_since: Option<Instant>,
    /// What a microphone hears.
    pub voice: Voice,
    /// The codec that is forwarded, and since when; `None` before the first packet.
    codec: Option<(Codec, Instant)>,
    /// What a video offers to choose from, and what of it is taken.
    pub catalog: Catalog,
    pub demand: Demand,
    /// Where it goes: a flat list, walked once per packet.
    pub subscribers: Vec<Subscriber>,
    /// Members that may have noted how they want it.
    pub noted_by: MemberSet,
    /// What other parts of the room take of it, once they said.
    pub takers: SmallVec<[(WorkerIndex, Taken); 2]>,
}

impl Publication {
    /// A track that nobody receives yet.
    pub fn new(track: TrackId, publisher: MemberIndex, mid: Mid, source: Source, muted: bool) -> Self {
        Self {
            track,
            publisher,
            mid,
            source,
            muted,
            audible: true,
            audible_since: None,
            voice: Voice::SILENT,
            codec: None,
            catalog: Catalog::default(),
            demand: Demand::default(),
            subscribers: Vec::new(),
            noted_by: MemberSet::default(),
            takers: SmallVec::new(),
        }
    }

    /// Whether it takes part in the choice of the loudest. The sound of a screen does not.
    pub const fn is_voice(&self) -> bool {
        matches!(self.source, Source::Microphone) && !self.muted
    }

    /// Whether it is one of the microphones that are heard.
    pub const fn is_heard(&self) -> bool {
        self.is_voice() && self.audible
    }

    /// Notes how loud a packet is; true if it is to be forwarded.
    #[inline]
    pub fn admits(&mut self, now: Instant, level: Option<AudioLevel>, payload_len: usize) -> bool {
        if self.is_voice() {
            self.voice.on_packet(now, level, payload_len);
        }
        self.audible && !self.muted
    }

    /// The codec that is forwarded; `None` before the first packet.
    pub fn codec(&self) -> Option<Codec> {
        self.codec.map(|(codec, _)| codec)
    }

    /// Notes the codec of a packet.
    #[inline]
    pub fn on_codec(&mut self, now: Instant, codec: Codec) -> CodecUse {
        match self.codec {
            Some((known, _)) if known == codec => CodecUse::Known,
            Some((_, since)) if now.saturating_duration_since(since) < CODEC_KEPT => CodecUse::TooSoon,
            _ => {
                self.codec = Some((codec, now));
                CodecUse::New
            }
        }
    }

    /// Adds a subscriber, which is not there yet.
    pub fn subscribe(&mut self, subscriber: Subscriber) {
        debug_assert!(!self.subscribers.contains(&subscriber));
        self.subscribers.push(subscriber);
        self.demand.stale = true;
    }

    /// What another part of the room takes; all, before it says so.
    pub fn taken_by(&self, worker: WorkerIndex) -> Taken {
        self.takers.iter().find(|(taker, _)| *taker == worker).map(|(_, taken)| *taken).unwrap_or_default()
    }

    /// Notes what another part of the room takes.
    pub fn set_taken(&mut self, worker: WorkerIndex, taken: Taken) {
        self.takers.retain(|(taker, _)| *taker != worker);
        self.takers.push((worker, taken));
        self.demand.stale = true;
    }

    /// Another part of the room is gone.
    pub fn forget_taker(&mut self, worker: WorkerIndex) {
        self.takers.retain(|(taker, _)| *taker != worker);
        self.demand.stale = true;
    }

    /// Removes a subscriber if it is there. The search passes over 8 bytes for each of the others, a µs for some thousands.
    pub fn unsubscribe(&mut self, subscriber: Subscriber) {
        if let Some(place) = self.subscribers.iter().position(|other| *other == subscriber) {
            self.subscribers.swap_remove(place);
        }
        self.demand.stale = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_changes_at_most_once_a_second() {
        let start = Instant::now();
        let mid = Mid::new("0").unwrap();
        let mut publication =
            Publication::new(TrackId::from_bytes([1; 12]), MemberIndex(0), mid, Source::Camera, false);
        let mut at = |millis, codec| publication.on_codec(start + Duration::from_millis(millis), codec);
        assert_eq!(at(0, Codec::Vp8), CodecUse::New);
        assert_eq!(at(1, Codec::Vp9), CodecUse::TooSoon);
        assert_eq!(at(999, Codec::Vp8), CodecUse::Known);
        assert_eq!(at(1_000, Codec::Vp9), CodecUse::New);
        assert_eq!(at(1_050, Codec::Vp8), CodecUse::TooSoon, "a late packet of the old one");
    }
}
