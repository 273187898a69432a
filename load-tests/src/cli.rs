//! The command line.

pub mod measure;
mod soak;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use reqwest::Url;

use crate::publisher::Pacing;
use crate::scenario::{Audio, Scenario, Video};
use crate::units::{Bitrate, Span};
pub use measure::{GoalsArgs, HostArgs, HostileArgs, Opponent, PublishArgs, VersusArgs};
pub use soak::SoakArgs;

/// Synthetic participants that measure what a WebRTC server can carry, and whether it carries it well.
#[derive(Debug, Parser)]
#[command(name = "madang-load", version, max_term_width = 110)]
#[command(after_help = "Examples:
  madang serve --dev &
  madang-load run livestream --server-pid $!               1 -> 50, with the server's CPU per packet
  madang-load run meeting --participants 20 --html m.html  a call of 20, with charts
  madang-load run my.yaml --json a.json; madang-load compare a.json b.json
Scenarios: livestream, meeting, audio-room, rooms, join-storm, churn, mute-storm, knee, soak; or a YAML
file. `madang-load show meeting` prints one to start from. Exit status: 0 fine, 1 it could not run,
2 wrong usage, 3 void (the figures mean nothing, and why), 4 a threshold was broken.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario and report
    Run(Box<RunArgs>),
    /// Print a scenario as YAML
    Show(ShowArgs),
    /// Set two reports side by side
    Compare(CompareArgs),
    /// Run a baseline server: the least that anybody must spend
    Baseline(BaselineArgs),
    /// Interleaved comparison of several servers
    Versus(VersusArgs),
    /// What a comparison does not tell: capacity, memory, joins
    Goals(GoalsArgs),
    /// Wear a server out, and see whether it gives everything back
    Soak(SoakArgs),
    /// What one hostile member costs the others
    Hostile(HostileArgs),
    /// Write tables and charts of `versus` and `goals` into documents
    Publish(PublishArgs),
}

/// How participants join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Madang's own protocol: WebSocket, slots
    Madang,
    /// Any server that speaks WHIP and WHEP
    WhipWhep,
    /// Janus' VideoRoom over its WebSocket
    Janus,
    /// mediasoup behind load-tests/mediasoup (`scripts/mediasoup PORT`)
    Mediasoup,
}

impl Target {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Madang => "madang",
            Self::WhipWhep => "whip-whep",
            Self::Janus => "janus",
            Self::Mediasoup => "mediasoup",
        }
    }
}

/// One run.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "A packet counts as delivered when it was decrypted and authenticated at the receiver, once, however
often it was sent. The run is void, with a reason, if more than 0.1 % was lost that no threshold
allows, or if this generator was the limit (over 85 % of the processors' time, or late publishers).

Examples:
  A gate for a deploy, with the numbers kept:
    madang-load run meeting --server-pid 4711 --max-loss 0 --max-cpu-us 5 --json out.json
  A large livestream; one packet in 16 is opened, a tenth of the peers are those of another stack:
    madang-load run livestream --viewers 2000 --join-rate 100 --open-every 16 --webrtc-share 0.1
  Another server that speaks WHIP and WHEP, with its own key:
    madang-load run livestream --target whip-whep --url https://sfu.example \\
      --token-key prod --token-secret \"$SECRET\"
  A bad last mile for every viewer:
    madang-load run livestream --loss 5 --rtt 50 --max-loss 100"
)]
pub struct RunArgs {
    /// A preset or a YAML file
    #[arg(default_value = "livestream")]
    pub scenario: String,
    /// How to join
    #[arg(long, value_enum, default_value_t = Target::Madang)]
    pub target: Target,
    /// The server: http(s), or ws(s) for janus
    #[arg(long, default_value = "http://127.0.0.1:7880")]
    pub url: Url,
    /// API key that signs the tokens; by default that of `madang serve --dev`
    #[arg(long, default_value = "devkey", env = "MADANG_LOAD_KEY", value_name = "ID")]
    pub token_key: String,
    /// Its secret
    #[arg(
        long,
        default_value = "secret-for-development-only-do-not-use",
        env = "MADANG_LOAD_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub token_secret: String,
    /// The first room's name; others get a number
    #[arg(long, default_value = "load")]
    pub room: String,
    /// The server's process on this machine, for its CPU time and memory, and those of processes below it
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Threads for synthetic participants; by default half of the processors
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// What to change of the scenario.
    #[command(flatten)]
    pub changes: Changes,
    /// Write the report as JSON to this file; `-` for standard output, instead of the table
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub json: Option<PathBuf>,
    /// Write the report as one HTML page with charts
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// No progress on standard error
    #[arg(long, short, help_heading = "Output")]
    pub quiet: bool,
}

