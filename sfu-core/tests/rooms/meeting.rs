//! A room in virtual time: publishers close by, viewers behind one bottleneck.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sfu_core::control::{Command, Event, RoomExplanation};
use sfu_core::id::RoomId;

use super::link::{Link, LinkConfig};
use super::outcome::{Outcome, Sample};
use super::publisher::{Publisher, RIDS};
use super::support::{VIEWER, World};
use super::viewer::{Feedback, Viewer};

const STEP: Duration = Duration::from_millis(1);
/// UDP and IPv4.
const HEADERS: usize = 28;
pub const SAMPLE: u64 = 100;
/// A client shows that it is there.
const CHECK: u64 = 5_000;
/// Of others' traffic.
const CROSS_PACKET: f64 = 1_000.0;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub seconds: u64,
    pub publishers: usize,
    pub viewers: usize,
    pub link: LinkConfig,
    /// What viewers tell the server.
    pub feedback: Feedback,
    /// Traffic of others on the link, which gives way to nothing: from which second to which, kbps.
    pub cross: Option<(u64, u64, u64)>,
}

enum Delivery {
    Down(usize, Vec<u8>),
    Up(usize, Vec<u8>),
}

struct Meeting {
    world: World,
    room: RoomId,
    publishers: Vec<Publisher>,
    viewers: Vec<Viewer>,
    link: Link,
    delay: Duration,
    /// What would wait longer is dropped.
    longest: Duration,
    under_way: BTreeMap<(Instant, u64), Delivery>,
    count: u64,
    cross: Option<(u64, u64, u64)>,
    cross_due: f64,
    random: StdRng,
    outcome: Outcome,
}

impl Plan {
    /// Nobody else is on the link, and viewers tell all that browsers do.
    pub const fn of(seed: u64, seconds: u64, publishers: usize, viewers: usize, link: LinkConfig) -> Self {
        Self { seed, seconds, publishers, viewers, link, feedback: Feedback::Transport, cross: None }
    }

    /// Runs it.
    pub fn run(&self) -> Outcome {
        let mut meeting = Meeting::new(self);
        for ms in 0..self.seconds * 1_000 {
            meeting.step(ms);
        }
        meeting.end()
    }
}

impl Meeting {
    fn new(plan: &Plan) -> Self {
        let mut world = World::new();
        world.rids = RIDS;
        let room = world.open_room();
        world.transport_cc = plan.feedback == Feedback::Transport;
        let viewers = (0..plan.viewers).map(|_| world.connect(room, VIEWER, plan.publishers)).collect::<Vec<_>>();
        world.transport_cc = true;
        let publishers =
            (0..plan.publishers).map(|n| Publisher::join(&mut world, room, plan.seed * 97 + n as u64)).collect();
        let start = world.now;
        let viewers = viewers.into_iter().map(|client| {
            world.clients[client].remote = true;
            Viewer::new(client, start, plan.feedback)
        });
        Self {
            viewers: viewers.collect(),
            world,
            room,
            publishers,
            link: Link::new(start, plan.seed, plan.link.clone()),
            delay: plan.link.delay,
            longest: plan.link.queue,
            under_way: BTreeMap::new(),
            count: 0,
            cross: plan.cross,
            cross_due: 0.0,
            random: StdRng::seed_from_u64(plan.seed ^ 0x5eed),
            outcome: Outcome::new(start, plan.viewers),
        }
    }

