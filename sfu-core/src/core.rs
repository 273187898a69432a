//! One worker's rooms, and the way of every datagram through them.

use std::time::{Duration, Instant};

use crate::config::CoreConfig;
use crate::control::{Command, Event, WorkerIndex};
use crate::transport::Path;

/// A point in time on both clocks, so that the core can write NTP times without reading a clock.
#[derive(Debug, Clone, Copy)]
pub struct ClockAnchor {
    pub instant: Instant,
    /// Since the Unix epoch.
    pub unix: Duration,
}

/// A train: datagrams of `segment` bytes each (the last may be shorter) for one path.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    pub path: Path,
    pub data: &'a [u8],
    pub segment: usize,
}

/// What a worker counts. All values only rise.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    pub datagrams_in: u64,
    pub rtp_in: u64,
    pub rtp_out: u64,
}

/// One worker's rooms.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    counters: Counters,
}

impl Core {
    pub fn new(config: CoreConfig, _worker: WorkerIndex, _clock: ClockAnchor, _seed: [u8; 32]) -> Self {
        Self { config, counters: Counters::default() }
    }
    pub fn handle_datagram(&mut self, _now: Instant, _path: Path, _data: &mut [u8]) {}
    pub fn handle_command(&mut self, _now: Instant, _command: Command) {}
    pub fn handle_timeout(&mut self, _now: Instant) {}
    pub fn handle_path_closed(&mut self, _now: Instant, _path: Path) {}
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
    pub fn transmits(&self) -> impl Iterator<Item = Transmit<'_>> {
        let _ = &self.config;
        std::iter::empty()
    }
    pub fn clear_transmits(&mut self) {}
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
