//! Who is shown in which slot: a pure function of the slots, the wishes and the members of a room.
//!
//! Invariants:
//! - Nobody is in two slots for the same thing (camera and microphone count as one thing, screen and its sound as another).
//! - Whoever is in a slot stays there while there is something to show, unless somebody was pinned into that slot.
//! - Free slots fill in the order of the candidates: who spoke last first, then by arrival. Screens take screen slots, and
//!   pairs, ahead of people, only when a layout has no screen slot.
//! - A participant in a pair is in no lone audio slot: it is heard through its pair.
//!
//! How slots follow who speaks afterwards is in [`super::stage`].

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

/// Who is in a slot, and with what.
pub type Occupant = (MemberIndex, Part);

/// What a member has to show to the one whose slots are filled.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    pub member: MemberIndex,
    /// A wanted camera or microphone.
    pub person: bool,
    /// A wanted screen.
    pub screen: bool,
    /// A wanted microphone.
    pub voice: bool,
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

/// Fills `slots` anew. `current` is who is there now (same length); `candidates` are in their order of precedence.
pub fn assign(
    roles: &[SlotRole],
    current: &[Option<Occupant>],
    pins: &[(SlotIndex, MemberIndex)],
    candidates: &[Candidate],
) -> Vec<Option<Occupant>> {
    let mut slots = keep_current(roles, current, candidates);
    apply_pins(roles, &mut slots, pins, candidates);
    let lone_screens = !roles.contains(&SlotRole::Screen);
    fill(roles, &mut slots, SlotRole::Screen, Part::Screen, candidates);
    if lone_screens {
        fill(roles, &mut slots, SlotRole::Pair, Part::Screen, candidates);
    }
    fill(roles, &mut slots, SlotRole::Pair, Part::Person, candidates);
    hear_the_shown_through_their_pair(roles, &mut slots);
    let unseen: Vec<Candidate> =
        candidates.iter().filter(|c| !slots.contains(&Some((c.member, Part::Person)))).copied().collect();
    fill(roles, &mut slots, SlotRole::Audio, Part::Voice, &unseen);
    slots
}

fn keep_current(roles: &[SlotRole], current: &[Option<Occupant>], candidates: &[Candidate]) -> Vec<Option<Occupant>> {
    let still_there = |occupant: &Occupant| {
        candidates.iter().any(|candidate| candidate.member == occupant.0 && candidate.offers(occupant.1))
    };
    (0..roles.len()).map(|slot| current.get(slot).copied().flatten().filter(still_there)).collect()
}

fn apply_pins(
    roles: &[SlotRole],
    slots: &mut [Option<Occupant>],
    pins: &[(SlotIndex, MemberIndex)],
    candidates: &[Candidate],
) {
    for &(slot, member) in pins {
        let slot = usize::from(slot);
        let Some(&role) = roles.get(slot) else { continue };
        let Some(candidate) = candidates.iter().find(|candidate| candidate.member == member) else { continue };
        let part = match role {
            SlotRole::Screen => Part::Screen,
            SlotRole::Audio => Part::Voice,
            SlotRole::Pair if candidate.person => Part::Person,
            SlotRole::Pair => Part::Screen,
        };
        if candidate.offers(part) {
            let pinned = Some((member, part));
            for other in slots.iter_mut().filter(|other| **other == pinned) {
                *other = None;
            }
            slots[slot] = pinned;
        }
    }
}

fn fill(roles: &[SlotRole], slots: &mut [Option<Occupant>], role: SlotRole, part: Part, candidates: &[Candidate]) {
    for candidate in candidates.iter().filter(|candidate| candidate.offers(part)) {
        let occupant = Some((candidate.member, part));
        if slots.contains(&occupant) {
            continue;
        }
        let free = (0..roles.len()).find(|&slot| roles[slot] == role && slots[slot].is_none());
        match free {
            Some(slot) => slots[slot] = occupant,
            None => return,
        }
    }
}

fn hear_the_shown_through_their_pair(roles: &[SlotRole], slots: &mut [Option<Occupant>]) {
    for slot in 0..roles.len() {
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

    fn person(member: u32) -> Candidate {
        Candidate { member: MemberIndex(member), person: true, screen: false, voice: true }
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

    fn roles() -> impl Strategy<Value = Vec<SlotRole>> {
        prop::collection::vec(prop::sample::select(vec![SlotRole::Pair, SlotRole::Screen, SlotRole::Audio]), 0..8)
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 0..10).prop_map(|all| {
            let candidate = |(member, (camera, screen, voice))| Candidate {
                member: MemberIndex(member as u32),
                person: camera || voice,
                screen,
                voice,
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
    }
}
