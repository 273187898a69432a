//! Percentiles: exact ones of few values (join times), and of many through a histogram (latencies).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The usual percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many values there were.
    pub count: u64,
    /// Half of them were no longer.
    pub p50_ms: f64,
    /// Nine in ten were no longer.
    pub p90_ms: f64,
    /// All but one in a hundred were no longer.
    pub p99_ms: f64,
    /// All but one in a thousand were no longer.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Percentiles {
    /// Of a few values, exactly (nearest rank); `None` without values.
    pub fn of(values: &[Duration]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let at = |per_mille: usize| sorted.get((sorted.len() * per_mille).div_ceil(1_000).max(1) - 1).copied();
        Some(Self {
            count: sorted.len() as u64,
            p50_ms: millis(at(500)?),
            p90_ms: millis(at(900)?),
            p99_ms: millis(at(990)?),
            p999_ms: millis(at(999)?),
            max_ms: millis(*sorted.last()?),
        })
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

const SUB_BITS: u32 = 5;
const SUB: usize = 1 << SUB_BITS;
const BUCKETS: usize = SUB * 32;

/// Microseconds in buckets whose width is 1/32 of their value at most.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(micros)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// Adds another histogram's values.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(ours, theirs)| *ours += theirs);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// What was recorded since `earlier`, an older copy of this histogram. The longest value stays that of all.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut recent = self.clone();
        recent.buckets.iter_mut().zip(&earlier.buckets).for_each(|(now, then)| *now = now.saturating_sub(*then));
        recent.count = self.count.saturating_sub(earlier.count);
        recent
    }

    /// Values above each bound of a set that doubles: microseconds and how many values lay in `(bound / 2, bound]`.
    pub fn doubling(&self) -> Vec<(u64, u64)> {
        let mut counts: Vec<(u64, u64)> = Vec::new();
        for (bucket, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            let bound = upper_of(bucket).max(1).next_power_of_two();
            match counts.last_mut().filter(|(last, _)| *last == bound) {
                Some((_, sum)) => *sum += count,
                None => counts.push((bound, *count)),
            }
        }
        counts
    }

    /// The usual percentiles; `None` without values.
    pub fn percentiles(&self) -> Option<Percentiles> {
        (self.count > 0).then(|| Percentiles {
            count: self.count,
            p50_ms: self.quantile_ms(500),
            p90_ms: self.quantile_ms(900),
            p99_ms: self.quantile_ms(990),
            p999_ms: self.quantile_ms(999),
            max_ms: millis(self.max),
        })
    }

    fn quantile_ms(&self, per_mille: u64) -> f64 {
        let rank = (self.count * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        let reached = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        millis(Duration::from_micros(upper_of(reached.unwrap_or(BUCKETS - 1))).min(self.max))
    }
}

/// The bucket of a value: exact below 32, then 32 buckets per power of two; the last takes all that is longer.
fn bucket_of(micros: u64) -> usize {
    if micros < SUB as u64 {
        return micros as usize;
    }
    let exponent = micros.ilog2() - SUB_BITS;
    (SUB * (exponent as usize + 1) + (micros >> exponent) as usize - SUB).min(BUCKETS - 1)
}

/// The largest value that a bucket holds.
fn upper_of(bucket: usize) -> u64 {
    if bucket < SUB {
        return bucket as u64;
    }
    let exponent = bucket / SUB - 1;
    (((bucket % SUB + SUB + 1) as u64) << exponent) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nearest_rank() {
        let values: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        let found = Percentiles::of(&values).unwrap();
        assert_eq!((found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms), (50.0, 90.0, 99.0, 100.0));
        assert_eq!(Percentiles::of(&values[..1]).unwrap().p50_ms, 100.0);
        assert_eq!(Percentiles::of(&[]), None);
    }

    proptest! {
        #[test]
        fn the_histogram_is_right_to_a_thirtieth(values in proptest::collection::vec(0u64..10_000_000, 1..200)) {
            let durations: Vec<_> = values.iter().map(|micros| Duration::from_micros(*micros)).collect();
            let exact = Percentiles::of(&durations).unwrap();
            let (mut first, mut second) = (Histogram::default(), Histogram::default());
            for (position, value) in durations.iter().enumerate() {
                if position % 2 == 0 { first.record(*value) } else { second.record(*value) }
            }
            first.merge(&second);
            let found = first.percentiles().unwrap();
            for (found, exact) in [(found.p50_ms, exact.p50_ms), (found.p99_ms, exact.p99_ms), (found.max_ms, exact.max_ms)] {
                prop_assert!(found >= exact - 1e-9 && found <= exact * (1.0 + 1.0 / 30.0) + 1e-9, "{} {}", found, exact);
            }
        }

        #[test]
        fn every_value_has_a_bucket(micros: u64) {
            prop_assert!(bucket_of(micros) < BUCKETS);
        }
    }
}
