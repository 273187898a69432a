//! How long this thread ran, and how long it was ready to and did not, as Linux counts it: processor time and run delay
//! (`/proc/thread-self/schedstat`).
//!
//! What a clock around a wait cannot tell: whether a thread that is late computed, or was kept from running. Elsewhere, and where
//! the kernel does not count, nothing is known.

use std::fs::File;
use std::time::Duration;

/// A thread's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Spent {
    /// It ran.
    pub ran: Duration,
    /// It was ready to run, and did not.
    pub delayed: Duration,
}

/// Reads the account of the thread that opened it.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    account: Option<File>,
    /// What had been counted when it was read last.
    counted: Spent,
}

impl Schedule {
    /// Of the thread that calls.
    pub(super) fn of_this_thread() -> Self {
        let account = if cfg!(target_os = "linux") { File::open("/proc/thread-self/schedstat").ok() } else { None };
        let mut schedule = Self { account, counted: Spent::default() };
        schedule.since_last();
        schedule
    }

    /// The time since the last call; `None`: not known. A system call.
    pub(super) fn since_last(&mut self) -> Option<Spent> {
        let counted = self.account.as_ref().and_then(read_at_start).as_deref().and_then(parse)?;
        let before = std::mem::replace(&mut self.counted, counted);
        let spent = Spent {
            ran: counted.ran.saturating_sub(before.ran),
            delayed: counted.delayed.saturating_sub(before.delayed),
        };
        // A thread that asks has run. Some sandboxes have the file, and only zeros in it.
        (spent.ran > Duration::ZERO).then_some(spent)
    }
}

/// The first bytes of a file of the kernel's, which is written anew for each reader.
#[cfg(unix)]
pub(super) fn read_at_start(file: &File) -> Option<String> {
    use std::os::unix::fs::FileExt;

    let mut text = [0; 512];
    let len = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..len]).ok().map(str::to_owned)
}

#[cfg(not(unix))]
pub(super) fn read_at_start(_file: &File) -> Option<String> {
    None
}

/// Processor time, run delay and time slices; the first two in nanoseconds.
fn parse(text: &str) -> Option<Spent> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let (ran, delayed): (u64, u64) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Spent { ran: Duration::from_nanos(ran), delayed: Duration::from_nanos(delayed) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn an_account_is_read() {
        let spent = Spent { ran: Duration::from_millis(1_500), delayed: Duration::from_millis(250) };
        assert_eq!(parse("1500000000 250000000 77\n"), Some(spent));
        assert_eq!([parse(""), parse("1"), parse("x y")], [None; 3]);
    }

    /// Whoever computes is counted, on whatever busy machine; whoever sleeps is not.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_thread_wanted_is_counted() {
        let mut schedule = Schedule::of_this_thread();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(50) {}
        let Some(spent) = schedule.since_last() else { return };
        let wanted = spent.ran + spent.delayed;
        assert!((25..=60).contains(&wanted.as_millis()), "{wanted:?}");
        assert!(schedule.since_last().is_none_or(|spent| spent.ran + spent.delayed < Duration::from_millis(25)));
    }
}
