//! The rate that the delay allows: additive or multiplicative increase, multiplicative decrease.
//!
//! Follows libwebrtc `modules/remote_bitrate_estimator/aimd_rate_control.cc` and
//! `modules/congestion_controller/goog_cc/link_capacity_estimator.cc` (M128). Some things are our own: the decrease starts
//! from what arrived in the last 300 ms if that is much less than the acknowledged bitrate; and a sender that is
//! application-limited is not taken down to what it sends, but by a step; and only a probe that met the link's end tells
//! where that is.

use super::probe_result::Measured;
use super::trendline::Usage;

/// What is kept of what arrives. libwebrtc takes 0.85 and drains the queue with what is left; here `path` sees to that, and only
/// while there is a queue.
const BETA: f64 = 0.88;
/// What arrived lately counts if it is below this share of the acknowledged bitrate.
const FELL: f64 = 0.85;
/// Multiplicative increase per second.
const INCREASE: f64 = 1.08;
/// The rate rises above what arrives by no more than this.
const HEADROOM: f64 = 1.35;
const HEADROOM_BPS: f64 = 10_000.0;
/// Additive increase, per second at least.
const MIN_ADDITIVE: f64 = 4_000.0;
const FRAMES_PER_SECOND: f64 = 30.0;
const PACKET_BITS: f64 = 1_200.0 * 8.0;
/// Twice what libwebrtc's response takes: a queue is noticed, and has to drain.
const RESPONSE: f64 = 2.0;
/// The time that the detector takes, added to the round trip.
const DETECTOR_S: f64 = 0.1;
/// What arrives is of another link than the one that is known if it is off by three deviations, and by this much.
const MARGIN: f64 = 0.1;
/// What a probe that met the link's end adds at most: what arrived of it is more than its share where flows of others
/// had to wait behind it.
const MET_GAIN: f64 = 1.5;
/// What a probe that met the link's end takes of the way down to it, since what a single one measured is partly luck; and not below
/// what arrives with this room, which plainly fits.
const END_SHARE: f64 = 0.5;
const END_ROOM: f64 = 1.15;
/// After a probe raised the rate it takes so long until what arrives is of that rate, µs: a round trip, the feedback's
/// interval, and the window that is measured over.
const RISEN_US: i64 = 700_000;
/// A decrease may follow another after a round trip within these bounds, µs.
const DECREASE_INTERVAL_US: (i64, i64) = (10_000, 200_000);
/// For who sends little, the time that a burst takes to be over: one takes the rate down once, µs.
const BURST_INTERVAL_US: i64 = 800_000;

/// What arrived while a queue grew, averaged: where the link ends.
#[derive(Debug, Default)]
struct LinkCapacity {
    /// kbps.
    estimate: Option<f64>,
    deviation: f64,
}

impl LinkCapacity {
    fn update(&mut self, bps: f64, weight: f64) {
        let sample = bps / 1_000.0;
        let estimate = self.estimate.map_or(sample, |estimate| (1.0 - weight) * estimate + weight * sample);
        let error = estimate - sample;
        // Relative to the estimate, so that the deviation is about its square root.
        let deviation = if self.estimate.is_none() { 0.4 } else { self.deviation };
        self.deviation = ((1.0 - weight) * deviation + weight * error * error / estimate.max(1.0)).clamp(0.4, 2.5);
        self.estimate = Some(estimate);
    }

    fn bps(&self) -> Option<f64> {
        self.estimate.map(|kbps| kbps * 1_000.0)
    }

    /// Whether a rate is too far off to be of this link.
    fn is_beyond(&self, bps: f64) -> (bool, bool) {
        let Some(estimate) = self.estimate else { return (false, false) };
        let margin = (3.0 * (self.deviation * estimate).sqrt()).max(MARGIN * estimate);
        (bps / 1_000.0 < estimate - margin, bps / 1_000.0 > estimate + margin)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
}

/// What arrives, and how it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Throughput {
    /// The acknowledged bitrate.
    pub steady: Option<f64>,
    /// What arrived lately.
    pub recent: Option<f64>,
    pub application_limited: bool,
    /// A queue is never empty: what arrives is all that the link carries.
    pub is_flooded: bool,
}

/// See the module's text. Times in µs.
#[derive(Debug)]
pub(super) struct Aimd {
    bounds: (f64, f64),
    rate: f64,
    state: State,
    capacity: LinkCapacity,
    /// The rate is still the one that it started with, or what arrives: nothing was measured.
    is_guess: bool,
    changed: i64,
    decreased: Option<i64>,
    /// When a probe last raised the rate.
    risen: Option<i64>,
}

