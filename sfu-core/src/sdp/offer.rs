//! A client's offer, read and checked: what one text can say wrong is found here, what depends on earlier offers in
//! [`Negotiator`](super::Negotiator).
//!
//! The lexical part is `rtc::sdp`'s, on a text whose size was checked before. Transport attributes are those of the
//! m-line that the BUNDLE group names first (RFC 9143 section 7.3), or else of the session.

use std::collections::HashMap;
use std::io::Cursor;

use rtc::sdp::description::session::SessionDescription;

use crate::id::{Mid, Ssrc};

use super::attributes::Attributes;
use super::error::NegotiationError;
use super::ice::{Fingerprint, IceCredentials};
use super::limits::OfferLimits;
use super::section::OfferMedia;
use super::value::MediaKind;

/// A parsed offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    ice: IceCredentials,
    fingerprint: Fingerprint,
    media: Vec<OfferMedia>,
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
        let sections = description.media_descriptions.iter().enumerate();
        let media = sections.map(|(index, section)| OfferMedia::parse(section, session, index));
        let media: Vec<OfferMedia> = media.collect::<Result<_, _>>()?;
        let tagged = check_bundle(session, &media)?;
        check_across(&media)?;
        let levels = [Attributes(&description.media_descriptions[tagged].attributes), session];
        check_setup(levels)?;
        Ok(Self {
            ice: ice(levels)?,
            fingerprint: fingerprint(levels)?,
            trickle: levels.iter().any(|level| level.values("ice-options").any(|value| has_word(value, "trickle"))),
            allow_mixed: session.has("extmap-allow-mixed"),
            media,
        })
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

/// Checks that one BUNDLE group has all m-lines that are not stopped, and returns the index of its first such m-line.
fn check_bundle(session: Attributes<'_>, media: &[OfferMedia]) -> Result<usize, NegotiationError> {
    let mut by_mid = HashMap::new();
    for (index, line) in media.iter().enumerate() {
        if by_mid.insert(line.mid.as_str(), index).is_some() {
            return Err(NegotiationError::MidDuplicate(line.mid));
        }
    }
    let live = media.iter().filter(|line| !line.stopped).count();
    if live == 0 {
        return Err(NegotiationError::NoMedia);
    }
    let mut groups = session.values("group").filter_map(|value| value.strip_prefix("BUNDLE"));
    let (Some(group), None) = (groups.next(), groups.next()) else { return Err(NegotiationError::NoBundle) };
    let mut members = Vec::new();
    for mid in group.split_whitespace() {
        // Taken out, so that a MID which is named twice is not found again.
        let index = by_mid.remove(mid).ok_or_else(|| NegotiationError::contradiction(format!("BUNDLE names {mid}")))?;
        members.extend((!media[index].stopped).then_some(index));
    }
    if members.len() != live {
        return Err(NegotiationError::NoBundle);
    }
    let first_rtp = members.iter().map(|index| &media[*index]).find(|line| line.kind != MediaKind::Data);
    if first_rtp.is_some_and(|line| !line.rtcp_mux) {
        return Err(NegotiationError::NoRtcpMux);
    }
    Ok(members[0])
}

/// Bundled m-lines share payload types, header extensions' ids and SSRCs: what one means on two of them must be the same
/// (RFC 9143 sections 9.1 and 9.2).
fn check_across(media: &[OfferMedia]) -> Result<(), NegotiationError> {
    let mut codecs = HashMap::new();
    let mut extensions = HashMap::new();
    let mut ssrcs = HashMap::<Ssrc, usize>::new();
    for (index, line) in media.iter().enumerate() {
        for codec in &line.codecs {
            if codecs.insert(codec.payload_type, codec.codec).is_some_and(|other| other != codec.codec) {
                let number = codec.payload_type;
                return Err(NegotiationError::contradiction(format!("payload type {number} is two codecs")));
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

/// The attribute of the m-line, or of the session.
fn value<'a>(levels: [Attributes<'a>; 2], name: &str) -> Option<&'a str> {
    levels.iter().find_map(|level| level.value(name))
}

/// Without `a=setup` the offerer is active (RFC 4145 section 4).
fn check_setup(levels: [Attributes<'_>; 2]) -> Result<(), NegotiationError> {
    match value(levels, "setup").unwrap_or("active") {
        "actpass" | "active" => Ok(()),
        _ => Err(NegotiationError::SetupPassive),
    }
}

fn ice(levels: [Attributes<'_>; 2]) -> Result<IceCredentials, NegotiationError> {
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
fn fingerprint(levels: [Attributes<'_>; 2]) -> Result<Fingerprint, NegotiationError> {
    let level = levels.into_iter().find(|level| level.has("fingerprint")).ok_or(NegotiationError::NoFingerprint)?;
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
