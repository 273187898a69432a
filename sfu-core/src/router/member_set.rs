//! A set of members of one room, as a bit for each place: 1,000 members take 16 words.
//!
//! Two sets are joined or subtracted word by word, and a member is found in order of its place. That is how an event is
//! brought to the members that it concerns without a look at each of the others.

use super::MemberIndex;

const WORD: usize = u64::BITS as usize;

/// Members of one room.
#[derive(Debug, Clone, Default)]
pub struct MemberSet {
    words: Vec<u64>,
}

const fn place(member: MemberIndex) -> (usize, u64) {
    let index = member.0 as usize;
    (index / WORD, 1 << (index % WORD))
}

impl MemberSet {
    /// Whether the member is in the set.
    pub fn contains(&self, member: MemberIndex) -> bool {
        let (word, bit) = place(member);
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Adds a member.
    pub fn insert(&mut self, member: MemberIndex) {
        let (word, bit) = place(member);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    /// Removes a member; true if it was there.
    pub fn remove(&mut self, member: MemberIndex) -> bool {
        let (word, bit) = place(member);
        let Some(bits) = self.words.get_mut(word) else { return false };
        let was_there = *bits & bit != 0;
        *bits &= !bit;
        was_there
    }

    /// Adds or removes a member.
    pub fn set(&mut self, member: MemberIndex, is_in: bool) {
        match is_in {
            true => self.insert(member),
            false => {
                self.remove(member);
            }
        }
    }

    /// Adds the members of another set.
    pub fn add(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        self.words.iter_mut().zip(&other.words).for_each(|(bits, others)| *bits |= others);
    }

    /// Adds those that are in both of these sets.
    pub fn add_common(&mut self, one: &Self, other: &Self) {
        let len = one.words.len().min(other.words.len());
        if self.words.len() < len {
            self.words.resize(len, 0);
        }
        let common = one.words.iter().zip(&other.words).map(|(one, other)| one & other);
        self.words.iter_mut().zip(common).for_each(|(bits, common)| *bits |= common);
    }

    /// Removes the members of another set.
    pub fn subtract(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(bits, others)| *bits &= !others);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.words.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|bits| *bits == 0)
    }

    /// The first at this place or after it.
    pub fn first_from(&self, from: MemberIndex) -> Option<MemberIndex> {
        let (first, bit) = place(from);
        // All bits from this one up.
        let head = self.words.get(first)? & !(bit - 1);
        let rest = (first + 1..self.words.len()).map(|word| (word, self.words[word]));
        let (word, bits) = std::iter::once((first, head)).chain(rest).find(|(_, bits)| *bits != 0)?;
        Some(MemberIndex((word * WORD) as u32 + bits.trailing_zeros()))
    }

    /// All of them, by their places.
    pub fn iter(&self) -> impl Iterator<Item = MemberIndex> {
        let mut next = self.first_from(MemberIndex(0));
        std::iter::from_fn(move || {
            let member = next?;
            next = self.first_from(MemberIndex(member.0 + 1));
            Some(member)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(members: &BTreeSet<u32>) -> MemberSet {
        let mut set = MemberSet::default();
        members.iter().for_each(|member| set.insert(MemberIndex(*member)));
        set
    }

    fn members(set: &MemberSet) -> BTreeSet<u32> {
        assert!(set.iter().is_sorted(), "in order");
        set.iter().map(|member| member.0).collect()
    }

    fn any_members() -> impl Strategy<Value = BTreeSet<u32>> {
        prop::collection::btree_set(0u32..200, 0..20)
    }

    proptest! {
        #[test]
        fn it_is_as_a_tree_of_the_same_members(a in any_members(), b in any_members(), c in any_members(), one in 0u32..260) {
            let (first, second, member) = (set(&a), set(&b), MemberIndex(one));
            prop_assert_eq!(members(&first), a.clone());
            prop_assert_eq!((first.len(), first.is_empty()), (a.len(), a.is_empty()));
            prop_assert_eq!(first.contains(member), a.contains(&one));
            prop_assert_eq!(first.first_from(member).map(|found| found.0), a.range(one..).next().copied());
            let change = |change: &dyn Fn(&mut MemberSet)| {
                let mut changed = first.clone();
                change(&mut changed);
                members(&changed)
            };
            prop_assert_eq!(change(&|set| set.add(&second)), a.union(&b).copied().collect());
            prop_assert_eq!(change(&|set| set.subtract(&second)), a.difference(&b).copied().collect());
            let common: BTreeSet<u32> = b.intersection(&c).copied().collect();
            prop_assert_eq!(change(&|changed| changed.add_common(&second, &set(&c))), a.union(&common).copied().collect());
            let without: BTreeSet<u32> = a.iter().copied().filter(|other| *other != one).collect();
            prop_assert_eq!(change(&|set| assert_eq!(set.remove(member), a.contains(&one))), without.clone());
            prop_assert_eq!(change(&|set| set.set(member, false)), without);
        }
    }
}
