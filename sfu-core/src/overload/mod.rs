//! How much of its video a worker withholds when it is past its limit.
//!
//! A worker that cannot keep up loses packets of everybody, audio included, wherever the queue in front of it happens to
//! overflow. So it sends less by rule instead. [`Overload`] is told in windows how busy the worker was and what the kernel
//! dropped, and gives the *level*: the share of the video that is withheld, in thousandths. What of it that is, is decided
//! by [`Shed`](crate::alloc::Shed). Until that has an effect, which takes a keyframe, [`Intake`] keeps the queue short.
//!
//! A share of what there is, rather than a number of steps: what steps save differs from room to room (nothing, where there
//! is one encoding), so that a controller of steps overshoots in one room and is idle in the next.
//!
//! - Too much to do: what is sent is cut to [`CUT`], again and again until it suffices. How far past its limit a worker is cannot
//!   be measured, since it is never busier than always.
//! - Neither: nothing changes. The range is wider than the steps, so that there is a level to rest at.
//! - Calm for [`CALM`]: half of the way back to the level that was too little, then small steps; that level itself, and what is
//!   below, is tried after a while, which doubles with each failure. With a CPU quota there is no range between too much and
//!   calm, and this is what keeps the level still.
//!
//! Invariants, held by property tests: a busier window never leads to a lower level; whatever happened, the level is back
//! at 0 within [`RECOVERY`] of calm; under steady load it comes to rest.
//!
//! Pure: it is told the time.

mod intake;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use intake::Intake;

/// All video is withheld.
pub const ALL: u16 = 1_000;

/// From this level on, nobody new is let in: next to no video is left, and audio is not shed.
pub const FULL: u16 = 950;

/// How long the windows are that [`Overload::on_window`] is told of. Shorter ones are noise: publishers' frames are 33 ms
/// apart, and a keyframe to a thousand viewers takes a worker 50 ms.
pub const WINDOW: Duration = Duration::from_millis(200);

/// Load above which there is too much to do, in thousandths. Queues grow without bound only at 1,000.
const TOO_BUSY: u64 = 970;

/// Load below which there is room. Cutting to [`CUT`] from `TOO_BUSY` leads there in one step.
const ROOM: u64 = 890;

/// Drops of a worker that is less busy than this are those of a queue that is too short, which shedding does not mend.
const WORKING: u64 = 700;

/// What is left of what is sent, in percent, after one step down.
const CUT: u16 = 85;

/// A window with too much to do counts for so much, any other takes off 1, and a level rises at [`PATIENCE`]: after two within a
/// second, so that a single burst changes nothing. Where datagrams are lost, one is enough.
const BUSY: u8 = 5;
const PATIENCE: u8 = 6;

/// A step has its effect when the keyframe of the smaller encoding has come; before that the next would be one too many.
const SETTLED: Duration = Duration::from_millis(400);

/// How long there must be room before a level falls.
const CALM: Duration = Duration::from_secs(1);

/// What is too much so soon after the level fell is so because it fell too far. Under a CPU quota it takes some seconds until
/// that shows.
const RELAPSE: Duration = Duration::from_secs(8);

/// When a level that was too little is tried again: after the first time, and at the latest.
const RETRY: Duration = Duration::from_secs(2);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// A level that is too little this far from the last one that was is news: the load is another.
const SAME: u16 = 100;

/// Small steps give so many percent of what is sent: less than the range between [`TOO_BUSY`] and [`ROOM`].
const STEP: u16 = 5;

/// The smallest step, and the last that is left of a level.
const GRAIN: u16 = 10;

/// The longest way back from [`ALL`] to 0.
pub const RECOVERY: Duration = Duration::from_secs(120);

/// A window of a worker's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The share of it in which the worker could not wait, in thousandths.
    pub load: u64,
    /// Datagrams that were dropped because nobody had read those before them in time.
    pub dropped: u64,
}

