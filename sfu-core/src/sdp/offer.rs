//! A client's offer, read and checked: what one text can say wrong is found here, what depends on earlier offers in
//! [`Negotiator`](super::Negotiator).
//!
//! The lexical part is `rtc::sdp`'s, on a text whose size was checked before. Transport attributes are those of the first
//! m-line in the order of the BUNDLE group that has them (RFC 9143 section 7.2), or else of the session.

use std::collections::{HashMap, HashSet};
use std::io::Cursor;

use rtc::sdp::description::session::SessionDescription;

use crate::id::{Mid, Ssrc};

use super::attributes::Attributes;
use super::bundle::{Bundle, Served};
use super::codec::Codec;
use super::error::{self, NegotiationError};
use super::ice::{Fingerprint, IceCredentials};
use super::limits::OfferLimits;
use super::section::OfferMedia;
use super::value::{Direction, MediaKind, Setup};

/// A parsed offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    ice: IceCredentials,
    fingerprint: Fingerprint,
    media: Vec<OfferMedia>,
    /// The DTLS role that the offer leaves to us; `None`: either.
    pub(super) setup: Option<Setup>,
    /// Whether the m-lines are in a BUNDLE group.
    pub(super) grouped: bool,
    pub(super) trickle: bool,
    pub(super) allow_mixed: bool,
}

impl Offer {
    /// Reads a text. Its size and m-lines are checked against `limits` first.
    pub fn parse(text: &str, limits: &OfferLimits) -> Result<Self, NegotiationError> {
        limits.check(text)?;
        let description =
            SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes())).map_err(NegotiationError::malformed)?;
        let session = Attributes(&description.attributes);
        if session.has("ice-lite") {
            return Err(NegotiationError::IceLite);
        }
        let bundle = Bundle::read(session);
        let sections = description.media_descriptions.iter().enumerate();
        let media = sections.map(|(index, section)| OfferMedia::parse(section, session, &bundle, index));
        let mut media: Vec<OfferMedia> = media.collect::<Result<_, _>>()?;
        check_mids(&media)?;
        let Served { places, grouped } = bundle.served(&media)?;
        let outside = media.iter_mut().enumerate().filter(|(place, _)| !places.contains(place));
        outside.for_each(|(_, line)| line.stop());
        check_mux(&media, &places)?;
        check_across(&media)?;
        let sections = places.iter().map(|place| &description.media_descriptions[*place]);
        let levels: Vec<_> = sections.map(|section| Attributes(&section.attributes)).chain([session]).collect();
        let levels = levels.as_slice();
        Ok(Self {
            ice: ice(levels)?,
            fingerprint: fingerprint(levels)?,
            setup: setup(levels)?,
            grouped,
            trickle: levels.iter().any(|level| level.values("ice-options").any(|value| has_word(value, "trickle"))),
            allow_mixed: session.has("extmap-allow-mixed"),
            media,
        })
    }

    /// The offer of a client that only plays: it sends on no m-line, whatever the offer says (Pion's players offer `sendrecv`).
    pub fn into_receive_only(mut self) -> Self {
        for line in self.media.iter_mut().filter(|line| matches!(line.kind, MediaKind::Audio | MediaKind::Video)) {
            line.direction = if line.direction.receives() { Direction::RecvOnly } else { Direction::Inactive };
        }
        self
    }

    /// The m-lines, in their order.
    pub fn media(&self) -> &[OfferMedia] {
        &self.media
    }

    /// The m-line with this MID, unless it is stopped.
    pub fn find(&self, mid: &Mid) -> Option<&OfferMedia> {
        self.media.iter().find(|media| media.mid == *mid && !media.stopped)
    }

    /// The client's ICE credentials. Other ones than in the offer before are an ICE restart.
    pub fn ice(&self) -> &IceCredentials {
        &self.ice
    }

    /// The client's DTLS certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// Two m-lines may not have one name.
fn check_mids(media: &[OfferMedia]) -> Result<(), NegotiationError> {
    let mut seen = HashSet::new();
    match media.iter().find(|line| !seen.insert(line.mid.as_str())) {
        Some(line) => Err(NegotiationError::MidDuplicate(line.mid)),
        None => Ok(()),
    }
}

