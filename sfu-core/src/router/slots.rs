//! A room's slots: filled anew whenever somebody comes, goes, publishes or wishes, and told to their members.

use std::collections::VecDeque;

use crate::control::{Event, Source};
use crate::id::TrackId;

use super::assignment::{self, Candidate, Occupant, Part};
use super::publication::Subscriber;
use super::{MemberIndex, PublicationIndex, Room};

impl Room {
    pub(super) fn fill_all_slots(&mut self, events: &mut VecDeque<Event>) {
        for place in 0..self.arrivals.len() {
            self.fill_slots(self.arrivals[place], events);
        }
    }

    /// Assigns a member's slots anew and tells it what changed.
    pub(super) fn fill_slots(&mut self, index: MemberIndex, events: &mut VecDeque<Event>) {
        let member = &self.members[index.0 as usize];
        if member.slots.is_empty() {
            return;
        }
        let roles: Vec<_> = member.slots.iter().map(|slot| slot.lines.role).collect();
        let current: Vec<_> = member.slots.iter().map(|slot| slot.occupant).collect();
        let pins: Vec<_> = member.pins.iter().filter_map(|(slot, id)| Some((*slot, self.member_of(id)?))).collect();
        let candidates: Vec<_> = self.candidates(index).collect();
        let assigned = assignment::assign(&roles, &current, &pins, &candidates);
        let revision = member.revision + 1;
        let changed: Vec<usize> =
            (0..assigned.len()).filter(|&slot| self.fill_slot(index, slot, assigned[slot], revision)).collect();
        if !changed.is_empty() {
            let occupant = |slot: usize| assigned[slot].map(|(member, _)| self.members[member.0 as usize].id);
            let member = &self.members[index.0 as usize];
            let slots = changed.iter().map(|&slot| member.slot_content(slot, occupant(slot))).collect();
            events.push_back(Event::Slots { participant: member.id, revision, slots });
            self.members[index.0 as usize].revision = revision;
        }
        self.start_lines(index);
    }

    fn candidates(&self, subscriber: MemberIndex) -> impl Iterator<Item = Candidate> {
        let wants = &self.members[subscriber.0 as usize];
        self.arrivals.iter().filter(move |other| **other != subscriber).map(move |&member| {
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
            self.publications[publication.0 as usize].subscribe(Subscriber { member: index, line: place as u16 });
        }
    }
}
