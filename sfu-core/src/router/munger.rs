//! The numbers of an outgoing stream: sequence number, timestamp, VP8 picture id and TL0PICIDX.
//!
//! A slot's m-line keeps one SSRC while the tracks behind it change, and a receiver must not notice: its numbers go on.
//!
//! Invariants:
//! - Output sequence numbers of one source keep the source's distances: a gap upstream is a gap downstream, so that the
//!   receiver NACKs what is really missing. A packet that *we* leave out closes up.
//! - Two different packets never get the same output number, and no output number is given twice.
//! - The first packet of a new source follows the highest of the old one by exactly one.
//! - Timestamps of one source keep their distances; across a change they advance by the time that passed, and at least by
//!   one packet's duration, since jitter buffers discard what seems to be in the past.
//! - Picture ids (15 bits, or 7 where the source has 7) and TL0PICIDX (8 bits) are continuous in the same way (RFC 7741
//!   section 4.2).

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::rtp::vp8::{PictureId, Vp8Descriptor};
use crate::unit::SeqNo;

/// How many left-out packets stay told apart from reordered ones. Older packets than that are dropped.
const MAX_RANGES: usize = 16;

/// Where input numbers from `start` on are moved by.
#[derive(Debug, Clone, Copy)]
struct Range {
    start: SeqNo,
    offset: i64,
}

/// VP8's two counters, as they go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vp8Numbers {
    /// 15 bits.
    pub picture_id: Option<u16>,
    /// TL0PICIDX.
    pub tl0: Option<u8>,
}

/// The output numbers of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Munged {
    /// Extended, so that SRTP's roll-over counter needs no state of its own.
    pub seq: SeqNo,
    pub timestamp: u32,
}

/// What the munger must know of an incoming packet.
#[derive(Debug, Clone, Copy)]
pub struct Incoming {
    pub seq: SeqNo,
    pub timestamp: u32,
    pub picture_id: Option<PictureId>,
    pub tl0: Option<u8>,
}

impl Incoming {
    /// The numbers of a packet; those of VP8 are in its payload.
    pub fn read(seq: SeqNo, timestamp: u32, vp8: bool, payload: &[u8]) -> Self {
        let descriptor = if vp8 { Vp8Descriptor::parse(payload) } else { None };
        Self {
            seq,
            timestamp,
            picture_id: descriptor.and_then(|descriptor| descriptor.picture_id),
            tl0: descriptor.and_then(|descriptor| descriptor.tl0picidx),
        }
    }
}

/// The numbers of one outgoing SSRC, for its whole life.
#[derive(Debug)]
pub struct Munger {
    clock_rate: u32,
    /// Ascending by `start`; empty before the first source.
    ranges: ArrayVec<Range, MAX_RANGES>,
    /// The next number after the highest that was sent.
    next: SeqNo,
    timestamp_offset: u32,
    /// Of the packet with the highest output number.
    last: Option<Last>,
    picture_offset: u16,
    tl0_offset: u8,
    /// The newest VP8 numbers that went out.
    last_vp8: Vp8Numbers,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    timestamp: u32,
    at: Instant,
}

impl Munger {
    /// A stream that starts at `first_seq` (below 2^15, so that a reordered first packet cannot wrap the receiver's
    /// roll-over counter, RFC 3711 section 3.3.1) and `first_timestamp`.
    pub fn new(clock_rate: u32, first_seq: u16, first_timestamp: u32) -> Self {
        Self {
            clock_rate,
            ranges: ArrayVec::new(),
            next: SeqNo::first(first_seq & 0x7fff),
            timestamp_offset: first_timestamp,
            last: None,
            picture_offset: 0,
            tl0_offset: 0,
            last_vp8: Vp8Numbers::default(),
        }
    }

    /// The RTP timestamp of the newest packet that was sent; `None` before the first.
    pub fn last_timestamp(&self) -> Option<u32> {
        self.last.map(|last| last.timestamp)
    }

    /// Whether `first`, of the current source, is all that was sent of it.
    pub fn has_only_sent(&self, first: SeqNo) -> bool {
        let [range] = self.ranges[..] else { return false };
        range.start == first && first.0.checked_add_signed(range.offset) == Some(self.next.0 - 1)
    }

