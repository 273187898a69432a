//! A packet between its publication and the sockets.

use std::time::Instant;

use crate::prefetch::Distance;
use crate::rtp::dependency_descriptor::{self, MAX_LEN, Targets};
use crate::rtp::red::Redundancy;
use crate::rtp::values::AudioLevel;
use crate::rtp::{self, Extension, ExtensionMap, HeaderOut, MAX_HEADER};
use crate::sdp::Codec;
use crate::stream::{PacketMeta, RingIndex, Stored};
use crate::unit::SeqNo;

use super::PeerIndex;
use super::downlink::Class;
use super::munger::{Incoming, PayloadNumbers};
use super::receiver::EncodingKey;

/// What goes no further, for the worker's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Media beyond a publisher's limit.
    Media,
    /// Media in a packet that is too large.
    Oversized,
    /// RTCP beyond a member's limit.
    Report,
}

/// Takes what the router sends.
pub trait Outbox {
    /// A media or RTX packet for `peer`. The outbox adds the transport's own extensions and seals it.
    fn send_rtp(&mut self, now: Instant, peer: PeerIndex, class: Class, packet: &OutPacket<'_>);

    /// A compound RTCP packet for `peer`.
    fn send_rtcp(&mut self, now: Instant, peer: PeerIndex, packet: &[u8]);

    /// Something that a member sent goes no further.
    fn on_refused(&mut self, _what: Refused) {}

    /// A packet for `peer` follows soon; see [`prefetch`](crate::prefetch).
    fn prefetch(&self, _peer: PeerIndex, _distance: Distance) {}
}

/// The header extensions that are forwarded as they came. The others belong to one hop and are written anew, or mean
/// nothing to the receiver (MID and RIDs: its streams are known by SSRC). The dependency descriptor is forwarded too, but
/// rewritten.
const FORWARDED: [Extension; 4] =
    [Extension::AudioLevel, Extension::VideoOrientation, Extension::PlayoutDelay, Extension::AbsCaptureTime];

/// Header extensions of one packet that are kept: those, and the dependency descriptor.
pub const MAX_FORWARDED: usize = FORWARDED.len() + 1;

/// The longest value that is forwarded as it came, in bytes: of the abs-capture-time, and what the one-byte form can carry.
/// A sender may write up to 255 bytes, for which an outgoing header has no room.
const MAX_VALUE: usize = 16;

/// Values of [`FORWARDED`] extensions, in that order, and the dependency descriptor.
#[derive(Debug, Clone, Copy, Default)]
pub struct ForwardedExtensions<'a> {
    values: [Option<&'a [u8]>; FORWARDED.len()],
    pub descriptor: Option<&'a [u8]>,
}

impl<'a> ForwardedExtensions<'a> {
    /// Picks them from a packet's extensions, whose ids are those of the m-line that it came on. What is too long to be
    /// what it says is left out.
    pub fn pick(extensions: impl Iterator<Item = (u8, &'a [u8])>, map: &ExtensionMap) -> Self {
        let mut picked = Self::default();
        for (id, value) in extensions {
            let Some(extension) = map.ext(id) else { continue };
            if extension == Extension::DependencyDescriptor {
                picked.descriptor = Some(value);
            } else if let Some(place) = FORWARDED.iter().position(|f| *f == extension)
                && value.len() <= MAX_VALUE
            {
                picked.values[place] = Some(value);
            }
        }
        picked
    }

    /// How loud the packet is.
    pub fn audio_level(&self) -> Option<AudioLevel> {
        let place = FORWARDED.iter().position(|extension| *extension == Extension::AudioLevel)?;
        self.values[place].and_then(AudioLevel::parse)
    }

    /// The values that an m-line with these ids can carry as they came.
    pub fn iter(&self, map: &ExtensionMap) -> impl Iterator<Item = (u8, &'a [u8])> + Clone {
        let of = |(extension, value): (&Extension, &Option<&'a [u8]>)| {
            let value = (*value)?;
            Some((map.id(*extension)?, value))
        };
        FORWARDED.iter().zip(&self.values).filter_map(of)
    }

    /// The same with the dependency descriptor.
    pub fn all(&self, map: &ExtensionMap) -> impl Iterator<Item = (u8, &'a [u8])> {
        self.iter(map).chain(map.id(Extension::DependencyDescriptor).zip(self.descriptor))
    }
}

/// What all subscriptions of a publication share about one incoming packet.
#[derive(Debug, Clone, Copy)]
pub struct MediaPacket<'a> {
    /// The track's CSRC.
    pub csrc: u32,
    pub codec: Codec,
    pub encoding: EncodingKey,
    pub marker: bool,
    /// With what the packet is part of.
    pub numbers: Incoming,
    pub extensions: ForwardedExtensions<'a>,
    /// Of the encoding, where it has dependency descriptors.
    pub targets: Option<Targets>,
    pub payload: &'a [u8],
    /// What the payload consists of, where it is RED.
    pub redundancy: Option<Redundancy>,
    /// Where it is kept for retransmission.
    pub stored: RingIndex,
}

impl<'a> MediaPacket<'a> {
    /// A video packet that came earlier and is at `at` in its ring. `map` are the ids of the m-line that it came on.
    pub fn stored(
        csrc: u32,
        codec: Codec,
        encoding: EncodingKey,
        targets: Option<Targets>,
        at: RingIndex,
        stored: &Stored<'a>,
        map: &ExtensionMap,
    ) -> Self {
        let PacketMeta { seq, timestamp, marker, frame, .. } = stored.meta;
        Self {
            csrc,
            codec,
            encoding,
            marker,
            numbers: Incoming { seq, timestamp, frame, closes_pictures: codec == Codec::Vp8 },
            extensions: ForwardedExtensions::pick(stored.extensions, map),
            targets,
            payload: stored.payload,
            redundancy: None,
            stored: at,
        }
    }
}

/// A dependency descriptor as it goes out.
#[derive(Debug, Clone, Copy)]
pub struct DescriptorOut<'a> {
    /// As it came.
    pub value: &'a [u8],
    /// The frame's number.
    pub number: u16,
    /// How many decode targets there are and which of them are active, where that must be told.
    pub targets: Option<(u8, u32)>,
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
    pub descriptor: Option<DescriptorOut<'a>>,
    /// The original sequence number, which goes before the payload of a retransmission (RFC 4588 section 4).
    pub osn: Option<u16>,
    pub payload: &'a [u8],
    /// What to write into the payload's descriptor, which is that of this codec.
    pub rewrite: Option<(Codec, PayloadNumbers)>,
    /// The payload type of the blocks inside, where the payload is RED.
    pub blocks: Option<u8>,
    /// Bytes of padding after the payload, the last of which says how many (RFC 3550 section 5.1).
    pub padding: u8,
    /// The transport-wide number, set on its way out.
    pub number: Option<u16>,
}

