//! The command line of the soak.

use clap::Args;

use super::HostArgs;

/// What wears a server out, for as long as you like.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Linux only. Exit status: 0 the server is back at its baseline, 1 a call failed or the server ended, 4 something
was not given back.

Example:
  cargo build --release && target/release/madang-load soak --minutes 60"
)]
pub struct SoakArgs {
    /// For how long; at least two rounds are run
    #[arg(long, default_value_t = 60.0, value_name = "N")]
    pub minutes: f64,
    /// Descriptors that the server may have
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(64..=100_000))]
    pub descriptors: u32,
    /// Where the server runs.
    #[command(flatten)]
    pub host: HostArgs,
}
