//! What a publication offers its subscribers to choose from: measured, remembered or, where nothing came yet, assumed.
//!
//! Invariants:
//! - Ascending by layer. An encoding that was paused for want of takers is always in it, so that it can be wanted again.
//! - One that never came is assumed to be like those that did, unless they have spatial layers: who sends all sizes in one
//!   encoding negotiates others and leaves them empty.
//! - Bitrates rise at once and fall slowly: what a scene without movement leaves free is not given away, since it is
//!   needed again with the next movement.

use arrayvec::ArrayVec;

use crate::alloc::{Availability, Offer};
use crate::control::Size;
use crate::layers::{Layer, LayerOffer, MAX_ENCODINGS};
use crate::unit::Bitrate;

use super::demand::Demand;
use super::receiver::MAX_OFFERS;

/// What packets weigh on the wire beyond their RTP: 28 bytes of UDP and IPv4 and 16 of SRTP to about 800.
const OVERHEAD: u64 = 16;

/// A bitrate that fell is followed by this part of the way per refresh: half of it in a second.
const FALL: u64 = 16;

/// Bits per pixel and second that video takes before it was measured: 0.07 bits per pixel at 30 frames per second, as
/// browsers spend on cameras (1.9 Mbps for 720p).
const ASSUMED_BITS_PER_PIXEL: u64 = 2;

/// The smallest encoding, where not even its size is known.
const ASSUMED: u64 = 150_000;

/// Deviations of this part of the bitrates, in percent, matter to those who have none to spare.
const MATTERS: u64 = 5;

/// What became different by a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Nothing,
    /// What layers cost.
    Bitrates,
    /// Which layers there are, or their sizes.
    Layers,
}

/// What a publication offers.
#[derive(Debug, Default)]
pub struct Catalog {
    offers: Vec<Offer>,
    /// The sum of the bitrates when a change was told last.
    told: u64,
}

impl Catalog {
    /// Of the lowest layer first.
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// The offer of a layer.
    pub fn offer(&self, layer: Layer) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.layer == layer)
    }

    /// The highest spatial layer of an encoding.
    pub fn top_spatial(&self, encoding: u8) -> Option<u8> {
        self.offers.iter().filter(|offer| offer.layer.encoding == encoding).map(|offer| offer.layer.spatial).max()
    }

    /// Takes over what was measured of an m-line with so many encodings. `availability` says what a layer that does not
    /// flow is.
    pub fn refresh(
        &mut self,
        measured: &[LayerOffer],
        encodings: usize,
        availability: impl Fn(Layer) -> Availability,
    ) -> Change {
        let is_scalable = measured.iter().any(|offer| offer.layer.spatial > 0);
        let mut fresh = ArrayVec::<Offer, { MAX_OFFERS + MAX_ENCODINGS }>::new();
        for encoding in 0..encodings.min(MAX_ENCODINGS) as u8 {
            let of = || measured.iter().filter(move |offer| offer.layer.encoding == encoding);
            for offer in of() {
                let state = if offer.flows { Availability::Flows } else { availability(offer.layer) };
                let bitrate = self.bitrate(offer);
                let LayerOffer { layer, size, fps, .. } = *offer;
                fresh.push(Offer { layer, bitrate, size, fps, availability: state });
            }
            if of().next().is_none() && !is_scalable {
                fresh.extend(assumed(encoding, measured).map(|o| Offer { availability: availability(o.layer), ..o }));
            }
        }
        let what = |offer: &Offer| (offer.layer, offer.size, offer.availability);
        let same = fresh.iter().map(what).eq(self.offers.iter().map(what));
        self.offers.clear();
        self.offers.extend(fresh);
        let sum = self.offers.iter().map(|offer| offer.bitrate.0).sum::<u64>();
        let differs = sum.abs_diff(self.told).saturating_mul(100) > self.told.saturating_mul(MATTERS);
        if !same || differs {
            self.told = sum;
        }
        match (same, differs) {
            (false, _) => Change::Layers,
            (true, true) => Change::Bitrates,
            (true, false) => Change::Nothing,
        }
    }

    fn bitrate(&self, offer: &LayerOffer) -> Bitrate {
        let before = self.offer(offer.layer).map_or(0, |before| before.bitrate.0);
        let rate = match offer.bitrate.0 {
            0 => assumed_bitrate(offer.layer, offer.size),
            rate => rate + rate / OVERHEAD,
        };
        Bitrate(if rate < before { before - (before - rate) / FALL } else { rate })
    }
}

