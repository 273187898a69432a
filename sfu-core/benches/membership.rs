//! A room of 1,000 members: what those who come, go, publish and stop cost the worker's thread, by its CPU time.
//!
//! Three of the members publish a camera and a microphone, all have a layout of slots. `free`: four pairs each, so that
//! whoever publishes is shown to all. `full`: one pair each, so that a further publisher is shown to nobody.
//!
//! - `join`, `leave`: the command of a member that only receives.
//! - `publish_unpublish`: both commands, and the periodic work of [`AFTER`] after each, less what it takes in a room where
//!   nothing happens.
//! - `longest_stall`: the longest single call of the same.
//! - `everybody_leaves`: the commands of all, and ticks among them.

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sfu_core::control::{Command, Event, ParticipantSettings, Source};
use sfu_core::id::{Mid, ParticipantId, RoomId, TrackId};

use support::cpu_time;
use support::world::{CAMERA, MICROPHONE, VIEWER, World};

const MEMBERS: usize = 1_000;
const PUBLISHERS: usize = 3;

/// Deferred work is done by then.
const AFTER: Duration = Duration::from_millis(500);

/// How often the core wants to be called.
const TICK: Duration = Duration::from_millis(5);

/// Who confirms slots, as the SDK does.
const CLIENT: ParticipantSettings = ParticipantSettings { confirms_slots: true, ..VIEWER };

/// A room of which nobody has a transport: the router's share of the work is measured.
struct Hall {
    world: World,
    room: RoomId,
    pairs: usize,
    tracks: u64,
}

/// What was measured of some calls.
#[derive(Default)]
struct Spent {
    total: Duration,
    longest: Duration,
}

impl Spent {
    fn on(&mut self, took: Duration) {
        self.total += took;
        self.longest = self.longest.max(took);
    }
}

impl Hall {
    fn new(pairs: usize) -> Self {
        let mut world = World::new();
        let room = world.open_room();
        let mut hall = Self { world, room, pairs, tracks: 0 };
        for _ in 0..MEMBERS {
            let member = hall.join();
            if hall.world.clients.len() <= PUBLISHERS {
                hall.world.publish(member, CAMERA, Source::Camera);
                hall.world.publish(member, MICROPHONE, Source::Microphone);
            }
        }
        hall.settle();
        hall
    }

    fn join(&mut self) -> usize {
        self.world.join(self.room, CLIENT, self.pairs)
    }

    /// Carries out a command and takes what it says.
    fn command(&mut self, command: Command, spent: &mut Spent) {
        let (now, began) = (self.world.now, cpu_time());
        self.world.core.handle_command(now, command);
        self.take_events(began, spent);
    }

    /// Lets time pass, tick by tick.
    fn pass(&mut self, time: Duration, spent: &mut Spent) {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.world.now += TICK;
            let (now, began) = (self.world.now, cpu_time());
            self.world.core.handle_timeout(now);
            self.take_events(began, spent);
        }
    }

    /// Clients confirm their slots; that is not what is measured.
    fn take_events(&mut self, began: Duration, spent: &mut Spent) {
        let events: Vec<Event> = std::iter::from_fn(|| self.world.core.poll_event()).collect();
        spent.on(cpu_time().saturating_sub(began));
        self.world.core.clear_transmits();
        let now = self.world.now;
        for event in events {
            if let Event::Slots { participant, revision, .. } = event {
                self.world.core.handle_command(now, Command::AckSlots { participant, revision });
            }
        }
    }

    /// The cost of ticks in which nothing is due but what always is.
    fn settle(&mut self) -> Duration {
        self.pass(2 * AFTER, &mut Spent::default());
        let mut quiet = Spent::default();
        self.pass(AFTER, &mut quiet);
        quiet.total
    }

    fn publish(&mut self, member: usize, spent: &mut Spent) -> (ParticipantId, TrackId) {
        self.tracks += 1;
        let mut bytes = [0xee; 12];
        bytes[..8].copy_from_slice(&self.tracks.to_be_bytes());
        let (request, track, participant) =
            (self.world.request(), TrackId::from_bytes(bytes), self.world.clients[member].id);
        let (mid, source) = (Mid::new(CAMERA).expect("a MID"), Source::Camera);
        self.command(Command::Publish { request, participant, track, mid, source, muted: false }, spent);
        (participant, track)
    }

    fn publish_and_unpublish(&mut self) -> Spent {
        let mut spent = Spent::default();
        let (participant, track) = self.publish(MEMBERS / 2, &mut spent);
        self.pass(AFTER, &mut spent);
        self.command(Command::Unpublish { participant, track }, &mut spent);
        self.pass(AFTER, &mut spent);
        spent
    }

    /// The last member goes.
    fn leave(&mut self) -> Spent {
        let mut spent = Spent::default();
        let last = self.world.clients.pop().expect("a member");
        self.command(Command::Leave { participant: last.id }, &mut spent);
        spent
    }

    fn time_joins(&mut self, count: u64) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..count {
            let (join, ..) = self.world.join_command(self.room, CLIENT, self.pairs);
            let Command::Join { participant, .. } = join else { unreachable!("it joins") };
            let mut spent = Spent::default();
            self.command(join, &mut spent);
            took += spent.total;
            self.command(Command::Leave { participant }, &mut Spent::default());
        }
        took
    }
}

fn membership(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("membership");
    group.sample_size(10).warm_up_time(Duration::from_millis(500));
    for (name, pairs) in [("free", 4), ("full", 1)] {
        let mut hall = Hall::new(pairs);
        group.bench_function(format!("join/{name}"), |bencher| bencher.iter_custom(|count| hall.time_joins(count)));
        group.bench_function(format!("leave/{name}"), |bencher| {
            bencher.iter_custom(|count| {
                let leave = |_| {
                    let took = hall.leave().total;
                    hall.join();
                    took
                };
                (0..count).map(leave).sum()
            });
        });
        group.bench_function(format!("publish_unpublish/{name}"), |bencher| {
            bencher.iter_custom(|count| {
                let quiet = hall.settle() * 2;
                (0..count).map(|_| hall.publish_and_unpublish().total.saturating_sub(quiet)).sum()
            });
        });
        group.bench_function(format!("longest_stall/{name}"), |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| hall.publish_and_unpublish().longest).sum());
        });
    }
    group.bench_function("everybody_leaves", |bencher| {
        bencher.iter_custom(|count| {
            let all = |_| {
                let (mut hall, mut spent) = (Hall::new(4), Spent::default());
                for gone in 0..MEMBERS {
                    spent.on(hall.leave().total);
                    if gone % 10 == 9 {
                        hall.pass(TICK, &mut spent);
                    }
                }
                spent.total
            };
            (0..count).map(all).sum()
        });
    });
    group.finish();
}

criterion_group!(benches, membership);
criterion_main!(benches);
