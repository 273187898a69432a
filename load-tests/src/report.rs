//! What a run found: as a table for people, as JSON for programs, as a page with charts, and whether it is worth
//! anything.

use serde::{Deserialize, Serialize};

use crate::cli::Target;
use crate::run::Outcome;
use crate::scenario::{Scenario, Thresholds};
use crate::stats::Percentiles;

pub mod chart;
pub mod compare;
mod evaluate;
pub mod html;
mod table;
#[cfg(test)]
mod tests;
mod verdict;

pub use crate::probe::Sample;
pub use verdict::Verdict;

/// The version of the JSON; rises when a field changes its meaning or goes.
pub const FORMAT: u32 = 2;

/// Where it ran: figures mean nothing without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// How participants joined.
    pub target: Target,
    /// The server's URL.
    pub url: String,
    /// Processors that the generator may use.
    pub cores: usize,
    /// Whether the machine is a virtual one.
    pub is_virtual: bool,
    /// Whether packets went over the loopback interface.
    pub loopback: bool,
    /// The SRTP profiles that receivers negotiated.
    pub srtp: Vec<String>,
}

/// Packets and bits of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Video packets.
    pub video: u64,
    /// Audio packets.
    pub audio: u64,
    /// Payload bits per second.
    pub bitrate: f64,
}

impl Traffic {
    /// All packets.
    pub fn packets(&self) -> u64 {
        self.video + self.audio
    }
}

/// How it is known what was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossBy {
    /// What was sent less what arrived, for video; audio by sequence numbers.
    Stamps,
    /// Gaps in sequence numbers.
    Sequence,
}

/// What the server used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// CPU seconds within the window.
    pub cpu_seconds: f64,
    /// Of one core, in per cent.
    pub percent_of_core: f64,
    /// Microseconds per delivered packet: CPU-seconds per million.
    pub us_per_packet: Option<f64>,
    /// Whole joins per CPU second, handshakes included, while they joined.
    pub joins_per_cpu_second: Option<f64>,
    /// Memory before anybody joined, in bytes (PSS, as all of these).
    pub pss_idle: Option<u64>,
    /// After all joined.
    pub pss_joined: Option<u64>,
    /// At the end of the window.
    pub pss_end: Option<u64>,
    /// After all left.
    pub pss_left: Option<u64>,
    /// Its slope during the joins, in bytes per member.
    pub pss_per_member: Option<f64>,
}

/// What this program used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Share of all processors' time, 0 to 1.
    pub cpu_share: f64,
    /// Frames and audio packets that left in time, of those that were due.
    pub in_time: f64,
    /// Packets that were opened, of those that came.
    pub opened: f64,
}

/// Join times of receivers, counted from the first byte of signalling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joins {
    /// Until ICE and DTLS were done.
    pub connected: Option<Percentiles>,
    /// Until the first authenticated packet.
    pub first_packet: Option<Percentiles>,
    /// Until the first keyframe was complete.
    pub first_keyframe: Option<Percentiles>,
    /// That failed, or ended by themselves.
    pub failed: usize,
    /// Why the first of them did.
    pub reason: Option<String>,
}

/// What viewers of synthetic participants saw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Frames that could be decoded.
    pub frames: u64,
    /// Freezes, as W3C webrtc-stats defines them.
    pub freezes: u64,
    /// How long they lasted together.
    pub frozen_seconds: f64,
    /// Keyframes that were sent, joins included.
    pub keyframes: u64,
    /// Keyframes that viewers asked for.
    pub plis: u64,
}

/// Retransmission.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Repair {
    /// Packets that viewers asked for.
    pub nacks: u64,
    /// Retransmissions that came.
    pub repairs: u64,
    /// From the first NACK to the retransmission; the last mile's round trip is in it.
    pub time: Option<Percentiles>,
}

/// One step to the knee.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// Members while it lasted.
    pub members: usize,
    /// Delivered packets per second.
    pub packets: f64,
    /// The server's CPU, of one core, in per cent.
    pub server_cpu: Option<f64>,
    /// By sequence numbers, in per cent.
    pub loss_percent: f64,
    /// Latency, the worst second's 99th percentile, in milliseconds.
    pub p99_ms: Option<f64>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Length of the window, in seconds.
    pub seconds: f64,
    /// Members at its end.
    pub members: usize,
    /// By the publishers.
    pub sent: Traffic,
    /// At the receivers, each packet once.
    pub delivered: Traffic,
    /// Per second.
    pub packets_per_second: f64,
    /// Of the packets that receivers should have got.
    pub loss_percent: f64,
    /// How that is known.
    pub loss_by: LossBy,
    /// Packets that arrived again.
    pub duplicates: u64,
    /// Packets whose authentication failed.
    pub refused: u64,
    /// Absent without `--server-pid`.
    pub server: Option<Server>,
    /// This program's share.
    pub generator: Generator,
    /// How joins went.
    pub joins: Joins,
    /// Time from the publisher's socket to the receiver's.
    pub latency: Option<Percentiles>,
    /// Latencies by doubling bounds: microseconds, and how many.
    pub latency_histogram: Vec<(u64, u64)>,
    /// What viewers saw.
    pub picture: Picture,
    /// Retransmission.
    pub repair: Repair,
    /// Receivers that never saw what they came for.
    pub starved: usize,
    /// With `step`: step by step.
    pub steps: Vec<StepResult>,
    /// Why it ended early.
    pub stopped: Option<String>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// What was asked for.
    pub scenario: Scenario,
    /// Where it ran.
    pub environment: Environment,
    /// What was measured.
    pub measured: Measured,
    /// Second by second.
    pub timeline: Vec<Sample>,
    /// Whether it counts.
    pub verdict: Verdict,
}

impl Report {
    /// Evaluates and judges a run.
    pub fn new(scenario: Scenario, environment: Environment, outcome: &Outcome) -> Self {
        let measured = evaluate::evaluate(&scenario, environment.cores, outcome);
        Self::of(scenario, environment, measured, outcome.timeline.clone())
    }

    /// Judges what was measured and puts all together.
    pub fn of(scenario: Scenario, environment: Environment, measured: Measured, timeline: Vec<Sample>) -> Self {
        let verdict = Verdict::of(&measured, &scenario);
        Self { format: FORMAT, scenario, environment, measured, timeline, verdict }
    }

    /// The limits.
    pub fn thresholds(&self) -> &Thresholds {
        &self.scenario.thresholds
    }

    /// 0 fine, 3 void, 4 a threshold was broken.
    pub fn exit_code(&self) -> u8 {
        match (self.verdict.void.is_empty(), self.verdict.broken.is_empty()) {
            (false, _) => 3,
            (true, false) => 4,
            (true, true) => 0,
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        table::table(self)
    }
}
