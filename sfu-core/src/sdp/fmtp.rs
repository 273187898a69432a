//! Format parameters: which codec a payload type stands for (RFC 6184, RFC 9628, RFC 7587, RFC 4588, AV1's RTP format).

use super::codec::{Codec, H264Profile};

/// The parameters of an `a=fmtp` line, without its payload type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters<'a>(pub &'a str);

impl<'a> Parameters<'a> {
    /// The value of a parameter. Names are case-insensitive; the first of a name counts.
    pub(super) fn value(self, name: &str) -> Option<&'a str> {
        let pairs = self.0.split(';').filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.trim(), value.trim()))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|p| p.1)
    }

    /// The payload type that a retransmission format belongs to.
    pub(super) fn apt(self) -> Option<u8> {
        self.value("apt")?.parse().ok()
    }
}

/// The codec of an `a=rtpmap` value (`opus/48000/2`) and its parameters; `None` for those that we refuse.
pub(super) fn codec(rtpmap: &str, parameters: Parameters<'_>) -> Option<Codec> {
    let mut parts = rtpmap.split('/');
    let (name, clock) = (parts.next()?.trim(), parts.next()?.trim());
    let codec = match name.to_ascii_lowercase().as_str() {
        // Whatever channels it says: RFC 7587 section 7 knows 2 only, and GStreamer writes none.
        "opus" => Codec::Opus,
        "vp8" => Codec::Vp8,
        "vp9" if parameters.value("profile-id").unwrap_or("0") == "0" => Codec::Vp9,
        "av1" if parameters.value("profile").unwrap_or("0") == "0" => Codec::Av1,
        "h264" => Codec::H264(h264_profile(parameters)?),
        _ => return None,
    };
    (clock.parse() == Ok(codec.clock_rate())).then_some(codec)
}

/// Whether an `a=rtpmap` value is that of retransmitted video.
pub(super) fn is_rtx(rtpmap: &str) -> bool {
    rtpmap.eq_ignore_ascii_case("rtx/90000")
}

/// Whether an `a=rtpmap` value is that of redundant Opus.
pub(super) fn is_red(rtpmap: &str) -> bool {
    let mut parts = rtpmap.split('/').map(str::trim);
    parts.next().is_some_and(|name| name.eq_ignore_ascii_case("red")) && parts.next() == Some("48000")
}

/// Whether the parameters of redundant audio name blocks of this payload type only (RFC 2198 section 5).
pub(super) fn is_of(blocks: &str, payload_type: u8) -> bool {
    blocks.contains('/') && blocks.split('/').all(|block| block.trim().parse() == Ok(payload_type))
}

/// The profile, reduced to one spelling each: several values of profile-iop mean the same (RFC 6184 section 8.1, table 5).
/// Levels do not matter to a forwarder: browsers decode far above the level that they name.
fn h264_profile(parameters: Parameters<'_>) -> Option<H264Profile> {
    // Without the parameter: Baseline, level 1.
    let id = parameters.value("profile-level-id").unwrap_or("42000a");
    if id.len() != 6 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let [_, idc, iop, _level] = u32::from_str_radix(id, 16).ok()?.to_be_bytes();
    let profile = match (idc, iop) {
        (0x42, iop) if iop & 0x4f == 0x40 => 0x42e0,
        (0x4d, iop) if iop & 0x8f == 0x80 => 0x42e0,
        (0x58, iop) if iop & 0xcf == 0xc0 => 0x42e0,
        (0x42, iop) if iop & 0x4f == 0x00 => 0x4200,
        (0x4d, iop) if iop & 0xaf == 0x00 => 0x4d00,
        (0x64, 0x0c) => 0x640c,
        // Constraints of High that are not Constrained High's only narrow it.
        (0x64, _) => 0x6400,
        _ => return None,
    };
    let packetization_mode = match parameters.value("packetization-mode").unwrap_or("0") {
        "0" => 0,
        "1" => 1,
        _ => return None,
    };
    Some(H264Profile { profile, packetization_mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h264(parameters: &str) -> Option<(u16, u8)> {
        match codec("H264/90000", Parameters(parameters)) {
            Some(Codec::H264(h264)) => Some((h264.profile, h264.packetization_mode)),
            _ => None,
        }
    }

    #[test]
    fn h264_profiles_have_one_spelling() {
        assert_eq!(h264("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"), Some((0x42e0, 1)));
        assert_eq!(h264("profile-level-id=42C015; packetization-mode=1"), Some((0x42e0, 1)));
        assert_eq!(h264("Profile-Level-Id=42001F"), Some((0x4200, 0)));
        assert_eq!(h264("profile-level-id=4d001f"), Some((0x4d00, 0)));
        assert_eq!(h264("profile-level-id=640c1f"), Some((0x640c, 0)));
        assert_eq!(h264("profile-level-id=64001f"), Some((0x6400, 0)));
        assert_eq!(h264("profile-level-id=641028"), Some((0x6400, 0)));
        assert_eq!(h264(""), Some((0x4200, 0)));
    }

    #[test]
    fn other_h264_is_refused() {
        for parameters in [
            "profile-level-id=f4001f",
            "profile-level-id=42e01",
            "profile-level-id=é2e0",
            "profile-level-id=+2e01f",
            "profile-level-id=42e01f;packetization-mode=2",
        ] {
            assert_eq!(h264(parameters), None, "{parameters}");
        }
    }

    #[test]
    fn only_what_is_forwarded_is_known() {
        for opus in ["opus/48000/2", "OPUS/48000", "opus/48000/1", "Opus/48000/2"] {
            assert_eq!(codec(opus, Parameters("")), Some(Codec::Opus), "{opus}");
        }
        assert_eq!(codec("VP9/90000", Parameters("profile-id=0")), Some(Codec::Vp9));
        assert_eq!(codec("AV1/90000", Parameters("level-idx=5;profile=0;tier=0")), Some(Codec::Av1));
        for (rtpmap, parameters) in [
            ("opus/16000/2", ""),
            ("VP8/8000", ""),
            ("VP9/90000", "profile-id=2"),
            ("AV1/90000", "profile=1"),
            ("red/48000/2", "111/111"),
            ("ulpfec/90000", ""),
            ("CN/8000", ""),
            ("telephone-event/48000", "0-15"),
            ("VP8", ""),
            ("", ""),
        ] {
            assert_eq!(codec(rtpmap, Parameters(parameters)), None, "{rtpmap}");
        }
    }
}