    /// Makes `first` the first packet of another source (or layer): it follows the last packet sent. Packets of the new
    /// source before `first` will be refused.
    pub fn switch_source(&mut self, now: Instant, first: &Incoming) {
        self.ranges.clear();
        self.ranges.push(Range { start: first.seq, offset: self.next.0 as i64 - first.seq.0 as i64 });
        let target = match self.last {
            Some(last) => last.timestamp.wrapping_add(self.ticks_since(now, last.at)),
            None => self.timestamp_offset,
        };
        self.timestamp_offset = target.wrapping_sub(first.timestamp);
        if let Some(picture) = first.picture_id {
            let target = self.last_vp8.picture_id.map_or(picture.value, |last| last.wrapping_add(1));
            self.picture_offset = target.wrapping_sub(picture.value);
        }
        if let Some(tl0) = first.tl0 {
            let target = self.last_vp8.tl0.map_or(tl0, |last| last.wrapping_add(1));
            self.tl0_offset = target.wrapping_sub(tl0);
        }
    }

    /// The output numbers of a packet of the current source; `None` if it is from before the switch or too old to know.
    pub fn munge(&mut self, now: Instant, packet: &Incoming) -> Option<Munged> {
        let offset = self.ranges.iter().rev().find(|range| packet.seq >= range.start)?.offset;
        let munged = Munged {
            seq: SeqNo(packet.seq.0.checked_add_signed(offset)?),
            timestamp: self.timestamp(packet.timestamp),
        };
        if munged.seq >= self.next {
            self.next = SeqNo(munged.seq.0 + 1);
            self.last = Some(Last { timestamp: munged.timestamp, at: now });
            let vp8 = self.vp8(packet);
            self.last_vp8.picture_id = vp8.picture_id.or(self.last_vp8.picture_id);
            self.last_vp8.tl0 = vp8.tl0.or(self.last_vp8.tl0);
        }
        Some(munged)
    }

    /// Leaves the packet out: later ones close up. Only a packet newer than all that were sent can be left out; for an
    /// older one its number was given away as a gap already.
    pub fn leave_out(&mut self, seq: SeqNo) {
        let Some(newest) = self.ranges.last().copied() else { return };
        if seq < newest.start || (seq.0 as i64 + newest.offset) < self.next.0 as i64 {
            return;
        }
        if seq == newest.start {
            if let Some(range) = self.ranges.last_mut() {
                *range = Range { start: SeqNo(seq.0 + 1), offset: newest.offset - 1 };
            }
            return;
        }
        if self.ranges.is_full() {
            self.ranges.remove(0);
        }
        self.ranges.push(Range { start: SeqNo(seq.0 + 1), offset: newest.offset - 1 });
    }

    /// An input timestamp of the current source as it goes out (also for sender reports).
    pub fn timestamp(&self, input: u32) -> u32 {
        input.wrapping_add(self.timestamp_offset)
    }

    /// VP8's counters of a packet of the current source as they go out. The result keeps the input's width: 7-bit
    /// picture ids stay below 128.
    pub fn vp8(&self, packet: &Incoming) -> Vp8Numbers {
        Vp8Numbers {
            picture_id: packet
                .picture_id
                .map(|id| id.value.wrapping_add(self.picture_offset) & if id.long { 0x7fff } else { 0x7f }),
            tl0: packet.tl0.map(|tl0| tl0.wrapping_add(self.tl0_offset)),
        }
    }

    fn ticks_since(&self, now: Instant, then: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(then).max(self.least_step());
        (elapsed.as_micros() * u128::from(self.clock_rate) / 1_000_000) as u32
    }

