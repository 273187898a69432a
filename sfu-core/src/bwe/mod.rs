//! How much fits through one participant's downlink: congestion control at the sender.
//!
//! One [`Estimator`] belongs to one participant's downlink and hears of nothing else: a publisher with a bad uplink sends
//! less, and who sends less is *application-limited*, which never lowers an estimate.
//!
//! # How
//!
//! Every packet takes a transport-wide number ([`Estimator::on_sent`], into [`history`]). The client's feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01) tells when each arrived ([`Estimator::on_feedback`]):
//!
//! - the time between groups of packets ([`inter_arrival`]) and its trend ([`trendline`]) tell whether a queue grows; what
//!   arrives ([`acknowledged`]) tells how fast the link is; [`aimd`] makes a rate of the two;
//! - [`loss`] limits it where loss would be less at a lower rate, and leaves it alone where it would not;
//! - [`probing`] sends faster for a moment ([`Estimator::take_probe`]) when more is wanted, and [`probe_result`] measures;
//! - [`alr`] knows whether what is sent says anything about the link;
//! - [`path`] measures the round trip, and asks for a little less while a queue of our own drains.
//!
//! A client without such feedback is judged by its receiver reports and its REMB ([`reports`]), from a slow start.
//!
//! This is GCC (draft-ietf-rmcat-gcc-02) as libwebrtc has it, written anew after the files of its branch M128
//! (branch-heads/6613, BSD licence) that each module names, where each says what is different and why.
//! `rtc::interceptor` has a `GccEstimator`, which this replaces: it neither probes nor knows application limits, so that
//! 1 to 3 Mbps takes it 14 s and a quiet minute all it knew, and it hashes three times per packet.
//!
//! # How to drive it
//!
//! - `now` never goes backwards. [`Estimator::poll`] every 5 ms or so: then the estimate may have changed, and
//!   [`Estimator::take_probe`] may have something.
//! - [`Estimator::on_sent`] for every packet that has a transport-wide number, and these are consecutive; `bytes` as they
//!   count against the budget.
//! - [`Estimator::set_demand`] whenever it changes: what would be sent if there were no limit, retransmissions and all.
//!   At 0 there are no probes.
//! - A probe: packets marked with its id, as evenly as the pacer can at its rate, until its bytes and packets are out. The next
//!   is taken when one is out; one that cannot be sent may be forgotten.
//!
//! # What it reaches
//!
//! `tests/adaptation.rs` runs it over an emulated link: 3 to 1 Mbps within 1 s, 1 to 3 Mbps within 5 s; then 85 to 105 %
//! of the capacity, at a 95th percentile of at most 100 ms in the queue. docs/adaptation.md tells of whole rooms.
//!
//! # Invariants
//!
//! No message of a client panics, takes more than its length's worth of time (and one walk through the history), or takes
//! the estimate out of [`EstimatorConfig`]'s bounds. A liar gets what it asks for, on its own downlink.

mod acknowledged;
mod aimd;
mod alr;
mod history;
mod inter_arrival;
mod loss;
mod path;
mod probe_result;
mod probing;
mod reports;
mod transport;
mod trendline;

use std::time::{Duration, Instant};

pub use probing::{Probe, ProbeId};

use crate::prefetch::{Distance, prefetch};
use crate::rtcp::TransportFeedback;
use crate::unit::Bitrate;
use probing::{ProbeController, Situation};
use reports::Reported;
use transport::Transport;

/// Who was silent for so long is not believed any more, µs.
const STALE_US: i64 = 10_000_000;

/// A REMB holds for so long, µs; it is to come every second.
const REMB_KEPT_US: i64 = 5_000_000;

/// Who is sent nothing says nothing: a REMB that does not come for so long forbids no attempt, µs.
const REMB_SILENT_US: i64 = 2_500_000;

/// The first feedback takes no longer than this, nor do the first reports of who gives none, nor the first probes, all µs.
const FIRST_FEEDBACK_US: i64 = 1_000_000;
const FIRST_REPORT_US: i64 = 2_500_000;
const FIRST_PROBES_US: i64 = 3_000_000;

/// The bounds of an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EstimatorConfig {
    pub min: Bitrate,
    /// What is assumed when the first feedback comes.
    pub start: Bitrate,
    pub max: Bitrate,
}

impl Default for EstimatorConfig {
    fn default() -> Self {
        Self { min: Bitrate(30_000), start: Bitrate(600_000), max: Bitrate(100_000_000) }
    }
}

/// What tells; when it last did, in µs.
#[derive(Debug, Clone, Copy)]
enum Source {
    Reports,
    Remb(i64),
    Transport(i64),
}

