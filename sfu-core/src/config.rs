//! What the core is told when it starts. `sfu-bin` reads the file; the core knows only these values.

use std::time::Duration;

use crate::sdp::Candidate;
use crate::transport::Certificate;
use crate::unit::Bitrate;

/// The configuration of one worker's [`Core`](crate::Core).
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// The process's DTLS certificate.
    pub certificate: Certificate,
    /// What answers advertise: this worker's addresses.
    pub candidates: Vec<Candidate>,
    /// Which codecs rooms may use.
    pub codecs: CodecPolicy,
    /// Without an authenticated STUN check for so long, nothing more is sent (RFC 7675 section 5.1: 30 s).
    pub consent_timeout: Duration,
    /// A participant whose DTLS handshake is not done by then has failed.
    pub handshake_timeout: Duration,
    /// A participant that was interrupted for so long has failed.
    pub interruption_timeout: Duration,
    /// The most ICE-TCP connections of one participant that are kept; at least 2.
    pub max_tcp_paths: usize,
    /// How long packets are kept for retransmission.
    pub retransmission_window: Duration,
    /// How much media a participant may send.
    pub media_limits: MediaLimits,
    /// The most microphones of a room that are forwarded at a time, the loudest; `None`: all.
    pub loudest: Option<usize>,
    /// What a participant may send, and what is kept for it, on data channels.
    pub data: DataLimits,
}

/// Limits of data channels, each of one participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataLimits {
    /// Messages a second, times their receivers.
    pub messages_per_second: u32,
    /// Bytes of messages a second, times their receivers.
    pub bytes_per_second: u32,
    /// Bytes of reliable messages that wait for it, those included that SCTP has sent and not yet seen acknowledged.
    pub buffer_bytes: usize,
    /// How long senders wait while it reads nothing of a full buffer.
    pub stall: Duration,
}

impl DataLimits {
    /// 300 receivers of 30 messages a second; a file of 2 Mbit/s to 64 receivers.
    pub const DEFAULT: Self = Self {
        messages_per_second: 10_000,
        bytes_per_second: 16_000_000,
        buffer_bytes: 1024 * 1024,
        stall: Duration::from_secs(2),
    };

    /// What of [`Self::buffer_bytes`] SCTP may hold. The rest waits where it is shared by all receivers.
    pub const fn in_flight_bytes(&self) -> usize {
        self.buffer_bytes / 4
    }

    /// What of it may wait in front of SCTP.
    pub const fn waiting_bytes(&self) -> usize {
        self.buffer_bytes - self.in_flight_bytes()
    }
}

impl Default for DataLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How much a flow of packets may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowLimit {
    /// Of payloads.
    pub bitrate: Bitrate,
    pub packets_per_second: u32,
}

/// How much media a participant may send; what is beyond is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaLimits {
    /// Of each audio track. RED may take three times as much.
    pub audio: FlowLimit,
    /// Of each video track, with all its encodings and retransmissions.
    pub video: FlowLimit,
    /// Of all tracks of a participant.
    pub publisher: FlowLimit,
}

impl Default for MediaLimits {
    /// The most that Opus can take (RFC 6716 section 2.1.1), and frames of 5 ms; more than encoders of browsers can be told to send.
    fn default() -> Self {
        let limit = |bitrate, packets_per_second| FlowLimit { bitrate: Bitrate(bitrate), packets_per_second };
        Self { audio: limit(510_000, 200), video: limit(40_000_000, 6_000), publisher: limit(50_000_000, 10_000) }
    }
}

/// Which codecs are negotiated. A room in which every codec must be decodable by all lists only what all can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecPolicy {
    pub vp8: bool,
    pub vp9: bool,
    pub h264: bool,
    pub av1: bool,
    pub h264_profiles: H264Profiles,
}

/// To whom an H264 stream goes that offered another profile or packetization mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum H264Profiles {
    /// To everybody who takes H264: decoders of today decode more than they name.
    #[default]
    Lenient,
    /// To those whose profile contains the stream's.
    Strict,
}

impl Default for CodecPolicy {
    fn default() -> Self {
        Self { vp8: true, vp9: true, h264: true, av1: true, h264_profiles: H264Profiles::Lenient }
    }
}
