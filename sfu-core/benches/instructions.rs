//! Instructions per forwarded packet, counted by callgrind and so the same on a busy machine.
//!
//! `make bench-instructions` runs this under `valgrind --tool=callgrind --toggle-collect`, which counts only what happens
//! inside [`measured`]; on its own it does the same work and counts nothing. `floor` seals as many packets: the ratio of
//! the two is what the core adds.

#[path = "support/mod.rs"]
mod support;

use std::hint::black_box;

use sfu_core::transport::MAX_OVERHEAD;
use sfu_core::transport::srtp::{self, Role, Seal};
use sfu_core::unit::SeqNo;

use support::{BATCH, FRAME, PACKET_BYTES, Room, SUBSCRIBERS};

/// Batches that are measured, after as many that are not.
const ROUNDS: u64 = 4;

#[inline(never)]
fn measured(work: impl FnOnce()) {
    work();
}

fn main() {
    let forwarded = ROUNDS * BATCH * SUBSCRIBERS as u64;
    match std::env::args().nth(1).as_deref() {
        Some("video") => forward(false),
        Some("audio") => forward(true),
        Some("floor") => seal(forwarded),
        // `cargo bench` and `cargo test` run it without.
        _ => return,
    }
    #[expect(clippy::print_stdout, reason = "the script reads it")]
    {
        println!("{forwarded}");
    }
}

fn forward(audio: bool) {
    let mut room = Room::new(audio);
    for round in 0..2 * ROUNDS {
        room.check_all();
        let batch = room.batch();
        if round < ROUNDS {
            room.forward(batch, FRAME);
        } else {
            measured(|| room.forward(batch, FRAME));
        }
    }
    assert_eq!(room.world.core.counters().rtp_out, (2 * ROUNDS + 1) * BATCH * SUBSCRIBERS as u64);
}

fn seal(count: u64) {
    let profile = sfu_core::transport::SrtpProfile::AeadAes256Gcm;
    let material: Vec<u8> = (0..profile.keying_material_len()).map(|byte| byte as u8).collect();
    let seal: Seal = srtp::sessions(profile, Role::Server, &material).expect("the profile's length").0;
    let mut buffer = vec![0xaa; PACKET_BYTES + MAX_OVERHEAD];
    measured(|| {
        for number in 0..count {
            black_box(seal.rtp(&mut buffer, PACKET_BYTES, 28, SeqNo(0x1_0000 + number), 0x1234));
        }
    });
}
