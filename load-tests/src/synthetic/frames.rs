//! Which frames of a video stream a decoder could show, and when it would have frozen.
//!
//! A frame is complete when as many of its packets came as its stamps say. It is decodable if it is a keyframe or follows
//! the frame that was decoded last, of the same publisher and encoding: what our own publishers send has no other
//! dependencies. A freeze is what W3C webrtc-stats calls one: frames further apart than three times their average
//! distance, and than the average and 150 ms; but not where the publisher itself paused, and no frame is missing.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::stamp::Stamp;

/// Frames that are incomplete or wait for an earlier one; the oldest is given up for more.
const PENDING: usize = 32;
const FREEZE_MARGIN: Duration = Duration::from_millis(150);
/// The average distance of frames follows with this weight: 1/16.
const AVERAGING: u32 = 16;
/// A stream whose packets come and show nothing for so long needs a keyframe.
const STUCK: Duration = Duration::from_millis(300);
/// Between requests.
const REQUEST_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
struct Pending {
    source: (u16, u8),
    number: u16,
    arrived: u16,
    needed: u16,
    keyframe: bool,
    sent_us: u64,
}

/// What a packet made possible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    /// Frames that can be decoded now.
    pub frames: u32,
    /// Whether a keyframe is among them.
    pub keyframe: bool,
    /// The freeze that ended.
    pub freeze: Option<Duration>,
}

/// The frames of one video stream.
#[derive(Debug)]
pub struct Frames {
    pending: ArrayVec<Pending, PENDING>,
    /// Publisher and encoding, and number of the frame that was decoded last.
    last: Option<((u16, u8), u16)>,
    /// When that was, and when it was sent.
    shown_at: Option<(Instant, u64)>,
    average: Option<Duration>,
    /// Since when packets come without anything to show.
    stuck: Option<Instant>,
    requested: Option<Instant>,
}

impl Frames {
    /// Nothing came yet.
    pub const fn new() -> Self {
        Self { pending: ArrayVec::new_const(), last: None, shown_at: None, average: None, stuck: None, requested: None }
    }

    /// A packet that had not come before.
    pub fn on_packet(&mut self, at: Instant, stamp: &Stamp) -> Shown {
        let source = (stamp.publisher, stamp.encoding);
        if self.is_past(source, stamp.frame) {
            return Shown::default();
        }
        self.stuck.get_or_insert(at);
        let frame = self.pending_frame(source, stamp);
        frame.arrived += 1;
        if frame.arrived < frame.needed { Shown::default() } else { self.advance(at) }
    }

    /// Whether a keyframe should be asked for now. True makes it wait before it says so again.
    pub fn take_request(&mut self, now: Instant) -> bool {
        let stuck = self.stuck.is_some_and(|since| now.saturating_duration_since(since) >= STUCK);
        let asked = self.requested.is_some_and(|at| now.saturating_duration_since(at) < REQUEST_INTERVAL);
        let wanted = stuck && !asked;
        if wanted {
            self.requested = Some(now);
        }
        wanted
    }

    /// Of the frame that is shown or one before it.
    fn is_past(&self, source: (u16, u8), number: u16) -> bool {
        self.last.is_some_and(|(shown, last)| shown == source && (number.wrapping_sub(last) as i16) <= 0)
    }

    fn pending_frame(&mut self, source: (u16, u8), stamp: &Stamp) -> &mut Pending {
        let known = self.pending.iter().position(|frame| frame.source == source && frame.number == stamp.frame);
        let index = known.unwrap_or_else(|| {
            if self.pending.is_full() {
                self.pending.remove(0);
            }
            let Stamp { frame: number, frame_packets: needed, keyframe, sent_us, .. } = *stamp;
            self.pending.push(Pending { source, number, arrived: 0, needed, keyframe, sent_us });
            self.pending.len() - 1
        });
        &mut self.pending[index]
    }

    /// Decodes what can be decoded.
    fn advance(&mut self, at: Instant) -> Shown {
        let mut shown = Shown::default();
        while let Some(index) = self.pending.iter().position(|frame| self.is_next(frame)) {
            let frame = self.pending.remove(index);
            let before = self.last.filter(|(source, _)| source.0 == frame.source.0).map(|(_, number)| number);
            self.last = Some((frame.source, frame.number));
            shown.frames += 1;
            shown.keyframe |= frame.keyframe;
            shown.freeze = self.note_time(at, &frame, before).or(shown.freeze);
            let (source, last) = (frame.source, frame.number);
            self.pending.retain(|other| other.source != source || (other.number.wrapping_sub(last) as i16) > 0);
        }
        if shown.frames > 0 {
            self.stuck = None;
        }
        shown
    }

