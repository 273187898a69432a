//! The layers of one video that are worth having, and how far up it may go.
//!
//! Invariants: rungs rise in layer and never fall in cost; a layer that costs no less than a better one is left out,
//! except the one that the video has now.

use crate::control::{Limit, Quality, Size, SubscriptionSettings};
use crate::layers::Layer;
use crate::unit::Bitrate;

use super::{Availability, Cut, Offer, Request};

/// A picture of this part of the size that it is shown at, in width and height, is sharp enough, in percent: few tell a
/// picture that is scaled up by a quarter from one that is not, and the next encoding costs three to four times as much.
const SHARP_ENOUGH: u64 = 80;

/// A frame rate of this part of the wanted one is enough: sources run at 29.97 or 14.8.
const FAST_ENOUGH: f32 = 0.9;

/// A camera's larger pictures are not used at fewer frames per second: a smaller one that moves is better than a large
/// one that jerks. (libwebrtc's `balanced` degradation keeps to the same order: frame rate before size below 15.)
const SMOOTH_FPS: f32 = 12.0;

/// The frame rate of a whole encoding that does not say it.
const USUAL_FPS: f32 = 30.0;

/// A layer on the way up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rung {
    pub wanted: Layer,
    /// What flows in its place.
    pub sent: Option<Layer>,
    pub cost: u64,
    /// Of a picture; `None`: unknown.
    pub pixels: Option<u32>,
}

/// The top of a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Top {
    /// What keeps a video that got there from being better.
    pub limit: Limit,
    /// What it would take if the publisher sent all that it could.
    pub asked: Option<Layer>,
}

/// How far up a video may go.
#[derive(Debug, Clone, Copy)]
struct Ceiling {
    /// The best picture for the size that it is shown at.
    size: Option<Picture>,
    /// The best picture that the application allows.
    quality: Option<Picture>,
    /// The best picture that the worker's load allows.
    load: Option<Picture>,
    max_fps: Option<u8>,
}

/// An encoding's spatial layer.
type Picture = (u8, u8);

const fn picture(layer: Layer) -> Picture {
    (layer.encoding, layer.spatial)
}

/// Appends the ladder of `request` to `rungs`, and returns what is at its top. There is always a rung if anything flows or
/// would.
pub(super) fn build(request: &Request, offers: &[Offer], rungs: &mut Vec<Rung>) -> Top {
    let from = rungs.len();
    let ceiling = Ceiling::of(&request.settings, request.cut, offers);
    let kept = request.previous.and_then(|previous| previous.wanted);
    let mut cost = 0;
    for offer in offers.iter().filter(|offer| ceiling.allows(offer, offers)) {
        if !request.screen && is_jerky(offer, offers, &ceiling, rungs.get(from)) {
            continue;
        }
        let sent = stand_in(offer.layer, offers, &ceiling);
        let flowing = sent.map_or(Bitrate(0), |sent| sent.bitrate);
        cost = cost.max(offer.bitrate.max(flowing).0);
        while rungs.len() > from && rungs[rungs.len() - 1].cost >= cost && Some(rungs[rungs.len() - 1].wanted) != kept {
            rungs.pop();
        }
        let pixels = offer.size.map(pixels);
        rungs.push(Rung { wanted: offer.layer, sent: sent.map(|sent| sent.layer), cost, pixels });
    }
    let asked = offers.iter().rev().find(|offer| ceiling.reaches(offer, offers)).map(|offer| offer.layer);
    let limit = rungs[from..].last().map_or(Limit::Publisher, |top| ceiling.limit(top, offers));
    Top { limit, asked }
}

/// What the top of a video's ladder takes.
pub(super) fn cost(settings: &SubscriptionSettings, cut: Cut, offers: &[Offer]) -> Bitrate {
    let ceiling = Ceiling::of(settings, cut, offers);
    let allowed = offers.iter().filter(|offer| ceiling.allows(offer, offers));
    allowed.map(|offer| offer.bitrate).max().unwrap_or(Bitrate(0))
}

pub(super) fn pixels(size: Size) -> u32 {
    u32::from(size.width) * u32::from(size.height)
}

/// What is sent while `wanted` does not flow: the best below it that does, or else the least above it.
fn stand_in<'a>(wanted: Layer, offers: &'a [Offer], ceiling: &Ceiling) -> Option<&'a Offer> {
    let flowing = |offer: &&Offer| offer.availability == Availability::Flows;
    let below = offers.iter().rev().filter(flowing).find(|o| o.layer <= wanted && ceiling.fast_enough(o, offers));
    below.or_else(|| offers.iter().filter(flowing).find(|offer| offer.layer > wanted))
}

