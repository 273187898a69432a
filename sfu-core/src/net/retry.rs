//! When a worker reads its socket again after an error.
//!
//! A single error says nothing of the socket: an interrupt, or an ICMP message about an earlier datagram. Where one follows the
//! other without a success in between, reading again at once would take a whole processor: the worker pauses, each time for
//! longer, says so once, and says when it is over.

use std::io;
use std::time::{Duration, Instant};

/// So many errors in a row are borne without a pause.
const BORNE: u32 = 8;

/// The first pause and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The errors of one socket.
#[derive(Debug, Default)]
pub(super) struct Retry {
    /// Since the last success.
    errors: u32,
    pause: Duration,
    again: Option<Instant>,
}

impl Retry {
    /// Reading failed. Whether it may be tried again at once.
    pub(super) fn on_error(&mut self, now: Instant, error: &io::Error) -> bool {
        self.errors += 1;
        if self.errors <= BORNE {
            return true;
        }
        if self.pause.is_zero() {
            tracing::warn!(%error, "the UDP socket cannot be read; it is tried again");
        }
        self.pause = (self.pause * 2).clamp(PAUSES.0, PAUSES.1);
        self.again = Some(now + self.pause);
        false
    }

    /// Reading worked, whether or not there was anything.
    pub(super) fn on_success(&mut self) {
        if !self.pause.is_zero() {
            tracing::info!(errors = self.errors, "the UDP socket can be read again");
        }
        if self.errors > 0 {
            *self = Self::default();
        }
    }

    /// When the pause ends, if there is one.
    pub(super) const fn again(&self) -> Option<Instant> {
        self.again
    }

    /// Ends a pause that is over. Whether there was one.
    pub(super) fn take_over(&mut self, now: Instant) -> bool {
        self.again.take_if(|at| *at <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red if a lasting error takes a processor, or if a socket that works again is not read.
    #[test]
    fn a_lasting_error_is_tried_ever_more_rarely_until_it_is_over() {
        let (start, end) = (Instant::now(), Duration::from_secs(60));
        let mut retry = Retry::default();
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        let (mut now, mut tries) = (start, 0);
        while now < start + end {
            tries += 1;
            if !retry.on_error(now, &error) {
                now = retry.again().unwrap();
                assert!(!retry.take_over(now - Duration::from_millis(1)) && retry.take_over(now));
            }
        }
        assert!((60..=80).contains(&tries), "{tries} in a minute");
        retry.on_success();
        assert!(retry.again().is_none() && (0..BORNE).all(|_| retry.on_error(now, &error)), "as before");
    }
}
