//! Which transactions were seen, so that a check counts once (RFC 8489 section 5: an id is unique among all transactions).
//!
//! A Bloom filter in two generations of [`CAPACITY`] ids each: when the younger one is full, it becomes the older one. So
//! the last [`CAPACITY`] ids are always remembered, and memory is 1 KiB however long a session lasts. An id that was
//! never seen is taken for a repeated one in at most 1 of 150 cases; its check is answered all the same, and the next one counts.
//! Only authentic checks are noted, so that nobody but the client can fill the filter.

use super::super::stun::TransactionId;

/// Ids of one generation: ten minutes of checks at the pace of Chromium's, which are 2.5 s apart.
const CAPACITY: u16 = 256;
const WORDS: usize = 64;
/// Bits of one id; each takes 12 bits of its hash.
const BITS: u32 = 4;

type Generation = [u64; WORDS];

/// See the module's text.
pub(super) struct Transactions {
    generations: Box<[Generation; 2]>,
    /// Ids in the first generation.
    noted: u16,
}

impl Transactions {
    pub(super) fn new() -> Self {
        Self { generations: Box::new([[0; WORDS]; 2]), noted: 0 }
    }

    /// Notes an id; false if it was seen before.
    pub(super) fn is_new(&mut self, id: &TransactionId) -> bool {
        let hash = hash(id);
        let [young, old] = &*self.generations;
        if contains(young, hash) {
            return false;
        }
        // One that the older generation knows is noted anew, so that it is still known when that generation goes.
        let is_new = !contains(old, hash);
        if self.noted == CAPACITY {
            self.generations[1] = std::mem::replace(&mut self.generations[0], [0; WORDS]);
            self.noted = 0;
        }
        places(hash).for_each(|(word, bit)| self.generations[0][word] |= bit);
        self.noted += 1;
        is_new
    }
}

fn contains(generation: &Generation, hash: u64) -> bool {
    places(hash).all(|(word, bit)| generation[word] & bit != 0)
}

fn places(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    (0..BITS).map(move |number| {
        let place = (hash >> (12 * number)) as usize % (WORDS * 64);
        (place / 64, 1 << (place % 64))
    })
}

/// Mixes all bits of the id, which a poor client may merely count up (the finaliser of SplitMix64).
fn hash(id: &TransactionId) -> u64 {
    let (head, tail) = id.split_at(8);
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let mut hash = number(head) ^ number(tail).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Red if an id is forgotten too soon, or if many that are new are taken for repeated ones. Counting ids are the hard
    /// case for a hash.
    #[test]
    fn what_was_seen_lately_is_known_and_what_is_new_is_not() {
        let mut rng = StdRng::seed_from_u64(1);
        let random: Vec<TransactionId> = (0..4_000).map(|_| rng.random()).collect();
        let counted = (0..4_000u64).map(|number| {
            let mut id = TransactionId::default();
            id[4..].copy_from_slice(&number.to_be_bytes());
            id
        });
        for ids in [random, counted.collect()] {
            let mut seen = Transactions::new();
            let mut mistaken = 0;
            for (at, id) in ids.iter().enumerate() {
                mistaken += usize::from(!seen.is_new(id));
                let lately = &ids[at.saturating_sub(usize::from(CAPACITY) - 1)..=at];
                assert!(lately.iter().all(|id| !seen.is_new(id)), "at {at}");
            }
            assert!(mistaken < ids.len() / 150, "{mistaken}");
        }
    }
}
