//! The estimate of a client that gives no transport-wide feedback: what its receiver reports and its REMB
//! (draft-alvestrand-rmcat-remb-03) allow.
//!
//! Reports come about once a second, so that a rate far above the path's would overflow its queue for that long. Therefore:
//!
//! - *Start*: from [`Reported::on_report`]'s `start`, the rate doubles with each report that shows neither much loss nor a longer
//!   round trip, and grows slowly where nothing of it is used. Trouble ends that: down to what arrived.
//! - *After that* as draft-ietf-rmcat-gcc-02 section 6 has it: above 10 % loss down by half of it, below 2 % up by 8 % a second, but not
//!   to what was too much.
//! - A while after the last trouble it starts again, the later the more often that failed.
//!
//! A REMB that falls is a limit, and so is one below what is sent that does not rise. Receivers that follow libwebrtc raise it by 8 % a
//! second and not above 1.5 times what arrives, so that any other promises that much and denies nothing.
//! What it says when it falls is below what the path carries, where more was sent only lately: what fitted before is not given up for one
//! such fall, nor for the queue that drains after it.

use super::path::Path;

/// Loss above which less is sent, and below which more is.
pub(super) const HIGH: f64 = 0.10;
const LOW: f64 = 0.02;
const INCREASE: f64 = 1.08;
/// The rate's growth with each report at the start: while what is sent takes a quarter of it (the next encoding costs three
/// to four times as much), and otherwise.
const START: f64 = 2.0;
const START_UNUSED: f64 = 1.25;
/// The same of a start after trouble: what is known to be too much is not far.
const RESTART: f64 = 1.3;
const USED: f64 = 0.25;
/// The first rate is at least so much of what is sent without trouble.
const FIRST: f64 = 1.5;
/// What is kept of what arrived.
const BETA: f64 = 0.85;
/// Trouble leaves so much of the rate at least: of a second in which little was sent little is known.
const LEAST: f64 = 0.2;
/// A change may follow another after this, µs, and a fall another that a queue was the reason for: reports speak of it for so long.
const INTERVAL_US: i64 = 900_000;
const FALL_INTERVAL_US: i64 = 2_000_000;
/// Who is sent nothing reports nothing: after so long twice the rate is tried, µs.
const SILENCE_US: i64 = 2_000_000;
/// A rate is measured over so long at least, µs.
const MEASURED_US: i64 = 300_000;
/// A rate that nobody asked for is not claimed: the estimate ends at this much of the demand.
const BEYOND: f64 = 1.3;
/// Of a rate that was too much, so much is tried without another start.
const SHORT_OF: f64 = 0.9;
/// From trouble to the next start, doubling, µs.
const PATIENCE_US: (i64, i64) = (6_000_000, 48_000_000);
/// A REMB below this part of the last one has fallen, one above that part has risen; and one below such a part of what is sent is exceeded.
const FALLEN: f64 = 0.97;
const RISEN: f64 = 1.005;
const BELOW: f64 = 0.95;
/// What fitted is remembered by this part with each REMB: what is sent in a second varies.
const FADES: f64 = 0.9;
/// A REMB below this part of what is sent is of another path.
const LITTLE: f64 = 0.5;
/// What is sent varies by this much.
const NEAR: f64 = 1.15;

/// What the last second says.
#[derive(Debug, Clone, Copy)]
struct Look {
    loss: f64,
    /// Of the round trip, µs.
    queue: i64,
    /// Bits per second; `None`: not known.
    sent: Option<f64>,
    elapsed: i64,
}

impl Look {
    /// What arrived of what was sent: some was lost, and some is still in the queue.
    fn arrived(&self) -> Option<f64> {
        let elapsed = self.elapsed.max(MEASURED_US) as f64;
        Some(self.sent? * (1.0 - self.loss) * elapsed / (elapsed + self.queue as f64))
    }
}

