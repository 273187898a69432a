//! A camera in three encodings, as a browser sends it: frames that vary, keyframes that are larger, nothing that nobody
//! takes, and a rate that climbs when an encoding begins anew.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sfu_core::control::{EncodingDemand, Source};
use sfu_core::id::{RoomId, TrackId};
use sfu_core::rtcp::{self, Packet as Rtcp};

use super::support::offer::{MID, RID, VP8};
use super::support::{CAMERA, Packet, VIEWER, World, vp8_payload};

pub const RIDS: &[&str] = &["q", "h", "f"];
/// Of the encodings: 320x180, 640x360, 1280x720.
pub const KBPS: [u64; 3] = [150, 500, 1_700];

const FRAME: Duration = Duration::from_nanos(33_333_333);
const PACKET: usize = 1_100;
/// A tag has its place behind descriptor and size.
const LEAST: usize = 40;
const TAG_AT: usize = 16;
/// A keyframe is so many frames large.
const KEYFRAME: f64 = 5.0;
/// Two keyframes of an encoding are so far apart at least, as libwebrtc has it.
const KEYFRAME_GAP: Duration = Duration::from_millis(300);
/// Packets leave the browser's pacer so far apart.
const PACED: Duration = Duration::from_millis(1);
/// From the server to the publisher, and back.
const SIGNALLING: Duration = Duration::from_millis(50);
/// An encoding begins at half its rate.
const RAMP: Duration = Duration::from_secs(1);

/// What a packet says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    pub encoding: u8,
    pub keyframe: bool,
    pub frame: u32,
    pub part: u16,
    pub parts: u16,
}

impl Tag {
    fn write(self, payload: &mut [u8]) {
        payload[TAG_AT] = self.encoding;
        payload[TAG_AT + 1] = u8::from(self.keyframe);
        payload[TAG_AT + 2..TAG_AT + 6].copy_from_slice(&self.frame.to_be_bytes());
        payload[TAG_AT + 6..TAG_AT + 8].copy_from_slice(&self.part.to_be_bytes());
        payload[TAG_AT + 8..TAG_AT + 10].copy_from_slice(&self.parts.to_be_bytes());
    }

    /// Of a VP8 payload, whatever the server made of its descriptor.
    pub fn parse(payload: &[u8]) -> Self {
        let short = |at: usize| u16::from_be_bytes([payload[TAG_AT + at], payload[TAG_AT + at + 1]]);
        Self {
            encoding: payload[TAG_AT],
            keyframe: payload[TAG_AT + 1] != 0,
            frame: u32::from(short(2)) << 16 | u32::from(short(4)),
            part: short(6),
            parts: short(8),
        }
    }
}

/// A packet that waits for its turn.
struct Waiting {
    at: Instant,
    encoding: usize,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Encoding {
    next: u64,
    frames: u16,
    /// Since when it is sent.
    since: Option<Instant>,
    wants_keyframe: bool,
    keyframe: Option<Instant>,
}

/// See the module's text.
pub struct Publisher {
    pub client: usize,
    pub camera: TrackId,
    /// When each frame was taken.
    pub captured: Vec<Instant>,
    random: StdRng,
    encodings: [Encoding; 3],
    waiting: VecDeque<Waiting>,
    next: Instant,
    wanted: VecDeque<(Instant, [bool; 3])>,
    ssrc: u32,
}

impl Publisher {
    pub fn join(world: &mut World, room: RoomId, seed: u64) -> Self {
        let client = world.connect(room, VIEWER, 1);
        let camera = world.publish(client, CAMERA, Source::Camera);
        let mut random = StdRng::seed_from_u64(seed);
        let encoding =
            Encoding { next: 0x1_0000, frames: 0, since: Some(world.now), wants_keyframe: true, keyframe: None };
        Self {
            client,
            camera,
            captured: Vec::new(),
            encodings: [encoding; 3],
            waiting: VecDeque::new(),
            next: world.now + FRAME.mul_f64(random.random_range(0.0..1.0)),
            wanted: VecDeque::new(),
            ssrc: 1_000 * (client as u32 + 1),
            random,
        }
    }

