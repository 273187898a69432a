//! How packets were sent, so that they can be sent again as they were.
//!
//! The history of a line leads from an output number to a packet in a ring; what was written into that packet depends on
//! the source that flowed then. A few sources back are remembered, so that a NACK that crosses a change of the encoding is
//! answered; a receiver that waits for the last packets of the old encoding would else stand still until it gives up.

use arrayvec::ArrayVec;

use crate::sdp::Codec;
use crate::stream::{Descriptor, Epoch, PacketMeta, RingIndex};

use super::munger::{Munged, Offsets, PayloadNumbers};
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
}

/// The last sources of a line, the newest last.
#[derive(Debug)]
pub struct Sources {
    recent: ArrayVec<Source, REMEMBERED>,
    epoch: Epoch,
}

impl Sources {
    /// There was none.
    pub const fn new() -> Self {
        Self { recent: ArrayVec::new_const(), epoch: Epoch::FIRST }
    }

    /// Another source begins.
    pub fn begin(&mut self, encoding: EncodingKey, codec: Codec, rtx: Option<u8>, offsets: Offsets) {
        self.epoch = self.epoch.next();
        if self.recent.is_full() {
            self.recent.remove(0);
        }
        self.recent.push(Source { epoch: self.epoch, encoding, codec, rtx, offsets });
    }

    /// Nothing that was sent is to be sent again: it was of another track.
    pub fn forget(&mut self) {
        self.recent.clear();
    }

    /// What the history keeps of a packet of the newest source.
    pub fn describe(&self, packet: RingIndex, numbers: &Munged, marker: bool) -> Descriptor {
        let picture = numbers.payload.picture_id.unwrap_or(0);
        Descriptor { packet, picture, written: u8::from(marker), epoch: self.epoch }
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
}

/// The marker bit that a packet was sent with.
pub const fn marker(sent: &Descriptor) -> bool {
    sent.written & 1 != 0
}
