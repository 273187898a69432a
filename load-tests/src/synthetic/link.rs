//! A last mile between the server and one participant: loss, delay and a bottleneck with a queue, applied to what the
//! participant receives. In this process instead of a proxy, because thousands of participants need thousands of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// What the last mile is like. All directions of delay are put on the way down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct Profile {
    /// Datagrams that are lost, in per cent.
    pub loss_percent: f64,
    /// The round trip that is added, in milliseconds.
    pub rtt_ms: u32,
    /// The bottleneck, in bits per second; 0: none.
    pub bitrate: u64,
    /// How long the bottleneck's queue may be, in milliseconds; more is dropped.
    pub queue_ms: u32,
}

impl Profile {
    /// Whether it does anything.
    pub fn is_clear(&self) -> bool {
        self.loss_percent <= 0.0 && self.rtt_ms == 0 && self.bitrate == 0
    }
}

/// One participant's last mile.
pub struct Link {
    profile: Profile,
    rng: SmallRng,
    free_at: Option<Instant>,
    under_way: VecDeque<(Instant, Vec<u8>)>,
}

impl Link {
    /// The same seed loses the same datagrams.
    pub fn new(profile: Profile, seed: u64) -> Self {
        Self { profile, rng: SmallRng::seed_from_u64(seed), free_at: None, under_way: VecDeque::new() }
    }

    /// A datagram enters.
    pub fn enter(&mut self, at: Instant, datagram: &[u8]) {
        if self.rng.random_range(0.0..100.0) < self.profile.loss_percent {
            return;
        }
        let mut leaves = at;
        if self.profile.bitrate > 0 {
            let start = self.free_at.map_or(at, |free| free.max(at));
            let limit = Duration::from_millis(self.profile.queue_ms.max(1).into());
            if start.saturating_duration_since(at) > limit {
                return;
            }
            // 28 bytes of IP and UDP headers.
            let bits = (datagram.len() + 28) as f64 * 8.0;
            leaves = start + Duration::from_secs_f64(bits / self.profile.bitrate as f64);
            self.free_at = Some(leaves);
        }
        let arrives = leaves + Duration::from_millis(self.profile.rtt_ms.into());
        self.under_way.push_back((arrives, datagram.to_vec()));
    }

    /// The next datagram that has arrived by `now`, and when.
    pub fn leave(&mut self, now: Instant) -> Option<(Instant, Vec<u8>)> {
        self.under_way.pop_front_if(|(at, _)| *at <= now)
    }

    /// When the next one arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.front().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(profile: Profile, count: u32) -> Vec<Duration> {
        let start = Instant::now();
        let mut link = Link::new(profile, 1);
        (0..count).for_each(|_| link.enter(start, &[0; 972]));
        std::iter::from_fn(|| link.leave(start + Duration::from_secs(99))).map(|(at, _)| at - start).collect()
    }

    #[test]
    fn a_bottleneck_spaces_datagrams_and_its_queue_overflows() {
        let profile = Profile { bitrate: 1_000_000, queue_ms: 40, rtt_ms: 10, ..Profile::default() };
        let found = arrivals(profile, 100);
        assert_eq!(found[..2], [Duration::from_millis(18), Duration::from_millis(26)]);
        assert_eq!(found.len(), 6, "those that start within 40 ms: at 0, 8, ... 40");
    }

    #[test]
    fn loss_is_near_what_is_asked_for() {
        let kept = arrivals(Profile { loss_percent: 10.0, ..Profile::default() }, 10_000).len();
        assert!((8_800..9_200).contains(&kept), "{kept}");
        assert!(Profile::default().is_clear());
    }
}
