//! How much arrives? Two measures of the same arrivals: a Bayesian estimate that trusts a sample the less the further it
//! is off, for the steady state; and the plain rate of the last 300 ms, which is right at once while a queue at the
//! bottleneck is never empty.
//!
//! The first follows libwebrtc `modules/congestion_controller/goog_cc/bitrate_estimator.cc` (M128); the second is our own:
//! the first needs about a second to follow a link that fell to a third.

/// The first sample takes longer, to be worth something.
const FIRST_WINDOW_US: i64 = 500_000;
const WINDOW_US: i64 = 150_000;
/// Doubt per relative distance of a sample from the estimate.
const UNCERTAINTY: f64 = 10.0;
/// What an estimate's variance starts with, and gains by a sample.
const FIRST_VARIANCE: f64 = 50.0;
const VARIANCE_STEP: f64 = 5.0;
/// And gains where a fast change is expected.
const CHANGE_VARIANCE: f64 = 200.0;

const BUCKETS: usize = 6;
const BUCKET_US: i64 = 50_000;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Acknowledged {
    /// kbps.
    estimate: Option<f64>,
    variance: f64,
    /// µs and bytes of the window that fills, and the last arrival.
    window: i64,
    bytes: u64,
    last: Option<i64>,
    /// Bytes by 50 ms of arrival; the last is the one that `bucket` names.
    buckets: [u32; BUCKETS],
    bucket: Option<i64>,
    filled: u8,
}

impl Default for Acknowledged {
    fn default() -> Self {
        Self {
            estimate: None,
            variance: FIRST_VARIANCE,
            window: 0,
            bytes: 0,
            last: None,
            buckets: [0; BUCKETS],
            bucket: None,
            filled: 0,
        }
    }
}

impl Acknowledged {
    /// Bits per second that arrive.
    pub(super) fn bitrate(&self) -> Option<f64> {
        self.estimate.map(|kbps| kbps * 1_000.0)
    }

    /// Bits per second that arrived in the last 250 to 300 ms.
    pub(super) fn recent(&self) -> Option<f64> {
        let whole = BUCKETS - 1;
        let bytes: u32 = self.buckets[..whole].iter().sum();
        (usize::from(self.filled) > whole).then(|| f64::from(bytes) * 8e6 / (whole as i64 * BUCKET_US) as f64)
    }

    /// The sender stops being application-limited.
    pub(super) fn expect_change(&mut self) {
        self.variance += CHANGE_VARIANCE;
    }

    /// What arrived since the last packet is not known: measure from the next one on.
    pub(super) fn skip(&mut self) {
        (self.window, self.bytes, self.last) = (0, 0, None);
        (self.bucket, self.filled) = (None, 0);
    }

    /// A packet arrived, at µs on the receiver's clock.
    pub(super) fn on_arrival(&mut self, at: i64, bytes: u16) {
        if let Some(sample) = self.advance(at) {
            self.on_sample(sample);
        }
        self.bytes += u64::from(bytes);
        self.fill_bucket(at, bytes);
    }

    /// Moves the window on and gives the rate of one that is full, in kbps.
    fn advance(&mut self, at: i64) -> Option<f64> {
        let length = if self.estimate.is_some() { WINDOW_US } else { FIRST_WINDOW_US };
        let since = at - self.last.replace(at).unwrap_or(at);
        if since < 0 {
            (self.window, self.bytes) = (0, 0);
            return None;
        }
        self.window += since;
        if since > length {
            self.bytes = 0;
            self.window %= length;
        }
        if self.window < length {
            return None;
        }
        let sample = self.bytes as f64 * 8e3 / length as f64;
        self.window -= length;
        self.bytes = 0;
        Some(sample)
    }

    fn on_sample(&mut self, sample: f64) {
        let Some(estimate) = self.estimate else {
            self.estimate = Some(sample);
            return;
        };
        let doubt = UNCERTAINTY * (estimate - sample).abs() / estimate.max(1.0);
        let (sample_variance, variance) = (doubt * doubt, self.variance + VARIANCE_STEP);
        let sum = sample_variance + variance;
        self.estimate = Some((sample_variance * estimate + variance * sample) / sum);
        self.variance = sample_variance * variance / sum;
    }

    fn fill_bucket(&mut self, at: i64, bytes: u16) {
        let bucket = at.div_euclid(BUCKET_US);
        let steps = self.bucket.map_or(BUCKETS as i64 + 1, |last| bucket - last);
        if steps > BUCKETS as i64 || steps < -1 {
            self.buckets = [0; BUCKETS];
            self.filled = 1;
        } else if steps > 0 {
            self.buckets.rotate_left(steps as usize % BUCKETS);
            self.buckets[BUCKETS - steps as usize..].fill(0);
            self.filled = self.filled.saturating_add(steps as u8).min(BUCKETS as u8);
        }
        self.bucket = Some(self.bucket.map_or(bucket, |last| if steps < -1 { bucket } else { last.max(bucket) }));
        let last = &mut self.buckets[BUCKETS - 1];
        *last = last.saturating_add(u32::from(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 1,000 bytes for so many ms at so many kbps.
    fn feed(acknowledged: &mut Acknowledged, start_ms: i64, len_ms: i64, kbps: i64) -> i64 {
        let gap = 8_000_000 / kbps;
        let (mut at, end) = (start_ms * 1_000, (start_ms + len_ms) * 1_000);
        while at < end {
            acknowledged.on_arrival(at, 1_000);
            at += gap;
        }
        start_ms + len_ms
    }

    #[test]
    fn measures_a_steady_rate() {
        let mut acknowledged = Acknowledged::default();
        feed(&mut acknowledged, 0, 3_000, 1_000);
        let (bitrate, recent) = (acknowledged.bitrate().unwrap(), acknowledged.recent().unwrap());
        assert!((950e3..1_050e3).contains(&bitrate), "{bitrate}");
        assert!((900e3..1_100e3).contains(&recent), "{recent}");
    }

    #[test]
    fn the_recent_rate_is_right_at_once() {
        let mut acknowledged = Acknowledged::default();
        let now = feed(&mut acknowledged, 0, 3_000, 3_000);
        feed(&mut acknowledged, now, 300, 1_000);
        let (bitrate, recent) = (acknowledged.bitrate().unwrap(), acknowledged.recent().unwrap());
        assert!(bitrate > 1_500e3, "the estimate lags: {bitrate}");
        assert!((900e3..1_150e3).contains(&recent), "{recent}");
    }

    #[test]
    fn what_was_not_told_is_not_taken_for_lost() {
        let mut acknowledged = Acknowledged::default();
        let mut now = 0;
        for _ in 0..50 {
            now = feed(&mut acknowledged, now, 200, 1_000) + 100;
            acknowledged.skip();
        }
        now = feed(&mut acknowledged, now, 1_000, 1_000);
        let bitrate = acknowledged.bitrate().unwrap();
        assert!((900e3..1_100e3).contains(&bitrate), "{bitrate}");
        acknowledged.skip();
        feed(&mut acknowledged, now, 100, 1_000);
        assert_eq!(acknowledged.recent(), None);
    }

    #[test]
    fn any_times_are_survived() {
        let mut acknowledged = Acknowledged::default();
        for at in [0, i64::from(i32::MAX) * 1_000, -5_000_000, 40, 1_000_000_000, 1_000_060_000, 999_990_000] {
            acknowledged.on_arrival(at, u16::MAX);
            acknowledged.on_arrival(at + 600_000, u16::MAX);
            assert!(acknowledged.bitrate().is_none_or(f64::is_finite));
        }
    }
}
