//! One stream of an m-line that a member sends: a simulcast encoding, or the only one.

use std::time::{Duration, Instant};

use crate::control::{Size, TrackKind};
use crate::id::{Rid, Ssrc};
use crate::layers::{Arrived, Frame, FrameReader, Meter};
use crate::rtp;
use crate::rtp::dependency_descriptor::Targets;
use crate::sdp::Codec;
use crate::stream::{NackTracker, PacketRing, ReceiveStats, RingLimits};

use super::keyframe::KeyframeRequests;

/// An encoding that sent nothing for so long, while smaller ones sent so many frames, has stopped: a publisher whose
/// bandwidth or CPU does not suffice sends the smaller ones on. Soon where frames are many, since its subscribers see a
/// still picture meanwhile; screens send few frames, and not all encodings in the same millisecond.
const STOPPED_AFTER: [(Duration, u8); 2] = [(Duration::from_millis(250), 8), (Duration::from_millis(700), 3)];

/// The same while larger ones did. A smaller one that pauses meanwhile is short of bits for a moment: libvpx drops up to a
/// second's frames after a keyframe that was large, and whoever can have no other would be shown nothing for longer.
const SKIPPED_AFTER: (Duration, u8) = (Duration::from_millis(2_000), 16);

/// Whoever sent nothing for so long has stopped, whatever the others do.
const SILENT_AFTER: Duration = Duration::from_secs(5);

/// Packets that overtook a farewell arrive within this time, and do not take it back.
const LATE: Duration = Duration::from_millis(200);

/// An encoding of an m-line, and which of its SSRCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodingKey {
    /// Its place in the m-line's list: higher is better.
    pub index: u8,
    /// Never used again on the m-line, so that numbers of one stream are not taken for another's.
    pub(super) generation: u32,
}

impl EncodingKey {
    /// Rises whenever the numbers begin anew.
    pub const fn generation(&self) -> u32 {
        self.generation
    }
}

/// One simulcast encoding, or the only one.
#[derive(Debug)]
pub struct Encoding {
    pub rid: Option<Rid>,
    pub ssrc: Option<Ssrc>,
    pub stats: ReceiveStats,
    pub nack: NackTracker,
    pub ring: PacketRing,
    pub keyframes: KeyframeRequests,
    pub codec: Option<Codec>,
    pub(super) rtx_ssrc: Option<Ssrc>,
    pub(super) generation: u32,
    pub(super) last_packet: Option<Instant>,
    /// When an SSRC came last that may not take it over yet.
    pub(super) contested: Option<Instant>,
    /// When it was said to end.
    ended: Option<Instant>,
    /// Frames that the m-line's smaller encodings sent since then, and its larger ones.
    pub(super) missed: u8,
    pub(super) skipped: u8,
    pub(super) frames: FrameReader,
    pub(super) meter: Meter,
}

impl Encoding {
    /// An encoding of which nothing came yet. Packets are kept for `window`.
    pub fn new(rid: Option<Rid>, kind: TrackKind, window: Duration, now: Instant, generation: u32) -> Self {
        let (clock_rate, limits) = match kind {
            TrackKind::Audio => (48_000, RingLimits::audio(window)),
            TrackKind::Video => (90_000, RingLimits::video(window)),
        };
        Self {
            rid,
            ssrc: None,
            stats: ReceiveStats::new(clock_rate, now),
            nack: NackTracker::new(),
            ring: PacketRing::new(limits),
            keyframes: KeyframeRequests::default(),
            codec: None,
            rtx_ssrc: None,
            generation,
            last_packet: None,
            contested: None,
            ended: None,
            missed: 0,
            skipped: 0,
            frames: FrameReader::default(),
            meter: Meter::new(now),
        }
    }

    /// Whether packets came lately.
    pub fn flows(&self, now: Instant) -> bool {
        let since_end = self.last_packet.filter(|at| self.ended.is_none_or(|end| *at > end + LATE));
        let Some(silence) = since_end.map(|at| now.saturating_duration_since(at)) else { return false };
        let stopped = |(time, frames): (Duration, u8)| silence >= time && self.missed >= frames;
        let skipped = silence >= SKIPPED_AFTER.0 && self.skipped >= SKIPPED_AFTER.1;
        silence < SILENT_AFTER && !skipped && !STOPPED_AFTER.into_iter().any(stopped)
    }

