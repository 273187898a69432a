//! What a listener counts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::connection::Overdue;
use super::table::{Refusal, Standing};

/// Live counters. Relaxed: each is read by itself.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) evicted: AtomicU64,
    accept_errors: AtomicU64,
    pub(super) rate_limited: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    overdue: [AtomicU64; Overdue::ALL.len()],
}

impl Counters {
    /// Counts an error of `accept`. True: it is the first.
    pub(super) fn accept_error(&self) -> bool {
        self.accept_errors.fetch_add(1, Ordering::Relaxed) == 0
    }

    pub(super) fn refused(&self, reason: Refusal) {
        add(&self.refused[reason as usize]);
    }

    pub(super) fn overdue(&self, kind: Overdue) {
        add(&self.overdue[kind as usize]);
    }

    pub(super) fn snapshot(&self, counts: [usize; 4]) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            connections: Standing::ALL.map(|standing| (standing.as_str(), counts[standing as usize] as u64)),
            accepted: read(&self.accepted),
            evicted: read(&self.evicted),
            accept_errors: read(&self.accept_errors),
            rate_limited: read(&self.rate_limited),
            refused: Refusal::ALL.map(|reason| (reason.as_str(), read(&self.refused[reason as usize]))),
            overdue: Overdue::ALL.map(|kind| (kind.as_str(), read(&self.overdue[kind as usize]))),
        }
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The counters at one time. Arrays name each row as metrics do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Open connections by what they have shown.
    pub connections: [(&'static str, u64); 4],
    /// Connections that were let in.
    pub accepted: u64,
    /// Strangers that made room for newcomers.
    pub evicted: u64,
    /// Errors of `accept`, of which missing descriptors are the usual one.
    pub accept_errors: u64,
    /// Requests over `http.requests_per_second`.
    pub rate_limited: u64,
    /// Connections, and requests that a proxy passed on, that were not let in, by reason.
    pub refused: [(&'static str, u64); 3],
    /// Connections that were closed because something did not come in time, by what.
    pub overdue: [(&'static str, u64); 4],
}
