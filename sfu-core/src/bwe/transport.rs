//! Transport-wide feedback, brought together with what was sent, and handed to those that make something of it.
//!
//! The order of things follows libwebrtc `modules/congestion_controller/goog_cc/goog_cc_network_control.cc` and
//! `delay_based_bwe.cc` (M128).

use arrayvec::ArrayVec;

use super::Probe;
use super::acknowledged::Acknowledged;
use super::aimd::{Aimd, Throughput};
use super::alr::AlrDetector;
use super::history::{Fate, History};
use super::inter_arrival::InterArrival;
use super::loss::LossController;
use super::path::Path;
use super::probe_result::{Measured, ProbeResults};
use super::trendline::{Trendline, Usage};
use crate::prefetch::Distance;
use crate::rtcp::{TICK_MICROS, TransportFeedback};

/// Arrivals that are sorted by time together.
const BATCH: usize = 128;
/// The unit of reference times, µs.
const REFERENCE_US: i64 = 64_000;
/// Reference times count in 24 bits.
const REFERENCE_BITS: u32 = 24;
/// A reference time so far from the last one is of another clock: 10 min.
const MAX_REFERENCE_STEP: i32 = 10_000;
/// Assumed before a round trip was measured, µs.
const FIRST_RTT_US: i64 = 200_000;
/// Feedback that stays away for so long while packets are sent takes the rate down, and again after each interval, µs.
const SILENCE_US: i64 = 1_500_000;
const SILENCE_INTERVAL_US: i64 = 1_000_000;
const SILENCE_SHARE: f64 = 0.7;
/// Who sends so much of the rate fills no link.
const LITTLE: f64 = 0.9;
/// What arrives is so much less than it was: the link is another one.
const FELL: f64 = 0.5;
/// Nothing was sent for so long, µs.
const QUIET_US: i64 = 1_000_000;
/// The queue of a probe drains, and leaves the trend's window, in this time after the probe arrived, µs.
const PROBED_US: i64 = 300_000;
/// So many packets must have been sent meanwhile.
const SILENCE_PACKETS: u32 = 20;

/// A packet that arrived; times in µs, `at` on the receiver's clock.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    number: u64,
    sent: i64,
    at: i64,
    bytes: u16,
    probe: u8,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Transport {
    history: History,
    reference: Option<i32>,
    /// Our own count of reference times, which does not wrap.
    reference_units: i64,
    /// The number after the last that feedback spoke of.
    told_until: u64,
    inter_arrival: InterArrival,
    trendline: Trendline,
    acknowledged: Acknowledged,
    aimd: Aimd,
    loss: LossController,
    probes: ProbeResults,
    alr: AlrDetector,
    path: Path,
    /// When feedback came last, or the rate was taken down for want of it.
    heard: Option<i64>,
    silent: bool,
    /// When feedback came last.
    told_at: Option<i64>,
    /// When a packet of a probe was last said to have arrived, and whether little was sent before it.
    probed: Option<(i64, bool)>,
}

impl Transport {
    pub(super) fn new(start: f64, bounds: (f64, f64)) -> Self {
        Self {
            history: History::default(),
            reference: None,
            reference_units: 0,
            told_until: 0,
            inter_arrival: InterArrival::default(),
            trendline: Trendline::default(),
            acknowledged: Acknowledged::default(),
            aimd: Aimd::new(0, start, bounds),
            loss: LossController::new(0),
            probes: ProbeResults::default(),
            alr: AlrDetector::default(),
            path: Path::default(),
            heard: None,
            silent: false,
            told_at: None,
            probed: None,
        }
    }

    /// The rate that delay and loss allow.
    pub(super) fn rate(&self) -> f64 {
        self.loss.limit().map_or(self.aimd.rate(), |limit| limit.min(self.aimd.rate()))
    }

    /// The same, less what a queue needs to drain.
    pub(super) fn estimate(&self) -> f64 {
        let rate = self.rate();
        if self.alr.is_limited() { rate } else { rate * self.path.draining_share() }
    }

    pub(super) fn loss(&self) -> f64 {
        self.loss.loss()
    }

    pub(super) fn rtt(&self) -> Option<i64> {
        self.path.rtt()
    }

    pub(super) const fn is_application_limited(&self) -> bool {
        self.alr.is_limited()
    }

    pub(super) fn is_overusing(&self) -> bool {
        self.trendline.usage() == Usage::Over
    }

    /// Nothing holds the rate back but what is known of the link. What was seen while there was more to send says little
    /// after a while: who sends next to nothing would else never hear of a link that got better.
    pub(super) fn is_calm(&self, now: i64) -> bool {
        let is_steady = self.trendline.usage() == Usage::Normal && !self.is_queued() && !self.silent;
        let is_quiet = self.alr.is_limited() && self.told_at.is_none_or(|at| now - at > QUIET_US);
        (is_steady || is_quiet) && self.loss.allows_probe(now, self.alr.is_limited())
    }

