//! Numbers of a source that go out as numbers of a stream for life: what is left out closes up, what is missing stays a gap.
//!
//! Used for sequence numbers and for the numbers of pictures and frames.
//!
//! Invariants:
//! - Within a source, output numbers rise as input numbers do, and no two inputs have the same output.
//! - A source's first number follows the highest that went out before by exactly one.

use arrayvec::ArrayVec;

/// Inputs from `start` on are moved by `offset`.
#[derive(Debug, Clone, Copy)]
struct Range {
    start: u64,
    offset: i64,
}

/// Numbers on their way out. `RANGES` left-out runs stay told apart from numbers that come late; what is older is refused.
#[derive(Debug)]
pub struct Numbering<const RANGES: usize> {
    /// The one that is looked into for nearly every number, and the only one while nothing is left out.
    newest: Range,
    /// Those before it, ascending by `start`.
    older: Option<Box<ArrayVec<Range, RANGES>>>,
    /// The number after the highest that went out.
    next: u64,
}

impl Range {
    /// Before the first source: no number is in it.
    const NONE: Self = Self { start: u64::MAX, offset: 0 };

    fn output(&self, number: u64) -> Option<u64> {
        number.checked_add_signed(self.offset)
    }

    /// Where its output begins.
    const fn first(&self) -> i64 {
        self.start as i64 + self.offset
    }

    /// What is left of it above `number`, which is left out.
    const fn above(&self, number: u64) -> Self {
        Self { start: number + 1, offset: self.offset - 1 }
    }
}

impl<const RANGES: usize> Numbering<RANGES> {
    /// The first number that goes out is `first`.
    pub const fn new(first: u64) -> Self {
        Self { newest: Range::NONE, older: None, next: first }
    }

    /// The number after the highest that went out.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Takes a number back that was the highest to go out and did not: `next` is what [`Self::next`] was before.
    pub const fn take_back(&mut self, next: u64) {
        self.next = next;
    }

    /// Begins another source: its number `first` is the next to go out, and lower ones are refused.
    pub fn switch(&mut self, first: u64) {
        self.older = None;
        self.newest = Range { start: first, offset: self.next as i64 - first as i64 };
    }

    /// Whether only `first` of the source went out.
    pub fn has_only_sent(&self, first: u64) -> bool {
        self.older.is_none() && self.newest.start == first && self.newest.output(first) == Some(self.next - 1)
    }

    /// The output of `number`; `None` if it is from before the source, was left out, or is too old to know. Counts as
    /// having gone out.
    #[inline]
    pub fn give(&mut self, number: u64) -> Option<u64> {
        let output = if number >= self.newest.start { self.newest.output(number) } else { self.give_late(number) }?;
        self.next = self.next.max(output + 1);
        Some(output)
    }

    fn give_late(&self, number: u64) -> Option<u64> {
        let older = self.older.as_deref()?;
        let place = older.iter().rposition(|range| number >= range.start)?;
        let output = older[place].output(number)?;
        // What the next range starts with went to the numbers that were left out here.
        let after = older.get(place + 1).unwrap_or(&self.newest);
        ((output as i64) < after.first()).then_some(output)
    }

    /// Leaves `number` out, so that later ones close up. Only one above all that went out can be left out: the place of a
    /// lower one was given away as a gap.
    pub fn leave_out(&mut self, number: u64) {
        if number < self.newest.start {
            return self.leave_out_late(number);
        }
        if self.newest.output(number).is_none_or(|output| output < self.next) {
            return;
        }
        let rest = self.newest.above(number);
        let before = std::mem::replace(&mut self.newest, rest);
        if before.start < number {
            let older = self.older.get_or_insert_default();
            insert(older, older.len(), before);
        }
    }

    fn leave_out_late(&mut self, number: u64) {
        let Some(older) = self.older.as_deref_mut() else { return };
        let Some(place) = older.iter().rposition(|range| number >= range.start) else { return };
        let range = older[place];
        let (output, after) = (number as i64 + range.offset, older.get(place + 1).unwrap_or(&self.newest).first());
        if output < self.next as i64 || output >= after {
            return;
        }
        for later in older[place + 1..].iter_mut().chain([&mut self.newest]) {
            later.offset -= 1;
        }
        if number == range.start {
            older[place] = range.above(number);
        } else if after != output + 1 {
            insert(older, place + 1, range.above(number));
        }
    }
}

fn insert<const RANGES: usize>(ranges: &mut ArrayVec<Range, RANGES>, mut place: usize, range: Range) {
    if ranges.is_full() {
        ranges.remove(0);
        place -= 1;
    }
    ranges.insert(place, range);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// What becomes of a number of the source.
    #[derive(Debug, Clone, Copy)]
    enum Fate {
        Sent,
        LeftOut,
        /// It never comes.
        Lost,
    }

    fn fate() -> impl Strategy<Value = (Fate, u64)> {
        let fate = prop_oneof![5 => Just(Fate::Sent), 3 => Just(Fate::LeftOut), 1 => Just(Fate::Lost)];
        (fate, prop_oneof![4 => Just(0u64), 1 => 0u64..12])
    }

    proptest! {
        /// Numbers in any order, some late by a few places: outputs rise as inputs do, none is given twice, sources follow
        /// each other by one, and a gap is where something was lost, or left out too late to close it.
        #[test]
        fn agrees_with_what_must_hold(sources in prop::collection::vec(prop::collection::vec(fate(), 1..80), 1..5)) {
            let mut numbering = Numbering::<32>::new(1_000);
            let mut next = 1_000;
            for (index, fates) in sources.into_iter().enumerate() {
                let base = 10_000 * (index as u64 + 1);
                let mut order: Vec<u64> = (0..fates.len() as u64).collect();
                order.sort_by_key(|place| place + fates[*place as usize].1 * u64::from(*place > 0));
                numbering.switch(base);
                let (mut given, mut late) = (BTreeMap::new(), BTreeSet::new());
                prop_assert_eq!(numbering.give(base), Some(next));
                given.insert(base, next);
                for place in order.into_iter().skip(1) {
                    let number = base + place;
                    match fates[place as usize].0 {
                        Fate::Sent => {
                            let output = numbering.give(number).unwrap();
                            given.insert(number, output);
                        }
                        Fate::LeftOut => {
                            let is_late = given.last_key_value().is_some_and(|(highest, _)| *highest > number);
                            if is_late {
                                late.insert(number);
                            }
                            numbering.leave_out(number);
                            prop_assert!(is_late || numbering.give(number).is_none(), "its number went to another");
                        }
                        Fate::Lost => {}
                    }
                }
                let pairs: Vec<(u64, u64)> = given.into_iter().collect();
                for pair in pairs.windows(2) {
                    let gaps = (pair[0].0 + 1..pair[1].0)
                        .filter(|n| late.contains(n) || matches!(fates[(n - base) as usize].0, Fate::Lost));
                    prop_assert!(pair[1].1 > pair[0].1, "{pairs:?}");
                    prop_assert_eq!(pair[1].1 - pair[0].1 - 1, gaps.count() as u64, "{:?}", pairs);
                }
                next = pairs.iter().map(|pair| pair.1).max().unwrap() + 1;
                prop_assert_eq!(numbering.next(), next);
            }
        }
    }

    #[test]
    fn what_is_too_old_to_know_is_refused() {
        let mut numbering = Numbering::<2>::new(0);
        numbering.switch(100);
        for number in (101..110).step_by(2) {
            assert!(numbering.give(number - 1).is_some());
            numbering.leave_out(number);
        }
        assert_eq!(numbering.give(110), Some(5));
        assert_eq!(numbering.give(101), None);
    }
}
