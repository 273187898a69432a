//! The rate that loss allows.
//!
//! Loss above 10 % takes the rate down, below 2 % lets it rise, as ever in GCC (libwebrtc
//! `modules/congestion_controller/goog_cc/send_side_bandwidth_estimation.cc`). But a wireless link may lose a tenth at
//! any rate, and sending less does not help there. libwebrtc's `loss_based_bwe_v2.cc` (M128) infers how much of the loss
//! is the link's own (inherent) from observations at different rates; we ask directly: when loss exceeds what is known to
//! be inherent, send 20 % less for a moment. A full queue or a policer then loses much less, a bad link the same. The
//! first means a limit at what arrived; the second is remembered, and not asked again for a while.
//!
//! A queue that grows is the delay's business and found before it overflows: what is decided here is about links with
//! next to no queue.

/// Loss above what is inherent that takes the rate down, and that lets it rise.
const HIGH: f64 = 0.10;
const LOW: f64 = 0.02;
/// More than what is known to be inherent by this asks again.
const ABOVE_INHERENT: f64 = 0.06;
const MAX_INHERENT: f64 = 0.5;
/// A test sends so much of what it was.
const TEST_RATE: f64 = 0.8;
/// After this the test's packets are what is reported; then it takes so long, µs.
const SETTLE_US: i64 = 600_000;
const TEST_US: i64 = 1_200_000;
/// Between tests that found the loss to be inherent, doubling, µs.
const RETEST_US: i64 = 20_000_000;
const MAX_RETEST_US: i64 = 320_000_000;
/// Growth per second where loss is low.
const INCREASE: f64 = 1.08;
/// A limit that rose above so much of what was too much, with no more loss, limits nothing either.
const REFUTED: f64 = 1.05;
/// Loss that stays although the limit fell below this share of what once arrived is not of a limit.
const GIVE_UP: f64 = 0.6;
/// A limit above so much of the delay's rate limits nothing.
const RELEASE: f64 = 1.2;
/// A limit is probed after so long without loss; the longer the more often what a probe found was too much, µs.
const PATIENCE_US: (i64, i64) = (2_000_000, 32_000_000);
/// An observation takes so long and so many packets at least.
const OBSERVATION_US: i64 = 250_000;
const OBSERVATION_PACKETS: f64 = 20.0;
/// Of an older observation, per newer one.
const WEIGHT: f64 = 0.75;
/// The same where a test depends on it: a fifth less is not sent for a moment's bad luck.
const LONG_WEIGHT: f64 = 0.9;
/// Standard deviations of the share of lost packets that are bad luck.
const SIGMAS: f64 = 2.5;
/// So many packets, weighed, are needed to act on.
const ENOUGH_PACKETS: f64 = 100.0;

/// Packets whose fate was told, of some time.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    packets: f64,
    lost: f64,
    bytes: f64,
    seconds: f64,
}

impl Counts {
    const NONE: Self = Self { packets: 0.0, lost: 0.0, bytes: 0.0, seconds: 0.0 };

    /// These and those, less a part of those.
    fn plus(self, other: Self, weight: f64) -> Self {
        Self {
            packets: self.packets + weight * other.packets,
            lost: self.lost + weight * other.lost,
            bytes: self.bytes + weight * other.bytes,
            seconds: self.seconds + weight * other.seconds,
        }
    }

    /// The share that is lost at least, but for bad luck.
    fn sure_loss(&self) -> f64 {
        let Level { loss, .. } = self.level();
        loss - SIGMAS * (loss * (1.0 - loss) / self.packets.max(1.0)).sqrt()
    }

    fn level(&self) -> Level {
        Level {
            loss: (self.lost / self.packets.max(1.0)).clamp(0.0, 1.0),
            sent: if self.seconds > 0.0 { self.bytes * 8.0 / self.seconds } else { 0.0 },
        }
    }
}

/// What is being done about loss; rates in bits per second.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Free,
    /// Whether less helps.
    Testing {
        since: i64,
        before: Level,
        limit: f64,
    },
    Limited {
        rate: f64,
        /// The best rate since.
        best: f64,
        /// What was sent when it was too much.
        before: f64,
    },
}

/// Loss at a rate.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Level {
    loss: f64,
    sent: f64,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct LossController {
    current: Counts,
    began: i64,
    /// The past, fading.
    faded: Counts,
    /// The same, fading more slowly.
    long: Counts,
    state: State,
    /// All that was told since a test settled.
    test: Counts,
    inherent: f64,
    retest: (i64, i64),
    /// When there was last too much loss for a limit to rise, how long a probe waits after that, and whether one raised
    /// the limit since.
    excess_at: i64,
    patience: i64,
    raised: bool,
}

