//! Who is shown in which slot: a pure function of the slots, the wishes and the members of a room.
//!
//! Invariants:
//! - Nobody is in two slots for the same thing (camera and microphone count as one thing, screen and its sound as another).
//! - A member that is in a slot stays there while there is something to show, unless somebody was pinned into that slot. For
//!   a viewer without a say ([`Audience::is_at_our_choice`]) one more thing moves it: nothing comes of it, and there is a
//!   candidate of which something comes.
//! - Free slots fill in the order of the candidates: those of which media comes, then who spoke last first, then by arrival.
//!   Screens take screen slots, and pairs, ahead of people, only when a layout has no screen slot.
//! - A participant in a pair is in no lone audio slot: it is heard through its pair.
//! - Of two pins for one slot, or of one thing into two slots, the later holds.
//! - What was assigned is assigned again, whatever the order of the candidates is by then: so only members that a change
//!   concerns need to be looked at ([`super::concerns`]).
//!
//! The work is in proportion to the slots while none of them is free; candidates are looked through only for a free one.
//!
//! How slots follow who speaks afterwards is in [`super::stage`].

use smallvec::SmallVec;

use crate::control::{SlotIndex, SlotRole};

use super::MemberIndex;

/// What of a member a slot shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Camera and microphone.
    Person,
    /// Screen and its sound.
    Screen,
    /// Only the microphone, in a lone audio slot.
    Voice,
}

impl Part {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Person, Self::Screen, Self::Voice];
}

/// Who is in a slot, and with what.
pub type Occupant = (MemberIndex, Part);

/// What is in a member's slots. Most layouts have up to a dozen.
pub type Occupants = SmallVec<[Option<Occupant>; 12]>;

/// What is asked about members for the one whose slots they are.
pub trait Offers {
    /// Whether it wants this part of a member, and there is one.
    fn offers(&self, member: MemberIndex, part: Part) -> bool;

    /// Whether media of a member comes in.
    fn flows(&self, member: MemberIndex) -> bool;
}

/// Those of whom somebody is to be shown.
pub trait Audience: Offers {
    /// The one whose slots they are has no say in who is shown, pinned nobody, and is told nothing (WHEP).
    fn is_at_our_choice(&self) -> bool;

    /// All members that publish, in their order of precedence.
    fn ranked(&self) -> impl Iterator<Item = MemberIndex>;
}

/// Fills `slots` anew. `current` is who is there now (same length).
pub fn assign(
    roles: &[SlotRole],
    current: &[Option<Occupant>],
    pins: &[(SlotIndex, MemberIndex)],
    audience: &impl Audience,
) -> Occupants {
    let mut slots = keep_current(roles, current, audience);
    apply_pins(roles, &mut slots, pins, audience);
    fill(roles, &mut slots, SlotRole::Screen, Part::Screen, audience);
    if takes_screens_in_pairs(roles.iter().copied()) {
        fill(roles, &mut slots, SlotRole::Pair, Part::Screen, audience);
    }
    fill(roles, &mut slots, SlotRole::Pair, Part::Person, audience);
    hear_the_shown_through_their_pair(&mut slots);
    fill(roles, &mut slots, SlotRole::Audio, Part::Voice, audience);
    slots
}

/// Whether screens are shown where people are, for want of a slot of their own.
pub fn takes_screens_in_pairs(mut roles: impl Iterator<Item = SlotRole>) -> bool {
    roles.all(|role| role != SlotRole::Screen)
}

/// What a slot is for.
pub const fn part_of(role: SlotRole) -> Part {
    match role {
        SlotRole::Pair => Part::Person,
        SlotRole::Screen => Part::Screen,
        SlotRole::Audio => Part::Voice,
    }
}

fn keep_current(roles: &[SlotRole], current: &[Option<Occupant>], audience: &impl Audience) -> Occupants {
    let still_there = |(member, part): &Occupant| audience.offers(*member, *part);
    (0..roles.len()).map(|slot| current.get(slot).copied().flatten().filter(still_there)).collect()
}

