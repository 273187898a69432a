//! What one viewer received. Told the time, never asks.

use std::collections::HashMap;
use std::time::Instant;

use rtc::rtp::Header;

use crate::stamp::{Kind, Stamp};
use crate::stats::Histogram;

/// Measured packets of one track that a viewer can tell apart: 2^26, more than any run sends.
const MAX_INDEX: u32 = 1 << 26;

/// Measured packets of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Distinct packets.
    pub packets: u64,
    /// Their payloads' bytes.
    pub bytes: u64,
}

impl Count {
    /// Adds another count.
    pub fn merge(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// Which packets of a track have arrived.
#[derive(Debug, Default)]
struct Arrivals(Vec<u64>);

impl Arrivals {
    /// Whether this is the first arrival of `index`.
    fn insert(&mut self, index: u32) -> bool {
        let (word, bit) = (index as usize / 64, index % 64);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let is_new = (self.0[word] >> bit) & 1 == 0;
        self.0[word] |= 1 << bit;
        is_new
    }
}

/// The keyframe that is arriving.
#[derive(Debug, Clone, Copy)]
struct Assembly {
    timestamp: u32,
    arrived: u16,
}

/// What one viewer received.
#[derive(Debug)]
pub struct Tally {
    epoch: Instant,
    arrivals: HashMap<(u16, Kind, u8), Arrivals>,
    assembling: HashMap<u32, Assembly>,
    /// Measured audio.
    pub audio: Count,
    /// Measured video.
    pub video: Count,
    /// Measured packets that had arrived before: retransmissions that were not needed, or a forwarder's error.
    pub duplicates: u64,
    /// Packets without a stamp: padding and probes of the forwarder.
    pub foreign: u64,
    /// The time under way of measured packets.
    pub latency: Histogram,
    /// The first packet of all.
    pub first_packet: Option<Instant>,
    /// When the first keyframe was complete.
    pub first_keyframe: Option<Instant>,
}

impl Tally {
    /// Nothing yet. Stamps count from `epoch`.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            arrivals: HashMap::new(),
            assembling: HashMap::new(),
            audio: Count::default(),
            video: Count::default(),
            duplicates: 0,
            foreign: 0,
            latency: Histogram::default(),
            first_packet: None,
            first_keyframe: None,
        }
    }

    /// An authenticated packet arrived.
    pub fn on_packet(&mut self, now: Instant, header: &Header, payload: &[u8]) {
        let Some(stamp) = Stamp::read(payload) else {
            self.foreign += 1;
            return;
        };
        self.first_packet.get_or_insert(now);
        if self.first_keyframe.is_none() && stamp.keyframe {
            self.assemble(now, header, stamp.frame_packets);
        }
        if stamp.measured && stamp.index < MAX_INDEX {
            self.count(now, stamp, payload.len());
        }
    }

    fn assemble(&mut self, now: Instant, header: &Header, needed: u16) {
        let assembly =
            self.assembling.entry(header.ssrc).or_insert(Assembly { timestamp: header.timestamp, arrived: 0 });
        if assembly.timestamp != header.timestamp {
            *assembly = Assembly { timestamp: header.timestamp, arrived: 0 };
        }
        assembly.arrived += 1;
        if assembly.arrived == needed {
            self.first_keyframe = Some(now);
        }
    }

    fn count(&mut self, now: Instant, stamp: Stamp, bytes: usize) {
        if !self.arrivals.entry((stamp.publisher, stamp.kind, stamp.encoding)).or_default().insert(stamp.index) {
            self.duplicates += 1;
            return;
        }
        let count = match stamp.kind {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
        };
        count.packets += 1;
        count.bytes += bytes as u64;
        self.latency.record(stamp.age(self.epoch, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AudioSource, Mark, Payload, VideoShape, VideoSource};
    use std::time::Duration;

    const SHAPE: VideoShape =
        VideoShape { bitrate: 1_500_000, fps: 30, max_payload: 1_100, size: (1280, 720), encoding: 0 };
    const MARK: Mark = Mark { publisher: 0, measured: true };

    fn arrive(tally: &mut Tally, now: Instant, timestamp: u32, payload: &Payload) {
        let header = Header { timestamp, ssrc: 7, ..Header::default() };
        tally.on_packet(now, &header, &payload.clone().stamped(1_000));
    }

    #[test]
    fn a_keyframe_counts_when_it_is_complete() {
        let epoch = Instant::now();
        let mut tally = Tally::new(epoch);
        let mut source = VideoSource::new(SHAPE, 0);
        let torn = source.frame(true, MARK);
        let whole = source.frame(true, MARK);
        for payload in &torn[1..] {
            arrive(&mut tally, epoch, 0, payload);
        }
        assert_eq!((tally.first_packet, tally.first_keyframe), (Some(epoch), None));
        let later = epoch + Duration::from_millis(33);
        for payload in &whole {
            arrive(&mut tally, later, 3_000, payload);
        }
        assert_eq!(tally.first_keyframe, Some(later));
    }

    #[test]
    fn a_packet_counts_once_and_only_while_measuring() {
        let epoch = Instant::now();
        let mut tally = Tally::new(epoch);
        let mut source = AudioSource::new(32_000);
        let before = source.packet(Mark { measured: false, ..MARK });
        let packet = source.packet(MARK);
        for payload in [&before, &packet, &packet] {
            arrive(&mut tally, epoch + Duration::from_millis(3), 0, payload);
        }
        assert_eq!(tally.audio, Count { packets: 1, bytes: 80 });
        assert_eq!((tally.video.packets, tally.duplicates), (0, 1));
        let latency = tally.latency.percentiles().unwrap();
        assert!((latency.p50_ms - 2.0).abs() < 0.1, "{latency:?}");
    }

    #[test]
    fn foreign_packets_are_set_apart() {
        let epoch = Instant::now();
        let mut tally = Tally::new(epoch);
        tally.on_packet(epoch, &Header::default(), &[0; 200]);
        assert_eq!((tally.foreign, tally.first_packet), (1, None));
    }
}
