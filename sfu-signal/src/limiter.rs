//! Messages per second: a token bucket that holds two seconds' worth.

use std::time::Instant;

/// One connection's bucket.
#[derive(Debug)]
pub(crate) struct Limiter {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Limiter {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, tokens: 2.0 * per_second, at: now }
    }

    /// Takes one message's token. False: there is none.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + grown).min(2.0 * self.per_second);
        self.at = now;
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = Instant::now();
        let mut limiter = Limiter::new(10, start);
        assert_eq!((0..100).filter(|_| limiter.admit(start)).count(), 20);
        assert_eq!((0..100).filter(|_| limiter.admit(start + Duration::from_millis(500))).count(), 5);
        let hours = start + Duration::from_secs(7200);
        assert_eq!((0..100).filter(|_| limiter.admit(hours)).count(), 20);
    }
}
