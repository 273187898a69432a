//! Synthetic media: RTP payloads that look to a forwarder like an encoder's, without an encoder.
//!
//! Video is VP8: every packet has a descriptor with picture id, TL0PICIDX and temporal layer (RFC 7741 section 4.2), a
//! frame begins with a VP8 frame header (RFC 6386 section 9.1), and its bytes are spread evenly over the packets, as
//! encoders do. Audio is Opus, one 20 ms packet each (RFC 7587). Behind those headers stands filler, and at the end a
//! [`Stamp`]. No decoder will show a picture of it; forwarders do not decode.

use bytes::{Bytes, BytesMut};

use crate::stamp::{Kind, STAMP_LEN, Stamp};

/// Ticks of the RTP clock of video, per second.
pub const VIDEO_CLOCK: u32 = 90_000;
/// Ticks of the RTP clock of Opus, per second.
pub const AUDIO_CLOCK: u32 = 48_000;
/// Length of one Opus packet, in milliseconds.
pub const AUDIO_PACKET_MS: u32 = 20;
/// A keyframe has so many times the bytes of another frame: what encoders show at these rates.
const KEYFRAME_FACTOR: usize = 4;
const DESCRIPTOR_LEN: usize = 6;
const KEYFRAME_HEADER_LEN: usize = 10;
const INTERFRAME_HEADER_LEN: usize = 3;
/// The smallest payload that holds descriptor, frame header and stamp.
pub const MIN_VIDEO_PAYLOAD: usize = DESCRIPTOR_LEN + KEYFRAME_HEADER_LEN + STAMP_LEN;
/// Opus configuration 31 (CELT, fullband, 20 ms), mono, one frame (RFC 6716 section 3.1).
const OPUS_TOC: u8 = 0xf8;
const FILLER: u8 = 0x5a;

/// The shape of a video stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoShape {
    /// Bits per second, of payload.
    pub bitrate: u64,
    /// Frames per second.
    pub fps: u32,
    /// The longest payload, in bytes.
    pub max_payload: usize,
    /// What keyframes say of width and height, in pixels.
    pub size: (u16, u16),
    /// Which simulcast encoding this is, from the smallest on.
    pub encoding: u8,
}

impl VideoShape {
    /// Bytes of an ordinary frame.
    pub fn frame_bytes(&self) -> usize {
        usize::try_from(self.bitrate / 8 / u64::from(self.fps.max(1))).unwrap_or(usize::MAX).max(MIN_VIDEO_PAYLOAD)
    }

    /// Packets of an ordinary frame.
    pub fn frame_packets(&self) -> usize {
        self.frame_bytes().div_ceil(self.max_payload.max(MIN_VIDEO_PAYLOAD))
    }

    /// Three encodings as browsers scale them: the whole picture, half and a quarter of its sides. The largest has this
    /// shape; the others get about a fourth of the bits each time.
    pub fn simulcast(self) -> [Self; 3] {
        let scaled = |encoding: u8| {
            let steps = 2 - u32::from(encoding);
            let size = (self.size.0 >> steps, self.size.1 >> steps);
            Self { bitrate: self.bitrate >> (2 * steps), size, encoding, ..self }
        };
        [scaled(0), scaled(1), scaled(2)]
    }
}

/// A payload that waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The RTP marker bit: the last packet of a frame.
    pub marker: bool,
    stamp: Stamp,
    body: BytesMut,
}

impl Payload {
    /// Whether it was made while the run was measuring.
    pub fn is_measured(&self) -> bool {
        self.stamp.measured
    }

    /// Stamps the time, in microseconds since the run's epoch, and gives what follows the RTP header.
    pub fn stamped(mut self, sent_us: u64) -> Bytes {
        Stamp { sent_us, ..self.stamp }.write(&mut self.body);
        self.body.freeze()
    }
}

/// What a stamp says besides the packet's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The publisher, counted from 0.
    pub publisher: u16,
    /// Whether the run is measuring.
    pub measured: bool,
}

/// Counts packets: those sent while measuring apart from the others.
#[derive(Debug, Default)]
struct Indices {
    measured: u32,
    other: u32,
}

impl Indices {
    fn next(&mut self, measured: bool) -> u32 {
        let counter = if measured { &mut self.measured } else { &mut self.other };
        let index = *counter;
        *counter = counter.wrapping_add(1);
        index
    }
}

