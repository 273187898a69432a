//! Whether video that waited too long is dropped as it comes out of the socket.
//!
//! The kernel's queue overflows for all alike. To read a datagram costs a fraction of what it costs to open it and to seal it for
//! everybody, so that a worker that lags behind reads its queue to the end and drops the video in it, for a few milliseconds:
//! what it would have sent is late anyway, and the audio among it is not lost. Subscribers ask for the rest of the picture as
//! after any loss.
//!
//! Only after the kernel dropped something, or when the queue is so long that a jitter buffer no longer hides it: to send a
//! keyframe to a thousand viewers takes a tenth of a second too, and what comes behind it must not be cut into. That is late by as much,
//! but by no more: how long a datagram waited is what the kernel says, or where it does not, how long the queue has not been empty.

use std::time::{Duration, Instant};

/// After the kernel dropped something, the queue is kept short for so long.
const PRESSED: Duration = Duration::from_secs(1);

/// What waited for longer is dropped while the kernel drops.
const SHORT: Duration = Duration::from_millis(10);

/// The same if the kernel drops nothing: conferencing jitter buffers hold some 100 ms at most.
const LONG: Duration = Duration::from_millis(100);

/// Follows the socket's queue.
#[derive(Debug)]
pub struct Intake {
    /// When the kernel dropped last.
    dropped: Option<Instant>,
    /// All that is read next arrived after this.
    drained: Instant,
}

impl Intake {
    /// A queue that is empty now.
    pub const fn new(now: Instant) -> Self {
        Self { dropped: None, drained: now }
    }

    /// The kernel dropped something.
    pub const fn on_dropped(&mut self, now: Instant) {
        self.dropped = Some(now);
    }

    /// The queue was empty at `now`.
    pub const fn on_drained(&mut self, now: Instant) {
        self.drained = now;
    }

    /// Whether video that is read now is to be dropped. `age`: how long it waited, if that is known.
    #[inline]
    pub fn is_behind(&self, now: Instant, age: Option<Duration>) -> bool {
        let since = |at: Instant| now.saturating_duration_since(at);
        let pressed = self.dropped.is_some_and(|at| since(at) < PRESSED);
        let limit = if pressed { SHORT } else { LONG };
        // A clock that was set back makes an age too long, which the queue's own age bounds.
        age.unwrap_or(Duration::MAX).min(since(self.drained)) > limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_may_be_long_until_it_overflows() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut intake = Intake::new(at(500));
        let behind = |intake: &Intake, millis| intake.is_behind(at(millis), None);
        assert!(!behind(&intake, 600) && behind(&intake, 601));
        intake.on_drained(at(602));
        intake.on_dropped(at(603));
        assert!(!behind(&intake, 612) && behind(&intake, 613));
        intake.on_drained(at(1_595));
        assert!(!behind(&intake, 1_606), "the kernel dropped nothing for a second");
    }

    #[test]
    fn what_came_late_into_a_long_queue_did_not_wait_long() {
        let start = Instant::now();
        let (now, millis) = (start + Duration::from_secs(1), Duration::from_millis);
        let mut intake = Intake::new(start);
        assert!(!intake.is_behind(now, Some(millis(100))) && intake.is_behind(now, Some(millis(101))));
        intake.on_drained(now - millis(50));
        assert!(!intake.is_behind(now, Some(millis(3_600_000))), "the clock was set");
    }
}