    /// The same after a probe that met no end: a queue that drains was there before it.
    pub(super) fn stays_calm(&self, now: i64) -> bool {
        let drains = self.trendline.usage() == Usage::Under && self.path.is_empty();
        self.is_calm(now) || (drains && self.loss.allows_probe(now, self.alr.is_limited()))
    }

    /// Whether there is a queue of our own. How long a receiver waited before it gave feedback is not told: between packets
    /// that are far apart it may have been long.
    fn is_queued(&self) -> bool {
        !self.alr.is_limited() && self.path.is_queued()
    }

    /// Nothing was measured.
    pub(super) const fn is_guess(&self) -> bool {
        self.aimd.is_guess()
    }

    /// Whether less is sent than would fit, so that a queue is that of a burst (a keyframe of a layer that is new) and what
    /// arrives tells nothing of the link. A queue that is too long for that is the link's.
    fn sends_little(&self) -> bool {
        let arrives = self.acknowledged.bitrate().unwrap_or(0.0);
        let is_burst = arrives < LITTLE * self.aimd.rate() && !self.path.is_long();
        is_burst || (self.alr.is_limited() && !self.path.is_flooded())
    }

    /// Whether a link gave way at once: a queue that is too long for a burst, out of which much less comes than before. The
    /// trend of the delay needs half a second to say so, since next to nothing arrives that it could be read from.
    fn fell(&self) -> bool {
        let (recent, steady) = (self.acknowledged.recent(), self.acknowledged.bitrate());
        self.path.is_long() && recent.zip(steady).is_some_and(|(recent, steady)| recent < FELL * steady)
    }

    /// Whether a queue is that of a probe, which is short and tells by itself what it found. Who fills the rate anyway has
    /// reason to look at it.
    fn is_probes(&self, now: i64) -> bool {
        self.probed.is_some_and(|(at, little)| little && now - at < PROBED_US) && !self.path.is_large()
    }

    pub(super) const fn decreased(&self) -> Option<i64> {
        self.aimd.decreased()
    }

    pub(super) fn expect_probe(&mut self, probe: &Probe) {
        self.probes.expect(probe.id.0, probe.bytes, probe.min_packets);
    }

    /// See [`prefetch`](crate::prefetch).
    #[inline]
    pub(super) fn prefetch(&self, distance: Distance) {
        self.history.prefetch(distance);
    }

    #[inline]
    pub(super) fn on_sent(&mut self, now: i64, number: u16, bytes: usize, probe: u8) {
        self.history.insert(now, number, bytes, probe);
    }

    /// Whether nothing was ever sent.
    #[inline]
    pub(super) const fn is_unused(&self) -> bool {
        self.history.is_empty()
    }

    pub(super) fn poll(&mut self, now: i64) {
        if self.alr.poll(now, self.history.take_bytes(), self.estimate()) {
            self.acknowledged.expect_change();
        }
        if let Some(at) = self.heard {
            let patience = if self.silent { SILENCE_INTERVAL_US } else { SILENCE_US };
            if now - at > patience && self.history.unheard >= SILENCE_PACKETS {
                self.aimd.set(now, self.aimd.rate() * SILENCE_SHARE);
                self.hear(now);
                self.silent = true;
            }
        }
    }

    /// What a probe measured, if one did; `None` if the message was about nothing that was sent.
    pub(super) fn on_feedback(&mut self, now: i64, feedback: &TransportFeedback<'_>) -> Option<Option<Measured>> {
        let reference = self.unwrap(feedback.reference_time);
        let mut batch = ArrayVec::<Arrival, BATCH>::new();
        let (mut highest, mut measured) = (None, None);
        for (wire, ticks) in feedback.arrivals() {
            let Some(number) = self.history.find(wire) else { continue };
            if highest.is_none() {
                self.notice_gap(feedback.base_sequence, number);
            }
            highest = highest.max(Some(number));
            let Some(arrival) = self.arrival(now, number, reference + ticks * TICK_MICROS as i64) else { continue };
            batch.push(arrival);
            if batch.is_full() {
                self.on_arrivals(now, &mut batch, &mut measured);
            }
        }
        let highest = highest?;
        self.on_arrivals(now, &mut batch, &mut measured);
        let loss = &mut self.loss;
        self.history
            .mark_lost(feedback.base_sequence, highest, |sent| loss.on_packet(sent.bytes, true, sent.probe != 0));
        self.told_until = self.told_until.max(highest + 1);
        self.hear(now);
        self.silent = false;
        self.told_at = Some(now);
        let measured = measured.map(|measured| measured.despite(self.loss.usual()));
        self.update(now, measured);
        Some(measured)
    }

