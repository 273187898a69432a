//! Who gets which layer: what a receiver wants of its videos, what their publishers offer and what its connection
//! carries, in; a layer for each, out. A pure function: it knows no clock, no room and no packet.
//!
//! 1. Audio and retransmissions are taken off first ([`video_budget`]).
//! 2. Every video gets a *ladder* ([`ladder`]): the layers that are worth having, cheapest first, up to what it is shown
//!    at and to what the application allows.
//! 3. Every video gets its lowest rung, in the order of weight, cheaper ones first among equals. One that does not fit is
//!    paused, and the next is tried ([`share`]). Nobody is paused for a guess ([`Budget::Guessed`]).
//! 4. Then rung by rung: the next one is the cheapest for its weight and for how blurred the picture still is. One that
//!    does not fit ends the climb of its video; the others go on.
//!
//! A worker that is past its limit cuts ladders off at the top, those of all its receivers by one rule ([`shed`]).
//!
//! Going down happens at once. Going up must fit into [`share::RAISE_SHARE`] of the budget and wait for
//! [`share::RAISE_AFTER`], and what is there already counts as cheaper than it is, so that noise moves nothing.
//!
//! Invariants, held by property tests:
//! - What is decided never costs more than a known budget; what nobody wants costs nothing.
//! - More budget is better: nobody is paused by it, between equals. While it brings nobody back, nobody's layer falls
//!   between equals, nor between all the sum of utilities, where steps grow along each ladder (proven in [`share`]).
//! - Of two that are alike, the one of higher weight never gets less.
//! - The same input gives the same output, and an output that comes back as the previous decision is repeated.

mod ladder;
mod recent;
mod reserve;
mod share;
pub mod shed;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::Duration;

pub use recent::Recent;
pub use reserve::{Budget, video_budget};
pub use share::{Allocator, RAISE_AFTER, RAISE_SHARE};
pub use shed::{Cut, Shed};

use crate::control::{Limit, Priority, Size, SubscriptionSettings};
use crate::layers::Layer;
use crate::unit::Bitrate;

/// Whether a layer comes, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It arrives.
    Flows,
    /// It was paused for want of takers: it comes when it is wanted.
    OnDemand,
    /// The publisher does not send it although it is wanted.
    Withheld,
}

/// A layer of a publication.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offer {
    pub layer: Layer,
    /// With the layers below it in its encoding.
    pub bitrate: Bitrate,
    pub size: Option<Size>,
    pub fps: Option<f32>,
    pub availability: Availability,
}

/// Why nothing may be sent, whatever the bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The publisher muted it.
    Muted,
    /// The receiver has no such codec.
    Codec,
}

/// What was decided before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// [`Decision::wanted`]; `None`: paused for want of bandwidth.
    pub wanted: Option<Layer>,
    /// Since want of bandwidth last took a layer away; `None`: never.
    pub since_lowered: Option<Duration>,
}

/// A video that a receiver may be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub settings: SubscriptionSettings,
    /// The receiver gave it a slot by name.
    pub pinned: bool,
    /// A shared screen: sharp before smooth.
    pub screen: bool,
    pub obstacle: Option<Obstacle>,
    /// What the worker's load takes away.
    pub cut: Cut,
    /// Its offers' places in the list that all requests share: ascending by layer, each layer once.
    pub offers: Range<usize>,
    /// `None`: it is new, or was not wanted.
    pub previous: Option<Previous>,
}

impl Request {
    /// How much it counts against others. A step up in priority is worth four times the bits, and so is being pinned; a
    /// shared screen, which is there to be read, is worth twice a camera.
    pub fn weight(&self) -> f64 {
        let priority = match self.settings.priority {
            Priority::Low => 1.0,
            Priority::Medium => 4.0,
            Priority::High => 16.0,
        };
        let pinned = if self.pinned { 4.0 } else { 1.0 };
        let screen = if self.screen { 2.0 } else { 1.0 };
        priority * pinned * screen
    }

    /// Why nothing is wanted, if so: the reason that lasts longest goes first.
    fn unwanted(&self) -> Option<Limit> {
        match self.obstacle {
            Some(Obstacle::Codec) => Some(Limit::Codec),
            Some(Obstacle::Muted) => Some(Limit::Muted),
            None if !self.settings.enabled => Some(Limit::Disabled),
            None if !self.settings.visible => Some(Limit::Hidden),
            None if self.cut == Cut::All => Some(Limit::Overload),
            None => None,
        }
    }
}

/// What a video gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// To be sent now: it flows. `None`: nothing.
    pub layer: Option<Layer>,
    /// To be sent as soon as it flows.
    pub wanted: Option<Layer>,
    /// What would be taken if it came; better than `wanted` where the publisher withholds it.
    pub asked: Option<Layer>,
    /// What it takes of the budget.
    pub bitrate: Bitrate,
    /// What keeps it from being better.
    pub limit: Limit,
}

impl Decision {
    const fn nothing(limit: Limit) -> Self {
        Self { layer: None, wanted: None, asked: None, bitrate: Bitrate(0), limit }
    }
}
