//! The VP9 payload descriptor (RFC 9628 section 4.2).

use super::vp8::PictureId;

/// A payload's descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp9Descriptor {
    /// Rises by one per picture (all spatial layers of one instant).
    pub picture_id: Option<PictureId>,
    /// Counts the pictures of temporal layer 0; not in flexible mode.
    pub tl0picidx: Option<u8>,
    /// The P bit: refers to an earlier picture.
    pub inter_picture: bool,
    /// The F bit: references are given per frame, not by a scalability structure.
    pub flexible: bool,
    /// The B bit: the first packet of a layer frame.
    pub start: bool,
    /// The E bit: the last packet of a layer frame.
    pub end: bool,
    /// The Z bit: no higher spatial layer refers to this one.
    pub not_reference_for_upper: bool,
    /// The temporal layer, 0 to 7.
    pub tid: u8,
    /// The U bit: a receiver may move up to this temporal layer here.
    pub switching_up: bool,
    /// The spatial layer, 0 to 7.
    pub sid: u8,
    /// The D bit: refers to the spatial layer below.
    pub inter_layer: bool,
    /// The number of spatial layers, where a scalability structure says so.
    pub spatial_layers: Option<u8>,
    /// The descriptor's length in bytes.
    pub len: usize,
}

impl Vp9Descriptor {
    /// Reads the descriptor at the start of a payload; `None` if it is cut short.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader { payload, at: 0 };
        let flags = reader.byte()?;
        let has = |bit: u8| flags & bit != 0;
        let (inter_picture, flexible) = (has(0x40), has(0x10));
        let picture_id = if has(0x80) { Some(reader.picture_id()?) } else { None };
        let layers = if has(0x20) { reader.byte()? } else { 0 };
        let tl0picidx = if has(0x20) && !flexible { Some(reader.byte()?) } else { None };
        if flexible && inter_picture {
            reader.skip_references()?;
        }
        let spatial_layers = if has(0x02) { Some(reader.skip_scalability_structure()?) } else { None };
        Some(Self {
            picture_id,
            tl0picidx,
            inter_picture,
            flexible,
            start: has(0x08),
            end: has(0x04),
            not_reference_for_upper: has(0x01),
            tid: layers >> 5,
            switching_up: layers & 0x10 != 0,
            sid: (layers >> 1) & 7,
            inter_layer: layers & 1 != 0,
            spatial_layers,
            len: reader.at,
        })
    }

    /// Whether a decoder can start here: the first packet of the lowest layer of a picture that refers to none before.
    pub const fn is_keyframe_start(&self) -> bool {
        self.start && !self.inter_picture && self.sid == 0
    }
}

struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.payload.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at += count;
        (self.at <= self.payload.len()).then_some(())
    }

    fn picture_id(&mut self) -> Option<PictureId> {
        let high = self.byte()?;
        if high & 0x80 == 0 {
            return Some(PictureId { value: u16::from(high), long: false });
        }
        Some(PictureId { value: u16::from_be_bytes([high & 0x7f, self.byte()?]), long: true })
    }

    /// One to three bytes; the lowest bit says that another follows. A third that wants a fourth is an error.
    fn skip_references(&mut self) -> Option<()> {
        for _ in 0..3 {
            if self.byte()? & 1 == 0 {
                return Some(());
            }
        }
        None
    }

    /// Returns the number of spatial layers.
    fn skip_scalability_structure(&mut self) -> Option<u8> {
        let head = self.byte()?;
        let layers = (head >> 5) + 1;
        if head & 0x10 != 0 {
            self.skip(4 * usize::from(layers))?;
        }
        if head & 0x08 != 0 {
            for _ in 0..self.byte()? {
                let picture = self.byte()?;
                self.skip(usize::from(picture >> 2) & 3)?;
            }
        }
        Some(layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_keyframe_with_scalability_structure_is_read() {
        // I L B V | M=1 0x0102 | TID 0 | TL0PICIDX 9 | SS: 2 layers, Y, G | 2 resolutions | 2 pictures, the second with 1 reference
        let payload = [0xaa, 0x81, 0x02, 0x00, 9, 0x38, 1, 64, 0, 180, 2, 128, 1, 104, 2, 0x00, 0x24, 1, 0xff];
        let descriptor = Vp9Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.picture_id, Some(PictureId { value: 0x0102, long: true }));
        assert_eq!(descriptor.tl0picidx, Some(9));
        assert_eq!(descriptor.spatial_layers, Some(2));
        assert_eq!(descriptor.len, payload.len() - 1);
        assert!(descriptor.is_keyframe_start() && !descriptor.end && !descriptor.flexible);
        assert!((0..descriptor.len).all(|len| Vp9Descriptor::parse(&payload[..len]).is_none()));
    }

    #[test]
    fn flexible_mode_has_references_and_no_tl0picidx() {
        // I P L F B E | 0x05 | TID 2, U, SID 1, D | two references
        let descriptor = Vp9Descriptor::parse(&[0xfc, 0x05, 0x53, 0x03, 0x04, 0xff]).unwrap();
        assert_eq!((descriptor.tid, descriptor.sid), (2, 1));
        assert!(descriptor.switching_up && descriptor.inter_layer && descriptor.end && descriptor.inter_picture);
        assert_eq!((descriptor.tl0picidx, descriptor.len), (None, 5));
        assert!(Vp9Descriptor::parse(&[0xfc, 0x05, 0x53, 1, 1, 1, 0]).is_none(), "a fourth reference");
    }

    #[test]
    fn only_the_lowest_layer_starts_a_keyframe() {
        let start = |payload: &[u8]| Vp9Descriptor::parse(payload).unwrap().is_keyframe_start();
        assert!(start(&[0x28, 0x00, 0]));
        assert!(!start(&[0x28, 0x03, 0]), "spatial layer 1 of a key picture");
        assert!(!start(&[0x20, 0x00, 0]), "not the frame's first packet");
        assert!(!start(&[0x68, 0x00, 0]), "refers to an earlier picture");
    }

    proptest! {
        #[test]
        fn the_descriptor_lies_within_the_payload(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(descriptor) = Vp9Descriptor::parse(&payload) {
                prop_assert!(descriptor.len <= payload.len());
            }
        }
    }
}