fn check_mux(media: &[OfferMedia], served: &[usize]) -> Result<(), NegotiationError> {
    let mut lines = served.iter().map(|place| &media[*place]);
    match lines.find(|line| line.kind != MediaKind::Data) {
        Some(line) if !line.rtcp_mux => Err(NegotiationError::NoRtcpMux),
        _ => Ok(()),
    }
}

/// Bundled m-lines share header extensions' ids and SSRCs: what one means on two of them must be the same (RFC 9143 sections
/// 9.1 and 9.2). A payload type may be two codecs where the packets can be told apart (section 9.1): GStreamer numbers every
/// m-line from 96 on.
fn check_across(media: &[OfferMedia]) -> Result<(), NegotiationError> {
    let mut codecs = HashMap::<u8, (Codec, &OfferMedia)>::new();
    let mut extensions = HashMap::new();
    let mut ssrcs = HashMap::<Ssrc, usize>::new();
    for (index, line) in media.iter().enumerate() {
        // Of what the server sends it says the SSRCs.
        let sent = line.codecs.iter().filter(|_| line.direction.sends());
        for codec in sent {
            let (other, on) = *codecs.entry(codec.payload_type).or_insert((codec.codec, line));
            if other != codec.codec && !(line.is_recognizable() && on.is_recognizable()) {
                return Err(ambiguous(codec.payload_type, [(other, on), (codec.codec, line)]));
            }
        }
        for known in &line.extensions {
            if extensions.insert(known.id, known.extension).is_some_and(|other| other != known.extension) {
                return Err(NegotiationError::contradiction(format!("extension id {} is two extensions", known.id)));
            }
        }
        for ssrc in line.ssrcs.iter().flat_map(|(ssrc, rtx)| [Some(*ssrc), *rtx]).flatten() {
            if ssrcs.insert(ssrc, index).is_some_and(|other| other != index) {
                return Err(NegotiationError::contradiction(format!("SSRC {} is on two m-lines", ssrc.0)));
            }
        }
    }
    Ok(())
}

fn ambiguous(payload_type: u8, uses: [(Codec, &OfferMedia); 2]) -> NegotiationError {
    let [one, other] = uses.map(|(codec, line)| format!("{} on {}", codec.name(), line.title()));
    NegotiationError::contradiction(format!(
        "payload type {payload_type} is {one} and {other}: number them differently, or add a=ssrc or the MID extension"
    ))
}

/// The attribute of the first level that has it.
fn value<'a>(levels: &[Attributes<'a>], name: &str) -> Option<&'a str> {
    levels.iter().find_map(|level| level.value(name))
}

/// Which role is left for the answer; `None`: either. Without `a=setup` the offerer is active (RFC 4145 section 4).
fn setup(levels: &[Attributes<'_>]) -> Result<Option<Setup>, NegotiationError> {
    match value(levels, "setup").unwrap_or("active") {
        "actpass" => Ok(None),
        "active" => Ok(Some(Setup::Passive)),
        "passive" => Ok(Some(Setup::Active)),
        other => Err(NegotiationError::Setup(error::excerpt(&format!("the offer says {other}")))),
    }
}

fn ice(levels: &[Attributes<'_>]) -> Result<IceCredentials, NegotiationError> {
    let (Some(ufrag), Some(password)) = (value(levels, "ice-ufrag"), value(levels, "ice-pwd")) else {
        return Err(NegotiationError::NoIce);
    };
    let ice = IceCredentials { ufrag: ufrag.to_owned(), password: password.to_owned() };
    if !ice.is_valid() {
        return Err(NegotiationError::malformed("a=ice-ufrag or a=ice-pwd has an illegal length or character"));
    }
    Ok(ice)
}

/// The first with SHA-256 on the level that has any.
fn fingerprint(levels: &[Attributes<'_>]) -> Result<Fingerprint, NegotiationError> {
    let level = levels.iter().find(|level| level.has("fingerprint")).ok_or(NegotiationError::NoFingerprint)?;
    let digest = level.values("fingerprint").find_map(|value| {
        let (hash, digest) = value.split_once(' ')?;
        hash.eq_ignore_ascii_case("sha-256").then_some(digest)
    });
    let digest = digest.ok_or(NegotiationError::FingerprintHash)?;
    digest.trim().parse().map_err(|()| NegotiationError::malformed("a=fingerprint"))
}

fn has_word(text: &str, word: &str) -> bool {
    text.split_whitespace().any(|found| found == word)
}
