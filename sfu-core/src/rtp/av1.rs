//! The AV1 aggregation header and the OBUs behind it (AV1 RTP specification, section 4.4).

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;

/// What a forwarder must know of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Av1Descriptor {
    /// The Z bit: the first element continues an OBU of the packet before.
    pub continues: bool,
    /// The Y bit: the last element goes on in the next packet.
    pub continued: bool,
    /// The N bit: the first packet of a coded video sequence, which begins with a keyframe.
    pub new_sequence: bool,
    /// The header of a key frame starts here.
    pub key_frame: bool,
}

impl Av1Descriptor {
    /// Reads a payload; `None` if it is empty. An element that is cut short ends the reading.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (&header, elements) = payload.split_first()?;
        let continues = header & 0x80 != 0;
        let mut elements = Elements { rest: elements, count: (header >> 4) & 3, taken: 0 };
        let (mut still, mut key_frame) = (false, false);
        for (kind, body) in elements.by_ref().skip(usize::from(continues)).filter_map(split_obu) {
            match kind {
                OBU_SEQUENCE_HEADER => still = is_still_picture(body),
                OBU_FRAME | OBU_FRAME_HEADER => key_frame |= still || is_key_frame(body),
                _ => {}
            }
        }
        Some(Self { continues, continued: header & 0x40 != 0, new_sequence: header & 0x08 != 0, key_frame })
    }

    /// Whether a decoder can start here. A sequence header alone says nothing: encoders may repeat it before any frame.
    pub const fn is_keyframe_start(self) -> bool {
        !self.continues && (self.new_sequence || self.key_frame)
    }
}

/// The type of an OBU, and what follows its header (AV1 section 5.3.2).
fn split_obu(obu: &[u8]) -> Option<(u8, &[u8])> {
    let (&header, rest) = obu.split_first()?;
    let (has_extension, has_size) = (header & 0x04 != 0, header & 0x02 != 0);
    let rest = rest.get(usize::from(has_extension)..)?;
    let body = if has_size { read_leb128(rest)?.1 } else { rest };
    Some(((header >> 3) & 0x0f, body))
}

/// `reduced_still_picture_header` after three bits of the profile and `still_picture` (AV1 section 5.5.1): all its frames are
/// key frames, and do not say so.
fn is_still_picture(sequence_header: &[u8]) -> bool {
    sequence_header.first().is_some_and(|byte| byte & 0x08 != 0)
}

/// Not `show_existing_frame`, and of type `KEY_FRAME`, which is 0 (AV1 section 5.9.2).
fn is_key_frame(frame_header: &[u8]) -> bool {
    frame_header.first().is_some_and(|byte| byte & 0xe0 == 0)
}

/// The OBU elements of a packet.
struct Elements<'a> {
    rest: &'a [u8],
    /// The W field: the number of elements, the last without a length; 0: any number, each with a length.
    count: u8,
    taken: u8,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        // Saturation is harmless: without a count, `taken` is not looked at.
        self.taken = self.taken.saturating_add(1);
        let rest = std::mem::take(&mut self.rest);
        if self.count != 0 && self.taken >= self.count {
            return Some(rest);
        }
        let (size, rest) = read_leb128(rest)?;
        let (element, rest) = rest.split_at_checked(size)?;
        self.rest = rest;
        Some(element)
    }
}

/// Reads a size of at most 32 bits (AV1 specification section 4.10.5).
fn read_leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let size = usize::try_from(u32::try_from(value).ok()?).ok()?;
            return Some((size, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn starts(payload: &[u8]) -> bool {
        Av1Descriptor::parse(payload).is_some_and(Av1Descriptor::is_keyframe_start)
    }

    #[test]
    fn the_n_bit_is_enough() {
        assert!(starts(&[0x08]));
        assert!(starts(&[0x18, 0xff, 0xff]), "the OBUs may be encrypted");
        assert!(!starts(&[0x88, 0x00]), "a continuation starts nothing");
    }

    #[test]
    fn a_key_frame_is_found_among_the_elements() {
        assert!(starts(&[0x10, 0x30, 0x10]), "W=1, a frame");
        assert!(starts(&[0x10, 0x18, 0x10]), "a frame header alone");
        assert!(starts(&[0x20, 2, 0x08, 0, 0x30, 0x10]), "W=2, the second, without a length");
        assert!(starts(&[0x00, 2, 0x08, 0, 2, 0x30, 0x10]), "W=0, the second");
        assert!(starts(&[0x10, 0x36, 0x20, 1, 0x10]), "with an extension and a size of its own");
        assert!(starts(&[0x20, 2, 0x08, 0x18, 0x30, 0xff]), "a still picture says it in its sequence header");
        assert!(!starts(&[0x00, 9, 0x30]), "cut short");
        assert!(!starts(&[0x00, 0, 0]), "empty elements");
        let continued = Av1Descriptor::parse(&[0xa0, 1, 0x30, 0x08]).unwrap();
        assert!(!continued.key_frame, "the first element is a continuation, whatever its first byte");
    }

    /// Red if a viewer is started on a frame that refers to others.
    #[test]
    fn a_repeated_sequence_header_is_no_key_frame() {
        assert!(!starts(&[0x10, 0x08, 0]), "alone");
        for frame in [0x30, 0x50, 0x70, 0x90] {
            assert!(!starts(&[0x20, 2, 0x08, 0, 0x30, frame]), "an inter, intra-only, switch, or repeated frame");
        }
    }

    #[test]
    fn sizes_are_little_endian_base_128() {
        assert_eq!(read_leb128(&[0xe5, 0x8e, 0x26, 7]), Some((624_485, &[7][..])));
        assert_eq!(read_leb128(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None, "more than 32 bits");
        assert_eq!(read_leb128(&[0x80; 9]), None);
    }

    proptest! {
        #[test]
        fn elements_lie_within_the_payload(count in 0u8..4, rest in proptest::collection::vec(any::<u8>(), 0..300)) {
            let held: usize = Elements { rest: &rest, count, taken: 0 }.map(<[u8]>::len).sum();
            prop_assert!(held <= rest.len());
        }
    }
}
