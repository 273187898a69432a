//! Whom a change concerns: whose slots are looked at after somebody came, went, published or spoke.
//!
//! A member is concerned by what is published where one of its slots is free for it, where it pinned the publisher, or where
//! it shows the publisher already; by what ends, where it shows it. Everybody else keeps what they have: what was assigned is
//! assigned again ([`super::assignment`]), so that nobody needs to be asked.
//!
//! Up to [`AT_ONCE`] members are served in the same call. More are served in turns, [`PER_TICK`] with each tick, so that an
//! event in a room of thousands holds up nobody's audio; what happens meanwhile is served with it. What ended stops at once in
//! any case: only the announcement, and whatever comes in its place, wait for their turn.
//!
//! Invariants:
//! - A member with a slot whose content no event told of yet is due.
//! - Nobody is in a set here who has left: places are used again.

use std::collections::VecDeque;
use std::time::Instant;

use hashbrown::HashMap;

use crate::control::{Event, Source};
use crate::id::ParticipantId;

use super::assignment::{self, Part};
use super::member::Member;
use super::member_set::MemberSet;
use super::stage::Speaking;
use super::{MemberIndex, PublicationIndex, Room};

/// So many members are served at once: a part of a room as it is meant to be (`rooms.participants_per_worker`).
const AT_ONCE: usize = 128;

/// So many are served with one tick: 5 µs each are well below 1 ms.
const PER_TICK: usize = 128;

/// Whom changes concern, and who waits for its turn.
#[derive(Debug, Default)]
pub(super) struct Concerns {
    /// Members that publish.
    pub(super) publishing: MemberSet,
    /// Of those, the ones of whom no media comes (see [`super::presence`]).
    pub(super) silent: MemberSet,
    /// Members that have slots.
    with_slots: MemberSet,
    /// Those of them without a say in who is shown.
    at_our_choice: MemberSet,
    /// Members that want whatever is published and have a slot free for it, by part.
    open: [MemberSet; Part::ALL.len()],
    /// Who pinned a participant, whether it is in the room or not.
    pinned: HashMap<ParticipantId, MemberSet>,
    /// Whose slots are to be filled anew.
    due: MemberSet,
    /// Whose slots are to follow who speaks.
    following: MemberSet,
    /// Where the next turn begins.
    next: MemberIndex,
}

impl Concerns {
    /// Takes over which of a member's slots are free.
    pub(super) fn note_slots(&mut self, index: MemberIndex, member: &Member) {
        self.with_slots.set(index, !member.slots.is_empty());
        self.at_our_choice.set(index, !member.slots.is_empty() && !member.settings.confirms_slots);
        let takes_all = member.settings.can_subscribe && member.settings.auto_subscribe;
        let mut open = [false; Part::ALL.len()];
        for slot in member.slots.iter().filter(|slot| takes_all && slot.occupant.is_none()) {
            open[assignment::part_of(slot.lines.role) as usize] = true;
        }
        let screens_in_pairs = || assignment::takes_screens_in_pairs(member.slots.iter().map(|slot| slot.lines.role));
        open[Part::Screen as usize] |= open[Part::Person as usize] && screens_in_pairs();
        self.open.iter_mut().zip(open).for_each(|(members, is_open)| members.set(index, is_open));
    }

    /// A member's pins change from these to those.
    pub(super) fn note_pins(&mut self, index: MemberIndex, before: &[ParticipantId], after: &[ParticipantId]) {
        for id in before {
            if let Some(members) = self.pinned.get_mut(id) {
                members.remove(index);
                if members.is_empty() {
                    self.pinned.remove(id);
                }
            }
        }
        after.iter().for_each(|id| self.pinned.entry(*id).or_default().insert(index));
    }

    /// A member left.
    pub(super) fn forget(&mut self, index: MemberIndex, member: &Member) {
        let pinned: Vec<ParticipantId> = member.pins.iter().map(|(_, id)| *id).collect();
        self.note_pins(index, &pinned, &[]);
        let Self { publishing, silent, with_slots, at_our_choice, open, due, following, .. } = self;
        for members in [publishing, silent, with_slots, at_our_choice, due, following].into_iter().chain(open) {
            members.remove(index);
        }
    }