impl LossController {
    pub(super) const fn new(now: i64) -> Self {
        Self {
            current: Counts::NONE,
            began: now,
            faded: Counts::NONE,
            long: Counts::NONE,
            state: State::Free,
            test: Counts::NONE,
            inherent: 0.0,
            retest: (i64::MIN, RETEST_US),
            excess_at: now,
            patience: PATIENCE_US.0,
            raised: false,
        }
    }

    /// 0 to 1, over the last second or so.
    pub(super) fn loss(&self) -> f64 {
        self.current.plus(self.faded, 1.0).level().loss
    }

    /// The share that is lost, at least, of what is no probe: so much of one is lost at any rate.
    pub(super) fn usual(&self) -> f64 {
        self.long.sure_loss().clamp(0.0, MAX_INHERENT)
    }

    /// The highest rate that loss allows, if it says anything.
    pub(super) const fn limit(&self) -> Option<f64> {
        match self.state {
            State::Free => None,
            State::Testing { limit, .. } => Some(limit),
            State::Limited { rate, .. } => Some(rate),
        }
    }

    /// Whether it makes sense to send faster for a moment: not right after less turned out to be better, unless next to
    /// nothing is sent, which says nothing.
    pub(super) const fn allows_probe(&self, now: i64, application_limited: bool) -> bool {
        match self.state {
            State::Free => true,
            State::Testing { since, .. } => application_limited && now - since > SETTLE_US + TEST_US,
            State::Limited { .. } => now - self.excess_at > self.patience,
        }
    }

    /// A probe measured more than the limit.
    pub(super) fn on_probe(&mut self, measured: f64) {
        match &mut self.state {
            State::Limited { rate, best, .. } => {
                *rate = rate.max(measured);
                *best = best.max(*rate);
                self.raised = true;
            }
            State::Testing { .. } => self.state = State::Free,
            State::Free => {}
        }
    }

    /// Loss in a probe says nothing about the rate that is sent at.
    pub(super) fn on_packet(&mut self, bytes: u16, lost: bool, is_probe: bool) {
        self.current.bytes += f64::from(bytes);
        if !is_probe {
            self.current.packets += 1.0;
            self.current.lost += f64::from(u8::from(lost));
        }
    }

    /// A packet that was counted as lost arrived after all.
    pub(super) fn on_late_arrival(&mut self, is_probe: bool) {
        if !is_probe {
            self.current.lost -= 1.0;
        }
    }

    /// To be called after each feedback; `rate` is the delay's.
    pub(super) fn update(&mut self, now: i64, rate: f64) {
        let duration = now - self.began;
        if duration < OBSERVATION_US || self.current.packets < OBSERVATION_PACKETS {
            return;
        }
        let seconds = duration as f64 / 1e6;
        let observed = Counts { seconds, ..std::mem::take(&mut self.current) };
        self.began = now;
        self.faded = observed.plus(self.faded, WEIGHT);
        self.long = observed.plus(self.long, LONG_WEIGHT);
        self.state = match self.state {
            State::Free => self.watch(now, rate),
            State::Testing { since, before, .. } if now - since >= SETTLE_US => {
                self.test = self.test.plus(observed, 1.0);
                if now - since >= SETTLE_US + TEST_US { self.judge(now, before) } else { self.state }
            }
            State::Testing { .. } => self.state,
            State::Limited { rate: limit, best, before } => self.follow(now, (limit, best, before), seconds, rate),
        };
    }

    fn watch(&mut self, now: i64, rate: f64) -> State {
        let level = self.faded.level();
        self.inherent = self.inherent.min(self.long.level().loss.max(self.inherent * 0.98));
        if level.loss > MAX_INHERENT && self.faded.packets >= ENOUGH_PACKETS / 2.0 {
            return self.limit_to(now, level.sent * (1.0 - level.loss), level.sent);
        }
        let known = self.inherent > 0.0 && self.long.sure_loss() < self.inherent + ABOVE_INHERENT;
        let tell = self.faded.packets >= ENOUGH_PACKETS && self.long.sure_loss() > HIGH;
        if !tell || (known && now < self.retest.0) {
            return State::Free;
        }
        (self.test, self.long) = (Counts::NONE, Counts::NONE);
        State::Testing { since: now, before: level, limit: rate.min(level.sent * TEST_RATE) }
    }

    /// Did less help?
    fn judge(&mut self, now: i64, before: Level) -> State {
        let Level { loss, sent } = self.test.level();
        let delivered = before.sent * (1.0 - before.loss);
        let if_congested = (1.0 - delivered / sent.max(1.0)).clamp(0.0, before.loss.min(0.99));
        if loss < (before.loss + if_congested) / 2.0 && sent < before.sent * 0.95 {
            // What is left beyond what the limit explains.
            self.inherent = (1.0 - (1.0 - loss) / (1.0 - if_congested)).clamp(0.0, MAX_INHERENT);
            self.retest = (now + RETEST_US, RETEST_US);
            return self.limit_to(now, delivered, before.sent);
        }
        self.believe(now, (loss + before.loss) / 2.0);
        State::Free
    }

