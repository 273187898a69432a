//! What the control plane counts. The binary turns a [`Snapshot`] into metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::ErrorCode;

/// Live counters. Relaxed: each is read by itself.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) websockets: AtomicU64,
    pub(crate) joins: AtomicU64,
    pub(crate) leaves: AtomicU64,
    pub(crate) resumes: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) slow_clients: AtomicU64,
    pub(crate) media_limits: AtomicU64,
    errors: ErrorCounts,
}

#[derive(Debug)]
struct ErrorCounts(Box<[AtomicU64]>);

impl Default for ErrorCounts {
    fn default() -> Self {
        Self(ErrorCode::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Counters {
    pub(crate) fn error(&self, code: ErrorCode) {
        if let Some(at) = ErrorCode::ALL.iter().position(|known| *known == code) {
            add(&self.errors.0[at], 1);
        }
    }

    pub(crate) fn snapshot(&self, rooms: usize, participants: usize) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            rooms: rooms as u64,
            participants: participants as u64,
            websockets: read(&self.websockets),
            joins: read(&self.joins),
            leaves: read(&self.leaves),
            resumes: read(&self.resumes),
            messages: read(&self.messages),
            slow_clients: read(&self.slow_clients),
            media_limits: read(&self.media_limits),
            errors: ErrorCode::ALL.iter().copied().zip(self.errors.0.iter().map(read)).collect(),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// Counts one while it lives.
#[derive(Debug)]
pub(crate) struct Gauge<'a>(&'a AtomicU64);

impl<'a> Gauge<'a> {
    pub(crate) fn enter(counter: &'a AtomicU64) -> Self {
        add(counter, 1);
        Self(counter)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counters at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Rooms that are open now.
    pub rooms: u64,
    /// Participants now, those included whose WebSocket is lost and may be resumed.
    pub participants: u64,
    /// WebSockets that are open now.
    pub websockets: u64,
    /// Joins that worked.
    pub joins: u64,
    /// Participants that left, for whatever reason.
    pub leaves: u64,
    /// Sessions that were resumed.
    pub resumes: u64,
    /// Messages from clients.
    pub messages: u64,
    /// Clients that were disconnected because they did not read.
    pub slow_clients: u64,
    /// Publishers that were told of a limit on their media.
    pub media_limits: u64,
    /// Errors that were told to clients, by code; every code is there.
    pub errors: Vec<(ErrorCode, u64)>,
}