/// Flags that change a scenario.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Scenario (defaults are the preset's)")]
pub struct Changes {
    /// How many rooms
    #[arg(long, value_name = "N")]
    pub rooms: Option<u32>,
    /// Per room, who only send
    #[arg(long, value_name = "N")]
    pub publishers: Option<u32>,
    /// Per room, who only receive
    #[arg(long, value_name = "N")]
    pub viewers: Option<u32>,
    /// Per room, who do both
    #[arg(long, value_name = "N")]
    pub participants: Option<u32>,
    /// How long to measure, after all have joined: 10s, 500ms, 2m
    #[arg(long)]
    pub duration: Option<Span>,
    /// Video per publisher, in bits per second: 1500k, 2.5M; 0: none
    #[arg(long, value_name = "BITRATE")]
    pub video_bitrate: Option<Bitrate>,
    /// Audio per publisher, in bits per second; 0: none
    #[arg(long, value_name = "BITRATE")]
    pub audio_bitrate: Option<Bitrate>,
    /// Send this IVF file of VP8 in place of filler, with its own bitrate and frame rate, over and over
    #[arg(long, value_name = "FILE")]
    pub video_file: Option<PathBuf>,
    /// Send this Ogg file of Opus, of 20 ms per packet, in place of filler, over and over
    #[arg(long, value_name = "FILE")]
    pub audio_file: Option<PathBuf>,
    /// Video frames per second
    #[arg(long, value_name = "N")]
    pub fps: Option<u32>,
    /// Longest video payload, in bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(64..=1_160))]
    pub packet_size: Option<u16>,
    /// How the packets of a frame leave
    #[arg(long, value_enum)]
    pub pacing: Option<Pacing>,
    /// Three encodings, or one
    #[arg(long, value_name = "BOOL")]
    pub simulcast: Option<bool>,
    /// How many of a room speak at a time; the others are silent, with DTX
    #[arg(long, value_name = "N")]
    pub speaking: Option<u32>,
    /// Joins that begin per second
    #[arg(long, value_name = "N")]
    pub join_rate: Option<f64>,
    /// Share of peers that are those of the `webrtc` crate, 0 to 1
    #[arg(long, value_name = "SHARE")]
    pub webrtc_share: Option<f64>,
    /// Open and authenticate one packet in so many
    #[arg(long, value_name = "N")]
    pub open_every: Option<u16>,
    /// Leave and are replaced, per second
    #[arg(long, value_name = "N")]
    pub churn: Option<f64>,
    /// Tracks muted or unmuted, per second
    #[arg(long, value_name = "N")]
    pub mutes: Option<f64>,
    /// Last mile: lost on the way to each participant, in per cent
    #[arg(long, value_name = "PERCENT")]
    pub loss: Option<f64>,
    /// Last mile: round trip, in milliseconds
    #[arg(long, value_name = "MS")]
    pub rtt: Option<u32>,
    /// Last mile: bottleneck, in bits per second, with a queue of 200 ms
    #[arg(long, value_name = "BITRATE")]
    pub bandwidth: Option<Bitrate>,
    /// Fail if more is lost, in per cent
    #[arg(long, value_name = "PERCENT")]
    pub max_loss: Option<f64>,
    /// Fail if the server takes more CPU per delivered packet, in µs (needs --server-pid)
    #[arg(long, value_name = "US")]
    pub max_cpu_us: Option<f64>,
    /// Fail if latency's 99th percentile is longer, in ms
    #[arg(long, value_name = "MS")]
    pub max_latency: Option<f64>,
    /// Fail if joins take longer to the first keyframe, 99th percentile, in ms
    #[arg(long, value_name = "MS")]
    pub max_join: Option<f64>,
    /// Fail with more freezes
    #[arg(long, value_name = "N")]
    pub max_freezes: Option<u64>,
}

impl RunArgs {
    /// The scenario with its changes, checked.
    pub fn resolve(&self) -> anyhow::Result<Scenario> {
        let mut scenario = Scenario::named(&self.scenario)?;
        self.changes.apply(&mut scenario);
        scenario.check().context("the scenario")?;
        anyhow::ensure!(
            scenario.thresholds.max_cpu_us.is_none() || self.server_pid.is_some(),
            "a threshold for the server's CPU needs --server-pid"
        );
        Ok(scenario)
    }
}

fn set<T: Copy>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