/// Makes the frames of one video track.
#[derive(Debug)]
pub struct VideoSource {
    shape: VideoShape,
    picture_id: u16,
    tl0picidx: u8,
    frame: u16,
    indices: Indices,
}

impl VideoSource {
    /// A track that starts at any picture id, as encoders do.
    pub fn new(shape: VideoShape, picture_id: u16) -> Self {
        Self { shape, picture_id: picture_id & 0x7fff, tl0picidx: 0, frame: 0, indices: Indices::default() }
    }

    /// The payloads of the next frame, in order.
    pub fn frame(&mut self, keyframe: bool, mark: Mark) -> Vec<Payload> {
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.tl0picidx = self.tl0picidx.wrapping_add(1);
        self.frame = self.frame.wrapping_add(1);
        let bytes = self.shape.frame_bytes() * if keyframe { KEYFRAME_FACTOR } else { 1 };
        let count = bytes.div_ceil(self.shape.max_payload.max(MIN_VIDEO_PAYLOAD));
        (0..count)
            .map(|position| {
                // The first packets are a byte longer, where the division leaves a rest.
                let len = bytes / count + usize::from(position < bytes % count);
                let first = position == 0;
                let stamp = Stamp {
                    publisher: mark.publisher,
                    kind: Kind::Video,
                    keyframe,
                    measured: mark.measured,
                    encoding: self.shape.encoding,
                    frame: self.frame,
                    frame_packets: u16::try_from(count).unwrap_or(u16::MAX),
                    index: self.indices.next(mark.measured),
                    sent_us: 0,
                };
                Payload { marker: position + 1 == count, stamp, body: self.body(len, first, keyframe) }
            })
            .collect()
    }

    fn body(&self, len: usize, first: bool, keyframe: bool) -> BytesMut {
        let mut payload = filled(len.max(MIN_VIDEO_PAYLOAD));
        let [high, low] = self.picture_id.to_be_bytes();
        // X and S, then I, L and T: a 15-bit picture id, TL0PICIDX, and layer 0.
        let descriptor = [0x80 | (u8::from(first) << 4), 0xe0, 0x80 | high, low, self.tl0picidx, 0];
        payload[..DESCRIPTOR_LEN].copy_from_slice(&descriptor);
        if first {
            write_frame_header(&mut payload[DESCRIPTOR_LEN..], keyframe, self.shape.size);
        }
        payload
    }
}

fn filled(len: usize) -> BytesMut {
    let mut bytes = BytesMut::zeroed(len);
    bytes.fill(FILLER);
    bytes
}

/// The frame tag: not-keyframe bit, version 0, shown, first partition of 64 bytes; keyframes add start code and size.
fn write_frame_header(buf: &mut [u8], keyframe: bool, size: (u16, u16)) {
    let tag: u32 = u32::from(!keyframe) | (1 << 4) | (64 << 5);
    buf[..INTERFRAME_HEADER_LEN].copy_from_slice(&tag.to_le_bytes()[..INTERFRAME_HEADER_LEN]);
    if keyframe {
        let [width_low, width_high] = size.0.to_le_bytes();
        let [height_low, height_high] = size.1.to_le_bytes();
        let rest = [0x9d, 0x01, 0x2a, width_low, width_high, height_low, height_high];
        buf[INTERFRAME_HEADER_LEN..KEYFRAME_HEADER_LEN].copy_from_slice(&rest);
    }
}

/// Makes the packets of one audio track.
#[derive(Debug)]
pub struct AudioSource {
    len: usize,
    frame: u16,
    indices: Indices,
}

impl AudioSource {
    /// A track of `bitrate` bits per second.
    pub fn new(bitrate: u64) -> Self {
        let len = usize::try_from(bitrate / 8 * u64::from(AUDIO_PACKET_MS) / 1_000).unwrap_or(usize::MAX);
        Self { len: len.clamp(1 + STAMP_LEN, 1_275), frame: 0, indices: Indices::default() }
    }

    /// The next 20 ms.
    pub fn packet(&mut self, mark: Mark) -> Payload {
        self.packet_of(self.len, mark)
    }