    /// The server says what somebody takes.
    pub fn on_demand(&mut self, now: Instant, encodings: &[EncodingDemand]) {
        self.wanted.push_back((now + SIGNALLING, [0, 1, 2].map(|index| encodings[index].wanted)));
    }

    /// Does what is due.
    pub fn run(&mut self, world: &mut World) {
        let now = world.now;
        for compound in std::mem::take(&mut world.clients[self.client].rtcp) {
            for packet in rtcp::packets(&compound).flatten() {
                if let Rtcp::Pli(pli) = packet {
                    self.encodings[(pli.media.0 - self.ssrc) as usize].wants_keyframe = true;
                }
            }
        }
        while let Some((_, wanted)) = self.wanted.pop_front_if(|wanted| wanted.0 <= now) {
            for (encoding, wanted) in self.encodings.iter_mut().zip(wanted) {
                let began = wanted && encoding.since.is_none();
                encoding.wants_keyframe |= began;
                encoding.since = if began { Some(now) } else { encoding.since.filter(|_| wanted) };
            }
        }
        while self.next <= now {
            self.captured.push(self.next);
            for encoding in 0..3 {
                self.encode(encoding);
            }
            self.next += FRAME;
        }
        while let Some(packet) = self.waiting.pop_front_if(|packet| packet.at <= now) {
            self.send(world, &packet);
        }
    }

    fn encode(&mut self, index: usize) {
        let now = self.next;
        let encoding = &mut self.encodings[index];
        let Some(since) = encoding.since else { return };
        let keyframe = encoding.wants_keyframe && encoding.keyframe.is_none_or(|last| now - last >= KEYFRAME_GAP);
        if keyframe {
            (encoding.wants_keyframe, encoding.keyframe) = (false, Some(now));
        }
        encoding.frames = encoding.frames.wrapping_add(1) & 0x7fff;
        let ramp = 0.5 + 0.5 * (now.saturating_duration_since(since).as_secs_f64() / RAMP.as_secs_f64()).min(1.0);
        let mean = KBPS[index] as f64 * 125.0 * FRAME.as_secs_f64() * ramp;
        let bytes = mean * self.random.random_range(0.7..1.3) * if keyframe { KEYFRAME } else { 1.0 };
        let parts = (bytes as usize).div_ceil(PACKET).max(1);
        let len = (bytes as usize / parts).max(LEAST);
        let frame = self.captured.len() as u32 - 1;
        for part in 0..parts {
            let mut payload = vp8_payload(encoding.frames, encoding.frames as u8, part == 0, keyframe, len);
            if keyframe && part == 0 {
                // RFC 6386 section 9.1: start code, width, height.
                payload[9..12].copy_from_slice(&[0x9d, 0x01, 0x2a]);
                payload[12..14].copy_from_slice(&(320u16 << index).to_le_bytes());
                payload[14..16].copy_from_slice(&(180u16 << index).to_le_bytes());
            }
            let (part, parts) = (part as u16, parts as u16);
            Tag { encoding: index as u8, keyframe, frame, part, parts }.write(&mut payload);
            let at = now + PACED * u32::from(part);
            let marker = part + 1 == parts;
            self.waiting.push_back(Waiting { at, encoding: index, timestamp: frame * 3_000, marker, payload });
        }
        self.waiting.make_contiguous().sort_by_key(|packet| packet.at);
    }

    fn send(&mut self, world: &mut World, packet: &Waiting) {
        let encoding = &mut self.encodings[packet.encoding];
        let seq = encoding.next;
        encoding.next += 1;
        let packet = Packet {
            payload_type: VP8,
            ssrc: self.ssrc + packet.encoding as u32,
            seq,
            timestamp: packet.timestamp,
            marker: packet.marker,
            extensions: &[(MID, CAMERA.as_bytes()), (RID, RIDS[packet.encoding].as_bytes())],
            payload: &packet.payload,
        };
        world.send_rtp(self.client, &packet);
    }
}
