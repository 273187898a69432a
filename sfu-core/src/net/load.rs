//! How busy a worker is: the share of its time in which it could not wait for work, and the shed level that follows.
//!
//! Wall time, not processor time: a worker that a CPU quota or its neighbours keep from running is as late as one that computes.
//! It shows as a turn that takes long, or as a wait that ends late, and where the kernel tells in its [`Schedule`]; whichever
//! saw more is right, since each misses something. Lingering for the rest of a frame is waiting.

use std::time::{Duration, Instant};

use super::counters::NetCounters;
use super::schedule::Schedule;
use crate::overload::{self, Overload};

/// Over so long the load is averaged that others see.
const SECOND: Duration = Duration::from_secs(1);

/// A wait may be so much longer than it was asked to be: the poll counts in milliseconds, and rounds up.
const PUNCTUAL: Duration = Duration::from_millis(2);

/// Follows one worker.
#[derive(Debug)]
pub(super) struct Load {
    overload: Overload,
    schedule: Schedule,
    /// Of the turn that goes on.
    late: Duration,
    lingered: Duration,
    second: Span,
    window: Span,
    /// What was lost when the window began.
    lost: u64,
}

/// Some time, and the share of it that was busy.
#[derive(Debug)]
struct Span {
    since: Instant,
    busy: Duration,
}

impl Load {
    pub(super) fn new(now: Instant) -> Self {
        let span = || Span { since: now, busy: Duration::ZERO };
        Self {
            overload: Overload::default(),
            schedule: Schedule::default(),
            late: Duration::ZERO,
            lingered: Duration::ZERO,
            second: span(),
            window: span(),
            lost: 0,
        }
    }

    /// The worker is the thread that calls.
    pub(super) fn follow_this_thread(&mut self) {
        self.schedule = Schedule::of_this_thread();
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
        let mut busy = took.saturating_sub(std::mem::take(&mut self.lingered)) + std::mem::take(&mut self.late);
        if now.saturating_duration_since(self.window.since) >= overload::WINDOW {
            busy += self.schedule.since_last().saturating_sub(self.window.busy + busy);
        }
        counters.busy_ns += nanos(busy);
        if let Some((load, _)) = self.second.add(busy, now, SECOND) {
            counters.load_permille = load;
        }
        let (load, length) = self.window.add(busy, now, overload::WINDOW)?;
        let before = self.overload.level();
        if before > 0 {
            counters.shed_ns += nanos(length);
        }
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
}

impl Span {
    /// Adds a turn; when `length` is full, returns its load in parts per thousand and how long it was, and starts the next.
    fn add(&mut self, busy: Duration, now: Instant, length: Duration) -> Option<(u64, Duration)> {
        self.busy += busy;
        let passed = now.saturating_duration_since(self.since);
        if passed < length {
            return None;
        }
        let load = self.busy.as_nanos() * 1_000 / passed.as_nanos();
        *self = Self { since: now, busy: Duration::ZERO };
        Some((u64::try_from(load).unwrap_or(u64::MAX).min(1_000), passed))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of `busy` that begin every 10 ms, of which `waited` were spent in a wait of `timeout`; the load of the last second
    /// and the levels.
    fn run(busy: u64, waited: u64, timeout: u64, linger: u64) -> (u64, Vec<u16>) {
        let millis = Duration::from_millis;
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
    fn what_counts_as_load() {
        assert_eq!(run(4, 6, 6, 0).0, 400, "a turn");
        assert_eq!(run(4, 6, 6, 3).0, 100, "lingering is waiting");
        assert_eq!(run(4, 6, 1, 0).0, 700, "a wait that ended late, but for what a poll rounds");
        assert_eq!(run(4, 6, 6, 0).1, [0u16; 0]);
    }

    /// Red if a worker that is kept from running does not shed, or waits for longer than two windows and a half.
    #[test]
    fn who_cannot_keep_up_sheds() {
        for (load, levels) in [run(10, 0, 0, 0), run(1, 9, 0, 0), run(0, 12, 0, 0)] {
            assert!(load >= 800, "{load}");
            assert_eq!(levels.is_empty(), load < 970, "{load}");
        }
    }
}
