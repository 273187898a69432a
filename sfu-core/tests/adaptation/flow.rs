//! One sender and its receiver: a source as an encoder with fine steps would be, the real pacer and estimator, and a
//! receiver that gives transport-wide feedback as browsers do.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sfu_core::bwe::{Estimator, EstimatorConfig, ProbeId};
use sfu_core::id::Ssrc;
use sfu_core::pacer::{Pacer, ProbeTask, Queued, Release};
use sfu_core::rtcp::{self, Packet};
use sfu_core::stream::{RingIndex, TwccRecorder};
use sfu_core::unit::Bitrate;

const FRAME: Duration = Duration::from_nanos(33_333_333);
const PACKET: usize = 1_200;
/// A packet of nothing but padding on RTX.
const PADDING: usize = 255 + 84;

/// What a flow wants, in kbps from when on. Ascends and starts at zero.
pub type Demand = Vec<(Duration, u64)>;

/// A packet on its way.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub number: u16,
    pub bytes: usize,
}

/// See the module's text.
pub struct Flow {
    pub estimator: Estimator,
    pacer: Pacer,
    recorder: TwccRecorder,
    random: StdRng,
    start: Instant,
    demand: Demand,
    /// What can be sent, kbps, as an SFU has layers; empty: anything.
    layers: &'static [u64],
    next_frame: Instant,
    next_number: u16,
    pub sent_bytes: u64,
    pub probe_bytes: u64,
}

impl Flow {
    pub fn new(start: Instant, seed: u64, demand: Demand, layers: &'static [u64]) -> Self {
        Self {
            estimator: Estimator::new(start, EstimatorConfig::default()),
            pacer: Pacer::new(start),
            recorder: TwccRecorder::new(start),
            random: StdRng::seed_from_u64(seed),
            start,
            demand,
            layers,
            next_frame: start,
            next_number: 65_000,
            sent_bytes: 0,
            probe_bytes: 0,
        }
    }

    pub fn demand(&self, now: Instant) -> u64 {
        let since = now - self.start;
        self.demand.iter().rev().find(|(from, _)| *from <= since).map_or(0, |(_, kbps)| *kbps) * 1_000
    }

    /// What the encoder aims at.
    fn target(&self, now: Instant) -> u64 {
        let estimate = self
            .estimator
            .estimate()
            .map_or(if self.layers.is_empty() { 150_000 } else { 600_000 }, |estimate| estimate.0);
        let fits = |layer: &&u64| **layer * 1_000 <= estimate / 10 * 9;
        let layer = self.layers.iter().rfind(fits).map_or(0, |kbps| kbps * 1_000);
        if self.layers.is_empty() { estimate.min(self.demand(now)) } else { layer.min(self.demand(now)) }
    }

    /// As often as the router does.
    pub fn tick(&mut self, now: Instant) {
        self.estimator.set_demand(Bitrate(self.demand(now)));
        self.estimator.poll(now);
        self.pacer.set_estimate(now, self.estimator.estimate());
        if self.pacer.probe().is_none()
            && let Some(probe) = self.estimator.take_probe()
        {
            let task = ProbeTask {
                id: probe.id.0,
                rate: probe.rate,
                bytes: probe.bytes as usize,
                packets: u32::from(probe.min_packets),
            };
            self.pacer.start_probe(now, task);
        }
    }

    /// What leaves now.
    pub fn send(&mut self, now: Instant, out: &mut VecDeque<Sent>) {
        while self.next_frame <= now {
            self.next_frame += FRAME.mul_f64(self.random.random_range(0.9..1.1));
            let bytes =
                (self.target(now) as f64 / 8.0 * FRAME.as_secs_f64() * self.random.random_range(0.8..1.2)) as usize;
            for at in (0..bytes).step_by(PACKET) {
                let size = PACKET.min(bytes - at);
                if self.pacer.passes(now) {
                    self.transmit(now, size, out);
                } else {
                    self.pacer.queue(now, Queued::new(0, 0, 0, 0, RingIndex(size as u32)));
                }
            }
        }
        if self.pacer.begin(now) {
            while let Some(release) = self.pacer.release() {
                match release {
                    Release::Video(queued) => self.transmit(now, queued.packet.0 as usize, out),
                    Release::Filler => {
                        self.probe_bytes += PADDING as u64;
                        self.transmit(now, PADDING, out);
                    }
                    Release::Resend(_) => unreachable!("nobody asks again"),
                }
            }
        }
    }

    fn transmit(&mut self, now: Instant, bytes: usize, out: &mut VecDeque<Sent>) {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        self.estimator.on_sent(now, number, bytes, self.pacer.probe().map(ProbeId));
        self.pacer.on_sent(bytes);
        self.sent_bytes += bytes as u64;
        out.push_back(Sent { number, bytes });
    }

    /// The receiver gets a packet.
    pub fn receive(&mut self, at: Instant, number: u16) {
        self.recorder.record(number, at);
    }

    /// The receiver says what it got.
    pub fn feedback(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut message = Vec::new();
        while self.recorder.poll(now, Ssrc(1), Ssrc(2), &mut message) {
            if !message.is_empty() {
                messages.push(std::mem::take(&mut message));
            }
        }
        messages
    }

    /// The sender hears it.
    pub fn hear(&mut self, now: Instant, message: &[u8]) {
        for packet in rtcp::packets(message) {
            if let Ok(Packet::TransportFeedback(feedback)) = packet {
                self.estimator.on_feedback(now, &feedback);
            }
        }
    }
}