    /// A member's slots were filled.
    pub(super) fn is_served(&mut self, index: MemberIndex) {
        self.due.remove(index);
    }

    /// Members whose slots showed something that ended.
    pub(super) fn add_viewers(&mut self, shown: &MemberSet) {
        self.due.add(shown);
    }

    /// Whose turn it is.
    fn turn(&mut self) -> Option<MemberIndex> {
        let from = |at| self.due.first_from(at).into_iter().chain(self.following.first_from(at)).min();
        let turn = from(self.next).or_else(|| from(MemberIndex(0)))?;
        self.next = MemberIndex(turn.0 + 1);
        Some(turn)
    }
}

/// The parts of a member of which a source is a part.
pub(super) const fn parts_with(source: Source) -> &'static [Part] {
    match source {
        Source::Camera => &[Part::Person],
        Source::Microphone => &[Part::Person, Part::Voice],
        Source::Screen | Source::ScreenAudio => &[Part::Screen],
    }
}

impl Room {
    /// Something was published.
    pub(super) fn concern_published(&mut self, index: PublicationIndex) {
        let publication = &self.publications[index.0 as usize];
        let publisher = &self.members[publication.publisher.0 as usize];
        let Concerns { due, open, pinned, .. } = &mut self.concerns;
        for part in parts_with(publication.source) {
            due.add(&publisher.shown[*part as usize]);
            // A screen's sound alone is not shown.
            if publication.source != Source::ScreenAudio {
                due.add(&open[*part as usize]);
            }
        }
        if let Some(pinned) = pinned.get(&publisher.id) {
            due.add(pinned);
        }
        due.remove(publication.publisher);
        let publisher = publication.publisher;
        if self.flows(publisher) {
            self.concern_flow(publisher, true);
        }
    }

    /// Media of a publisher comes, or no longer: those without a say are shown what flows.
    pub(super) fn concern_flow(&mut self, publisher: MemberIndex, flows: bool) {
        self.ranked.take();
        let Concerns { publishing, silent, due, at_our_choice, .. } = &mut self.concerns;
        silent.set(publisher, !flows && publishing.contains(publisher));
        let mut concern = |member: MemberIndex| {
            let shown = &self.members[member.0 as usize].shown;
            shown.iter().for_each(|shown| due.add_common(shown, at_our_choice));
        };
        match flows {
            true => silent.iter().for_each(concern),
            false => concern(publisher),
        }
    }

    /// Some speak: whoever does not see or hear them yet is to follow.
    pub(super) fn concern_speakers(&mut self, speakers: &[Speaking]) {
        let Concerns { with_slots, following, .. } = &mut self.concerns;
        for speaker in speakers {
            let shown = &self.members[speaker.member.0 as usize].shown;
            let mut waiting = with_slots.clone();
            waiting.subtract(&shown[Part::Person as usize]);
            if !speaker.established {
                waiting.subtract(&shown[Part::Voice as usize]);
            }
            waiting.remove(speaker.member);
            following.add(&waiting);
        }
    }

    /// Serves those whom the last change concerns, if they are few.
    pub(super) fn serve_at_once(&mut self, events: &mut VecDeque<Event>) {
        if self.concerns.due.len() > AT_ONCE {
            return;
        }
        let mut next = MemberIndex(0);
        while let Some(index) = self.concerns.due.first_from(next) {
            self.fill_slots(index, events);
            next = MemberIndex(index.0 + 1);
        }
    }

    /// Serves those whose turn it is at this tick.
    pub(super) fn serve_in_turn(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        for _ in 0..PER_TICK {
            let Some(index) = self.concerns.turn() else { return };
            if self.concerns.due.contains(index) {
                self.fill_slots(index, events);
            }
            if self.concerns.following.remove(index) {
                self.follow(now, index, events);
            }
        }
    }
}
