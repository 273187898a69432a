//! Arrival times of a participant's packets, for its own bandwidth estimation
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! Every packet that carries a transport-wide sequence number is recorded, over all SSRCs of the transport. Feedback
//! covers every number from where the last one ended up to the highest. A packet that arrives after it was reported
//! lost moves the start back, so that the next feedback reports it again.
//!
//! Invariant: entry `n mod WINDOW` belongs to `n` for `highest - WINDOW < n <= highest`; all of `base..=highest` lie in
//! there, so that feedback has at most [`WINDOW`] entries.

use std::time::{Duration, Instant};

use crate::id::Ssrc;
use crate::rtcp::write_transport_feedback;
use crate::unit::SeqNo;

/// Numbers that are remembered. Enough for 100 ms at 5,000 packets per second.
const WINDOW: usize = 512;

/// Feedback to a busy sender is this far apart.
const SHORT_INTERVAL: Duration = Duration::from_millis(50);

/// Feedback to a sender with few packets (audio alone) is this far apart.
const LONG_INTERVAL: Duration = Duration::from_millis(100);

/// A sender with so many packets since the last feedback is busy.
const BUSY: u32 = 8;

/// The arrivals of one participant's packets.
#[derive(Debug)]
pub struct TwccRecorder {
    epoch: Instant,
    /// Microseconds since `epoch`; allocated with the first packet.
    arrivals: Vec<Option<u64>>,
    highest: Option<u64>,
    /// The first number that the next feedback covers.
    base: u64,
    /// Packets since the last feedback.
    pending: u32,
    sent: Option<Instant>,
    due: Option<Instant>,
    count: u8,
    scratch: Vec<(u16, Option<u64>)>,
}

impl TwccRecorder {
    /// A recorder that has seen nothing.
    pub const fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            arrivals: Vec::new(),
            highest: None,
            base: 0,
            pending: 0,
            sent: None,
            due: None,
            count: 0,
            scratch: Vec::new(),
        }
    }

    /// Notes the arrival of the packet with this transport-wide number. Only the first arrival of a number counts.
    #[inline]
    pub fn record(&mut self, wire: u16, now: Instant) {
        let seq = match self.highest {
            Some(highest) => SeqNo(highest).nearest(wire).0,
            None => self.start(wire),
        };
        if !self.advance(seq) {
            return;
        }
        let slot = &mut self.arrivals[seq as usize % WINDOW];
        if slot.is_some() {
            return;
        }
        *slot = Some(now.saturating_duration_since(self.epoch).as_micros() as u64);
        self.base = self.base.min(seq);
        self.pending += 1;
        if self.pending == 1 || self.pending == BUSY {
            self.schedule(now);
        }
    }

    /// Appends the next feedback message to `buf` if it is time, and says whether it did. To be called until false, each
    /// message in a datagram of its own: what does not fit one message waits for the next.
    pub fn poll(&mut self, now: Instant, sender: Ssrc, media: Ssrc, buf: &mut Vec<u8>) -> bool {
        let Some(highest) = self.highest.filter(|_| self.due.is_some_and(|due| due <= now)) else { return false };
        self.scratch.clear();
        let arrivals = &self.arrivals;
        self.scratch.extend((self.base..=highest).map(|seq| (seq as u16, arrivals[seq as usize % WINDOW])));
        let dealt_with = write_transport_feedback(buf, sender, media, self.count, self.base as u16, &self.scratch);
        self.base += dealt_with as u64;
        self.count = self.count.wrapping_add(1);
        self.sent = Some(now);
        if self.base > highest {
            self.pending = 0;
            self.due = None;
        }
        true
    }

    /// When [`TwccRecorder::poll`] has something to give.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    #[cold]
    fn start(&mut self, wire: u16) -> u64 {
        self.arrivals = vec![None; WINDOW];
        self.scratch.reserve_exact(WINDOW);
        let first = SeqNo::first(wire).0;
        self.highest = Some(first);
        self.base = first;
        first
    }

    /// Makes room for `seq`; false if it is too old.
    #[inline]
    fn advance(&mut self, seq: u64) -> bool {
        let highest = self.highest.unwrap_or(seq);
        if seq <= highest {
            return highest - seq < WINDOW as u64;
        }
        let cleared = (seq - highest).min(WINDOW as u64);
        for number in seq + 1 - cleared..=seq {
            self.arrivals[number as usize % WINDOW] = None;
        }
        self.highest = Some(seq);
        self.base = self.base.max(seq + 1 - WINDOW as u64);
        true
    }

    fn schedule(&mut self, now: Instant) {
        let interval = if self.pending < BUSY { LONG_INTERVAL } else { SHORT_INTERVAL };
        self.due = Some(self.sent.map_or(now + SHORT_INTERVAL, |sent| (sent + interval).max(now)));
    }
}

#[cfg(test)]
mod tests;