    /// Its publisher says that it ends (RFC 3550 section 6.6): it flows no longer, unless more comes.
    pub const fn end(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    /// What receivers of some of its layers must be told.
    pub const fn targets(&self) -> Option<Targets> {
        self.frames.targets()
    }

    /// Reads what a packet is part of, and counts it.
    pub fn digest(&mut self, now: Instant, kind: TrackKind, packet: &Arrived<'_>, bytes: usize) -> Frame {
        self.codec = Some(packet.codec);
        let frame = self.frames.read(packet);
        if kind == TrackKind::Video {
            let sizes = (packet.payload.len() as u64, self.stats.bytes());
            self.keyframes.on_packet(now, frame.keyframe, packet.marker, packet.timestamp, sizes);
            if frame.keyframe {
                self.note_sizes(packet);
            }
            self.meter.on_packet(now, &frame, bytes, packet.marker);
        }
        frame
    }

    /// Keyframes say how large the pictures of each spatial layer are.
    #[cold]
    fn note_sizes(&mut self, packet: &Arrived<'_>) {
        let structure = self.frames.structure().filter(|structure| !structure.resolutions().is_empty());
        if let Some(structure) = structure.filter(|_| packet.descriptor.is_some()) {
            for (spatial, (width, height)) in structure.resolutions().iter().enumerate() {
                self.meter.set_size(spatial, size(*width, *height));
            }
            return;
        }
        match packet.codec {
            Codec::Vp8 => {
                let sides = rtp::vp8::keyframe_size(packet.payload);
                self.meter.set_size(0, sides.and_then(|(width, height)| size(width.into(), height.into())));
            }
            Codec::Vp9 => {
                let descriptor = rtp::vp9::Vp9Descriptor::parse(packet.payload);
                let Some(structure) = descriptor.and_then(|descriptor| descriptor.structure) else { return };
                for (spatial, sides) in structure.sizes().enumerate() {
                    self.meter.set_size(spatial, sides.and_then(|(width, height)| size(width.into(), height.into())));
                }
            }
            Codec::H264(_) => {
                let sides = rtp::h264_sps::picture_size(packet.payload);
                if let Some((width, height)) = sides {
                    self.meter.set_size(0, size(width, height));
                }
            }
            Codec::Opus | Codec::Av1 => {}
        }
    }

    /// Lets the encoding send as `ssrc`, from `fresh` state if it sent as another before. Returns the SSRC whose place
    /// it takes.
    pub fn take_ssrc(&mut self, ssrc: Ssrc, rtx: bool, fresh: Self) -> Option<Ssrc> {
        if rtx {
            return self.rtx_ssrc.replace(ssrc);
        }
        let old = self.ssrc.replace(ssrc)?;
        let (rid, rtx_ssrc, keyframes) = (self.rid, self.rtx_ssrc, self.keyframes);
        *self = Self { rid, ssrc: Some(ssrc), rtx_ssrc, keyframes, ..fresh };
        Some(old)
    }
}

fn size(width: u32, height: u32) -> Option<Size> {
    let side = |side| u16::try_from(side).ok().filter(|side| *side > 0);
    Some(Size { width: side(width)?, height: side(height)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red if a stream that ended is taken for one that flows until it was silent for five seconds.
    #[test]
    fn a_farewell_ends_the_flow_at_once_and_late_packets_do_not_take_it_back() {
        let start = Instant::now();
        let mut encoding = Encoding::new(None, TrackKind::Video, Duration::from_secs(1), start, 0);
        encoding.last_packet = Some(start);
        assert!(encoding.flows(start));
        encoding.end(start);
        assert!(!encoding.flows(start));
        encoding.last_packet = Some(start + LATE);
        assert!(!encoding.flows(start + LATE), "it overtook the farewell");
        let again = start + LATE + Duration::from_millis(1);
        encoding.last_packet = Some(again);
        assert!(encoding.flows(again), "an encoding that was paused says the same, and comes back");
    }
}
