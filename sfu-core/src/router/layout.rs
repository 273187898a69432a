//! A participant's slot layout: which m-lines receive, and which belong together.
//!
//! Invariant: a layout only grows. What a slot is for and its m-lines never change, since its SSRCs are for life.

use crate::control::{ControlError, SlotIndex, SlotLines, SlotRole, TrackKind};
use crate::id::{Mid, Ssrc};
use crate::sdp::{Direction, MAX_MEDIA, MediaKind, Offer, SendStream};

const _: () = assert!(MAX_MEDIA <= SlotIndex::MAX as usize, "a layout has no more slots than m-lines");

/// Why a slot layout does not fit its offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A slot that was there changed or is missing.
    #[error("a layout only grows: repeat the earlier slots unchanged")]
    Changed,
    /// A MID that is not in the offer, not `recvonly`, or of another kind.
    #[error("every slot names recvonly m-lines of the offer, of its kinds")]
    NotInOffer,
    /// A MID in two places.
    #[error("an m-line belongs to one slot only")]
    Twice,
    /// A slot without m-lines, or a lone audio slot with video.
    #[error("a pair or screen has audio, video or both; an audio slot has audio only")]
    Shape,
    /// More slots than an index can name.
    #[error("at most 255 slots")]
    TooMany,
}

impl From<LayoutError> for ControlError {
    fn from(error: LayoutError) -> Self {
        Self::SlotLayout(error.to_string())
    }
}

/// An m-line that will send, before the answer is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLine {
    pub mid: Mid,
    pub kind: TrackKind,
    pub slot: SlotIndex,
    pub stream: SendStream,
}

/// The layout that an offer asks for, checked against the offer and against the one that it extends.
pub fn check(offer: &Offer, wanted: &[SlotLines], current: &[SlotLines]) -> Result<Vec<SlotLines>, LayoutError> {
    let layout = if wanted.is_empty() && current.is_empty() { implied(offer) } else { wanted.to_vec() };
    let layout = if layout.is_empty() { current.to_vec() } else { layout };
    if layout.len() > MAX_MEDIA {
        return Err(LayoutError::TooMany);
    }
    if !layout.starts_with(current) {
        return Err(LayoutError::Changed);
    }
    let mut seen: Vec<Mid> = Vec::new();
    for slot in &layout[current.len()..] {
        let shaped = match slot.role {
            SlotRole::Audio => slot.audio.is_some() && slot.video.is_none(),
            SlotRole::Pair | SlotRole::Screen => slot.audio.is_some() || slot.video.is_some(),
        };
        if !shaped {
            return Err(LayoutError::Shape);
        }
        check_line(offer, slot.audio, MediaKind::Audio)?;
        check_line(offer, slot.video, MediaKind::Video)?;
    }
    for mid in layout.iter().flat_map(|slot| [slot.audio, slot.video]).flatten() {
        if seen.contains(&mid) {
            return Err(LayoutError::Twice);
        }
        seen.push(mid);
    }
    Ok(layout)
}

fn check_line(offer: &Offer, mid: Option<Mid>, kind: MediaKind) -> Result<(), LayoutError> {
    let Some(mid) = mid else { return Ok(()) };
    let found = offer.media().iter().find(|media| media.mid == mid);
    found.filter(|media| receives(media, kind)).map(|_| ()).ok_or(LayoutError::NotInOffer)
}

fn receives(media: &crate::sdp::OfferMedia, kind: MediaKind) -> bool {
    media.kind == kind && media.direction == Direction::RecvOnly && !media.stopped
}

/// Without a layout (WHEP): the first audio m-line goes with the first video m-line, and so on.
fn implied(offer: &Offer) -> Vec<SlotLines> {
    let mids = |kind| offer.media().iter().filter(move |media| receives(media, kind)).map(|media| media.mid);
    let (mut audio, mut video) = (mids(MediaKind::Audio), mids(MediaKind::Video));
    std::iter::from_fn(|| match (audio.next(), video.next()) {
        (None, None) => None,
        (audio, video) => Some(SlotLines { role: SlotRole::Pair, audio, video }),
    })
    .collect()
}

/// The lines of `slots[from..]` with SSRCs drawn from `draw`, which never returns the same number twice.
pub fn plan(slots: &[SlotLines], from: usize, mut draw: impl FnMut() -> Ssrc) -> Vec<PlannedLine> {
    let mut lines = Vec::new();
    for (index, slot) in slots.iter().enumerate().skip(from) {
        let stream_id = format!("slot{index}");
        for (mid, kind) in [(slot.audio, TrackKind::Audio), (slot.video, TrackKind::Video)] {
            let Some(mid) = mid else { continue };
            let ssrc = draw();
            let rtx = (kind == TrackKind::Video).then(&mut draw);
            let stream = SendStream { ssrc, rtx, cname: stream_id.clone(), stream_id: stream_id.clone() };
            lines.push(PlannedLine { mid, kind, slot: index as SlotIndex, stream });
        }
    }
    lines
}
