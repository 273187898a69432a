//! The VP8 payload descriptor (RFC 7741 section 4.2).

/// A picture id with the width it travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    /// 15 bits, or 7 if not `long`.
    pub value: u16,
    /// Two bytes on the wire.
    pub long: bool,
}

/// A payload's descriptor, and from the VP8 header behind it whether a keyframe starts here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp8Descriptor {
    /// Rises by one per frame.
    pub picture_id: Option<PictureId>,
    /// Counts the frames of temporal layer 0.
    pub tl0picidx: Option<u8>,
    /// The temporal layer, 0 to 3.
    pub tid: Option<u8>,
    /// The Y bit: depends on layer 0 only, so that a receiver may move up to this layer here.
    pub layer_sync: bool,
    /// The temporal key frame index, 0 to 31.
    pub key_idx: Option<u8>,
    /// No other frame refers to this one (the N bit).
    pub non_reference: bool,
    /// The first packet of a frame: S is set and the partition is 0.
    pub start: bool,
    /// The first packet of a keyframe.
    pub keyframe: bool,
    /// The descriptor's length in bytes.
    pub len: usize,
}

/// Where the fields that a forwarder rewrites stand.
struct Layout {
    picture_id: Option<usize>,
    tl0picidx: Option<usize>,
    tid_key: Option<usize>,
    len: usize,
}

impl Layout {
    fn parse(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let flags = if first & 0x80 != 0 { *payload.get(1)? } else { 0 };
        let mut len = if first & 0x80 != 0 { 2 } else { 1 };
        let mut take = |present: bool, size: usize| {
            let at = len;
            len += if present { size } else { 0 };
            present.then_some(at)
        };
        let has_picture_id = flags & 0x80 != 0;
        let long = has_picture_id && *payload.get(2)? & 0x80 != 0;
        let picture_id = take(has_picture_id, if long { 2 } else { 1 });
        let tl0picidx = take(flags & 0x40 != 0, 1);
        let tid_key = take(flags & 0x30 != 0, 1);
        (len <= payload.len()).then_some(Self { picture_id, tl0picidx, tid_key, len })
    }
}

impl Vp8Descriptor {
    /// Reads the descriptor at the start of a payload; `None` if it is cut short.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let layout = Layout::parse(payload)?;
        let flags = if payload[0] & 0x80 != 0 { payload[1] } else { 0 };
        let tid_key = layout.tid_key.map_or(0, |at| payload[at]);
        let has_tid = flags & 0x20 != 0;
        let start = payload[0] & 0x17 == 0x10;
        Some(Self {
            picture_id: layout.picture_id.map(|at| read_picture_id(&payload[at..])),
            tl0picidx: layout.tl0picidx.map(|at| payload[at]),
            tid: has_tid.then_some(tid_key >> 6),
            layer_sync: has_tid && tid_key & 0x20 != 0,
            key_idx: (flags & 0x10 != 0).then_some(tid_key & 0x1f),
            non_reference: payload[0] & 0x20 != 0,
            start,
            keyframe: start && payload.get(layout.len).is_some_and(|byte| byte & 1 == 0),
            len: layout.len,
        })
    }
}

/// Width and height of a keyframe whose first packet this is, from the uncompressed header (RFC 6386 section 9.1).
pub fn keyframe_size(payload: &[u8]) -> Option<(u16, u16)> {
    let descriptor = Vp8Descriptor::parse(payload).filter(|descriptor| descriptor.keyframe)?;
    let header = payload.get(descriptor.len + 3..descriptor.len + 10)?;
    let side = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]) & 0x3fff;
    (header[..3] == [0x9d, 0x01, 0x2a]).then(|| (side(3), side(5)))
}

fn read_picture_id(bytes: &[u8]) -> PictureId {
    if bytes[0] & 0x80 == 0 {
        return PictureId { value: u16::from(bytes[0]), long: false };
    }
    PictureId { value: u16::from_be_bytes([bytes[0] & 0x7f, bytes[1]]), long: true }
}

