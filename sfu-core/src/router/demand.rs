//! Which encodings of a publication anybody takes, so that its publisher need not encode the others.
//!
//! Wanted: at once. No longer wanted: after [`KEPT_FOR`]. The lowest encoding stays while anybody looks, so that there is
//! something to fall back to. A publisher that does not understand it (WHIP) just goes on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::alloc::Decision;
use crate::control::{EncodingDemand, Event, Limit, TrackKind};
use crate::layers::{Layer, MAX_ENCODINGS, MAX_SPATIAL};
use crate::relay::News;

use super::Room;
use super::catalog::Catalog;
use super::publication::Publication;

/// What nobody takes is kept for so long: a publisher pauses within 2 s, and somebody who scrolls back finds it there.
const KEPT_FOR: Duration = Duration::from_millis(1_500);

/// A layer that was asked for and does not come in this time is withheld: signalling and an encoder take about one second.
const COMES_WITHIN: Duration = Duration::from_secs(3);

/// All spatial layers of an encoding.
const ALL: u8 = MAX_SPATIAL as u8;

/// How many spatial layers of each encoding are taken; 0: it is not.
type Levels = [u8; MAX_ENCODINGS];

/// What one part of a room takes of a publication of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// What its subscribers want now: the publisher's part keeps the others for a while, as for its own.
    pub wanted: Levels,
    /// What is to be relayed.
    pub relayed: Levels,
}

impl Default for Taken {
    /// All, before anything was said.
    fn default() -> Self {
        Self { wanted: [ALL; MAX_ENCODINGS], relayed: [ALL; MAX_ENCODINGS] }
    }
}

/// What is asked of the publisher of one video.
#[derive(Debug)]
pub struct Demand {
    /// What subscribers take.
    wanted: Levels,
    /// What the publisher was told.
    told: Levels,
    /// When it was told more.
    raised: [Option<Instant>; MAX_ENCODINGS],
    /// Since when less is wanted than was told, and the most that was wanted since.
    below: [Option<(Instant, u8)>; MAX_ENCODINGS],
    /// Subscribers' decisions changed.
    pub stale: bool,
    /// What the publisher's part of the room was told.
    passed_on: Taken,
}

impl Default for Demand {
    /// A publisher sends all until it is told.
    fn default() -> Self {
        Self {
            wanted: [0; MAX_ENCODINGS],
            told: [ALL; MAX_ENCODINGS],
            raised: [None; MAX_ENCODINGS],
            below: [None; MAX_ENCODINGS],
            stale: true,
            passed_on: Taken::default(),
        }
    }
}

impl Demand {
    /// Whether a layer that does not flow would if it was wanted.
    pub fn may_come(&self, now: Instant, layer: Layer) -> bool {
        let encoding = usize::from(layer.encoding).min(MAX_ENCODINGS - 1);
        let raised = self.raised[encoding].is_some_and(|at| now.saturating_duration_since(at) < COMES_WITHIN);
        layer.spatial >= self.told[encoding] || raised
    }

    /// Whether the publisher, which has so many encodings, was told that any of them is taken.
    pub fn is_wanted(&self, encodings: usize) -> bool {
        self.told.iter().take(encodings).any(|level| *level > 0)
    }

    /// Notes what subscribers take, and the other parts of the room.
    fn collect(
        &mut self,
        decisions: impl Iterator<Item = Option<Decision>>,
        elsewhere: impl Iterator<Item = Levels>,
        catalog: &Catalog,
    ) {
        self.wanted = [0; MAX_ENCODINGS];
        for levels in elsewhere {
            levels.into_iter().enumerate().for_each(|(encoding, level)| self.want(encoding as u8, level));
        }
        let lowest = if catalog.top_spatial(0).is_none_or(|top| top == 0) { ALL } else { 1 };
        for decision in decisions {
            let Some(decision) = decision else {
                self.want(0, lowest);
                continue;
            };
            for layer in [decision.layer, decision.wanted, decision.asked].into_iter().flatten() {
                let is_top = catalog.top_spatial(layer.encoding).is_none_or(|top| layer.spatial >= top);
                self.want(layer.encoding, if is_top { ALL } else { layer.spatial + 1 });
            }
            if decision.wanted.is_some() || matches!(decision.limit, Limit::Bandwidth | Limit::Publisher) {
                self.want(0, lowest);
            }
        }
        self.stale = false;
    }

