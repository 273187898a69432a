//! What is read while a run goes on: the participants' counters, and CPU and memory of the server and of this program.
//! Differences of two readings become a [`Sample`] of the timeline.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::cpu::CpuMeter;
use crate::fleet::{Fleet, Member};
use crate::memory;
use crate::process;
use crate::synthetic::totals::Totals;

/// One second of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the run began.
    pub at: f64,
    /// Members in rooms.
    pub members: usize,
    /// Streams that synthetic participants receive.
    pub streams: u64,
    /// Delivered packets per second.
    pub packets: f64,
    /// Delivered payload bits per second.
    pub bitrate: f64,
    /// By sequence numbers, in per cent.
    pub loss_percent: f64,
    /// Latency, the median, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Latency, the 99th percentile, in milliseconds.
    pub p99_ms: Option<f64>,
    /// The server's CPU, of one core, in per cent.
    pub server_cpu: Option<f64>,
    /// The server's memory, in bytes.
    pub server_pss: Option<u64>,
    /// This program's CPU, of one core, in per cent.
    pub generator_cpu: f64,
}

/// One reading. Counters and CPU times only rise.
#[derive(Debug, Clone)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// Of all participants.
    pub totals: Totals,
    /// The server's CPU time.
    pub server: Option<Duration>,
    /// Its memory, in bytes.
    pub pss: Option<u64>,
    /// This program's CPU time.
    pub generator: Duration,
}

/// Reads.
pub struct Probe {
    began: Instant,
    /// The server's processes.
    pids: Vec<u32>,
    server: Option<CpuMeter>,
    generator: CpuMeter,
}

impl Probe {
    /// Fails if the server's process is not there.
    pub fn new(pid: Option<u32>) -> anyhow::Result<Self> {
        let server = pid.map(|pid| CpuMeter::of_tree(pid).with_context(|| format!("--server-pid {pid}")));
        let generator = CpuMeter::of_self().context("this process's CPU time")?;
        let pids = pid.map(process::tree).unwrap_or_default();
        Ok(Self { began: Instant::now(), pids, server: server.transpose()?, generator })
    }

    /// Looks at threads, so that those which end later stay counted.
    pub fn touch(&mut self) {
        // A server that is gone shows at the next reading.
        let _ = self.server.as_mut().map(CpuMeter::read);
        let _ = self.generator.read();
    }

    /// The server's memory, in bytes.
    pub fn memory(&self) -> Option<u64> {
        let (server, below) = self.pids.split_first()?;
        Some(memory::pss(*server).ok()? + below.iter().filter_map(|pid| memory::pss(*pid).ok()).sum::<u64>())
    }

    /// Reads all.
    pub async fn read(&mut self, fleet: &Fleet, members: &[Member]) -> anyhow::Result<Reading> {
        let mut totals = fleet.engine.collect().await?;
        add_webrtc(&mut totals, members);
        let server = self.server.as_mut().map(CpuMeter::read).transpose().context("the server's process is gone")?;
        Ok(Reading { at: Instant::now(), totals, server, pss: self.memory(), generator: self.generator.read()? })
    }

    /// What happened between two readings.
    pub fn sample(&self, earlier: &Reading, later: &Reading, members: usize) -> Sample {
        let seconds = later.at.saturating_duration_since(earlier.at).as_secs_f64().max(1e-3);
        let (then, now) = (&earlier.totals, &later.totals);
        let bytes = |totals: &Totals| totals.audio.bytes + totals.video.bytes;
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        let latency = now.latency.since(&then.latency).percentiles();
        let percent = |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() * 100.0 / seconds;
        Sample {
            at: later.at.saturating_duration_since(self.began).as_secs_f64(),
            members,
            streams: now.streams,
            packets: rate(now.delivered(), then.delivered()),
            bitrate: rate(bytes(now) * 8, bytes(then) * 8),
            loss_percent: loss_percent(then, now),
            p50_ms: latency.map(|latency| latency.p50_ms),
            p99_ms: latency.map(|latency| latency.p99_ms),
            server_cpu: later.server.zip(earlier.server).map(|(now, then)| percent(now, then)),
            server_pss: later.pss,
            generator_cpu: percent(later.generator, earlier.generator),
        }
    }
}

/// By sequence numbers, between two readings.
fn loss_percent(then: &Totals, now: &Totals) -> f64 {
    let mut expected = 0;
    let mut lost = 0;
    for (now, then) in now.sequences.iter().zip(then.sequences) {
        let between = now.since(then);
        expected += between.expected;
        lost += between.lost();
    }
    if expected == 0 { 0.0 } else { lost as f64 * 100.0 / expected as f64 }
}

/// Members of the `webrtc` crate count on their own.
fn add_webrtc(totals: &mut Totals, members: &[Member]) {
    use std::sync::atomic::Ordering::Relaxed;
    for viewer in members.iter().filter_map(|member| member.viewer.as_ref()) {
        let tally = viewer.tally();
        totals.audio.merge(tally.audio);
        totals.video.merge(tally.video);
        totals.duplicates += tally.duplicates;
        totals.foreign += tally.foreign;
        totals.latency.merge(&tally.latency);
    }
    for publisher in members.iter().filter_map(|member| member.publisher.as_ref()) {
        let (sent, theirs) = (&mut totals.sent, &publisher.sent);
        sent.audio.packets += theirs.audio.load(Relaxed);
        sent.video.packets += theirs.video.load(Relaxed);
        sent.video.bytes += theirs.bytes.load(Relaxed);
        sent.frames += theirs.frames.load(Relaxed);
        sent.keyframes += theirs.keyframes.load(Relaxed);
    }
}
