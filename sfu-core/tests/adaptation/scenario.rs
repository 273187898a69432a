//! Flows that share a link for a while, and what came of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::flow::{Demand, Flow};
use super::link::{Link, LinkConfig};

const STEP: Duration = Duration::from_millis(1);
const TICK: u64 = 5;
const SAMPLE: u64 = 100;
const CROSS_PACKET: usize = 1_000;

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    pub seconds: u64,
    pub link: LinkConfig,
    /// Of each flow.
    pub demands: Vec<Demand>,
    /// See [`Flow::new`].
    pub layers: &'static [u64],
    /// Traffic of others that gives way to nothing: from when to when, kbps.
    pub cross: Vec<(Duration, Duration, u64)>,
    /// Each feedback message is lost with this probability.
    pub feedback_loss: f64,
}

impl Scenario {
    /// One flow that takes what it gets.
    pub fn greedy(seed: u64, seconds: u64, link: LinkConfig) -> Self {
        Self::of(seed, seconds, link, vec![vec![(Duration::ZERO, super::GREEDY)]])
    }

    pub fn of(seed: u64, seconds: u64, link: LinkConfig, demands: Vec<Demand>) -> Self {
        Self { seed, seconds, link, demands, layers: &[], cross: Vec::new(), feedback_loss: 0.0 }
    }
}

/// How a flow was at a time.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Since the start.
    pub at: Duration,
    /// kbps; 0: unknown.
    pub estimate: f64,
    /// kbps since the sample before.
    pub sent: f64,
    /// ms.
    pub queue: f64,
}

/// What came of a scenario.
pub struct Outcome {
    pub flows: Vec<Vec<Sample>>,
    /// How long each packet waited, ms.
    pub waits: Vec<f64>,
    pub probe_bytes: u64,
    pub loss: f64,
    pub rtt: Option<Duration>,
}

impl Outcome {
    pub fn p95_wait(&self) -> f64 {
        let mut waits = self.waits.clone();
        waits.sort_by(f64::total_cmp);
        waits.get(waits.len() * 95 / 100).copied().unwrap_or(0.0)
    }

    /// The samples of a flow between two seconds.
    pub fn between(&self, flow: usize, from: f64, to: f64) -> impl Iterator<Item = &Sample> + Clone {
        self.flows[flow].iter().filter(move |sample| (from..to).contains(&sample.at.as_secs_f64()))
    }

    /// The mean estimate between two seconds, kbps.
    pub fn mean_estimate(&self, flow: usize, from: f64, to: f64) -> f64 {
        mean(self.between(flow, from, to).map(|sample| sample.estimate))
    }

    /// The mean rate sent between two seconds, kbps.
    pub fn mean_sent(&self, flow: usize, from: f64, to: f64) -> f64 {
        mean(self.between(flow, from, to).map(|sample| sample.sent))
    }

    /// The share of samples between two seconds with an estimate in a range of kbps.
    pub fn share(&self, flow: usize, from: f64, to: f64, range: std::ops::Range<f64>) -> f64 {
        mean(self.between(flow, from, to).map(|sample| f64::from(u8::from(range.contains(&sample.estimate)))))
    }

    /// The first second from `from` on at which the estimate is in a range of kbps.
    pub fn reaches(&self, flow: usize, from: f64, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let found = self.between(flow, from, f64::MAX).find(|sample| range.contains(&sample.estimate))?;
        Some(found.at.as_secs_f64() - from)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}

enum Delivery {
    Packet(usize, u16),
    Feedback(usize, Vec<u8>),
}

/// What is on its way, by when it arrives.
#[derive(Default)]
struct InFlight {
    deliveries: BTreeMap<(Instant, u64), Delivery>,
    next: u64,
}

impl InFlight {
    fn push(&mut self, at: Instant, delivery: Delivery) {
        self.next += 1;
        self.deliveries.insert((at, self.next), delivery);
    }

    fn pop(&mut self, now: Instant) -> Option<(Instant, Delivery)> {
        let entry = self.deliveries.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, _), delivery) = entry.remove_entry();
        Some((at, delivery))
    }
}

impl Scenario {
    pub fn run(self) -> Outcome {
        let start = Instant::now();
        let mut random = StdRng::seed_from_u64(self.seed ^ 0x5eed);
        let mut link = Link::new(start, self.seed, self.link.clone());
        let flow =
            |(index, demand): (usize, &Demand)| Flow::new(start, self.seed + index as u64, demand.clone(), self.layers);
        let mut flows = self.demands.iter().enumerate().map(flow).collect::<Vec<_>>();
        let mut traces = vec![Vec::new(); flows.len()];
        let (mut in_flight, mut out, mut waits) = (InFlight::default(), VecDeque::new(), Vec::new());
        let mut cross_due = 0.0;
        for ms in 0..self.seconds * 1_000 {
            let now = start + STEP * ms as u32;
            while let Some((at, delivery)) = in_flight.pop(now) {
                match delivery {
                    Delivery::Packet(flow, number) => flows[flow].receive(at, number),
                    Delivery::Feedback(flow, message) => flows[flow].hear(now, &message),
                }
            }
            for (index, flow) in flows.iter_mut().enumerate() {
                for message in flow.feedback(now) {
                    if !random.random_bool(self.feedback_loss) {
                        in_flight.push(now + self.link.delay, Delivery::Feedback(index, message));
                    }
                }
                if ms % TICK == 0 {
                    flow.tick(now);
                }
                flow.send(now, &mut out);
                for sent in out.drain(..) {
                    let passage = link.send(now, sent.bytes);
                    waits.push(passage.waited.as_secs_f64() * 1e3);
                    if let Some(arrival) = passage.arrival {
                        in_flight.push(arrival, Delivery::Packet(index, sent.number));
                    }
                }
                if ms % SAMPLE == 0 {
                    let sent = std::mem::take(&mut flow.sent_bytes) as f64 * 8.0 / SAMPLE as f64;
                    let estimate = flow.estimator.estimate().map_or(0.0, |estimate| estimate.0 as f64 / 1e3);
                    let queue = link.backlog(now).as_secs_f64() * 1e3;
                    traces[index].push(Sample { at: now - start, estimate, sent, queue });
                }
            }
            cross_due += self.cross_rate(now - start) as f64 / 8.0 * random.random_range(0.0..2.0);
            while cross_due >= CROSS_PACKET as f64 {
                cross_due -= CROSS_PACKET as f64;
                link.send(now, CROSS_PACKET);
            }
        }
        let first = &flows[0];
        Outcome {
            flows: traces,
            waits,
            probe_bytes: flows.iter().map(|flow| flow.probe_bytes).sum(),
            loss: first.estimator.loss(),
            rtt: first.estimator.rtt(),
        }
    }

    /// kbps, which is bits per ms.
    fn cross_rate(&self, at: Duration) -> u64 {
        self.cross.iter().filter(|(from, to, _)| (*from..*to).contains(&at)).map(|(_, _, kbps)| kbps).sum()
    }
}
