//! What was sent, by transport-wide number, until feedback tells its fate.
//!
//! A ring whose length is a power of two: entry `n mod len` belongs to number `n` for `highest - len < n <= highest`. It
//! doubles when it would overwrite a packet that is young and still untold; never past what the limits below allow, so
//! that a client which tells nothing, or lies, costs a few KiB.
//!
//! Invariant: a number is looked at for loss at most once, whatever feedback says and how often. So forged feedback costs no
//! more than what was sent.

use crate::prefetch::{Distance, prefetch};
use crate::unit::SeqNo;

/// Entries of the first allocation: at 200 packets/s a third of a second, more than a round trip and a feedback interval.
const FIRST_LEN: usize = 64;
/// Entries while no feedback has ever come.
const MAX_LEN_UNTOLD: usize = 512;
/// Entries at most, 64 KiB: 40 Mbps at 1,200 bytes a packet for 2 s.
const MAX_LEN: usize = 8192;
/// A packet that is older when its place is needed is not waited for.
const PATIENCE_US: u32 = 2_000_000;

/// What is known of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// No packet: the number was never sent.
    Unused,
    Untold,
    Lost,
    Arrived,
}

/// A packet that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// Microseconds, the low 32 bits.
    at: u32,
    pub bytes: u16,
    /// The probe it belongs to; 0: none.
    pub probe: u8,
    pub fate: Fate,
}

const _: () = assert!(size_of::<Sent>() == 8);

impl Sent {
    const UNUSED: Self = Self { at: 0, bytes: 0, probe: 0, fate: Fate::Unused };

    /// When it was sent, in microseconds on the clock of `now`.
    pub(super) const fn at(&self, now: i64) -> i64 {
        now - (now as u32).wrapping_sub(self.at) as i64
    }
}

/// See the module's text. All that a packet that is sent touches of an estimator is here.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Vec<Sent>,
    highest: u64,
    /// Numbers below this were looked at by [`Self::mark_lost`], or were never spoken of.
    looked_until: u64,
    told: bool,
    /// Packets since feedback came, or was given up.
    pub unheard: u32,
    /// Since [`Self::take_bytes`].
    bytes: u64,
}

impl History {
    /// Whether nothing was ever sent.
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that were sent since the last call.
    pub(super) const fn take_bytes(&mut self) -> u64 {
        std::mem::replace(&mut self.bytes, 0)
    }

    /// See [`prefetch`](crate::prefetch).
    #[inline]
    pub(super) fn prefetch(&self, distance: Distance) {
        match distance {
            Distance::Far => prefetch(self),
            Distance::Near => self.entries.get(self.place(self.highest + 1)).into_iter().for_each(prefetch),
        }
    }

    /// Notes a packet. Numbers ascend; of one that does not no more than its size is noted.
    #[inline]
    pub(super) fn insert(&mut self, now: i64, wire: u16, bytes: usize, probe: u8) {
        self.bytes += bytes as u64;
        self.unheard = self.unheard.saturating_add(1);
        let number = if self.entries.is_empty() { self.start(wire) } else { SeqNo(self.highest).nearest(wire).0 };
        if number <= self.highest {
            return;
        }
        if number != self.highest + 1 {
            self.skip_to(number);
        }
        let old = self.entries[self.place(number)];
        if old.fate == Fate::Untold && (now as u32).wrapping_sub(old.at) < PATIENCE_US {
            self.grow();
        }
        let place = self.place(number);
        let bytes = bytes.min(usize::from(u16::MAX)) as u16;
        self.entries[place] = Sent { at: now as u32, bytes, probe, fate: Fate::Untold };
        self.highest = number;
    }

    /// The extended number of a packet that is remembered.
    pub(super) fn find(&self, wire: u16) -> Option<u64> {
        let number = SeqNo(self.highest).nearest(wire).0;
        let remembered = number <= self.highest && number + self.entries.len() as u64 > self.highest;
        (remembered && self.entries[self.place(number)].fate != Fate::Unused).then_some(number)
    }

    /// The packet of a number that [`Self::find`] gave.
    pub(super) fn sent(&mut self, number: u64) -> &mut Sent {
        self.told = true;
        let place = self.place(number);
        &mut self.entries[place]
    }

    /// Marks as lost what is untold among the numbers from the one with these low bits up to below `end`, but for what an
    /// earlier call went past.
    pub(super) fn mark_lost(&mut self, first: u16, end: u64, mut lost: impl FnMut(&Sent)) {
        let oldest = (self.highest + 1).saturating_sub(self.entries.len() as u64);
        let from = SeqNo(end).nearest(first).0.max(oldest).max(self.looked_until);
        self.looked_until = self.looked_until.max(end);
        for number in from..end {
            let place = self.place(number);
            let sent = &mut self.entries[place];
            if sent.fate == Fate::Untold {
                sent.fate = Fate::Lost;
                lost(sent);
            }
        }
    }

