//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use reqwest::Url;

use crate::media::VideoShape;
use crate::publisher::{Media, Pacing};
use crate::report::Thresholds;

/// Publishers and viewers that measure what a WebRTC server can carry.
#[derive(Debug, Parser)]
#[command(name = "madang-load", version, max_term_width = 100)]
#[command(after_help = "Examples:
  madang serve --dev &                                    the server to measure
  madang-load run --server-pid $!                         1 publisher, 10 viewers, 10 s
  madang-load run --help                                  what can be set, and how to read the result")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one scenario and report
    Run(Box<RunArgs>),
}

/// One scenario.
#[derive(Debug, Args)]
#[command(after_help = "Every viewer watches every publisher. A packet counts as delivered when it was decrypted and
authenticated at the viewer, once, however often it was sent.

The run is void, with a reason, if more than 0.1 % of the packets were lost, or if this generator
was the limit (over 85 % of the processors' time, or publishers that fell behind their rate).
Exit status: 0 fine, 1 it could not run, 2 wrong usage, 3 void, 4 a threshold was broken.

Examples:
  One publisher of 2.5 Mbps (9 packets a frame) to 50 viewers, with the server's CPU per packet:
    madang-load run --viewers 50 --video-bitrate 2.5M --server-pid $(pidof madang)
  A large audio room, 10 speakers to 100 listeners:
    madang-load run --publishers 10 --viewers 100 --video-bitrate 0
  A gate for CI, with the numbers kept:
    madang-load run --server-pid 4711 --max-loss 0 --max-cpu-us 5 --json out.json
  Another server that speaks WHIP and WHEP, with its own key:
    madang-load run --url https://sfu.example --token-key prod --token-secret \"$SECRET\"")]
pub struct RunArgs {
    /// The server; /whip/ROOM and /whep/ROOM are appended
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
    /// The room
    #[arg(long, default_value = "load")]
    pub room: String,
    /// How many send
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub publishers: u16,
    /// How many watch
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub viewers: u16,
    /// How long to measure, after all have joined: 10s, 500ms, 2m
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub duration: Duration,
    /// Video per publisher, in bits per second: 1500k, 2.5M; 0: none
    #[arg(long, default_value = "1500k", value_name = "BITRATE", value_parser = parse_bitrate)]
    pub video_bitrate: u64,
    /// Audio per publisher, in bits per second; 0: none
    #[arg(long, default_value = "32k", value_name = "BITRATE", value_parser = parse_bitrate)]
    pub audio_bitrate: u64,
    /// Video frames per second
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=120))]
    pub fps: u32,
    /// Longest video payload, in bytes
    #[arg(long, default_value_t = 1_160, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(64..=1_160))]
    pub packet_size: u16,
    /// How the packets of a frame leave
    #[arg(long, value_enum, default_value_t = Pacing::Burst)]
    pub pacing: Pacing,
    /// Viewers that begin to join per second
    #[arg(long, default_value_t = 20.0, value_name = "N", value_parser = parse_rate)]
    pub join_rate: f64,
    /// The server's process on this machine, for its CPU time
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Fail if more is lost, in per cent
    #[arg(long, value_name = "PERCENT")]
    pub max_loss: Option<f64>,
    /// Fail if the server takes more CPU per delivered packet, in µs
    #[arg(long, value_name = "US", requires = "server_pid")]
    pub max_cpu_us: Option<f64>,
    /// Write the report as JSON to this file; `-` for standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// No progress on standard error
    #[arg(long, short)]
    pub quiet: bool,
}

impl RunArgs {
    /// What each publisher sends. Fails if that is nothing.
    pub fn media(&self) -> anyhow::Result<Media> {
        let shape =
            VideoShape { bitrate: self.video_bitrate, fps: self.fps, max_payload: usize::from(self.packet_size) };
        let video = (self.video_bitrate > 0).then_some(shape);
        let audio = (self.audio_bitrate > 0).then_some(self.audio_bitrate);
        anyhow::ensure!(video.is_some() || audio.is_some(), "--video-bitrate and --audio-bitrate are both 0");
        Ok(Media { video, audio, pacing: self.pacing })
    }

    /// When to fail.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds { max_loss_percent: self.max_loss, max_cpu_us: self.max_cpu_us }
    }
}

/// A number with an optional `k` or `M`.
fn parse_bitrate(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let bits = number.parse::<f64>().ok().map(|number| number * factor);
    match bits {
        Some(bits) if (0.0..=1e9).contains(&bits) => Ok(bits.round() as u64),
        _ => Err("expected bits per second, at most 1000M: 1500k, 2.5M, 64000".to_owned()),
    }
}

/// A number with `ms`, `s` or `m`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let seconds = units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor));
    match seconds {
        Some(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a number with a unit, at most a day: 500ms, 10s, 2m".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| *rate > 0.0 && *rate <= 10_000.0);
    rate.ok_or_else(|| "expected a number above 0, at most 10000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run_args(flags: &[&str]) -> Result<RunArgs, clap::Error> {
        let Command::Run(args) = Cli::try_parse_from([&["madang-load", "run"], flags].concat())?.command;
        Ok(*args)
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn units_are_understood() {
        let args = run_args(&["--video-bitrate", "2.5M", "--audio-bitrate", "0", "--duration", "500ms"]).unwrap();
        assert_eq!(args.media().unwrap().video.unwrap().bitrate, 2_500_000);
        assert_eq!(args.media().unwrap().audio, None);
        assert_eq!(args.duration, Duration::from_millis(500));
        assert_eq!(parse_bitrate("1500k"), Ok(1_500_000));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn nonsense_is_refused() {
        for flags in [
            ["--duration", "10"],
            ["--duration", "-1s"],
            ["--duration", "nans"],
            ["--video-bitrate", "fast"],
            ["--video-bitrate", "é"],
            ["--join-rate", "0"],
            ["--viewers", "0"],
            ["--max-cpu-us", "5"],
        ] {
            assert!(run_args(&flags).is_err(), "{flags:?}");
        }
        assert!(run_args(&["--video-bitrate", "0", "--audio-bitrate", "0"]).unwrap().media().is_err());
    }
}
