//! What the router sends on one m-line, checked in the order of sending.

use std::collections::BTreeMap;
use std::time::Instant;

use super::source::Tag;

/// An outgoing packet as the outbox was given it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub ssrc: u32,
    pub seq: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub csrc: u32,
    pub osn: Option<u16>,
    pub vp8: Option<(Option<u16>, Option<u8>)>,
    pub tag: Tag,
}

/// Packets between two changes of the source.
#[derive(Debug, Clone, Copy)]
struct Run {
    csrc: u32,
    ssrc: u32,
    start: u64,
    offset: i64,
    timestamp_offset: u32,
    picture_offset: u16,
    tl0_offset: u8,
}

/// One m-line's stream and its retransmissions.
#[derive(Debug)]
pub(crate) struct Checker {
    video: bool,
    given: BTreeMap<u64, Sent>,
    run: Option<Run>,
    last: Option<(Sent, Instant)>,
    next_rtx: Option<u64>,
    resent: u64,
}

impl Checker {
    pub(crate) fn new(video: bool) -> Self {
        Self { video, given: BTreeMap::new(), run: None, last: None, next_rtx: None, resent: 0 }
    }

    /// A packet that was sent for the first time; `paddings` are the numbers of its source that had no media.
    pub(crate) fn on_media(&mut self, now: Instant, sent: &Sent, paddings: &[u64]) {
        assert!(!self.given.contains_key(&sent.seq), "number {} is given twice", sent.seq);
        if self.run.is_none_or(|run| !run.continues(sent, paddings)) {
            self.start_run(now, sent);
        }
        if let (Some(run), true) = (self.run, self.video) {
            let (picture, tl0) = sent.vp8.expect("VP8 has numbers");
            assert_eq!(picture, Some(sent.tag.picture.wrapping_add(run.picture_offset) & 0x7fff), "picture id");
            assert_eq!(tl0, Some(sent.tag.tl0.wrapping_add(run.tl0_offset)), "TL0PICIDX");
        }
        self.given.insert(sent.seq, sent.clone());
        if self.last.as_ref().is_none_or(|(last, _)| sent.seq > last.seq) {
            self.last = Some((sent.clone(), now));
        }
    }

    fn start_run(&mut self, now: Instant, sent: &Sent) {
        assert!(sent.tag.starts, "video starts with a keyframe, not with {sent:?} after {:?}", self.run);
        assert!(self.video || sent.marker, "a talkspurt begins with the marker (RFC 3551 section 4.1)");
        let mut offsets = (0, 0);
        if let Some((last, at)) = &self.last {
            assert_eq!(sent.seq, last.seq + 1, "a source follows the one before: {:?}, {sent:?}", self.run);
            let (rate, least) = if self.video { (90_000, 990) } else { (48_000, 960) };
            let elapsed = (now.duration_since(*at).as_micros() * rate / 1_000_000) as u32;
            let step = sent.timestamp.wrapping_sub(last.timestamp);
            assert!((least..=elapsed.max(least)).contains(&step), "a step of {step} ticks after {elapsed}");
            if let (Some(last), Some((picture, tl0))) = (last.vp8, sent.vp8) {
                assert_eq!(picture, last.0.map(|last| (last + 1) & 0x7fff), "the picture id goes on");
                assert_eq!(tl0, last.1.map(|last| last.wrapping_add(1)), "TL0PICIDX goes on");
            }
        }
        if let Some((Some(picture), Some(tl0))) = sent.vp8 {
            offsets = (picture.wrapping_sub(sent.tag.picture), tl0.wrapping_sub(sent.tag.tl0));
        }
        self.run = Some(Run {
            csrc: sent.csrc,
            ssrc: sent.tag.ssrc,
            start: sent.tag.seq,
            offset: sent.seq as i64 - sent.tag.seq as i64,
            timestamp_offset: sent.timestamp.wrapping_sub(sent.tag.timestamp),
            picture_offset: offsets.0,
            tl0_offset: offsets.1,
        });
    }

    /// A retransmission; returns the number of the packet that is sent again.
    pub(crate) fn on_resent(&mut self, sent: &Sent, osn: u16) -> u64 {
        assert!(self.next_rtx.is_none_or(|next| next == sent.seq), "RTX numbers rise by one");
        self.next_rtx = Some(sent.seq + 1);
        self.resent += 1;
        assert!(self.resent <= self.given.len() as u64 + 32, "no more is resent than was sent");
        let original =
            self.given.values().rev().find(|given| given.seq as u16 == osn).expect("only what was sent is resent");
        let seen = |sent: &Sent| (sent.timestamp, sent.csrc, sent.vp8, sent.tag);
        assert_eq!(seen(original), seen(sent), "a packet is resent as it was");
        original.seq
    }
}

impl Run {
    /// Gaps of the source are gaps here, and only padding is closed up.
    fn continues(&self, sent: &Sent, paddings: &[u64]) -> bool {
        let tag = sent.tag;
        let closed = paddings.iter().filter(|padding| (self.start..tag.seq).contains(padding)).count() as i64;
        let offset = sent.seq as i64 - tag.seq as i64;
        (self.csrc, self.ssrc) == (sent.csrc, tag.ssrc)
            && tag.seq >= self.start
            && (self.offset - closed..=self.offset).contains(&offset)
            && sent.timestamp.wrapping_sub(tag.timestamp) == self.timestamp_offset
    }
}
