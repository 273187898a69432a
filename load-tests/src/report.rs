//! What a run found: as a table for people, as JSON for programs, and whether it is worth anything.

use std::fmt::Write;

use serde::Serialize;

use crate::publisher::Pacing;
use crate::stats::Percentiles;

/// The version of the JSON; rises when a field changes its meaning or goes.
pub const FORMAT: u32 = 1;
/// More loss than this voids a run, in per cent: CPU per packet means little if the work was not done.
const VOID_LOSS_PERCENT: f64 = 0.1;
/// A generator that takes more of the processors' time than this was the limit.
const VOID_GENERATOR_SHARE: f64 = 0.85;
/// Publishers that sent less than this share of their packets fell behind.
const VOID_SENT_SHARE: f64 = 0.98;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scenario {
    /// The server's URL.
    pub url: String,
    /// How many sent.
    pub publishers: u16,
    /// How many watched.
    pub viewers: u16,
    /// Video of each publisher, in bits per second.
    pub video_bitrate: u64,
    /// Audio of each publisher, in bits per second.
    pub audio_bitrate: u64,
    /// Frames per second.
    pub fps: u32,
    /// Packets of an ordinary frame.
    pub packets_per_frame: usize,
    /// How the packets of a frame left.
    pub pacing: Pacing,
}

/// Where it ran: figures mean nothing without it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Environment {
    /// Processors that the generator may use.
    pub cores: usize,
    /// Whether the machine is a virtual one.
    pub is_virtual: bool,
    /// Whether packets went over the loopback interface.
    pub loopback: bool,
    /// The SRTP profiles that viewers negotiated.
    pub srtp: Vec<String>,
}

/// Packets and bits of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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

/// What the server used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ServerCpu {
    /// CPU seconds within the window.
    pub seconds: f64,
    /// Of one core, in per cent.
    pub percent_of_core: f64,
    /// Microseconds per delivered packet.
    pub us_per_packet: Option<f64>,
}

/// What this program used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Generator {
    /// Share of all processors' time, 0 to 1.
    pub cpu_share: f64,
    /// Packets sent over packets that the rates ask for.
    pub sent_share: f64,
}

/// Join times of the viewers, counted from the POST.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Joins {
    /// Until ICE and DTLS were done.
    pub connected: Option<Percentiles>,
    /// Until the first authenticated packet.
    pub first_packet: Option<Percentiles>,
    /// Until the first keyframe was complete.
    pub first_keyframe: Option<Percentiles>,
}

/// What the user set as limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Thresholds {
    /// Loss, in per cent.
    pub max_loss_percent: Option<f64>,
    /// The server's CPU per delivered packet, in microseconds.
    pub max_cpu_us: Option<f64>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Length of the window, in seconds.
    pub seconds: f64,
    /// By the publishers.
    pub sent: Traffic,
    /// At the viewers, each packet once.
    pub delivered: Traffic,
    /// Of the packets that viewers should have got.
    pub loss_percent: f64,
    /// Packets that arrived again.
    pub duplicates: u64,
    /// Keyframes that publishers sent, joins included.
    pub keyframes: u64,
    /// Absent without `--server-pid`.
    pub server: Option<ServerCpu>,
    /// This program's share.
    pub generator: Generator,
    /// How joins went.
    pub joins: Joins,
    /// Time from the publisher's stack to the viewer's, both included.
    pub latency: Option<Percentiles>,
    /// Viewers that never saw what they came for.
    pub starved_viewers: usize,
}

/// Whether the run counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// Why the figures are worth nothing.
    pub void: Vec<String>,
    /// Which thresholds were broken.
    pub broken: Vec<String>,
}

