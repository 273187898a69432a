//! Who of a room is sent which layer of what: gathers what [`alloc`](crate::alloc) must know, and carries out what it
//! says.
//!
//! A member's layers are decided anew when something that they depend on changed: what it wants, what it is shown, what
//! is offered, what its path carries; at the latest [`INTERVAL`] after, and at once where waiting would overload the path
//! or keep somebody from seeing. Where nothing changed, a member costs a few comparisons.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::alloc::shed::is_favoured;
use crate::alloc::{
    self, Allocator, Budget, Decision, Obstacle, Offer, Previous, RAISE_AFTER, RAISE_SHARE, Recent, Request, Shed,
};
use crate::control::{Event, Limit, SentLayer, Source, StreamState, SubscriptionSettings, TrackKind};
use crate::id::TrackId;
use crate::layers::Layer;
use crate::unit::Bitrate;

use super::catalog::{Change, availability};
use super::feedback::is_due;
use super::line::Line;
use super::member::Member;
use super::publication::Publication;
use super::shedding::rank;
use super::{MemberIndex, Room};

/// How often what is offered and what paths carry is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// A budget that moved by less than this part, in percent, changes nothing, unless it no longer carries what is sent.
const BUDGET_MOVED: u64 = 2;

/// What all members' decisions need: kept for its memory.
#[derive(Debug, Default)]
pub(super) struct Allocating {
    next: Option<Instant>,
    allocator: Allocator,
    requests: Vec<Request>,
    offers: Vec<Offer>,
    /// The requests' places among the member's lines.
    places: Vec<u16>,
    /// Decisions changed, and with them perhaps what publishers need to send.
    decided: bool,
    /// What the worker's load takes away.
    pub(super) shed: Shed,
}

impl Allocating {
    /// What publishers need to send may have changed.
    pub(super) const fn ask_soon(&mut self) {
        self.decided = true;
    }
}

/// A member's wishes, and what was decided for it.
#[derive(Debug, Default)]
pub struct Adaptation {
    settings: HashMap<TrackId, SubscriptionSettings>,
    /// By the place of the line.
    shares: Vec<Share>,
    /// Something that decisions depend on changed.
    stale: bool,
    /// When somebody who waited may go up.
    retry: Option<Instant>,
    /// What was there to be shared out, what was taken, and what would be if there was enough.
    budget: Option<Budget>,
    spent: u64,
    useful: u64,
    /// What it costs matters.
    tight: bool,
    /// What the path carried lately.
    recent: Recent,
}

/// What a line has of what its member's path carries.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Share {
    track: Option<TrackId>,
    pub(super) decision: Option<Decision>,
    pub(super) since: Option<Instant>,
    /// When want of bandwidth last took a layer away.
    lowered: Option<Instant>,
}

impl Adaptation {
    /// How a track is wanted.
    pub fn settings(&self, track: &TrackId) -> SubscriptionSettings {
        self.settings.get(track).copied().unwrap_or_default()
    }

    /// Forgets a track that ended.
    pub fn forget(&mut self, track: &TrackId) {
        self.settings.remove(track);
    }

    /// Lets everything be decided anew soon.
    pub const fn invalidate(&mut self) {
        self.stale = true;
    }

    /// What was decided for a line; `None`: nothing yet.
    pub(super) fn decision(&self, line: u16) -> Option<Decision> {
        self.share(line)?.decision
    }

    pub(super) fn share(&self, line: u16) -> Option<&Share> {
        self.shares.get(usize::from(line)).filter(|share| share.track.is_some())
    }

    /// What was decided for the lines that show something.
    pub(super) fn decisions(&self) -> impl Iterator<Item = Decision> {
        self.shares.iter().filter(|share| share.track.is_some()).filter_map(|share| share.decision)
    }

    /// Whether anything could be due: at a look, or between two when its path may have changed.
    const fn is_concerned(&self, looks: bool, is_due: bool) -> bool {
        looks || self.stale || (is_due && self.spent > 0)
    }

