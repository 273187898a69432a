//! What one source may ask for: a token bucket that is told the time. Messages, bytes, requests and connections are limited by
//! this one alike.
//!
//! Invariants:
//! - In any span of time a source gets at most `burst` and what the rate brings in that span.
//! - What is refused takes nothing: a source that asks too much still gets its rate.
//! - What cannot be refused in part, and may cost more than the burst, is [charged](Limiter::charge) and paid back before the next.
//!
//! The bucket is kept as the time at which it is full again (GCRA, ITU-T I.371 annex A), so that taking from it is an addition and
//! a comparison.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// A rate, and how much of it may be saved up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The time in which one token grows.
    interval: Duration,
    /// How long an empty bucket takes to be full.
    depth: Duration,
}

impl Limit {
    /// `per_second` tokens a second, and `burst` at once. Of neither less than one.
    pub fn per_second(per_second: u32, burst: u32) -> Self {
        Self::every(Duration::from_secs(1) / per_second.max(1), burst)
    }

    /// A token each `interval`, and `burst` at once; at least one.
    pub fn every(interval: Duration, burst: u32) -> Self {
        Self { interval, depth: interval * burst.max(1) }
    }
}

/// One source's bucket; full at first.
#[derive(Debug, Clone, Copy)]
pub struct Limiter {
    limit: Limit,
    full_at: Instant,
}

impl Limiter {
    /// A full bucket.
    pub const fn new(limit: Limit, now: Instant) -> Self {
        Self { limit, full_at: now }
    }

    /// Takes `cost` tokens. False, and nothing is taken: there are not so many. More than the burst are never there.
    pub fn admit(&mut self, now: Instant, cost: u32) -> bool {
        let full_at = self.full_at.max(now) + self.limit.interval * cost;
        let admitted = full_at.saturating_duration_since(now) <= self.limit.depth;
        if admitted {
            self.full_at = full_at;
        }
        admitted
    }

    /// Whether there is no token.
    pub fn is_empty(&self, now: Instant) -> bool {
        self.full_at.saturating_duration_since(now) >= self.limit.depth
    }

    /// Takes `cost` tokens, whether they are there or not. What is missing is a debt: the bucket is empty until it is paid.
    pub fn charge(&mut self, now: Instant, cost: u32) {
        self.full_at = self.full_at.max(now) + self.limit.interval * cost;
    }

    /// Whether nothing was taken for so long that the bucket is full: a source that nobody need remember.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

/// What counts as one address where addresses are limited: an IPv4 address, or the network of 64 bits that one IPv6 customer has at
/// least (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix(IpAddr);

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            v4 => v4,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = Instant::now();
        let mut limiter = Limiter::new(Limit::per_second(10, 20), start);
        let mut admitted = |at: Duration| (0..100).filter(|_| limiter.admit(start + at, 1)).count();
        assert_eq!(admitted(Duration::ZERO), 20);
        assert_eq!(admitted(500 * MILLISECOND), 5);
        assert_eq!(admitted(Duration::from_secs(7_200)), 20);
    }

    #[test]
    fn what_costs_more_than_the_burst_is_refused_and_takes_nothing() {
        let start = Instant::now();
        let mut limiter = Limiter::new(Limit::per_second(1_000, 100), start);
        assert!(!limiter.admit(start, 101));
        assert!(limiter.is_full(start));
        assert!(limiter.admit(start, 100));
        assert!(!limiter.is_full(start + 99 * MILLISECOND));
        assert!(limiter.is_full(start + 100 * MILLISECOND));
    }

    #[test]
    fn a_debt_is_paid_back_first() {
        let start = Instant::now();
        let mut limiter = Limiter::new(Limit::per_second(1_000, 100), start);
        assert!(!limiter.is_empty(start));
        limiter.charge(start, 600);
        assert!(limiter.is_empty(start + 500 * MILLISECOND) && !limiter.admit(start + 500 * MILLISECOND, 1));
        assert!(!limiter.is_empty(start + 501 * MILLISECOND) && limiter.admit(start + 501 * MILLISECOND, 1));
    }

    #[test]
    fn an_address_is_an_ipv4_address_or_a_64_of_ipv6() {
        let of = |text: &str| Prefix::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    proptest! {
        /// Against the definition: no span holds more than the burst and the rate's share, and whoever asks all the time gets the rate.
        #[test]
        fn no_span_holds_more(
            interval in 1u32..50, burst in 1u32..40,
            asked in prop::collection::vec((0u32..40, 1u32..6), 1..200),
        ) {
            let start = Instant::now();
            let mut limiter = Limiter::new(Limit::every(MILLISECOND * interval, burst), start);
            let (mut now, mut admitted) = (0u32, Vec::<(u32, u32)>::new());
            for (pause, cost) in asked {
                now += pause;
                if limiter.admit(start + MILLISECOND * now, cost) {
                    admitted.push((now, cost));
                }
            }
            for (first, (from, _)) in admitted.iter().enumerate() {
                let mut sum = 0;
                for (to, cost) in &admitted[first..] {
                    sum += cost;
                    prop_assert!(sum * interval <= burst * interval + (to - from), "{sum} from {from} to {to} ms");
                }
            }
        }
    }
}
