//! How long this thread ran or wanted to, as Linux counts it: processor time and run delay (`/proc/thread-self/schedstat`).
//!
//! What a clock around a wait cannot tell: a thread that a CPU quota or its neighbours keep from running while it waits.
//! Elsewhere, and where the kernel does not count, nothing is known.

use std::fs::File;
use std::time::Duration;

/// Reads the account of the thread that opened it.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    account: Option<File>,
    /// What had been counted when it was read last.
    counted: Duration,
}

impl Schedule {
    /// Of the thread that calls.
    pub(super) fn of_this_thread() -> Self {
        let account = if cfg!(target_os = "linux") { File::open("/proc/thread-self/schedstat").ok() } else { None };
        let mut schedule = Self { account, counted: Duration::ZERO };
        schedule.since_last();
        schedule
    }

    /// What the thread ran or wanted to since the last call: zero where that is not known. A system call.
    pub(super) fn since_last(&mut self) -> Duration {
        let Some(counted) = self.account.as_ref().and_then(read) else { return Duration::ZERO };
        counted.saturating_sub(std::mem::replace(&mut self.counted, counted))
    }
}

#[cfg(unix)]
fn read(account: &File) -> Option<Duration> {
    use std::os::unix::fs::FileExt;

    let mut text = [0; 64];
    let len = account.read_at(&mut text, 0).ok()?;
    parse(std::str::from_utf8(&text[..len]).ok()?)
}

#[cfg(not(unix))]
fn read(_account: &File) -> Option<Duration> {
    None
}

/// Processor time, run delay and time slices; the first two in nanoseconds.
fn parse(text: &str) -> Option<Duration> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let (ran, waited): (u64, u64) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Duration::from_nanos(ran) + Duration::from_nanos(waited))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn an_account_is_read() {
        assert_eq!(parse("1500000000 250000000 77\n"), Some(Duration::from_millis(1_750)));
        assert_eq!([parse(""), parse("1"), parse("x y")], [None; 3]);
    }

    /// Whoever computes is counted, on whatever busy machine; whoever sleeps is not.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_thread_wanted_is_counted() {
        let mut schedule = Schedule::of_this_thread();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(50) {}
        let wanted = schedule.since_last();
        assert!((25..=60).contains(&wanted.as_millis()), "{wanted:?}");
        assert!(schedule.since_last() < Duration::from_millis(25));
    }
}
