//! Whether the trains of an unfinished frame wait for its next packets.
//!
//! A publisher that sends a frame in one burst wakes the worker with its first packet. What is forwarded at once then
//! leaves packet by packet, at the full price of a send each. So the worker lingers a moment while the last packet that
//! it forwarded has no marker, and all of the frame leaves as one train; a frame is of no use before its last packet, so
//! that nobody waits longer for a picture.
//!
//! Publishers that space their packets evenly make that moment a loss for everybody. So lingering is judged by what it
//! brought: where it brings nothing it is tried only now and then.
//!
//! Invariant: nothing is held longer than [`HOLD`].

use std::time::{Duration, Instant};

/// The longest time between the first packet of a train and its departure.
const HOLD: Duration = Duration::from_millis(1);

/// How long the next packet of a burst may take. A busy sender needs some 10 µs per packet.
const LINGER: Duration = Duration::from_micros(150);

/// The best reputation that lingering can have.
const TRUSTED: u8 = 8;

/// Without any reputation, one of so many chances is taken.
const RETRY: u8 = 32;

/// The reputation of lingering with one worker's publishers.
#[derive(Debug)]
pub(super) struct Linger {
    reputation: u8,
    passed: u8,
    since: Option<Instant>,
}

impl Linger {
    pub(super) const fn new() -> Self {
        Self { reputation: TRUSTED, passed: 0, since: None }
    }

    /// How long to wait for the rest of a frame; `None`: send what there is.
    pub(super) fn patience(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let left = HOLD.checked_sub(now.saturating_duration_since(since)).filter(|left| !left.is_zero())?;
        if self.reputation == 0 {
            self.passed = (self.passed + 1) % RETRY;
            if self.passed != 0 {
                return None;
            }
        }
        Some(LINGER.min(left))
    }

    /// Notes whether anything came while the worker lingered.
    pub(super) const fn on_result(&mut self, came: bool) {
        self.reputation = if came {
            if self.reputation < TRUSTED { self.reputation + 1 } else { TRUSTED }
        } else {
            self.reputation.saturating_sub(1)
        };
    }

    /// All trains left.
    pub(super) const fn on_sent(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_held_longer_than_a_millisecond() {
        let start = Instant::now();
        let mut linger = Linger::new();
        assert_eq!(linger.patience(start), Some(LINGER));
        assert_eq!(linger.patience(start + Duration::from_micros(950)), Some(Duration::from_micros(50)));
        assert_eq!(linger.patience(start + HOLD), None);
        linger.on_sent();
        assert_eq!(linger.patience(start + HOLD), Some(LINGER));
    }

    #[test]
    fn what_never_pays_is_hardly_tried() {
        let start = Instant::now();
        let mut linger = Linger::new();
        let tried = |linger: &mut Linger, pays: bool| {
            (0..320).filter(|_| linger.patience(start).inspect(|_| linger.on_result(pays)).is_some()).count()
        };
        assert_eq!(tried(&mut linger, false), usize::from(TRUSTED) + 312 / usize::from(RETRY));
        assert!(tried(&mut linger, true) > 280, "and tried again once it pays");
    }
}