/// What a window says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    TooMuch,
    Neither,
    Room,
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Overload {
    level: u16,
    /// How much of [`PATIENCE`] is used up.
    busy: u8,
    /// When the level rose last.
    rose: Option<Instant>,
    /// Since when there is room.
    calm: Option<Instant>,
    /// The level that was too little last.
    too_little: Option<TooLittle>,
    /// When the level fell last, and from where.
    fell: Option<(Instant, u16)>,
    /// By how much it falls next.
    step: u16,
    /// How long [`Self::too_little`] is believed next time.
    retry: Duration,
}

#[derive(Debug, Clone, Copy)]
struct TooLittle {
    level: u16,
    until: Instant,
}

impl Default for Overload {
    fn default() -> Self {
        Self { level: 0, busy: 0, rose: None, calm: None, too_little: None, fell: None, step: 0, retry: RETRY }
    }
}

impl Overload {
    /// The share of the video to withhold, in thousandths.
    pub const fn level(&self) -> u16 {
        self.level
    }

    /// Digests a window that ended now. Returns the level if it changed.
    pub fn on_window(&mut self, now: Instant, window: Window) -> Option<u16> {
        let before = self.level;
        match window.verdict() {
            Verdict::TooMuch => {
                self.calm = None;
                self.busy = (self.busy + BUSY).min(PATIENCE);
                let settled = self.rose.is_none_or(|at| now.saturating_duration_since(at) >= SETTLED);
                if settled && (self.busy >= PATIENCE || window.dropped > 0) {
                    self.busy = 0;
                    self.rise(now);
                }
            }
            Verdict::Neither => (self.busy, self.calm) = (self.busy.saturating_sub(1), None),
            Verdict::Room => {
                self.busy = self.busy.saturating_sub(1);
                let since = *self.calm.get_or_insert(now);
                if self.level > 0 && now.saturating_duration_since(since) >= CALM {
                    self.calm = Some(now);
                    self.fall(now);
                }
            }
        }
        (self.level != before).then_some(self.level)
    }

    fn rise(&mut self, now: Instant) {
        let before = self.level;
        let kept = ALL - before;
        let cut = kept - (kept / 100 * CUT + kept % 100 * CUT / 100);
        let relapse = self.fell.take().filter(|(at, _)| now.saturating_duration_since(*at) <= RELAPSE);
        self.level = match relapse {
            // It was well there.
            Some((_, level)) => level.max(before),
            None => before.saturating_add(cut.max(GRAIN)).min(ALL),
        };
        let is_known = |known: TooLittle| known.level.abs_diff(before) <= SAME;
        self.retry = match relapse {
            _ if !self.too_little.is_some_and(is_known) => RETRY,
            Some(_) => (self.retry * 2).min(LAST_RETRY),
            None => self.retry,
        };
        self.too_little = Some(TooLittle { level: before, until: now + self.retry });
        self.rose = Some(now);
        self.step = 0;
    }

    fn fall(&mut self, now: Instant) {
        let small = ((ALL - self.level) / 100 * STEP).max(GRAIN);
        let believed = self.too_little.filter(|too_little| too_little.level < self.level && now < too_little.until);
        let next = match believed {
            Some(TooLittle { level, .. }) => {
                let next = self.level.saturating_sub(((self.level - level) / 2).max(small));
                if next <= level {
                    return;
                }
                next
            }
            // What was too little once is not any more, or so it seems: faster and faster.
            None => {
                self.step = self.step.saturating_mul(2).max(small);
                self.level.saturating_sub(self.step)
            }
        };
        self.fell = Some((now, self.level));
        self.level = if next < GRAIN { 0 } else { next };
        if self.level == 0 {
            (self.too_little, self.step) = (None, 0);
        }
    }
}

impl Window {
    const fn verdict(self) -> Verdict {
        if self.load >= TOO_BUSY || (self.dropped > 0 && self.load >= WORKING) {
            Verdict::TooMuch
        } else if self.load <= ROOM && self.dropped == 0 {
            Verdict::Room
        } else {
            Verdict::Neither
        }
    }
}
