//! Sharing a budget out.
//!
//! A step up a ladder has a *price*: its bits, divided by what the video counts for ([`Request::weight`]), by how blurred
//! its picture still is, and by [`KEPT`] if the video has it already. Of everybody's next steps the cheapest is taken; one
//! that does not fit ends its video's climb. The utility of a step is its bits by its price.
//!
//! Why more budget is better: either it admits more videos (which may take from those that were there, since all come
//! before more of any). Or let `s` be the first step that fits the larger budget only. Until then both spent the same, and
//! what the smaller one has left is less than the bits of `s`.
//! - Between equals the price is the bits: when the cheapest step does not fit, none does, so that a larger budget only
//!   appends steps. Nobody's layer falls.
//! - Where steps grow along each ladder, as encodings and spatial layers do, all later steps have a higher price than `s`,
//!   so that what is left brings less utility than `s` alone. The sum of the utilities does not fall.

use std::ops::Range;
use std::time::Duration;

use crate::control::Limit;
use crate::unit::Bitrate;

use super::ladder::{self, Rung, Top};
use super::{Budget, Decision, Offer, Request};

/// Going up must fit into this part of the budget, in percent. An estimate that swings by 5 % to both sides thus never
/// gives what it took: 1.05 * 0.90 < 0.95.
pub const RAISE_SHARE: u64 = 90;

/// Going up waits for so long after want of bandwidth took a layer away: an estimator that has backed off needs about a
/// second to find the new rate, and a viewer forgives one change in some seconds.
pub const RAISE_AFTER: Duration = Duration::from_millis(2_000);

/// What a video has already is cheaper by this factor, so that measured bitrates that swing do not change the order: where
/// a rung costs half as much again as the one below, 3 % to both sides swing the step between them by 1.35.
const KEPT: f64 = 1.5;

/// How much the most blurred picture is preferred: one that is shown at four times its width and height or more.
const MAX_BLUR: f64 = 4.0;

/// Shares budgets out. It only keeps its memory from one call to the next.
#[derive(Debug, Default)]
pub struct Allocator {
    rungs: Vec<Rung>,
    climbs: Vec<Climb>,
    order: Vec<u32>,
    decisions: Vec<Decision>,
}

/// A video's way up.
#[derive(Debug, Clone)]
struct Climb {
    rungs: Range<usize>,
    top: Top,
    weight: f64,
    /// As many rungs as it had before.
    kept: usize,
    /// Rungs taken.
    taken: usize,
    /// Bandwidth took a layer away only lately.
    held: bool,
    /// It was paused for want of bandwidth, so that its first rung is a raise like the others.
    resumes: bool,
    /// The pixels that it is shown at.
    shown: Option<u32>,
    /// A rung did not fit, or there is none left.
    ended: bool,
    /// Rungs that may be taken.
    most: usize,
}

impl Allocator {
    /// Decides for all requests of one receiver; `offers` are those of all requests.
    pub fn allocate(&mut self, requests: &[Request], offers: &[Offer], budget: Budget) {
        self.rungs.clear();
        self.climbs.clear();
        for request in requests {
            let climb = Climb::new(request, &offers[request.offers.clone()], &mut self.rungs);
            self.climbs.push(climb);
        }
        let (admit, keep, raise) = match budget {
            Budget::Unlimited => (u64::MAX, u64::MAX, u64::MAX),
            Budget::Guessed(rate) => (u64::MAX, rate.0, rate.0),
            Budget::Known { admit, keep, raise } => (admit.0.max(keep.0), keep.0, raise.0.min(keep.0)),
        };
        let is_guess = matches!(budget, Budget::Guessed(_));
        let raise = raise / 100 * RAISE_SHARE;
        let mut purse = Purse { budget: admit, raise: if is_guess { u64::MAX } else { raise }, spent: 0 };
        self.admit(&mut purse);
        if is_guess {
            // More than its lowest picture nobody gets for a guess, and that need not jerk.
            let Self { climbs, rungs, .. } = self;
            climbs.iter_mut().for_each(|climb| climb.end_with_first_picture(rungs));
        }
        self.climb(&mut Purse { budget: keep, raise, spent: purse.spent });
        self.decisions.clear();
        let decide = |climb: &Climb| climb.decision(&self.rungs);
        self.decisions.extend(self.climbs.iter().map(decide));
    }

    /// The decisions of the last call, in the requests' order.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// What all videos of the last call would take at the top of their ladders.
    pub fn demand(&self) -> Bitrate {
        let top = |climb: &Climb| self.rungs[climb.rungs.clone()].last().map_or(0, |top| top.cost);
        Bitrate(self.climbs.iter().map(top).fold(0, u64::saturating_add))
    }

    /// Everybody's lowest.
    fn admit(&mut self, purse: &mut Purse) {
        let Self { climbs, rungs, order, .. } = self;
        order.clear();
        order.extend(0..climbs.len() as u32);
        let first_price = |climb: &Climb| climb.first_price(rungs);
        order.sort_unstable_by(|a, b| {
            let (one, other) = (&climbs[*a as usize], &climbs[*b as usize]);
            let by_weight = other.weight.total_cmp(&one.weight);
            by_weight.then(first_price(one).total_cmp(&first_price(other))).then(a.cmp(b))
        });
        for index in order.iter() {
            let climb = &mut climbs[*index as usize];
            let Some(first) = rungs[climb.rungs.clone()].first() else { continue };
            climb.take(first.cost, climb.resumes, purse);
        }
    }

