//! Reception statistics of one incoming SSRC: RFC 3550 appendices A.1 (sequence numbers), A.3 (loss), A.8 (jitter).
//!
//! Packets are counted as they arrive under their own SSRC. What RTX brought back stays lost in these figures, since
//! they describe the path.

use std::time::Instant;

use super::ntp::{self, Ntp};
use super::source_clock::{Offset, SourceClock};
use crate::id::Ssrc;
use crate::rtcp::ReportBlock;
use crate::unit::{SeqNo, timestamp_distance};

/// A jump ahead by this much is believed only when a second packet confirms it (RFC 3550 appendix A.1).
const MAX_DROPOUT: u64 = 3_000;

/// A packet may come late by less than this; further back it counts as a jump.
const MAX_MISORDER: u64 = 1_000;

/// A transit time that changes by more than so many seconds is a new start of the source's clock and no jitter.
const MAX_JITTER_SECONDS: u32 = 5;

/// What [`ReceiveStats::on_packet`] made of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The extended sequence number.
    pub seq: SeqNo,
    /// The source jumped to other sequence numbers: what was known of gaps and references is void. The number is still
    /// higher than any before.
    pub restarted: bool,
}

/// The statistics.
#[derive(Debug)]
pub struct ReceiveStats {
    clock_rate: u32,
    epoch: Instant,
    sequence: Option<Sequence>,
    transit: Option<u32>,
    /// Scaled by 16.
    jitter: u32,
    packets: u64,
    bytes: u64,
    duplicates: u64,
    /// Loss before the last restart.
    lost_before: i64,
    sender: Option<(SourceClock, Instant)>,
}

/// The state that a restart of the source begins anew.
#[derive(Debug)]
struct Sequence {
    base: u64,
    highest: u64,
    /// Bit `n`: `highest - n` has arrived.
    recent: u64,
    /// The number that would confirm a jump.
    after_jump: Option<u16>,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
}

impl Sequence {
    const fn new(first: u64) -> Self {
        Self {
            base: first,
            highest: first,
            recent: 0,
            after_jump: None,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
        }
    }

    const fn expected(&self) -> u64 {
        self.highest - self.base + 1
    }

    const fn lost(&self) -> i64 {
        self.expected() as i64 - self.received as i64
    }

    /// Counts a packet; true if the last 64 numbers show that it is a duplicate.
    fn count(&mut self, seq: u64) -> bool {
        self.received += 1;
        self.after_jump = None;
        if seq > self.highest {
            self.recent = self.recent.checked_shl((seq - self.highest).min(64) as u32).unwrap_or(0) | 1;
            self.highest = seq;
            return false;
        }
        let bit = 1_u64.checked_shl((self.highest - seq).min(64) as u32).unwrap_or(0);
        self.base = self.base.min(seq); // overtaken by the first packet
        let duplicate = self.recent & bit != 0;
        self.recent |= bit;
        duplicate
    }
}

impl ReceiveStats {
    /// Statistics of a stream whose RTP clock ticks at `clock_rate` hertz. `now` is any time before its first packet.
    pub const fn new(clock_rate: u32, now: Instant) -> Self {
        Self {
            clock_rate,
            epoch: now,
            sequence: None,
            transit: None,
            jitter: 0,
            packets: 0,
            bytes: 0,
            duplicates: 0,
            lost_before: 0,
            sender: None,
        }
    }

    /// Counts a packet with `bytes` of payload. `None`: its number is far off and no second packet confirms it yet; it
    /// must not be forwarded.
    #[inline]
    pub fn on_packet(&mut self, now: Instant, wire: u16, timestamp: u32, bytes: usize) -> Option<Arrival> {
        let arrival = self.place(wire)?;
        let sequence = self.sequence.get_or_insert_with(|| Sequence::new(arrival.seq.0));
        if sequence.count(arrival.seq.0) {
            self.duplicates += 1;
            return Some(arrival);
        }
        self.packets += 1;
        self.bytes += bytes as u64;
        self.update_jitter(now, timestamp);
        Some(arrival)
    }

    /// Extends a sequence number without counting it: that of a packet unwrapped from RTX. `None` before the first
    /// packet.
    pub fn extend(&self, wire: u16) -> Option<SeqNo> {
        self.highest().map(|highest| highest.nearest(wire))
    }

