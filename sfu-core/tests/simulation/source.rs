//! What a publisher sends: Opus or VP8, in one or several encodings of one to three temporal layers, with retransmissions on NACK and keyframes on PLI.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use sfu_core::control::Source;
use sfu_core::id::TrackId;
use sfu_core::rtp::{HeaderOut, MAX_HEADER, RtpPacket, write_header};
use sfu_core::unit::SeqNo;

use super::support::offer::{AUDIO_LEVEL, MID, OPUS, REPAIRED_RID, RID, VP8, VP8_RTX};
use super::support::vp8_payload;

/// Packets that a publisher can send again.
const KEPT: usize = 200;

/// The VP8 descriptor and first byte of the frame, before the tag.
const VP8_BYTES: usize = 7;

/// What the payload of every packet says of its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    pub ssrc: u32,
    pub seq: u64,
    pub timestamp: u32,
    /// Counts on where the picture id wraps.
    pub picture: u32,
    pub tl0: u8,
    /// The first packet of a keyframe.
    pub starts: bool,
    /// The pictures that it refers to, by difference; 0: none.
    pub refers: [u8; 2],
}

impl Tag {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.ssrc.to_be_bytes().to_vec();
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.picture.to_be_bytes());
        bytes.extend([self.tl0, u8::from(self.starts)]);
        bytes.extend(self.refers);
        bytes
    }

    pub(crate) fn parse(payload: &[u8], video: bool) -> Self {
        let bytes = &payload[if video { VP8_BYTES } else { 0 }..];
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        Self {
            ssrc: word(0),
            seq: u64::from(word(4)) << 32 | u64::from(word(8)),
            timestamp: word(12),
            picture: word(16),
            tl0: bytes[20],
            starts: bytes[21] != 0,
            refers: [bytes[22], bytes[23]],
        }
    }
}

/// What came to the router of one SSRC.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    /// With when they came.
    pub seqs: BTreeMap<u64, Instant>,
    pub pictures: BTreeMap<u32, BTreeSet<u64>>,
}

impl Arrived {
    /// Notes a packet; returns its tag if it has media.
    pub(crate) fn note(&mut self, now: Instant, packet: &RtpPacket<'_>) -> Option<Tag> {
        let rtx = packet.payload_type() == VP8_RTX;
        let payload = &packet.payload()[if rtx { 2 } else { 0 }..];
        if payload.is_empty() {
            let highest = self.seqs.last_key_value().map_or(0, |(highest, _)| *highest);
            self.seqs.insert(SeqNo(highest).nearest(packet.sequence_number()).0, now);
            return None;
        }
        let tag = Tag::parse(payload, packet.payload_type() != OPUS);
        self.seqs.insert(tag.seq, now);
        self.pictures.entry(tag.picture).or_default().insert(tag.seq);
        Some(tag)
    }
}

/// A picture's place in its stream.
#[derive(Debug, Clone, Copy)]
struct Place {
    layer: u8,
    /// The Y bit.
    sync: bool,
    refers: [u8; 2],
}

/// Four pictures of one to three temporal layers: the patterns of libvpx in Chromium (0, 0-1, 0-2-1-2). In every other
/// round the middle layer refers to its own last picture.
fn place(layers: u8, position: u32) -> Place {
    let (layer, sync, refers) = match (layers, position % 8) {
        (1, _) => (0, false, [1, 0]),
        (2, odd @ (1 | 3 | 5 | 7)) => (1, odd < 4, if odd < 4 { [1, 0] } else { [1, 2] }),
        (2, _) => (0, false, [2, 0]),
        (_, 1 | 5) => (2, true, [1, 0]),
        (_, 2) => (1, true, [2, 0]),
        (_, 6) => (1, false, [2, 4]),
        (_, 3 | 7) => (2, false, [1, 2]),
        _ => (0, false, [4, 0]),
    };
    Place { layer, sync, refers }
}

/// One encoding.
#[derive(Debug)]
pub(crate) struct Stream {
    pub ssrc: u32,
    pub rtx: u32,
    rid: Option<&'static str>,
    pub next: u64,
    rtx_next: u16,
    timestamp: u32,
    picture: u32,
    tl0: u8,
    layers: u8,
    /// Pictures since the last keyframe.
    position: u32,
    pub wants_keyframe: bool,
    kept: VecDeque<(u64, u32, bool, Vec<u8>)>,
}

/// A track.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub track: TrackId,
    pub mid: &'static str,
    pub source: Source,
    pub muted: bool,
    /// So many of the encodings are sent.
    pub active: usize,
    /// Somebody speaks into it.
    pub talks: bool,
    pub streams: Vec<Stream>,
}

impl Stream {
    fn new(rid: Option<&'static str>, rng: &mut StdRng) -> Self {
        Self {
            ssrc: rng.next_u32(),
            rtx: rng.next_u32(),
            rid,
            next: 0x1_0000 + u64::from(rng.next_u32() as u16),
            rtx_next: rng.next_u32() as u16,
            timestamp: rng.next_u32(),
            picture: 0x8000 + (rng.next_u32() & 0x7fff),
            tl0: rng.next_u32() as u8,
            layers: rng.random_range(1..=3),
            position: 0,
            wants_keyframe: true,
            kept: VecDeque::new(),
        }
    }

    fn bytes(&self, payload_type: u8, mid: &str, seq: u64, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
        self.bytes_with(None, payload_type, mid, (seq, timestamp, marker), payload)
    }

