//! A packet as a ring keeps it: the header fields, extensions and payload that forwarding needs.

use std::time::Instant;

use crate::layers::Frame;
use crate::unit::SeqNo;

/// The header fields of a packet that forwarding needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketMeta {
    /// The extended sequence number.
    pub seq: SeqNo,
    /// The RTP timestamp.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The payload type as it arrived, from which the codec follows.
    pub payload_type: u8,
    /// What the packet is part of.
    pub frame: Frame,
}

/// A stored packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// The header fields.
    pub meta: PacketMeta,
    /// When it arrived.
    pub arrival: Instant,
    /// Its header extensions.
    pub extensions: StoredExtensions<'a>,
    /// Its payload without padding.
    pub payload: &'a [u8],
}

/// Header extension elements in the order in which they were inserted: each its id, its length and its value, as in
/// the two-byte form of RFC 8285 but without padding, whichever form they arrived in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoredExtensions<'a>(&'a [u8]);

impl<'a> StoredExtensions<'a> {
    /// The elements that [`write`] wrote.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The value of the first element with this id.
    pub fn value(&self, id: u8) -> Option<&'a [u8]> {
        let mut elements = *self;
        elements.find_map(|(found, value)| (found == id).then_some(value))
    }
}

impl<'a> Iterator for StoredExtensions<'a> {
    type Item = (u8, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let [id, len, rest @ ..] = self.0 else { return None };
        let (value, rest) = rest.split_at_checked(usize::from(*len))?;
        self.0 = rest;
        Some((*id, value))
    }
}

/// The bytes that [`write`] needs; an element is at most 255 bytes long (RFC 8285 section 4.3).
#[inline]
pub(super) fn encoded_len(extensions: &[(u8, &[u8])]) -> usize {
    extensions.iter().map(|(_, value)| 2 + value.len().min(255)).sum()
}

/// Writes elements to the start of `out`, which has room for them.
#[inline]
pub(super) fn write(extensions: &[(u8, &[u8])], out: &mut [u8]) {
    let mut at = 0;
    for (id, value) in extensions {
        let value = &value[..value.len().min(255)];
        out[at] = *id;
        out[at + 1] = value.len() as u8;
        out[at + 2..at + 2 + value.len()].copy_from_slice(value);
        at += 2 + value.len();
    }
}
