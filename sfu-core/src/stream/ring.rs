//! The last packets of one incoming encoding, in plaintext. All its subscriptions send from here, and resend.
//!
//! Packets lie one after another in an arena of bytes that is written in a circle; an index of a power of two says
//! where. Nothing is allocated per packet.
//!
//! Invariants: the live packets are `next - count .. next`, all numbers wrapping; in the arena they lie in that order,
//! the oldest at its own offset, and `head` is where the newest ends. Each occupies at least one byte, so that
//! `head == oldest.offset` means full. A [`RingIndex`] outside the live range is answered by `None`.

use std::time::{Duration, Instant};

use super::stored::{self, PacketMeta, Stored, StoredExtensions};
use crate::unit::SeqNo;

/// The most bytes of payload and extensions of one packet. More than any path's MTU carries.
pub const MAX_STORED: usize = 2_048;

/// Arena bytes per index entry at the largest: below this mean packet size the index is what limits the ring.
const BYTES_PER_ENTRY: usize = 512;

/// The smallest index.
const MIN_ENTRIES: usize = 32;

/// A packet's place in its ring: the count of packets that were inserted before it, modulo 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RingIndex(pub u32);

/// How much a ring keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingLimits {
    /// Packets younger than this are kept as long as `max_bytes` allows.
    pub window: Duration,
    /// The arena never grows beyond; a power of two of at least 4,096.
    pub max_bytes: usize,
}

impl RingLimits {
    /// For a video encoding: 2 MiB, which is 1.6 s at 10 Mbit/s.
    pub const fn video(window: Duration) -> Self {
        Self { window, max_bytes: 2 << 20 }
    }

    /// For an audio stream: 64 KiB, which is 5 s at 100 kbit/s.
    pub const fn audio(window: Duration) -> Self {
        Self { window, max_bytes: 64 << 10 }
    }

    const fn min_bytes(&self) -> usize {
        if self.max_bytes / 64 > 4_096 { self.max_bytes / 64 } else { 4_096 }
    }

    const fn max_entries(&self) -> usize {
        if self.max_bytes / BYTES_PER_ENTRY > MIN_ENTRIES { self.max_bytes / BYTES_PER_ENTRY } else { MIN_ENTRIES }
    }
}

/// The ring.
#[derive(Debug)]
pub struct PacketRing {
    limits: RingLimits,
    /// Length a power of two, or zero before the first packet and when idle; so is that of `entries`.
    arena: Vec<u8>,
    entries: Vec<Option<Entry>>,
    /// By sequence number modulo its length: the index of the packet that was inserted last with it.
    by_seq: Vec<RingIndex>,
    next: u32,
    count: u32,
    head: usize,
    used: usize,
    highest: SeqNo,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    meta: PacketMeta,
    arrival: Instant,
    offset: u32,
    extensions_len: u16,
    payload_len: u16,
}

impl Entry {
    /// Arena bytes that it occupies.
    fn size(&self) -> usize {
        usize::from(self.extensions_len + self.payload_len).max(1)
    }
}

impl PacketRing {
    /// An empty ring, which allocates with its first packet.
    pub const fn new(limits: RingLimits) -> Self {
        Self {
            limits,
            arena: Vec::new(),
            entries: Vec::new(),
            by_seq: Vec::new(),
            next: 0,
            count: 0,
            head: 0,
            used: 0,
            highest: SeqNo(0),
        }
    }

    /// The number of packets held.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether no packet is held.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of memory that the ring holds.
    pub fn allocated_bytes(&self) -> usize {
        self.arena.len() + self.entries.len() * (size_of::<Option<Entry>>() + size_of::<RingIndex>())
    }

