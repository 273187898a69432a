//! The estimate of a client that gives no transport-wide feedback: what its REMB says (draft-alvestrand-rmcat-remb-03),
//! or, where there is none either, what the loss in its receiver reports allows.
//!
//! The latter follows draft-ietf-rmcat-gcc-02 section 6: above 10 % down by half the loss, below 2 % up by 8 % a second.

/// Loss above which less is sent, and below which nobody is judged who was not before.
pub(super) const HIGH: f64 = 0.10;
const LOW: f64 = 0.02;
const INCREASE: f64 = 1.08;
/// A change may follow another after this, µs.
const INTERVAL_US: i64 = 900_000;
/// A rate that nobody asked for is not claimed: the estimate ends at this much of the demand.
const BEYOND: f64 = 1.3;

/// See the module's text. Rates in bits per second, times in µs.
#[derive(Debug, Default)]
pub(super) struct ReportedLoss {
    rate: Option<f64>,
    changed: i64,
}

impl ReportedLoss {
    /// The client itself says how much.
    pub(super) const fn set(&mut self, rate: f64) {
        self.rate = Some(rate);
    }

    /// Receiver reports say that so much is lost, 0 to 1. Starts with `start`.
    pub(super) fn on_loss(&mut self, now: i64, fraction: f64, start: f64, demand: f64) -> f64 {
        let rate = *self.rate.get_or_insert(start);
        let since = now - self.changed;
        if since < INTERVAL_US {
            return rate;
        }
        self.changed = now;
        let rate = if fraction > HIGH {
            rate * (1.0 - 0.5 * fraction)
        } else if fraction < LOW {
            let risen = rate * INCREASE.powf((since as f64 / 1e6).min(2.0));
            risen.min((demand * BEYOND).max(rate))
        } else {
            rate
        };
        self.rate = Some(rate);
        rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_loss_and_ends_at_demand() {
        let mut reported = ReportedLoss::default();
        let mut now = 0;
        let mut report = |fraction, demand| {
            now += 1_000_000;
            reported.on_loss(now, fraction, 300e3, demand)
        };
        let risen = (0..20).map(|_| report(0.0, 1e6)).last().unwrap();
        assert_eq!(risen, 1.3e6);
        assert_eq!(report(0.05, 1e6), risen);
        assert_eq!(report(0.2, 1e6), risen * 0.9);
        assert_eq!(report(0.0, 100e3), risen * 0.9, "less demand takes nothing away");
    }
}
