//! What a packet is part of: read once when it arrives, for all subscriptions.
//!
//! The dependency descriptor is asked first, since it tells the same of every codec and of encrypted payloads; then the
//! payload's own descriptor (VP8, VP9). H264 and AV1 without a dependency descriptor have one layer.
//!
//! A [`Frame`] is small and is kept with the packet in its ring, so that what is sent again, or later, is not read again.

use crate::rtp::dependency_descriptor::{DependencyDescriptor, Layers, Structure};
use crate::rtp::vp8::{PictureId, Vp8Descriptor};
use crate::rtp::vp9::Vp9Descriptor;
use crate::rtp::{av1, h264};
use crate::sdp::Codec;
use crate::unit::SeqNo;

/// Frames whose layers are remembered, to tell what a dependency descriptor's differences refer to. With three spatial
/// layers they are 21 pictures.
const REMEMBERED: usize = 64;

/// What a packet is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame {
    /// 0: the smallest picture.
    pub spatial: u8,
    /// 0: the lowest frame rate.
    pub temporal: u8,
    /// The last packet of a layer's frame.
    pub end: bool,
    /// A decoder can start the encoding here: the first packet of a picture that needs none before it.
    pub keyframe: bool,
    /// Refers to no earlier frame of its own spatial layer: with the layers below, a decoder can start the layer here.
    pub spatial_entry: bool,
    /// Refers to no earlier frame of its own temporal layer: with the layers below, a decoder can start the layer here.
    pub temporal_entry: bool,
    /// No later frame of a higher temporal layer refers to anything before this one.
    pub opens: bool,
    /// Of VP8 and VP9.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX of VP8 and VP9.
    pub tl0: Option<u8>,
    /// Of the dependency descriptor.
    pub number: Option<u16>,
}

/// A packet that just arrived.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    pub codec: Codec,
    pub seq: SeqNo,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a [u8],
    /// The dependency descriptor.
    pub descriptor: Option<&'a [u8]>,
}

/// A frame that was seen, by its number.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    number: u16,
    layers: Layers,
    timestamp: u32,
}

/// Reads the packets of one encoding.
#[derive(Debug)]
pub struct FrameReader {
    /// The newest packet: its number, and whether it ended a picture.
    newest: Option<(SeqNo, bool)>,
    structure: Option<Structure>,
    /// By frame number modulo the length.
    seen: [Seen; REMEMBERED],
}

impl Default for FrameReader {
    fn default() -> Self {
        Self { newest: None, structure: None, seen: [Seen::default(); REMEMBERED] }
    }
}

impl FrameReader {
    /// What the packet is part of.
    pub fn read(&mut self, packet: &Arrived<'_>) -> Frame {
        let first = self.newest.is_some_and(|(seq, ended)| ended && seq.0 + 1 == packet.seq.0);
        if self.newest.is_none_or(|(newest, _)| newest < packet.seq) {
            self.newest = Some((packet.seq, packet.marker));
        }
        let mut frame = read_payload(packet, first);
        if let Some(value) = packet.descriptor
            && let Some(descriptor) = DependencyDescriptor::parse(value)
        {
            self.read_descriptor(packet, value, &descriptor, &mut frame);
        }
        frame
    }

    /// The structure of the dependency descriptor.
    pub const fn structure(&self) -> Option<&Structure> {
        self.structure.as_ref()
    }

    /// Puts what the dependency descriptor says in the place of what the payload says. Without its structure, which comes
    /// with a keyframe, it says no more than the frame's number.
    fn read_descriptor(
        &mut self,
        packet: &Arrived<'_>,
        value: &[u8],
        descriptor: &DependencyDescriptor,
        frame: &mut Frame,
    ) {
        frame.number = Some(descriptor.frame_number);
        frame.end = descriptor.end_of_frame;
        if descriptor.structure.is_some() {
            self.structure.clone_from(&descriptor.structure);
        }
        let Some(structure) = &self.structure else { return };
        let Some(layers) = structure.layers(descriptor.template_id) else { return };
        let (mut own_spatial, mut own_temporal) = (false, false);
        let known = structure.references(descriptor, value, |difference| {
            let number = descriptor.frame_number.wrapping_sub(difference);
            let seen = self.seen[usize::from(number) % REMEMBERED];
            let same_picture = seen.number == number && seen.timestamp == packet.timestamp;
            // What is not remembered may be of any layer.
            own_spatial |= seen.number != number || seen.layers.spatial >= layers.spatial;
            own_temporal |= seen.number != number || (seen.layers.temporal >= layers.temporal && !same_picture);
        });
        let number = descriptor.frame_number;
        self.seen[usize::from(number) % REMEMBERED] = Seen { number, layers, timestamp: packet.timestamp };
        let keyframe = descriptor.is_keyframe_start();
        *frame = Frame {
            spatial: layers.spatial,
            temporal: layers.temporal,
            keyframe,
            spatial_entry: known && !own_spatial,
            temporal_entry: known && !own_temporal,
            opens: keyframe,
            ..*frame
        };
    }
}

/// What the payload tells. `first`: the packet follows the last one of the picture before.
fn read_payload(packet: &Arrived<'_>, first: bool) -> Frame {
    let plain = Frame { end: packet.marker, ..Frame::default() };
    let keyframe = |keyframe| Frame { keyframe, opens: keyframe, ..plain };
    match packet.codec {
        Codec::Opus => keyframe(true),
        Codec::Vp8 => Vp8Descriptor::parse(packet.payload).map_or(plain, |descriptor| vp8(&descriptor, plain)),
        Codec::Vp9 => Vp9Descriptor::parse(packet.payload).map_or(plain, |descriptor| vp9(&descriptor, plain)),
        Codec::H264(_) => {
            let descriptor = h264::H264Descriptor::parse(packet.payload);
            keyframe(descriptor.is_some_and(|descriptor| descriptor.is_keyframe_start(first)))
        }
        Codec::Av1 => {
            let descriptor = av1::Av1Descriptor::parse(packet.payload);
            keyframe(descriptor.is_some_and(|descriptor| descriptor.is_keyframe_start()))
        }
    }
}

fn vp8(descriptor: &Vp8Descriptor, plain: Frame) -> Frame {
    Frame {
        temporal: descriptor.tid.unwrap_or(0),
        keyframe: descriptor.keyframe,
        temporal_entry: descriptor.layer_sync,
        opens: descriptor.keyframe,
        picture_id: descriptor.picture_id,
        tl0: descriptor.tl0picidx,
        ..plain
    }
}

/// In all modes a receiver may move up past a picture with the U bit (RFC 9628 section 4.2). libwebrtc's structures for two
/// and three temporal layers have it at the first picture of a higher layer and not at the one before
/// (`GofInfoVP9::SetGofInfoVP9`), where it says what the Y bit of VP8 says.
fn vp9(descriptor: &Vp9Descriptor, plain: Frame) -> Frame {
    let keyframe = descriptor.is_keyframe_start();
    Frame {
        spatial: descriptor.sid,
        temporal: descriptor.tid,
        end: descriptor.end,
        keyframe,
        spatial_entry: !descriptor.inter_picture,
        temporal_entry: descriptor.switching_up || !descriptor.inter_picture,
        opens: descriptor.switching_up || !descriptor.inter_picture,
        picture_id: descriptor.picture_id,
        tl0: descriptor.tl0picidx,
        ..plain
    }
}
