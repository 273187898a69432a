//! Writes a descriptor that is forwarded: with another frame number, and with the decode targets that are active.
//!
//! The frame number stands in the mandatory fields and is written in place. The active decode targets (section A.8.3,
//! `active_decode_targets_bitmask`) stand between the structure and the frame's definition, at any bit, so that what
//! follows them moves.

use super::{Bits, Custom, DependencyDescriptor};

/// The longest element that a header can carry (RFC 8285 section 4.3).
pub const MAX_LEN: usize = 255;

/// Bits of the mandatory fields.
const MANDATORY: usize = 24;

/// Bits of the flags that follow in the long form.
const FLAGS: usize = 5;

/// `active_decode_targets_present_flag`, in the byte after the mandatory fields.
const TARGETS_PRESENT: u8 = 0x40;

/// Writes `value` with another frame number to `out` and returns its length. With `targets`, the number of decode targets
/// and which of them are active (lowest bit first), it tells these too, in place of what it told before, unless it would
/// not fit.
pub fn rewrite(value: &[u8], frame_number: u16, targets: Option<(u8, u32)>, out: &mut [u8; MAX_LEN]) -> usize {
    let len = targets.and_then(|(count, mask)| write_with_targets(value, count, mask, out));
    let len = len.unwrap_or_else(|| {
        let len = value.len().min(MAX_LEN);
        out[..len].copy_from_slice(&value[..len]);
        len
    });
    if len >= 3 {
        out[1..3].copy_from_slice(&frame_number.to_be_bytes());
    }
    len
}

fn write_with_targets(value: &[u8], count: u8, mask: u32, out: &mut [u8; MAX_LEN]) -> Option<usize> {
    let Custom { at, targets, .. } = DependencyDescriptor::parse(value)?.custom;
    // The short form has no flags yet.
    let (head, rest) = match value.len() {
        ..=3 => (MANDATORY, 8 * value.len()),
        _ => (usize::from(at), usize::from(at) + if targets { usize::from(count) } else { 0 }),
    };
    let flags = if head == MANDATORY { FLAGS } else { 0 };
    let tail = (8 * value.len()).checked_sub(rest)?;
    if head + flags + usize::from(count) + tail > 8 * MAX_LEN {
        return None;
    }
    let mut writer = Writer { out, at: 0 };
    writer.copy(value, 0, head);
    (0..flags).for_each(|_| writer.put(false));
    (0..count).rev().for_each(|target| writer.put(mask & (1 << target) != 0));
    writer.copy(value, rest, rest + tail);
    let len = writer.pad();
    out[3] |= TARGETS_PRESENT;
    Some(len)
}

/// Writes bits from the most significant one.
struct Writer<'a> {
    out: &'a mut [u8; MAX_LEN],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bit: bool) {
        let place = 0x80 >> (self.at % 8);
        let byte = &mut self.out[self.at / 8];
        *byte = if bit { *byte | place } else { *byte & !place };
        self.at += 1;
    }

    fn copy(&mut self, value: &[u8], from: usize, to: usize) {
        let mut bits = Bits { bytes: value, at: from };
        while bits.at < to
            && let Some(bit) = bits.flag()
        {
            self.put(bit);
        }
    }

    /// Fills the last byte (`zero_padding`) and returns how many there are.
    fn pad(&mut self) -> usize {
        while !self.at.is_multiple_of(8) {
            self.put(false);
        }
        self.at / 8
    }
}
