//! The configuration: one typed schema, read from flags over `MADANG_*` over a YAML file over defaults.
//!
//! | Part | What it is |
//! |---|---|
//! | this file, `sfu_signal::config` | the types; each field states its range as an attribute of its schema |
//! | `ranges` | compares a value with the schema: unknown keys, types, ranges |
//! | `rules` | what one value alone cannot show: two listeners on one port, an origin with a path |
//! | `machine` | what depends on the machine: interfaces, limits of the kernel; warnings |
//! | `load` | layers in, a checked configuration or all its faults out |
//! | `fault` | how a fault is told: key, reason, remedy |
//!
//! A configuration that passes the check starts, except where a port is taken.

pub(crate) mod fault;
pub(crate) mod load;
mod machine;
pub(crate) mod ranges;
mod rules;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sfu_core::config::CodecPolicy;
use sfu_core::net::{MAX_WORKERS, available_workers};
use sfu_signal::config::{HttpConfig, Keys, Limits, RoomsConfig, SessionsConfig, SignalConfig};
use sfu_signal::duration::Between;
use sfu_signal::protocol::IceServer;

/// Below the ports that clients need, so that a firewall rule for "7880 and up" does not open it.
const OPERATOR_PORT: u16 = 7879;

/// Everything that can be configured.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// API keys: key id (the token's `iss`) to secret (at least 32 bytes). Several may live at once.
    pub(crate) keys: Keys,
    /// The address that all public listeners bind. `::` takes IPv4 as well.
    #[schemars(extend("x-expected" = "an IP address: \"::\" for all, 0.0.0.0 for all of IPv4, or one of this machine"))]
    pub(crate) bind: IpAddr,
    /// The ports of the public listeners.
    pub(crate) ports: Ports,
    /// The operator's listener, without authentication: /livez /readyz /startupz /metrics.
    #[schemars(extend("x-expected" = "an IP address with a port, such as 127.0.0.1:7879"))]
    pub(crate) operator: SocketAddr,
    /// HTTPS on the HTTP port. Absent: plain HTTP, for a proxy in front.
    pub(crate) tls: Option<TlsConfig>,
    /// HTTP and WebSocket.
    pub(crate) http: HttpConfig,
    /// How rooms come and go.
    pub(crate) rooms: RoomsConfig,
    /// How WebSocket sessions live.
    pub(crate) sessions: SessionsConfig,
    /// What clients may ask for.
    pub(crate) limits: Limits,
    /// STUN and TURN servers that clients are told to use.
    #[schemars(length(max = 16))]
    pub(crate) ice_servers: Vec<IceServerConfig>,
    /// Media threads, addresses and times.
    pub(crate) media: MediaConfig,
    /// What is logged, and how.
    pub(crate) log: LogConfig,
    /// After SIGTERM or Ctrl-C the process ends within this time.
    #[serde(with = "sfu_signal::duration")]
    #[schemars(with = "Between<2_000, 3_600_000>")]
    pub(crate) shutdown_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            bind: Ipv6Addr::UNSPECIFIED.into(),
            ports: Ports::default(),
            operator: SocketAddr::from((Ipv4Addr::LOCALHOST, OPERATOR_PORT)),
            tls: None,
            http: HttpConfig::default(),
            rooms: RoomsConfig::default(),
            sessions: SessionsConfig::default(),
            limits: Limits::default(),
            ice_servers: Vec::new(),
            media: MediaConfig::default(),
            log: LogConfig::default(),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// Ports of the public listeners. 0: any free one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ports {
    /// TCP: HTTP, WebSocket, WHIP, WHEP, the demo.
    pub(crate) http: u16,
    /// TCP: media where UDP is blocked (ICE-TCP).
    pub(crate) tcp: u16,
    /// UDP: media of the first worker; worker n has the n-th port after it.
    pub(crate) udp: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { http: 7880, tcp: 7881, udp: 7882 }
    }
}

/// Files in PEM format. They are read again when they change, and on SIGHUP.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TlsConfig {
    /// The certificate chain.
    #[schemars(length(min = 1))]
    pub(crate) cert: PathBuf,
    /// Its private key.
    #[schemars(length(min = 1))]
    pub(crate) key: PathBuf,
}

/// A STUN or TURN server, and what lets clients in.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IceServerConfig {
    /// `stun:`, `stuns:`, `turn:` and `turns:` URLs (RFC 7064, RFC 7065).
    #[schemars(length(min = 1, max = 16), inner(length(min = 6, max = 512)), extend("uniqueItems" = true))]
    pub(crate) urls: Vec<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1_024))]
    pub(crate) username: Option<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1_024), extend("writeOnly" = true))]
    pub(crate) credential: Option<String>,
}

