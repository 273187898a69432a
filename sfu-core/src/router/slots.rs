//! A room's slots: filled anew for those whom a change concerns ([`super::concerns`]), moved when somebody speaks, and told to
//! their members.
//!
//! Invariants:
//! - A line is given only tracks of its slot's occupant.
//! - The members whose slots show a part of a member are its [`Member::shown`].

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::control::{Event, SlotIndex, SlotRole, Source};
use crate::id::{ParticipantId, TrackId};

use super::assignment::{self, Audience, Occupant, Occupants, Offers, Part};
use super::concerns::parts_with;
use super::member::{Member, Shown};
use super::publication::{Publication, Subscriber};
use super::stage::{Speaking, Speech, Stage};
use super::{MemberIndex, PublicationIndex, Room};

/// A speaker who took somebody's pair leaves it to nobody else for so long, so that pictures do not flap.
const SHOWN_FOR: Duration = Duration::from_secs(2);

/// What a member wants of the others.
struct Wishes<'a> {
    room: &'a Room,
    subscriber: MemberIndex,
}

impl Wishes<'_> {
    fn wants(&self, member: MemberIndex, source: Source) -> bool {
        self.room.wanted_track(self.subscriber, member, source).is_some()
    }
}

impl Offers for Wishes<'_> {
    fn offers(&self, member: MemberIndex, part: Part) -> bool {
        match part {
            _ if member == self.subscriber => false,
            Part::Person => self.wants(member, Source::Camera) || self.wants(member, Source::Microphone),
            Part::Screen => self.wants(member, Source::Screen),
            Part::Voice => self.wants(member, Source::Microphone),
        }
    }

    fn flows(&self, member: MemberIndex) -> bool {
        self.room.flows(member)
    }
}

impl Audience for Wishes<'_> {
    fn is_at_our_choice(&self) -> bool {
        let subscriber = &self.room.members[self.subscriber.0 as usize];
        !subscriber.settings.confirms_slots && subscriber.pins.is_empty()
    }

    fn ranked(&self) -> impl Iterator<Item = MemberIndex> {
        self.room.ranked.get_or_init(|| self.room.rank()).iter().copied()
    }
}

impl Speech for Wishes<'_> {
    fn spoke(&self, member: MemberIndex) -> Option<Instant> {
        self.room.spoke(member)
    }
}

/// For the functions that decide.
fn roles_and_occupants(member: &Member) -> (SmallVec<[SlotRole; 12]>, Occupants) {
    member.slots.iter().map(|slot| (slot.lines.role, slot.occupant)).unzip()
}

impl Room {
    /// Assigns a member's slots anew and tells it what changed.
    pub(super) fn fill_slots(&mut self, index: MemberIndex, events: &mut VecDeque<Event>) {
        self.concerns.is_served(index);
        let member = &self.members[index.0 as usize];
        if member.slots.is_empty() {
            return;
        }
        let (roles, current) = roles_and_occupants(member);
        let pins = member.pins.iter().filter_map(|(slot, id)| Some((*slot, self.member_of(id)?)));
        let pins: SmallVec<[(SlotIndex, MemberIndex); 4]> = pins.collect();
        let assigned = assignment::assign(&roles, &current, &pins, &Wishes { room: self, subscriber: index });
        self.occupy(index, &current, &assigned, events);
    }

    /// Members that publish: those of whom media comes first, then who spoke last, then in order of arrival.
    fn rank(&self) -> Vec<MemberIndex> {
        let key = |index: MemberIndex| {
            let arrival = self.members[index.0 as usize].arrival;
            (Reverse(self.flows(index)), Reverse(self.spoke(index)), arrival)
        };
        let mut ranked: Vec<_> = self.concerns.publishing.iter().map(|index| (key(index), index)).collect();
        ranked.sort_unstable_by_key(|(key, _)| *key);
        ranked.into_iter().map(|(_, index)| index).collect()
    }

    /// Lets a member's slots follow who speaks. A pair changes at most once in [`SHOWN_FOR`].
    pub(super) fn follow(&mut self, now: Instant, index: MemberIndex, events: &mut VecDeque<Event>) {
        let member = &self.members[index.0 as usize];
        let (roles, current) = roles_and_occupants(member);
        let in_place = member.pins.iter().filter(|pin| self.is_in_place(&current, pin)).map(|pin| pin.0);
        let pinned: SmallVec<[SlotIndex; 4]> = in_place.collect();
        let others = self.speakers.followed().iter().filter(|speaker| speaker.member != index).copied();
        let speakers: SmallVec<[Speaking; 8]> = others.collect();
        let audience = Wishes { room: self, subscriber: index };
        let stage = Stage { roles: &roles, pinned: &pinned, speakers: &speakers, audience: &audience };
        let may_show = member.shown_at.is_none_or(|at| now.saturating_duration_since(at) >= SHOWN_FOR);
        let mut slots = current.clone();
        if stage.follow(&mut slots, may_show) {
            self.members[index.0 as usize].shown_at = Some(now);
        }
        let freed = slots.iter().zip(&current).any(|(now, before)| now.is_none() && before.is_some());
        if slots != current {
            self.occupy(index, &current, &slots, events);
        }
        if freed {
            // Somebody whom the stage did not look at may be heard there.
            self.fill_slots(index, events);
        }
    }