    /// The packet at `index`, or `None` once it was overwritten.
    #[inline]
    pub fn get(&self, index: RingIndex) -> Option<Stored<'_>> {
        let entry = self.entry(index.0)?;
        let split = entry.offset as usize + usize::from(entry.extensions_len);
        Some(Stored {
            meta: entry.meta,
            arrival: entry.arrival,
            extensions: StoredExtensions::new(&self.arena[entry.offset as usize..split]),
            payload: &self.arena[split..split + usize::from(entry.payload_len)],
        })
    }

    /// Where the packet with this sequence number is, the last one if there were several. Numbers less than the length
    /// of the index (at least 32) below the highest are always found while they are held, older ones perhaps.
    #[inline]
    pub fn lookup(&self, seq: SeqNo) -> Option<RingIndex> {
        let index = *self.by_seq.get(seq.0 as usize & self.by_seq.len().wrapping_sub(1))?;
        self.entry(index.0).filter(|entry| entry.meta.seq == seq).map(|_| index)
    }

    /// Stores a packet with the header extensions that are forwarded, over the oldest packets where there is no room.
    /// `None`: larger than [`MAX_STORED`], not stored.
    #[inline]
    pub fn insert(
        &mut self,
        now: Instant,
        meta: PacketMeta,
        extensions: &[(u8, &[u8])],
        payload: &[u8],
    ) -> Option<RingIndex> {
        let extensions_len = stored::encoded_len(extensions);
        let len = extensions_len + payload.len();
        if len > MAX_STORED {
            return None;
        }
        let offset = self.make_room(now, len.max(1));
        let split = offset + extensions_len;
        stored::write(extensions, &mut self.arena[offset..split]);
        self.arena[split..offset + len].copy_from_slice(payload);

        let entry = Entry {
            meta,
            arrival: now,
            offset: offset as u32,
            extensions_len: extensions_len as u16,
            payload_len: payload.len() as u16,
        };
        let index = RingIndex(self.next);
        self.highest = self.highest.max(meta.seq);
        self.place(index, entry);
        self.next = self.next.wrapping_add(1);
        self.count += 1;
        self.head = offset + entry.size();
        self.used += entry.size();
        Some(index)
    }

    /// Gives memory back: all of it when nothing arrived for a whole window, half of it while a quarter would do.
    /// Packets older than the window are forgotten. To be called about once a second.
    pub fn shrink(&mut self, now: Instant) {
        while self.oldest().is_some_and(|entry| !self.is_young(now, entry)) {
            self.evict();
        }
        if self.count == 0 {
            *self = Self { next: self.next, ..Self::new(self.limits) };
            return;
        }
        if self.used <= self.arena.len() / 4 && self.arena.len() > self.limits.min_bytes() {
            self.resize_arena(self.arena.len() / 2);
        }
        if self.len() <= self.entries.len() / 4 && self.entries.len() > MIN_ENTRIES {
            self.resize_entries(self.entries.len() / 2);
        }
    }

    fn entry(&self, index: u32) -> Option<&Entry> {
        let age = self.next.wrapping_sub(index).wrapping_sub(1);
        if age >= self.count {
            return None;
        }
        self.entries[index as usize & (self.entries.len() - 1)].as_ref()
    }

    fn oldest(&self) -> Option<&Entry> {
        self.entry(self.next.wrapping_sub(self.count))
    }

    fn is_young(&self, now: Instant, entry: &Entry) -> bool {
        now.saturating_duration_since(entry.arrival) < self.limits.window
    }

    fn place(&mut self, index: RingIndex, entry: Entry) {
        let mask = self.entries.len() - 1;
        if self.highest.0 - entry.meta.seq.0 <= mask as u64 {
            self.by_seq[entry.meta.seq.0 as usize & mask] = index;
        }
        self.entries[index.0 as usize & mask] = Some(entry);
    }

    fn evict(&mut self) {
        self.used -= self.oldest().map_or(0, Entry::size);
        self.count -= 1;
    }

    /// Frees an index entry and `size` bytes of the arena, and returns their offset.
    fn make_room(&mut self, now: Instant, size: usize) -> usize {
        if self.arena.is_empty() {
            self.arena = vec![0; self.limits.min_bytes()];
            self.resize_entries(MIN_ENTRIES);
        }
        loop {
            let offset = self.free_offset(size);
            let index_full = self.len() == self.entries.len();
            if let (Some(offset), false) = (offset, index_full) {
                return offset;
            }
            let needed = self.oldest().is_some_and(|entry| self.is_young(now, entry));
            if needed && index_full && self.entries.len() < self.limits.max_entries() {
                self.resize_entries(self.entries.len() * 2);
            } else if needed && offset.is_none() && self.arena.len() < self.limits.max_bytes {
                self.resize_arena(self.arena.len() * 2);
            } else {
                self.evict();
            }
        }
    }

    /// Where `size` bytes are free. An empty ring always has them: the smallest arena holds [`MAX_STORED`].
    fn free_offset(&self, size: usize) -> Option<usize> {
        let Some(oldest) = self.oldest() else { return Some(0) };
        let tail = oldest.offset as usize;
        if self.head <= tail {
            (tail - self.head >= size).then_some(self.head)
        } else if self.arena.len() - self.head >= size {
            Some(self.head)
        } else {
            (tail >= size).then_some(0)
        }
    }

    /// Moves the live packets to the start of a new arena, which has room for them.
    fn resize_arena(&mut self, bytes: usize) {
        let old = std::mem::replace(&mut self.arena, vec![0; bytes]);
        let mask = self.entries.len() - 1;
        self.head = 0;
        for age in (0..self.count).rev() {
            let index = self.next.wrapping_sub(age).wrapping_sub(1);
            if let Some(entry) = &mut self.entries[index as usize & mask] {
                let from = entry.offset as usize;
                self.arena[self.head..self.head + entry.size()].copy_from_slice(&old[from..from + entry.size()]);
                entry.offset = self.head as u32;
                self.head += entry.size();
            }
        }
    }

    /// Moves the live entries to a new index, which has room for them.
    fn resize_entries(&mut self, entries: usize) {
        let old = std::mem::replace(&mut self.entries, vec![None; entries]);
        self.by_seq = vec![RingIndex(0); entries]; // `lookup` compares the number of what it finds
        for age in (0..self.count).rev() {
            let index = self.next.wrapping_sub(age).wrapping_sub(1);
            if let Some(entry) = old[index as usize & (old.len() - 1)] {
                self.place(RingIndex(index), entry);
            }
        }
    }
}

#[cfg(test)]
mod tests;
