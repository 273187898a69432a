//! The numbers of an outgoing stream: sequence number, timestamp, picture id, TL0PICIDX, the dependency descriptor's frame
//! number.
//!
//! A slot's m-line keeps one SSRC while the tracks and layers behind it change, and a receiver must not notice: its numbers
//! go on.
//!
//! Invariants:
//! - Output sequence numbers of one source keep the source's distances: a gap upstream is a gap downstream, so that the
//!   receiver NACKs what is really missing. A packet that *we* leave out closes up.
//! - A gap is paid for by packets that were sent before it ([`Gaps`]): whatever numbers a publisher writes, at most as many are
//!   skipped as are sent, and [`MAX_GAP`]. Beyond it is a new start, which closes up. So a receiver must miss
//!   16,000 packets that were really sent before it loses count of the roll-over of SRTP (RFC 3711 section 3.3.1), of which
//!   it would not recover.
//! - Two different packets never get the same output number, and no output number is given twice.
//! - The first packet of a new source follows the highest of the old one by exactly one.
//! - Timestamps of one source keep their distances; across a change they advance by the time that passed, and at least by
//!   one packet's duration, since jitter buffers discard what seems to be in the past.
//! - Picture ids of VP8 (15 bits, or 7 where the source has 7) close up as sequence numbers do: libwebrtc's
//!   `RtpVp8RefFinder` waits for a picture that is missing before one of a higher temporal layer. Those of VP9 and frame
//!   numbers keep their distances within a source, since other pictures refer to them by difference.
//! - TL0PICIDX (8 bits) goes on in the same way across sources; within one nothing of temporal layer 0 is left out.

use std::time::{Duration, Instant};

use crate::layers::Frame;
use crate::rtp::vp8::PictureId;
use crate::unit::SeqNo;

use super::numbering::Numbering;

/// Left-out runs that stay told apart from packets that come late: a second of every other frame at 60 per second.
const RUNS: usize = 32;

/// The most packets missing in a frame that close up with it.
const MAX_CLOSED: u64 = 64;

/// Numbers so far below the next are refused: receivers' replay windows are as long (RFC 3711 section 3.3.2).
const GIVEN: u64 = 128;

/// The longest gap that stays one. A longer one is no loss that retransmission repairs: of the incoming stream so many are asked
/// for again at most.
const MAX_GAP: u64 = 512;

/// Where picture ids are extended from: both their widths wrap here.
const FIRST_PICTURE: u64 = 1 << 20;

/// What the munger must know of an incoming packet.
#[derive(Debug, Clone, Copy)]
pub struct Incoming {
    pub seq: SeqNo,
    pub timestamp: u32,
    pub frame: Frame,
    /// Pictures that are left out close up.
    pub closes_pictures: bool,
}

/// The output numbers of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Munged {
    /// Extended, so that SRTP's roll-over counter needs no state of its own.
    pub seq: SeqNo,
    pub timestamp: u32,
    pub payload: PayloadNumbers,
}

/// Why a packet has no output numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is from before the switch, was left out, has its number already, or is too old to know.
    Late,
    /// The gap before it is too long: the stream is to begin anew with it, or later.
    Gap,
}

/// How much of a gap may stay.
#[derive(Debug, Clone, Copy)]
struct Gaps {
    /// Numbers that may be skipped, when `at` was the next to go out. Each packet since then pays for one more.
    credit: u64,
    at: u64,
}

impl Gaps {
    /// Whether numbers from `next` up to below `number` may be skipped; they count as skipped if so.
    const fn admit(&mut self, next: u64, number: u64) -> bool {
        let earned = self.credit.saturating_add(next - self.at);
        let credit = if earned < MAX_GAP { earned } else { MAX_GAP };
        (self.credit, self.at) = (credit, next);
        let gap = number - next;
        if gap > credit {
            return false;
        }
        (self.credit, self.at) = (credit - gap, number);
        true
    }
}

/// The counters in a payload descriptor, as they go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PayloadNumbers {
    /// 15 bits, or 7.
    pub picture_id: Option<u16>,
    /// TL0PICIDX.
    pub tl0: Option<u8>,
}

