//! How slots follow who speaks: a pure function of the slots, the speakers and what is known of the others.
//!
//! Invariants, besides those of [`super::assignment`]:
//! - Who is in a slot leaves it only for somebody who speaks, and only if they neither speak nor were pinned: of those, one of
//!   whom nothing comes, or else the one who spoke least recently. Screen shares stay.
//! - Nobody moves between pairs, and at most one pair changes at a time.
//! - Who leaves a pair for somebody from a lone audio slot is heard there instead.

use std::time::Instant;

use crate::control::{SlotIndex, SlotRole};

use super::MemberIndex;
use super::assignment::{Occupant, Offers, Part};

/// Somebody who speaks and is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaking {
    pub member: MemberIndex,
    /// For long enough to be shown.
    pub established: bool,
}

/// What [`Stage`] asks about members.
pub trait Speech: Offers {
    /// When a member spoke last.
    fn spoke(&self, member: MemberIndex) -> Option<Instant>;
}

/// A member's slots while they follow who speaks.
pub struct Stage<'a, A> {
    pub roles: &'a [SlotRole],
    /// Slots that stay as they are.
    pub pinned: &'a [SlotIndex],
    /// Who speaks, without the member itself.
    pub speakers: &'a [Speaking],
    pub audience: &'a A,
}

impl<A: Speech> Stage<'_, A> {
    /// Lets slots follow the speakers: everybody among them shall be heard, and who is established be shown, as far as
    /// those who do not speak leave room. At most one pair changes, and none unless `may_show`. Returns whether one did.
    pub fn follow(&self, slots: &mut [Option<Occupant>], may_show: bool) -> bool {
        let mut shown = false;
        for speaker in self.speakers {
            if is_placed(slots.iter().flatten(), speaker) {
                continue;
            }
            if may_show && !shown && speaker.established && self.show(slots, speaker.member) {
                shown = true;
            } else {
                self.let_hear(slots, speaker.member);
            }
        }
        if shown {
            // Who moved up into a pair may have left a place to somebody who came before them.
            for speaker in self.speakers {
                let is_heard = |(member, part): &Occupant| *member == speaker.member && *part != Part::Screen;
                if !slots.iter().flatten().any(is_heard) {
                    self.let_hear(slots, speaker.member);
                }
            }
        }
        shown
    }

    /// Puts a member into a pair; who was there is heard where the member was.
    fn show(&self, slots: &mut [Option<Occupant>], member: MemberIndex) -> bool {
        let lone = slots.iter().position(|slot| *slot == Some((member, Part::Voice)));
        if !self.audience.offers(member, Part::Person) || lone.is_some_and(|lone| self.is_pinned(lone)) {
            return false;
        }
        let Some(place) = self.weakest(slots, SlotRole::Pair) else { return false };
        let before = slots[place].replace((member, Part::Person));
        if let Some(lone) = lone {
            let voice = before.map(|(member, _)| (member, Part::Voice));
            slots[lone] = voice.filter(|(member, voice)| self.audience.offers(*member, *voice));
        }
        true
    }

    /// Puts a member into a lone audio slot.
    fn let_hear(&self, slots: &mut [Option<Occupant>], member: MemberIndex) {
        let voice = Some((member, Part::Voice));
        if !slots.contains(&voice)
            && self.audience.offers(member, Part::Voice)
            && let Some(place) = self.weakest(slots, SlotRole::Audio)
        {
            slots[place] = voice;
        }
    }

    /// The slot of this role that is free, or else whose occupant neither speaks nor is pinned: the one of whom nothing comes, or
    /// who spoke least recently.
    fn weakest(&self, slots: &[Option<Occupant>], role: SlotRole) -> Option<usize> {
        let speaks = |member| self.speakers.iter().any(|speaker| speaker.member == member);
        let yields = |slot: &usize| match slots[*slot] {
            None => true,
            Some((_, Part::Screen)) => false,
            Some((member, _)) => !self.is_pinned(*slot) && !speaks(member),
        };
        let spoke =
            |slot: &usize| slots[*slot].map(|(member, _)| (self.audience.flows(member), self.audience.spoke(member)));
        (0..slots.len()).filter(|slot| self.roles[*slot] == role).filter(yields).min_by_key(spoke)
    }

    fn is_pinned(&self, slot: usize) -> bool {
        self.pinned.iter().any(|pinned| usize::from(*pinned) == slot)
    }
}

