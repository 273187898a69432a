//! Does the delay grow? A line through the last groups' accumulated delay, compared with a threshold that adapts itself:
//! a flow that meets queues of others must not starve, one alone on its link must not fill it.
//!
//! Follows libwebrtc `modules/congestion_controller/goog_cc/trendline_estimator.cc` (M128).

use super::inter_arrival::Deltas;

const WINDOW: usize = 20;
/// Of the exponential filter on the accumulated delay.
const SMOOTHING: f64 = 0.9;
/// From the slope of the line to the scale of the threshold, in which it was first described.
const GAIN: f64 = 4.0;
const MAX_DELTAS: f64 = 60.0;
/// The trend must stay above the threshold so long, ms.
const OVERUSE_MS: f64 = 10.0;
const FIRST_THRESHOLD: f64 = 12.5;
const THRESHOLDS: (f64, f64) = (6.0, 600.0);
/// How fast the threshold follows the trend up and down, per ms.
const UP: f64 = 0.0087;
const DOWN: f64 = 0.039;
/// A trend so far above the threshold is a change of route and does not move it.
const MAX_ADAPT_OFFSET: f64 = 15.0;
const MAX_ADAPT_MS: f64 = 100.0;

/// What the delay says about the use of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Usage {
    #[default]
    Normal,
    /// A queue grows.
    Over,
    /// A queue drains.
    Under,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Trendline {
    /// Arrival and smoothed delay in ms, relative to the first group's; a ring.
    samples: [(f64, f64); WINDOW],
    count: u32,
    first_arrival: i64,
    accumulated: f64,
    smoothed: f64,
    threshold: f64,
    adapted: Option<i64>,
    previous_trend: f64,
    /// How long the trend is above the threshold, ms, and over how many groups.
    above: Option<(f64, u32)>,
    usage: Usage,
}

impl Default for Trendline {
    fn default() -> Self {
        Self {
            samples: [(0.0, 0.0); WINDOW],
            count: 0,
            first_arrival: 0,
            accumulated: 0.0,
            smoothed: 0.0,
            threshold: FIRST_THRESHOLD,
            adapted: None,
            previous_trend: 0.0,
            above: None,
            usage: Usage::Normal,
        }
    }
}

impl Trendline {
    pub(super) const fn usage(&self) -> Usage {
        self.usage
    }

    /// A group that arrived at `arrival` µs on the receiver's clock.
    pub(super) fn on_group(&mut self, deltas: Deltas, arrival: i64) {
        if self.count == 0 {
            self.first_arrival = arrival;
        }
        self.accumulated += (deltas.arrived - deltas.sent) as f64 / 1_000.0;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        let at = (arrival - self.first_arrival) as f64 / 1_000.0;
        self.samples[self.count as usize % WINDOW] = (at, self.smoothed);
        self.count = self.count.saturating_add(1);
        let slope =
            if self.count as usize >= WINDOW { slope(&self.samples).unwrap_or(self.previous_trend) } else { 0.0 };
        self.detect(slope, deltas.sent as f64 / 1_000.0, arrival);
    }

    fn detect(&mut self, slope: f64, sent_ms: f64, arrival: i64) {
        let trend = f64::from(self.count).min(MAX_DELTAS) * slope * GAIN;
        if trend > self.threshold {
            let (time, groups) = self.above.map_or((sent_ms / 2.0, 1), |(time, groups)| (time + sent_ms, groups + 1));
            self.above = Some((time, groups));
            if time > OVERUSE_MS && groups > 1 && slope >= self.previous_trend {
                self.above = Some((0.0, 0));
                self.usage = Usage::Over;
            }
        } else {
            self.above = None;
            self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.previous_trend = slope;
        self.adapt(trend.abs(), arrival);
    }

    fn adapt(&mut self, trend: f64, arrival: i64) {
        let since = (arrival - self.adapted.replace(arrival).unwrap_or(arrival)) as f64 / 1_000.0;
        if trend > self.threshold + MAX_ADAPT_OFFSET {
            return;
        }
        let speed = if trend < self.threshold { DOWN } else { UP };
        self.threshold += speed * (trend - self.threshold) * since.clamp(0.0, MAX_ADAPT_MS);
        self.threshold = self.threshold.clamp(THRESHOLDS.0, THRESHOLDS.1);
    }
}

/// The slope of the line of least squares; `None` if all came at one time.
fn slope(samples: &[(f64, f64); WINDOW]) -> Option<f64> {
    let sum = samples.iter().fold((0.0, 0.0), |sum, sample| (sum.0 + sample.0, sum.1 + sample.1));
    let mean = (sum.0 / WINDOW as f64, sum.1 / WINDOW as f64);
    let (numerator, denominator) = samples.iter().fold((0.0, 0.0), |(numerator, denominator), (x, y)| {
        (numerator + (x - mean.0) * (y - mean.1), denominator + (x - mean.0) * (x - mean.0))
    });
    (denominator != 0.0).then_some(numerator / denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups sent every 20 ms, each `growth` ms later than the one before; what it ends at and after how many groups
    /// it first said so.
    fn run(trendline: &mut Trendline, groups: i64, growth: impl Fn(i64) -> f64) -> Option<i64> {
        let mut arrival = trendline.adapted.unwrap_or(0);
        let mut first = None;
        for group in 0..groups {
            let arrived = 20_000 + (growth(group) * 1_000.0) as i64;
            arrival += arrived;
            trendline.on_group(Deltas { sent: 20_000, arrived }, arrival);
            if trendline.usage() == Usage::Over {
                first = first.or(Some(group));
            }
        }
        first
    }

    #[test]
    fn a_growing_queue_is_overuse_and_a_draining_one_underuse() {
        let mut trendline = Trendline::default();
        assert_eq!(run(&mut trendline, 100, |_| 0.0), None);
        let noticed = run(&mut trendline, 30, |_| 5.0).expect("overuse");
        assert!(noticed < 10, "after {noticed} groups");
        run(&mut trendline, 40, |_| -5.0);
        assert_eq!(trendline.usage(), Usage::Under);
        run(&mut trendline, 60, |_| 0.0);
        assert_eq!(trendline.usage(), Usage::Normal);
    }

    #[test]
    fn jitter_around_a_mean_is_no_overuse() {
        let mut trendline = Trendline::default();
        let noise = |group: i64| if group % 2 == 0 { 6.0 } else { -6.0 };
        assert_eq!(run(&mut trendline, 1_000, noise), None);
    }

    #[test]
    fn the_threshold_stays_within_its_bounds() {
        let mut trendline = Trendline::default();
        run(&mut trendline, 500, |_| 0.0);
        assert_eq!(trendline.threshold, THRESHOLDS.0);
        run(&mut trendline, 3_000, |group| if group / 40 % 2 == 0 { 3.0 } else { -3.0 });
        assert!(trendline.threshold > THRESHOLDS.0 && trendline.threshold <= THRESHOLDS.1);
    }
}
