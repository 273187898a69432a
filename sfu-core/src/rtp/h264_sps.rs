//! The picture's size, from an H264 sequence parameter set (ITU-T H.264 section 7.3.2.1.1).
//!
//! Read as far as the cropping; what encoders for WebRTC do not send (scaling matrices, 4:4:4 in separate planes) has no size.

use super::h264::{SPS, units};

/// Profiles whose parameter sets tell the chroma format.
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Reference frames of a cycle, at most.
const MAX_CYCLE: u32 = 255;

/// Width and height of what is shown, if a parameter set is in the payload.
pub fn picture_size(payload: &[u8]) -> Option<(u32, u32)> {
    let sps = units(payload).find(|unit| unit.first().is_some_and(|header| header & 0x1f == SPS))?;
    Bits::new(&sps[1..]).size()
}

/// A unit's bits, without the bytes that keep start codes out of it (section 7.3.1).
struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits of the first byte that were read.
    read: u32,
    zeros: u8,
}

impl<'a> Bits<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, read: 0, zeros: 0 }
    }

    fn size(&mut self) -> Option<(u32, u32)> {
        let profile = self.bits(8)? as u8;
        self.bits(16)?;
        self.unsigned()?;
        let chroma = if HIGH_PROFILES.contains(&profile) { self.chroma()? } else { 1 };
        self.unsigned()?;
        self.order_counts()?;
        self.unsigned()?;
        self.bits(1)?;
        let (columns, rows) = (self.unsigned()?.checked_add(1)?, self.unsigned()?.checked_add(1)?);
        let fields = 2 - self.bits(1)?;
        if fields == 2 {
            self.bits(1)?;
        }
        self.bits(1)?;
        let (width, height) = (columns.checked_mul(16)?, rows.checked_mul(16)?.checked_mul(fields)?);
        if self.bits(1)? == 0 {
            return Some((width, height));
        }
        let (across, down) =
            (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 * fields } else { fields });
        let mut cropped = |unit| self.unsigned()?.checked_add(self.unsigned()?)?.checked_mul(unit);
        let (x, y) = (cropped(across)?, cropped(down)?);
        Some((width.checked_sub(x)?, height.checked_sub(y)?))
    }

    /// The chroma format.
    fn chroma(&mut self) -> Option<u32> {
        let format = self.unsigned()?;
        if format == 3 && self.bits(1)? == 1 {
            return None;
        }
        self.unsigned()?;
        self.unsigned()?;
        self.bits(1)?;
        (self.bits(1)? == 0).then_some(format)
    }

    fn order_counts(&mut self) -> Option<()> {
        match self.unsigned()? {
            0 => drop(self.unsigned()?),
            1 => {
                self.bits(1)?;
                self.unsigned()?;
                self.unsigned()?;
                for _ in 0..self.unsigned().filter(|cycle| *cycle <= MAX_CYCLE)? {
                    self.unsigned()?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.first()?;
        let bit = u32::from(byte) >> (7 - self.read) & 1;
        self.read += 1;
        if self.read == 8 {
            self.read = 0;
            self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
            self.bytes = &self.bytes[1..];
            if self.zeros >= 2 && self.bytes.first() == Some(&3) {
                (self.bytes, self.zeros) = (&self.bytes[1..], 0);
            }
            self.zeros = self.zeros.min(2);
        }
        Some(bit)
    }

    fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    /// Exp-Golomb (section 9.1); a signed value takes as many bits.
    fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 16 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.bits(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of x264, high profile.
    const HIGH_720P: [u8; 26] = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
        0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
    ];

    /// Baseline, as OpenH264 has it: `columns` and `rows` of macroblocks, with so much cropped at right and bottom.
    fn baseline(columns: u32, rows: u32, crop: (u32, u32)) -> Vec<u8> {
        let mut bits = String::new();
        let golomb = |value: u32| format!("{:0zeros$}{:b}", 0, value + 1, zeros = (value + 1).ilog2() as usize);
        let golomb = |value: u32| if value == 0 { "1".to_owned() } else { golomb(value) };
        for value in [0, 4, 2, 1] {
            bits += &golomb(value);
        }
        bits += "0";
        bits += &golomb(columns - 1);
        bits += &golomb(rows - 1);
        bits += "111";
        for value in [0, crop.0, 0, crop.1] {
            bits += &golomb(value);
        }
        bits += "01";
        let mut sps = vec![0x67, 66, 0xc0, 31];
        for chunk in bits.as_bytes().chunks(8) {
            let text = format!("{:0<8}", std::str::from_utf8(chunk).unwrap());
            sps.push(u8::from_str_radix(&text, 2).unwrap());
        }
        sps
    }

    #[test]
    fn sizes_of_encoders() {
        assert_eq!(picture_size(&HIGH_720P), Some((1_280, 720)));
        assert_eq!(picture_size(&baseline(20, 12, (0, 6))), Some((320, 180)));
        assert_eq!(picture_size(&baseline(40, 23, (0, 4))), Some((640, 360)));
        let sps = baseline(20, 12, (0, 6));
        let aggregate = [&[0x78, 0, 2, 0x68, 0xce, 0, sps.len() as u8][..], &sps].concat();
        assert_eq!(picture_size(&aggregate), Some((320, 180)));
        assert_eq!(picture_size(&[0x65, 0x88]), None);
    }

    proptest! {
        #[test]
        fn any_payload_is_read(mut payload in proptest::collection::vec(any::<u8>(), 0..64), sps: bool) {
            if sps && let Some(first) = payload.first_mut() {
                *first = 0x67;
            }
            let _ = picture_size(&payload);
        }

        #[test]
        fn what_is_written_is_read(columns in 1u32..300, rows in 1u32..300, x in 0u32..8, y in 0u32..8) {
            let sps = baseline(columns, rows, (x, y));
            // Without the bytes against start codes, which only a run of zeros needs.
            prop_assume!(!sps.windows(3).any(|three| three[0] == 0 && three[1] == 0 && three[2] <= 3));
            prop_assert_eq!(picture_size(&sps), Some((columns * 16 - 2 * x, rows * 16 - 2 * y)));
        }
    }
}