/// How the numbers that do not close up are moved, until the next change of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offsets {
    timestamp: u32,
    tl0: u8,
    number: u16,
}

impl Offsets {
    /// An input timestamp as it goes out.
    pub const fn timestamp(&self, input: u32) -> u32 {
        input.wrapping_add(self.timestamp)
    }

    /// TL0PICIDX of a frame as it goes out.
    pub fn tl0(&self, frame: &Frame) -> Option<u8> {
        frame.tl0.map(|tl0| tl0.wrapping_add(self.tl0))
    }

    /// The dependency descriptor's number of a frame as it goes out.
    pub fn number(&self, frame: &Frame) -> Option<u16> {
        frame.number.map(|number| number.wrapping_add(self.number))
    }
}

/// The numbers of one outgoing SSRC, for its whole life.
#[derive(Debug)]
pub struct Munger {
    clock_rate: u32,
    seqs: Numbering<RUNS>,
    gaps: Gaps,
    offsets: Offsets,
    /// Of the packet with the highest output number.
    last: Option<Last>,
    pictures: Pictures,
    /// The newest that went out.
    last_tl0: Option<u8>,
    last_number: Option<u16>,
    /// Bit n: the number n below the next was given.
    given: u128,
    /// The last packet that was left out.
    left: Option<Incoming>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    timestamp: u32,
    at: Instant,
}

/// Picture ids, which wrap early.
#[derive(Debug)]
struct Pictures {
    numbering: Option<Numbering<RUNS>>,
    /// The newest input.
    newest: u64,
}

impl Pictures {
    /// Makes `first` the first picture of another source.
    fn switch(&mut self, first: PictureId) {
        self.newest = FIRST_PICTURE + u64::from(first.value);
        self.numbering.get_or_insert_with(|| Numbering::new(self.newest)).switch(self.newest);
    }

    fn extend(&mut self, id: PictureId) -> u64 {
        let shift = if id.long { 17 } else { 25 };
        let distance = (((u32::from(id.value) << shift).wrapping_sub((self.newest as u32) << shift)) as i32) >> shift;
        let extended = self.newest.saturating_add_signed(i64::from(distance));
        self.newest = self.newest.max(extended);
        extended
    }

    fn give(&mut self, id: PictureId) -> Option<u16> {
        if self.numbering.is_none() {
            self.switch(id);
        }
        let extended = self.extend(id);
        let output = self.numbering.as_mut()?.give(extended)?;
        Some(output as u16 & if id.long { 0x7fff } else { 0x7f })
    }

    fn leave_out(&mut self, id: PictureId) {
        let extended = self.extend(id);
        if let Some(numbering) = &mut self.numbering {
            numbering.leave_out(extended);
        }
    }
}

impl Munger {
    /// A stream that starts at `first_seq` (below 2^15, so that a reordered first packet cannot wrap the receiver's
    /// roll-over counter, RFC 3711 section 3.3.1) and `first_timestamp`.
    pub fn new(clock_rate: u32, first_seq: u16, first_timestamp: u32) -> Self {
        let first = SeqNo::first(first_seq & 0x7fff).0;
        Self {
            clock_rate,
            seqs: Numbering::new(first),
            gaps: Gaps { credit: MAX_GAP, at: first },
            offsets: Offsets { timestamp: first_timestamp, ..Offsets::default() },
            last: None,
            pictures: Pictures { numbering: None, newest: 0 },
            last_tl0: None,
            last_number: None,
            given: 0,
            left: None,
        }
    }

    /// The RTP timestamp of the newest packet that was sent; `None` before the first.
    pub fn last_timestamp(&self) -> Option<u32> {
        self.last.map(|last| last.timestamp)
    }

    /// Whether `first`, of the current source, is all that was sent of it.
    pub fn has_only_sent(&self, first: SeqNo) -> bool {
        self.seqs.has_only_sent(first.0)
    }

    /// How the numbers of the current source are moved.
    pub const fn offsets(&self) -> Offsets {
        self.offsets
    }

