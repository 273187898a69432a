//! What came of a simulated room, and what should have.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sfu_core::alloc::{Allocator, Availability, Budget, Cut, Offer, RAISE_SHARE, Request};
use sfu_core::control::{Size, SubscriptionSettings};
use sfu_core::layers::Layer;
use sfu_core::unit::Bitrate;

use super::publisher::KBPS;
use super::viewer::Fate;

/// What a packet weighs beyond its payload, as a part of it: headers, extensions and the seal of 1,100 bytes.
const OVERHEAD: f64 = 1.08;

/// How a viewer was at a time.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Seconds since the start.
    pub at: f64,
    /// kbps; 0: unknown.
    pub estimate: f64,
    pub received: f64,
    pub capacity: f64,
    /// ms.
    pub queue: f64,
    /// The encoding of each publisher.
    pub layers: Vec<Option<usize>>,
}

/// When each frame was taken, and what became of it.
pub type Show = (Vec<Instant>, BTreeMap<u32, Fate>);

/// See the module's text.
pub struct Outcome {
    pub start: Instant,
    /// Of each viewer.
    pub samples: Vec<Vec<Sample>>,
    /// How long each packet waited, ms.
    pub waits: Vec<f64>,
    /// Of each viewer and publisher.
    pub shows: Vec<Show>,
    pub plis: u32,
    /// Packets that found the queue full.
    pub dropped: u32,
}

/// Shares of frames.
#[derive(Debug, Clone, Copy, Default)]
pub struct Missed {
    /// Not all of it was there in time.
    pub incomplete: f64,
    /// It was, but not what it refers to.
    pub orphaned: f64,
    /// What was shown was never so long apart.
    pub freeze: Duration,
}

impl Outcome {
    pub fn new(start: Instant, viewers: usize) -> Self {
        Self { start, samples: vec![Vec::new(); viewers], waits: Vec::new(), shows: Vec::new(), plis: 0, dropped: 0 }
    }

    pub fn p95_wait(&self) -> f64 {
        let mut waits = self.waits.clone();
        waits.sort_by(f64::total_cmp);
        waits.get(waits.len() * 95 / 100).copied().unwrap_or(0.0)
    }

    pub fn between(&self, viewer: usize, from: f64, to: f64) -> impl Iterator<Item = &Sample> + Clone {
        self.samples[viewer].iter().filter(move |sample| (from..to).contains(&sample.at))
    }

    /// How long after it was taken a frame got somewhere, ms, the longest of each half second; one that never did counts
    /// as a second.
    pub fn delays(&self, of: impl Fn(&Fate) -> Option<Instant>) -> Vec<(f64, f64)> {
        let mut delays = BTreeMap::<u64, f64>::new();
        for (captured, fates) in &self.shows {
            for (number, taken) in captured.iter().enumerate() {
                let reached = fates.get(&(number as u32)).and_then(&of);
                let delay = reached.map_or(1e3, |at| (at - *taken).as_secs_f64() * 1e3);
                let longest = delays.entry((*taken - self.start).as_millis() as u64 / 500).or_default();
                *longest = longest.max(delay);
            }
        }
        // What was taken last is still on its way.
        delays.pop_last();
        delays.into_iter().map(|(half, delay)| (half as f64 / 2.0, delay)).collect()
    }

    /// The first second from `from` on at which the estimate is in a range of kbps.
    pub fn reaches(&self, from: f64, range: std::ops::RangeInclusive<f64>) -> f64 {
        let found = self.between(0, from, f64::MAX).find(|sample| range.contains(&sample.estimate));
        found.map_or(f64::INFINITY, |sample| sample.at - from)
    }

    /// The share of the time at which the first viewer was sent what the allocator would choose if it knew the link, but
    /// for some seconds after each change: one downwards, five upwards and at the start.
    pub fn best_share(&self) -> f64 {
        let (mut good, mut all, mut before, mut from) = (0.0, 0.0, 0.0, 0.0);
        let mut best = Vec::new();
        for sample in &self.samples[0] {
            if sample.capacity != before {
                from = sample.at + if sample.capacity < before { 1.0 } else { 5.0 };
                before = sample.capacity;
                best = best_layers(sample.layers.len(), before);
            }
            if sample.at >= from {
                let mut layers = sample.layers.clone();
                layers.sort();
                all += 1.0;
                good += f64::from(u8::from(layers == best));
            }
        }
        good / f64::max(all, 1.0)
    }

    /// What frames that were taken between two seconds missed, all viewers and publishers together.
    pub fn missed(&self, from: f64, to: f64, deadline: Duration) -> Missed {
        let mut missed = Missed::default();
        let (mut frames, mut incomplete, mut orphaned) = (0u32, 0u32, 0u32);
        for (captured, fates) in &self.shows {
            let in_time = |number: u32| (from..to).contains(&(captured[number as usize] - self.start).as_secs_f64());
            let mut last: Option<Instant> = None;
            for number in (0..captured.len() as u32).filter(|number| in_time(*number)) {
                let fate = fates.get(&number).copied().unwrap_or_default();
                let late = |at: Option<Instant>| at.is_none_or(|at| at - captured[number as usize] > deadline);
                frames += 1;
                incomplete += u32::from(late(fate.complete));
                orphaned += u32::from(!late(fate.complete) && late(fate.decodable));
                if let Some(shown) = fate.decodable {
                    missed.freeze =
                        missed.freeze.max(last.map_or(Duration::ZERO, |last| shown.saturating_duration_since(last)));
                    last = last.max(Some(shown));
                }
            }
        }
        missed.incomplete = f64::from(incomplete) / f64::from(frames.max(1));
        missed.orphaned = f64::from(orphaned) / f64::from(frames.max(1));
        missed
    }
}

/// What so many videos are best sent over so many kbps, from the lowest.
pub fn best_layers(videos: usize, kbps: f64) -> Vec<Option<usize>> {
    let offer = |(encoding, rate): (usize, &u64)| Offer {
        layer: Layer { encoding: encoding as u8, spatial: 0, temporal: 0 },
        bitrate: Bitrate((*rate as f64 * 1e3 * OVERHEAD) as u64),
        size: Some(Size { width: 320 << encoding, height: 180 << encoding }),
        fps: Some(30.0),
        availability: Availability::Flows,
    };
    let (mut requests, mut offers) = (Vec::new(), Vec::new());
    for _ in 0..videos {
        let from = offers.len();
        offers.extend(KBPS.iter().enumerate().map(offer));
        let settings = SubscriptionSettings::default();
        let offers = from..offers.len();
        requests.push(Request {
            settings,
            pinned: false,
            screen: false,
            obstacle: None,
            cut: Cut::None,
            offers,
            previous: None,
        });
    }
    let mut allocator = Allocator::default();
    // What is raised must leave some room.
    let budget = kbps * 1e3 * RAISE_SHARE as f64 / 100.0;
    allocator.allocate(&requests, &offers, Budget::known(Bitrate(budget as u64)));
    let layer = |decision: &sfu_core::alloc::Decision| decision.wanted.map(|layer| usize::from(layer.encoding));
    let mut layers = allocator.decisions().iter().map(layer).collect::<Vec<_>>();
    layers.sort();
    layers
}
