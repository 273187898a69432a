//! A room's slots: filled anew whenever somebody comes, goes, publishes or wishes, moved when somebody speaks, and told to
//! their members.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::control::{Event, SlotIndex, SlotRole, Source};
use crate::id::{ParticipantId, TrackId};

use super::assignment::{self, Candidate, Occupant, Part};
use super::member::Member;
use super::publication::Subscriber;
use super::stage::{Audience, Speaking, Stage, is_placed};
use super::{MemberIndex, PublicationIndex, Room};

/// A speaker who took somebody's pair leaves it to nobody else for so long, so that pictures do not flap.
const SHOWN_FOR: Duration = Duration::from_secs(2);

/// What a member wants of the others.
struct Wishes<'a> {
    room: &'a Room,
    subscriber: MemberIndex,
}

impl Audience for Wishes<'_> {
    fn offers(&self, member: MemberIndex, part: Part) -> bool {
        let wanted = |source| self.room.wanted_track(self.subscriber, member, source).is_some();
        match part {
            Part::Person => wanted(Source::Camera) || wanted(Source::Microphone),
            Part::Screen => wanted(Source::Screen),
            Part::Voice => wanted(Source::Microphone),
        }
    }

    fn spoke(&self, member: MemberIndex) -> Option<Instant> {
        self.room.spoke(member)
    }
}

fn roles_and_occupants(member: &Member) -> (Vec<SlotRole>, Vec<Option<Occupant>>) {
    member.slots.iter().map(|slot| (slot.lines.role, slot.occupant)).unzip()
}

impl Room {
    pub(super) fn fill_all_slots(&mut self, events: &mut VecDeque<Event>) {
        let ranked = self.ranked();
        for place in 0..self.arrivals.len() {
            self.fill_slots_from(&ranked, self.arrivals[place], events);
        }
    }

    /// Assigns a member's slots anew and tells it what changed.
    pub(super) fn fill_slots(&mut self, index: MemberIndex, events: &mut VecDeque<Event>) {
        let ranked = self.ranked();
        self.fill_slots_from(&ranked, index, events);
    }

    /// All members: who spoke last first, then in order of arrival.
    fn ranked(&self) -> Vec<MemberIndex> {
        let mut ranked: Vec<_> = self.arrivals.iter().map(|index| (Reverse(self.spoke(*index)), *index)).collect();
        ranked.sort_by_key(|(spoke, _)| *spoke);
        ranked.into_iter().map(|(_, index)| index).collect()
    }

    fn fill_slots_from(&mut self, ranked: &[MemberIndex], index: MemberIndex, events: &mut VecDeque<Event>) {
        let member = &self.members[index.0 as usize];
        if member.slots.is_empty() {
            return;
        }
        let (roles, current) = roles_and_occupants(member);
        let pins: Vec<_> = member.pins.iter().filter_map(|(slot, id)| Some((*slot, self.member_of(id)?))).collect();
        let candidates: Vec<_> = self.candidates(ranked, index).collect();
        let assigned = assignment::assign(&roles, &current, &pins, &candidates);
        self.occupy(index, &assigned, 0..assigned.len(), events);
    }

    /// Lets the slots of all members follow who speaks. A pair changes at most once in [`SHOWN_FOR`].
    pub(super) fn follow_speakers(&mut self, now: Instant, speakers: &[Speaking], events: &mut VecDeque<Event>) {
        for place in 0..self.arrivals.len() {
            let index = self.arrivals[place];
            let member = &self.members[index.0 as usize];
            let occupants = member.slots.iter().filter_map(|slot| slot.occupant.as_ref());
            let waits = |speaker: &Speaking| speaker.member != index && !is_placed(occupants.clone(), speaker);
            if !member.slots.is_empty() && speakers.iter().any(waits) {
                self.follow(now, index, speakers, events);
            }
        }
    }

    fn follow(&mut self, now: Instant, index: MemberIndex, speakers: &[Speaking], events: &mut VecDeque<Event>) {
        let member = &self.members[index.0 as usize];
        let (roles, current) = roles_and_occupants(member);
        let pinned: Vec<_> =
            member.pins.iter().filter(|pin| self.is_in_place(&current, pin)).map(|pin| pin.0).collect();
        let others: Vec<_> = speakers.iter().filter(|speaker| speaker.member != index).copied().collect();
        let audience = Wishes { room: self, subscriber: index };
        let stage = Stage { roles: &roles, pinned: &pinned, speakers: &others, audience: &audience };
        let may_show = member.shown_at.is_none_or(|at| now.saturating_duration_since(at) >= SHOWN_FOR);
        let mut slots = current.clone();
        let shown = stage.follow(&mut slots, may_show);
        if shown {
            self.members[index.0 as usize].shown_at = Some(now);
        }
        self.occupy(index, &slots, (0..slots.len()).filter(|&slot| slots[slot] != current[slot]), events);
    }

