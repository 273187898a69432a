//! A bottleneck in virtual time: capacity by a schedule, a queue with tail drop, delay, jitter, loss.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What a link is like.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// From when on which capacity holds, in bits per second. Ascends and starts at zero.
    pub capacity: Vec<(Duration, u64)>,
    /// What would wait longer is dropped.
    pub queue: Duration,
    /// One way.
    pub delay: Duration,
    /// Each packet takes up to so much longer.
    pub jitter: Duration,
    /// Whether jitter makes packets overtake each other; otherwise they wait for the one before.
    pub reorder: bool,
    /// Each packet is lost with this probability, 0 to 1, after it took its share of the capacity.
    pub loss: f64,
}

impl LinkConfig {
    /// A steady link of so many kbps with 25 ms of delay and a queue of 500 ms.
    pub fn steady(kbps: u64) -> Self {
        Self {
            capacity: vec![(Duration::ZERO, kbps * 1_000)],
            queue: Duration::from_millis(500),
            delay: Duration::from_millis(25),
            jitter: Duration::ZERO,
            reorder: false,
            loss: 0.0,
        }
    }

    /// The capacity changes to so many kbps after so many seconds.
    pub fn then(mut self, seconds: u64, kbps: u64) -> Self {
        self.capacity.push((Duration::from_secs(seconds), kbps * 1_000));
        self
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy)]
pub struct Passage {
    /// How long it waited behind others.
    pub waited: Duration,
    /// `None`: lost.
    pub arrival: Option<Instant>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    start: Instant,
    random: StdRng,
    /// When what was accepted has left the queue.
    free: Instant,
    last_arrival: Instant,
}

impl Link {
    pub fn new(start: Instant, seed: u64, config: LinkConfig) -> Self {
        Self { config, start, random: StdRng::seed_from_u64(seed), free: start, last_arrival: start }
    }

    /// Bits per second at a time.
    pub fn capacity(&self, at: Instant) -> u64 {
        let since = at - self.start;
        self.config.capacity.iter().rev().find(|(from, _)| *from <= since).map_or(0, |(_, bps)| *bps)
    }

    /// How long a packet would wait now.
    pub fn backlog(&self, now: Instant) -> Duration {
        self.free.saturating_duration_since(now)
    }

    /// A packet enters. The calls' times ascend.
    pub fn send(&mut self, now: Instant, bytes: usize) -> Passage {
        let waited = self.backlog(now);
        if waited > self.config.queue {
            return Passage { waited, arrival: None };
        }
        self.free = self.leaves(self.free.max(now), bytes as f64 * 8.0);
        let lost = self.random.random_bool(self.config.loss);
        let jitter = self.config.jitter.mul_f64(self.random.random_range(0.0..1.0));
        let mut arrival = self.free + self.config.delay + jitter;
        if !self.config.reorder {
            arrival = arrival.max(self.last_arrival);
            self.last_arrival = arrival;
        }
        Passage { waited, arrival: (!lost).then_some(arrival) }
    }

    /// When so many bits that begin at `from` are through, across changes of the capacity.
    fn leaves(&self, mut from: Instant, mut bits: f64) -> Instant {
        loop {
            let bps = self.capacity(from).max(1) as f64;
            let done = from + Duration::from_secs_f64(bits / bps);
            let change = self.config.capacity.iter().map(|(at, _)| self.start + *at).find(|at| *at > from);
            let Some(change) = change.filter(|change| *change < done) else { return done };
            bits -= (change - from).as_secs_f64() * bps;
            from = change;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_at_its_capacity_and_drops_at_the_tail() {
        let start = Instant::now();
        let mut link = Link::new(start, 1, LinkConfig::steady(1_000));
        let passages = (0..100).map(|_| link.send(start, 1_250)).collect::<Vec<_>>();
        let arrived = passages.iter().filter_map(|passage| passage.arrival).collect::<Vec<_>>();
        assert_eq!(arrived.len(), 51, "500 ms of 10 ms each, and the one in service");
        assert_eq!(arrived[50] - start, Duration::from_millis(510 + 25));
        assert_eq!(passages[99].waited, Duration::from_millis(510));
    }

    #[test]
    fn a_change_of_capacity_takes_effect_in_the_queue() {
        let start = Instant::now();
        let mut link = Link::new(start, 1, LinkConfig::steady(1_000).then(1, 2_000));
        let passage = link.send(start + Duration::from_millis(990), 2_500);
        assert_eq!(passage.arrival.unwrap() - start, Duration::from_millis(1_005 + 25));
    }

    #[test]
    fn loses_as_many_as_it_is_told() {
        let start = Instant::now();
        let mut link = Link::new(start, 7, LinkConfig { loss: 0.1, ..LinkConfig::steady(100_000) });
        let step = Duration::from_millis(1);
        let lost = (0..10_000).filter(|n| link.send(start + step * *n, 1_000).arrival.is_none()).count();
        assert!((900..1_100).contains(&lost), "{lost}");
    }
}