    /// Makes `first` the first packet of another source (or layer): it follows the last packet sent. Packets of the new
    /// source before `first` will be refused.
    pub fn switch_source(&mut self, now: Instant, first: &Incoming) {
        self.seqs.switch(first.seq.0);
        self.left = None;
        let target = match self.last {
            Some(last) => last.timestamp.wrapping_add(self.ticks_since(now, last.at)),
            None => self.offsets.timestamp,
        };
        self.offsets.timestamp = target.wrapping_sub(first.timestamp);
        if let Some(picture) = first.frame.picture_id {
            self.pictures.switch(picture);
        }
        if let Some(tl0) = first.frame.tl0 {
            let target = self.last_tl0.map_or(tl0, |last| last.wrapping_add(1));
            self.offsets.tl0 = target.wrapping_sub(tl0);
        }
        if let Some(number) = first.frame.number {
            let target = self.last_number.map_or(number, |last| last.wrapping_add(1));
            self.offsets.number = target.wrapping_sub(number);
        }
    }

    /// The output numbers of a packet of the current source.
    pub fn munge(&mut self, now: Instant, packet: &Incoming) -> Result<Munged, Refusal> {
        let newest = self.seqs.next();
        let seq = self.seqs.give(packet.seq.0).ok_or(Refusal::Late)?;
        self.note_given(seq, newest)?;
        let picture_id = match packet.frame.picture_id {
            Some(id) => Some(self.pictures.give(id).ok_or(Refusal::Late)?),
            None => None,
        };
        let munged = Munged {
            seq: SeqNo(seq),
            timestamp: self.offsets.timestamp(packet.timestamp),
            payload: PayloadNumbers { picture_id, tl0: self.offsets.tl0(&packet.frame) },
        };
        if munged.seq.0 >= newest {
            self.last = Some(Last { timestamp: munged.timestamp, at: now });
            self.last_tl0 = munged.payload.tl0.or(self.last_tl0);
            self.last_number = self.offsets.number(&packet.frame).or(self.last_number);
        }
        Ok(munged)
    }

    /// Notes that `seq` is given, unless it was before: one number sealed twice would give the keystream away (RFC 7714 section
    /// 8).
    #[inline]
    const fn note_given(&mut self, seq: u64, next: u64) -> Result<(), Refusal> {
        if seq == next {
            self.given = self.given << 1 | 1;
            return Ok(());
        }
        self.note_given_apart(seq, next)
    }

    #[cold]
    const fn note_given_apart(&mut self, seq: u64, next: u64) -> Result<(), Refusal> {
        if seq > next && !self.gaps.admit(next, seq) {
            self.seqs.take_back(next);
            return Err(Refusal::Gap);
        }
        let (shift, place) = if seq > next { (seq + 1 - next, 0) } else { (0, next - 1 - seq) };
        if place >= GIVEN {
            return Err(Refusal::Late);
        }
        self.given = if shift < GIVEN { self.given << shift } else { 0 };
        let is_new = self.given >> place & 1 == 0;
        self.given |= 1 << place;
        if is_new { Ok(()) } else { Err(Refusal::Late) }
    }

    /// Leaves a packet without media out: later ones close up. Only a packet newer than all that were sent can be left
    /// out; for an older one its number was given away as a gap already.
    pub fn leave_out(&mut self, seq: SeqNo) {
        self.seqs.leave_out(seq.0);
    }

    /// The same for a packet of a frame that is not sent at all. What is missing between two packets of one frame is of
    /// that frame, so that the receiver need not miss it.
    pub fn leave_out_frame(&mut self, packet: &Incoming) {
        let same = |left: &Incoming| {
            (left.timestamp, left.frame.spatial) == (packet.timestamp, packet.frame.spatial) && left.seq < packet.seq
        };
        let first = self.left.filter(same).map_or(packet.seq.0, |left| left.seq.0 + 1);
        for seq in first.max(packet.seq.0.saturating_sub(MAX_CLOSED))..=packet.seq.0 {
            self.seqs.leave_out(seq);
        }
        self.left = Some(*packet);
        if let Some(id) = packet.frame.picture_id.filter(|_| packet.closes_pictures) {
            self.pictures.leave_out(id);
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
mod tests;