fn apply_pins(
    roles: &[SlotRole],
    slots: &mut [Option<Occupant>],
    pins: &[(SlotIndex, MemberIndex)],
    audience: &impl Audience,
) {
    let mut held = SmallVec::<[usize; 8]>::new();
    // Lone voices after the pairs: a member in a pair is heard through it, and a pin cannot change that.
    let voices = |pins: &&(SlotIndex, MemberIndex)| roles.get(usize::from(pins.0)) == Some(&SlotRole::Audio);
    // The last first: an earlier one takes neither its slot nor what is in it.
    let in_order = pins.iter().rev().filter(|pin| !voices(pin)).chain(pins.iter().rev().filter(voices));
    for &(slot, member) in in_order {
        let slot = usize::from(slot);
        let Some(&role) = roles.get(slot) else { continue };
        let part = match role {
            SlotRole::Pair if !audience.offers(member, Part::Person) => Part::Screen,
            _ => part_of(role),
        };
        let pinned = Some((member, part));
        let is_heard = part == Part::Voice && slots.contains(&Some((member, Part::Person)));
        let is_taken = held.iter().any(|other| *other == slot || slots[*other] == pinned);
        if is_heard || is_taken || !audience.offers(member, part) {
            continue;
        }
        slots.iter_mut().filter(|other| **other == pinned).for_each(|other| *other = None);
        slots[slot] = pinned;
        held.push(slot);
    }
}

/// Fills the free slots of a role, and then those that yield.
fn fill(roles: &[SlotRole], slots: &mut [Option<Occupant>], role: SlotRole, part: Part, audience: &impl Audience) {
    let of_role = |slot: &usize| roles[*slot] == role;
    let yields = |occupant: Option<Occupant>| occupant.is_some_and(|(member, _)| !audience.flows(member));
    let may_yield = audience.is_at_our_choice();
    let has_place = |slot: usize| slots[slot].is_none() || (may_yield && yields(slots[slot]));
    if !(0..roles.len()).filter(of_role).any(has_place) {
        return;
    }
    for member in audience.ranked() {
        let occupant = Some((member, part));
        let is_shown =
            slots.contains(&occupant) || (part == Part::Voice && slots.contains(&Some((member, Part::Person))));
        if is_shown || !audience.offers(member, part) {
            continue;
        }
        let free = (0..roles.len()).filter(of_role).find(|&slot| slots[slot].is_none());
        let yielded = || (0..roles.len()).filter(of_role).find(|&slot| yields(slots[slot]));
        let place = free.or_else(|| if may_yield && audience.flows(member) { yielded() } else { None });
        match place {
            Some(slot) => slots[slot] = occupant,
            None if may_yield => {}
            None => return,
        }
    }
}

