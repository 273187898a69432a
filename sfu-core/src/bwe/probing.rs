//! When to send faster than the estimate for a moment, to learn whether more would fit.
//!
//! Follows libwebrtc `modules/congestion_controller/goog_cc/probe_controller.cc` (M128): at the start twice the first
//! estimate (libwebrtc: 3 and 6 times); twice the result again while 70 % of a probe arrives; what was there before a large drop, once the
//! queue has drained. Our own is when else: libwebrtc probes periodically while the *encoder* sends less than the estimate,
//! and leaves the rest to the encoder's fine steps. An SFU has a few layers to choose from and can be stuck below the
//! next one with no application limit in sight. So we probe whenever the allocation has a use for more than the
//! estimate (`demand`), every [`INTERVAL_US`], and at once when demand rises; and never much beyond demand, which also
//! ends it.

use crate::unit::Bitrate;

/// Factors on the estimate of the first probe, of the next while they succeed, and of one when demand rises.
const NEXT: f64 = 2.0;
/// The factor of a periodic probe: what it adds to a full link is to stay a small queue.
const PERIODIC: f64 = 1.35;
/// A result above this share of a probe's rate, and this much above the estimate, has not met the link's end.
const SUCCESS: f64 = 0.7;
const GAIN: f64 = 1.1;
/// Results come within this time, or not at all.
const PATIENCE_US: i64 = 1_000_000;
/// Between probes where there is demand, and up to so much more: two flows that probe in step see each other's probes
/// instead of the link.
const INTERVAL_US: i64 = 2_500_000;
const SPREAD_US: u64 = 1_000_000;
/// The same after a probe that found more, and then a queue.
const RETRY_US: i64 = 1_000_000;
/// After the rate was taken down, a queue drains first. Of two flows on a link the smaller gains more by a probe: to wait
/// longer would make them less equal.
const CALM_US: i64 = 600_000;
/// There is demand while the estimate is below so much of it: the allocation wants some room to go up.
const ROOM: f64 = 1.15;
/// Probes go no further than this much of the demand; a result is a little below its probe.
const BEYOND: f64 = 1.3;
/// The same at the start: a picture that takes half as much again as was assumed must not be paused for it.
const FIRST_ROOM: f64 = 1.6;
const FIRST_BEYOND: f64 = 2.2;
/// A rise of demand by this much is worth a probe at once.
const RISE: f64 = 1.1;
/// A drop below this share is large; within `DROP_MEMORY_US` the former rate is probed, less some.
const LARGE_DROP: f64 = 0.66;
const DROP_MEMORY_US: i64 = 5_000_000;
const AFTER_DROP: f64 = 0.85;
/// How long a probe lasts, and how many packets it takes. libwebrtc's 15 ms fit between two frames of another flow on the
/// same link, and then measure a link of their own; this is two frames at 30 per second.
const DURATION_S: f64 = 0.07;
const MIN_PACKETS: u8 = 5;
/// No probe takes more than the estimate sends in this time: one at the rate from before a large drop would else queue for
/// seconds if the link is no better by now.
const MOST_S: f64 = 0.15;

/// The packets of one probe. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeId(pub u8);

/// Send this much at this rate, of whatever there is: media, retransmissions, padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Marks its packets in [`Estimator::on_sent`](super::Estimator::on_sent).
    pub id: ProbeId,
    pub rate: Bitrate,
    pub bytes: u32,
    pub min_packets: u8,
}

/// How things are; rates in bits per second, times in µs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    pub now: i64,
    pub estimate: f64,
    pub demand: f64,
    pub max: f64,
    /// The delay is steady and loss holds nothing back.
    pub is_calm: bool,
    /// When the rate was last taken down.
    pub decreased: Option<i64>,
    /// The first seconds: what is wanted was assumed rather than measured.
    pub is_first: bool,
}