impl Verdict {
    /// Judges what was measured.
    pub fn of(measured: &Measured, thresholds: Thresholds) -> Self {
        let mut verdict = Self::default();
        let mut void = |holds: bool, reason: String| {
            if holds {
                verdict.void.push(reason);
            }
        };
        let loss = measured.loss_percent;
        let Generator { cpu_share, sent_share } = measured.generator;
        void(loss > VOID_LOSS_PERCENT, format!("{loss:.3} % lost, more than {VOID_LOSS_PERCENT} %"));
        void(measured.delivered.packets() == 0, "nothing was delivered".to_owned());
        void(
            measured.starved_viewers > 0,
            format!("{} viewers saw no media before measuring", measured.starved_viewers),
        );
        void(
            cpu_share > VOID_GENERATOR_SHARE,
            format!("the generator was the limit: it took {:.0} % of the processors' time", cpu_share * 100.0),
        );
        void(
            sent_share < VOID_SENT_SHARE,
            format!("the generator was the limit: it sent {:.1} % of what it should", sent_share * 100.0),
        );
        if let Some(limit) = thresholds.max_loss_percent.filter(|limit| loss > *limit) {
            verdict.broken.push(format!("loss {loss:.3} % > {limit} %"));
        }
        let cpu = measured.server.and_then(|server| server.us_per_packet);
        if let (Some(cpu), Some(limit)) = (cpu, thresholds.max_cpu_us)
            && cpu > limit
        {
            verdict.broken.push(format!("server CPU {cpu:.2} µs per packet > {limit} µs"));
        }
        verdict
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// What was asked for.
    pub scenario: Scenario,
    /// Where it ran.
    pub environment: Environment,
    /// What was measured.
    pub measured: Measured,
    /// The limits.
    pub thresholds: Thresholds,
    /// Whether it counts.
    pub verdict: Verdict,
}

impl Report {
    /// Judges a run and puts all together.
    pub fn new(scenario: Scenario, environment: Environment, measured: Measured, thresholds: Thresholds) -> Self {
        let verdict = Verdict::of(&measured, thresholds);
        Self { format: FORMAT, scenario, environment, measured, thresholds, verdict }
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
        let mut table = Table(String::new());
        self.heading(&mut table);
        self.traffic(&mut table);
        let joins = &self.measured.joins;
        table.percentiles("join: connected", joins.connected);
        table.percentiles("join: first packet", joins.first_packet);
        table.percentiles("join: first keyframe", joins.first_keyframe);
        table.percentiles("latency", self.measured.latency);
        for reason in &self.verdict.void {
            table.row("VOID", reason);
        }
        for threshold in &self.verdict.broken {
            table.row("FAILED", threshold);
        }
        if self.exit_code() == 0 {
            table.row("verdict", "valid");
        }
        table.0
    }

    fn heading(&self, table: &mut Table) {
        let Scenario { publishers, viewers, video_bitrate, audio_bitrate, packets_per_frame, fps, .. } = self.scenario;
        let Environment { cores, is_virtual, loopback, ref srtp } = self.environment;
        table.row("scenario", &format!("{publishers} -> {viewers}, {:.1} s", self.measured.seconds));
        table.row(
            "each publisher",
            &format!(
                "video {:.2} Mbps ({fps} fps, {packets_per_frame} packets a frame, {}), audio {} kbps",
                video_bitrate as f64 / 1e6,
                if self.scenario.pacing == Pacing::Burst { "burst" } else { "even" },
                audio_bitrate / 1_000,
            ),
        );
        let machine = if is_virtual { "virtual" } else { "physical" };
        let path = if loopback { "loopback" } else { "network" };
        table.row("measured on", &format!("{machine}, {cores} cores, {path}; {}", srtp.join(", ")));
    }

    fn traffic(&self, table: &mut Table) {
        let measured = &self.measured;
        let traffic = |traffic: Traffic| {
            format!(
                "{} packets ({} video, {} audio), {:.2} Mbps",
                traffic.packets(),
                traffic.video,
                traffic.audio,
                traffic.bitrate / 1e6
            )
        };
        table.row("sent", &traffic(measured.sent));
        table.row("delivered", &traffic(measured.delivered));
        let duplicates = measured.duplicates;
        table.row("lost", &format!("{:.3} %, {duplicates} duplicates", measured.loss_percent));
        match measured.server {
            Some(ServerCpu { percent_of_core, us_per_packet, .. }) => {
                let per_packet = us_per_packet.map_or("-".to_owned(), |cpu| format!("{cpu:.2}"));
                let text = format!("{per_packet} µs per delivered packet, {percent_of_core:.1} % of a core");
                table.row("server CPU", &text);
            }
            None => table.row("server CPU", "not measured (--server-pid)"),
        }
        let Generator { cpu_share, sent_share } = measured.generator;
        let sent = sent_share * 100.0;
        table.row("generator", &format!("{:.0} % of the processors, sent {sent:.1} %", cpu_share * 100.0));
        table.row("keyframes", &measured.keyframes.to_string());
    }
}

struct Table(String);

impl Table {
    fn row(&mut self, name: &str, value: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name:<22}{value}");
    }

    fn percentiles(&mut self, name: &str, percentiles: Option<Percentiles>) {
        let Some(Percentiles { p50_ms, p90_ms, p99_ms, max_ms, .. }) = percentiles else {
            return self.row(name, "-");
        };
        self.row(name, &format!("p50 {p50_ms:.2} ms, p90 {p90_ms:.2} ms, p99 {p99_ms:.2} ms, max {max_ms:.2} ms"));
    }
}

#[cfg(test)]
mod tests;