fn hear_the_shown_through_their_pair(slots: &mut [Option<Occupant>]) {
    for slot in 0..slots.len() {
        if let Some((member, Part::Voice)) = slots[slot]
            && slots.contains(&Some((member, Part::Person)))
        {
            slots[slot] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAYOUT: [SlotRole; 4] = [SlotRole::Pair, SlotRole::Pair, SlotRole::Screen, SlotRole::Audio];

    /// What a member has to show.
    #[derive(Debug, Clone, Copy)]
    struct Candidate {
        member: MemberIndex,
        person: bool,
        screen: bool,
        voice: bool,
        flows: bool,
    }

    impl Candidate {
        fn offers(&self, part: Part) -> bool {
            match part {
                Part::Person => self.person,
                Part::Screen => self.screen,
                Part::Voice => self.voice,
            }
        }
    }

    /// Candidates in their order of precedence, for somebody with a say or without.
    struct Room<'a> {
        candidates: &'a [Candidate],
        at_our_choice: bool,
    }

    impl Room<'_> {
        fn find(&self, member: MemberIndex) -> Option<&Candidate> {
            self.candidates.iter().find(|candidate| candidate.member == member)
        }
    }

    impl Offers for Room<'_> {
        fn offers(&self, member: MemberIndex, part: Part) -> bool {
            self.find(member).is_some_and(|candidate| candidate.offers(part))
        }

        fn flows(&self, member: MemberIndex) -> bool {
            self.find(member).is_some_and(|candidate| candidate.flows)
        }
    }

    impl Audience for Room<'_> {
        fn is_at_our_choice(&self) -> bool {
            self.at_our_choice
        }

        fn ranked(&self) -> impl Iterator<Item = MemberIndex> {
            let flowing = |flows| self.candidates.iter().filter(move |candidate| candidate.flows == flows);
            flowing(true).chain(flowing(false)).map(|candidate| candidate.member)
        }
    }

    fn assign(
        roles: &[SlotRole],
        current: &[Option<Occupant>],
        pins: &[(SlotIndex, MemberIndex)],
        candidates: &[Candidate],
    ) -> Vec<Option<Occupant>> {
        super::assign(roles, current, pins, &Room { candidates, at_our_choice: false }).to_vec()
    }

    fn choose(roles: &[SlotRole], current: &[Option<Occupant>], candidates: &[Candidate]) -> Vec<Option<Occupant>> {
        super::assign(roles, current, &[], &Room { candidates, at_our_choice: true }).to_vec()
    }

    fn person(member: u32) -> Candidate {
        Candidate { member: MemberIndex(member), person: true, screen: false, voice: true, flows: true }
    }

    fn silent(member: u32) -> Candidate {
        Candidate { flows: false, ..person(member) }
    }

    fn at(member: u32, part: Part) -> Option<Occupant> {
        Some((MemberIndex(member), part))
    }

    #[test]
    fn arrivals_fill_pairs_then_lone_audio() {
        let slots = assign(&LAYOUT, &[], &[], &[person(1), person(2), person(3), person(4)]);
        assert_eq!(slots, [at(1, Part::Person), at(2, Part::Person), None, at(3, Part::Voice)]);
    }

    #[test]
    fn a_leave_moves_nobody_who_is_shown() {
        let before = assign(&LAYOUT, &[], &[], &[person(1), person(2), person(3)]);
        let after = assign(&LAYOUT, &before, &[], &[person(2), person(3)]);
        assert_eq!(after, [at(3, Part::Person), at(2, Part::Person), None, None]);
    }

    #[test]
    fn pins_evict_and_the_evicted_takes_a_free_slot() {
        let before = assign(&LAYOUT, &[], &[], &[person(1)]);
        let pinned = assign(&LAYOUT, &before, &[(0, MemberIndex(2))], &[person(1), person(2)]);
        assert_eq!(pinned, [at(2, Part::Person), at(1, Part::Person), None, None]);
    }

    #[test]
    fn a_screen_takes_a_pair_where_there_is_no_screen_slot() {
        let screen = Candidate { screen: true, ..person(1) };
        assert_eq!(assign(&LAYOUT, &[], &[], &[screen])[2], at(1, Part::Screen));
        let pairs = [SlotRole::Pair, SlotRole::Pair];
        assert_eq!(assign(&pairs, &[], &[], &[screen]), [at(1, Part::Screen), at(1, Part::Person)]);
    }

    #[test]
    fn what_does_not_flow_yields_where_the_viewer_has_no_say() {
        let pair = [SlotRole::Pair];
        let before = choose(&pair, &[], &[silent(1)]);
        assert_eq!(before, [at(1, Part::Person)], "nothing else is there");
        assert_eq!(choose(&pair, &before, &[silent(1), silent(2)]), before, "no better");
        assert_eq!(choose(&pair, &before, &[silent(1), person(2)]), [at(2, Part::Person)]);
        assert_eq!(
            assign(&pair, &before, &[], &[silent(1), person(2)]),
            before,
            "who has a say is told that it is lost"
        );
        let back = choose(&pair, &[at(2, Part::Person)], &[person(1), person(2)]);
        assert_eq!(back, [at(2, Part::Person)], "what came first stays when both flow");
    }

    #[test]
    fn a_free_slot_is_taken_before_anybody_yields() {
        let pairs = [SlotRole::Pair; 2];
        let slots = choose(&pairs, &[at(1, Part::Person), None], &[silent(1), person(2)]);
        assert_eq!(slots, [at(1, Part::Person), at(2, Part::Person)]);
    }

    #[test]
    fn media_comes_first_for_everybody() {
        assert_eq!(assign(&[SlotRole::Pair], &[], &[], &[silent(1), person(2)]), [at(2, Part::Person)]);
    }

    #[test]
    fn the_later_of_two_pins_holds() {
        let (roles, members) = ([SlotRole::Pair; 3], [person(1), person(2), person(3)]);
        let one_slot = [(0, MemberIndex(2)), (0, MemberIndex(3))];
        let slots = assign(&roles, &[], &one_slot, &members);
        assert_eq!(slots, [at(3, Part::Person), at(1, Part::Person), at(2, Part::Person)]);
        assert_eq!(assign(&roles, &slots, &one_slot, &members), slots, "nobody moves");
        let one_person = [(0, MemberIndex(3)), (1, MemberIndex(3))];
        assert_eq!(assign(&roles, &[], &one_person, &members)[1], at(3, Part::Person));
    }

    fn roles() -> impl Strategy<Value = Vec<SlotRole>> {
        prop::collection::vec(prop::sample::select(vec![SlotRole::Pair, SlotRole::Screen, SlotRole::Audio]), 0..8)
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()), 0..10).prop_map(|all| {
            let candidate = |(member, (camera, screen, voice, flows))| Candidate {
                member: MemberIndex(member as u32),
                person: camera || voice,
                screen,
                voice,
                flows,
            };
            all.into_iter().enumerate().map(candidate).collect()
        })
    }

    proptest! {
        #[test]
        fn invariants_hold(
            roles in roles(), first in candidates(), second in candidates(),
            pins in prop::collection::vec((0u8..9, (0u32..12).prop_map(MemberIndex)), 0..4),
        ) {
            let before = assign(&roles, &[], &[], &first);
            let after = assign(&roles, &before, &pins, &second);
            for (slot, occupant) in after.iter().enumerate() {
                let Some((member, part)) = *occupant else { continue };
                prop_assert_eq!(after.iter().filter(|other| **other == *occupant).count(), 1, "in two slots");
                prop_assert!(second.iter().any(|c| c.member == member && c.offers(part)), "shows nothing");
                prop_assert_eq!(part == Part::Voice, roles[slot] == SlotRole::Audio);
                if part == Part::Voice {
                    prop_assert!(!after.contains(&Some((member, Part::Person))), "heard twice");
                }
            }
            let unpinned = assign(&roles, &before, &[], &second);
            for (slot, occupant) in before.iter().enumerate() {
                let Some((member, part)) = *occupant else { continue };
                let stays = second.iter().any(|c| c.member == member && c.offers(part)) && part != Part::Voice;
                prop_assert!(!stays || unpinned[slot] == *occupant, "moved without need");
            }
            prop_assert_eq!(assign(&roles, &unpinned, &[], &second), unpinned, "not stable");
        }

        /// Why only members that a change concerns need to be looked at.
        #[test]
        fn what_was_assigned_stays_whatever_the_order(
            roles in roles(), first in candidates(), second in candidates(), order in any::<prop::sample::Index>(),
            pins in prop::collection::vec((0u8..9, (0u32..12).prop_map(MemberIndex)), 0..4), at_our_choice: bool,
        ) {
            let assign = |current: &[_], candidates: &[Candidate]| {
                let at_our_choice = at_our_choice && pins.is_empty();
                super::assign(&roles, current, &pins, &Room { candidates, at_our_choice }).to_vec()
            };
            let after = assign(&assign(&[], &first), &second);
            let mut others = second.clone();
            if !others.is_empty() {
                let by = order.index(others.len());
                others.rotate_left(by);
                others.reverse();
            }
            prop_assert_eq!(assign(&after, &others), after.clone());
            // Whoever is not shown may go.
            others.retain(|candidate| after.iter().flatten().any(|(member, _)| *member == candidate.member));
            prop_assert_eq!(assign(&after, &others), after);
        }

        #[test]
        fn nothing_silent_keeps_what_flows_out(roles in roles(), first in candidates(), second in candidates()) {
            let after = choose(&roles, &choose(&roles, &[], &first), &second);
            let flows = |member: MemberIndex| second.iter().any(|c| c.member == member && c.flows);
            let shown = |member, part| after.contains(&Some((member, part)));
            for (role, part) in [(SlotRole::Screen, Part::Screen), (SlotRole::Pair, Part::Person)] {
                let waits = second.iter().any(|c| c.flows && c.offers(part) && !shown(c.member, part));
                let mut of_role = after.iter().zip(&roles).filter(|(_, other)| **other == role);
                let holds = of_role.any(|(occupant, _)| occupant.is_some_and(|(member, _)| !flows(member)));
                prop_assert!(!(waits && holds), "{after:?}");
            }
        }
    }
}