impl Aimd {
    pub(super) fn new(now: i64, start: f64, bounds: (f64, f64)) -> Self {
        Self {
            bounds,
            rate: start.clamp(bounds.0, bounds.1),
            state: State::Hold,
            capacity: LinkCapacity::default(),
            is_guess: true,
            changed: now,
            decreased: None,
            risen: None,
        }
    }

    pub(super) const fn rate(&self) -> f64 {
        self.rate
    }

    /// Nothing was measured.
    pub(super) const fn is_guess(&self) -> bool {
        self.is_guess
    }

    /// When the rate was last taken down.
    pub(super) const fn decreased(&self) -> Option<i64> {
        self.decreased
    }

    /// A probe measured this: more than what is sent.
    pub(super) fn on_probe(&mut self, now: i64, measured: Measured) {
        if measured.rate <= self.rate {
            // What was only assumed gives way to what met the link's end.
            if self.is_guess && measured.capacity.is_some() {
                self.set(now, measured.rate);
            }
            return;
        }
        self.risen = Some(now);
        let Some(capacity) = measured.capacity else {
            self.capacity = LinkCapacity::default();
            return self.set(now, measured.rate);
        };
        self.capacity.update(capacity, 0.5);
        let most = if self.is_guess { f64::MAX } else { self.rate * MET_GAIN };
        self.set(now, measured.rate.min(most));
    }

    /// A probe met the link's end below the rate, while so much arrives: where nothing else that is sent shows that end.
    pub(super) fn on_end(&mut self, now: i64, measured: Measured, arrives: f64) {
        let end = measured.rate.max(arrives * END_ROOM);
        if let Some(capacity) = measured.capacity.filter(|_| end < self.rate) {
            self.capacity.update(capacity, 0.5);
            self.set(now, self.rate - (self.rate - end) * END_SHARE);
        }
    }

    /// From elsewhere: feedback that stays away.
    pub(super) fn set(&mut self, now: i64, rate: f64) {
        self.is_guess = false;
        self.rate = rate.clamp(self.bounds.0, self.bounds.1);
        self.changed = now;
    }

    pub(super) fn update(&mut self, now: i64, usage: Usage, throughput: Throughput, rtt: i64) {
        match usage {
            Usage::Over => self.decrease(now, throughput, rtt),
            Usage::Under => self.state = State::Hold,
            Usage::Normal => {
                if self.state == State::Hold {
                    (self.state, self.changed) = (State::Increase, now);
                }
                self.increase(now, throughput, rtt);
            }
        }
    }

    fn increase(&mut self, now: i64, throughput: Throughput, rtt: i64) {
        let seconds = (now - std::mem::replace(&mut self.changed, now)) as f64 / 1e6;
        let Some(arrives) = throughput.steady else { return };
        if self.is_guess {
            self.rate = self.rate.max(arrives);
        }
        if self.capacity.is_beyond(arrives).1 {
            self.capacity = LinkCapacity::default();
        }
        let limit = arrives * HEADROOM + HEADROOM_BPS;
        if self.rate >= limit {
            return;
        }
        let step = match self.capacity.bps() {
            Some(_) => self.additive_per_second(rtt) * seconds,
            // Of two flows on a link the smaller must not be the slower.
            None => {
                let multiplicative = self.rate * (INCREASE.powf(seconds.min(1.0)) - 1.0);
                multiplicative.max(self.additive_per_second(rtt) * seconds)
            }
        };
        self.rate = (self.rate + step).min(limit).clamp(self.bounds.0, self.bounds.1);
    }

    /// About half a packet in the time that it takes to notice an effect.
    fn additive_per_second(&self, rtt: i64) -> f64 {
        let packet = (self.rate / FRAMES_PER_SECOND).min(PACKET_BITS);
        let response = RESPONSE * (rtt as f64 / 1e6 + DETECTOR_S);
        (packet / response).max(MIN_ADDITIVE)
    }

