//! Which m-lines share the server's one transport: the BUNDLE group of an offer (RFC 9143, RFC 5888).
//!
//! The group is what the client wishes, so it is read leniently: a MID that no m-line has is ignored, as is one that is named twice. Of
//! several groups the first with a live m-line counts. A single live m-line needs no group.

use super::attributes::Attributes;
use super::error::NegotiationError;
use super::limits::MAX_MEDIA;
use super::section::OfferMedia;

/// The BUNDLE groups of an offer: MIDs, in the offer's order.
#[derive(Debug)]
pub(super) struct Bundle<'a> {
    groups: Vec<Vec<&'a str>>,
}

/// The m-lines that are served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Served {
    /// Their places. The first says what holds for the transport (RFC 9143 section 7.2, the tagged m-line).
    pub(super) places: Vec<usize>,
    /// Whether they are there because of a group. The answer has one exactly then.
    pub(super) grouped: bool,
}

impl<'a> Bundle<'a> {
    /// Reads the groups. Names beyond the most m-lines of an offer are nobody's.
    pub(super) fn read(session: Attributes<'a>) -> Self {
        let groups = session.values("group").filter_map(|value| {
            let mut words = value.split_whitespace();
            (words.next() == Some("BUNDLE")).then(|| words.take(MAX_MEDIA).collect())
        });
        Self { groups: groups.take(MAX_MEDIA).collect() }
    }

    /// Whether a group names this MID: an m-line with port 0 is live then (GStreamer writes `m=application 0` without `a=bundle-only`).
    pub(super) fn names(&self, mid: &str) -> bool {
        self.groups.iter().any(|group| group.contains(&mid))
    }

    /// The m-lines that share the transport.
    pub(super) fn served(&self, media: &[OfferMedia]) -> Result<Served, NegotiationError> {
        let live = |place: &usize| !media[*place].stopped;
        for group in &self.groups {
            let mut places: Vec<usize> = Vec::new();
            for mid in group {
                let named = media.iter().position(|line| line.wire.named && line.mid.as_str() == *mid);
                places.extend(named.filter(|place| live(place) && !places.contains(place)));
            }
            if !places.is_empty() {
                return Ok(Served { places, grouped: true });
            }
        }
        let places: Vec<usize> = (0..media.len()).filter(live).collect();
        match places[..] {
            [] => Err(nothing_live(media)),
            [_] => Ok(Served { places, grouped: false }),
            _ => Err(match places.iter().find(|place| !media[**place].wire.named) {
                Some(place) => NegotiationError::MidMissing(*place),
                None => NegotiationError::NoBundle,
            }),
        }
    }
}

/// Why an offer has no live m-line.
fn nothing_live(media: &[OfferMedia]) -> NegotiationError {
    let unsupported = media.iter().find(|line| !line.supported);
    unsupported.map_or(NegotiationError::NoMedia, |line| NegotiationError::UnsupportedMedia(line.wire.to_string()))
}
