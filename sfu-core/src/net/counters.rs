//! What a worker counts about its sockets, and how others read it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Counters;

/// Socket counters of one worker. All values only rise, but for the gauges that say so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetCounters {
    /// Turns of the loop. Also rises when idle: at least once in two seconds.
    pub turns: u64,
    /// Nanoseconds that its own work took, or that a CPU quota took from it; see `load`.
    pub busy_ns: u64,
    /// Nanoseconds in which it was ready to run and other processes had the processor.
    pub delayed_ns: u64,
    /// The same as a share of the last second, in parts per thousand. A gauge.
    pub load_permille: u64,
    /// The share of the video that is withheld because the worker is past its limit, in parts per thousand. A gauge.
    pub shed_level: u64,
    /// Nanoseconds in which video was withheld.
    pub shed_ns: u64,
    /// UDP datagrams received, those merged by GRO counted one by one.
    pub udp_in: u64,
    /// Bytes of them.
    pub udp_bytes_in: u64,
    /// System calls that received something.
    pub udp_reads: u64,
    /// UDP datagrams sent, those of a train counted one by one.
    pub udp_out: u64,
    /// Bytes of them.
    pub udp_bytes_out: u64,
    /// System calls that sent something.
    pub udp_writes: u64,
    /// Trains that left as one message.
    pub udp_trains: u64,
    /// System calls that failed to receive.
    pub udp_receive_errors: u64,
    /// Datagrams dropped by the kernel before we read them (`SO_RXQ_OVFL`).
    pub udp_receive_overflow: u64,
    /// Datagrams dropped because the kernel had no room to send (`EAGAIN`, `ENOBUFS`).
    pub udp_send_dropped: u64,
    /// Datagrams that the kernel refused to send for another reason, such as no route.
    pub udp_send_errors: u64,
    /// TCP connections that are open. A gauge.
    pub tcp_connections: u64,
    /// RFC 4571 frames received.
    pub tcp_in: u64,
    /// RFC 4571 frames sent.
    pub tcp_out: u64,
    /// Frames dropped because their connection was gone or its buffer full.
    pub tcp_dropped: u64,
    /// Connections refused because their first frame was no authentic check of a participant.
    pub tcp_refused: u64,
    /// Connections refused because the worker has as many as it may.
    pub tcp_full: u64,
    /// Connections closed because no participant used their path any more.
    pub tcp_orphaned: u64,
    /// Connections closed because nothing authentic came.
    pub tcp_idle: u64,
    /// Connections closed because they took nothing of what waited for them.
    pub tcp_stuck: u64,
    /// Commands taken.
    pub commands: u64,
    /// Events handed over.
    pub events: u64,
    /// Events that wait for the control plane. A gauge.
    pub event_backlog: u64,
}

/// All counters of one worker at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Of the sockets.
    pub net: NetCounters,
    /// Of the core.
    pub core: Counters,
}

/// A [`Snapshot`] that a worker renews once per turn and anybody reads. The worker never waits for a reader: it skips a
/// turn instead.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<(Instant, Snapshot)>>);

impl Shared {
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new((now, Snapshot::default()))))
    }

    pub(super) fn publish(&self, now: Instant, net: &NetCounters, core: &Counters) {
        if let Ok(mut shared) = self.0.try_lock() {
            shared.0 = now;
            shared.1.net = *net;
            shared.1.core.clone_from(core);
        }
    }

    pub(super) fn read(&self) -> Snapshot {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Time since the worker's last turn.
    pub(super) fn age(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.elapsed()
    }
}
