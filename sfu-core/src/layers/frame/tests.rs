use super::*;
use crate::rtp::dependency_descriptor::tests::keyframe as structure;
use crate::sdp::H264Profile;

const H264: Codec = Codec::H264(H264Profile { profile: 0x42e0, packetization_mode: 1 });

fn arrived<'a>(codec: Codec, seq: u64, payload: &'a [u8]) -> Arrived<'a> {
    Arrived { codec, seq: SeqNo(seq), timestamp: 0, marker: false, payload, descriptor: None }
}

fn read(codec: Codec, payload: &[u8]) -> Frame {
    FrameReader::default().read(&arrived(codec, 1, payload))
}

#[test]
fn vp8_tells_its_temporal_layers() {
    // X S | I L T | 7 | TL0PICIDX 9 | TID 2, Y | a frame that is no keyframe
    let frame = read(Codec::Vp8, &[0x90, 0xe0, 7, 9, 0xa0, 0x01]);
    assert_eq!((frame.spatial, frame.temporal, frame.tl0), (0, 2, Some(9)));
    assert_eq!(frame.picture_id, Some(PictureId { value: 7, long: false }));
    assert!(frame.temporal_entry && !frame.keyframe && !frame.opens);
    assert!(read(Codec::Vp8, &[0x10, 0x00]).keyframe);
}

#[test]
fn vp9_tells_its_layers_and_where_they_may_be_joined() {
    // I L B E | 5 | TID 1, U, SID 2, D | TL0PICIDX: a key picture's third spatial layer
    let frame = read(Codec::Vp9, &[0xac, 5, 0x35, 1]);
    assert_eq!((frame.spatial, frame.temporal), (2, 1));
    assert!(frame.end && frame.spatial_entry && frame.opens && !frame.keyframe);
    // The same with P.
    assert!(!read(Codec::Vp9, &[0xec, 5, 0x25, 1]).spatial_entry);
}

#[test]
fn h264_starts_with_its_parameter_sets() {
    let mut reader = FrameReader::default();
    let last = Arrived { marker: true, ..arrived(H264, 10, &[0x41, 0x9a]) };
    assert!(!reader.read(&last).keyframe);
    assert!(reader.read(&arrived(H264, 11, &[0x67, 0x42])).keyframe, "SPS");
    assert!(!reader.read(&arrived(H264, 12, &[0x65, 0x88])).keyframe, "the IDR after it, alone of no use");
    let last = Arrived { marker: true, ..arrived(H264, 13, &[0x41, 0x9a]) };
    reader.read(&last);
    assert!(reader.read(&arrived(H264, 14, &[0x65, 0x88])).keyframe, "an IDR without parameter sets");
    reader.read(&Arrived { marker: true, ..arrived(H264, 15, &[0x41]) });
    assert!(!reader.read(&arrived(H264, 17, &[0x65, 0x88])).keyframe, "one packet is missing before it");
}

/// L2T2 of the descriptor's own tests: templates 62 (S0T0), 63 (S0T1, two before), 0 (S1T0, one and four before), 1
/// (S1T1, sixteen before).
#[test]
fn the_dependency_descriptor_comes_before_the_payload() {
    let mut reader = FrameReader::default();
    let mut read = |timestamp, descriptor: &[u8]| {
        reader.read(&Arrived {
            timestamp,
            descriptor: Some(descriptor),
            ..arrived(Codec::Vp8, 1, &[0x90, 0xe0, 7, 9, 0xa0, 0x01])
        })
    };
    let early = read(1, &[0xc0, 0x12, 0x33]);
    assert_eq!((early.temporal, early.number), (2, Some(0x1233)), "without a structure the payload is asked");
    let key = read(3_000, &structure(62));
    assert!(key.keyframe && key.spatial_entry && key.opens && !key.end);
    assert_eq!((key.spatial, key.temporal, key.number, key.tl0), (0, 0, Some(0x1234), Some(9)));
    // Frame 0x1238, S1T0: refers to 0x1237, which is not known, and to 0x1234.
    let unknown = read(6_000, &[0xc0, 0x12, 0x38]);
    assert_eq!((unknown.spatial, unknown.temporal, unknown.spatial_entry), (1, 0, false));
    let temporal = read(9_000, &[0xff, 0x12, 0x36]);
    assert_eq!((temporal.spatial, temporal.temporal), (0, 1));
    assert!(temporal.temporal_entry && !temporal.spatial_entry && temporal.end);
    assert!(reader.targets().is_some_and(|targets| targets.active(Layers { spatial: 1, temporal: 1 }).is_none()));
}
