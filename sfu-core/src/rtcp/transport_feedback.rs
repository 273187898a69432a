//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
//!
//! A message gives the status of consecutive packets, first as chunks of symbols, then a delta of arrival times for each
//! packet that arrived. Times count in ticks of 250 µs; the reference time in units of 256 ticks, 64 ms.

use super::{format, packet_type, split_feedback, write_feedback};
use crate::id::Ssrc;

/// The resolution of arrival times.
pub const TICK_MICROS: u64 = 250;
const REFERENCE_TICKS: u64 = 256;
/// Arrivals per message. At worst each needs a run for the gap before it, a chunk of its own and a large delta, 6 bytes:
/// so a message stays under 1,200 bytes.
const MAX_ARRIVALS: usize = 180;
/// The highest distance of a packet from the first one.
const MAX_DISTANCE: u16 = 0x7fff;

/// The symbols of the status chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    NotReceived = 0,
    SmallDelta = 1,
    LargeDelta = 2,
}

impl Symbol {
    /// The fourth value is reserved and brings no delta.
    const fn from_bits(bits: u16) -> Self {
        match bits & 3 {
            1 => Self::SmallDelta,
            2 => Self::LargeDelta,
            _ => Self::NotReceived,
        }
    }
}

/// A feedback message, read on demand.
#[derive(Debug, Clone, Copy)]
pub struct TransportFeedback<'a> {
    /// Who received.
    pub sender: Ssrc,
    /// A stream of the transport.
    pub media: Ssrc,
    /// The first packet's transport-wide sequence number.
    pub base_sequence: u16,
    /// How many packets have a status.
    pub packet_count: u16,
    /// Where the arrival times count from: units of 64 ms on the receiver's clock, 24 bits, signed.
    pub reference_time: i32,
    /// Counts the messages, so that a lost one is noticed.
    pub feedback_count: u8,
    /// Chunks, then deltas.
    body: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, media, rest) = split_feedback(body)?;
        let ([base_high, base_low, count_high, count_low, time @ .., feedback_count], body) =
            rest.split_first_chunk::<8>()?;
        Some(Self {
            sender,
            media,
            base_sequence: u16::from_be_bytes([*base_high, *base_low]),
            packet_count: u16::from_be_bytes([*count_high, *count_low]),
            // Shifted up and back down to extend the sign.
            reference_time: i32::from_be_bytes([time[0], time[1], time[2], 0]) >> 8,
            feedback_count: *feedback_count,
            body,
        })
    }

    /// Every packet's sequence number, and when it arrived if it did: in ticks of 250 µs since the reference time.
    /// Ends early where the message is cut short.
    ///
    /// A few bytes can give 65,535 packets as lost: where those do not matter, [`Self::arrivals`] is in proportion to
    /// the bytes.
    pub fn iter(&self) -> impl Iterator<Item = (u16, Option<i64>)> + use<'a> {
        let mut statuses = Statuses::new(self);
        std::iter::from_fn(move || statuses.next_status())
    }

    /// The packets that arrived, as in [`Self::iter`].
    pub fn arrivals(&self) -> impl Iterator<Item = (u16, i64)> + use<'a> {
        let mut statuses = Statuses::new(self);
        std::iter::from_fn(move || {
            loop {
                statuses.skip_lost_run();
                if let (sequence, Some(ticks)) = statuses.next_status()? {
                    return Some((sequence, ticks));
                }
            }
        })
    }
}

/// What is left of the current chunk.
#[derive(Debug, Clone, Copy)]
enum Chunk {
    Run {
        symbol: Symbol,
        left: u16,
    },
    /// The next symbol is on top of the 16 bits.
    Vector {
        bits: u16,
        width: u16,
        left: u16,
    },
}

impl Chunk {
    const EMPTY: Self = Self::Run { symbol: Symbol::NotReceived, left: 0 };

    const fn from_bits(bits: u16) -> Self {
        match bits >> 14 {
            0 | 1 => Self::Run { symbol: Symbol::from_bits(bits >> 13), left: bits & 0x1fff },
            2 => Self::Vector { bits: bits << 2, width: 1, left: 14 },
            _ => Self::Vector { bits: bits << 2, width: 2, left: 7 },
        }
    }

    fn next(&mut self) -> Option<Symbol> {
        match self {
            Self::Run { symbol, left } => {
                *left = left.checked_sub(1)?;
                Some(*symbol)
            }
            Self::Vector { bits, width, left } => {
                *left = left.checked_sub(1)?;
                let symbol = Symbol::from_bits(*bits >> (16 - *width));
                *bits <<= *width;
                Some(symbol)
            }
        }
    }
}

/// Walks the chunks and the deltas side by side.
struct Statuses<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    chunk: Chunk,
    sequence: u16,
    left: u16,
    ticks: i64,
}

impl<'a> Statuses<'a> {
    fn new(feedback: &TransportFeedback<'a>) -> Self {
        let (chunks, deltas) = feedback.body.split_at(chunks_len(feedback.body, feedback.packet_count));
        let (sequence, left) = (feedback.base_sequence, feedback.packet_count);
        Self { chunks, deltas, chunk: Chunk::EMPTY, sequence, left, ticks: 0 }
    }

    fn next_status(&mut self) -> Option<(u16, Option<i64>)> {
        self.left = self.left.checked_sub(1)?;
        let arrival = match self.next_symbol()? {
            Symbol::NotReceived => None,
            symbol => {
                self.ticks += self.next_delta(symbol)?;
                Some(self.ticks)
            }
        };
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Some((sequence, arrival))
    }

    fn next_symbol(&mut self) -> Option<Symbol> {
        loop {
            if let Some(symbol) = self.chunk.next() {
                return Some(symbol);
            }
            let (bits, chunks) = self.chunks.split_first_chunk()?;
            (self.chunk, self.chunks) = (Chunk::from_bits(u16::from_be_bytes(*bits)), chunks);
        }
    }

    fn next_delta(&mut self, symbol: Symbol) -> Option<i64> {
        if symbol == Symbol::SmallDelta {
            let (&delta, deltas) = self.deltas.split_first()?;
            self.deltas = deltas;
            return Some(i64::from(delta));
        }
        let (delta, deltas) = self.deltas.split_first_chunk()?;
        self.deltas = deltas;
        Some(i64::from(i16::from_be_bytes(*delta)))
    }

    fn skip_lost_run(&mut self) {
        if let Chunk::Run { symbol: Symbol::NotReceived, left } = self.chunk {
            let skipped = left.min(self.left);
            self.sequence = self.sequence.wrapping_add(skipped);
            self.left -= skipped;
            self.chunk = Chunk::EMPTY;
        }
    }
}

/// The length of the chunks that `packet_count` statuses need, or of as many as `body` has.
fn chunks_len(body: &[u8], packet_count: u16) -> usize {
    let (mut left, mut len) = (packet_count, 0);
    for bits in body.chunks_exact(2) {
        if left == 0 {
            break;
        }
        let (Chunk::Run { left: size, .. } | Chunk::Vector { left: size, .. }) =
            Chunk::from_bits(u16::from_be_bytes([bits[0], bits[1]]));
        left = left.saturating_sub(size);
        len += 2;
    }
    len
}

mod writer;

pub use writer::write_transport_feedback;

#[cfg(test)]
mod tests;
