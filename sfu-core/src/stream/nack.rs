//! What is missing of an incoming encoding, and when to ask for it (RFC 4585 section 6.2.1).
//!
//! A gap is asked for [`REORDER_WAIT`] after it was seen, then again after the round-trip time with a growing margin,
//! at most [`MAX_TRIES`] times and for [`MAX_AGE`]. When more than [`MAX_MISSING`] packets are missing, repairing costs
//! more than it gives: they are given up and a keyframe is wanted instead.
//!
//! Invariants: bit `n mod WINDOW` of `received` tells whether `n` arrived, for `highest - WINDOW < n <= highest`.
//! `missing` is ascending and at most `MAX_MISSING` long. A packet that arrives only sets its bit: [`NackTracker::poll`]
//! removes it from `missing`, so that the way of a packet in order is one comparison and one bit.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::unit::SeqNo;

/// The most numbers that one [`NackTracker::poll`] returns; the rest is due at once. At worst 512 bytes of feedback.
pub const MAX_NACKS: usize = 128;

/// Packets that overtake each other on the way mostly do so within this time.
const REORDER_WAIT: Duration = Duration::from_millis(5);

/// No packet is asked for more often.
const MAX_TRIES: u8 = 10;

/// A packet that is missing for longer would come too late for any jitter buffer.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The most packets missing at a time.
const MAX_MISSING: usize = 512;

/// Retries are not closer than this, however short the round-trip time.
const MIN_RETRY: Duration = Duration::from_millis(20);

/// How far back duplicates are recognised, in packets.
const WINDOW: u64 = 1_024;

/// The gaps of one incoming encoding.
#[derive(Debug)]
pub struct NackTracker {
    highest: Option<u64>,
    received: [u64; WINDOW as usize / 64],
    missing: Vec<Missing>,
    due: Option<Instant>,
    keyframe_needed: bool,
    asked: u64,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    seq: u64,
    since: Instant,
    ask_at: Instant,
    tries: u8,
}

impl NackTracker {
    /// A tracker that has seen nothing.
    pub const fn new() -> Self {
        Self {
            highest: None,
            received: [0; WINDOW as usize / 64],
            missing: Vec::new(),
            due: None,
            keyframe_needed: false,
            asked: 0,
        }
    }

    /// Sequence numbers asked for so far, repetitions included.
    pub const fn asked(&self) -> u64 {
        self.asked
    }

    /// Notes a packet, whether it came by itself or by RTX. False: it came before, or is too old to tell.
    #[inline]
    pub fn on_packet(&mut self, seq: SeqNo, now: Instant) -> bool {
        let seq = seq.0;
        match self.highest {
            Some(highest) if seq <= highest => return highest - seq < WINDOW && self.mark(seq),
            Some(highest) if seq != highest + 1 => self.on_gap(highest, seq, now),
            Some(_) | None => {}
        }
        self.highest = Some(seq);
        self.received[word(seq)] |= bit(seq);
        true
    }

    /// Fills `out` with the numbers to ask for now. Full: call again at once for more.
    pub fn poll(&mut self, now: Instant, rtt: Duration, out: &mut ArrayVec<u16, MAX_NACKS>) {
        out.clear();
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.forget_settled(now);
        let mut due = None;
        for missing in &mut self.missing {
            if missing.ask_at <= now && !out.is_full() {
                out.push(missing.seq as u16);
                missing.tries += 1;
                missing.ask_at = now + retry_delay(rtt, missing.tries);
            }
            due = Some(due.map_or(missing.ask_at, |due: Instant| due.min(missing.ask_at)));
        }
        self.due = due;
        self.asked += out.len() as u64;
    }

    /// When [`NackTracker::poll`] has something to do.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Whether so much was lost that only a keyframe helps. Reading it resets it.
    pub const fn take_keyframe_needed(&mut self) -> bool {
        std::mem::replace(&mut self.keyframe_needed, false)
    }

    /// Forgets everything: the source started anew, or was paused.
    pub fn reset(&mut self) {
        self.highest = None;
        self.received = [0; WINDOW as usize / 64];
        self.give_up();
    }

    /// Sets the bit of a number in the window; false if it was set.
    fn mark(&mut self, seq: u64) -> bool {
        let word = &mut self.received[word(seq)];
        let new = *word & bit(seq) == 0;
        *word |= bit(seq);
        new
    }

    #[cold]
    fn on_gap(&mut self, highest: u64, seq: u64, now: Instant) {
        let skipped = seq - highest - 1;
        if self.missing.len() as u64 + skipped > MAX_MISSING as u64 {
            self.forget_settled(now);
        }
        for number in seq - skipped.min(WINDOW)..seq {
            self.received[word(number)] &= !bit(number);
        }
        if self.missing.len() as u64 + skipped > MAX_MISSING as u64 {
            self.give_up();
            self.keyframe_needed = true;
            return;
        }
        let ask_at = now + REORDER_WAIT;
        self.missing.extend((highest + 1..seq).map(|seq| Missing { seq, since: now, ask_at, tries: 0 }));
        self.due = Some(self.due.map_or(ask_at, |due| due.min(ask_at)));
    }

    /// Removes what arrived, what is too old, and what was asked for often enough.
    fn forget_settled(&mut self, now: Instant) {
        let Some(highest) = self.highest else { return };
        let received = &self.received;
        self.missing.retain(|missing| {
            highest - missing.seq < WINDOW
                && received[word(missing.seq)] & bit(missing.seq) == 0
                && missing.tries < MAX_TRIES
                && now.saturating_duration_since(missing.since) < MAX_AGE
        });
    }

    fn give_up(&mut self) {
        self.missing.clear();
        self.due = None;
    }
}

impl Default for NackTracker {
    fn default() -> Self {
        Self::new()
    }
}

/// After the first ask 1.25 round-trip times, half of one more after each further.
fn retry_delay(rtt: Duration, tries: u8) -> Duration {
    rtt.clamp(MIN_RETRY, MAX_AGE) * (3 + 2 * u32::from(tries)) / 4
}

const fn word(seq: u64) -> usize {
    (seq % WINDOW / 64) as usize
}

const fn bit(seq: u64) -> u64 {
    1 << (seq % 64)
}

#[cfg(test)]
mod tests;