    fn want(&mut self, encoding: u8, level: u8) {
        let wanted = &mut self.wanted[usize::from(encoding).min(MAX_ENCODINGS - 1)];
        *wanted = level.max(*wanted);
    }

    /// Whether the publisher must be told something else.
    fn update(&mut self, now: Instant, encodings: usize) -> bool {
        let mut changed = false;
        for index in 0..encodings.min(MAX_ENCODINGS) {
            let wanted = self.wanted[index];
            if wanted >= self.told[index] {
                self.below[index] = None;
                if wanted > self.told[index] {
                    self.told[index] = wanted;
                    self.raised[index] = Some(now);
                    changed = true;
                }
                continue;
            }
            let (since, most) = self.below[index].unwrap_or((now, wanted));
            let most = most.max(wanted);
            self.below[index] = Some((since, most));
            if now.saturating_duration_since(since) >= KEPT_FOR {
                self.told[index] = most;
                self.below[index] = None;
                changed = true;
            }
        }
        changed
    }

    /// What the publisher's part must be told, where it is not this one.
    fn pass_on(&mut self) -> Option<Taken> {
        let taken = Taken { wanted: self.wanted, relayed: self.told };
        (std::mem::replace(&mut self.passed_on, taken) != taken).then_some(taken)
    }

    /// Of one encoding, for the event.
    fn of(&self, encoding: usize) -> (bool, Option<u8>) {
        let level = self.told[encoding];
        (level > 0, (1..ALL).contains(&level).then(|| level - 1))
    }
}

