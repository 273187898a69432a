//! What a publisher sends: Opus or VP8, in one or several encodings, with retransmissions on NACK and keyframes on PLI.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use sfu_core::control::Source;
use sfu_core::id::TrackId;
use sfu_core::rtp::{HeaderOut, MAX_HEADER, write_header};

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
    pub picture: u16,
    pub tl0: u8,
    /// The first packet of a keyframe.
    pub starts: bool,
}

impl Tag {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.ssrc.to_be_bytes().to_vec();
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.picture.to_be_bytes());
        bytes.extend([self.tl0, u8::from(self.starts)]);
        bytes
    }

    pub(crate) fn parse(payload: &[u8], video: bool) -> Self {
        let bytes = &payload[if video { VP8_BYTES } else { 0 }..];
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        Self {
            ssrc: word(0),
            seq: u64::from(word(4)) << 32 | u64::from(word(8)),
            timestamp: word(12),
            picture: u16::from_be_bytes([bytes[16], bytes[17]]),
            tl0: bytes[18],
            starts: bytes[19] != 0,
        }
    }
}

/// By SSRC: the numbers of packets without media, which the router closes up.
pub(crate) type Paddings = BTreeMap<u32, Vec<u64>>;

/// One encoding.
#[derive(Debug)]
pub(crate) struct Stream {
    pub ssrc: u32,
    pub rtx: u32,
    rid: Option<&'static str>,
    pub next: u64,
    rtx_next: u16,
    timestamp: u32,
    picture: u16,
    tl0: u8,
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
            picture: rng.next_u32() as u16 & 0x7fff,
            tl0: rng.next_u32() as u8,
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

    fn tag(&self, starts: bool) -> Vec<u8> {
        let Self { ssrc, next: seq, timestamp, picture, tl0, .. } = *self;
        Tag { ssrc, seq, timestamp, picture, tl0, starts }.to_bytes()
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
        let (seq, payload) = (stream.next, stream.tag(true));
        stream.next += 1;
        stream.bytes_with(Some(level), OPUS, mid, (seq, stream.timestamp, false), &payload)
    }

    /// A frame of 100 ms in each active encoding, sometimes with padding after it.
    pub(crate) fn frame(&mut self, rng: &mut StdRng, paddings: &mut Paddings) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mid = self.mid;
        for (index, stream) in self.streams.iter_mut().enumerate() {
            stream.timestamp = stream.timestamp.wrapping_add(9_000);
            if index >= self.active {
                stream.wants_keyframe = true;
                continue;
            }
            let keyframe = std::mem::take(&mut stream.wants_keyframe);
            stream.picture = (stream.picture + 1) & 0x7fff;
            stream.tl0 = stream.tl0.wrapping_add(1);
            let count = rng.random_range(1..4) + if keyframe { 3 } else { 0 };
            for part in 0..count {
                let starts = part == 0;
                let mut payload = vp8_payload(stream.picture, stream.tl0, starts, keyframe, VP8_BYTES);
                payload.extend(stream.tag(keyframe && starts));
                packets.push(stream.media(VP8, mid, part + 1 == count, payload));
            }
            for _ in 0..if rng.random_ratio(1, 12) { rng.random_range(1..4) } else { 0 } {
                paddings.entry(stream.ssrc).or_default().push(stream.next);
                packets.push(stream.padding(VP8, mid));
            }
        }
        packets
    }
}
