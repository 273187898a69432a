//! What the participants of one thread sent and received: plain counters, copied out while a run goes on.

use std::time::Duration;

use crate::stamp::Kind;
use crate::stats::Histogram;
use crate::tally::Count;

/// The counters. All only rise, but for those that are said to be levels.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Measured audio packets that came, each once.
    pub audio: Count,
    /// Measured video packets that came, each once.
    pub video: Count,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets without a stamp: padding and probes.
    pub foreign: u64,
    /// Packets whose authentication failed.
    pub refused: u64,
    /// Packets that were opened.
    pub opened: u64,
    /// Packets that were only looked at.
    pub unopened: u64,
    /// By sequence numbers, measured or not: audio, and video.
    pub sequences: [Sequences; 2],
    /// Frames that a decoder could show, of measured packets.
    pub frames: u64,
    /// Freezes.
    pub freezes: u64,
    /// How long they lasted together.
    pub frozen: Duration,
    /// Sequence numbers that were asked for again.
    pub nacks: u64,
    /// Keyframes that were asked for.
    pub plis: u64,
    /// Retransmissions that came.
    pub repairs: u64,
    /// From the first NACK for a packet to its retransmission.
    pub repair_time: Histogram,
    /// Time under way of measured packets that were opened.
    pub latency: Histogram,
    /// What publishers sent.
    pub sent: SentTotals,
    /// Level: participants whose connection is up.
    pub connected: u64,
    /// Level: streams that come.
    pub streams: u64,
}

/// What sequence numbers say of streams that came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sequences {
    /// Packets that should have come.
    pub expected: u64,
    /// Distinct ones that did.
    pub distinct: u64,
}

impl Sequences {
    /// Adds other streams.
    pub fn merge(&mut self, other: Self) {
        self.expected += other.expected;
        self.distinct += other.distinct;
    }

    /// What came since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            expected: self.expected.saturating_sub(earlier.expected),
            distinct: self.distinct.saturating_sub(earlier.distinct),
        }
    }

    /// What did not come.
    pub fn lost(self) -> u64 {
        self.expected.saturating_sub(self.distinct)
    }
}

/// What the publishers of a thread sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SentTotals {
    /// Measured audio.
    pub audio: Count,
    /// Measured video.
    pub video: Count,
    /// Measured frames.
    pub frames: u64,
    /// Keyframes, measured or not.
    pub keyframes: u64,
    /// Packets that were sent again.
    pub repairs: u64,
    /// Frames and audio packets that the clock asked for while measuring.
    pub due: u64,
    /// Those of them that left at most 100 ms late.
    pub in_time: u64,
    /// Datagrams that the system refused.
    pub refused: u64,
}

impl Totals {
    /// Counts a measured packet.
    pub fn count(&mut self, kind: Kind, bytes: usize) {
        let count = match kind {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
        };
        count.packets += 1;
        count.bytes += bytes as u64;
    }

    /// Measured packets that came.
    pub fn delivered(&self) -> u64 {
        self.audio.packets + self.video.packets
    }

    /// Adds another thread's.
    pub fn merge(&mut self, other: &Self) {
        self.audio.merge(other.audio);
        self.video.merge(other.video);
        for (ours, theirs) in [
            (&mut self.duplicates, other.duplicates),
            (&mut self.foreign, other.foreign),
            (&mut self.refused, other.refused),
            (&mut self.opened, other.opened),
            (&mut self.unopened, other.unopened),
            (&mut self.frames, other.frames),
            (&mut self.freezes, other.freezes),
            (&mut self.nacks, other.nacks),
            (&mut self.plis, other.plis),
            (&mut self.repairs, other.repairs),
            (&mut self.connected, other.connected),
            (&mut self.streams, other.streams),
        ] {
            *ours += theirs;
        }
        for (ours, theirs) in self.sequences.iter_mut().zip(other.sequences) {
            ours.merge(theirs);
        }
        self.frozen += other.frozen;
        self.repair_time.merge(&other.repair_time);
        self.latency.merge(&other.latency);
        self.sent.merge(&other.sent);
    }
}

impl SentTotals {
    fn merge(&mut self, other: &Self) {
        self.audio.merge(other.audio);
        self.video.merge(other.video);
        self.frames += other.frames;
        self.keyframes += other.keyframes;
        self.repairs += other.repairs;
        self.due += other.due;
        self.in_time += other.in_time;
        self.refused += other.refused;
    }
}