    fn is_due(&self, now: Instant, looks: bool, budget: Budget) -> bool {
        let overdrawn = matches!(budget, Budget::Known { keep, .. } if keep.0 < self.spent);
        let far = |before: Bitrate, now: Bitrate| {
            before.0.abs_diff(now.0).saturating_mul(100) > before.0.saturating_mul(BUDGET_MOVED)
        };
        let moved = || match (self.budget, budget) {
            (Some(Budget::Known { keep, raise, .. }), Budget::Known { keep: kept, raise: raised, .. }) => {
                far(keep, kept) || far(raise, raised)
            }
            (Some(Budget::Guessed(before)), Budget::Guessed(now)) => far(before, now),
            (before, now) => before != Some(now),
        };
        let matters = || self.tight || self.is_tight(budget);
        self.stale || overdrawn || (looks && (self.retry.is_some_and(|at| at <= now) || (moved() && matters())))
    }
}

impl Share {
    /// Takes over a decision of `now`. Returns whether its subscriber, and its publisher, may have to be told.
    fn decide(&mut self, now: Instant, decision: Decision) -> (bool, bool) {
        let before = self.decision.replace(decision);
        let lost = before.is_some_and(|before| decision.wanted < before.wanted);
        if lost && decision.limit == Limit::Bandwidth {
            self.lowered = Some(now);
        }
        let seen = |decision: Decision| (decision.layer, decision.limit);
        let asked = |decision: Decision| (decision.layer, decision.wanted, decision.asked, decision.limit);
        let news = before.map(seen) != Some(seen(decision));
        if news {
            self.since = Some(now);
        }
        (news, before.map(asked) != Some(asked(decision)))
    }

    fn previous(&self, now: Instant) -> Option<Previous> {
        let decision = self.decision.filter(|d| d.wanted.is_some() || d.limit == Limit::Bandwidth)?;
        let since_lowered = self.lowered.map(|at| now.saturating_duration_since(at));
        Some(Previous { wanted: decision.wanted, since_lowered })
    }
}

/// What a member's path carries of video now.
pub(super) fn budget(member: &Member, now: Instant) -> Budget {
    let estimator = &member.downlink.estimator;
    let (audio, resent) = member.downlink.reserved();
    let of = |estimate| alloc::video_budget(estimate, audio, resent);
    match estimator.estimate() {
        _ if estimator.is_guess(now) => Budget::Guessed(of(estimator.guess())),
        Some(estimate) => {
            // Nobody's last picture is paused for a queue that drains, or for what was lost in it.
            let drained = estimator.when_drained().unwrap_or(estimate);
            let (admit, keep) = (alloc::video_budget(drained, audio, Bitrate(0)), of(estimate));
            Budget::Known { admit, keep, raise: keep }
        }
        None => Budget::Unlimited,
    }
}

impl Room {
    /// Replaces how a member wants these tracks.
    pub fn configure(&mut self, member: MemberIndex, tracks: Vec<(TrackId, SubscriptionSettings)>) {
        let Self { by_track, members, publications, .. } = self;
        let index = member;
        let Some(member) = members.get_mut(index.0 as usize) else { return };
        for (track, settings) in tracks {
            let Some(publication) = by_track.get(&track) else { continue };
            publications[publication.0 as usize].noted_by.insert(index);
            member.adaptation.settings.insert(track, settings);
            member.adaptation.stale = true;
        }
    }

    /// Decides what is due, and tells whom it concerns.
    pub(super) fn allocate(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        let looks = self.allocating.next.is_none_or(|next| next <= now);
        if looks {
            self.allocating.next = Some(now + INTERVAL);
            self.refresh_catalogs(now);
        }
        for index in 0..self.members.capacity() {
            let Some(member) = self.members.get_mut(index) else { continue };
            let is_due = is_due(self.turn, index, &member.downlink);
            if member.away.is_some() || !member.adaptation.is_concerned(looks, is_due) {
                continue;
            }
            let carries = budget(member, now);
            if looks {
                member.adaptation.recent.push(carries);
            }
            let is_calm = !member.downlink.estimator.is_overusing();
            let budget = member.adaptation.recent.budget(carries, is_calm);
            if member.adaptation.is_due(now, looks, budget) {
                self.share_out(MemberIndex(index as u32), now, budget, events);
            }
        }
        if looks || self.allocating.decided {
            self.allocating.decided = false;
            self.update_demand(now, events);
        }
    }