impl OutPacket<'_> {
    /// Writes the header with the extensions that are forwarded and the transport's own, and returns its length.
    pub fn write_header(&self, buf: &mut [u8; MAX_HEADER], own: &[(u8, &[u8])]) -> usize {
        let elements = self.extensions.iter(self.map).chain(own.iter().copied());
        let id = self.descriptor.and_then(|_| self.map.id(Extension::DependencyDescriptor));
        let Some((id, descriptor)) = id.zip(self.descriptor) else {
            return rtp::write_header_with(buf, &self.header, elements);
        };
        let mut value = [0; MAX_LEN];
        let len = dependency_descriptor::rewrite(descriptor.value, descriptor.number, descriptor.targets, &mut value);
        rtp::write_header_with(buf, &self.header, elements.chain([(id, &value[..len])]))
    }

    /// Writes the numbers into `payload`, which is a copy of the packet's.
    pub fn rewrite_payload(&self, payload: &mut [u8]) {
        if let Some(payload_type) = self.blocks {
            rtp::red::rewrite(payload, payload_type);
        }
        match self.rewrite {
            Some((Codec::Vp8, numbers)) => rtp::vp8::rewrite(payload, numbers.picture_id, numbers.tl0),
            Some((Codec::Vp9, numbers)) => rtp::vp9::rewrite(payload, numbers.picture_id, numbers.tl0),
            _ => {}
        }
    }
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
        let descriptor = 2 + MAX_LEN;
        assert!(12 + 4 + 4 + FORWARDED.len() * (2 + MAX_VALUE) + 2 * 5 + descriptor <= MAX_HEADER);
    }
}