impl Situation {
    /// The highest rate worth a probe, if any is.
    fn ceiling(&self) -> Option<f64> {
        let (room, beyond) = if self.is_first { (FIRST_ROOM, FIRST_BEYOND) } else { (ROOM, BEYOND) };
        let wanted = (self.demand * room).min(self.max);
        (self.estimate < wanted * 0.99).then(|| (self.demand * beyond).min(self.max))
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct ProbeController {
    pending: Option<f64>,
    started: Option<i64>,
    /// While results are waited for: the one that asks for more.
    success: Option<f64>,
    /// Demand when last probed.
    demand: f64,
    estimate: f64,
    /// When, and from what.
    drop: Option<(i64, f64)>,
    /// Until the next periodic probe.
    interval: i64,
    last_id: u8,
}

impl ProbeController {
    pub(super) fn poll(&mut self, situation: Situation) {
        let now = situation.now;
        self.note_drop(&situation);
        if self.started.is_some_and(|started| now - started > PATIENCE_US) {
            self.success = None;
            self.pending = None;
        }
        let is_calm = situation.is_calm && situation.decreased.is_none_or(|at| now - at > CALM_US);
        if self.started.is_none() && is_calm && situation.demand > 0.0 {
            // What is assumed at the start has to be shown, also where it seems enough.
            return self.start(&situation, NEXT, (situation.demand * BEYOND).min(situation.max));
        }
        let Some(ceiling) = situation.ceiling().filter(|_| is_calm && self.success.is_none()) else { return };
        let Some(started) = self.started else { return };
        if let Some((at, before)) = self.drop.take_if(|_| now - started > PATIENCE_US) {
            let former = before * AFTER_DROP / situation.estimate;
            if now - at < DROP_MEMORY_US && former > 1.0 {
                return self.start(&situation, former, ceiling);
            }
        }
        if situation.demand > self.demand * RISE {
            self.start(&situation, NEXT, ceiling);
        } else if now - started >= self.interval {
            self.start(&situation, PERIODIC, ceiling);
        }
    }

    /// Results are waited for.
    pub(super) const fn is_active(&self) -> bool {
        self.success.is_some()
    }

    /// A probe measured so much; the estimate has followed if it is to.
    pub(super) fn on_result(&mut self, result: f64, situation: Situation) {
        self.estimate = situation.estimate;
        if self.success.is_some_and(|success| result > success) {
            self.success = None;
            match situation.ceiling() {
                Some(ceiling) if situation.is_calm => self.start(&situation, NEXT, ceiling),
                _ => self.interval = RETRY_US,
            }
        }
    }

    /// The next probe to send.
    pub(super) fn take(&mut self) -> Option<Probe> {
        let rate = self.pending.take()?;
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        let bytes = ((rate * DURATION_S).min(self.estimate * MOST_S) / 8.0) as u32;
        Some(Probe { id: ProbeId(self.last_id), rate: Bitrate(rate as u64), bytes, min_packets: MIN_PACKETS })
    }

    fn start(&mut self, situation: &Situation, factor: f64, ceiling: f64) {
        let rate = (situation.estimate * factor).min(ceiling);
        self.pending = Some(rate);
        self.started = Some(situation.now);
        self.demand = situation.demand;
        self.interval = INTERVAL_US + spread(situation.estimate);
        self.success = Some((rate * SUCCESS).max(situation.estimate * GAIN));
    }

    fn note_drop(&mut self, situation: &Situation) {
        if situation.estimate < self.estimate * LARGE_DROP {
            self.drop = Some((situation.now, self.estimate));
        }
        self.estimate = situation.estimate;
    }
}

/// Differs from flow to flow and from time to time, as an estimate's last bits do.
const fn spread(estimate: f64) -> i64 {
    (((estimate.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) * SPREAD_US) >> 32) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Situation =
        Situation { now: 0, estimate: 300e3, demand: 5e6, max: 50e6, is_calm: true, decreased: None, is_first: false };

    fn taken(controller: &mut ProbeController) -> Vec<u64> {
        std::iter::from_fn(|| controller.take()).map(|probe| probe.rate.0 / 1_000).collect()
    }

    fn at(ms: i64, situation: Situation) -> Situation {
        Situation { now: ms * 1_000, ..situation }
    }

    #[test]
    fn doubles_while_probes_succeed() {
        let mut controller = ProbeController::default();
        controller.poll(CALM);
        assert_eq!(taken(&mut controller), [600]);
        controller.on_result(550e3, at(100, Situation { estimate: 550e3, ..CALM }));
        assert_eq!(taken(&mut controller), [1_100]);
        controller.on_result(650e3, at(200, Situation { estimate: 650e3, ..CALM }));
        assert_eq!(taken(&mut controller), [0; 0], "650 kbps of 1.1 Mbps is the link's end");
    }

    #[test]
    fn a_probe_that_found_more_and_then_a_queue_is_soon_followed() {
        let mut controller = ProbeController::default();
        controller.poll(CALM);
        taken(&mut controller);
        let grown = Situation { estimate: 550e3, ..CALM };
        controller.on_result(550e3, at(100, Situation { is_calm: false, ..grown }));
        controller.poll(at(900, grown));
        assert_eq!(controller.take(), None);
        controller.poll(at(1_000, grown));
        assert_eq!(taken(&mut controller), [742]);
    }

    #[test]
    fn probes_periodically_as_long_as_there_is_demand() {
        let mut controller = ProbeController::default();
        let mut probes = 0;
        for ms in (0..30_000).step_by(5) {
            controller.poll(at(ms, Situation { estimate: 1e6, ..CALM }));
            probes += taken(&mut controller).len();
        }
        assert!((1 + 8..=1 + 11).contains(&probes), "{probes}");
        let satisfied = Situation { estimate: 6e6, ..CALM };
        for ms in (30_000..60_000).step_by(5) {
            controller.poll(at(ms, satisfied));
            assert_eq!(controller.take(), None);
        }
    }

    #[test]
    fn goes_no_further_than_demand() {
        let mut controller = ProbeController::default();
        controller.poll(Situation { demand: 400e3, ..CALM });
        assert_eq!(taken(&mut controller), [520]);
        let mut idle = ProbeController::default();
        idle.poll(Situation { demand: 100e3, ..CALM });
        assert_eq!(taken(&mut idle), [130], "what is assumed at the start has to be shown");
        idle.poll(at(1_005, Situation { demand: 100e3, ..CALM }));
        assert_eq!(idle.take(), None);
        idle.poll(at(1_010, CALM));
        assert_eq!(taken(&mut idle), [600]);
    }

    #[test]
    fn a_rise_of_demand_is_probed_at_once() {
        let mut controller = ProbeController::default();
        controller.poll(Situation { demand: 400e3, ..CALM });
        taken(&mut controller);
        let grown = Situation { estimate: 480e3, demand: 400e3, ..CALM };
        controller.poll(at(1_500, grown));
        assert_eq!(controller.take(), None);
        controller.poll(at(1_600, Situation { demand: 3e6, ..grown }));
        assert_eq!(taken(&mut controller), [960]);
    }

    #[test]
    fn waits_until_a_queue_has_drained_and_then_asks_for_the_former_rate() {
        let mut controller = ProbeController::default();
        controller.poll(CALM);
        taken(&mut controller);
        controller.poll(at(2_000, Situation { estimate: 3e6, ..CALM }));
        let fallen = Situation { estimate: 1e6, decreased: Some(2_500_000), ..CALM };
        controller.poll(at(2_500, Situation { is_calm: false, ..fallen }));
        controller.poll(at(3_000, fallen));
        assert_eq!(controller.take(), None);
        controller.poll(at(3_200, fallen));
        assert_eq!(taken(&mut controller), [2_550]);
    }

    #[test]
    fn ids_are_never_0() {
        let mut controller = ProbeController::default();
        for round in 0..600 {
            controller.poll(at(round * 4_000, CALM));
            while let Some(probe) = controller.take() {
                assert_ne!(probe.id.0, 0);
                assert!(probe.bytes > 0);
            }
        }
    }
}
