//! Memory that is given back when many have left. glibc keeps what is freed below the top of a heap, so that a storm of
//! joins would be paid for until the process ends; `malloc_trim` returns the whole pages in between.
//!
//! A trim holds each heap's lock while it walks it: it comes a moment after many have left, and never while they join.
//! Workers do not allocate while they forward, and are not held up.
#![cfg_attr(all(target_os = "linux", target_env = "gnu"), allow(unsafe_code))]

use std::sync::Arc;
use std::time::Duration;

use sfu_signal::Server;

/// How often it is looked who left.
const INTERVAL: Duration = Duration::from_secs(2);
/// So many must have left: about two megabytes.
const LEAVERS: u64 = 32;

/// Looks for ever.
pub(crate) async fn run(server: Arc<Server>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut watch = Watch::default();
    loop {
        ticks.tick().await;
        if watch.is_due(server.counters().participants) {
            // Off the runtime's threads: it may take milliseconds.
            drop(tokio::task::spawn_blocking(trim));
        }
    }
}

/// Participants, and the most that there were since the last trim.
#[derive(Debug, Default)]
struct Watch {
    last: u64,
    most: u64,
}

impl Watch {
    /// Whether many have left, and no more are leaving.
    fn is_due(&mut self, participants: u64) -> bool {
        let settled = participants >= self.last;
        self.last = participants;
        self.most = self.most.max(participants);
        let due = settled && participants + LEAVERS <= self.most;
        if due {
            self.most = participants;
        }
        due
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    // SAFETY: any thread may call it at any time; it takes no pointer and changes nothing that is allocated.
    unsafe { nix::libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_after_many_have_left() {
        let mut watch = Watch::default();
        let due: Vec<bool> = [0, 100, 90, 50, 10, 10, 10, 9, 9, 60, 20, 20].map(|count| watch.is_due(count)).to_vec();
        let at: Vec<usize> = due.iter().enumerate().filter(|(_, due)| **due).map(|(place, _)| place).collect();
        assert_eq!(at, [5, 11]);
    }
}
