//! Rooms in virtual time: seeded random calls over a lossy network, and what must hold in each of them.
//!
//! `MADANG_SEED=n cargo test -p sfu-core --test simulation` replays one seed; `MADANG_SEEDS=n` runs so many instead of 200.

#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/meeting.rs"]
mod meeting;
#[path = "simulation/outgoing.rs"]
mod outgoing;
#[path = "simulation/redundancy.rs"]
mod redundancy;
#[path = "simulation/room.rs"]
mod room;
#[path = "simulation/source.rs"]
mod source;
mod support;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn the_loudest_three_of_fifty_are_heard_by_all() {
    for seed in 0..number("MADANG_SEEDS").unwrap_or(200).div_ceil(100) {
        meeting::Meeting::new(seed).run();
    }
}

#[test]
fn rooms_hold_their_invariants() {
    if let Some(seed) = number("MADANG_SEED") {
        return room::Simulation::new(seed).run();
    }
    for seed in 0..number("MADANG_SEEDS").unwrap_or(200) {
        let run = std::panic::catch_unwind(|| room::Simulation::new(seed).run());
        assert!(run.is_ok(), "seed {seed} fails: MADANG_SEED={seed} replays it");
    }
}