    fn is_next(&self, frame: &Pending) -> bool {
        let follows =
            self.last.is_some_and(|(source, last)| source == frame.source && frame.number == last.wrapping_add(1));
        frame.arrived >= frame.needed && (frame.keyframe || follows)
    }

    /// `before`: the frame of the same publisher that was shown last; another publisher is no freeze of either.
    fn note_time(&mut self, at: Instant, frame: &Pending, before: Option<u16>) -> Option<Duration> {
        let (shown, sent_us) = self.shown_at.replace((at, frame.sent_us)).filter(|_| before.is_some())?;
        let gap = at.saturating_duration_since(shown);
        let average = *self.average.get_or_insert(gap);
        let limit = (average * 3).max(average + FREEZE_MARGIN);
        let is_next = before.is_some_and(|before| frame.number == before.wrapping_add(1));
        let paused = is_next && Duration::from_micros(frame.sent_us.saturating_sub(sent_us)) > limit;
        if gap <= limit {
            self.average = Some((average * (AVERAGING - 1) + gap) / AVERAGING);
        }
        (gap > limit && !paused).then_some(gap)
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Kind;

    fn stamp(frame: u16, keyframe: bool) -> Stamp {
        Stamp {
            publisher: 1,
            kind: Kind::Video,
            keyframe,
            measured: true,
            encoding: 0,
            frame,
            frame_packets: 2,
            index: 0,
            sent_us: 0,
        }
    }

    /// Both packets of a frame at `ms`.
    fn whole(frames: &mut Frames, start: Instant, ms: u64, frame: u16, keyframe: bool) -> Shown {
        let at = start + Duration::from_millis(ms);
        assert_eq!(frames.on_packet(at, &stamp(frame, keyframe)), Shown::default());
        frames.on_packet(at, &stamp(frame, keyframe))
    }

    #[test]
    fn a_late_packet_releases_what_waited_for_it() {
        let (mut frames, start) = (Frames::new(), Instant::now());
        assert_eq!(whole(&mut frames, start, 0, 65_535, true), Shown { frames: 1, keyframe: true, freeze: None });
        frames.on_packet(start, &stamp(0, false));
        assert_eq!(whole(&mut frames, start, 66, 1, false).frames, 0, "frame 0 is not complete");
        assert_eq!(frames.on_packet(start + Duration::from_millis(70), &stamp(0, false)).frames, 2);
    }

    #[test]
    fn after_a_lost_frame_only_a_keyframe_helps() {
        let (mut frames, start) = (Frames::new(), Instant::now());
        whole(&mut frames, start, 0, 10, true);
        for frame in 12..30 {
            assert_eq!(whole(&mut frames, start, 33 * u64::from(frame - 10), frame, false).frames, 0);
        }
        let now = start + Duration::from_millis(33 * 20);
        assert!(frames.take_request(now));
        assert!(!frames.take_request(now), "not twice at once");
        let shown = whole(&mut frames, start, 33 * 20, 30, true);
        assert_eq!((shown.frames, shown.keyframe), (1, true));
        assert!(!frames.take_request(now + Duration::from_secs(9)));
    }

    #[test]
    fn a_long_gap_is_a_freeze_but_not_between_two_people() {
        let (mut frames, start) = (Frames::new(), Instant::now());
        for frame in 0..30 {
            assert_eq!(whole(&mut frames, start, 33 * u64::from(frame), frame, frame == 0).freeze, None);
        }
        let freeze = whole(&mut frames, start, 33 * 29 + 400, 30, false).freeze;
        assert_eq!(freeze, Some(Duration::from_millis(400)));
        let muted = Stamp { sent_us: 5_000_000, frame_packets: 1, ..stamp(31, true) };
        assert_eq!(frames.on_packet(start + Duration::from_secs(6), &muted).freeze, None, "the publisher paused");
        let lost = Stamp { sent_us: 8_000_000, frame_packets: 1, ..stamp(40, true) };
        assert!(frames.on_packet(start + Duration::from_secs(9), &lost).freeze.is_some(), "frames are missing");
        let other = Stamp { publisher: 2, frame_packets: 1, ..stamp(7, true) };
        assert_eq!(frames.on_packet(start + Duration::from_secs(19), &other).freeze, None, "another person");
    }

    #[test]
    fn what_never_completes_is_given_up() {
        let (mut frames, start) = (Frames::new(), Instant::now());
        for frame in 0..1_000 {
            frames.on_packet(start, &stamp(frame, false));
        }
        assert!(frames.pending.is_full());
        assert_eq!(whole(&mut frames, start, 1, 1_000, true).frames, 1);
    }
}
