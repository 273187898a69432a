//! A token bucket in bytes: what may be sent now, and when more may be.
//!
//! Sending may overdraw it by one packet; nothing is sent while it is overdrawn. Integer arithmetic on nanoseconds, no
//! division on the way of a packet that passes.

use std::time::{Duration, Instant};

use crate::unit::Bitrate;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Bytes per second that are reckoned with at most.
const MAX_RATE: u64 = 1 << 33;

/// A bucket is full after less, at any rate that is sent at.
const LONG: Duration = Duration::from_secs(60);

/// The bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// Bytes; negative: overdrawn.
    level: i64,
    /// The most that is saved up, in bytes.
    burst: i64,
    /// Bytes per second.
    rate: u64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) const fn new(now: Instant, rate: Bitrate, burst: i64) -> Self {
        Self { level: burst, burst, rate: rate.0 / 8, filled: now }
    }

    /// Changes the rate from now on, and what is saved up at most.
    pub(super) fn set(&mut self, now: Instant, rate: Bitrate, burst: i64) {
        self.fill(now);
        self.rate = rate.0 / 8;
        self.burst = burst;
        self.level = self.level.min(burst);
    }

    /// Changes the rate, right after a [`Self::fill`].
    pub(super) const fn set_rate(&mut self, rate: Bitrate) {
        self.rate = rate.0 / 8;
    }

    /// Adds what the time since the last call brings.
    pub(super) fn fill(&mut self, now: Instant) {
        if self.level >= self.burst {
            self.filled = now;
            return;
        }
        let elapsed = now.saturating_duration_since(self.filled);
        // Below 2^30 nanoseconds times a rate below 2^34, but for long pauses, which count as a minute at most.
        let gained = match elapsed.as_secs() {
            0 => (u64::from(elapsed.subsec_nanos()) * self.rate.min(MAX_RATE) / NANOS_PER_SECOND as u64) as i64,
            _ => (elapsed.min(LONG).as_nanos() * u128::from(self.rate.min(MAX_RATE)) / NANOS_PER_SECOND) as i64,
        };
        if gained > 0 {
            self.filled = now;
            self.level = self.level.saturating_add(gained).min(self.burst);
        }
    }

    /// What may be sent, in bytes.
    pub(super) const fn level(&self) -> i64 {
        self.level
    }

    /// Takes what was sent.
    pub(super) const fn take(&mut self, bytes: usize) {
        self.level = self.level.saturating_sub(bytes as i64);
    }

    /// When the level reaches `bytes`, at most the burst; `None`: never at this rate.
    pub(super) fn ready_at(&self, bytes: i64) -> Option<Instant> {
        let missing = bytes.min(self.burst) - self.level;
        if missing <= 0 {
            return Some(self.filled);
        }
        let nanos = (missing as u128 * NANOS_PER_SECOND).div_ceil(u128::from(self.rate.max(1)));
        (self.rate > 0).then(|| self.filled + Duration::from_nanos(nanos as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However it is asked, it never lets more through than its rate, its burst and one packet.
        #[test]
        fn the_rate_holds(
            rate in 10_000u64..50_000_000,
            steps in prop::collection::vec((0u64..5_000, 1usize..1_500), 1..300),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(start, Bitrate(rate), 12_000);
            let (mut now, mut sent) = (start, 0);
            for (micros, bytes) in steps {
                now += Duration::from_micros(micros);
                bucket.fill(now);
                if bucket.level() > 0 {
                    bucket.take(bytes);
                    sent += bytes as u64;
                }
                let allowed = (now - start).as_nanos() as u64 as u128 * u128::from(rate / 8) / NANOS_PER_SECOND;
                prop_assert!(u128::from(sent) <= allowed + 12_000 + 1_500);
            }
            let ready = bucket.ready_at(1_200).unwrap();
            bucket.fill(ready.max(now));
            prop_assert!(bucket.level() >= 1_200 - 1, "ready when it says so");
        }
    }

    /// Red if a pause of more than a second is cut short: then it is not ready when it says so.
    #[test]
    fn a_slow_bucket_fills_over_seconds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start, Bitrate(10_000), 12_000);
        bucket.take(13_500);
        let ready = bucket.ready_at(1_200).unwrap();
        bucket.fill(ready);
        assert!(ready - start > Duration::from_secs(2) && bucket.level() >= 1_199, "{}", bucket.level());
    }

    #[test]
    fn nothing_is_lost_to_short_intervals() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start, Bitrate(80_000), 20_000);
        bucket.take(20_000);
        for micros in 1..=100_000 {
            bucket.fill(start + Duration::from_micros(micros));
        }
        assert!((990..=1_000).contains(&bucket.level()), "{} bytes in 100 ms at 10 kB/s", bucket.level());
    }
}