    fn is_in_place(&self, slots: &[Option<Occupant>], (slot, id): &(SlotIndex, ParticipantId)) -> bool {
        let occupant = slots.get(usize::from(*slot)).copied().flatten();
        occupant.is_some_and(|(member, _)| self.members[member.0 as usize].id == *id)
    }

    /// Puts these occupants into a member's slots and tells it what changed.
    fn occupy(
        &mut self,
        index: MemberIndex,
        before: &[Option<Occupant>],
        assigned: &[Option<Occupant>],
        events: &mut VecDeque<Event>,
    ) {
        self.note_shown(index, before, assigned);
        let revision = self.members[index.0 as usize].revision + 1;
        let changed = (0..assigned.len()).filter(|&slot| self.fill_slot(index, slot, assigned[slot], revision));
        let changed: SmallVec<[usize; 12]> = changed.collect();
        self.concerns.note_slots(index, &self.members[index.0 as usize]);
        if changed.is_empty() {
            return;
        }
        let occupant = |slot: usize| assigned[slot].map(|(member, _)| self.members[member.0 as usize].id);
        let member = &self.members[index.0 as usize];
        let slots = changed.iter().map(|&slot| member.slot_content(slot, occupant(slot))).collect();
        events.push_back(Event::Slots { participant: member.id, revision, slots });
        let member = &mut self.members[index.0 as usize];
        member.revision = revision;
        member.adaptation.invalidate();
        for slot in changed {
            let slot = &self.members[index.0 as usize].slots[slot];
            for line in [slot.audio, slot.video].into_iter().flatten() {
                self.start_line(index, line);
            }
        }
    }

    /// Keeps [`Member::shown`] of all whom a change of slots concerns.
    fn note_shown(&mut self, index: MemberIndex, before: &[Option<Occupant>], assigned: &[Option<Occupant>]) {
        let differing = |(before, now): &(&Option<Occupant>, &Option<Occupant>)| before != now;
        let changes = || before.iter().zip(assigned).filter(differing);
        // Who moves from one slot to another is still shown.
        for (member, part) in changes().filter_map(|(before, _)| *before) {
            self.members[member.0 as usize].shown[part as usize].remove(index);
        }
        for (member, part) in changes().filter_map(|(_, now)| *now) {
            self.members[member.0 as usize].shown[part as usize].insert(index);
        }
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
        let mut changed = std::mem::take(&mut state.untold);
        changed |= std::mem::replace(&mut state.occupant, occupant) != occupant;
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
        }
        changed
    }

    /// Takes a member who left, whose parts were shown by these, out of their slots.
    pub(super) fn vacate(&mut self, gone: MemberIndex, shown: &Shown) {
        for (part, viewers) in Part::ALL.into_iter().zip(shown) {
            self.concerns.add_viewers(viewers);
            for viewer in viewers.iter() {
                let viewer = &mut self.members[viewer.0 as usize];
                let place = viewer.slots.iter().position(|slot| slot.occupant == Some((gone, part)));
                let Some(slot) = place.map(|place| &mut viewer.slots[place]) else { continue };
                slot.occupant = None;
                slot.untold = true;
                for line in [slot.audio, slot.video].into_iter().flatten() {
                    let line = &mut viewer.lines[usize::from(line)];
                    line.assign(None, viewer.revision + 1, viewer.settings.confirms_slots);
                }
            }
        }
    }

    /// Takes a publication that ended, of somebody who stays, off the lines to which it is assigned.
    pub(super) fn take_off_lines(&mut self, index: PublicationIndex, ended: &Publication) {
        let publisher = ended.publisher.0 as usize;
        let shown = std::mem::take(&mut self.members[publisher].shown);
        for part in parts_with(ended.source) {
            let viewers = &shown[*part as usize];
            self.concerns.add_viewers(viewers);
            for viewer in viewers.iter() {
                let viewer = &mut self.members[viewer.0 as usize];
                for slot in viewer.slots.iter_mut().filter(|slot| slot.occupant == Some((ended.publisher, *part))) {
                    for line in [slot.audio, slot.video].into_iter().flatten() {
                        let line = &mut viewer.lines[usize::from(line)];
                        if line.assigned().is_some_and(|assigned| assigned.publication == index) {
                            line.assign(None, viewer.revision + 1, viewer.settings.confirms_slots);
                            slot.untold = true;
                        }
                    }
                }
            }
        }
        self.members[publisher].shown = shown;
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
        for place in 0..self.members[index.0 as usize].lines.len() {
            self.start_line(index, place as u16);
        }
    }

    fn start_line(&mut self, index: MemberIndex, place: u16) {
        let member = &mut self.members[index.0 as usize];
        let Some(publication) = member.lines[usize::from(place)].start(member.confirmed) else { return };
        member.adaptation.invalidate();
        self.publications[publication.0 as usize].subscribe(Subscriber { member: index, line: place });
    }
}
