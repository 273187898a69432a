//! How packets were sent, so that they can be sent again as they were.
//!
//! The history of a line leads from an output number to a packet in a ring; what was written into that packet depends on
//! the source that flowed then. A few sources back are remembered, so that a NACK that crosses a change of the encoding is
//! answered; a receiver that waits for the last packets of the old encoding would else stand still until it gives up.

use crate::layers::Frame;
use crate::rtp::dependency_descriptor::{Layers, Targets};
use crate::sdp::Codec;
use crate::stream::{Descriptor, Epoch, PacketMeta, RingIndex};

use super::munger::{Munged, Offsets, PayloadNumbers};
use super::packet::DescriptorOut;
use super::receiver::EncodingKey;

/// Sources that are remembered. A line changes its encoding a few times a second at most, and packets are kept for about
/// one.
const REMEMBERED: usize = 4;

/// A source, as its packets were sent.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    epoch: Epoch,
    pub encoding: EncodingKey,
    pub codec: Codec,
    /// The payload type of retransmissions.
    pub rtx: Option<u8>,
    pub offsets: Offsets,
    /// Of its dependency descriptors.
    pub targets: Option<Targets>,
}

/// The last sources of a line, the newest last; no memory before the first.
#[derive(Debug, Default)]
pub struct Sources {
    recent: Vec<Source>,
    epoch: Epoch,
}

impl Sources {
    /// Another source begins, or another structure of its dependency descriptors.
    pub fn begin(
        &mut self,
        encoding: EncodingKey,
        codec: Codec,
        rtx: Option<u8>,
        offsets: Offsets,
        targets: Option<Targets>,
    ) {
        self.epoch = self.epoch.next();
        if self.recent.len() == REMEMBERED {
            self.recent.remove(0);
        }
        self.recent.push(Source { epoch: self.epoch, encoding, codec, rtx, offsets, targets });
    }

    /// Nothing that was sent is to be sent again: it was of another track.
    pub fn forget(&mut self) {
        self.recent.clear();
    }

    /// The newest source.
    pub fn newest(&self) -> Option<&Source> {
        self.recent.last()
    }

    /// What the history keeps of a packet of the newest source, sent with this marker bit to a receiver of these layers.
    pub fn describe(&self, packet: RingIndex, numbers: &Munged, marker: bool, layers: Layers) -> Descriptor {
        let picture = numbers.payload.picture_id.unwrap_or(0);
        let written = u8::from(marker) | layers.spatial.min(3) << 1 | layers.temporal.min(3) << 3;
        Descriptor { packet, picture, written, epoch: self.epoch }
    }

    /// The source of a packet that was sent, if it is not too long ago.
    pub fn of(&self, sent: &Descriptor) -> Option<&Source> {
        self.recent.iter().rev().find(|source| source.epoch == sent.epoch)
    }
}

impl Source {
    /// The counters that a packet's payload was sent with.
    pub fn payload_numbers(&self, sent: &Descriptor, meta: &PacketMeta) -> PayloadNumbers {
        PayloadNumbers { picture_id: meta.frame.picture_id.map(|_| sent.picture), tl0: self.offsets.tl0(&meta.frame) }
    }

    /// The dependency descriptor of a frame for a receiver of these layers. They are told with every packet, so that all
    /// packets of a frame are of one size.
    pub fn descriptor<'a>(&self, value: Option<&'a [u8]>, frame: &Frame, layers: Layers) -> Option<DescriptorOut<'a>> {
        let number = self.offsets.number(frame)?;
        let targets = self.targets.and_then(|targets| targets.active(layers));
        value.map(|value| DescriptorOut { value, number, targets })
    }
}

/// The marker bit that a packet was sent with.
pub const fn marker(sent: &Descriptor) -> bool {
    sent.written & 1 != 0
}

/// The layers that were sent then.
pub const fn layers(sent: &Descriptor) -> Layers {
    Layers { spatial: sent.written >> 1 & 3, temporal: sent.written >> 3 & 3 }
}
