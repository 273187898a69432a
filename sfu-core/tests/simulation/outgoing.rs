//! What the router sends on one m-line, checked in the order of sending.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use sfu_core::unit::SeqNo;

use super::source::{Arrived, Tag};

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
#[derive(Debug)]
struct Run {
    csrc: u32,
    ssrc: u32,
    start: u64,
    since: Instant,
    timestamp_offset: u32,
    tl0_offset: u8,
    /// Output by input.
    seqs: BTreeMap<u64, u64>,
    /// The same of pictures, where the outputs do not wrap.
    pictures: BTreeMap<u32, u32>,
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

    /// A packet that was sent for the first time; `arrived` is what the router has of its source.
    pub(crate) fn on_media(&mut self, now: Instant, sent: &Sent, arrived: &Arrived) {
        assert!(!self.given.contains_key(&sent.seq), "number {} is given twice", sent.seq);
        let continues = match &mut self.run {
            Some(run) => run.go_on(sent, arrived),
            None => Err("nothing was sent before".into()),
        };
        if let Err(why) = continues {
            assert!(sent.tag.starts, "{why}, and it is no keyframe: {sent:?} after {:?}", self.last);
            self.start_run(now, sent);
        }
        if let (Some(run), true) = (&self.run, self.video) {
            run.check_references(&sent.tag, arrived);
        }
        self.given.insert(sent.seq, sent.clone());
        if self.last.as_ref().is_none_or(|(last, _)| sent.seq > last.seq) {
            self.last = Some((sent.clone(), now));
        }
    }

    /// What flows is `tag`'s source, of which all has arrived that will have by now: its picture is sent whole or not at
    /// all. The rest of one that comes after a later keyframe was sent is of no use, and is left out where the m-line
    /// paused in between.
    pub(crate) fn check_whole(&self, tag: &Tag, arrived: &Arrived) {
        let Some(run) = self.run.as_ref().filter(|run| run.ssrc == tag.ssrc) else { return };
        let is_later = |sent: &Sent| sent.tag.ssrc == tag.ssrc && sent.tag.starts && sent.tag.seq > tag.seq;
        if self.given.values().rev().any(is_later) {
            return;
        }
        let of_picture: BTreeSet<u64> = arrived.pictures[&tag.picture].range(run.start..).copied().collect();
        let sent: BTreeSet<u64> = of_picture.iter().filter(|seq| run.seqs.contains_key(*seq)).copied().collect();
        assert!(sent.is_empty() || sent == of_picture, "{sent:?} of {of_picture:?} are sent, {tag:?}");
    }

    fn start_run(&mut self, now: Instant, sent: &Sent) {
        assert!(self.video || sent.marker, "a talkspurt begins with the marker (RFC 3551 section 4.1)");
        let mut run = Run {
            csrc: sent.csrc,
            ssrc: sent.tag.ssrc,
            start: sent.tag.seq,
            since: now,
            timestamp_offset: sent.timestamp.wrapping_sub(sent.tag.timestamp),
            tl0_offset: 0,
            seqs: BTreeMap::from([(sent.tag.seq, sent.seq)]),
            pictures: BTreeMap::new(),
        };
        if let Some((last, at)) = &self.last {
            assert_eq!(sent.seq, last.seq + 1, "a source follows the one before: {sent:?}");
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
            run.tl0_offset = tl0.wrapping_sub(sent.tag.tl0);
            run.pictures.insert(sent.tag.picture, 0x8000 + u32::from(picture));
        }
        self.run = Some(run);
    }

    /// A retransmission; returns the number of the packet that is sent again.
    pub(crate) fn on_resent(&mut self, sent: &Sent, osn: u16) -> u64 {
        assert!(self.next_rtx.is_none_or(|next| next == sent.seq), "RTX numbers rise by one");
        self.next_rtx = Some(sent.seq + 1);
        self.resent += 1;
        assert!(self.resent <= self.given.len() as u64 + 32, "no more is resent than was sent");
        let original =
            self.given.values().rev().find(|given| given.seq as u16 == osn).expect("only what was sent is resent");
        let seen = |sent: &Sent| (sent.timestamp, sent.marker, sent.csrc, sent.vp8, sent.tag);
        assert_eq!(seen(original), seen(sent), "a packet is resent as it was");
        original.seq
    }
}

impl Run {
    /// Takes a packet if it can be of this run: what is missing at the source is missing here, and nothing else is.
    fn go_on(&mut self, sent: &Sent, arrived: &Arrived) -> Result<(), String> {
        let tag = sent.tag;
        if (self.csrc, self.ssrc) != (sent.csrc, tag.ssrc) || tag.seq < self.start {
            return Err("another source".into());
        }
        if sent.timestamp.wrapping_sub(tag.timestamp) != self.timestamp_offset {
            return Err("another time".into());
        }
        // Padding that came before the source flowed was not left out.
        let came = |seq: &u64| arrived.seqs.get(seq).is_some_and(|at| *at > self.since);
        let missing = |from: u64, to: u64| (from + 1..to).filter(|seq| !came(seq)).count() as u64;
        fits(&self.seqs, tag.seq, sent.seq, |from| missing(from, tag.seq)).map_err(|why| format!("number {why}"))?;
        if let Some((Some(picture), tl0)) = sent.vp8 {
            if tl0 != Some(tag.tl0.wrapping_add(self.tl0_offset)) {
                return Err("another TL0PICIDX".into());
            }
            let highest = *self.pictures.last_key_value().expect("it has begun").1;
            let picture = SeqNo(u64::from(highest) << 1).nearest(picture << 1).0 as u32 >> 1;
            let missing = |from| (from + 1..tag.picture).filter(|p| !arrived.pictures.contains_key(p)).count() as u32;
            if self.pictures.get(&tag.picture).is_none_or(|given| *given != picture) {
                fits(&self.pictures, tag.picture, picture, missing).map_err(|why| format!("picture {why}"))?;
            }
            self.pictures.insert(tag.picture, picture);
        }
        self.seqs.insert(tag.seq, sent.seq);
        Ok(())
    }

    /// What a picture refers to was sent, unless the router never got it.
    fn check_references(&self, tag: &Tag, arrived: &Arrived) {
        for difference in tag.refers.into_iter().filter(|difference| *difference > 0) {
            let picture = tag.picture - u32::from(difference);
            let sent = self.pictures.contains_key(&picture) || !arrived.pictures.contains_key(&picture);
            let first = *self.pictures.first_key_value().expect("it has begun").0;
            assert!(sent && picture >= first, "{tag:?} refers to {picture}, which was left out");
        }
    }
}

/// Whether `input` may go out as `output`: between its neighbours, and with no gap that `missing` at the source does not
/// explain.
fn fits<T: Copy + Ord + std::fmt::Debug + std::ops::Sub<Output = T> + Into<u64>>(
    given: &BTreeMap<T, T>,
    input: T,
    output: T,
    missing: impl Fn(T) -> T,
) -> Result<(), String> {
    let (before, after) = (given.range(..input).next_back(), given.range(input..).next());
    let rises = before.is_none_or(|(_, before)| *before < output) && after.is_none_or(|(_, after)| output < *after);
    if !rises {
        return Err(format!("{output:?} is not between {before:?} and {after:?}"));
    }
    match before.filter(|_| after.is_none()) {
        Some((from, before)) if (output - *before).into() > 1 + missing(*from).into() => {
            Err(format!("{output:?} leaves a gap after {before:?}"))
        }
        _ => Ok(()),
    }
}
