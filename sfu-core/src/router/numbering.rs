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
    /// Ascending by `start`; empty before the first source.
    ranges: ArrayVec<Range, RANGES>,
    /// The number after the highest that went out.
    next: u64,
}

impl<const RANGES: usize> Numbering<RANGES> {
    /// The first number that goes out is `first`.
    pub const fn new(first: u64) -> Self {
        Self { ranges: ArrayVec::new_const(), next: first }
    }

    /// The number after the highest that went out.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Begins another source: its number `first` is the next to go out, and lower ones are refused.
    pub fn switch(&mut self, first: u64) {
        self.ranges.clear();
        self.ranges.push(Range { start: first, offset: self.next as i64 - first as i64 });
    }

    /// Whether only `first` of the source went out.
    pub fn has_only_sent(&self, first: u64) -> bool {
        let [range] = self.ranges[..] else { return false };
        range.start == first && first.checked_add_signed(range.offset) == Some(self.next - 1)
    }

    /// The output of `number`; `None` if it is from before the source, was left out, or is too old to know. Counts as
    /// having gone out.
    #[inline]
    pub fn give(&mut self, number: u64) -> Option<u64> {
        let place = self.ranges.iter().rposition(|range| number >= range.start)?;
        let output = number.checked_add_signed(self.ranges[place].offset)?;
        // What the next range starts with went to the numbers that were left out here.
        if let Some(after) = self.ranges.get(place + 1)
            && output as i64 >= after.start as i64 + after.offset
        {
            return None;
        }
        self.next = self.next.max(output + 1);
        Some(output)
    }

    /// Leaves `number` out, so that later ones close up. Only one above all that went out can be left out: the place of a
    /// lower one was given away as a gap.
    pub fn leave_out(&mut self, number: u64) {
        self.leave_out_run(number, number);
    }

    /// Leaves out all numbers from `first` to `last`, of which the lower ones may have been left out before.
    pub fn leave_out_run(&mut self, first: u64, last: u64) {
        let Some(newest) = self.ranges.last_mut() else { return };
        let first = first.max(newest.start);
        if last < first || (first as i64 + newest.offset) < self.next as i64 {
            return;
        }
        let after = Range { start: last + 1, offset: newest.offset - (last - first + 1) as i64 };
        if first == newest.start {
            *newest = after;
            return;
        }
        if self.ranges.is_full() {
            self.ranges.remove(0);
        }
        self.ranges.push(after);
    }
}
