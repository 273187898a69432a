//! What a receiver without transport-wide feedback says that it can take, in the manner of libwebrtc's
//! `remote_bitrate_estimator_abs_send_time.cc` (M128): 0.85 of what arrives when a queue grows, otherwise 8 % more a second, and
//! never more than 1.5 times what arrives.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sfu_core::unit::Bitrate;

/// What arrives is averaged over this.
const WINDOW: Duration = Duration::from_millis(500);
/// A REMB comes so often, and at once when it falls; then not again for a while.
const INTERVAL: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(300);
/// A queue of so many seconds.
const QUEUE: f64 = 0.06;
const OVERHEAD: usize = 40 + 28;

/// See the module's text.
#[derive(Debug)]
pub struct Remb {
    start: Instant,
    arrived: VecDeque<(Instant, usize)>,
    first: Option<u32>,
    /// The shortest way so far, and the last, in seconds; both less the first.
    shortest: f64,
    latest: f64,
    bps: f64,
    told: Instant,
}

impl Remb {
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            arrived: VecDeque::new(),
            first: None,
            shortest: f64::MAX,
            latest: 0.0,
            bps: 300_000.0,
            told: now,
        }
    }

    /// `sent` is in units of 2^-18 s, modulo 64 s.
    pub fn on_packet(&mut self, at: Instant, sent: u32, bytes: usize) {
        let arrived = ((at - self.start).as_secs_f64() * f64::from(1 << 18)) as u64 as u32;
        let way = arrived.wrapping_sub(sent) << 8;
        // Compared with the first one, whatever the clocks are.
        let first = *self.first.get_or_insert(way);
        self.latest = f64::from(way.wrapping_sub(first) as i32) / 2f64.powi(26);
        self.shortest = self.shortest.min(self.latest);
        self.arrived.push_back((at, bytes + OVERHEAD));
    }

    /// Bits per second to tell now.
    pub fn poll(&mut self, now: Instant) -> Option<Bitrate> {
        self.arrived.retain(|(at, _)| *at + WINDOW > now);
        let incoming = self.arrived.iter().map(|(_, bytes)| bytes).sum::<usize>() as f64 * 8.0 / WINDOW.as_secs_f64();
        let since = now - self.told;
        let queued = self.latest - self.shortest > QUEUE;
        if incoming == 0.0 || since < AGAIN || (!queued && since < INTERVAL) {
            return None;
        }
        self.told = now;
        let risen = (self.bps * 1.08).min(1.5 * incoming + 10_000.0).max(self.bps.min(300_000.0));
        self.bps = if queued { 0.85 * incoming } else { risen };
        Some(Bitrate(self.bps as u64))
    }
}
