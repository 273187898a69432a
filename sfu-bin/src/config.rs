//! The configuration: one typed schema, read from flags over `MADANG_*` over a YAML file over defaults.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sfu_core::config::CodecPolicy;
use sfu_core::net::MAX_WORKERS;
use sfu_signal::config::{HttpConfig, Keys, Limits, RoomsConfig, SessionsConfig, SignalConfig};
use sfu_signal::protocol::IceServer;
use sfu_signal::tokens::MIN_SECRET_BYTES;

use crate::cli::Sources;
use crate::layers::{self, Layer};

/// Everything that can be configured.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// API keys: key id (the token's `iss`) to secret (at least 32 bytes). Several may live at once.
    pub(crate) keys: Keys,
    /// The address that all public listeners bind. `::` takes IPv4 as well.
    pub(crate) bind: IpAddr,
    /// The ports of the public listeners.
    pub(crate) ports: Ports,
    /// The operator's listener, without authentication: /livez /readyz /startupz /metrics.
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
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub(crate) ice_servers: Vec<IceServer>,
    /// Media threads, addresses and times.
    pub(crate) media: MediaConfig,
    /// What is logged, and how.
    pub(crate) log: LogConfig,
    /// After SIGTERM or Ctrl-C the process ends within this time.
    #[serde(with = "sfu_signal::duration")]
    #[schemars(with = "String")]
    pub(crate) shutdown_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            bind: Ipv6Addr::UNSPECIFIED.into(),
            ports: Ports::default(),
            operator: SocketAddr::from((Ipv4Addr::LOCALHOST, 7889)),
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
    pub(crate) cert: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
}

/// Media threads, addresses and times.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MediaConfig {
    /// Media threads; 0: one per processor that the process may use (affinity, cgroup quota).
    pub(crate) workers: usize,
    /// Addresses that clients reach media at, where they are not an interface's (NAT). They replace the interfaces'.
    pub(crate) external_ips: Vec<IpAddr>,
    /// Only the addresses of these interfaces are advertised. Empty: of all but container bridges.
    pub(crate) interfaces: Vec<String>,
    /// Whether media over TCP is offered.
    pub(crate) ice_tcp: bool,
    /// Which codecs rooms may use, besides Opus.
    pub(crate) codecs: Vec<VideoCodec>,
    /// Bytes of a worker's UDP receive buffer; the kernel's limit is net.core.rmem_max.
    pub(crate) receive_buffer: usize,
    /// Bytes of a worker's UDP send buffer; the kernel's limit is net.core.wmem_max.
    pub(crate) send_buffer: usize,
    /// Without a sign of life for so long, nothing more is sent to a client (RFC 7675).
    #[serde(with = "sfu_signal::duration")]
    #[schemars(with = "String")]
    pub(crate) consent_timeout: Duration,
    /// A media connection must be up within this time.
    #[serde(with = "sfu_signal::duration")]
    #[schemars(with = "String")]
    pub(crate) handshake_timeout: Duration,
    /// A participant whose media connection was interrupted for so long is removed.
    #[serde(with = "sfu_signal::duration")]
    #[schemars(with = "String")]
    pub(crate) interruption_timeout: Duration,
    /// How long packets are kept for those who lost them.
    #[serde(with = "sfu_signal::duration")]
    #[schemars(with = "String")]
    pub(crate) retransmission_window: Duration,
    /// The most microphones of a room that are forwarded at a time, the loudest; 0: all.
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