    fn decrease(&mut self, now: i64, throughput: Throughput, rtt: i64) {
        let steady = throughput.steady.unwrap_or(self.rate / 2.0);
        let mut arrives = throughput.recent.filter(|recent| *recent < FELL * steady).unwrap_or(steady);
        // What arrives is still that of the rate before: a step down from the new one, and not back to the old.
        if !throughput.is_flooded && self.risen.is_some_and(|risen| now - risen < RISEN_US) {
            arrives = arrives.max(self.rate);
        }
        let interval = rtt.clamp(DECREASE_INTERVAL_US.0, DECREASE_INTERVAL_US.1);
        let interval = if throughput.application_limited { BURST_INTERVAL_US } else { interval };
        let due = self.decreased.is_none_or(|decreased| now - decreased >= interval);
        if !due && (throughput.application_limited || arrives >= self.rate / 2.0) {
            return;
        }
        if throughput.application_limited {
            self.set(now, self.rate * BETA);
        } else {
            let mut rate = BETA * arrives;
            if rate > self.rate {
                rate = self.capacity.bps().map_or(rate, |capacity| BETA * capacity);
            }
            self.set(now, rate.min(self.rate));
            if self.capacity.is_beyond(arrives).0 {
                self.capacity = LinkCapacity::default();
            }
            self.capacity.update(arrives, 0.05);
        }
        self.state = State::Hold;
        self.decreased = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn sending(rate: f64) -> Throughput {
        Throughput { steady: Some(rate), recent: Some(rate), application_limited: false, is_flooded: false }
    }

    fn aimd(rate: f64) -> Aimd {
        let mut aimd = Aimd::new(0, rate, (30e3, 10e6));
        aimd.set(0, rate);
        aimd
    }

    #[test]
    fn rises_by_8_percent_a_second_where_the_link_is_unknown() {
        let mut aimd = aimd(1e6);
        for step in 0..=20 {
            aimd.update(step * SECOND / 10, Usage::Normal, sending(1e6), 50_000);
        }
        assert!((1.15e6..1.18e6).contains(&aimd.rate()), "{}", aimd.rate());
    }

    #[test]
    fn rises_no_further_than_what_arrives_vouches_for() {
        let mut aimd = aimd(1e6);
        for second in 0..100 {
            aimd.update(second * SECOND, Usage::Normal, sending(1e6), 50_000);
        }
        assert_eq!(aimd.rate(), 1.36e6);
        aimd.update(100 * SECOND, Usage::Normal, sending(0.1e6), 50_000);
        assert_eq!(aimd.rate(), 1.36e6, "who sends less is not taken down");
    }

    #[test]
    fn falls_below_what_arrives_and_then_rises_slowly() {
        let mut aimd = aimd(3e6);
        aimd.update(0, Usage::Over, sending(1e6), 50_000);
        assert_eq!(aimd.rate(), 1e6 * BETA);
        for step in 1..=100 {
            aimd.update(step * SECOND / 10, Usage::Normal, sending(0.9e6), 50_000);
        }
        assert!((1.0e6..1.3e6).contains(&aimd.rate()), "{}", aimd.rate());
    }

    #[test]
    fn decreases_are_a_round_trip_apart() {
        let mut aimd = aimd(1e6);
        aimd.update(0, Usage::Over, sending(1e6), 100_000);
        aimd.update(50_000, Usage::Over, sending(0.8e6), 100_000);
        assert_eq!(aimd.rate(), 1e6 * BETA);
        aimd.update(100_000, Usage::Over, sending(0.8e6), 100_000);
        assert_eq!(aimd.rate(), 0.8e6 * BETA);
    }

    #[test]
    fn an_application_limited_sender_loses_a_step_alone() {
        let mut aimd = aimd(5e6);
        let throughput = Throughput { application_limited: true, ..sending(0.3e6) };
        aimd.update(0, Usage::Over, throughput, 100_000);
        assert_eq!(aimd.rate(), 5e6 * BETA);
    }

    #[test]
    fn a_queue_that_is_never_empty_tells_more_than_the_probe_before_it() {
        for (is_flooded, expected) in [(false, 3e6 * BETA), (true, 1e6 * BETA)] {
            let mut aimd = aimd(2e6);
            aimd.on_probe(0, Measured { rate: 3e6, capacity: None });
            aimd.update(300_000, Usage::Over, Throughput { is_flooded, ..sending(1e6) }, 50_000);
            assert_eq!(aimd.rate(), expected);
        }
    }

    #[test]
    fn a_probe_that_met_the_end_takes_an_estimate_down_that_nothing_vouches_for() {
        let mut aimd = aimd(4e6);
        let met = Measured { rate: 2.85e6, capacity: Some(3e6) };
        (0..4).for_each(|second| aimd.on_end(second * SECOND, met, 2e6));
        assert!((2.85e6..3e6).contains(&aimd.rate()), "{}", aimd.rate());
        (0..9).for_each(|second| aimd.on_end(second * SECOND, Measured { rate: 1e6, ..met }, 2e6));
        assert!((2.3e6..2.31e6).contains(&aimd.rate()), "what arrives fits: {}", aimd.rate());
        aimd.on_end(0, Measured { capacity: None, ..met }, 1e6);
        assert!(aimd.rate() > 2.3e6, "a probe that met nothing takes nothing");
    }

    #[test]
    fn stays_within_its_bounds() {
        let mut aimd = aimd(1e6);
        aimd.update(0, Usage::Over, sending(1.0), 100_000);
        assert_eq!(aimd.rate(), 30e3);
        aimd.on_probe(1, Measured { rate: f64::MAX, capacity: None });
        assert_eq!(aimd.rate(), 10e6);
    }
}
