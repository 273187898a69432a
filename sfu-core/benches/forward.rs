//! One publication to 50 subscriptions through the core without sockets: CPU time per *forwarded* packet.
//!
//! `forward/one_to_50` is the whole way of a packet: demux, open, statistics, ring, 50 times munge and seal into a train.
//! `forward/seal_alone` seals as many packets of the same size with 50 keys of the same profile and does nothing else.
//! Time is that of the CPU (the thread's clock). The target is at most 0.6 µs for the first, and at most 2.7 times the second.

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sfu_core::transport::srtp::{self, Role, Seal};
use sfu_core::transport::{MAX_OVERHEAD, SrtpProfile};
use sfu_core::unit::SeqNo;

use support::world::{VIEWER, World};
use support::{BATCH, FRAME, PACKET_BYTES, Room, SUBSCRIBERS, cpu_time};

/// Members of a quiet room.
const IDLE: usize = 200;

/// The CPU time of `count` forwarded packets.
fn time(room: &mut Room, count: u64, flush: u64) -> Duration {
    let batches = count.div_ceil(BATCH * SUBSCRIBERS as u64);
    let mut took = Duration::ZERO;
    let before = room.world.core.counters().rtp_out;
    for batch in 0..batches {
        if batch % 20 == 0 {
            room.check_all();
        }
        let batch = room.batch();
        let start = cpu_time();
        room.forward(batch, flush);
        took += cpu_time() - start;
    }
    let forwarded = room.world.core.counters().rtp_out - before;
    assert_eq!(forwarded, batches * BATCH * SUBSCRIBERS as u64, "everybody gets everything");
    took.mul_f64(count as f64 / (batches * BATCH * SUBSCRIBERS as u64) as f64)
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
    group.bench_function("one_to_50", |bencher| bencher.iter_custom(|count| time(&mut video, count, 1)));
    group.bench_function("one_to_50_by_frame", |bencher| bencher.iter_custom(|count| time(&mut video, count, FRAME)));
    let mut audio = Room::new(true);
    group.bench_function("audio_one_to_50", |bencher| bencher.iter_custom(|count| time(&mut audio, count, 1)));
    let mut idle = idle();
    group.bench_function("idle_member_tick", |bencher| bencher.iter_custom(|count| time_idle(&mut idle, count)));
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);