/// What is logged, and how.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogConfig {
    /// How lines look.
    pub(crate) format: LogFormat,
    /// What is logged, e.g. `info,sfu_signal=debug`.
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
    /// Reads all layers; `flags` is the topmost.
    pub(crate) fn load(sources: &Sources, flags: serde_json::Value) -> anyhow::Result<Self> {
        let file = sources.config.as_deref().map(layers::from_file).transpose()?;
        let env = layers::from_env(std::env::vars())?;
        let flags = Layer { source: "command line".to_owned(), value: flags };
        let config: Self = layers::resolve(file.into_iter().chain([env, flags]))?;
        config.validate()?;
        Ok(config)
    }

    /// What the types cannot say. That there is a key is asked only of servers.
    fn validate(&self) -> anyhow::Result<()> {
        for (id, secret) in &self.keys.0 {
            if id.is_empty() || secret.len() < MIN_SECRET_BYTES {
                bail!("keys.{id}: the secret has {} bytes; use at least {MIN_SECRET_BYTES}", secret.len());
            }
        }
        let Ports { http, tcp, .. } = self.ports;
        if http != 0 && http == tcp {
            bail!("ports.http and ports.tcp are both {http}; give them different ports");
        }
        if self.media.workers > MAX_WORKERS {
            bail!("media.workers: {} is too many; use at most {MAX_WORKERS}", self.media.workers);
        }
        if let Some(tls) = &self.tls
            && (tls.cert.as_os_str().is_empty() || tls.key.as_os_str().is_empty())
        {
            bail!("tls: set both tls.cert and tls.key");
        }
        Ok(())
    }

    /// The control plane's part.
    pub(crate) fn signal(&self, dev: bool, tls: bool) -> SignalConfig {
        SignalConfig {
            keys: self.keys.clone(),
            rooms: self.rooms.clone(),
            sessions: self.sessions.clone(),
            limits: self.limits.clone(),
            http: self.http.clone(),
            ice_servers: self.ice_servers.clone(),
            dev,
            tls,
        }
    }
}

impl MediaConfig {
    /// The codecs as the core takes them.
    pub(crate) fn codec_policy(&self) -> CodecPolicy {
        let has = |codec| self.codecs.contains(&codec);
        CodecPolicy {
            vp8: has(VideoCodec::Vp8),
            vp9: has(VideoCodec::Vp9),
            h264: has(VideoCodec::H264),
            av1: has(VideoCodec::Av1),
        }
    }
}

/// The JSON schema of the file.
pub(crate) fn schema() -> String {
    let schema = schemars::schema_for!(Config);
    serde_json::to_string_pretty(&schema).expect("a schema is JSON")
}

/// Checks one file alone.
pub(crate) fn check_file(path: &Path) -> anyhow::Result<Config> {
    let config: Config = layers::resolve([layers::from_file(path)?])?;
    config.validate()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resolve(value: serde_json::Value) -> anyhow::Result<Config> {
        let config: Config = layers::resolve([Layer { source: "file.yaml".to_owned(), value }])?;
        config.validate()?;
        Ok(config)
    }

    #[test]
    fn the_sample_file_is_right_and_shows_the_defaults() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../madang.sample.yaml");
        let mut sample = check_file(&path).unwrap();
        assert!(!sample.keys.0.is_empty());
        sample.keys = Keys::default();
        assert_eq!(serde_json::to_value(&sample).unwrap(), serde_json::to_value(Config::default()).unwrap());
    }

    #[test]
    fn errors_name_the_source_the_key_and_what_is_expected() {
        for (value, expected) in [
            (json!({ "ports": { "htpp": 1 } }), ["file.yaml: ports.htpp", "unknown field", "`http`"]),
            (json!({ "ports": { "udp": 1, "http": "x" } }), ["file.yaml: ports.http", "invalid type", "u16"]),
            (json!({ "rooms": { "empty_timeout": 5 } }), ["file.yaml: rooms.empty_timeout", "invalid type", "string"]),
            (json!({ "media": { "codecs": ["vp7"] } }), ["file.yaml: media.codecs", "vp7", "`vp8`"]),
            (json!({ "keys": { "a": "short" } }), ["keys.a", "5 bytes", "at least 32"]),
            (json!({ "ports": { "tcp": 7880 } }), ["ports.http", "ports.tcp", "different"]),
        ] {
            let error = format!("{:#}", resolve(value).unwrap_err());
            assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_debug_printed() {
        let config = resolve(json!({ "keys": { "a": "0123456789abcdef0123456789abcdef" } })).unwrap();
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
    }
}
