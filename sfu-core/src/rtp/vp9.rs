//! The VP9 payload descriptor (RFC 9628 section 4.2).

use super::vp8::PictureId;

/// Spatial layers are named by three bits.
const MAX_SPATIAL: usize = 8;

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
    /// What a scalability structure says, where there is one.
    pub structure: Option<ScalabilityStructure>,
    /// The descriptor's length in bytes.
    pub len: usize,
}

/// The part of a scalability structure (section 4.2.1) that a forwarder needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScalabilityStructure {
    /// The number of spatial layers, 1 to 8.
    pub spatial_layers: u8,
    /// Width and height of each; zeros where the structure does not say.
    sizes: [(u16, u16); MAX_SPATIAL],
}

impl ScalabilityStructure {
    /// Width and height of each spatial layer from the lowest, where the structure says so.
    pub fn sizes(&self) -> impl Iterator<Item = Option<(u16, u16)>> {
        self.sizes.into_iter().take(usize::from(self.spatial_layers)).map(|size| (size != (0, 0)).then_some(size))
    }
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
        let structure = if has(0x02) { Some(reader.scalability_structure()?) } else { None };
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
            structure,
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

    fn scalability_structure(&mut self) -> Option<ScalabilityStructure> {
        let head = self.byte()?;
        let mut structure = ScalabilityStructure { spatial_layers: (head >> 5) + 1, sizes: Default::default() };
        if head & 0x10 != 0 {
            for size in structure.sizes.iter_mut().take(usize::from(structure.spatial_layers)) {
                *size = (self.side()?, self.side()?);
            }
        }
        if head & 0x08 != 0 {
            for _ in 0..self.byte()? {
                let picture = self.byte()?;
                self.skip(usize::from(picture >> 2) & 3)?;
            }
        }
        Some(structure)
    }

    fn side(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }
}

/// Writes a new picture id and TL0PICIDX over those that the descriptor has, in place: the length stays, and a picture id
/// keeps its width. Fields that are absent stay absent.
pub fn rewrite(payload: &mut [u8], picture_id: Option<u16>, tl0picidx: Option<u8>) {
    let Some(old) = Vp9Descriptor::parse(payload) else { return };
    let long = old.picture_id.is_some_and(|id| id.long);
    if let Some(value) = picture_id.filter(|_| old.picture_id.is_some()) {
        match long {
            true => payload[1..3].copy_from_slice(&(value | 0x8000).to_be_bytes()),
            false => payload[1] = (value & 0x7f) as u8,
        }
    }
    if let Some(value) = tl0picidx.filter(|_| old.tl0picidx.is_some()) {
        let layers = 1 + usize::from(old.picture_id.is_some()) + usize::from(long);
        payload[layers + 1] = value;
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
        let sizes: Vec<_> = descriptor.structure.unwrap().sizes().collect();
        assert_eq!(sizes, [Some((320, 180)), Some((640, 360))]);
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

        #[test]
        fn rewriting_changes_only_what_it_names(
            payload in proptest::collection::vec(any::<u8>(), 0..24), pid: Option<u16>, tl0: Option<u8>,
        ) {
            let mut after = payload.clone();
            rewrite(&mut after, pid, tl0);
            let Some(old) = Vp9Descriptor::parse(&payload) else {
                prop_assert_eq!(after, payload);
                return Ok(());
            };
            let picture_id = old.picture_id.map(|id| {
                let mask = if id.long { 0x7fff } else { 0x7f };
                PictureId { value: pid.unwrap_or(id.value) & mask, ..id }
            });
            let expected = Vp9Descriptor { picture_id, tl0picidx: old.tl0picidx.map(|old| tl0.unwrap_or(old)), ..old };
            prop_assert_eq!(Vp9Descriptor::parse(&after), Some(expected));
            prop_assert_eq!(&after[old.len..], &payload[old.len..]);
        }
    }
}