    /// Takes over what publications offer now.
    fn refresh_catalogs(&mut self, now: Instant) {
        let Self { publications, members, .. } = self;
        for (_, publication) in publications {
            if publication.source.kind() == TrackKind::Audio {
                continue;
            }
            let Some(publisher) = members.get_mut(publication.publisher.0 as usize) else { continue };
            let Some(line) = publisher.receiver.line_of(&publication.mid) else { continue };
            let measured = line.offers(now);
            let Publication { catalog, demand, subscribers, .. } = publication;
            let change = catalog.refresh(&measured, line.encodings.len(), availability(demand, now));
            demand.stale |= change == Change::Layers;
            if change == Change::Nothing {
                continue;
            }
            for subscriber in subscribers {
                let adaptation = &mut members[subscriber.member.0 as usize].adaptation;
                adaptation.stale |= change == Change::Layers || adaptation.tight;
            }
        }
    }

    /// Decides for one member.
    fn share_out(&mut self, index: MemberIndex, now: Instant, budget: Budget, events: &mut VecDeque<Event>) {
        let mut memory = std::mem::take(&mut self.allocating);
        self.gather(index, now, &mut memory);
        let Allocating { allocator, requests, offers, places, decided, .. } = &mut memory;
        allocator.allocate(requests, offers, budget);
        let decisions = allocator.decisions();
        let member = &mut self.members[index.0 as usize];
        let (mut news, mut retry) = (false, None);
        for (place, decision) in places.iter().zip(decisions) {
            let line = &mut member.lines[usize::from(*place)];
            match decision.limit {
                // Nothing comes, or nothing of it is forwarded: it goes on as it was.
                Limit::Muted | Limit::Codec => {}
                // The first that comes is taken as it is until it is known what there is.
                Limit::Publisher => line.set_target(Some(decision.layer.unwrap_or(Layer::BEST))),
                _ => line.set_target(decision.layer),
            }
            let share = &mut member.adaptation.shares[usize::from(*place)];
            let (seen, asked) = share.decide(now, *decision);
            news |= seen;
            if asked && let Some(publication) = line.publication() {
                self.publications[publication.0 as usize].demand.stale = true;
                *decided = true;
            }
            if decision.limit == Limit::Bandwidth {
                retry = share.lowered.map(|at| at + RAISE_AFTER).filter(|at| *at > now).or(retry);
            }
        }
        let demand = allocator.demand();
        member.adaptation.settle(budget, demand, decisions_of(decisions), retry);
        // What is not there cannot be raised: an estimator looks for no more than is of use.
        let (audio, resent) = member.downlink.reserved();
        let useful = demand.0 / RAISE_SHARE * 100 + audio.0 + resent.0;
        member.downlink.estimator.set_demand(Bitrate(useful));
        if news {
            self.announce(index, now, &memory.places, events);
        }
        self.allocating = memory;
    }

    /// What a member could be sent.
    fn gather(&mut self, index: MemberIndex, now: Instant, memory: &mut Allocating) {
        memory.requests.clear();
        memory.offers.clear();
        memory.places.clear();
        let member = &mut self.members[index.0 as usize];
        member.adaptation.shares.resize(member.lines.len(), Share::default());
        for place in 0..member.lines.len() {
            let member = &mut self.members[index.0 as usize];
            let line = &member.lines[place];
            if line.kind == TrackKind::Audio {
                continue;
            }
            let share = &mut member.adaptation.shares[place];
            let publication = line.publication().map(|publication| &self.publications[publication.0 as usize]);
            if share.track != publication.map(|publication| publication.track) {
                *share = Share { track: publication.map(|publication| publication.track), ..Share::default() };
            }
            let Some(publication) = publication else { continue };
            let from = memory.offers.len();
            memory.offers.extend(publication.catalog.offers());
            let (obstacle, previous) = (obstacle(line, publication), share.previous(now));
            let member = &self.members[index.0 as usize];
            let settings = member.adaptation.settings(&publication.track);
            let (pinned, screen) = (self.is_pinned(member, place, publication), publication.source == Source::Screen);
            memory.requests.push(Request {
                settings,
                pinned,
                screen,
                obstacle,
                cut: memory.shed.cut(rank(member, publication), is_favoured(&settings, pinned, screen)),
                offers: from..memory.offers.len(),
                previous,
            });
            memory.places.push(place as u16);
        }
    }

