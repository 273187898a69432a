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

    /// Of the codecs that a client negotiated, the one that a stream of `self` is sent as: the same, else the first that decodes it,
    /// else the first H264 that is lenient, of the stream's packetization mode if there is one. `known` tells a codec, and whether it is
    /// lenient.
    pub fn best_of<T>(self, codecs: &[T], known: impl Fn(&T) -> (Self, bool)) -> Option<&T> {
        let first = |fits: &dyn Fn(Self, bool) -> bool| {
            codecs.iter().find(|codec| {
                let (codec, is_lenient) = known(codec);
                fits(codec, is_lenient)
            })
        };
        let Self::H264(stream) = self else { return first(&|codec, _| codec == self) };
        let of_mode = |codec, is_lenient| matches!(codec, Self::H264(h264) if is_lenient && h264.packetization_mode == stream.packetization_mode);
        first(&|codec, _| codec == self)
            .or_else(|| first(&|codec, _| self.is_decodable_by(codec)))
            .or_else(|| first(&of_mode))
            .or_else(|| first(&|codec, is_lenient| is_lenient && matches!(codec, Self::H264(_))))
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

    /// The nearest is taken; another profile only where that is wished.
    #[test]
    fn a_stream_is_sent_as_the_nearest_codec() {
        let best =
            |stream: Codec, codecs: &[Codec], lenient| stream.best_of(codecs, |codec| (*codec, lenient)).copied();
        let constrained = [Codec::Vp8, h264(0x42e0, 0), h264(0x42e0, 1)];
        assert_eq!(best(h264(0x6400, 1), &constrained, true), Some(h264(0x42e0, 1)), "High to 42e01f");
        assert_eq!(best(h264(0x6400, 0), &constrained, true), Some(h264(0x42e0, 0)));
        assert_eq!(best(h264(0x6400, 1), &constrained[..2], true), Some(h264(0x42e0, 0)), "whatever the mode");
        assert_eq!(best(h264(0x6400, 1), &constrained, false), None);
        assert_eq!(best(h264(0x4200, 1), &constrained, false), Some(h264(0x42e0, 1)));
        assert_eq!(best(Codec::Vp8, &constrained, true), Some(Codec::Vp8));
        assert_eq!(best(Codec::Vp9, &constrained, true), None);
        assert_eq!(best(h264(0x6400, 1), &[Codec::Vp8], true), None);
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