/// See the module's text. Rates in bits per second, times in µs.
#[derive(Debug)]
pub(super) struct Reported {
    rate: Option<f64>,
    starts: bool,
    /// When there last was trouble, and how long until another start.
    trouble: i64,
    patience: i64,
    /// Until when trouble is that of the last fall.
    settles: i64,
    /// The rate that was too much, and the one before it was tried.
    failed: f64,
    good: f64,
    path: Path,
    /// The queue at the last look.
    queue: i64,
    /// When the rate last changed or was confirmed; bytes sent and the highest loss since.
    since: i64,
    bytes: u64,
    loss: f64,
    /// What was sent, when last measured.
    sent: Option<f64>,
    /// The last REMB, and whether it is a limit.
    remb: Option<f64>,
    is_capped: bool,
    /// What was sent when a REMB last limited nothing.
    fits: f64,
    /// When a REMB fell although nothing more was sent than that.
    doubted: Option<i64>,
    /// When it was last tried to send more than was heard of.
    resumed: i64,
}

impl Default for Reported {
    fn default() -> Self {
        Self {
            rate: None,
            starts: true,
            trouble: 0,
            patience: PATIENCE_US.0,
            settles: i64::MIN,
            failed: f64::MAX,
            good: f64::MAX,
            path: Path::default(),
            queue: 0,
            since: 0,
            bytes: 0,
            loss: 0.0,
            sent: None,
            remb: None,
            is_capped: false,
            fits: 0.0,
            doubted: None,
            resumed: i64::MIN / 2,
        }
    }
}

impl Reported {
    /// A packet left.
    #[inline]
    pub(super) const fn on_sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// A report tells the round trip.
    pub(super) fn on_round_trip(&mut self, now: i64, rtt: i64) {
        self.path.on_round_trip(now, rtt);
    }

    /// Whether what the last REMB said is not to be exceeded.
    pub(super) const fn is_capped(&self) -> bool {
        self.is_capped
    }

    /// Receiver reports say that so much is lost, 0 to 1. The first rate is `start` or more.
    pub(super) fn on_report(&mut self, now: i64, fraction: f64, start: f64, demand: f64) -> f64 {
        self.measure(now);
        if let Some(rate) = self.rate.filter(|_| self.sent.is_some() && self.bytes == 0) {
            return rate;
        }
        self.loss = self.loss.max(fraction);
        let look = Look { loss: self.loss, queue: self.path.queue(), sent: self.sent, elapsed: now - self.since };
        // A queue that drains was dealt with.
        let queued = if self.starts { self.path.is_queued() } else { self.path.is_flooded() };
        let troubled = look.loss > HIGH || (queued && look.queue >= self.queue);
        self.queue = look.queue;
        let rate = match self.rate {
            None if troubled => self.fall(now, start.max(look.sent.unwrap_or(0.0)), look),
            None => start.max(FIRST * look.sent.unwrap_or(0.0)),
            Some(rate) if now - self.since < INTERVAL_US => return rate,
            Some(rate) if troubled && now < self.settles => rate,
            Some(rate) if troubled => self.fall(now, rate, look),
            Some(rate) => self.rise(now, rate, look, demand),
        };
        self.begin(now);
        self.rate = Some(rate);
        rate
    }

    /// Time passes. A rate of which nothing is heard any more rises to `start`.
    pub(super) fn poll(&mut self, now: i64, start: f64) -> Option<f64> {
        let rate = self.rate.filter(|rate| *rate < start && now - self.since > SILENCE_US)?;
        self.begin(now);
        let rate = (rate * START).min(start);
        // Who comes back does so with a keyframe, before which nothing arrived.
        (self.fits, self.doubted, self.resumed) = (rate / NEAR, None, now);
        self.rate = Some(rate);
        self.rate
    }

    /// The client itself says how much.
    pub(super) fn on_remb(&mut self, now: i64, says: f64) -> f64 {
        self.measure(now);
        let exceeded = self.sent.is_none_or(|sent| says < sent * BELOW);
        let denies = |last| says < last * FALLEN || (exceeded && says <= last * RISEN);
        self.is_capped = self.remb.replace(says).is_none_or(denies);
        let before = self.rate.unwrap_or(says);
        let is_lower = self.is_capped && says < before;
        let rate = if is_lower { before.min(self.allowed(now, says, before)) } else { before.max(says) };
        if rate < before {
            self.note_trouble(now, self.sent.map_or(before, |sent| before.min(sent)));
            self.settles = now + FALL_INTERVAL_US;
            self.begin(now);
        } else if !self.is_capped {
            self.fits = self.sent.unwrap_or(0.0).max(self.fits * FADES);
        }
        self.rate = Some(rate);
        rate
    }