/// What an encoding that never came will be like, by the nearest one that did.
fn assumed(encoding: u8, measured: &[LayerOffer]) -> Option<Offer> {
    let distance = |offer: &&LayerOffer| (offer.layer.encoding.abs_diff(encoding), u8::MAX - offer.layer.temporal);
    let like = measured.iter().min_by_key(distance)?;
    let steps = i32::from(encoding) - i32::from(like.layer.encoding);
    let scale = |length: u16| if steps > 0 { length.saturating_mul(1 << steps.min(8)) } else { length >> -steps };
    let size = like.size.map(|size| Size { width: scale(size.width), height: scale(size.height) });
    // Twice the width and height costs three and a half times as much: browsers' own ladders are 150, 500, 1,700 kbps.
    let like_rate = like.bitrate.0.max(ASSUMED / 4);
    let rate = (0..steps.abs()).fold(like_rate, |rate, _| if steps > 0 { rate * 7 / 2 } else { rate * 2 / 7 });
    let layer = Layer { encoding, ..like.layer };
    Some(Offer { layer, bitrate: Bitrate(rate), size, fps: like.fps, availability: Availability::Withheld })
}

/// Before a layer that flows was measured.
fn assumed_bitrate(layer: Layer, size: Option<Size>) -> u64 {
    match size {
        Some(size) => u64::from(size.width) * u64::from(size.height) * ASSUMED_BITS_PER_PIXEL,
        None => ASSUMED << (2 * (layer.encoding.max(layer.spatial)).min(4)),
    }
}

/// What a layer that does not flow is, by what was asked of the publisher.
pub fn availability(demand: &Demand, now: std::time::Instant) -> impl Fn(Layer) -> Availability + '_ {
    move |layer| if demand.may_come(now, layer) { Availability::OnDemand } else { Availability::Withheld }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(encoding: u8) -> Layer {
        Layer { encoding, spatial: 0, temporal: 0 }
    }

    fn measured(encoding: u8, kbps: u64, flows: bool) -> LayerOffer {
        let size = Some(Size { width: 320 << encoding, height: 180 << encoding });
        LayerOffer { layer: layer(encoding), bitrate: Bitrate(kbps * 1_000), size, fps: Some(30.0), flows }
    }

    fn on_demand(_: Layer) -> Availability {
        Availability::OnDemand
    }

    #[test]
    fn what_never_came_is_assumed() {
        let mut catalog = Catalog::default();
        assert_eq!(catalog.refresh(&[], 3, on_demand), Change::Nothing, "nothing to go by");
        assert_eq!(catalog.refresh(&[measured(0, 160, true)], 3, on_demand), Change::Layers);
        let figures: Vec<_> = catalog.offers().iter().map(|o| (o.layer.encoding, o.bitrate.0, o.size)).collect();
        let size = |width, height| Some(Size { width, height });
        assert_eq!(
            figures,
            [(0, 170_000, size(320, 180)), (1, 560_000, size(640, 360)), (2, 1_960_000, size(1_280, 720))]
        );
        assert_eq!(catalog.offers()[0].availability, Availability::Flows);
        assert_eq!(catalog.offers()[2].availability, Availability::OnDemand);
    }

    #[test]
    fn who_sends_spatial_layers_sends_no_other_encodings() {
        let mut catalog = Catalog::default();
        let spatial = LayerOffer { layer: Layer { spatial: 1, ..layer(0) }, ..measured(0, 500, true) };
        catalog.refresh(&[measured(0, 150, true), spatial], 3, on_demand);
        assert!(catalog.offers().iter().all(|offer| offer.layer.encoding == 0), "{:?}", catalog.offers());
    }

    #[test]
    fn bitrates_rise_at_once_and_fall_slowly() {
        let mut catalog = Catalog::default();
        let mut at = |kbps| {
            let change = catalog.refresh(&[measured(0, kbps, true)], 1, on_demand);
            (change, catalog.offers()[0].bitrate.0)
        };
        assert_eq!(at(0), (Change::Layers, 320 * 180 * 2), "not yet measured");
        assert_eq!(at(1_600), (Change::Bitrates, 1_700_000));
        assert_eq!(at(1_616), (Change::Nothing, 1_717_000));
        let (_, after) = at(160);
        assert_eq!(after, 1_717_000 - (1_717_000 - 170_000) / 16);
        let later = (0..60).fold(after, |_, _| at(160).1);
        assert!(later < 210_000, "{later}");
    }

    #[test]
    fn a_change_of_what_there_is_is_told() {
        let mut catalog = Catalog::default();
        catalog.refresh(&[measured(0, 150, true), measured(1, 500, true)], 2, on_demand);
        let stopped = [measured(0, 150, true), measured(1, 500, false)];
        assert_eq!(catalog.refresh(&stopped, 2, on_demand), Change::Layers);
        assert_eq!(catalog.refresh(&stopped, 2, on_demand), Change::Nothing);
        assert_eq!(catalog.offer(layer(1)).unwrap().availability, Availability::OnDemand);
    }
}