    const fn place(&self, number: u64) -> usize {
        number as usize & self.entries.len().wrapping_sub(1)
    }

    #[cold]
    fn start(&mut self, wire: u16) -> u64 {
        self.entries = vec![Sent::UNUSED; FIRST_LEN];
        let first = SeqNo::first(wire).0;
        self.highest = first - 1;
        first
    }

    #[cold]
    fn skip_to(&mut self, number: u64) {
        let skipped = (number - self.highest - 1).min(self.entries.len() as u64);
        for number in number - skipped..number {
            let place = self.place(number);
            self.entries[place] = Sent::UNUSED;
        }
        self.highest = number - 1;
    }

    #[cold]
    fn grow(&mut self) {
        let len = self.entries.len();
        if len >= if self.told { MAX_LEN } else { MAX_LEN_UNTOLD } {
            return;
        }
        let mut entries = vec![Sent::UNUSED; 2 * len];
        for number in (self.highest + 1).saturating_sub(len as u64)..=self.highest {
            entries[number as usize & (2 * len - 1)] = self.entries[self.place(number)];
        }
        self.entries = entries;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn grows_while_packets_are_untold_and_young() {
        let mut history = History::default();
        for number in 0..10_000u16 {
            history.insert(i64::from(number), number, 1_000, 0);
        }
        assert_eq!(history.entries.len(), MAX_LEN_UNTOLD, "nobody ever told anything");
        assert_eq!(history.find(9_999 - MAX_LEN_UNTOLD as u16), None);
        let number = history.find(9_999).unwrap();
        assert_eq!(history.sent(number).at(10_005), 9_999);
        for number in 10_000..30_000u16 {
            history.insert(i64::from(number), number, 1_000, 0);
        }
        assert_eq!(history.entries.len(), MAX_LEN);
    }

    #[test]
    fn keeps_small_when_feedback_comes_in_time() {
        let mut history = History::default();
        for number in 0..10_000u16 {
            history.insert(i64::from(number), number, 1_000, 0);
            if number % 30 == 29 {
                for acked in number - 29..=number {
                    let acked = history.find(acked).unwrap();
                    history.sent(acked).fate = Fate::Arrived;
                }
            }
        }
        assert_eq!(history.entries.len(), FIRST_LEN);
    }

    /// 30 bytes of feedback can speak of 8,192 packets. Red if they can do so again and again.
    #[test]
    fn forged_feedback_costs_no_more_than_what_was_sent() {
        let mut history = History::default();
        let number = |wire: u16| SeqNo::first(0).0 + u64::from(wire);
        for wire in 0..10_000u16 {
            history.insert(i64::from(wire), wire, 1_000, 0);
            let sent = history.find(wire).unwrap();
            history.sent(sent);
        }
        let mut marked = 0;
        for _ in 0..1_000 {
            history.mark_lost(10_000 - MAX_LEN as u16, number(9_999), |_| marked += 1);
        }
        assert_eq!(marked, MAX_LEN - 1, "once");
        assert_eq!(history.looked_until, number(9_999));
        let before = history.looked_until;
        history.mark_lost(0, number(5_000), |_| unreachable!("it was looked at"));
        assert_eq!(history.looked_until, before);
    }

    #[test]
    fn times_outlive_the_wrap_of_32_bits() {
        let mut history = History::default();
        let sent = i64::from(u32::MAX) - 5;
        history.insert(sent, 7, 1_000, 3);
        let number = history.find(7).unwrap();
        assert_eq!(history.sent(number).at(sent + 100_000), sent);
    }

    proptest! {
        /// Whatever is remembered is what was sent under that number, and the latest are always remembered.
        #[test]
        fn remembers_as_a_map_does(
            steps in proptest::collection::vec((prop_oneof![30 => Just(1u16), 2 => 0u16..200, 1 => any::<u16>()], 0i64..3_000), 1..600),
            start: u16,
        ) {
            let (mut history, mut now, mut highest) = (History::default(), 0, SeqNo::first(start).0);
            history.insert(now, start, 1_000, 0);
            let mut model = BTreeMap::from([(highest, now)]);
            for (step, wait) in steps {
                now += wait;
                let number = SeqNo(highest).nearest((highest as u16).wrapping_add(step)).0;
                history.insert(now, number as u16, 1_000, 0);
                if number > highest {
                    model.insert(number, now);
                    highest = number;
                }
                for wire in [highest as u16, start, (highest as u16).wrapping_sub(40)] {
                    let number = SeqNo(highest).nearest(wire).0;
                    match history.find(wire) {
                        Some(found) => {
                            prop_assert_eq!(found, number);
                            prop_assert_eq!(Some(&history.sent(found).at(now)), model.get(&number));
                        }
                        None => prop_assert!(number + 64 <= highest || !model.contains_key(&number)),
                    }
                }
            }
        }
    }
}
