//! The part of the configuration that the control plane reads. `sfu-bin` embeds it in its schema.
//!
//! A field's range stands at the field, as an attribute of its schema. The check of a file, the JSON schema for editors and
//! the Helm chart's schema are all made from that; a test of `sfu-bin` refuses fields without one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use sfu_core::config::{DataLimits, FlowLimit, MediaLimits};
use sfu_core::limiter::Limit;
use sfu_core::unit::Bitrate;

use crate::duration::Between;
use crate::forwarded::{Proxies, PublicUrl};
use crate::protocol::IceServer;
use crate::tokens::MIN_SECRET_BYTES;

/// The API key of dev mode.
pub const DEV_KEY: &str = "devkey";
/// The secret of [`DEV_KEY`]. Public by design: dev mode is for one's own machine.
pub const DEV_SECRET: &str = "secret-for-development-only-do-not-use";

/// The control plane's configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SignalConfig {
    /// API keys: key id (the token's `iss`) to secret (at least 32 bytes). Several may live at once.
    pub keys: Keys,
    /// How rooms come and go.
    pub rooms: RoomsConfig,
    /// How WebSocket sessions live.
    pub sessions: SessionsConfig,
    /// What clients may ask for.
    pub limits: Limits,
    /// The HTTP listener.
    pub http: HttpConfig,
    /// STUN and TURN servers that clients are told to use. Empty: none, the server's own candidates are enough.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub ice_servers: Vec<IceServer>,
    /// Dev mode: `GET /dev/token` mints tokens for everybody. Set by `serve --dev`, never by a file.
    #[serde(skip)]
    pub dev: bool,
    /// Whether the listener speaks TLS. Set by the binary; it only decides the scheme of URLs in answers.
    #[serde(skip)]
    pub tls: bool,
}

/// API keys and their secrets.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Keys(pub BTreeMap<String, String>);

impl JsonSchema for Keys {
    fn schema_name() -> Cow<'static, str> {
        "Keys".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "API keys and their secrets.",
            "type": "object",
            "propertyNames": { "minLength": 1, "maxLength": 256 },
            "additionalProperties": { "type": "string", "minLength": MIN_SECRET_BYTES, "maxLength": 4096, "writeOnly": true },
        })
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// How rooms come and go.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoomsConfig {
    /// A join creates the room that its token names. Otherwise only tokens with `roomCreate` do. Default: true.
    pub auto_create: bool,
    /// A room without participants closes after so long. Default: `5m`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<1_000, 86_400_000>")]
    pub empty_timeout: Duration,
    /// A room with more participants is spread over further workers, this many to each; then evenly. Default: 100.
    #[schemars(range(min = 1, max = 100_000))]
    pub participants_per_worker: usize,
}

impl Default for RoomsConfig {
    fn default() -> Self {
        Self { auto_create: true, empty_timeout: Duration::from_secs(300), participants_per_worker: 100 }
    }
}