    fn step(&mut self, ms: u64) {
        let now = self.world.now;
        self.deliver(now);
        for publisher in &mut self.publishers {
            publisher.run(&mut self.world);
        }
        for viewer in 0..self.viewers.len() {
            for message in self.viewers[viewer].run(now) {
                let sealed = self.world.clients[self.viewers[viewer].client].rtc.protect_rtcp(&message);
                self.push(now + self.delay, Delivery::Up(self.viewers[viewer].client, sealed));
            }
        }
        if ms.is_multiple_of(CHECK) {
            (0..self.world.clients.len()).for_each(|client| self.world.check(client));
        }
        if ms.is_multiple_of(SAMPLE) {
            self.sample(now);
        }
        self.world.advance(STEP);
        self.listen();
        // kbps are bits per ms.
        self.cross_due += self.cross_rate(now) as f64 / 8.0 * self.random.random_range(0.0..2.0);
        while self.cross_due >= CROSS_PACKET {
            self.cross_due -= CROSS_PACKET;
            self.link.send(now, CROSS_PACKET as usize);
        }
        for (client, datagram) in std::mem::take(&mut self.world.underway) {
            let viewer =
                self.viewers.iter().position(|viewer| viewer.client == client).expect("only viewers are remote");
            let passage = self.link.send(now, datagram.len() + HEADERS);
            self.outcome.waits.push(passage.waited.as_secs_f64() * 1e3);
            self.outcome.dropped += u32::from(passage.waited > self.longest);
            if let Some(arrival) = passage.arrival {
                self.push(arrival, Delivery::Down(viewer, datagram));
            }
        }
    }

    /// kbps.
    fn cross_rate(&self, now: Instant) -> u64 {
        let second = (now - self.outcome.start).as_secs();
        self.cross.filter(|(from, to, _)| (*from..*to).contains(&second)).map_or(0, |(_, _, kbps)| kbps)
    }

    fn push(&mut self, at: Instant, delivery: Delivery) {
        self.count += 1;
        self.under_way.insert((at, self.count), delivery);
    }

    fn deliver(&mut self, now: Instant) {
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), delivery) = entry.remove_entry();
            match delivery {
                Delivery::Down(viewer, datagram) => self.viewers[viewer].receive(&mut self.world, at, &datagram),
                Delivery::Up(client, datagram) => {
                    self.world.hand_to_core(client, &datagram);
                    self.world.exchange();
                }
            }
        }
    }

    /// Publishers hear what is wanted of them.
    fn listen(&mut self) {
        let now = self.world.now;
        for event in std::mem::take(&mut self.world.events) {
            if let Event::Demand { track, encodings, .. } = event
                && let Some(publisher) = self.publishers.iter_mut().find(|publisher| publisher.camera == track)
            {
                publisher.on_demand(now, &encodings);
            }
        }
    }

    fn sample(&mut self, now: Instant) {
        let explanation = self.explain();
        let capacity = self.link.capacity(now) as f64 / 1e3 - self.cross_rate(now) as f64;
        for (index, viewer) in self.viewers.iter_mut().enumerate() {
            let id = self.world.clients[viewer.client].id;
            let of = explanation.participants.iter().find(|participant| participant.participant == id);
            let of = of.expect("it is in the room");
            let mut layers = self.publishers.iter().map(|publisher| {
                let publisher = self.world.clients[publisher.client].id;
                let subscription = of.subscriptions.iter().find(|subscription| subscription.publisher == publisher);
                let rid = subscription.and_then(|subscription| subscription.flowing.as_ref()?.rid.clone());
                rid.and_then(|rid| RIDS.iter().position(|known| *known == rid))
            });
            self.outcome.samples[index].push(Sample {
                at: (now - self.outcome.start).as_secs_f64(),
                estimate: of.estimate.unwrap_or(0) as f64 / 1e3,
                received: std::mem::take(&mut viewer.bytes) as f64 * 8.0 / SAMPLE as f64,
                queue: self.link.backlog(now).as_secs_f64() * 1e3,
                capacity,
                layers: layers.by_ref().collect(),
            });
        }
    }

    fn explain(&mut self) -> Box<RoomExplanation> {
        let (request, room) = (self.world.request(), self.room);
        self.listen();
        self.world.command(Command::Explain { request, room });
        let mut explained = self.world.take_events(|event| matches!(event, Event::Explained { .. }));
        self.listen();
        let Some(Event::Explained { explanation: Some(explanation), .. }) = explained.pop() else {
            panic!("there is a room to explain")
        };
        explanation
    }

    fn end(mut self) -> Outcome {
        for viewer in self.viewers {
            for publisher in &self.publishers {
                let stream = viewer.streams.get(&publisher.camera.csrc());
                let fates = stream.map(|stream| stream.fates.clone()).unwrap_or_default();
                self.outcome.plis += stream.map_or(0, |stream| stream.plis);
                self.outcome.shows.push((publisher.captured.clone(), fates));
            }
        }
        self.outcome
    }
}