impl Room {
    /// Tells publishers what is no longer taken, and what is again.
    pub(super) fn update_demand(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        let Self { publications, members, part, .. } = self;
        for (_, publication) in publications {
            if publication.source.kind() == TrackKind::Audio || publication.muted {
                continue;
            }
            let publisher = &members[publication.publisher.0 as usize];
            // Each part speaks for itself to the one in which the publisher lives.
            let others = part.others().iter().filter(|_| publisher.away.is_none());
            let elsewhere: SmallVec<[Levels; 4]> = others.map(|worker| publication.taken_by(*worker).wanted).collect();
            let Publication { demand, catalog, subscribers, .. } = publication;
            if demand.stale {
                let decision = |subscriber: &super::publication::Subscriber| {
                    members[subscriber.member.0 as usize].adaptation.decision(subscriber.line)
                };
                demand.collect(subscribers.iter().map(decision), elsewhere.into_iter(), catalog);
            }
            let Some(line) = publisher.receiver.lines.iter().find(|line| line.mid == publication.mid) else { continue };
            let changed = demand.update(now, line.encodings.len());
            if let Some(home) = publisher.away {
                if let Some(taken) = demand.pass_on() {
                    part.tell(home, News::Taken { track: publication.track, taken });
                }
            } else if changed {
                let of = |(index, encoding): (usize, &super::receiver::Encoding)| {
                    let (wanted, max_spatial) = demand.of(index);
                    EncodingDemand { rid: encoding.rid.map(|rid| rid.to_string()), wanted, max_spatial }
                };
                let encodings = line.encodings.iter().enumerate().map(of).collect();
                events.push_back(Event::Demand { participant: publisher.id, track: publication.track, encodings });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::{Availability, Offer};
    use crate::unit::Bitrate;

    fn layer(encoding: u8, spatial: u8) -> Layer {
        Layer { encoding, spatial, temporal: 0 }
    }

    fn takes(layer: Layer) -> Option<Decision> {
        let some = Some(layer);
        Some(Decision { layer: some, wanted: some, asked: some, bitrate: Bitrate(1), limit: Limit::None })
    }

    fn paused(limit: Limit) -> Option<Decision> {
        Some(Decision { layer: None, wanted: None, asked: None, bitrate: Bitrate(0), limit })
    }

    fn catalog(layers: &[Layer]) -> Catalog {
        let mut catalog = Catalog::default();
        let offer = |layer: &Layer| crate::layers::LayerOffer {
            layer: *layer,
            bitrate: Bitrate(100_000),
            size: None,
            fps: None,
            flows: true,
        };
        let offers: Vec<_> = layers.iter().map(offer).collect();
        catalog.refresh(&offers, MAX_ENCODINGS, |_| Availability::Withheld);
        let _: &[Offer] = catalog.offers();
        catalog
    }

    fn nowhere() -> impl Iterator<Item = Levels> {
        std::iter::empty()
    }

    struct Time(Instant);

    impl Time {
        fn at(&self, millis: u64) -> Instant {
            self.0 + Duration::from_millis(millis)
        }
    }

    #[test]
    fn what_nobody_takes_is_paused_after_a_while_and_back_at_once() {
        let time = Time(Instant::now());
        let catalog = catalog(&[layer(0, 0), layer(1, 0), layer(2, 0)]);
        let mut demand = Demand::default();
        demand.collect([takes(layer(1, 0))].into_iter(), nowhere(), &catalog);
        assert!(!demand.update(time.at(0), 3) && !demand.update(time.at(1_499), 3));
        assert!(demand.update(time.at(1_500), 3));
        assert_eq!([demand.of(0), demand.of(1), demand.of(2)], [(true, None), (true, None), (false, None)]);
        assert!(demand.may_come(time.at(9_000), layer(2, 0)) && !demand.may_come(time.at(9_000), layer(1, 0)));
        demand.collect([takes(layer(2, 0))].into_iter(), nowhere(), &catalog);
        assert!(demand.update(time.at(9_000), 3));
        assert_eq!(demand.of(2), (true, None));
        assert!(demand.may_come(time.at(11_999), layer(2, 0)), "it is on its way");
        assert!(!demand.may_come(time.at(12_000), layer(2, 0)), "the publisher cannot, or will not");
        assert!(!demand.update(time.at(10_499), 3), "the middle one a little longer");
        assert!(demand.update(time.at(10_500), 3));
        assert_eq!([demand.of(0), demand.of(1), demand.of(2)], [(true, None), (false, None), (true, None)]);
    }

    #[test]
    fn what_is_wanted_now_and_then_stays() {
        let time = Time(Instant::now());
        let catalog = catalog(&[layer(0, 0), layer(1, 0)]);
        let mut demand = Demand::default();
        for round in 0..10 {
            let best = layer(u8::from(round % 2 == 0), 0);
            demand.collect([takes(best)].into_iter(), nowhere(), &catalog);
            assert!(!demand.update(time.at(round * 1_400), 2), "{round}");
        }
    }

    #[test]
    fn the_lowest_stays_while_anybody_looks() {
        let time = Time(Instant::now());
        let catalog = catalog(&[layer(0, 0), layer(1, 0)]);
        for (decision, wanted) in [
            (paused(Limit::Bandwidth), true),
            (paused(Limit::Publisher), true),
            (None, true),
            (paused(Limit::Hidden), false),
            (paused(Limit::Disabled), false),
        ] {
            let mut demand = Demand::default();
            demand.collect([decision].into_iter(), nowhere(), &catalog);
            demand.update(time.at(0), 2);
            assert!(demand.update(time.at(1_500), 2));
            assert_eq!((demand.of(0).0, demand.of(1).0), (wanted, false), "{decision:?}");
        }
    }

    #[test]
    fn spatial_layers_of_one_encoding() {
        let time = Time(Instant::now());
        let catalog = catalog(&[layer(0, 0), layer(0, 1), layer(0, 2)]);
        let mut demand = Demand::default();
        demand.collect([takes(layer(0, 0)), takes(layer(0, 1))].into_iter(), nowhere(), &catalog);
        demand.update(time.at(0), 1);
        assert!(demand.update(time.at(1_500), 1));
        assert_eq!(demand.of(0), (true, Some(1)));
        assert!(demand.may_come(time.at(2_000), layer(0, 2)) && !demand.may_come(time.at(2_000), layer(0, 1)));
        demand.collect([takes(layer(0, 2))].into_iter(), nowhere(), &catalog);
        assert!(demand.update(time.at(2_000), 1));
        assert_eq!(demand.of(0), (true, None));
    }
}