/// How WebSocket sessions live.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionsConfig {
    /// A lost WebSocket may be resumed for so long; then the participant leaves. Default: `30s`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<0, 600_000>")]
    pub resume_grace: Duration,
    /// When the server stops, clients are told to join anew after so long. Default: `500ms`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<0, 60_000>")]
    pub retry_after: Duration,
    /// A participant of WHIP or WHEP, which has no WebSocket, leaves so long after its media path was interrupted: after it
    /// gave no sign of life for `media.consent_timeout`. Default: `5s`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<0, 600_000>")]
    pub interruption_grace: Duration,
    /// `join` or `resume` must come so soon after the WebSocket opened. Default: `10s`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<1_000, 300_000>")]
    pub join_timeout: Duration,
    /// The server sends WebSocket pings this often, and takes a connection for lost that was silent for three times
    /// as long. Default: `10s`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<1_000, 300_000>")]
    pub ping_interval: Duration,
    /// By so much the clocks of those that mint tokens and the server's may differ: a token counts that much earlier and
    /// longer. Default: `60s`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<0, 600_000>")]
    pub token_leeway: Duration,
    /// Events kept per session for a resume. A client that missed more gets a snapshot. Default: 256.
    #[schemars(range(min = 0, max = 65_536))]
    pub replay_events: usize,
    /// Bytes of them. Default: 262144.
    #[schemars(range(min = 0, max = 67_108_864))]
    pub replay_bytes: usize,
    /// Messages that may wait for a slow client. One that has more is disconnected, and may resume. Default: 512.
    #[schemars(range(min = 16, max = 65_536))]
    pub queue_messages: usize,
    /// Bytes of them, the snapshot of a join or resume not counted. Default: 1048576.
    #[schemars(range(min = 65_536, max = 268_435_456))]
    pub queue_bytes: usize,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            resume_grace: Duration::from_secs(30),
            retry_after: Duration::from_millis(500),
            interruption_grace: Duration::from_secs(5),
            join_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(10),
            token_leeway: Duration::from_secs(60),
            replay_events: 256,
            replay_bytes: 256 * 1024,
            queue_messages: 512,
            queue_bytes: 1024 * 1024,
        }
    }
}

/// What clients may ask for. Each limit has an error code of its own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one WebSocket message. Default: 262144, enough for an offer with 64 m-lines.
    #[schemars(range(min = 16_384, max = 16_777_216))]
    pub message_bytes: usize,
    /// Messages per second and WebSocket, with bursts of twice as many. Default: 50.
    #[schemars(range(min = 1, max = 10_000))]
    pub messages_per_second: u32,
    /// Participants of one room. Default: 1000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub participants_per_room: usize,
    /// Tracks that one participant may publish. Default: 16.
    #[schemars(range(min = 1, max = 256))]
    pub tracks_per_participant: usize,
    /// How often per second one participant may publish or unmute, with bursts of four times as many and its tracks. What takes
    /// back (mute, unpublish) is never refused. Default: 10.
    #[schemars(range(min = 1, max = 1_000))]
    pub track_changes_per_second: u32,
    /// M-lines of one offer. Default: 64.
    #[schemars(range(min = 1, max = 256))]
    pub media_per_offer: usize,
    /// Bytes of an SDP offer. Default: 200000.
    #[schemars(range(min = 4_096, max = 16_777_216))]
    pub sdp_bytes: usize,
    /// Bytes of an HTTP body. Default: 262144.
    #[schemars(range(min = 4_096, max = 16_777_216))]
    pub http_body_bytes: usize,
    /// Bytes of a participant's metadata, and of its attributes together. Default: 16384.
    #[schemars(range(min = 0, max = 1_048_576))]
    pub metadata_bytes: usize,
    /// Bytes of one message on a data channel; clients are told. Default: 65536.
    #[schemars(range(min = 1_024, max = 65_536))]
    pub data_message_bytes: u32,
    /// Messages a second that one participant may send on data channels, each times its receivers. Default: 10000.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub data_messages_per_second: u32,
    /// Bytes of messages a second, each times its receivers. Default: 16000000.
    #[schemars(range(min = 65_536, max = 4_000_000_000u32))]
    pub data_bytes_per_second: u32,
    /// Bytes of reliable messages that wait for one participant. Default: 1048576.
    #[schemars(range(min = 65_536, max = 1_073_741_824))]
    pub data_buffer_bytes: usize,
    /// How long senders wait for a participant with a full buffer that reads less than 128 kbit/s. Default: `2s`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<100, 60_000>")]
    pub data_stall: Duration,
    /// Bits per second of one audio track; RED may take three times as many. Default: 510000, the most that Opus takes.
    #[schemars(range(min = 6_000, max = 10_000_000))]
    pub audio_bitrate: u64,
    /// Packets per second of one audio track. Default: 200, which are frames of 5 ms.
    #[schemars(range(min = 10, max = 100_000))]
    pub audio_packets_per_second: u32,
    /// Bits per second of one video track, all its encodings together. Default: 40000000.
    #[schemars(range(min = 30_000, max = 2_000_000_000))]
    pub video_bitrate: u64,
    /// Packets per second of one video track. Default: 6000.
    #[schemars(range(min = 10, max = 10_000_000))]
    pub video_packets_per_second: u32,
    /// Bits per second of all tracks of one participant. Default: 50000000.
    #[schemars(range(min = 30_000, max = 2_000_000_000))]
    pub publisher_bitrate: u64,
    /// Packets per second of all tracks of one participant. Default: 10000.
    #[schemars(range(min = 10, max = 10_000_000))]
    pub publisher_packets_per_second: u32,
    /// Joins are refused while more of the memory that the cgroup allows, or of the file descriptors, is used: a percentage, 1 to
    /// 100; 100: never. Default: 85.
    #[schemars(range(min = 1, max = 100))]
    pub node_usage_percent: u8,
    /// ICE-TCP connections of one worker. Default: 4096.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub ice_tcp_connections: usize,
    /// ICE-TCP connections of one participant, at least 2. Default: 8.
    #[schemars(range(min = 2, max = 16))]
    pub ice_tcp_per_participant: usize,
    /// ICE-TCP connections that have shown no check yet, in all. Default: 256.
    #[schemars(range(min = 1, max = 100_000))]
    pub ice_tcp_strangers: usize,
    /// Those of one address; an IPv6 network of 64 bits counts as one. Default: 64.
    #[schemars(range(min = 1, max = 100_000))]
    pub ice_tcp_strangers_per_address: usize,
    /// Bytes that wait for an ICE-TCP client that does not read; media may take a quarter. Default: 1048576.
    #[schemars(range(min = 65_536, max = 67_108_864))]
    pub ice_tcp_buffer_bytes: usize,
}