    const fn hear(&mut self, now: i64) {
        self.heard = Some(now);
        self.history.unheard = 0;
    }

    /// Makes 24 bits that wrap a time in µs. A jump becomes a small step: there the clock is another one.
    fn unwrap(&mut self, reference: i32) -> i64 {
        let shift = i32::BITS - REFERENCE_BITS;
        let step = self.reference.map_or(0, |last| (reference.wrapping_sub(last) << shift) >> shift);
        self.reference = Some(reference);
        if step.abs() > MAX_REFERENCE_STEP {
            self.inter_arrival = InterArrival::default();
            self.acknowledged.skip();
        } else {
            self.reference_units += i64::from(step);
        }
        self.reference_units * REFERENCE_US
    }

    /// Feedback that was lost spoke of packets that we shall never hear of: not lost, and not slow.
    fn notice_gap(&mut self, base: u16, number: u64) {
        let base = crate::unit::SeqNo(number).nearest(base).0;
        if base > self.told_until && self.told_until > 0 {
            self.acknowledged.skip();
        }
    }

    /// The packet, if this is the first that is heard of its arrival.
    fn arrival(&mut self, now: i64, number: u64, at: i64) -> Option<Arrival> {
        let sent = self.history.sent(number);
        match std::mem::replace(&mut sent.fate, Fate::Arrived) {
            Fate::Untold => self.loss.on_packet(sent.bytes, false, sent.probe != 0),
            Fate::Lost => self.loss.on_late_arrival(sent.probe != 0),
            Fate::Arrived | Fate::Unused => return None,
        }
        Some(Arrival { number, sent: sent.at(now), at, bytes: sent.bytes, probe: sent.probe })
    }

    fn on_arrivals(&mut self, now: i64, batch: &mut ArrayVec<Arrival, BATCH>, measured: &mut Option<Measured>) {
        batch.sort_unstable_by_key(|arrival| (arrival.at, arrival.number));
        let Some(latest) = batch.last().map(|arrival| arrival.at) else { return };
        // The receiver kept each packet until it had the last one, at least.
        let rtt = batch.iter().map(|arrival| now - arrival.sent - (latest - arrival.at)).min();
        self.path.on_round_trip(now, rtt.unwrap_or(0));
        for arrival in batch.drain(..) {
            self.acknowledged.on_arrival(arrival.at, arrival.bytes);
            if arrival.probe != 0 {
                let before = self.probed.filter(|(at, _)| now - at < PROBED_US).map(|(_, little)| little);
                self.probed = Some((now, before.unwrap_or_else(|| self.sends_little())));
                let result = self.probes.on_arrival(arrival.probe, arrival.sent, arrival.at, arrival.bytes);
                *measured = result.or(*measured);
            }
            if let Some(deltas) = self.inter_arrival.on_packet(arrival.sent, arrival.at, now) {
                self.trendline.on_group(deltas, arrival.at);
            }
        }
    }

    fn update(&mut self, now: i64, measured: Option<Measured>) {
        let fell = self.fell();
        let application_limited = self.sends_little() && !fell;
        let usage = match self.trendline.usage() {
            _ if fell => Usage::Over,
            Usage::Normal if self.is_queued() && self.path.complains(now) => Usage::Over,
            Usage::Normal if self.is_queued() => Usage::Under,
            Usage::Over if self.is_probes(now) => Usage::Under,
            Usage::Over if application_limited && !self.path.is_queued() => Usage::Under,
            usage => usage,
        };
        let throughput = Throughput {
            steady: self.acknowledged.bitrate(),
            recent: self.acknowledged.recent(),
            application_limited,
            is_flooded: fell || self.path.is_flooded(),
        };
        // What a probe measured below the rate says less than the delay does, unless the rate was only assumed: then it is all
        // that is known, and the queue is the probe's own.
        let raises = |measured: &Measured| usage != Usage::Over && measured.rate > self.estimate();
        let finds = |measured: &Measured| self.aimd.is_guess() && measured.capacity.is_some();
        match measured.filter(|measured| raises(measured) || finds(measured)) {
            Some(measured) => {
                self.loss.on_probe(measured.rate);
                self.aimd.on_probe(now, measured);
            }
            None => {
                self.aimd.update(now, usage, throughput, self.path.rtt().unwrap_or(FIRST_RTT_US));
                if let Some(measured) = measured.filter(|_| usage != Usage::Over) {
                    self.aimd.on_end(now, measured, throughput.steady.unwrap_or(0.0));
                }
            }
        }
        self.loss.update(now, self.aimd.rate());
    }
}