    /// What a REMB that limits leaves. It is 0.85 of what arrived in the half second before: less than the path carries where
    /// more was sent only lately, and again when the queue has drained. What was sent before and fitted goes on.
    fn allowed(&mut self, now: i64, says: f64, before: f64) -> f64 {
        let arrives = self.sent.is_some_and(|sent| sent * BETA <= says * NEAR);
        if now < self.settles && arrives {
            return before;
        }
        // Nothing more was sent: once that is a burst or a probe, unless it is much, and then it does not fit any more.
        let resumes = now - self.resumed < FALL_INTERVAL_US;
        let is_burst = resumes || self.sent.is_some_and(|sent| says >= sent * LITTLE);
        if self.sent.is_some_and(|sent| sent <= self.fits * NEAR) {
            let is_first = self.doubted.replace(now).is_none_or(|at| now - at > 2 * FALL_INTERVAL_US);
            self.fits = if is_burst && is_first { self.fits } else { 0.0 };
        }
        says.max(self.fits * NEAR)
    }

    /// Less, because of trouble.
    fn fall(&mut self, now: i64, rate: f64, look: Look) -> f64 {
        let by_loss = rate * (1.0 - 0.5 * look.loss);
        let clear = self.starts || self.path.is_flooded();
        let by_loss = if self.starts { by_loss.min(self.good) } else { by_loss };
        if clear && look.sent.is_some() {
            self.settles = now + FALL_INTERVAL_US;
        }
        self.note_trouble(now, look.sent.map_or(rate, |sent| rate.min(sent)));
        match look.arrived().filter(|_| clear) {
            Some(arrived) => {
                let fits = if look.loss > HIGH { 0.0 } else { self.fits * NEAR };
                by_loss.min((BETA * arrived).max(fits)).max(rate * LEAST)
            }
            None => by_loss,
        }
    }

    /// More, if nothing speaks against it.
    fn rise(&mut self, now: i64, rate: f64, look: Look, demand: f64) -> f64 {
        let most = (demand * BEYOND).max(rate);
        if most <= rate {
            self.patience = PATIENCE_US.0;
        }
        if !self.starts && now - self.trouble > self.patience {
            (self.starts, self.good) = (true, rate);
        }
        let start = if self.good < f64::MAX { RESTART } else { START };
        let is_used = look.sent.is_none_or(|sent| sent >= USED * rate);
        let factor = match self.starts {
            true if is_used => start,
            true => start.min(START_UNUSED),
            false if look.loss < LOW && !self.path.is_queued() => INCREASE.powf((look.elapsed as f64 / 1e6).min(2.0)),
            false => 1.0,
        };
        let most = if self.starts { most } else { most.min(self.failed * SHORT_OF).max(rate) };
        (rate * factor).min(most)
    }

    /// This rate was too much.
    fn note_trouble(&mut self, now: i64, rate: f64) {
        (self.trouble, self.failed) = (now, rate);
        if self.starts && self.rate.is_some() {
            self.patience = (self.patience * 2).min(PATIENCE_US.1);
        }
        self.starts = false;
    }

    fn measure(&mut self, now: i64) {
        let elapsed = now - self.since;
        if elapsed >= MEASURED_US && self.bytes > 0 {
            self.sent = Some(self.bytes as f64 * 8e6 / elapsed as f64);
        }
    }

