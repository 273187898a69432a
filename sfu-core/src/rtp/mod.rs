//! RTP packets, header extensions and payload descriptors, read without copying (RFC 3550, RFC 8285).
//!
//! [`RtpPacket`] is a view of a decrypted datagram; [`write_header`] writes the header of a forwarded one. [`Extension`]
//! names the header extensions that Madang understands, [`ExtensionMap`] gives their ids on one m-line, and [`values`]
//! reads and writes what they hold. A module per codec reads the payload descriptor, never the media behind it, except
//! for the few bits that tell a keyframe.
//!
//! Invariants: every parser takes any bytes without panicking, looks at each byte at most a few times, and never allocates.

pub mod av1;
pub mod dependency_descriptor;
mod extension;
pub mod h264;
pub mod h264_sps;
mod packet;
pub mod red;
pub mod rtx;
pub mod values;
pub mod vp8;
pub mod vp9;
mod writer;

pub use extension::{Extension, ExtensionMap};
pub use packet::{Extensions, RtpError, RtpPacket, header_len};
pub use writer::{HeaderOut, MAX_HEADER, PADDING_BIT, write_header, write_header_with};

use crate::sdp::Codec;

/// Whether this payload starts a keyframe from which a decoder can begin. Always true for audio.
///
/// It looks at unencrypted payloads; with end-to-end encryption ask the [dependency descriptor](dependency_descriptor).
pub fn is_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Opus => true,
        Codec::Vp8 => vp8::Vp8Descriptor::parse(payload).is_some_and(|descriptor| descriptor.keyframe),
        Codec::Vp9 => vp9::Vp9Descriptor::parse(payload).is_some_and(|descriptor| descriptor.is_keyframe_start()),
        Codec::H264(_) => {
            h264::H264Descriptor::parse(payload).is_some_and(|descriptor| descriptor.is_keyframe_start(true))
        }
        Codec::Av1 => av1::Av1Descriptor::parse(payload).is_some_and(|descriptor| descriptor.is_keyframe_start()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::H264Profile;
    use proptest::prelude::*;

    const CODECS: [Codec; 5] = [
        Codec::Opus,
        Codec::Vp8,
        Codec::Vp9,
        Codec::H264(H264Profile { profile: 0x42e0, packetization_mode: 1 }),
        Codec::Av1,
    ];

    proptest! {
        #[test]
        fn any_payload_is_judged(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            for codec in CODECS {
                is_keyframe(codec, &payload);
            }
        }
    }

    #[test]
    fn an_empty_payload_starts_no_keyframe_of_video() {
        assert!(CODECS.iter().skip(1).all(|&codec| !is_keyframe(codec, &[])));
    }
}