    /// One Opus packet, or a third of a video frame at 30 fps.
    fn least_step(&self) -> Duration {
        Duration::from_millis(if self.clock_rate == 48_000 { 20 } else { 11 })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn packet(seq: u64, timestamp: u32) -> Incoming {
        Incoming { seq: SeqNo(seq), timestamp, picture_id: None, tl0: None }
    }

    fn vp8(seq: u64, picture: u16, tl0: u8) -> Incoming {
        Incoming {
            picture_id: Some(PictureId { value: picture, long: true }),
            tl0: Some(tl0),
            ..packet(seq, u32::from(picture) * 3000)
        }
    }

    #[test]
    fn a_switch_goes_on_by_one_and_by_the_time_that_passed() {
        let start = Instant::now();
        let mut munger = Munger::new(90_000, 100, 5_000);
        let first = packet(70_000, 900);
        munger.switch_source(start, &first);
        assert_eq!(munger.munge(start, &first), Some(Munged { seq: SeqNo::first(100), timestamp: 5_000 }));

        let later = start + Duration::from_millis(100);
        let other = packet(300_000, 0xffff_ff00);
        munger.switch_source(later, &other);
        assert_eq!(munger.munge(later, &other), Some(Munged { seq: SeqNo::first(101), timestamp: 14_000 }));
        assert_eq!(munger.munge(later, &packet(299_999, 0)), None, "from before the switch");
    }

    #[test]
    fn audio_never_steps_by_less_than_a_packet() {
        let start = Instant::now();
        let mut munger = Munger::new(48_000, 0, 0);
        munger.switch_source(start, &packet(70_000, 0));
        munger.munge(start, &packet(70_000, 0));
        munger.switch_source(start, &packet(80_000, 7));
        assert_eq!(munger.munge(start, &packet(80_000, 7)).unwrap().timestamp, 960);
    }

    #[test]
    fn vp8_counters_go_on_and_wrap() {
        let now = Instant::now();
        let mut munger = Munger::new(90_000, 0, 0);
        munger.switch_source(now, &vp8(70_000, 0x7fff, 255));
        munger.munge(now, &vp8(70_000, 0x7fff, 255));
        munger.switch_source(now, &vp8(9_000_000, 17, 3));
        munger.munge(now, &vp8(9_000_000, 17, 3));
        assert_eq!(munger.vp8(&vp8(9_000_000, 17, 3)), Vp8Numbers { picture_id: Some(0), tl0: Some(0) });
        assert_eq!(munger.vp8(&vp8(9_000_001, 18, 3)), Vp8Numbers { picture_id: Some(1), tl0: Some(0) });
    }

    #[test]
    fn left_out_packets_close_up_and_late_ones_keep_their_place() {
        let now = Instant::now();
        let mut munger = Munger::new(90_000, 0, 0);
        munger.switch_source(now, &packet(70_000, 0));
        let seq = |munger: &mut Munger, input| munger.munge(now, &packet(input, 0)).map(|munged| munged.seq.wire());
        assert_eq!(seq(&mut munger, 70_000), Some(0));
        munger.leave_out(SeqNo(70_002));
        assert_eq!(seq(&mut munger, 70_003), Some(2));
        assert_eq!(seq(&mut munger, 70_001), Some(1), "late, but its place was kept");
        munger.leave_out(SeqNo(70_001));
        assert_eq!(seq(&mut munger, 70_004), Some(3), "an old packet cannot be left out any more");
    }

    proptest! {
        /// Against a model that sees everything at once: distinct inputs get distinct outputs, order and distances hold
        /// within a source, and sources follow each other without a hole.
        #[test]
        fn numbers_are_continuous(plan in prop::collection::vec((1usize..40, any::<u16>(), 0u32..4), 1..12), first: u16) {
            let now = Instant::now();
            let mut munger = Munger::new(90_000, first, 0);
            let mut given = BTreeMap::new();
            let mut highest: Option<u64> = None;
            for (source, (count, start, swap)) in plan.into_iter().enumerate() {
                let base = SeqNo::first(start).0;
                let mut inputs: Vec<u64> = (0..count as u64).map(|i| base + i).collect();
                for i in (1..inputs.len().saturating_sub(1)).step_by(2 + swap as usize) {
                    inputs.swap(i, i + 1);
                }
                munger.switch_source(now, &packet(inputs[0], 0));
                for input in inputs {
                    let out = munger.munge(now, &packet(input, 0)).unwrap().seq.0;
                    prop_assert_eq!(given.insert(out, (source, input)), None);
                    if input == base {
                        prop_assert_eq!(out, highest.map_or(SeqNo::first(first & 0x7fff).0, |highest| highest + 1));
                    }
                    highest = highest.max(Some(out));
                }
            }
            let outs: Vec<u64> = given.keys().copied().collect();
            prop_assert!(outs.windows(2).all(|pair| pair[1] == pair[0] + 1));
        }
    }
}