    fn begin(&mut self, now: i64) {
        (self.since, self.bytes, self.loss) = (now, 0, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A path of so many bits per second with a queue of 400 ms, and who sends layers over it.
    struct Room {
        reported: Reported,
        capacity: f64,
        queue: f64,
        now: i64,
        rate: f64,
        lost: f64,
    }

    impl Room {
        fn new(capacity: f64) -> Self {
            Self { reported: Reported::default(), capacity, queue: 0.0, now: 0, rate: 0.0, lost: 0.0 }
        }

        /// A second, and the report at its end. Returns what is sent in the next.
        fn second(&mut self) -> f64 {
            let sent = [150e3, 500e3, 1_700e3].into_iter().rfind(|layer| *layer <= self.rate * 0.9).unwrap_or(150e3);
            self.now += SECOND;
            self.reported.on_sent((sent / 8.0) as usize);
            let fills = self.queue + sent / self.capacity - 1.0;
            let over = (fills - 0.4).max(0.0) * self.capacity;
            (self.queue, self.lost) = (fills.clamp(0.0, 0.4), self.lost + over);
            self.reported.on_round_trip(self.now, 50_000 + (self.queue * 1e6) as i64);
            self.rate = self.reported.on_report(self.now, over / sent, 600e3, 1_900e3);
            self.rate
        }
    }

    /// A second in which so many bits were sent, and the REMB at its end.
    fn remb(reported: &mut Reported, now: &mut i64, (sent, says): (usize, f64)) -> f64 {
        *now += SECOND;
        reported.on_sent(sent / 8);
        reported.on_remb(*now, says)
    }

    #[test]
    fn a_wide_path_is_used_within_seconds() {
        let mut room = Room::new(10e6);
        let rates = (0..3).map(|_| room.second()).collect::<Vec<_>>();
        assert_eq!(rates, [600e3, 1_200e3, 2_400e3]);
        assert_eq!(room.second(), 1_900e3 * BEYOND);
    }

    #[test]
    fn a_narrow_path_is_found_by_one_step_too_many() {
        let mut room = Room::new(300e3);
        room.second();
        room.second();
        assert!(room.rate < 300e3, "{}", room.rate);
        let lost = room.lost;
        (0..7).for_each(|_| assert!((150e3..550e3).contains(&room.second()), "{}", room.rate));
        assert_eq!(room.lost, lost, "nothing more until it starts again");
        let starts = (0..120).filter(|_| room.second() > 560e3).count();
        assert!((1..=8).contains(&starts), "{starts} more in two minutes");
    }

    #[test]
    fn a_path_that_widens_is_found() {
        let mut room = Room::new(300e3);
        (0..20).for_each(|_| {
            room.second();
        });
        room.capacity = 10e6;
        let found = (0..40).position(|_| room.second() > 1_700e3 / 0.9);
        assert!(found.is_some_and(|seconds| seconds <= 30), "{found:?}");
    }

    #[test]
    fn follows_loss_and_ends_at_demand() {
        let mut reported = Reported::default();
        let mut now = 0;
        let mut report = |fraction, demand| {
            now += SECOND;
            reported.on_report(now, fraction, 300e3, demand)
        };
        let risen = (0..20).map(|_| report(0.0, 1e6)).last().unwrap();
        assert_eq!(risen, 1.3e6);
        assert_eq!(report(0.2, 1e6), risen * 0.9);
        assert_eq!(report(0.05, 1e6), risen * 0.9);
        assert_eq!(report(0.0, 1e6), risen * 0.9, "what was too much is not tried at once");
        assert_eq!(report(0.0, 100e3), risen * 0.9, "less demand takes nothing away");
    }

    #[test]
    fn what_fitted_goes_on_where_a_remb_falls_once() {
        let mut reported = Reported::default();
        let mut now = 0;
        let mut second = |sent: usize, says: f64| remb(&mut reported, &mut now, (sent, says));
        (1..=8).for_each(|n| {
            second(160_000, 200e3 + 5e3 * f64::from(n));
        });
        let told = second(500_000, 140e3);
        assert!((180e3..200e3).contains(&told), "of more that was too much: {told}");
        assert_eq!(second(160_000, 137e3), told, "its queue drains");
        (1..=8).for_each(|n| {
            second(160_000, 140e3 + 5e3 * f64::from(n));
        });
        assert!(second(160_000, 137e3) > 180e3, "of nothing new");
        second(160_000, 200e3);
        second(160_000, 100e3);
        assert_eq!(second(160_000, 85e3), 85e3, "again, and less than arrives: it is another path");
    }

    #[test]
    fn a_remb_near_what_is_sent_denies_nothing() {
        let mut reported = Reported::default();
        let mut now = 0;
        let mut second = |sent: usize, says: f64| {
            let told = remb(&mut reported, &mut now, (sent, says));
            let is_capped = reported.is_capped();
            (if is_capped { told } else { reported.on_report(now, 0.0, 300e3, 2e6) }, is_capped)
        };
        assert_eq!(second(150_000, 225e3), (225e3, true), "the first is believed");
        assert_eq!(second(150_000, 225e3), (450e3, false), "and then exceeded");
        assert_eq!(second(500_000, 240e3), (900e3, false), "as long as it rises");
        let (rate, is_capped) = second(500_000, 200e3);
        assert!(is_capped && rate == 200e3, "less than what is sent: {rate}");
    }
}