    fn bytes_with(
        &self,
        level: Option<u8>,
        payload_type: u8,
        mid: &str,
        (seq, timestamp, marker): (u64, u32, bool),
        payload: &[u8],
    ) -> Vec<u8> {
        let rtx = payload_type == VP8_RTX;
        let (ssrc, number) = if rtx { (self.rtx, self.rtx_next) } else { (self.ssrc, seq as u16) };
        let mut bytes = vec![0; MAX_HEADER];
        let header = HeaderOut { marker, payload_type, sequence_number: number, timestamp, ssrc, csrc: None };
        let mut extensions = vec![(MID, mid.as_bytes())];
        let level = level.map(|level| [level]);
        extensions.extend(level.as_ref().map(|level| (AUDIO_LEVEL, &level[..])));
        extensions.extend(self.rid.map(|rid| (if rtx { REPAIRED_RID } else { RID }, rid.as_bytes())));
        let len = write_header(&mut bytes, &header, &extensions);
        bytes.truncate(len);
        if rtx {
            bytes.extend((seq as u16).to_be_bytes());
        }
        bytes.extend(payload);
        bytes
    }

    fn media(&mut self, payload_type: u8, mid: &str, marker: bool, payload: Vec<u8>) -> Vec<u8> {
        let seq = self.next;
        self.next += 1;
        let bytes = self.bytes(payload_type, mid, seq, self.timestamp, marker, &payload);
        self.kept.push_back((seq, self.timestamp, marker, payload));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        bytes
    }

    fn tag(&self, starts: bool, refers: [u8; 2]) -> Vec<u8> {
        let Self { ssrc, next: seq, timestamp, picture, tl0, .. } = *self;
        Tag { ssrc, seq, timestamp, picture, tl0, starts, refers }.to_bytes()
    }

    fn padding(&mut self, payload_type: u8, mid: &str) -> Vec<u8> {
        let mut bytes = self.bytes(payload_type, mid, self.next, self.timestamp, false, &[0, 0, 0, 4]);
        bytes[0] |= 0x20;
        self.next += 1;
        bytes
    }

    /// A retransmission, if the packet is still kept.
    pub(crate) fn resend(&mut self, mid: &str, number: u16) -> Option<Vec<u8>> {
        let (seq, timestamp, marker, payload) = self.kept.iter().find(|kept| kept.0 as u16 == number)?;
        let bytes = self.bytes(VP8_RTX, mid, *seq, *timestamp, *marker, payload);
        self.rtx_next = self.rtx_next.wrapping_add(1);
        Some(bytes)
    }
}

impl Outgoing {
    pub(crate) fn new(
        track: TrackId,
        mid: &'static str,
        source: Source,
        rids: &'static [&'static str],
        rng: &mut StdRng,
    ) -> Self {
        let rids: Vec<_> = if rids.is_empty() { vec![None] } else { rids.iter().copied().map(Some).collect() };
        let streams: Vec<_> = rids.into_iter().map(|rid| Stream::new(rid, rng)).collect();
        Self { track, mid, source, muted: false, active: streams.len(), talks: false, streams }
    }

    /// The encoder starts anew under another SSRC.
    pub(crate) fn restart(&mut self, rng: &mut StdRng) {
        self.streams.iter_mut().for_each(|stream| *stream = Stream::new(stream.rid, rng));
    }

    /// An audio packet of so many milliseconds.
    pub(crate) fn audio(&mut self, millis: u32) -> Vec<u8> {
        let level = if self.talks { 25 } else { 90 };
        self.audio_at(level, millis)
    }

    /// The same with this level below the overload point in dB.
    pub(crate) fn audio_at(&mut self, level: u8, millis: u32) -> Vec<u8> {
        let (mid, stream) = (self.mid, &mut self.streams[0]);
        stream.timestamp = stream.timestamp.wrapping_add(48 * millis);
        let (seq, payload) = (stream.next, stream.tag(true, [0; 2]));
        stream.next += 1;
        stream.bytes_with(Some(level), OPUS, mid, (seq, stream.timestamp, false), &payload)
    }

    /// A frame of 100 ms in each active encoding, sometimes with padding after it.
    pub(crate) fn frame(&mut self, rng: &mut StdRng) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mid = self.mid;
        for (index, stream) in self.streams.iter_mut().enumerate() {
            stream.timestamp = stream.timestamp.wrapping_add(9_000);
            if index >= self.active {
                stream.wants_keyframe = true;
                continue;
            }
            let keyframe = std::mem::take(&mut stream.wants_keyframe);
            packets.extend(stream.picture(mid, keyframe, rng));
            for _ in 0..if rng.random_ratio(1, 12) { rng.random_range(1..4) } else { 0 } {
                packets.push(stream.padding(VP8, mid));
            }
        }
        packets
    }
}

impl Stream {
    fn picture(&mut self, mid: &str, keyframe: bool, rng: &mut StdRng) -> Vec<Vec<u8>> {
        self.picture += 1;
        self.position = if keyframe { 0 } else { self.position + 1 };
        let place = place(self.layers, self.position);
        let refers = if keyframe { [0; 2] } else { place.refers };
        if place.layer == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        let count = rng.random_range(1..4) + if keyframe { 3 } else { 0 };
        let mut packet = |part| {
            let starts = part == 0;
            let mut payload = vp8_payload(self.picture as u16 & 0x7fff, self.tl0, starts, keyframe, VP8_BYTES);
            payload[5] = place.layer << 6 | u8::from(place.sync) << 5;
            payload.extend(self.tag(keyframe && starts, refers));
            self.media(VP8, mid, part + 1 == count, payload)
        };
        (0..count).map(&mut packet).collect()
    }
}