    /// A packet of comfort noise, as short as the stamp allows: what DTX sends every 400 ms of silence.
    pub fn silence(&mut self, mark: Mark) -> Payload {
        self.packet_of(1 + STAMP_LEN, mark)
    }

    fn packet_of(&mut self, len: usize, mark: Mark) -> Payload {
        let mut payload = filled(len);
        self.frame = self.frame.wrapping_add(1);
        payload[0] = OPUS_TOC;
        let stamp = Stamp {
            publisher: mark.publisher,
            kind: Kind::Audio,
            keyframe: false,
            measured: mark.measured,
            encoding: 0,
            frame: self.frame,
            frame_packets: 1,
            index: self.indices.next(mark.measured),
            sent_us: 0,
        };
        Payload { marker: false, stamp, body: payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sfu_core::rtp::vp8::Vp8Descriptor;

    const SHAPE: VideoShape =
        VideoShape { bitrate: 2_500_000, fps: 30, max_payload: 1_160, size: (1280, 720), encoding: 0 };
    const MARK: Mark = Mark { publisher: 3, measured: true };

    #[test]
    fn a_frame_is_what_a_forwarder_expects() {
        let mut source = VideoSource::new(SHAPE, 0x7ffe);
        let frame = source.frame(true, MARK);
        let next = source.frame(false, MARK);
        let parse = |payload: &Payload| Vp8Descriptor::parse(&payload.body).unwrap();
        assert!(parse(&frame[0]).keyframe && parse(&frame[0]).start);
        assert!(frame[1..].iter().all(|payload| !parse(payload).start));
        assert!(parse(&next[0]).start && !parse(&next[0]).keyframe);
        let picture_id = |payload| parse(payload).picture_id.unwrap();
        assert!(frame.iter().all(|payload| picture_id(payload).value == 0x7fff && picture_id(payload).long));
        assert_eq!(picture_id(&next[0]).value, 0, "picture ids wrap at 15 bits");
        assert_eq!(parse(&frame[0]).tl0picidx.map(|index| index + 1), parse(&next[0]).tl0picidx);
        assert_eq!(parse(&next[0]).tid, Some(0));
    }

    #[test]
    fn two_and_a_half_megabits_are_nine_packets_a_frame() {
        assert_eq!(SHAPE.frame_packets(), 9);
        assert_eq!(VideoSource::new(SHAPE, 0).frame(false, MARK).len(), 9);
    }

    #[test]
    fn measured_packets_count_from_zero() {
        let mut source = VideoSource::new(SHAPE, 0);
        source.frame(false, Mark { measured: false, ..MARK });
        let indices = |frame: Vec<Payload>| -> Vec<u32> {
            frame.into_iter().map(|payload| Stamp::read(&payload.stamped(9)).unwrap().index).collect()
        };
        assert_eq!(indices(source.frame(false, MARK)), (0..9).collect::<Vec<_>>());
        assert_eq!(indices(source.frame(false, MARK)), (9..18).collect::<Vec<_>>());
    }

    #[test]
    fn audio_has_the_asked_for_rate() {
        let bytes = AudioSource::new(32_000).packet(MARK).stamped(9);
        assert_eq!((bytes.len(), bytes[0]), (80, OPUS_TOC));
        let stamp = Stamp::read(&bytes).unwrap();
        assert_eq!((stamp.kind, stamp.sent_us), (Kind::Audio, 9));
    }

    proptest! {
        #[test]
        fn any_shape_gives_even_packets_with_one_marker(
            bitrate in 1_000u64..50_000_000, fps in 1u32..120, max_payload in 1usize..1_400, keyframe: bool,
        ) {
            let shape = VideoShape { bitrate, fps, max_payload, ..SHAPE };
            let frame = VideoSource::new(shape, 0).frame(keyframe, MARK);
            let lengths: Vec<_> = frame.iter().map(|payload| payload.body.len()).collect();
            let spread = lengths.iter().max().unwrap() - lengths.iter().min().unwrap();
            prop_assert!(spread <= 1 || lengths.contains(&MIN_VIDEO_PAYLOAD));
            prop_assert!(lengths.iter().all(|len| *len <= max_payload.max(MIN_VIDEO_PAYLOAD)));
            prop_assert_eq!(frame.iter().filter(|payload| payload.marker).count(), 1);
            prop_assert!(frame.last().unwrap().marker);
        }
    }
}