    fn is_in_place(&self, slots: &[Option<Occupant>], (slot, id): &(SlotIndex, ParticipantId)) -> bool {
        let occupant = slots.get(usize::from(*slot)).copied().flatten();
        occupant.is_some_and(|(member, _)| self.members[member.0 as usize].id == *id)
    }

    /// Puts these occupants into some of a member's slots and tells it what changed.
    fn occupy(
        &mut self,
        index: MemberIndex,
        assigned: &[Option<Occupant>],
        slots: impl Iterator<Item = usize>,
        events: &mut VecDeque<Event>,
    ) {
        let revision = self.members[index.0 as usize].revision + 1;
        let changed: Vec<usize> = slots.filter(|&slot| self.fill_slot(index, slot, assigned[slot], revision)).collect();
        if !changed.is_empty() {
            let occupant = |slot: usize| assigned[slot].map(|(member, _)| self.members[member.0 as usize].id);
            let member = &self.members[index.0 as usize];
            let slots = changed.iter().map(|&slot| member.slot_content(slot, occupant(slot))).collect();
            events.push_back(Event::Slots { participant: member.id, revision, slots });
            let member = &mut self.members[index.0 as usize];
            member.revision = revision;
            member.adaptation.invalidate();
        }
        self.start_lines(index);
    }

    fn candidates(&self, ranked: &[MemberIndex], subscriber: MemberIndex) -> impl Iterator<Item = Candidate> {
        let wants = &self.members[subscriber.0 as usize];
        ranked.iter().filter(move |other| **other != subscriber).map(move |&member| {
            let publications = &self.members[member.0 as usize].publications;
            let has = |source| {
                let of = |index: &PublicationIndex| &self.publications[index.0 as usize];
                publications.iter().map(of).any(|p| p.source == source && wants.wants(&p.track))
            };
            let voice = has(Source::Microphone);
            Candidate { member, person: has(Source::Camera) || voice, screen: has(Source::Screen), voice }
        })
    }

    /// Puts `occupant` into a slot; true if that changes what the client must know.
    fn fill_slot(&mut self, index: MemberIndex, slot: usize, occupant: Option<Occupant>, revision: u64) -> bool {
        let (audio, video) = match occupant {
            None => (None, None),
            Some((member, Part::Person)) => {
                (self.wanted_track(index, member, Source::Microphone), self.wanted_track(index, member, Source::Camera))
            }
            Some((member, Part::Screen)) => (
                self.wanted_track(index, member, Source::ScreenAudio),
                self.wanted_track(index, member, Source::Screen),
            ),
            Some((member, Part::Voice)) => (self.wanted_track(index, member, Source::Microphone), None),
        };
        let member = &mut self.members[index.0 as usize];
        let state = &mut member.slots[slot];
        let mut changed = std::mem::replace(&mut state.occupant, occupant) != occupant;
        for (place, track) in [(state.audio, audio), (state.video, video)] {
            let Some(place) = place else { continue };
            let line = &mut member.lines[usize::from(place)];
            let before = line.publication();
            if line.assign(track, revision, member.settings.confirms_slots) {
                changed = true;
                if let Some(publication) = before.and_then(|before| self.publications.get_mut(before.0 as usize)) {
                    publication.unsubscribe(Subscriber { member: index, line: place });
                }
            }
            changed |= line.take_ended();
        }
        changed
    }

    fn wanted_track(
        &self,
        subscriber: MemberIndex,
        publisher: MemberIndex,
        source: Source,
    ) -> Option<(TrackId, PublicationIndex)> {
        let wants = &self.members[subscriber.0 as usize];
        self.members[publisher.0 as usize].publications.iter().find_map(|index| {
            let publication = &self.publications[index.0 as usize];
            let found = publication.source == source && wants.wants(&publication.track);
            found.then_some((publication.track, *index))
        })
    }

    /// Starts the lines that need not wait for the client's confirmation (any more).
    pub(super) fn start_lines(&mut self, index: MemberIndex) {
        let member = &mut self.members[index.0 as usize];
        let confirmed = member.confirmed;
        for place in 0..member.lines.len() {
            let member = &mut self.members[index.0 as usize];
            let Some(publication) = member.lines[place].start(confirmed) else { continue };
            member.adaptation.invalidate();
            self.publications[publication.0 as usize].subscribe(Subscriber { member: index, line: place as u16 });
        }
    }
}
