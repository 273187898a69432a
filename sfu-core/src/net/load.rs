//! How busy a worker is: the share of its time that its own packets take, and the shed level that follows.
//!
//! Only what shedding would mend counts, so that a call on a machine that compiles beside it keeps its pictures:
//! - the time in which the thread ran ([`Schedule`]);
//! - the time in which a CPU quota kept it from running ([`Quota`]): a quota is a limit of ours, and is reached sooner by what we
//!   send;
//! - the time in which *others* had the processor only where the worker itself needs half of one ([`OWN_SHARE`]): then less of
//!   its own work helps. Otherwise it is counted ([`NetCounters::delayed_ns`]) and logged, and nothing is withheld.
//!
//! Where the system does not say how long a thread ran, all of a turn counts, and a wait that ended late. Lingering for the rest of
//! a frame is waiting.

use std::time::{Duration, Instant};

use super::counters::NetCounters;
use super::quota::Quota;
use super::schedule::{Schedule, Spent};
use crate::overload::{self, Overload};

/// Over so long the load is averaged that others see.
const SECOND: Duration = Duration::from_secs(1);

/// A wait may be so much longer than it was asked to be: the poll counts in milliseconds, and rounds up.
const PUNCTUAL: Duration = Duration::from_millis(2);

/// A worker that runs for less of a window, in thousandths, is not past its limit, however late it is: its neighbours are.
const OWN_SHARE: u128 = 500;

/// A worker that others keep from running for so much of a second, in thousandths, is told of in the log.
const MUCH_DELAYED: u64 = 200;

/// So often at most.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Held up for less of a window, nobody asks whether a quota is the reason.
const HARDLY_HELD: Duration = Duration::from_millis(10);

/// Follows one worker.
#[derive(Debug)]
pub(super) struct Load {
    overload: Overload,
    schedule: Schedule,
    quota: Quota,
    /// When the quota was asked last.
    asked: Instant,
    /// Of the turn that goes on.
    late: Duration,
    lingered: Duration,
    /// What a clock says that turns took, since the window began.
    turns: Duration,
    window: Instant,
    second: Span,
    delayed: Span,
    /// When the log was told of neighbours.
    told: Option<Instant>,
    /// What was lost when the window began.
    lost: u64,
}

/// Some time, and the share of it that counts.
#[derive(Debug)]
struct Span {
    since: Instant,
    sum: Duration,
}

/// What a window of a worker's time went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    /// It counts as load.
    busy: Duration,
    /// Others had the processor.
    delayed: Duration,
}

impl Work {
    /// Of a window of this `length`, by what a clock says that turns took, by what the thread `spent` and by how long a quota throttled
    /// the process.
    fn of(
        length: Duration,
        turns: Duration,
        spent: Option<Spent>,
        throttled: impl FnOnce(Duration) -> Duration,
    ) -> Self {
        let Some(Spent { ran, delayed }) = spent else { return Self { busy: turns, delayed: Duration::ZERO } };
        // Not every kernel counts a throttled thread as delayed, but its turn takes long, or its wait ends late.
        let held = delayed.max(turns.saturating_sub(ran)).min(length.saturating_sub(ran));
        let by_quota = throttled(held).min(held);
        let by_others = held - by_quota;
        let is_ours = ran.as_nanos() * 1_000 >= length.as_nanos() * OWN_SHARE;
        let counted = if is_ours { by_others } else { Duration::ZERO };
        Self { busy: ran + by_quota + counted, delayed: by_others }
    }
}

impl Load {
    pub(super) fn new(now: Instant) -> Self {
        let span = || Span { since: now, sum: Duration::ZERO };
        Self {
            overload: Overload::default(),
            schedule: Schedule::default(),
            quota: Quota::default(),
            asked: now,
            late: Duration::ZERO,
            lingered: Duration::ZERO,
            turns: Duration::ZERO,
            window: now,
            second: span(),
            delayed: span(),
            told: None,
            lost: 0,
        }
    }

    /// The worker is the thread that calls.
    pub(super) fn follow_this_thread(&mut self) {
        self.schedule = Schedule::of_this_thread();
        self.quota = Quota::of_this_process();
    }

    /// The worker waited for so long, and was to wait for `timeout` at most.
    pub(super) fn on_wait(&mut self, waited: Duration, timeout: Duration) {
        self.late = waited.saturating_sub(timeout + PUNCTUAL);
    }

    /// The worker waited within its turn.
    pub(super) fn on_linger(&mut self, waited: Duration) {
        self.lingered += waited;
    }

    /// A turn of so long ended now. `lost`: datagrams that were not read in time, since the beginning. Returns the shed level
    /// if it changed.
    pub(super) fn on_turn(
        &mut self,
        now: Instant,
        took: Duration,
        lost: u64,
        counters: &mut NetCounters,
    ) -> Option<u16> {
        self.turns += took.saturating_sub(std::mem::take(&mut self.lingered)) + std::mem::take(&mut self.late);
        let length = now.saturating_duration_since(self.window);
        if length < overload::WINDOW {
            return None;
        }
        let work = self.end_window(now, length);
        counters.busy_ns += nanos(work.busy);
        counters.delayed_ns += nanos(work.delayed);
        if let Some(load) = self.second.add(work.busy, now, SECOND) {
            counters.load_permille = load;
        }
        if let Some(delayed) = self.delayed.add(work.delayed, now, SECOND) {
            self.tell_of_neighbours(now, delayed);
        }
        let before = self.overload.level();
        if before > 0 {
            counters.shed_ns += nanos(length);
        }
        let load = permille(work.busy, length);
        let dropped = lost.saturating_sub(std::mem::replace(&mut self.lost, lost));
        let level = self.overload.on_window(now, overload::Window { load, dropped })?;
        counters.shed_level = level.into();
        match (before, level) {
            (0, _) => tracing::warn!(load, dropped, "a worker is past its limit and withholds video"),
            (_, 0) => tracing::info!("a worker withholds no more video"),
            _ => tracing::debug!(level, load, dropped, "shed level"),
        }
        Some(level)
    }

