//! Is it the application that limits what is sent, and not the network? A budget fills at 65 % of the estimate and what
//! is sent drains it; who leaves it full sends too little to tell anything about the link.
//!
//! Follows libwebrtc `modules/congestion_controller/goog_cc/alr_detector.cc` and
//! `modules/pacing/interval_budget.cc` (M128).

/// Of the estimate; who sends less is application-limited.
const USAGE: f64 = 0.65;
/// The budget is what may be sent in this time.
const WINDOW_S: f64 = 0.5;
/// Fill levels at which the state begins and ends, of the full budget.
const BEGINS: f64 = 0.8;
const ENDS: f64 = 0.5;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct AlrDetector {
    /// Bits that were not sent though they could have been.
    unused: f64,
    updated: Option<i64>,
    limited: bool,
}

impl AlrDetector {
    /// Moves on to `now` in µs, with so many bytes sent since the last time, and says whether the state just ended.
    pub(super) fn poll(&mut self, now: i64, sent_bytes: u64, estimate: f64) -> bool {
        let seconds = (now - self.updated.replace(now).unwrap_or(now)) as f64 / 1e6;
        let full = estimate * USAGE * WINDOW_S;
        let sent = sent_bytes as f64 * 8.0;
        self.unused = (self.unused + estimate * USAGE * seconds - sent).clamp(-full, full);
        let was_limited = self.limited;
        self.limited = self.unused > full * if was_limited { ENDS } else { BEGINS };
        was_limited && !self.limited
    }

    pub(super) const fn is_limited(&self) -> bool {
        self.limited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends at a share of an estimate of 1 Mbps for some ms.
    fn send(detector: &mut AlrDetector, start_ms: i64, len_ms: i64, share: f64) -> i64 {
        for at in start_ms..start_ms + len_ms {
            detector.poll(at * 1_000, (125.0 * share) as u64, 1e6);
        }
        start_ms + len_ms
    }

    #[test]
    fn begins_below_65_percent_and_ends_above() {
        let mut detector = AlrDetector::default();
        let now = send(&mut detector, 0, 2_000, 0.9);
        assert!(!detector.is_limited());
        let now = send(&mut detector, now, 5_000, 0.5);
        assert!(detector.is_limited());
        let now = send(&mut detector, now, 2_000, 0.6);
        assert!(detector.is_limited());
        send(&mut detector, now, 1_000, 0.95);
        assert!(!detector.is_limited());
    }

    #[test]
    fn a_pause_of_a_frame_does_not_begin_it() {
        let mut detector = AlrDetector::default();
        let mut now = 0;
        for _ in 0..30 {
            now = send(&mut detector, now, 33, 1.8);
            now = send(&mut detector, now, 33, 0.0);
            assert!(!detector.is_limited());
        }
    }
}
