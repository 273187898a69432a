//! Redundant audio (RFC 2198): a packet carries copies of earlier ones before its own block, the primary one.
//!
//! Each redundant block has a header of four bytes (payload type, how much earlier its timestamp is, its length), the
//! primary one of a single byte; the blocks follow all headers.

/// Of a block's first byte: another header follows.
const MORE: u8 = 0x80;

/// The length of a redundant block's header.
const HEADER: usize = 4;

/// What a payload consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redundancy {
    /// Where the primary block begins.
    pub primary: usize,
    /// How far back the redundant blocks go, in timestamp ticks: 14 bits.
    pub reach: u32,
}

impl Redundancy {
    /// Reads the headers; `None` if the blocks do not fit or the primary one is empty.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (mut at, mut redundant, mut reach) = (0, 0, 0);
        while payload.get(at)? & MORE != 0 {
            let [_, a, b, c] = *payload.get(at..)?.first_chunk::<HEADER>()?;
            let word = u32::from_be_bytes([0, a, b, c]);
            reach = reach.max(word >> 10);
            redundant += (word & 0x3ff) as usize;
            at += HEADER;
        }
        let primary = at + 1 + redundant;
        (primary < payload.len()).then_some(Self { primary, reach })
    }
}

/// Gives all blocks of a payload that was parsed this payload type.
pub fn rewrite(payload: &mut [u8], payload_type: u8) {
    let mut at = 0;
    while let Some(first) = payload.get_mut(at) {
        let more = *first & MORE;
        *first = more | (payload_type & !MORE);
        if more == 0 {
            return;
        }
        at += HEADER;
    }
}

/// Writes a payload of redundant blocks (how many ticks earlier, and what) and the primary one; for tests and generators.
#[cfg(any(test, feature = "test-support"))]
pub fn write(payload_type: u8, redundant: &[(u16, &[u8])], primary: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (ticks, block) in redundant {
        let word = (u32::from(*ticks) << 10) | block.len() as u32;
        bytes.push(MORE | payload_type);
        bytes.extend(&word.to_be_bytes()[1..]);
    }
    bytes.push(payload_type);
    redundant.iter().for_each(|(_, block)| bytes.extend(*block));
    bytes.extend(primary);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_are_where_the_headers_say() {
        let payload = write(111, &[(1_920, &[1, 2, 3]), (960, &[4, 5])], &[6, 7]);
        assert_eq!(payload[..9], [0xef, 0x1e, 0, 3, 0xef, 0x0f, 0, 2, 0x6f]);
        assert_eq!(Redundancy::parse(&payload), Some(Redundancy { primary: 14, reach: 1_920 }));
        assert_eq!(Redundancy::parse(&[111, 9]), Some(Redundancy { primary: 1, reach: 0 }));
        for cut in 0..=14 {
            assert_eq!(Redundancy::parse(&payload[..cut]), None, "{cut} bytes");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            redundant in prop::collection::vec((0u16..1 << 14, prop::collection::vec(any::<u8>(), 0..20)), 0..4),
            primary in prop::collection::vec(any::<u8>(), 1..20), first in 0u8..128, second in 0u8..128,
        ) {
            let blocks: Vec<_> = redundant.iter().map(|(ticks, block)| (*ticks, &block[..])).collect();
            let mut payload = write(first, &blocks, &primary);
            let found = Redundancy::parse(&payload).unwrap();
            prop_assert_eq!(&payload[found.primary..], &primary[..]);
            prop_assert_eq!(found.reach, redundant.iter().map(|(ticks, _)| u32::from(*ticks)).max().unwrap_or(0));
            rewrite(&mut payload, second);
            prop_assert_eq!(payload, write(second, &blocks, &primary));
        }

        #[test]
        fn any_bytes_are_read(mut payload in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(found) = Redundancy::parse(&payload) {
                prop_assert!(found.primary < payload.len() && found.reach < 1 << 14);
            }
            let len = payload.len();
            rewrite(&mut payload, 111);
            prop_assert_eq!(payload.len(), len);
        }
    }
}
