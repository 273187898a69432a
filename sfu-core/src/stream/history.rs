//! Which packet of which ring went out under which sequence number, so that a NACK can be answered by RTX.
//!
//! One per outgoing stream, 8 bytes per packet: 64 entries at first, doubled up to 1,024 until they span the window.
//!
//! Invariant: the entry of a number in `next - len .. next` is that number's own or `None`; numbers that were skipped
//! are cleared when they are passed.

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use super::RingIndex;
use crate::prefetch::prefetch;
use crate::unit::SeqNo;

/// The entries of a new history. At 50 packets per second (audio) they span 1.3 s.
const MIN_ENTRIES: usize = 64;

/// The most entries: 8 KiB. They span 1 s at 9 Mbit/s.
const MAX_ENTRIES: usize = 1_024;

/// What the owner's descriptors refer to: it begins a new epoch whenever their meaning changes (another ring, another
/// timestamp offset), and remembers what the last few epochs were. Numbers come back after 255 epochs, which is more than
/// any owner remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(NonZeroU8);

impl Default for Epoch {
    fn default() -> Self {
        Self::FIRST
    }
}

impl Epoch {
    /// The first epoch.
    pub const FIRST: Self = Self(NonZeroU8::MIN);

    /// The epoch after this one.
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(next) => Self(next),
            None => Self::FIRST,
        }
    }
}

/// A sent packet: 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Where the packet is in its encoding's ring.
    pub packet: RingIndex,
    /// The picture id that it was sent with, if it has one.
    pub picture: u16,
    /// What else the owner wrote into it, as the owner counts it.
    pub written: u8,
    /// The epoch in which it was sent.
    pub epoch: Epoch,
}

/// The history of one outgoing stream.
#[derive(Debug)]
pub struct SendHistory {
    window: Duration,
    /// Empty before the first packet, then a power of two.
    entries: Vec<Option<Descriptor>>,
    /// The number after the highest inserted one.
    next: u64,
    /// When `next` reaches this, the entries have been written once since `checked`.
    check_at: u64,
    checked: Instant,
}

impl SendHistory {
    /// An empty history that grows until it spans `window`.
    pub const fn new(window: Duration, now: Instant) -> Self {
        Self { window, entries: Vec::new(), next: 0, check_at: 0, checked: now }
    }

    /// Notes that `seq` was sent. A number more than the history's length below the highest is not kept.
    #[inline]
    pub fn insert(&mut self, now: Instant, seq: SeqNo, descriptor: Descriptor) {
        if seq.0 >= self.next {
            if seq.0 >= self.check_at {
                self.check_size(now, seq.0);
            }
            self.clear_skipped(seq.0);
            self.next = seq.0 + 1;
        } else if self.next - seq.0 > self.entries.len() as u64 {
            return;
        }
        let mask = self.entries.len() - 1;
        self.entries[seq.0 as usize & mask] = Some(descriptor);
    }

    /// Asks for the place of the next packet; see [`prefetch`](crate::prefetch).
    #[inline]
    pub fn prefetch_next(&self) {
        let mask = self.entries.len().wrapping_sub(1);
        self.entries.get(self.next as usize & mask).into_iter().for_each(prefetch);
    }

    /// The packet that was sent as `wire`, if the history reaches back so far.
    pub fn lookup(&self, wire: u16) -> Option<(SeqNo, Descriptor)> {
        let seq = SeqNo(self.next.checked_sub(1)?).nearest(wire);
        let age = self.next.checked_sub(seq.0).filter(|age| *age > 0)?;
        if age > self.entries.len() as u64 {
            return None;
        }
        self.entries[seq.0 as usize & (self.entries.len() - 1)].map(|descriptor| (seq, descriptor))
    }

    /// Forgets everything and gives the memory back: nothing is sent on the stream any more.
    pub fn clear(&mut self) {
        self.entries = Vec::new();
        self.check_at = 0;
    }