/// Whether a layer of a larger picture than the first has too few frames, and its encoding has more of them to offer.
fn is_jerky(offer: &Offer, offers: &[Offer], ceiling: &Ceiling, first: Option<&Rung>) -> bool {
    let larger = first.is_some_and(|first| picture(first.wanted) < picture(offer.layer));
    larger
        && fps(offer, offers) < SMOOTH_FPS
        && of_picture(picture(offer.layer), offers)
            .any(|other| other.layer > offer.layer && ceiling.allows(other, offers))
}

fn of_picture(which: Picture, offers: &[Offer]) -> impl DoubleEndedIterator<Item = &Offer> {
    offers.iter().filter(move |offer| picture(offer.layer) == which)
}

/// An offer's frame rate: as it says, or half as many for each temporal layer that is left out.
fn fps(offer: &Offer, offers: &[Offer]) -> f32 {
    offer.fps.unwrap_or_else(|| {
        let left_out = of_picture(picture(offer.layer), offers).filter(|other| other.layer > offer.layer).count();
        USUAL_FPS / (1u32 << left_out.min(8)) as f32
    })
}

impl Ceiling {
    fn of(settings: &SubscriptionSettings, cut: Cut, offers: &[Offer]) -> Self {
        let covers = |offer: &&Offer| settings.size.zip(offer.size).is_some_and(|(shown, has)| covers(has, shown));
        let usable = |offer: &&Offer| offer.availability != Availability::Withheld;
        let best = offers.iter().filter(usable).find(covers).or_else(|| offers.iter().find(covers));
        Self {
            size: best.map(|offer| picture(offer.layer)),
            quality: best_picture(settings.max_quality, offers),
            load: cut.quality().and_then(|quality| best_picture(quality, offers)),
            max_fps: settings.max_fps,
        }
    }

    fn allows(&self, offer: &Offer, offers: &[Offer]) -> bool {
        offer.availability != Availability::Withheld && self.reaches(offer, offers)
    }

    /// The same, if the publisher withheld nothing.
    fn reaches(&self, offer: &Offer, offers: &[Offer]) -> bool {
        self.picture().is_none_or(|best| picture(offer.layer) <= best) && self.fast_enough(offer, offers)
    }

    /// The lowest of the ceilings.
    fn picture(&self) -> Option<Picture> {
        self.wanted().into_iter().chain(self.load).min()
    }

    /// The lower one of those that the receiver set.
    fn wanted(&self) -> Option<Picture> {
        self.size.into_iter().chain(self.quality).min()
    }

    /// Whether no layer below this one of the same picture has enough frames.
    fn fast_enough(&self, offer: &Offer, offers: &[Offer]) -> bool {
        let Some(max) = self.max_fps else { return true };
        let enough = FAST_ENOUGH * f32::from(max);
        let mut below = of_picture(picture(offer.layer), offers).filter(|other| other.layer < offer.layer);
        !below.any(|other| fps(other, offers) >= enough)
    }

    /// What keeps a video at the top of its ladder from being better.
    fn limit(&self, top: &Rung, offers: &[Offer]) -> Limit {
        if top.sent != Some(top.wanted) {
            return Limit::Publisher;
        }
        let mut better = offers.iter().filter(|offer| offer.layer > top.wanted).peekable();
        if better.peek().is_none() {
            Limit::None
        } else if better.clone().any(|offer| self.reaches(offer, offers)) {
            Limit::Publisher
        } else if better.all(|offer| picture(offer.layer) == picture(top.wanted)) {
            Limit::Cap
        } else if self.load.is_some_and(|load| self.wanted().is_none_or(|wanted| load < wanted)) {
            Limit::Overload
        } else if self.size.is_some() && self.size == self.picture() {
            Limit::Size
        } else {
            Limit::Cap
        }
    }
}

/// By area, so that it holds for a picture that is turned, and for one that is cropped to its element.
fn covers(has: Size, shown: Size) -> bool {
    u64::from(pixels(has)) * 100 * 100 >= u64::from(pixels(shown)) * SHARP_ENOUGH * SHARP_ENOUGH
}

/// The best picture of a [`Quality`]; `None`: all.
fn best_picture(quality: Quality, offers: &[Offer]) -> Option<Picture> {
    let is_first = |place: &usize| *place == 0 || picture(offers[*place].layer) != picture(offers[*place - 1].layer);
    let mut pictures = (0..offers.len()).filter(is_first).map(|place| picture(offers[place].layer));
    match quality {
        Quality::High => None,
        Quality::Low => pictures.next(),
        Quality::Medium => {
            let middle = pictures.clone().count() / 2;
            pictures.nth(middle)
        }
    }
}