impl Changes {
    fn apply(&self, scenario: &mut Scenario) {
        set(&mut scenario.rooms, self.rooms);
        set(&mut scenario.publishers, self.publishers);
        set(&mut scenario.viewers, self.viewers);
        set(&mut scenario.participants, self.participants);
        set(&mut scenario.duration, self.duration);
        set(&mut scenario.join_rate, self.join_rate);
        set(&mut scenario.webrtc_share, self.webrtc_share);
        set(&mut scenario.open_every, self.open_every);
        set(&mut scenario.churn, self.churn);
        set(&mut scenario.mutes, self.mutes);
        set(&mut scenario.link.loss_percent, self.loss);
        set(&mut scenario.link.rtt_ms, self.rtt);
        if let Some(bandwidth) = self.bandwidth {
            (scenario.link.bitrate, scenario.link.queue_ms) = (bandwidth.0, 200);
        }
        self.apply_media(scenario);
        let thresholds = &mut scenario.thresholds;
        thresholds.max_loss_percent = self.max_loss.or(thresholds.max_loss_percent);
        thresholds.max_cpu_us = self.max_cpu_us.or(thresholds.max_cpu_us);
        thresholds.max_latency_p99_ms = self.max_latency.or(thresholds.max_latency_p99_ms);
        thresholds.max_join_p99_ms = self.max_join.or(thresholds.max_join_p99_ms);
        thresholds.max_freezes = self.max_freezes.or(thresholds.max_freezes);
    }

    fn apply_media(&self, scenario: &mut Scenario) {
        match self.video_bitrate {
            Some(Bitrate(0)) => scenario.video = None,
            Some(bitrate) => scenario.video.get_or_insert_with(Video::default).bitrate = bitrate,
            None => {}
        }
        if let Some(video) = &mut scenario.video {
            set(&mut video.fps, self.fps);
            set(&mut video.packet_size, self.packet_size);
            set(&mut video.pacing, self.pacing);
            set(&mut video.simulcast, self.simulcast);
            video.file = self.video_file.clone().or(video.file.take());
        }
        match self.audio_bitrate {
            Some(Bitrate(0)) => scenario.audio = None,
            Some(bitrate) => scenario.audio.get_or_insert_with(Audio::default).bitrate = bitrate,
            None => {}
        }
        if let Some(audio) = &mut scenario.audio {
            audio.speaking = self.speaking.or(audio.speaking);
            audio.file = self.audio_file.clone().or(audio.file.take());
        }
    }
}

/// Prints a scenario.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A preset or a YAML file
    pub scenario: String,
    /// What to change of it.
    #[command(flatten)]
    pub changes: Changes,
}

impl ShowArgs {
    /// As YAML.
    pub fn text(&self) -> anyhow::Result<String> {
        let mut scenario = Scenario::named(&self.scenario)?;
        self.changes.apply(&mut scenario);
        Ok(serde_yaml_ng::to_string(&scenario)?)
    }
}

/// Two reports.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Before
    pub a: PathBuf,
    /// After
    pub b: PathBuf,
    /// Fail (4) if a figure got worse by more than this, in per cent
    #[arg(long, value_name = "PERCENT")]
    pub max_worse: Option<f64>,
}

/// A server that is not Madang.
#[derive(Debug, Args)]
pub struct BaselineArgs {
    /// Which
    #[arg(value_enum)]
    pub kind: Baseline,
    /// Where it serves WHIP and WHEP
    #[arg(long, default_value = "127.0.0.1:7990")]
    pub bind: std::net::SocketAddr,
}

/// The baselines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// A plain forwarder on the `webrtc` crate
    Webrtc,
    /// Seal and send: sendmmsg across destinations, GSO for what has one destination
    Floor,
    /// Seal and send: one `sendto` per packet
    FloorSendto,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run_args(flags: &[&str]) -> Result<RunArgs, clap::Error> {
        match Cli::try_parse_from([&["madang-load", "run"], flags].concat())?.command {
            Command::Run(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_fits_a_screen() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 30 && help.lines().all(|line| line.chars().count() <= 110), "{help}");
    }

    #[test]
    fn flags_change_the_preset() {
        let flags =
            ["meeting", "--participants", "4", "--audio-bitrate", "0", "--duration", "500ms", "--simulcast", "false"];
        let scenario = run_args(&flags).unwrap().resolve().unwrap();
        assert_eq!((scenario.participants, scenario.audio.as_ref()), (4, None));
        assert_eq!(scenario.duration.0.as_millis(), 500);
        assert!(!scenario.video.unwrap().simulcast);
    }

    #[test]
    fn nonsense_is_refused() {
        for flags in [["--duration", "10"], ["--video-bitrate", "fast"], ["--pacing", "odd"]] {
            assert!(run_args(&flags).is_err(), "{flags:?}");
        }
        for flags in [
            &["nowhere.yaml"][..],
            &["--viewers", "0"],
            &["--max-cpu-us", "5"],
            &["--join-rate", "0"],
            &["--video-bitrate", "0", "--audio-bitrate", "0"],
        ] {
            assert!(run_args(flags).unwrap().resolve().is_err(), "{flags:?}");
        }
    }
}
