//! What a receiver remembers per SSRC: the highest index and which of the 128 below it were seen
//! (RFC 3711 sections 3.3.1 and 3.3.2).
//!
//! Invariants: only authenticated packets are recorded; the table never holds more than [`MAX_SOURCES`] entries, and
//! the one unused for longest makes room for a new one.

use smallvec::SmallVec;

/// A participant with ten tracks of three encodings and their retransmissions has 60.
const MAX_SOURCES: usize = 128;
/// Bits of the window. RFC 3711 asks for at least 64; retransmissions and reordering at 1,000 packets/s want more.
const WINDOW: u64 = 128;

#[derive(Clone, Copy)]
struct Entry {
    ssrc: u32,
    /// The table's count of records when this entry was recorded last.
    used: u32,
    highest: u64,
    /// Bit n: `highest - n` was seen.
    seen: u128,
}

/// The receive state of all SSRCs of one participant.
#[derive(Default)]
pub(super) struct ReplayTable {
    /// In most recently inserted order; few enough that a scan beats a hash.
    entries: SmallVec<[Entry; 2]>,
    records: u32,
}

impl ReplayTable {
    /// The 48-bit index of a packet with this sequence number: the one nearest to the highest that was recorded.
    pub(super) fn extend(&self, ssrc: u32, seq: u16) -> u64 {
        self.find(ssrc).map_or(u64::from(seq), |entry| nearest(entry.highest, seq))
    }

    /// Whether this index was recorded or is too old to know.
    pub(super) fn is_replay(&self, ssrc: u32, index: u64) -> bool {
        let Some(entry) = self.find(ssrc) else { return false };
        match entry.highest.checked_sub(index) {
            None => false,
            Some(age) => age >= WINDOW || entry.seen >> age & 1 == 1,
        }
    }

    /// Records an index that [`Self::is_replay`] let through and that then authenticated.
    pub(super) fn record(&mut self, ssrc: u32, index: u64) {
        self.records = self.records.wrapping_add(1);
        let records = self.records;
        match self.entries.iter_mut().find(|entry| entry.ssrc == ssrc) {
            Some(entry) => {
                entry.used = records;
                entry.record(index);
            }
            None => self.insert(Entry { ssrc, used: records, highest: index, seen: 1 }),
        }
    }

    fn insert(&mut self, entry: Entry) {
        if self.entries.len() < MAX_SOURCES {
            return self.entries.push(entry);
        }
        let records = self.records;
        let oldest = self.entries.iter_mut().max_by_key(|entry| records.wrapping_sub(entry.used));
        *oldest.expect("a full table has entries") = entry;
    }

    fn find(&self, ssrc: u32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.ssrc == ssrc)
    }
}

impl Entry {
    fn record(&mut self, index: u64) {
        if index > self.highest {
            let step = index - self.highest;
            self.seen = if step >= WINDOW { 1 } else { self.seen << step | 1 };
            self.highest = index;
        } else {
            self.seen |= 1 << (self.highest - index).min(WINDOW - 1);
        }
    }
}

/// RFC 3711 appendix A: the index with these low 16 bits nearest to `highest`. Never before the first cycle.
fn nearest(highest: u64, seq: u16) -> u64 {
    let distance = i64::from(seq.wrapping_sub(highest as u16) as i16);
    highest.checked_add_signed(distance).unwrap_or(u64::from(seq)) & 0xffff_ffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        /// Against a model that remembers everything: a window that forgets to shift or shifts too far fails.
        #[test]
        fn the_window_agrees_with_a_set(steps in proptest::collection::vec(-140i64..40, 1..400)) {
            let mut table = ReplayTable::default();
            let (mut seen, mut highest) = (HashSet::new(), 0u64);
            let mut at = 1_000i64;
            for step in steps {
                at = (highest as i64 + step).max(0).max(at.min(0));
                let index = at as u64;
                let stale = !seen.is_empty() && index + WINDOW <= highest;
                prop_assert_eq!(table.is_replay(7, index), stale || seen.contains(&index));
                if !table.is_replay(7, index) {
                    table.record(7, index);
                    seen.insert(index);
                    highest = highest.max(index);
                }
            }
        }

        #[test]
        fn extension_undoes_truncation(highest in 0u64..1 << 40, step in -0x8000i64..0x8000) {
            let mut table = ReplayTable::default();
            table.record(1, highest);
            let target = highest.saturating_add_signed(step);
            prop_assert_eq!(table.extend(1, target as u16), target);
        }
    }

    #[test]
    fn a_full_table_forgets_the_source_unused_for_longest() {
        let mut table = ReplayTable::default();
        (0..MAX_SOURCES as u32).for_each(|ssrc| table.record(ssrc, 9));
        table.record(0, 10);
        table.record(5_000, 9);
        assert_eq!(table.entries.len(), MAX_SOURCES);
        assert!(table.is_replay(0, 10) && table.is_replay(5_000, 9));
        assert!(!table.is_replay(1, 9));
    }
}