    fn end_window(&mut self, now: Instant, length: Duration) -> Work {
        self.window = now;
        let (turns, spent) = (std::mem::take(&mut self.turns), self.schedule.since_last());
        let is_stale = now.saturating_duration_since(self.asked) >= SECOND;
        let (quota, asked) = (&mut self.quota, &mut self.asked);
        Work::of(length, turns, spent, |held| {
            if held < HARDLY_HELD && !is_stale {
                return Duration::ZERO;
            }
            *asked = now;
            quota.throttled()
        })
    }

    fn tell_of_neighbours(&mut self, now: Instant, delayed: u64) {
        let is_news = self.told.is_none_or(|at| now.saturating_duration_since(at) >= TELL_AGAIN);
        if delayed >= MUCH_DELAYED && is_news {
            self.told = Some(now);
            tracing::warn!(permille = delayed, "other processes keep a media worker from running: packets are late");
        }
    }
}

impl Span {
    /// Adds some time; when `length` is full, returns the share of it in parts per thousand, and starts the next.
    fn add(&mut self, time: Duration, now: Instant, length: Duration) -> Option<u64> {
        self.sum += time;
        let passed = now.saturating_duration_since(self.since);
        if passed < length {
            return None;
        }
        let share = permille(self.sum, passed);
        *self = Self { since: now, sum: Duration::ZERO };
        Some(share)
    }
}

fn permille(part: Duration, of: Duration) -> u64 {
    u64::try_from(part.as_nanos() * 1_000 / of.as_nanos().max(1)).unwrap_or(u64::MAX).min(1_000)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Turns of `busy` that begin every 10 ms, of which `waited` were spent in a wait of `timeout`; the load of the last second
    /// and the levels.
    fn run(busy: u64, waited: u64, timeout: u64, linger: u64) -> (u64, Vec<u16>) {
        let mut now = Instant::now();
        let (mut load, mut counters, mut levels) = (Load::new(now), NetCounters::default(), Vec::new());
        for _ in 0..200 {
            now += millis(10);
            load.on_wait(millis(waited), millis(timeout));
            load.on_linger(millis(linger));
            levels.extend(load.on_turn(now, millis(busy), 0, &mut counters));
        }
        assert_eq!(counters.shed_level, u64::from(levels.last().copied().unwrap_or(0)));
        assert_eq!(counters.shed_ns > 0, !levels.is_empty());
        (counters.load_permille, levels)
    }

    #[test]
    fn what_counts_as_load_where_the_system_tells_nothing() {
        assert_eq!(run(4, 6, 6, 0).0, 400, "a turn");
        assert_eq!(run(4, 6, 6, 3).0, 100, "lingering is waiting");
        assert_eq!(run(4, 6, 1, 0).0, 700, "a wait that ended late, but for what a poll rounds");
        assert_eq!(run(4, 6, 6, 0).1, [0u16; 0]);
    }

    /// Red if a worker that cannot keep up does not shed, or waits for longer than two windows and a half.
    #[test]
    fn who_cannot_keep_up_sheds() {
        for (load, levels) in [run(10, 0, 0, 0), run(1, 9, 0, 0), run(0, 12, 0, 0)] {
            assert!(load >= 800, "{load}");
            assert_eq!(levels.is_empty(), load < 970, "{load}");
        }
    }

    /// The load of a window of 200 ms, in thousandths, and what neighbours took of it, in ms.
    fn load(ran: u64, delayed: u64, turns: u64, throttled: u64) -> (u64, u64) {
        let spent = Some(Spent { ran: millis(ran), delayed: millis(delayed) });
        let work = Work::of(overload::WINDOW, millis(turns), spent, |_| millis(throttled));
        (permille(work.busy, overload::WINDOW), work.delayed.as_millis() as u64)
    }

    /// The row of the review: three people in a call on a machine that compiles beside it.
    #[test]
    fn neighbours_that_take_the_processor_are_no_load() {
        assert_eq!(load(6, 0, 8, 0), (30, 2), "nobody else");
        assert_eq!(load(6, 190, 198, 0), (30, 192), "late all the time, with next to nothing to do");
        assert_eq!(load(98, 102, 200, 0), (490, 102), "up to half of a processor");
    }

    #[test]
    fn less_of_its_own_work_helps_a_worker_that_needs_half_of_a_processor() {
        assert_eq!(load(100, 100, 200, 0), (1_000, 100));
        assert_eq!(load(120, 20, 140, 0).0, 700);
    }

    #[test]
    fn a_quota_is_a_limit_of_ours() {
        assert_eq!(load(20, 180, 200, 700), (1_000, 0), "throttled on several processors at once");
        assert_eq!(load(20, 0, 200, 180), (1_000, 0), "by a kernel that does not count it as delay");
        assert_eq!(load(20, 180, 200, 60), (400, 120), "a part of it");
        assert_eq!(load(20, 0, 20, 180), (100, 0), "other threads were throttled");
    }

    #[test]
    fn what_a_thread_computes_is_load() {
        assert_eq!(load(196, 4, 200, 0).0, 1_000);
        assert_eq!(load(150, 0, 150, 0).0, 750);
    }
}