/// See the module's text.
#[derive(Debug)]
pub struct Estimator {
    epoch: Instant,
    config: EstimatorConfig,
    demand: f64,
    source: Option<Source>,
    /// When the first packet was sent.
    began: Option<i64>,
    /// Packets have transport-wide numbers.
    is_numbered: bool,
    /// Bits per second, of another source than transport-wide feedback.
    told: f64,
    transport: Transport,
    probing: ProbeController,
    reported: Reported,
    reported_loss: f64,
}

impl Estimator {
    /// An estimator that was told nothing. Allocates with the first packet.
    pub fn new(now: Instant, config: EstimatorConfig) -> Self {
        let min = config.min.0.max(1) as f64;
        let bounds = (min, (config.max.0 as f64).max(min));
        Self {
            epoch: now,
            config,
            demand: 0.0,
            source: None,
            began: None,
            is_numbered: false,
            told: 0.0,
            transport: Transport::new(config.start.0 as f64, bounds),
            probing: ProbeController::default(),
            reported: Reported::default(),
            reported_loss: 0.0,
        }
    }

    /// Bits per second that fit; `None` before anything was told.
    pub fn estimate(&self) -> Option<Bitrate> {
        self.bounded(self.transport.estimate())
    }

    /// Bits per second that will fit when a queue of our own has drained.
    pub fn when_drained(&self) -> Option<Bitrate> {
        self.bounded(self.transport.rate())
    }

    fn bounded(&self, transport: f64) -> Option<Bitrate> {
        let rate = match self.source? {
            Source::Transport(_) => transport,
            Source::Remb(_) | Source::Reports => self.told,
        };
        let min = self.config.min;
        Some(Bitrate(rate as u64).clamp(min, self.config.max.max(min)))
    }

    /// Whether the estimate, or what is missing of one, says nothing yet: no packet was sent, no feedback came, or the
    /// first probes are on their way.
    pub fn is_guess(&self, now: Instant) -> bool {
        let Some(began) = self.began else { return true };
        let age = self.micros(now) - began;
        match self.source {
            None => age < if self.is_numbered { FIRST_FEEDBACK_US } else { FIRST_REPORT_US },
            Some(Source::Transport(_)) => {
                let measures = self.transport.is_guess() || self.probing.is_active();
                age < FIRST_PROBES_US && measures && self.transport.decreased().is_none()
            }
            Some(Source::Remb(_) | Source::Reports) => false,
        }
    }

    /// What is assumed meanwhile.
    pub fn guess(&self) -> Bitrate {
        let estimate = self.estimate().unwrap_or(self.config.start);
        if self.transport.is_guess() { estimate.max(self.config.start) } else { estimate }
    }

