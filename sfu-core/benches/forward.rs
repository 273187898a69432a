//! One publication to 50 subscriptions through the core without sockets: CPU time per *forwarded* packet.
//!
//! `forward/one_to_50` is the whole way of a packet: demux, open, statistics, ring, 50 times munge and seal into a train.
//! `forward/seal_alone` seals as many packets of the same size with 50 keys of the same profile and does nothing else.
//! Time is that of the CPU (`getrusage`). The target is at most 0.6 µs for the first, and at most 2.7 times the second.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sfu_core::control::Source;
use sfu_core::transport::srtp::{self, Role, Seal};
use sfu_core::transport::{MAX_OVERHEAD, SrtpProfile};
use sfu_core::unit::SeqNo;

use support::offer::{ABS_SEND_TIME, AUDIO_LEVEL, MID, OPUS, TRANSPORT_CC, VP8};
use support::{CAMERA, MICROPHONE, Packet, VIEWER, World, vp8_payload};

const SUBSCRIBERS: usize = 50;

/// The whole RTP packet, as issue 2 sizes it.
const PACKET_BYTES: usize = 1_200;

/// An Opus packet at 32 kbit/s.
const AUDIO_BYTES: usize = 80;

/// Packets of one frame at 2.5 Mbit/s and 30 frames per second, which share a flush.
const FRAME: u64 = 9;

/// The first sequence number: a keyframe begins there.
const FIRST: u64 = 0x1_0000_u64.next_multiple_of(FRAME * 30);

/// Members of a quiet room.
const IDLE: usize = 200;

/// Packets that are sealed by the publisher before the clock runs.
const BATCH: u64 = 180;

struct Room {
    world: World,
    publisher: usize,
    next: u64,
    audio: bool,
}

impl Room {
    fn new(audio: bool) -> Self {
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

    fn batch(&mut self) -> Vec<Vec<u8>> {
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

    /// Forwards sealed packets, `flush` at a time, and returns how long it took. A frame takes 33 ms of virtual time.
    fn forward(&mut self, mut packets: Vec<Vec<u8>>, flush: u64) -> Duration {
        let path = self.world.clients[self.publisher].path;
        let start = cpu_time();
        for packets in packets.chunks_mut(flush as usize) {
            self.world.now += Duration::from_micros(33_333 * flush / FRAME);
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
        cpu_time() - start
    }

    /// The time of `count` forwarded packets.
    fn time(&mut self, count: u64, flush: u64) -> Duration {
        let batches = count.div_ceil(BATCH * SUBSCRIBERS as u64);
        let mut took = Duration::ZERO;
        let before = self.world.core.counters().rtp_out;
        for batch in 0..batches {
            // Consent must not run out while virtual time passes.
            if batch % 20 == 0 {
                (0..self.world.clients.len()).for_each(|client| self.world.check(client));
            }
            let batch = self.batch();
            took += self.forward(batch, flush);
        }
        let forwarded = self.world.core.counters().rtp_out - before;
        assert_eq!(forwarded, batches * BATCH * SUBSCRIBERS as u64, "everybody gets everything");
        took.mul_f64(count as f64 / (batches * BATCH * SUBSCRIBERS as u64) as f64)
    }
}

/// What this thread has used, so that a busy machine does not show in the figures.
#[cfg(target_os = "linux")]
fn cpu_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("a thread has usage");
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

/// Elsewhere wall time has to do.
#[cfg(not(target_os = "linux"))]
fn cpu_time() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// One key per subscriber.
fn seals(profile: SrtpProfile) -> Vec<Seal> {
    let material = |index: usize| -> Vec<u8> {
        (0..profile.keying_material_len()).map(|byte| (byte * 31 + index * 7) as u8).collect()
    };
    let seal = |index| srtp::sessions(profile, Role::Server, &material(index)).expect("the profile's length").0;
    (0..SUBSCRIBERS).map(seal).collect()
}

fn time_seals(seals: &[Seal], buffers: &mut [Vec<u8>], len: usize, count: u64, next: &mut u64) -> Duration {
    let rounds = count.div_ceil(SUBSCRIBERS as u64);
    let start = cpu_time();
    for _ in 0..rounds {
        for (seal, buffer) in seals.iter().zip(&mut *buffers) {
            black_box(seal.rtp(buffer, len, 28, SeqNo(*next), 0x1234));
        }
        *next += 1;
    }
    (cpu_time() - start).mul_f64(count as f64 / (rounds * SUBSCRIBERS as u64) as f64)
}

/// Periodic work for members who send and receive nothing, per member and tick; there are 200 ticks a second.
fn time_idle(world: &mut World, count: u64) -> Duration {
    let members = world.clients.len() as u64;
    let ticks = count.div_ceil(members);
    let mut took = Duration::ZERO;
    let mut left = ticks;
    while left > 0 {
        (0..world.clients.len()).for_each(|client| world.check(client));
        let ticks = left.min(1_000);
        let start = cpu_time();
        for _ in 0..ticks {
            world.now += Duration::from_millis(5);
            world.core.handle_timeout(world.now);
        }
        took += cpu_time() - start;
        world.core.clear_transmits();
        left -= ticks;
    }
    took.mul_f64(count as f64 / (ticks * members) as f64)
}

fn idle() -> World {
    let mut world = World::new();
    let room = world.open_room();
    (0..IDLE).for_each(|_| {
        world.connect(room, VIEWER, 4);
    });
    world
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    let mut video = Room::new(false);
    let profile = video.world.clients[1].rtc.srtp_profile().expect("connected");
    let seals = seals(profile);
    let mut buffers = vec![vec![0xaa; PACKET_BYTES + MAX_OVERHEAD]; SUBSCRIBERS];
    let mut next = 0x1_0000;
    group.bench_function("seal_alone", |bencher| {
        bencher.iter_custom(|count| time_seals(&seals, &mut buffers, PACKET_BYTES, count, &mut next));
    });
    group.bench_function("one_to_50", |bencher| bencher.iter_custom(|count| video.time(count, 1)));
    group.bench_function("one_to_50_by_frame", |bencher| bencher.iter_custom(|count| video.time(count, FRAME)));
    let mut audio = Room::new(true);
    group.bench_function("audio_one_to_50", |bencher| bencher.iter_custom(|count| audio.time(count, 1)));
    let mut idle = idle();
    group.bench_function("idle_member_tick", |bencher| bencher.iter_custom(|count| time_idle(&mut idle, count)));
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);
