//! Arrival times of a participant's packets, for its own bandwidth estimation
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! Every packet that carries a transport-wide sequence number is recorded, over all SSRCs of the transport. Feedback
//! covers every number from where the last one ended up to the highest. A packet that arrives after it was reported
//! lost moves the start back, so that the next feedback reports it again.
//!
//! Invariant: entry `n mod WINDOW` belongs to `n` for `highest - WINDOW < n <= highest`; all of `base..=highest` lie in
//! there, so that a packet of feedback has at most [`WINDOW`] entries and fits one datagram.

use std::time::{Duration, Instant};

use crate::unit::SeqNo;

/// Numbers that are remembered. Enough for 100 ms at 5,000 packets per second.
const WINDOW: usize = 512;

/// Feedback to a busy sender is this far apart.
const SHORT_INTERVAL: Duration = Duration::from_millis(50);

/// Feedback to a sender with few packets (audio alone) is this far apart.
const LONG_INTERVAL: Duration = Duration::from_millis(100);

/// A sender with so many packets since the last feedback is busy.
const BUSY: u32 = 8;

/// Two arrivals of one feedback packet are at most this far apart: 16 bits of 250 µs hold 8.19 s.
const MAX_DELTA: i64 = 8_000_000;

/// What one feedback packet says.
#[derive(Debug, PartialEq, Eq)]
pub struct Feedback<'a> {
    /// The feedback packet count, modulo 256.
    pub count: u8,
    /// All numbers in ascending order from the base to the highest, which arrived. Arrivals are in microseconds since
    /// the recorder was made; `None` did not arrive.
    pub arrivals: &'a [(u16, Option<i64>)],
}

/// The arrivals of one participant's packets.
#[derive(Debug)]
pub struct TwccRecorder {
    epoch: Instant,
    /// Microseconds since `epoch`; allocated with the first packet.
    arrivals: Vec<Option<i64>>,
    highest: Option<u64>,
    /// The first number that the next feedback covers.
    base: u64,
    /// Packets since the last feedback.
    pending: u32,
    sent: Option<Instant>,
    due: Option<Instant>,
    count: u8,
    scratch: Vec<(u16, Option<i64>)>,
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
        *slot = Some(now.saturating_duration_since(self.epoch).as_micros() as i64);
        self.base = self.base.min(seq);
        self.pending += 1;
        if self.pending == 1 || self.pending == BUSY {
            self.schedule(now);
        }
    }

    /// The next feedback, if it is time. To be called until `None`.
    pub fn poll(&mut self, now: Instant) -> Option<Feedback<'_>> {
        let highest = self.highest?;
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        self.base = self.collect(highest);
        self.sent = Some(now);
        if self.base > highest {
            self.pending = 0;
            self.due = None;
        }
        let count = self.count;
        self.count = self.count.wrapping_add(1);
        Some(Feedback { count, arrivals: &self.scratch })
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

    /// Fills `scratch` from `base` and returns the number after its last: `highest + 1`, or earlier where the times of
    /// two arrivals are too far apart for one packet.
    fn collect(&mut self, highest: u64) -> u64 {
        self.scratch.clear();
        let mut last = None;
        for seq in self.base..=highest {
            let arrival = self.arrivals[seq as usize % WINDOW];
            if let Some(arrival) = arrival {
                if last.is_some_and(|last: i64| (arrival - last).abs() > MAX_DELTA) {
                    return seq;
                }
                last = Some(arrival);
            }
            self.scratch.push((seq as u16, arrival));
        }
        highest + 1
    }
}
