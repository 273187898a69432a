//! What benchmarks share: the thread's CPU time, and the room that those of forwarding measure, which is one publication to 50
//! subscriptions, without sockets.

#![allow(unreachable_pub, reason = "each benchmark takes what it needs")]
#![allow(dead_code, reason = "each benchmark takes what it needs")]

#[path = "../../tests/support/mod.rs"]
pub mod world;

use std::hint::black_box;
use std::time::Duration;

use sfu_core::control::Source;

use world::offer::{ABS_SEND_TIME, AUDIO_LEVEL, MID, OPUS, TRANSPORT_CC, VP8};
use world::{CAMERA, MICROPHONE, Packet, VIEWER, World, vp8_payload};

pub const SUBSCRIBERS: usize = 50;

/// The whole RTP packet, as issue 2 sizes it.
pub const PACKET_BYTES: usize = 1_200;

/// An Opus packet at 32 kbit/s.
const AUDIO_BYTES: usize = 80;

/// Packets of one frame at 2.5 Mbit/s and 30 frames per second, which share a flush.
pub const FRAME: u64 = 9;

/// The first sequence number: a keyframe begins there.
const FIRST: u64 = 0x1_0000_u64.next_multiple_of(FRAME * 30);

/// Packets that are sealed by the publisher before they are forwarded.
pub const BATCH: u64 = 180;

/// What this thread has used, so that a busy machine does not show in the figures.
#[cfg(target_os = "linux")]
pub fn cpu_time() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a thread has a clock").into()
}

/// Elsewhere wall time has to do.
#[cfg(not(target_os = "linux"))]
pub fn cpu_time() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// A publisher and its subscribers, all of them connected.
pub struct Room {
    pub world: World,
    publisher: usize,
    next: u64,
    audio: bool,
}

impl Room {
    /// Of a camera, or of a microphone.
    pub fn new(audio: bool) -> Self {
        let mut world = World::new();
        let room = world.open_room();
        let publisher = world.connect(room, VIEWER, 0);
        for _ in 0..SUBSCRIBERS {
            world.connect(room, VIEWER, 1);
        }
        match audio {
            true => world.publish(publisher, MICROPHONE, Source::Microphone),
            false => world.publish(publisher, CAMERA, Source::Camera),
        };
        let mut room = Self { world, publisher, next: FIRST, audio };
        let batch = room.batch();
        room.forward(batch, FRAME);
        assert_eq!(room.world.core.counters().rtp_out, BATCH * SUBSCRIBERS as u64, "everybody gets everything");
        room
    }

    /// Packets to forward, sealed by the publisher.
    pub fn batch(&mut self) -> Vec<Vec<u8>> {
        (0..BATCH).map(|_| self.packet()).collect()
    }

    fn packet(&mut self) -> Vec<u8> {
        let (seq, number) = (self.next, (self.next as u16).to_be_bytes());
        self.next += 1;
        let (frame, part) = (seq / FRAME, seq % FRAME);
        let mid = if self.audio { MICROPHONE } else { CAMERA }.as_bytes();
        let level = (AUDIO_LEVEL, &[0x40_u8][..]);
        let extensions = [(ABS_SEND_TIME, &[1, 2, 3][..]), (TRANSPORT_CC, &number[..]), (MID, mid), level];
        let used = if self.audio { &extensions[..] } else { &extensions[..3] };
        let header = 12 + 4 + (4 + 3 + 4_usize).next_multiple_of(4);
        let (payload_type, payload) = match self.audio {
            true => (OPUS, vec![0x78; AUDIO_BYTES]),
            false => (VP8, vp8_payload(frame as u16, frame as u8, part == 0, frame % 30 == 0, PACKET_BYTES - header)),
        };
        let timestamp = if self.audio { seq * 960 } else { frame * 3_000 } as u32;
        let packet = Packet {
            payload_type,
            ssrc: 0x1234,
            seq,
            timestamp,
            marker: part + 1 == FRAME,
            extensions: used,
            payload: &payload,
        };
        self.world.seal(self.publisher, &packet)
    }

    /// Forwards sealed packets, `flush` at a time. A frame of video takes 33 ms of virtual time; a packet of audio 5 ms, the
    /// shortest that a microphone's limit admits for long.
    pub fn forward(&mut self, mut packets: Vec<Vec<u8>>, flush: u64) {
        let path = self.world.clients[self.publisher].path;
        let took = if self.audio { 5_000 * flush } else { 33_333 * flush / FRAME };
        for packets in packets.chunks_mut(flush as usize) {
            self.world.now += Duration::from_micros(took);
            let now = self.world.now;
            for packet in packets {
                self.world.core.handle_datagram(now, path, packet);
            }
            for transmit in self.world.core.transmits() {
                black_box(transmit);
            }
            self.world.core.clear_transmits();
            self.world.core.handle_timeout(now);
            self.world.core.clear_transmits();
        }
    }

    /// Consent must not run out while virtual time passes.
    pub fn check_all(&mut self) {
        (0..self.world.clients.len()).for_each(|client| self.world.check(client));
    }
}
