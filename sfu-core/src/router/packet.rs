//! A packet between its publication and the sockets.

use std::time::Instant;

use crate::rtp::values::AudioLevel;
use crate::rtp::{self, Extension, ExtensionMap, HeaderOut};
use crate::sdp::Codec;
use crate::stream::{PacketMeta, RingIndex, Stored};
use crate::unit::SeqNo;

use super::PeerIndex;
use super::downlink::Class;
use super::munger::{Incoming, Vp8Numbers};
use super::receiver::EncodingKey;

/// Takes what the router sends.
pub trait Outbox {
    /// A media or RTX packet for `peer`. The outbox adds the transport's own extensions and seals it.
    fn send_rtp(&mut self, now: Instant, peer: PeerIndex, class: Class, packet: &OutPacket<'_>);

    /// A compound RTCP packet for `peer`.
    fn send_rtcp(&mut self, now: Instant, peer: PeerIndex, packet: &[u8]);
}

/// The header extensions that are forwarded as they came. The others belong to one hop and are written anew, or mean
/// nothing to the receiver (MID and RIDs: its streams are known by SSRC). The dependency descriptor stays out until its
/// frame numbers are rewritten across a switch.
const FORWARDED: [Extension; 4] =
    [Extension::AudioLevel, Extension::VideoOrientation, Extension::PlayoutDelay, Extension::AbsCaptureTime];

/// The longest value that is forwarded, in bytes: of the abs-capture-time, and what the one-byte form can carry. A sender
/// may write up to 255 bytes, for which an outgoing header has no room.
const MAX_VALUE: usize = 16;

/// Values of [`FORWARDED`] extensions, in that order.
#[derive(Debug, Clone, Copy, Default)]
pub struct ForwardedExtensions<'a>([Option<&'a [u8]>; FORWARDED.len()]);

impl<'a> ForwardedExtensions<'a> {
    /// Picks them from a packet's extensions, whose ids are those of the m-line that it came on. What is too long to be
    /// what it says is left out.
    pub fn pick(extensions: impl Iterator<Item = (u8, &'a [u8])>, map: &ExtensionMap) -> Self {
        let mut values = Self::default();
        for (id, value) in extensions.filter(|(_, value)| value.len() <= MAX_VALUE) {
            let known = map.ext(id).and_then(|extension| FORWARDED.iter().position(|f| *f == extension));
            if let Some(place) = known {
                values.0[place] = Some(value);
            }
        }
        values
    }

    /// How loud the packet is.
    pub fn audio_level(&self) -> Option<AudioLevel> {
        let place = FORWARDED.iter().position(|extension| *extension == Extension::AudioLevel)?;
        self.0[place].and_then(AudioLevel::parse)
    }

    /// The values that an m-line with these ids can carry.
    pub fn iter(&self, map: &ExtensionMap) -> impl Iterator<Item = (u8, &'a [u8])> {
        FORWARDED.iter().zip(self.0).filter_map(|(extension, value)| Some((map.id(*extension)?, value?)))
    }
}

/// What all subscriptions of a publication share about one incoming packet.
#[derive(Debug, Clone, Copy)]
pub struct MediaPacket<'a> {
    /// The track's CSRC.
    pub csrc: u32,
    pub codec: Codec,
    pub encoding: EncodingKey,
    /// The encoding is the one that subscriptions shall take.
    pub preferred: bool,
    /// A decoder can start here.
    pub keyframe: bool,
    pub marker: bool,
    pub numbers: Incoming,
    pub extensions: ForwardedExtensions<'a>,
    pub payload: &'a [u8],
    /// Where it is kept for retransmission.
    pub stored: RingIndex,
}

impl<'a> MediaPacket<'a> {
    /// A packet that came earlier and is at `at` in its ring. `map` are the ids of the m-line that it came on.
    pub fn stored(
        csrc: u32,
        codec: Codec,
        encoding: EncodingKey,
        preferred: bool,
        at: RingIndex,
        stored: &Stored<'a>,
        map: &ExtensionMap,
    ) -> Self {
        let PacketMeta { seq, timestamp, marker, .. } = stored.meta;
        Self {
            csrc,
            codec,
            encoding,
            preferred,
            keyframe: rtp::is_keyframe(codec, stored.payload),
            marker,
            numbers: Incoming::read(seq, timestamp, codec == Codec::Vp8, stored.payload),
            extensions: ForwardedExtensions::pick(stored.extensions, map),
            payload: stored.payload,
            stored: at,
        }
    }
}

/// A packet that is ready but for what the transport adds.
#[derive(Debug)]
pub struct OutPacket<'a> {
    pub header: HeaderOut,
    /// The extended sequence number, for SRTP.
    pub seq: SeqNo,
    /// The ids of the m-line it leaves on.
    pub map: &'a ExtensionMap,
    pub extensions: ForwardedExtensions<'a>,
    /// The original sequence number, which goes before the payload of a retransmission (RFC 4588 section 4).
    pub osn: Option<u16>,
    pub payload: &'a [u8],
    /// What to write into the payload's VP8 descriptor.
    pub vp8: Option<Vp8Numbers>,
    /// Bytes of padding after the payload, the last of which says how many (RFC 3550 section 5.1).
    pub padding: u8,
    /// The transport-wide number, set on its way out.
    pub number: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red if a member can make others' headers longer than the buffer that they are written to.
    #[test]
    fn what_is_forwarded_fits_a_header() {
        let mut map = ExtensionMap::default();
        for (place, extension) in Extension::ALL.into_iter().enumerate() {
            map.set(extension, place as u8 + 1);
        }
        let sent = |value| map.iter().map(move |(_, id)| (id, value));
        let picked = |value| ForwardedExtensions::pick(sent(value), &map).iter(&map).count();
        assert_eq!(picked(&[1; MAX_VALUE][..]), FORWARDED.len());
        assert_eq!(picked(&[1; MAX_VALUE + 1][..]), 0);
        assert!(12 + 4 + 4 + FORWARDED.len() * (2 + MAX_VALUE) + 2 * 5 <= crate::rtp::MAX_HEADER);
    }
}
