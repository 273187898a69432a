//! Synthetic media: RTP payloads that look to a forwarder like an encoder's, without an encoder.
//!
//! Video is VP8: every packet has a descriptor with picture id, TL0PICIDX and temporal layer (RFC 7741 section 4.2), a
//! frame begins with a VP8 frame header (RFC 6386 section 9.1), and its bytes are spread evenly over the packets, as
//! encoders do. Audio is Opus, one 20 ms packet each (RFC 7587). Behind those headers stands filler, or what a [`clip`](crate::clip) has,
//! and at the end a [`Stamp`]. No decoder will show a picture of it; forwarders do not decode.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::clip::{AudioClip, ClipFrame, VideoClip};
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

    /// Whether it is of a keyframe.
    pub fn is_keyframe(&self) -> bool {
        self.stamp.keyframe
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

/// A clip, and its frame that comes next.
#[derive(Debug)]
struct Playback {
    clip: Arc<VideoClip>,
    next: usize,
}

impl Playback {
    /// The next frame; the next keyframe if one is asked for.
    fn frame(&mut self, keyframe: bool) -> ClipFrame {
        let frames = &self.clip.frames;
        let mut coming = (self.next..).map(|index| index % frames.len());
        // The first frame is a keyframe.
        let index = coming.find(|index| !keyframe || frames[*index].keyframe).unwrap_or_default();
        self.next = (index + 1) % frames.len();
        frames[index].clone()
    }
}

/// Makes the frames of one video track.
#[derive(Debug)]
pub struct VideoSource {
    shape: VideoShape,
    playback: Option<Playback>,
    picture_id: u16,
    tl0picidx: u8,
    frame: u16,
    indices: Indices,
}

impl VideoSource {
    /// A track that starts at any picture id, as encoders do.
    pub fn new(shape: VideoShape, picture_id: u16) -> Self {
        let (picture_id, indices) = (picture_id & 0x7fff, Indices::default());
        Self { shape, playback: None, picture_id, tl0picidx: 0, frame: 0, indices }
    }

    /// Plays a clip, if there is one, in place of filler.
    pub fn playing(self, clip: Option<Arc<VideoClip>>) -> Self {
        Self { playback: clip.map(|clip| Playback { clip, next: 0 }), ..self }
    }

    /// The payloads of the next frame, in order. A clip has keyframes of its own as well.
    pub fn frame(&mut self, keyframe: bool, mark: Mark) -> Vec<Payload> {
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.tl0picidx = self.tl0picidx.wrapping_add(1);
        self.frame = self.frame.wrapping_add(1);
        let played = self.playback.as_mut().map(|playback| playback.frame(keyframe));
        let keyframe = played.as_ref().map_or(keyframe, |frame| frame.keyframe);
        let bodies = match played {
            Some(frame) => self.played(&frame.bytes),
            None => self.filled(keyframe),
        };
        let count = bodies.len();
        (0..)
            .zip(bodies)
            .map(|(position, body)| {
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
                Payload { marker: position + 1 == count, stamp, body }
            })
            .collect()
    }

    /// A frame of filler.
    fn filled(&self, keyframe: bool) -> Vec<BytesMut> {
        let bytes = self.shape.frame_bytes() * if keyframe { KEYFRAME_FACTOR } else { 1 };
        let count = bytes.div_ceil(self.shape.max_payload.max(MIN_VIDEO_PAYLOAD));
        let mut bodies: Vec<_> = (0..count)
            .map(|position| self.described(position == 0, filled(share(bytes, count, position).max(MIN_VIDEO_PAYLOAD))))
            .collect();
        write_frame_header(&mut bodies[0][DESCRIPTOR_LEN..], keyframe, self.shape.size);
        bodies
    }

    /// A clip's frame.
    fn played(&self, mut frame: &[u8]) -> Vec<BytesMut> {
        let room = self.shape.max_payload.max(MIN_VIDEO_PAYLOAD) - DESCRIPTOR_LEN - STAMP_LEN;
        let (bytes, count) = (frame.len(), frame.len().div_ceil(room));
        let part = |position| {
            let (part, rest) = frame.split_at(share(bytes, count, position));
            frame = rest;
            let mut payload = BytesMut::zeroed(DESCRIPTOR_LEN + part.len() + STAMP_LEN);
            payload[DESCRIPTOR_LEN..][..part.len()].copy_from_slice(part);
            self.described(position == 0, payload)
        };
        (0..count).map(part).collect()
    }

    /// The payload with its descriptor at the beginning.
    fn described(&self, first: bool, mut payload: BytesMut) -> BytesMut {
        let [high, low] = self.picture_id.to_be_bytes();
        // X and S, then I, L and T: a 15-bit picture id, TL0PICIDX, and layer 0.
        let descriptor = [0x80 | (u8::from(first) << 4), 0xe0, 0x80 | high, low, self.tl0picidx, 0];
        payload[..DESCRIPTOR_LEN].copy_from_slice(&descriptor);
        payload
    }
}

/// What of `bytes` the packet at `position` of `count` carries: the first ones a byte more, where the division leaves a rest.
const fn share(bytes: usize, count: usize, position: usize) -> usize {
    bytes / count + if position < bytes % count { 1 } else { 0 }
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
    clip: Option<Arc<AudioClip>>,
    frame: u16,
    indices: Indices,
}

impl AudioSource {
    /// A track of `bitrate` bits per second.
    pub fn new(bitrate: u64) -> Self {
        let len = usize::try_from(bitrate / 8 * u64::from(AUDIO_PACKET_MS) / 1_000).unwrap_or(usize::MAX);
        Self { len: len.clamp(1 + STAMP_LEN, 1_275), clip: None, frame: 0, indices: Indices::default() }
    }

    /// Plays a clip, if there is one, in place of filler.
    pub fn playing(self, clip: Option<Arc<AudioClip>>) -> Self {
        Self { clip, ..self }
    }

    /// The next 20 ms.
    pub fn packet(&mut self, mark: Mark) -> Payload {
        let Some(clip) = &self.clip else { return self.packet_of(opus(self.len), mark) };
        let packet = &clip.packets[usize::from(self.frame) % clip.packets.len()];
        let mut payload = BytesMut::zeroed(packet.len() + STAMP_LEN);
        payload[..packet.len()].copy_from_slice(packet);
        self.packet_of(payload, mark)
    }

    /// A packet of comfort noise, as short as the stamp allows: what DTX sends every 400 ms of silence.
    pub fn silence(&mut self, mark: Mark) -> Payload {
        self.packet_of(opus(1 + STAMP_LEN), mark)
    }

    fn packet_of(&mut self, payload: BytesMut, mark: Mark) -> Payload {
        self.frame = self.frame.wrapping_add(1);
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

fn opus(len: usize) -> BytesMut {
    let mut payload = filled(len);
    payload[0] = OPUS_TOC;
    payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::tests::video;
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
    fn a_clip_is_played_in_a_circle_and_jumped_in_for_keyframes() {
        // Keyframes are the frames of 2,500 and 1,130 bytes.
        let mut source = VideoSource::new(SHAPE, 0).playing(Some(video(&[2_500, 100, 101, 0, 1_130, 102])));
        let mut next = |keyframe| {
            let frame = source.frame(keyframe, MARK);
            let bytes: usize = frame.iter().map(|payload| payload.body.len() - DESCRIPTOR_LEN - STAMP_LEN).sum();
            assert!(frame.iter().all(|payload| payload.body.len() <= SHAPE.max_payload));
            assert_eq!(Vp8Descriptor::parse(&frame[0].body).unwrap().keyframe, frame[0].is_keyframe());
            (frame[0].is_keyframe(), frame.len(), bytes)
        };
        let whole = [(true, 3, 2_500), (false, 1, 100), (false, 1, 101), (true, 1, 1_130), (false, 1, 102)];
        assert_eq!([(); 5].map(|()| next(false)), whole);
        assert_eq!([next(false), next(true), next(true)], [whole[0], whole[3], whole[0]]);
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