/// Writes a new picture id and TL0PICIDX over those that the descriptor has, in place: the length stays, and a picture
/// id keeps its width, so that its upper bits are dropped from a short one. Fields that are absent stay absent.
pub fn rewrite(payload: &mut [u8], picture_id: Option<u16>, tl0picidx: Option<u8>) {
    let Some(layout) = Layout::parse(payload) else { return };
    if let Some((at, value)) = layout.picture_id.zip(picture_id) {
        if payload[at] & 0x80 != 0 {
            payload[at..at + 2].copy_from_slice(&(value | 0x8000).to_be_bytes());
        } else {
            payload[at] = (value & 0x7f) as u8;
        }
    }
    if let Some((at, value)) = layout.tl0picidx.zip(tl0picidx) {
        payload[at] = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_descriptor_is_read() {
        // X N S, PID 0 | I L T K | M=1, 0x1234 | TL0PICIDX 0x56 | TID 2, Y, KEYIDX 9 | VP8 keyframe
        let descriptor = Vp8Descriptor::parse(&[0xb0, 0xf0, 0x92, 0x34, 0x56, 0xa9, 0x50]).unwrap();
        let expected = Vp8Descriptor {
            picture_id: Some(PictureId { value: 0x1234, long: true }),
            tl0picidx: Some(0x56),
            tid: Some(2),
            layer_sync: true,
            key_idx: Some(9),
            non_reference: true,
            start: true,
            keyframe: true,
            len: 6,
        };
        assert_eq!(descriptor, expected);
    }

    #[test]
    fn a_minimal_descriptor_is_read() {
        let descriptor = Vp8Descriptor::parse(&[0x10, 0x01]).unwrap();
        assert_eq!((descriptor.picture_id, descriptor.tid, descriptor.len), (None, None, 1));
        assert!(descriptor.start && !descriptor.keyframe);
        let short = Vp8Descriptor::parse(&[0x90, 0x80, 0x7f, 0x00]).unwrap();
        assert_eq!(short.picture_id, Some(PictureId { value: 0x7f, long: false }));
        assert!(short.keyframe);
    }

    #[test]
    fn only_the_first_packet_of_partition_0_starts_a_frame() {
        assert!(!Vp8Descriptor::parse(&[0x11, 0x00]).unwrap().keyframe, "another partition starts");
        assert!(!Vp8Descriptor::parse(&[0x00, 0x00]).unwrap().start, "a continuation");
        assert!(!Vp8Descriptor::parse(&[0x10]).unwrap().keyframe, "no VP8 header");
    }

    #[test]
    fn a_keyframe_tells_its_size() {
        // X S | I | M=0, 7 | frame tag of a keyframe | start code | 640, scale 1 | 360
        let payload = [0x90, 0x80, 7, 0x50, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x01];
        assert_eq!(keyframe_size(&payload), Some((640, 360)));
        assert_eq!(keyframe_size(&payload[..12]), None);
        let encrypted = [0x90, 0x80, 7, 0x50, 0, 0, 0x9e, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x01];
        assert_eq!(keyframe_size(&encrypted), None, "no start code");
    }

    #[test]
    fn a_cut_descriptor_is_none() {
        let whole = [0x90, 0xf0, 0x92, 0x34, 0x56, 0xa9];
        assert!((0..whole.len()).all(|len| Vp8Descriptor::parse(&whole[..len]).is_none()));
    }

    #[test]
    fn a_short_picture_id_stays_short() {
        let mut payload = [0x90, 0xc0, 0x05, 0x06, 0x00];
        rewrite(&mut payload, Some(0x1234), Some(0x77));
        assert_eq!(payload, [0x90, 0xc0, 0x34, 0x77, 0x00]);
    }

    proptest! {
        #[test]
        fn rewriting_changes_only_what_it_names(
            payload in proptest::collection::vec(any::<u8>(), 0..12), pid: Option<u16>, tl0: Option<u8>,
        ) {
            let mut after = payload.clone();
            rewrite(&mut after, pid, tl0);
            let Some(old) = Vp8Descriptor::parse(&payload) else {
                prop_assert_eq!(after, payload);
                return Ok(());
            };
            let picture_id = old.picture_id.map(|id| {
                let mask = if id.long { 0x7fff } else { 0x7f };
                PictureId { value: pid.unwrap_or(id.value) & mask, ..id }
            });
            let expected = Vp8Descriptor { picture_id, tl0picidx: old.tl0picidx.map(|old| tl0.unwrap_or(old)), ..old };
            prop_assert_eq!(Vp8Descriptor::parse(&after), Some(expected));
            prop_assert_eq!(&after[old.len..], &payload[old.len..]);
        }
    }
}
