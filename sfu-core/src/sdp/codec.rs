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
    /// profile_idc and profile-iop: the first two bytes of `profile-level-id` (RFC 6184 section 8.1), e.g. `0x42e0`. One of
    /// `0x4200`, `0x42e0`, `0x4d00`, `0x6400`, `0x640c`: other spellings of the same profile are reduced to these.
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

    /// Whether a client that negotiated `decoder` can decode a stream of `self`.
    ///
    /// H264 profiles contain one another, and packetization mode 1 contains 0 (RFC 6184 section 6). Baseline counts as
    /// Constrained Baseline: no browser's encoder uses what only Baseline has, yet Chromium names it first.
    pub const fn is_decodable_by(self, decoder: Self) -> bool {
        match (self, decoder) {
            (Self::Opus, Self::Opus) | (Self::Vp8, Self::Vp8) | (Self::Vp9, Self::Vp9) | (Self::Av1, Self::Av1) => true,
            (Self::H264(stream), Self::H264(decoder)) => {
                let profile = match (stream.profile, decoder.profile) {
                    (0x4200 | 0x42e0, _) | (_, 0x6400) => true,
                    (stream, decoder) => stream == decoder,
                };
                profile && stream.packetization_mode <= decoder.packetization_mode
            }
            _ => false,
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

#[cfg(test)]
mod tests {
    use super::*;

    const fn h264(profile: u16, packetization_mode: u8) -> Codec {
        Codec::H264(H264Profile { profile, packetization_mode })
    }

    #[test]
    fn a_larger_h264_decodes_a_smaller() {
        assert!(h264(0x4200, 1).is_decodable_by(h264(0x42e0, 1)), "Chromium's first, to Safari");
        assert!(h264(0x42e0, 0).is_decodable_by(h264(0x640c, 1)));
        assert!(h264(0x4d00, 1).is_decodable_by(h264(0x6400, 1)));
        assert!(!h264(0x640c, 1).is_decodable_by(h264(0x42e0, 1)));
        assert!(!h264(0x42e0, 1).is_decodable_by(h264(0x42e0, 0)));
    }

    #[test]
    fn other_codecs_decode_only_themselves() {
        let all = [Codec::Opus, Codec::Vp8, Codec::Vp9, h264(0x42e0, 1), Codec::Av1];
        for stream in all {
            for decoder in all {
                assert_eq!(stream.is_decodable_by(decoder), stream == decoder, "{stream} by {decoder}");
            }
        }
    }
}
