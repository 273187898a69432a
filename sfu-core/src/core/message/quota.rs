//! What one participant sends on its data channels: how much of it may go on, and what waits.
//!
//! Two limiters, one in messages and one in bytes, both times the receivers: that is what a message costs the worker. A lossy
//! message beyond them is dropped. A reliable one waits, and its channel is not read until it is gone, so that the client's own
//! buffer fills. A worker past its limit sheds lossy messages before anything else: each costs [`SHEDDING`] times as much.
//!
//! Invariant: at most what the client may have in flight to us (SCTP's receive window) waits here, twice.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::config::DataLimits;
use crate::limiter::{Limit, Limiter};

/// How much more a lossy message costs while the worker is past its limit.
const SHEDDING: u32 = 10;

/// Tokens for a quarter of a second may be saved up: a longer burst would keep the worker from its media.
const BURST: u32 = 4;

/// See the [module](self).
#[derive(Debug)]
pub(in crate::core) struct Quota {
    messages: Limiter,
    bytes: Limiter,
    /// Messages of the reliable channel that wait.
    pub(super) held: VecDeque<Bytes>,
    /// The first of them waits for the limiters, which was counted.
    is_limited: bool,
    /// Lossy messages that were dropped since the participant was last told.
    dropped: u64,
    /// The participant has something to be told.
    has_news: bool,
}

impl Quota {
    pub(in crate::core) fn new(limits: &DataLimits, now: Instant) -> Self {
        let limiter = |rate: u32| Limiter::new(Limit::per_second(rate, rate / BURST), now);
        Self {
            messages: limiter(limits.messages_per_second),
            bytes: limiter(limits.bytes_per_second),
            held: VecDeque::new(),
            is_limited: false,
            dropped: 0,
            has_news: false,
        }
    }

    /// Whether a reliable message must wait; `began` is called when it is the first to.
    pub(super) fn must_wait(&mut self, now: Instant, began: impl FnOnce()) -> bool {
        let waits = self.messages.is_empty(now) || self.bytes.is_empty(now);
        if waits && !self.is_limited {
            self.has_news = true;
            began();
        }
        self.is_limited = waits;
        waits
    }

    /// A message of `len` bytes goes to so many receivers.
    pub(super) fn charge(&mut self, now: Instant, len: usize, receivers: usize) {
        let receivers = saturated(receivers.max(1));
        self.messages.charge(now, receivers);
        self.bytes.charge(now, saturated(len).saturating_mul(receivers));
    }

    /// Whether a lossy message may go to so many receivers. It is charged then, and dropped otherwise.
    pub(super) fn admit_lossy(&mut self, now: Instant, len: usize, receivers: usize, is_shedding: bool) -> bool {
        if self.messages.is_empty(now) || self.bytes.is_empty(now) {
            self.dropped += 1;
            self.has_news = true;
            return false;
        }
        self.charge(now, len, receivers.max(1) * if is_shedding { SHEDDING as usize } else { 1 });
        true
    }

    /// Whether the participant was limited since it was last told, and how many messages it lost by that.
    pub(super) fn take_news(&mut self) -> Option<u64> {
        std::mem::take(&mut self.has_news).then(|| std::mem::take(&mut self.dropped))
    }
}

fn saturated(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: DataLimits =
        DataLimits { messages_per_second: 1_000, bytes_per_second: 1_000_000, ..DataLimits::DEFAULT };

    /// How many of a flood of lossy messages pass in ten seconds.
    fn passed(len: usize, receivers: usize, is_shedding: bool) -> usize {
        let start = Instant::now();
        let mut quota = Quota::new(&LIMITS, start);
        let times = (0..10_000).map(|millis| start + Duration::from_millis(millis));
        times.filter(|now| quota.admit_lossy(*now, len, receivers, is_shedding)).count()
    }

    #[test]
    fn messages_and_bytes_cost_by_their_receivers() {
        let about = |passed: usize, expected: usize| {
            assert!((expected..=expected + expected / 20 + 1).contains(&passed), "{passed}, not {expected}");
        };
        about(passed(10, 10, false), 1_000);
        about(passed(10, 100, false), 100);
        about(passed(10, 10, true), 100);
        about(passed(10_000, 1, false), 1_000);
        about(passed(10_000, 5, false), 200);
        assert_eq!(passed(10, 0, false), 10_000, "a message for nobody costs one");
    }

    /// The largest message to the largest room costs far more than a burst: it passes, and is paid for afterwards.
    #[test]
    fn what_costs_more_than_the_burst_passes() {
        let start = Instant::now();
        let mut quota = Quota::new(&LIMITS, start);
        assert!(!quota.must_wait(start, || panic!("nothing was sent yet")));
        quota.charge(start, 64 * 1024, 100);
        let mut began = 0;
        assert!(quota.must_wait(start, || began += 1));
        assert!(quota.must_wait(start + Duration::from_secs(6), || panic!("counted once")));
        assert!(!quota.must_wait(start + Duration::from_secs(7), || {}));
        assert_eq!((began, quota.take_news(), quota.take_news()), (1, Some(0), None));
    }
}