    /// The highest number so far.
    pub fn highest(&self) -> Option<SeqNo> {
        self.sequence.as_ref().map(|sequence| SeqNo(sequence.highest))
    }

    /// Packets without duplicates.
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of payload without duplicates.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Packets that came more than once.
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Packets that did not come, less duplicates as RFC 3550 counts.
    pub fn lost(&self) -> i64 {
        self.lost_before + self.sequence.as_ref().map_or(0, Sequence::lost)
    }

    /// The interarrival jitter in seconds.
    pub fn jitter(&self) -> f64 {
        f64::from(self.jitter) / 16.0 / f64::from(self.clock_rate)
    }

    /// The source's last sender report: its RTP clock against its NTP clock.
    pub fn source_clock(&self) -> Option<SourceClock> {
        self.sender.map(|(clock, _)| clock)
    }

    /// Notes a sender report of this SSRC, whose NTP clock is so far from ours.
    pub fn on_sender_report(&mut self, now: Instant, ntp: Ntp, timestamp: u32, offset: Offset) {
        self.sender = Some((SourceClock { ntp, timestamp, clock_rate: self.clock_rate, offset }, now));
    }

    /// The report block for the interval since the last one; `None` before the first packet.
    pub fn report_block(&mut self, now: Instant, ssrc: Ssrc) -> Option<ReportBlock> {
        let lost = self.lost();
        let sequence = self.sequence.as_mut()?;
        let expected = sequence.expected() - sequence.expected_prior;
        let received = sequence.received - sequence.received_prior;
        sequence.expected_prior = sequence.expected();
        sequence.received_prior = sequence.received;
        let (last_sr, delay) = self
            .sender
            .map_or((0, 0), |(clock, at)| (clock.ntp.middle(), ntp::to_short(now.saturating_duration_since(at))));
        Some(ReportBlock {
            ssrc,
            fraction_lost: fraction(expected, received),
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            // One cycle less than our count, which begins with cycle 1.
            highest_sequence: (sequence.highest as u32).wrapping_sub(0x1_0000),
            jitter: self.jitter >> 4,
            last_sr,
            delay_since_last_sr: delay,
        })
    }

    /// Extends `wire`, and judges jumps as RFC 3550 appendix A.1 does.
    #[inline]
    fn place(&mut self, wire: u16) -> Option<Arrival> {
        let Some(sequence) = &mut self.sequence else {
            return Some(Arrival { seq: SeqNo::first(wire), restarted: false });
        };
        let seq = SeqNo(sequence.highest).nearest(wire);
        if seq.0 < sequence.highest + MAX_DROPOUT && seq.0 + MAX_MISORDER > sequence.highest {
            return Some(Arrival { seq, restarted: false });
        }
        if sequence.after_jump != Some(wire) {
            sequence.after_jump = Some(wire.wrapping_add(1));
            return None;
        }
        Some(self.restart(wire))
    }

    #[cold]
    fn restart(&mut self, wire: u16) -> Arrival {
        let highest = self.highest().unwrap_or(SeqNo::first(0));
        let ahead = wire.wrapping_sub(highest.wire());
        let seq = SeqNo(highest.0 + if ahead == 0 { 0x1_0000 } else { u64::from(ahead) });
        self.lost_before = self.lost();
        self.sequence = Some(Sequence::new(seq.0));
        self.transit = None;
        Arrival { seq, restarted: true }
    }

    fn update_jitter(&mut self, now: Instant, timestamp: u32) {
        let micros = now.saturating_duration_since(self.epoch).as_micros() as u64;
        let arrival = (micros.wrapping_mul(u64::from(self.clock_rate)) / 1_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(last) = self.transit.replace(transit) {
            let change = timestamp_distance(last, transit).unsigned_abs();
            if change < MAX_JITTER_SECONDS * self.clock_rate {
                self.jitter = self.jitter + change - ((self.jitter + 8) >> 4);
            }
        }
    }
}

/// The loss of an interval as a fixed point number with the binary point at the left edge.
fn fraction(expected: u64, received: u64) -> u8 {
    match expected.saturating_sub(received) {
        0 => 0,
        lost => ((lost << 8) / expected).min(255) as u8,
    }
}

#[cfg(test)]
mod tests;
