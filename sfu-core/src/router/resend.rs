//! Which NACKs of one outgoing stream are answered, so that a receiver's wishes cannot multiply what is sent to it.
//!
//! Invariants:
//! - A packet is not resent within an interval, the better part of a round-trip time: a NACK that crossed the resent
//!   packet on its way asks for nothing new.
//! - In the long run no more packets are resent than were sent ([`MAX_CREDIT`] may have been saved up).

use std::time::{Duration, Instant};

/// Resends that are remembered. A power of two; sequence numbers so far apart share a place.
const RECENT: usize = 64;

/// A stream may begin with losses.
const FIRST_CREDIT: u16 = 32;

/// The most that can be resent at once: two large keyframes.
const MAX_CREDIT: u16 = 256;

/// Without a short round-trip time a packet may be resent after this.
const MAX_INTERVAL: Duration = Duration::from_millis(200);

/// The bounds of one outgoing stream.
#[derive(Debug)]
pub struct Resends {
    start: Instant,
    credit: u16,
    /// Empty until the first resend, then of [`RECENT`] entries.
    recent: Vec<Recent>,
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    wire: u16,
    /// Milliseconds since `start`, and one: 0 is never.
    at: u32,
}

impl Resends {
    /// Nothing was sent yet.
    pub const fn new(now: Instant) -> Self {
        Self { start: now, credit: FIRST_CREDIT, recent: Vec::new() }
    }

    /// A packet was sent for the first time.
    #[inline]
    pub const fn on_sent(&mut self) {
        if self.credit < MAX_CREDIT {
            self.credit += 1;
        }
    }

    /// Whether the packet that was sent as `wire` may be resent now; it counts as resent if so.
    pub fn admit(&mut self, now: Instant, wire: u16, rtt: Duration) -> bool {
        if self.credit == 0 {
            return false;
        }
        if self.recent.is_empty() {
            self.recent = vec![Recent { wire: 0, at: 0 }; RECENT];
        }
        let millis = now.saturating_duration_since(self.start).as_millis() as u32;
        let interval = (rtt * 3 / 4).min(MAX_INTERVAL).as_millis() as u32;
        let recent = &mut self.recent[usize::from(wire) % RECENT];
        if recent.at != 0 && recent.wire == wire && millis.wrapping_sub(recent.at - 1) < interval {
            return false;
        }
        *recent = Recent { wire, at: millis.wrapping_add(1) };
        self.credit -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    #[test]
    fn the_same_packet_is_not_resent_within_a_round_trip() {
        let start = Instant::now();
        let mut resends = Resends::new(start);
        assert!(resends.admit(start, 7, RTT));
        assert!(!resends.admit(start + Duration::from_millis(74), 7, RTT));
        assert!(resends.admit(start + Duration::from_millis(74), 8, RTT));
        assert!(resends.admit(start + Duration::from_millis(75), 7, RTT));
    }

    #[test]
    fn what_is_resent_is_paid_for_by_what_is_sent() {
        let start = Instant::now();
        let mut resends = Resends::new(start);
        let admitted = |resends: &mut Resends| (0..10_000).filter(|wire| resends.admit(start, *wire, RTT)).count();
        assert_eq!(admitted(&mut resends), usize::from(FIRST_CREDIT));
        (0..100).for_each(|_| resends.on_sent());
        assert_eq!(admitted(&mut resends), 100);
        (0..10_000).for_each(|_| resends.on_sent());
        assert_eq!(admitted(&mut resends), usize::from(MAX_CREDIT));
    }
}
