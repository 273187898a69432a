//! The H264 payload format: which NAL units a packet starts (RFC 6184 sections 5.4 to 5.8).

const IDR: u8 = 5;
pub(super) const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// What a forwarder must know of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct H264Descriptor {
    /// A sequence parameter set starts here. Encoders of both browsers send one before every IDR picture.
    pub sps: bool,
    /// The first slice of an IDR picture starts here.
    pub idr: bool,
}

impl H264Descriptor {
    /// Reads a payload; `None` if it is empty. A unit that is cut short ends the reading.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut descriptor = Self::default();
        match payload.first()? & 0x1f {
            FU_A => descriptor.note_fragment(&payload[1..]),
            _ => units(payload).for_each(|unit| descriptor.note(unit)),
        }
        Some(descriptor)
    }

    /// Whether a decoder can start here. Parameter sets may travel before the picture, in packets of their own; a decoder
    /// that is given the picture alone has none, so that an IDR picture counts only as its frame's first packet.
    pub const fn is_keyframe_start(self, first_of_frame: bool) -> bool {
        self.sps || (self.idr && first_of_frame)
    }

    fn note(&mut self, unit: &[u8]) {
        let Some((&header, slice)) = unit.split_first() else { return };
        self.note_start(header & 0x1f, slice);
    }

    fn note_fragment(&mut self, fragment: &[u8]) {
        let Some((&header, slice)) = fragment.split_first() else { return };
        if header & 0x80 != 0 {
            self.note_start(header & 0x1f, slice);
        }
    }

    fn note_start(&mut self, kind: u8, slice: &[u8]) {
        self.sps |= kind == SPS;
        // first_mb_in_slice is Exp-Golomb coded: 0, the picture's first slice, is a single one bit.
        self.idr |= kind == IDR && slice.first().is_some_and(|byte| byte & 0x80 != 0);
    }
}

/// The whole units of a payload that is no fragment.
pub(super) fn units(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_aggregate = payload.first().is_some_and(|header| header & 0x1f == STAP_A);
    let mut rest = if is_aggregate { &payload[1..] } else { &[] };
    let aggregated = std::iter::from_fn(move || {
        let (unit, after) = split_unit(rest)?;
        rest = after;
        Some(unit)
    });
    (!is_aggregate).then_some(payload).into_iter().chain(aggregated)
}

/// Takes one unit with its 16-bit size from an aggregation packet.
fn split_unit(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(payload: &[u8]) -> bool {
        H264Descriptor::parse(payload).is_some_and(|descriptor| descriptor.is_keyframe_start(true))
    }

    #[test]
    fn single_units() {
        assert!(starts(&[0x67, 0x42]), "SPS");
        assert!(starts(&[0x65, 0x88]), "IDR");
        assert!(!starts(&[0x65, 0x40]), "a later slice of an IDR picture");
        assert!(!starts(&[0x68, 0xce]), "PPS");
        assert!(!starts(&[0x41, 0x9a]), "another picture");
        assert!(!starts(&[0x65]), "an IDR slice without data");
    }

    #[test]
    fn aggregates_are_searched() {
        assert!(starts(&[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x65, 0x88]), "PPS, IDR");
        assert!(!starts(&[0x78, 0, 2, 0x68, 0xce, 0, 9, 0x65, 0x88]), "the second unit is cut short");
        assert!(!starts(&[0x78, 0, 0, 0, 0]), "empty units");
    }

    #[test]
    fn only_the_first_fragment_starts() {
        assert!(starts(&[0x7c, 0x85, 0x88]));
        assert!(!starts(&[0x7c, 0x05, 0x88]));
        assert!(!starts(&[0x7c, 0x81, 0x9a]));
        assert!(!starts(&[0x7c]));
    }
}