impl std::fmt::Debug for IceServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServerConfig").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// Media threads, addresses and times.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MediaConfig {
    /// Media threads; 0: one per processor that the process may use (affinity, cgroup quota).
    #[schemars(range(min = 0, max = MAX_WORKERS))]
    pub(crate) workers: usize,
    /// Addresses that clients reach media at, where they are not an interface's (NAT). They replace the interfaces'.
    #[schemars(length(max = 8), extend("uniqueItems" = true))]
    pub(crate) external_ips: Vec<IpAddr>,
    /// Only the addresses of these interfaces are advertised. Empty: of all but container bridges.
    #[schemars(length(max = 64), inner(length(min = 1, max = 15)), extend("uniqueItems" = true))]
    pub(crate) interfaces: Vec<String>,
    /// Whether media over TCP is offered.
    pub(crate) ice_tcp: bool,
    /// Which codecs rooms may use, besides Opus.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) codecs: Vec<VideoCodec>,
    /// To whom H264 goes that has another profile or packetization mode than the receiver named.
    pub(crate) h264_profiles: H264Profiles,
    /// Bytes of a worker's UDP receive buffer; the kernel's limit is net.core.rmem_max.
    #[schemars(range(min = 65_536, max = 1_073_741_824))]
    pub(crate) receive_buffer: usize,
    /// Bytes of a worker's UDP send buffer; the kernel's limit is net.core.wmem_max.
    #[schemars(range(min = 65_536, max = 1_073_741_824))]
    pub(crate) send_buffer: usize,
    /// Without a sign of life for so long, nothing more is sent to a client (RFC 7675).
    #[serde(with = "sfu_signal::duration")]
    #[schemars(with = "Between<5_000, 600_000>")]
    pub(crate) consent_timeout: Duration,
    /// A media connection must be up within this time.
    #[serde(with = "sfu_signal::duration")]
    #[schemars(with = "Between<5_000, 300_000>")]
    pub(crate) handshake_timeout: Duration,
    /// A participant whose media connection was interrupted for so long is removed.
    #[serde(with = "sfu_signal::duration")]
    #[schemars(with = "Between<5_000, 3_600_000>")]
    pub(crate) interruption_timeout: Duration,
    /// How long packets are kept for those who lost them.
    #[serde(with = "sfu_signal::duration")]
    #[schemars(with = "Between<100, 10_000>")]
    pub(crate) retransmission_window: Duration,
    /// The most microphones of a room that are forwarded at a time, the loudest; 0: all.
    #[schemars(range(min = 0, max = 1_000))]
    pub(crate) loudest_speakers: usize,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            external_ips: Vec::new(),
            interfaces: Vec::new(),
            ice_tcp: true,
            codecs: vec![VideoCodec::Vp8, VideoCodec::Vp9, VideoCodec::H264, VideoCodec::Av1],
            h264_profiles: H264Profiles::Lenient,
            receive_buffer: 4 << 20,
            send_buffer: 4 << 20,
            consent_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(30),
            interruption_timeout: Duration::from_secs(60),
            retransmission_window: Duration::from_secs(1),
            loudest_speakers: 6,
        }
    }
}

/// A video codec that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VideoCodec {
    /// RFC 7741.
    Vp8,
    /// RFC 9628, profile 0.
    Vp9,
    /// RFC 6184.
    H264,
    /// AV1, profile 0.
    Av1,
}

/// To whom an H264 stream of another profile goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum H264Profiles {
    /// To everybody who takes H264: decoders of today decode more than they name.
    Lenient,
    /// To those whose profile contains the stream's.
    Strict,
}

/// What is logged, and how.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogConfig {
    /// How lines look.
    pub(crate) format: LogFormat,
    /// What is logged, e.g. `info,sfu_signal=debug`.
    #[schemars(length(min = 1, max = 4_096))]
    pub(crate) filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Config {
    /// The control plane's part.
    pub(crate) fn signal(&self, dev: bool, tls: bool) -> SignalConfig {
        SignalConfig {
            keys: self.keys.clone(),
            rooms: self.rooms.clone(),
            sessions: self.sessions.clone(),
            limits: self.limits.clone(),
            http: self.http.clone(),
            ice_servers: self.ice_servers.iter().map(IceServerConfig::told).collect(),
            dev,
            tls,
        }
    }
}

impl IceServerConfig {
    /// As clients are told.
    fn told(&self) -> IceServer {
        IceServer { urls: self.urls.clone(), username: self.username.clone(), credential: self.credential.clone() }
    }
}

impl MediaConfig {
    /// Media threads, counted.
    pub(crate) fn worker_count(&self) -> usize {
        if self.workers == 0 { available_workers() } else { self.workers }
    }

    /// The codecs as the core takes them.
    pub(crate) fn codec_policy(&self) -> CodecPolicy {
        let has = |codec| self.codecs.contains(&codec);
        CodecPolicy {
            vp8: has(VideoCodec::Vp8),
            vp9: has(VideoCodec::Vp9),
            h264: has(VideoCodec::H264),
            av1: has(VideoCodec::Av1),
            h264_profiles: match self.h264_profiles {
                H264Profiles::Lenient => sfu_core::config::H264Profiles::Lenient,
                H264Profiles::Strict => sfu_core::config::H264Profiles::Strict,
            },
        }
    }
}

/// The JSON schema of the file.
pub(crate) fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}