    const fn limit_to(&mut self, now: i64, rate: f64, before: f64) -> State {
        (self.faded, self.long) = (Counts::NONE, Counts::NONE);
        self.excess_at = now;
        self.patience = PATIENCE_US.0;
        State::Limited { rate, best: rate, before }
    }

    /// Less does not help.
    fn believe(&mut self, now: i64, loss: f64) {
        self.inherent = loss.min(MAX_INHERENT);
        self.retest = (now + self.retest.1, (2 * self.retest.1).min(MAX_RETEST_US));
    }

    fn follow(&mut self, now: i64, (limit, best, before): (f64, f64, f64), seconds: f64, rate: f64) -> State {
        let loss = self.faded.level().loss;
        let excess = loss - self.inherent;
        if excess >= LOW {
            self.excess_at = now;
        }
        let limit = if excess > HIGH {
            if std::mem::take(&mut self.raised) {
                self.patience = (2 * self.patience).min(PATIENCE_US.1);
            }
            limit * (1.0 - 0.5 * excess)
        } else if excess < LOW {
            limit * INCREASE.powf(seconds.min(1.0))
        } else {
            limit
        };
        if excess > HIGH && limit < best * GIVE_UP {
            self.believe(now, loss);
            return State::Free;
        }
        // What was too much is not any more, or it never was.
        let refuted = excess < LOW && limit > before * REFUTED;
        if refuted || limit > rate * RELEASE {
            return State::Free;
        }
        State::Limited { rate: limit, best: best.max(limit), before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 500 packets/s of 1,000 bytes scaled to the limit, each lost as `loses` says of the rate; returns the limits.
    fn run(seconds: i64, loses: impl Fn(f64) -> f64) -> (LossController, Vec<Option<f64>>) {
        let mut controller = LossController::new(0);
        let (mut due, mut lost, mut limits) = (0.0, 0.0, Vec::new());
        for ms in (50..seconds * 1_000).step_by(50) {
            let rate = controller.limit().map_or(4e6, |limit| limit.min(4e6));
            due += rate * 0.05 / 8_000.0;
            while due >= 1.0 {
                due -= 1.0;
                lost += loses(rate);
                controller.on_packet(1_000, lost >= 1.0, false);
                lost %= 1.0;
            }
            controller.update(ms * 1_000, 4e6);
            limits.push(controller.limit());
        }
        (controller, limits)
    }

    #[test]
    fn little_loss_limits_nothing() {
        let (controller, limits) = run(60, |_| 0.05);
        assert!(limits.iter().all(Option::is_none));
        assert!((0.04..0.06).contains(&controller.loss()), "{}", controller.loss());
    }

    #[test]
    fn loss_at_any_rate_is_tested_seldom_and_limits_nothing_else() {
        for loss in [0.15, 0.2, 0.3] {
            let (controller, limits) = run(120, |_| loss);
            let limited = limits.iter().filter(|limit| limit.is_some()).count();
            assert!((1..limits.len() / 12).contains(&limited), "{limited} of {} at {loss}", limits.len());
            assert!(limits.iter().flatten().all(|limit| *limit > 3e6), "no lower than a test needs");
            assert!((controller.inherent - loss).abs() < 0.02, "{}", controller.inherent);
        }
    }

    #[test]
    fn a_burst_of_loss_on_a_bad_link_is_forgotten() {
        let packets = std::cell::Cell::new(0);
        let (_, limits) = run(60, |_| {
            packets.set(packets.get() + 1);
            if (5_000..6_000).contains(&packets.get()) { 0.25 } else { 0.05 }
        });
        assert!(limits.iter().any(Option::is_some));
        assert!(limits[800..].iter().all(Option::is_none), "{:?}", limits.last());
    }

    #[test]
    fn a_policer_is_found() {
        let (_, limits) = run(60, |rate| (1.0 - 2e6 / rate).max(0.0));
        let late = limits[200..].iter().map(|limit| limit.expect("limited")).collect::<Vec<_>>();
        assert!(late.iter().all(|limit| (1.7e6..2.5e6).contains(limit)), "{late:?}");
    }

    #[test]
    fn a_policer_on_a_bad_link_is_found() {
        let (_, limits) = run(60, |rate| 0.05 + 0.95 * (1.0 - 2e6 / rate).max(0.0));
        let late = limits[200..].iter().flatten().collect::<Vec<_>>();
        assert!(late.len() > 300 && late.iter().all(|limit| (1.5e6..2.6e6).contains(*limit)), "{late:?}");
    }
}