impl Limits {
    /// What the media plane must know of them.
    pub const fn media(&self) -> MediaLimits {
        const fn limit(bitrate: u64, packets_per_second: u32) -> FlowLimit {
            FlowLimit { bitrate: Bitrate(bitrate), packets_per_second }
        }
        MediaLimits {
            audio: limit(self.audio_bitrate, self.audio_packets_per_second),
            video: limit(self.video_bitrate, self.video_packets_per_second),
            publisher: limit(self.publisher_bitrate, self.publisher_packets_per_second),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let media = MediaLimits::default();
        Self {
            message_bytes: 256 * 1024,
            messages_per_second: 50,
            participants_per_room: 1000,
            tracks_per_participant: 16,
            track_changes_per_second: 10,
            media_per_offer: 64,
            sdp_bytes: 200_000,
            http_body_bytes: 256 * 1024,
            metadata_bytes: 16 * 1024,
            data_message_bytes: 64 * 1024,
            data_messages_per_second: DataLimits::DEFAULT.messages_per_second,
            data_bytes_per_second: DataLimits::DEFAULT.bytes_per_second,
            data_buffer_bytes: DataLimits::DEFAULT.buffer_bytes,
            data_stall: DataLimits::DEFAULT.stall,
            audio_bitrate: media.audio.bitrate.0,
            audio_packets_per_second: media.audio.packets_per_second,
            video_bitrate: media.video.bitrate.0,
            video_packets_per_second: media.video.packets_per_second,
            publisher_bitrate: media.publisher.bitrate.0,
            publisher_packets_per_second: media.publisher.packets_per_second,
            node_usage_percent: 85,
            ice_tcp_connections: 4096,
            ice_tcp_per_participant: 8,
            ice_tcp_strangers: 256,
            ice_tcp_strangers_per_address: 64,
            ice_tcp_buffer_bytes: 1024 * 1024,
        }
    }
}

impl Limits {
    /// How often one participant may publish and unmute. All that it may publish it may publish at once.
    pub(crate) fn track_changes(&self) -> Limit {
        let tracks = u32::try_from(self.tracks_per_participant).unwrap_or(u32::MAX);
        let rate = self.track_changes_per_second;
        Limit::per_second(rate, rate.saturating_mul(4).saturating_add(tracks))
    }
}

/// The HTTP listener.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Origins of pages that may use the API, e.g. `https://meet.example.com`. Default: `*`, any page; tokens protect the
    /// API, and there are no cookies.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 300)), extend("uniqueItems" = true))]
    pub allowed_origins: Vec<String>,
    /// Origins of pages that may show the demo in a frame, e.g. `https://intranet.example.com`. Default: none.
    #[schemars(length(max = 64), inner(length(min = 1, max = 300)), extend("uniqueItems" = true))]
    pub frame_ancestors: Vec<String>,
    /// Whether the demo is served at `/`, to everybody who comes. Default: true.
    pub demo: bool,
    /// The address that the HTTP port binds. Default: that of `bind`.
    #[schemars(extend("x-expected" = "an IP address: 127.0.0.1 behind a proxy on this machine, or another of this machine"))]
    pub bind: Option<IpAddr>,
    /// The URL by which clients know this server, e.g. `https://example.com/sfu` behind a proxy that takes `/sfu` away. It decides
    /// scheme, host and path of the URLs in answers. Default: none, they are what the request or a trusted proxy says.
    #[schemars(with = "Option<String>", extend("x-expected" = "a base URL such as https://meet.example.com or https://example.com/sfu"))]
    pub public_url: Option<PublicUrl>,
    /// Addresses and networks of proxies in front, e.g. `10.0.0.0/8`. Their `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` are
    /// believed, and their clients are limited in their place. Default: none.
    #[schemars(with = "Vec<String>", length(max = 64), inner(length(min = 2, max = 50)), extend("uniqueItems" = true))]
    pub trusted_proxies: Proxies,
    /// Connections in all; fewer where the process may open fewer files. Default: 20000.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub connections: usize,
    /// Connections of one address (IPv6: of one /64). Default: 5000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_address: usize,
    /// Connections that have shown no valid token; of more, the oldest makes room. At most half of all. Default: 1024.
    #[schemars(range(min = 8, max = 1_000_000))]
    pub strangers: usize,
    /// The same, of one address. Default: 256.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub strangers_per_address: usize,
    /// Streams of one HTTP/2 connection. Default: 32.
    #[schemars(range(min = 1, max = 1_000))]
    pub streams_per_connection: u32,
    /// Requests of one connection, a second, with bursts of twice as many. Default: 100.
    #[schemars(range(min = 1, max = 100_000))]
    pub requests_per_second: u32,
    /// A TLS handshake, and then the head of a request, must be there within this time. Default: `10s`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<1_000, 120_000>")]
    pub header_timeout: Duration,
    /// The body of a request must be there within this time. Default: `10s`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<1_000, 120_000>")]
    pub body_timeout: Duration,
    /// A request must be answered, and its response taken, within this time. Default: `60s`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<5_000, 3_600_000>")]
    pub request_timeout: Duration,
    /// A connection without a request ends after this time. Proxies must keep theirs for less. Default: `75s`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "Between<5_000, 3_600_000>")]
    pub idle_timeout: Duration,
    /// Bytes of all request bodies that are being read. Default: 16777216.
    #[schemars(range(min = 262_144, max = 1_073_741_824))]
    pub body_budget: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            allowed_origins: vec!["*".to_owned()],
            frame_ancestors: Vec::new(),
            demo: true,
            bind: None,
            public_url: None,
            trusted_proxies: Proxies::default(),
            connections: 20_000,
            connections_per_address: 5_000,
            strangers: 1_024,
            strangers_per_address: 256,
            streams_per_connection: 32,
            requests_per_second: 100,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            body_budget: 16 << 20,
        }
    }
}

impl SignalConfig {
    /// The configuration of `serve --dev`: the development key, and the token endpoint.
    pub fn development() -> Self {
        let keys = Keys(BTreeMap::from([(DEV_KEY.to_owned(), DEV_SECRET.to_owned())]));
        Self { keys, dev: true, ..Self::default() }
    }
}
