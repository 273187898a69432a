//! What every synthetic packet says about itself, at the end of its payload.
//!
//! A forwarder may rewrite everything in an RTP header, so a viewer cannot tell from it which packet of which publisher
//! it holds. The stamp tells: it survives any forwarder that leaves the payload's end alone, it also survives the prefix
//! that RFC 4588 puts before a retransmission, and it makes loss exact: what was sent while measuring, less what arrived.

use std::time::{Duration, Instant};

/// Length of a stamp on the wire, in bytes.
pub const STAMP_LEN: usize = 24;
const MAGIC: u32 = 0x6d61_6461;
const VIDEO: u8 = 1;
const KEYFRAME: u8 = 2;
const MEASURED: u8 = 4;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Opus.
    Audio,
    /// VP8.
    Video,
}

/// A packet's own account of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The publisher, counted from 0.
    pub publisher: u16,
    /// Audio or video.
    pub kind: Kind,
    /// Part of a keyframe.
    pub keyframe: bool,
    /// Sent while the run was measuring.
    pub measured: bool,
    /// Which simulcast encoding, from the smallest on; 0 without simulcast.
    pub encoding: u8,
    /// Counts the frames of an encoding.
    pub frame: u16,
    /// How many packets the frame has.
    pub frame_packets: u16,
    /// Rises by one per packet of this publisher and kind; counts measured packets apart from the others.
    pub index: u32,
    /// When it was handed to the network stack, in microseconds since the run's epoch.
    pub sent_us: u64,
}

impl Stamp {
    /// Writes the stamp over the last [`STAMP_LEN`] bytes of `payload`, which the caller has made long enough.
    pub fn write(&self, payload: &mut [u8]) {
        let at = payload.len() - STAMP_LEN;
        let set = |holds: bool, flag: u8| if holds { flag } else { 0 };
        let flags = set(self.kind == Kind::Video, VIDEO) | set(self.keyframe, KEYFRAME) | set(self.measured, MEASURED);
        let bytes = &mut payload[at..];
        bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.publisher.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.frame_packets.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.index.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.sent_us.to_be_bytes());
        bytes[20] = flags;
        bytes[21] = self.encoding;
        bytes[22..24].copy_from_slice(&self.frame.to_be_bytes());
    }

    /// Reads the stamp at the end of a payload; `None` if there is none.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; STAMP_LEN] = payload.last_chunk()?;
        if bytes[..4] != MAGIC.to_be_bytes() {
            return None;
        }
        let sent_us = bytes[12..20].iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
        Some(Self {
            publisher: u16::from_be_bytes([bytes[4], bytes[5]]),
            kind: if bytes[20] & VIDEO != 0 { Kind::Video } else { Kind::Audio },
            keyframe: bytes[20] & KEYFRAME != 0,
            measured: bytes[20] & MEASURED != 0,
            encoding: bytes[21],
            frame: u16::from_be_bytes([bytes[22], bytes[23]]),
            frame_packets: u16::from_be_bytes([bytes[6], bytes[7]]),
            index: u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
            sent_us,
        })
    }

    /// The time that a packet was under way, if it arrived at `now`; zero if the clocks disagree.
    pub fn age(&self, epoch: Instant, now: Instant) -> Duration {
        now.saturating_duration_since(epoch).saturating_sub(Duration::from_micros(self.sent_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stamp_is_read_back_behind_anything(
            publisher: u16, video: bool, keyframe: bool, measured: bool, encoding: u8, frame: u16, frame_packets: u16,
            index: u32, sent_us: u64, before in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let kind = if video { Kind::Video } else { Kind::Audio };
            let stamp = Stamp { publisher, kind, keyframe, measured, encoding, frame, frame_packets, index, sent_us };
            let mut payload = before;
            payload.resize(payload.len() + STAMP_LEN, 0);
            stamp.write(&mut payload);
            prop_assert_eq!(Stamp::read(&payload), Some(stamp));
        }

        #[test]
        fn foreign_payloads_are_never_a_panic(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Stamp::read(&payload);
        }
    }

    #[test]
    fn age_is_never_negative() {
        let epoch = Instant::now();
        let stamp = Stamp {
            publisher: 0,
            kind: Kind::Audio,
            keyframe: false,
            measured: true,
            encoding: 0,
            frame: 0,
            frame_packets: 1,
            index: 0,
            sent_us: 5_000,
        };
        assert_eq!(stamp.age(epoch, epoch + Duration::from_millis(7)), Duration::from_millis(2));
        assert_eq!(stamp.age(epoch, epoch), Duration::ZERO);
    }
}