    /// Step by step, the cheapest first.
    fn climb(&mut self, purse: &mut Purse) {
        let Self { climbs, rungs, .. } = self;
        loop {
            let mut best: Option<(f64, usize)> = None;
            for (index, climb) in climbs.iter_mut().enumerate().filter(|(_, climb)| !climb.ended) {
                let Some(price) = climb.next_price(rungs) else {
                    climb.ended = true;
                    continue;
                };
                if best.is_none_or(|(cheapest, _)| price < cheapest) {
                    best = Some((price, index));
                }
            }
            let Some((_, index)) = best else { return };
            let climb = &mut climbs[index];
            climb.take(climb.step(rungs), climb.taken >= climb.kept, purse);
        }
    }

    /// The utility of the last decisions' steps above the lowest rungs.
    #[cfg(test)]
    pub(super) fn utility(&self) -> f64 {
        let of = |climb: &Climb| {
            let step = |taken| Climb { taken, ..climb.clone() };
            let utility = |at: Climb| Some(at.step(&self.rungs) as f64 / at.next_price(&self.rungs)?);
            (1..climb.taken).filter_map(|taken| utility(step(taken))).sum::<f64>()
        };
        self.climbs.iter().map(of).sum()
    }
}

/// What there is to spend.
#[derive(Debug)]
struct Purse {
    budget: u64,
    /// Of that, for going up.
    raise: u64,
    spent: u64,
}

impl Climb {
    fn new(request: &Request, offers: &[Offer], rungs: &mut Vec<Rung>) -> Self {
        let from = rungs.len();
        let unwanted = request.unwanted().map(|limit| Top { limit, asked: None });
        let top = unwanted.unwrap_or_else(|| ladder::build(request, offers, rungs));
        let had = request.previous.and_then(|previous| previous.wanted);
        let kept = rungs[from..].iter().take_while(|rung| Some(rung.wanted) <= had).count();
        let since = request.previous.and_then(|previous| previous.since_lowered);
        Self {
            rungs: from..rungs.len(),
            top,
            weight: request.weight(),
            kept,
            taken: 0,
            held: since.is_some_and(|since| since < RAISE_AFTER),
            resumes: request.previous.is_some_and(|previous| previous.wanted.is_none()),
            shown: request.settings.size.map(ladder::pixels).or_else(|| rungs[from..].last()?.pixels),
            ended: from == rungs.len(),
            most: rungs.len() - from,
        }
    }

    /// No larger picture than the first may be taken.
    fn end_with_first_picture(&mut self, rungs: &[Rung]) {
        let ladder = &rungs[self.rungs.clone()];
        let picture = |rung: &Rung| (rung.wanted.encoding, rung.wanted.spatial);
        self.most = ladder.iter().take_while(|rung| picture(rung) == picture(&ladder[0])).count();
    }

    /// What the lowest rung costs, for the order among equals.
    fn first_price(&self, rungs: &[Rung]) -> f64 {
        let cost = rungs[self.rungs.clone()].first().map_or(0.0, |rung| rung.cost as f64);
        if self.kept > 0 { cost / KEPT } else { cost }
    }

    /// The bits of the next step.
    fn step(&self, rungs: &[Rung]) -> u64 {
        let rungs = &rungs[self.rungs.clone()];
        rungs[self.taken].cost - rungs[self.taken - 1].cost
    }

    /// The price of the next step; `None`: there is none.
    fn next_price(&self, rungs: &[Rung]) -> Option<f64> {
        let ladder = &rungs[self.rungs.clone()];
        let now = ladder.get(self.taken.checked_sub(1)?).filter(|_| self.taken < self.most)?;
        let scale = self.shown.zip(now.pixels).map_or(1.0, |(shown, has)| f64::from(shown) / f64::from(has.max(1)));
        let kept = if self.taken < self.kept { KEPT } else { 1.0 };
        Some(self.step(rungs) as f64 / (self.weight * scale.sqrt().clamp(1.0, MAX_BLUR) * kept))
    }

    /// Takes the next rung if it can be paid.
    fn take(&mut self, bits: u64, raises: bool, purse: &mut Purse) {
        let limit = if raises { purse.raise } else { purse.budget };
        let spent = purse.spent.saturating_add(bits);
        if spent > limit || (raises && self.held) {
            self.ended = true;
        } else {
            purse.spent = spent;
            self.taken += 1;
        }
    }

    fn decision(&self, rungs: &[Rung]) -> Decision {
        let ladder = &rungs[self.rungs.clone()];
        let is_top = self.taken == ladder.len();
        let limit = if is_top { self.top.limit } else { Limit::Bandwidth };
        let Some(rung) = self.taken.checked_sub(1).map(|at| ladder[at]) else {
            return Decision { asked: self.top.asked.filter(|_| is_top), ..Decision::nothing(limit) };
        };
        let asked = if is_top { self.top.asked.max(Some(rung.wanted)) } else { Some(rung.wanted) };
        Decision { layer: rung.sent, wanted: Some(rung.wanted), asked, bitrate: Bitrate(rung.cost), limit }
    }
}