    /// What tells: `twcc`, `remb` or `reports`.
    pub fn source(&self) -> Option<&'static str> {
        self.source.map(|source| match source {
            Source::Transport(_) => "twcc",
            Source::Remb(_) => "remb",
            Source::Reports => "reports",
        })
    }

    /// The share of packets that were lost lately, 0 to 1.
    pub fn loss(&self) -> f64 {
        match self.source {
            Some(Source::Transport(_)) => self.transport.loss(),
            _ => self.reported_loss,
        }
    }

    /// From transport-wide feedback.
    pub fn rtt(&self) -> Option<Duration> {
        self.transport.rtt().map(|micros| Duration::from_micros(micros.max(0) as u64))
    }

    /// Less is sent than would fit.
    pub fn is_application_limited(&self) -> bool {
        self.transport.is_application_limited()
    }

    /// The delay grows right now.
    pub fn is_overusing(&self) -> bool {
        self.transport.is_overusing()
    }

    /// What would be sent at most if nothing limited it.
    pub fn set_demand(&mut self, demand: Bitrate) {
        self.demand = demand.0 as f64;
    }

    /// What [`Self::set_demand`] was told.
    pub const fn demand(&self) -> Bitrate {
        Bitrate(self.demand as u64)
    }

    /// See [`prefetch`](crate::prefetch): what a packet that is sent touches.
    #[inline]
    pub fn prefetch(&self, distance: Distance) {
        if distance == Distance::Far {
            prefetch(&self.began);
        }
        self.transport.prefetch(distance);
    }

    /// A packet is sent.
    pub fn on_sent(&mut self, now: Instant, number: u16, bytes: usize, probe: Option<ProbeId>) {
        self.on_sent_after(micros(self.epoch, now), number, bytes, probe);
    }

    /// The same, so many [`micros`] after the estimator was made: who sends one packet to many need not reckon for each.
    #[inline]
    pub fn on_sent_after(&mut self, now: i64, number: u16, bytes: usize, probe: Option<ProbeId>) {
        if self.transport.is_unused() && self.began.is_none() {
            (self.began, self.is_numbered) = (Some(now), true);
        }
        self.transport.on_sent(now, number, bytes, probe.map_or(0, |id| id.0));
    }

    /// A packet without a transport-wide number is sent, so many [`micros`] after the estimator was made.
    #[inline]
    pub fn on_sent_unnumbered(&mut self, now: i64, bytes: usize) {
        self.began.get_or_insert(now);
        self.reported.on_sent(bytes);
    }

    /// Feedback came.
    pub fn on_feedback(&mut self, now: Instant, feedback: &TransportFeedback<'_>) {
        let now = self.micros(now);
        let Some(measured) = self.transport.on_feedback(now, feedback) else { return };
        self.source = Some(Source::Transport(now));
        if let Some(measured) = measured.filter(|measured| measured.capacity.is_none()) {
            let situation = Situation { is_calm: self.transport.stays_calm(now), ..self.situation(now) };
            self.probing.on_result(measured.rate, situation);
        }
    }

    /// A REMB came.
    pub fn on_remb(&mut self, now: Instant, bitrate: Bitrate) {
        let now = self.micros(now);
        if !matches!(self.source, Some(Source::Transport(at)) if now - at < STALE_US) {
            self.source = Some(Source::Remb(now));
            self.told = self.reported.on_remb(now, bitrate.0 as f64);
        }
    }

    /// Receiver reports say that so much is lost, 0 to 1, and perhaps the round trip.
    pub fn on_reports(&mut self, now: Instant, fraction: f64, rtt: Option<Duration>) {
        let now = self.micros(now);
        self.reported_loss = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        if let Some(rtt) = rtt {
            self.reported.on_round_trip(now, rtt.as_micros() as i64);
        }
        // Every client sends receiver reports: one that is to tell more is not judged by them but for loss before it did.
        let (is_judged, source) = match self.source {
            None => (!self.is_numbered || self.reported_loss > reports::HIGH, Source::Reports),
            Some(Source::Reports) => (true, Source::Reports),
            // Firefox says when it gets too much, and not when that has passed.
            Some(Source::Remb(at)) if now - at > REMB_KEPT_US => (true, Source::Reports),
            Some(remb @ Source::Remb(_)) => (!self.reported.is_capped(), remb),
            Some(transport @ Source::Transport(_)) => (false, transport),
        };
        if is_judged {
            self.source = Some(source);
            let start = self.config.start.0 as f64;
            let start = if self.is_numbered { self.demand.max(start) } else { start };
            self.told = self.reported.on_report(now, self.reported_loss, start, self.demand);
        }
    }

    /// Time passes.
    pub fn poll(&mut self, now: Instant) {
        if self.source.is_none() {
            return;
        }
        let now = self.micros(now);
        if matches!(self.source, Some(Source::Transport(_))) {
            self.transport.poll(now);
        }
        let is_silent = match self.source {
            Some(Source::Remb(at)) => now - at > REMB_SILENT_US,
            source => matches!(source, Some(Source::Reports)),
        };
        if is_silent && let Some(told) = self.reported.poll(now, self.config.start.0 as f64) {
            self.told = told;
        }
        if matches!(self.source, Some(Source::Transport(_) | Source::Remb(_))) {
            self.probing.poll(self.situation(now));
        }
    }

    /// The next probe to send, if it is time for one.
    pub fn take_probe(&mut self) -> Option<Probe> {
        let probe = self.probing.take()?;
        self.transport.expect_probe(&probe);
        Some(probe)
    }

    fn situation(&self, now: i64) -> Situation {
        Situation {
            now,
            estimate: self.estimate().map_or(0.0, |estimate| estimate.0 as f64).max(1.0),
            demand: self.demand,
            max: self.config.max.0 as f64,
            is_calm: self.transport.is_calm(now),
            decreased: self.transport.decreased(),
            is_first: self.began.is_none_or(|began| now - began < FIRST_PROBES_US),
        }
    }

    fn micros(&self, now: Instant) -> i64 {
        micros(self.epoch, now)
    }
}

/// Microseconds between two times; 0 if they are the other way round.
pub fn micros(epoch: Instant, now: Instant) -> i64 {
    let since = now.saturating_duration_since(epoch);
    // Not `as_micros`, which divides 128 bits.
    since.as_secs() as i64 * 1_000_000 + i64::from(since.subsec_micros())
}

#[cfg(test)]
mod tests;
