//! A room in virtual time: publishers close by, viewers behind one bottleneck.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sfu_core::control::{Command, Event, RoomExplanation};
use sfu_core::id::RoomId;

use super::link::{Link, LinkConfig};
use super::outcome::{Outcome, Sample};
use super::publisher::{Publisher, RIDS};
use super::support::{VIEWER, World};
use super::viewer::Viewer;

const STEP: Duration = Duration::from_millis(1);
/// UDP and IPv4.
const HEADERS: usize = 28;
pub const SAMPLE: u64 = 100;
/// A client shows that it is there.
const CHECK: u64 = 5_000;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub seconds: u64,
    pub publishers: usize,
    pub viewers: usize,
    pub link: LinkConfig,
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
    under_way: BTreeMap<(Instant, u64), Delivery>,
    count: u64,
    outcome: Outcome,
}

impl Plan {
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
        let viewers = (0..plan.viewers).map(|_| world.connect(room, VIEWER, plan.publishers)).collect::<Vec<_>>();
        let publishers =
            (0..plan.publishers).map(|n| Publisher::join(&mut world, room, plan.seed * 97 + n as u64)).collect();
        let start = world.now;
        let viewers = viewers.into_iter().map(|client| {
            world.clients[client].remote = true;
            Viewer::new(client, start)
        });
        Self {
            viewers: viewers.collect(),
            world,
            room,
            publishers,
            link: Link::new(start, plan.seed, plan.link.clone()),
            delay: plan.link.delay,
            under_way: BTreeMap::new(),
            count: 0,
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
        for (client, datagram) in std::mem::take(&mut self.world.underway) {
            let viewer =
                self.viewers.iter().position(|viewer| viewer.client == client).expect("only viewers are remote");
            let passage = self.link.send(now, datagram.len() + HEADERS);
            self.outcome.waits.push(passage.waited.as_secs_f64() * 1e3);
            if let Some(arrival) = passage.arrival {
                self.push(arrival, Delivery::Down(viewer, datagram));
            }
        }
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
                capacity: self.link.capacity(now) as f64 / 1e3,
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