    pub(super) fn is_pinned(&self, member: &Member, line: usize, publication: &Publication) -> bool {
        let publisher = self.members[publication.publisher.0 as usize].id;
        member.pins.contains(&(member.lines[line].slot, publisher))
    }

    /// Tells a member what it is sent of the lines at `places` whose state is of `now`.
    fn announce(&self, index: MemberIndex, now: Instant, places: &[u16], events: &mut VecDeque<Event>) {
        let member = &self.members[index.0 as usize];
        let changed = |place: &&u16| member.adaptation.share(**place).is_some_and(|share| share.since == Some(now));
        let streams = places.iter().filter(changed).filter_map(|place| self.stream_state(member, *place)).collect();
        events.push_back(Event::Streams { participant: member.id, streams });
    }

    /// What was decided for a line, in the words of the control plane.
    pub(super) fn stream_state(&self, member: &Member, place: u16) -> Option<StreamState> {
        let publication = member.lines[usize::from(place)].publication()?;
        let publication = &self.publications[publication.0 as usize];
        let decision = member.adaptation.decision(place)?;
        Some(StreamState {
            track: publication.track,
            layer: decision.layer.map(|layer| self.sent_layer(publication, layer)),
            limit: decision.limit,
            estimate: member.downlink.estimator.estimate().map(|estimate| estimate.0),
        })
    }

    pub(super) fn sent_layer(&self, publication: &Publication, layer: Layer) -> SentLayer {
        let lines = &self.members[publication.publisher.0 as usize].receiver.lines;
        let line = lines.iter().find(|line| line.mid == publication.mid);
        let rid = line.and_then(|line| line.encodings.get(usize::from(layer.encoding))?.rid);
        let offer = publication.catalog.offer(layer);
        SentLayer {
            rid: rid.map(|rid| rid.to_string()),
            spatial: layer.spatial,
            temporal: layer.temporal,
            size: offer.and_then(|offer| offer.size),
            bitrate: offer.map_or(0, |offer| offer.bitrate.0),
        }
    }
}

/// What decisions cost, and whether bandwidth limits one of them.
fn decisions_of(decisions: &[Decision]) -> (u64, bool) {
    let spent = decisions.iter().map(|decision| decision.bitrate.0).sum();
    (spent, decisions.iter().any(|decision| decision.limit == Limit::Bandwidth))
}

impl Adaptation {
    fn settle(&mut self, budget: Budget, demand: Bitrate, (spent, limited): (u64, bool), retry: Option<Instant>) {
        self.stale = false;
        self.retry = retry;
        self.budget = Some(budget);
        self.spent = spent;
        self.useful = demand.0;
        self.tight = limited || self.is_tight(budget);
    }

    /// With a quarter to spare, bitrates may swing as they like.
    fn is_tight(&self, budget: Budget) -> bool {
        budget.rate().is_some_and(|rate| self.useful > rate.0 / 4 * 3)
    }
}

/// Why a line cannot be sent a publication, whatever its path carries.
fn obstacle(line: &Line, publication: &Publication) -> Option<Obstacle> {
    match publication.codec() {
        Some(codec) if line.refuses(codec) => Some(Obstacle::Codec),
        _ if publication.muted => Some(Obstacle::Muted),
        _ => None,
    }
}
