//! The command line of what measures servers that it starts itself, and of what writes that down.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::units::Span;

/// Where servers run that are started for a measurement.
#[derive(Debug, Clone, Args)]
pub struct HostArgs {
    /// The madang binary
    #[arg(long, default_value = "target/release/madang", value_name = "FILE")]
    pub madang: PathBuf,
    /// The network namespace that servers run in (`ip netns`), as root; by default this program's own
    #[arg(long, value_name = "NAME")]
    pub netns: Option<String>,
    /// The address that servers bind
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "IP")]
    pub address: IpAddr,
    /// Madang's workers
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub workers: u32,
    /// The processors that servers are pinned to, as `taskset` takes them: 0, or 0,1; by default none
    #[arg(long, value_name = "LIST")]
    pub core: Option<String>,
}

/// Several servers, measured in turns.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Servers run in turns: A B C, C B A, A B C, ...; a ratio is that of two runs of one turn, so that a pair is
measured within a minute, and the order changes from pair to pair. Madang's runs of neighbouring
turns are the control: their ratio shows how much is noise. Every run must do the same work: the same
packets delivered within 1 %, at most 0.1 % lost. A void run is repeated once."
)]
pub struct VersusArgs {
    /// Against whom
    #[arg(long, value_enum, value_delimiter = ',', default_value = "floor,webrtc,janus")]
    pub against: Vec<Opponent>,
    /// Where servers run.
    #[command(flatten)]
    pub host: HostArgs,
    /// Pairs per opponent and row
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub pairs: u32,
    /// How long each run measures
    #[arg(long, default_value = "10s")]
    pub duration: Span,
    /// Rows of the table of goals: 1 (video, burst), 2 (video, evenly paced), 3 (audio), 5 (latency), 6 (first keyframe)
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", value_parser = clap::value_parser!(u8).range(1..=6))]
    pub rows: Vec<u8>,
    /// Viewers of rows 1 and 2; row 3 has twice as many, row 6 half
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub viewers: u32,
    /// Viewers of row 5: 70 % of what Janus can serve on one core
    #[arg(long, default_value_t = 120, value_name = "N")]
    pub latency_viewers: u32,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the table as Markdown
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// Rows of the table of goals that are no comparison of runs.
#[derive(Debug, Clone, Args)]
pub struct GoalsArgs {
    /// Where servers run.
    #[command(flatten)]
    pub host: HostArgs,
    /// Rows: 4 (capacity on one core), 10 (memory), 11 (joins)
    #[arg(long, value_delimiter = ',', default_value = "4,10,11", value_parser = clap::value_parser!(u8).range(4..=11))]
    pub rows: Vec<u8>,
    /// Against whom capacity is compared
    #[arg(long, value_enum, value_delimiter = ',', default_value = "janus")]
    pub against: Vec<Opponent>,
    /// Idle participants of row 10
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub participants: u32,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What one hostile member costs the others.
#[derive(Debug, Clone, Args)]
pub struct HostileArgs {
    /// Where the server runs.
    #[command(flatten)]
    pub host: HostArgs,
    /// Members of the large room, the hostile one included
    #[arg(long, default_value_t = 300, value_name = "N")]
    pub members: u32,
    /// Those of them who speak
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub speakers: u32,
    /// Those of them who only listen, and whose audio is measured as the speakers' is; the rest have data channels
    #[arg(long, default_value_t = 56, value_name = "N")]
    pub listeners: u32,
    /// How long each is measured, in peace and under attack
    #[arg(long, default_value = "8s")]
    pub duration: Span,
    /// Only these attacks, by their place in the table
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pub only: Vec<u8>,
    /// Write the table as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Renew what lies between the two lines `<!-- hostile -->` of this document
    #[arg(long, value_name = "FILE")]
    pub document: Option<PathBuf>,
}

/// Results that become a part of a document.
#[derive(Debug, Clone, Args)]
pub struct PublishArgs {
    /// What `versus` and `goals` wrote; files that do not exist are left out
    #[arg(required = true, value_name = "JSON")]
    pub results: Vec<PathBuf>,
    /// The document; what lies between the two lines `<!-- measured -->` is replaced
    #[arg(long, default_value = "docs/performance.md", value_name = "FILE")]
    pub document: PathBuf,
    /// Where charts are written
    #[arg(long, default_value = "docs/img", value_name = "DIRECTORY")]
    pub images: PathBuf,
}

/// Who can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opponent {
    /// Madang itself: how far two runs of the same differ
    Madang,
    /// The bare seal and send loop, with trains
    Floor,
    /// The same with one `sendto` per packet
    FloorSendto,
    /// A plain forwarder on the `webrtc` crate
    Webrtc,
    /// Janus' VideoRoom
    Janus,
    /// mediasoup 3.8.4 (`scripts/mediasoup` prepares it); its worker and the Node.js process above it both count
    Mediasoup,
}

impl Opponent {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Madang => "Madang",
            Self::Floor => "the floor",
            Self::FloorSendto => "the floor, one `sendto` per packet",
            Self::Webrtc => "a forwarder on `webrtc`",
            Self::Janus => "Janus",
            Self::Mediasoup => "mediasoup 3.8.4 of 2021",
        }
    }
}