    fn clear_skipped(&mut self, seq: u64) {
        let mask = self.entries.len() - 1;
        let skipped = (seq - self.next).min(self.entries.len() as u64);
        for number in seq - skipped..seq {
            self.entries[number as usize & mask] = None;
        }
    }

    /// Runs once per length of the history: doubles it if it was written over within the window.
    #[cold]
    fn check_size(&mut self, now: Instant, seq: u64) {
        if self.entries.is_empty() {
            self.entries = vec![None; MIN_ENTRIES];
        } else if now.saturating_duration_since(self.checked) < self.window && self.entries.len() < MAX_ENTRIES {
            self.grow();
        }
        self.checked = now;
        self.check_at = seq + self.entries.len() as u64;
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.entries);
        self.entries = vec![None; old.len() * 2];
        let (old_mask, mask) = (old.len() - 1, self.entries.len() - 1);
        for number in self.next.saturating_sub(old.len() as u64)..self.next {
            self.entries[number as usize & mask] = old[number as usize & old_mask];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    fn descriptor(packet: u32) -> Descriptor {
        Descriptor { packet: RingIndex(packet), picture: 0, written: 0, epoch: Epoch::FIRST }
    }

    #[test]
    fn an_entry_is_eight_bytes() {
        assert_eq!(size_of::<Option<Descriptor>>(), 8);
    }

    #[test]
    fn epochs_skip_zero() {
        assert_eq!(Epoch(NonZeroU8::MAX).next(), Epoch::FIRST);
        assert_ne!(Epoch::FIRST.next(), Epoch::FIRST);
    }

    #[test]
    fn grows_only_as_far_as_the_window_needs() {
        for (interval_ms, entries) in [(20, 64), (4, 256), (1, 1_024)] {
            let mut now = Instant::now();
            let mut history = SendHistory::new(Duration::from_secs(1), now);
            for seq in 0..8_000 {
                now += Duration::from_millis(interval_ms);
                history.insert(now, SeqNo(0x1_0000 + seq), descriptor(seq as u32));
            }
            assert_eq!(history.entries.len(), entries, "at {interval_ms} ms");
        }
    }

    proptest! {
        /// A lookup gives what was inserted last under that number or nothing, and never nothing for the newest 64.
        #[test]
        fn agrees_with_a_map(
            start in 0x1_0000u64..0x4_0000,
            steps in proptest::collection::vec((-80i64..100, 0u64..50), 1..600),
            jump in 0u64..3_000,
        ) {
            let mut now = Instant::now();
            let mut history = SendHistory::new(Duration::from_secs(1), now);
            let mut model = HashMap::new();
            let mut highest = start;
            for (packet, (step, wait)) in steps.into_iter().enumerate() {
                now += Duration::from_millis(wait);
                let step = if packet == 300 { jump as i64 } else { step.min(3) };
                let seq = highest.saturating_add_signed(step);
                if packet > 0 && seq + 64 <= highest {
                    continue;
                }
                highest = if packet == 0 { seq } else { highest.max(seq) };
                history.insert(now, SeqNo(seq), descriptor(packet as u32));
                model.insert(seq, descriptor(packet as u32));
                for age in 0..1_100 {
                    let number = SeqNo(highest - age);
                    let found = history.lookup(number.wire());
                    if age < 64 || found.is_some() {
                        prop_assert_eq!(found, model.get(&number.0).map(|found| (number, *found)));
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_not_sent_is_not_found() {
        let now = Instant::now();
        let mut history = SendHistory::new(Duration::from_secs(1), now);
        assert_eq!(history.lookup(7), None);
        history.insert(now, SeqNo::first(10), descriptor(1));
        assert_eq!(history.lookup(11), None);
        assert_eq!(history.lookup(9), None);
        assert_eq!(history.lookup(10), Some((SeqNo::first(10), descriptor(1))));
        history.clear();
        assert_eq!(history.lookup(10), None);
        history.insert(now, SeqNo::first(12), descriptor(2));
        assert_eq!(history.lookup(12), Some((SeqNo::first(12), descriptor(2))));
    }
}