/// Whether a speaker is where it should be: shown, or at least heard until it is established.
pub fn is_placed<'a>(mut occupants: impl Iterator<Item = &'a Occupant>, speaker: &Speaking) -> bool {
    occupants.any(|(member, part)| {
        *member == speaker.member && (*part == Part::Person || (*part == Part::Voice && !speaker.established))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Members 0 to 9: all have a microphone, `wanted` of them are wanted, and member n spoke at second n, if ever.
    struct Hall {
        start: Instant,
        spoke: Vec<bool>,
        wanted: Vec<bool>,
        /// Of whom nothing comes.
        lost: Option<MemberIndex>,
    }

    impl Hall {
        fn new() -> Self {
            Self { start: Instant::now(), spoke: vec![true; 10], wanted: vec![true; 10], lost: None }
        }

        fn follow(
            &self,
            roles: &[SlotRole],
            slots: &mut [Option<Occupant>],
            pinned: &[SlotIndex],
            speakers: &[Speaking],
            may_show: bool,
        ) -> bool {
            Stage { roles, pinned, speakers, audience: self }.follow(slots, may_show)
        }
    }

    impl Offers for Hall {
        fn offers(&self, member: MemberIndex, part: Part) -> bool {
            part != Part::Screen && self.wanted[member.0 as usize]
        }

        fn flows(&self, member: MemberIndex) -> bool {
            self.lost != Some(member)
        }
    }

    impl Speech for Hall {
        fn spoke(&self, member: MemberIndex) -> Option<Instant> {
            let at = self.start + Duration::from_secs(u64::from(member.0));
            self.spoke[member.0 as usize].then_some(at)
        }
    }

    const ROLES: [SlotRole; 4] = [SlotRole::Pair, SlotRole::Pair, SlotRole::Pair, SlotRole::Audio];

    fn at(member: u32, part: Part) -> Option<Occupant> {
        Some((MemberIndex(member), part))
    }

    fn slots() -> [Option<Occupant>; 4] {
        [at(3, Part::Person), at(1, Part::Person), at(2, Part::Person), at(4, Part::Voice)]
    }

    fn speaking(member: u32, established: bool) -> Speaking {
        Speaking { member: MemberIndex(member), established }
    }

    #[test]
    fn a_voice_is_heard_first_and_shown_when_it_goes_on() {
        let (hall, mut slots) = (Hall::new(), slots());
        assert!(!hall.follow(&ROLES, &mut slots, &[], &[speaking(9, false)], true));
        assert_eq!(slots, [at(3, Part::Person), at(1, Part::Person), at(2, Part::Person), at(9, Part::Voice)]);
        assert!(hall.follow(&ROLES, &mut slots, &[], &[speaking(9, true)], true));
        assert_eq!(slots, [at(3, Part::Person), at(9, Part::Person), at(2, Part::Person), at(1, Part::Voice)]);
    }

    #[test]
    fn whoever_never_spoke_leaves_first() {
        let (mut hall, mut slots) = (Hall::new(), slots());
        hall.spoke[3] = false;
        hall.follow(&ROLES, &mut slots, &[], &[speaking(9, true)], true);
        assert_eq!(slots[0], at(9, Part::Person));
    }

    #[test]
    fn whoever_is_lost_leaves_before_that() {
        let (mut hall, mut slots) = (Hall::new(), slots());
        hall.spoke[3] = false;
        hall.lost = Some(MemberIndex(2));
        hall.follow(&ROLES, &mut slots, &[], &[speaking(9, true)], true);
        assert_eq!(slots[2], at(9, Part::Person));
    }

    #[test]
    fn one_pair_at_a_time_and_the_others_are_heard() {
        let (hall, mut slots) = (Hall::new(), slots());
        assert!(hall.follow(&ROLES, &mut slots, &[], &[speaking(8, true), speaking(9, true)], true));
        assert_eq!(slots, [at(3, Part::Person), at(8, Part::Person), at(2, Part::Person), at(9, Part::Voice)]);
        assert!(!hall.follow(&ROLES, &mut slots, &[], &[speaking(8, true), speaking(9, true)], false));
        assert_eq!(slots[3], at(9, Part::Voice));
    }

    #[test]
    fn speakers_and_the_pinned_stay() {
        let (hall, mut slots) = (Hall::new(), slots());
        let speakers = [speaking(1, false), speaking(9, true), speaking(3, true)];
        assert!(!hall.follow(&ROLES, &mut slots, &[2, 3], &speakers, true));
        assert_eq!(slots, self::slots());
    }

    fn slots_of(members: Vec<Option<u32>>, roles: &[SlotRole]) -> Vec<Option<Occupant>> {
        let mut seen = Vec::new();
        let part = |role| match role {
            SlotRole::Pair => Part::Person,
            SlotRole::Screen => Part::Screen,
            SlotRole::Audio => Part::Voice,
        };
        let once = |(member, role): (Option<u32>, &SlotRole)| {
            let occupant = (MemberIndex(member?), part(*role));
            let thing = (occupant.0, occupant.1 == Part::Screen);
            (!seen.contains(&thing)).then(|| seen.push(thing)).map(|()| occupant)
        };
        members.into_iter().zip(roles).map(once).collect()
    }

    proptest! {
        #[test]
        fn invariants_hold(
            (roles, members) in (0usize..8).prop_flat_map(|count| (
                prop::collection::vec(
                    prop::sample::select(vec![SlotRole::Pair, SlotRole::Screen, SlotRole::Audio]), count),
                prop::collection::vec(prop::option::of(0u32..10), count),
            )),
            speakers in prop::collection::btree_map(0u32..10, any::<bool>(), 0..5),
            pinned in prop::collection::vec(0u8..8, 0..3),
            spoke in prop::collection::vec(any::<bool>(), 10),
            wanted in prop::collection::vec(any::<bool>(), 10),
            may_show: bool,
        ) {
            let hall = Hall { start: Instant::now(), spoke, wanted, lost: None };
            let speakers: Vec<_> = speakers.into_iter().map(|(member, long)| speaking(member, long)).collect();
            let speaks = |member| speakers.iter().any(|speaker| speaker.member == member);
            let heard = |slots: &[Option<Occupant>], member| {
                slots.iter().flatten().filter(|(other, part)| *other == member && *part != Part::Screen).count()
            };
            let before = slots_of(members, &roles);
            let mut after = before.clone();
            let shown = hall.follow(&roles, &mut after, &pinned, &speakers, may_show);
            let mut pairs = 0;
            for (slot, occupant) in after.iter().enumerate() {
                if let Some((member, part)) = *occupant {
                    prop_assert!(part == Part::Screen || heard(&after, member) == 1, "twice");
                    prop_assert_eq!(part == Part::Voice, roles[slot] == SlotRole::Audio);
                }
                if *occupant == before[slot] {
                    continue;
                }
                let came = occupant.map(|(member, _)| member);
                prop_assert!(came.is_none_or(|member| hall.wanted[member.0 as usize]), "not wanted");
                if let Some((member, part)) = before[slot] {
                    prop_assert!(part != Part::Screen && !pinned.contains(&(slot as u8)));
                    let moved_up = part == Part::Voice && after.contains(&Some((member, Part::Person)));
                    prop_assert!(moved_up || !speaks(member), "who speaks leaves");
                }
                if roles[slot] == SlotRole::Pair {
                    pairs += 1;
                    prop_assert!(speakers.iter().any(|s| Some(s.member) == came && s.established));
                }
            }
            prop_assert_eq!(pairs, usize::from(shown));
            prop_assert!(may_show || !shown);
            // Nobody who speaks and is wanted waits for a lone slot while a silent one who may leave is in it.
            for speaker in speakers.iter().filter(|s| hall.wanted[s.member.0 as usize]) {
                let waits = heard(&after, speaker.member) == 0;
                let free = (0..after.len()).any(|slot| {
                    let stays = |member| speaks(member) || pinned.contains(&(slot as u8));
                    roles[slot] == SlotRole::Audio && after[slot].is_none_or(|(member, _)| !stays(member))
                });
                prop_assert!(!(waits && free), "nobody hears {speaker:?}");
            }
        }
    }
}
