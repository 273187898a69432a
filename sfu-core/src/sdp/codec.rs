//! The codecs that Madang forwards, and how the two ends of a forwarded stream are matched.

use std::fmt;

use crate::control::TrackKind;

/// A codec with the parameters that decide whether one client's stream can be decoded by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 7587. Its fmtp parameters do not hinder decoding.
    Opus,
    /// RFC 7741.
    Vp8,
    /// RFC 9628, profile 0.
    Vp9,
    /// RFC 6184.
    H264(H264Profile),
    /// The AV1 RTP payload format, profile 0.
    Av1,
}

/// The H264 variants that browsers offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct H264Profile {
    /// profile_idc and profile-iop: the first two bytes of `profile-level-id` (RFC 6184 section 8.1), e.g. `0x42e0`.
    pub profile: u16,
    /// 0 (one NAL unit per packet) or 1.
    pub packetization_mode: u8,
}

impl Codec {
    /// The media kind.
    pub const fn kind(self) -> TrackKind {
        match self {
            Self::Opus => TrackKind::Audio,
            _ => TrackKind::Video,
        }
    }

    /// RTP clock ticks per second.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            _ => 90_000,
        }
    }

    /// The encoding name, as in `a=rtpmap`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264(_) => "H264",
            Self::Av1 => "AV1",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::H264(h264) => write!(f, "H264/{:04x}/{}", h264.profile, h264.packetization_mode),
            codec => f.write_str(codec.name()),
        }
    }
}
