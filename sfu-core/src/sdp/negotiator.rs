//! Answers a participant's offers, one after the other (RFC 3264 sections 6 and 8, RFC 8829 section 5.3).
//!
//! Invariants: an answer has the offer's m-lines, in their order, with the offer's payload types and ids; what an m-line
//! sends keeps its SSRCs for the m-line's life; an offer that fails leaves the negotiator as it was.

use crate::config::{CodecPolicy, H264Profiles};
use crate::control::MayPublish;
use crate::id::Mid;
use crate::layers::MAX_ENCODINGS;
use crate::rtp::ExtensionMap;

use super::answer::{Answer, AnswerMedia, SendStream};
use super::codec::Codec;
use super::error::NegotiationError;
use super::ice::{Candidate, Fingerprint, IceCredentials};
use super::limits::MAX_CODECS;
use super::offer::Offer;
use super::payload::NegotiatedCodec;
use super::section::{MediaWire, OfferMedia};
use super::value::{Direction, MediaKind, Setup};

/// One participant's side of the negotiation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiator {
    session_id: u64,
    fingerprint: Fingerprint,
    candidates: Vec<Candidate>,
    may_publish: MayPublish,
    version: u64,
    remote: Option<(IceCredentials, Fingerprint)>,
    /// Our DTLS role, since the first answer.
    setup: Option<Setup>,
    /// The m-lines of the last answer.
    lines: Box<[Known]>,
}

/// What the next offer is held against, of an m-line that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    mid: Mid,
    kind: MediaKind,
    accepted: bool,
    codecs: Box<[(u8, Codec)]>,
    extensions: ExtensionMap,
    send: Option<SendStream>,
}

impl Negotiator {
    /// A participant that has offered nothing yet. `session_id` should fit 63 bits (RFC 8829 section 5.2.1).
    pub fn new(session_id: u64, fingerprint: Fingerprint, candidates: Vec<Candidate>) -> Self {
        let may_publish = MayPublish::ALL;
        Self {
            session_id,
            fingerprint,
            candidates,
            may_publish,
            version: 0,
            remote: None,
            setup: None,
            lines: Box::default(),
        }
    }

    /// The same for a participant that may send no other media than this.
    pub const fn with_may_publish(mut self, may_publish: MayPublish) -> Self {
        self.may_publish = may_publish;
        self
    }

    /// Answers an offer. `ice` are our credentials: new ones exactly when [`Self::restarts_ice`].
    ///
    /// `send` chooses what is sent on an m-line that only receives. It is asked once the offer is known to be good, in the
    /// order of m-lines, and not again for an m-line that has a stream; `None` makes the m-line inactive for now.
    pub fn answer(
        &mut self,
        offer: &Offer,
        ice: &IceCredentials,
        policy: &CodecPolicy,
        mut send: impl FnMut(&Mid, MediaKind) -> Option<SendStream>,
    ) -> Result<Answer, NegotiationError> {
        if self.remote.as_ref().is_some_and(|(_, fingerprint)| *fingerprint != offer.fingerprint()) {
            return Err(NegotiationError::FingerprintChanged);
        }
        let setup = self.setup_for(offer)?;
        self.check_order(offer)?;
        let mut media = self.decide(offer, policy)?;
        for line in media.iter_mut().filter(|line| line.direction.sends() && line.kind != MediaKind::Data) {
            line.send = line.send.take().or_else(|| send(&line.mid, line.kind));
            if line.send.is_none() {
                line.direction = Direction::Inactive;
            }
        }
        self.version += 1;
        self.remote = Some((offer.ice().clone(), offer.fingerprint()));
        self.setup = Some(setup);
        self.remember(&media);
        Ok(Answer {
            session_id: self.session_id,
            version: self.version,
            ice: ice.clone(),
            fingerprint: self.fingerprint,
            setup,
            grouped: offer.grouped,
            candidates: self.candidates.clone(),
            media,
            trickle: offer.trickle,
            allow_mixed: offer.allow_mixed,
        })
    }

    /// Whether the offer has other ICE credentials than the one that was answered last. False for the first.
    pub fn restarts_ice(&self, offer: &Offer) -> bool {
        self.remote.as_ref().is_some_and(|(ice, _)| ice != offer.ice())
    }

    /// The DTLS role that we have, or else passive where the offer leaves it open. It stays, since no offer of a session
    /// begins another association (RFC 8842 section 5.5).
    fn setup_for(&self, offer: &Offer) -> Result<Setup, NegotiationError> {
        match (self.setup, offer.setup) {
            (Some(ours), Some(left)) if ours != left => {
                Err(NegotiationError::Setup(format!("the server was {} before", ours.name())))
            }
            (Some(ours), _) => Ok(ours),
            (None, left) => Ok(left.unwrap_or_default()),
        }
    }

    /// M-lines stay where they are; only those that were stopped or refused may become others (RFC 8829 section 5.2.2).
    fn check_order(&self, offer: &Offer) -> Result<(), NegotiationError> {
        for (index, known) in self.lines.iter().enumerate() {
            let offered = offer.media().get(index).ok_or(NegotiationError::MediaOrder(index))?;
            let same = offered.kind == known.kind && (offered.mid == known.mid || !offered.wire.named);
            if known.accepted && !same {
                return Err(NegotiationError::MediaOrder(index));
            }
        }
        Ok(())
    }

    fn decide(&self, offer: &Offer, policy: &CodecPolicy) -> Result<Vec<AnswerMedia>, NegotiationError> {
        let mut has_data = false;
        let mut media = Vec::with_capacity(offer.media().len());
        for (index, offered) in offer.media().iter().enumerate() {
            let known = self.lines.get(index).filter(|known| known.accepted && known.mid == offered.mid);
            let line = match offered.kind {
                _ if offered.stopped => refuse(offered),
                MediaKind::Other => refuse(offered),
                // One association per transport (RFC 8841 section 4).
                MediaKind::Data if std::mem::replace(&mut has_data, true) => refuse(offered),
                MediaKind::Data => AnswerMedia { accepted: true, direction: Direction::SendRecv, ..refuse(offered) },
                MediaKind::Audio => accept(offered, known, policy, self.may_publish.audio),
                MediaKind::Video => accept(offered, known, policy, self.may_publish.video),
            };
            if let Some(known) = known {
                check_numbers(known, &line)?;
            }
            media.push(line);
        }
        let is_media = |kind| matches!(kind, MediaKind::Audio | MediaKind::Video);
        let publishes = offer.media().iter().any(|line| is_media(line.kind) && line.direction.sends());
        let is_useful = media.iter().any(|line| line.accepted && (is_media(line.kind) || !publishes));
        if is_useful { Ok(media) } else { Err(NegotiationError::NothingInCommon(refusals(offer, policy))) }
    }

    /// Keeps the m-lines, with the streams of those that do not send at the moment.
    fn remember(&mut self, media: &[AnswerMedia]) {
        let before = std::mem::replace(&mut self.lines, media.iter().map(Known::from).collect());
        for (line, before) in self.lines.iter_mut().zip(before) {
            if line.accepted && line.mid == before.mid && line.send.is_none() {
                line.send = before.send;
            }
        }
    }
}

impl From<&AnswerMedia> for Known {
    fn from(line: &AnswerMedia) -> Self {
        let AnswerMedia { mid, kind, accepted, extensions, .. } = *line;
        let codecs = line.codecs.iter().map(|codec| (codec.payload_type, codec.codec)).collect();
        Self { mid, kind, accepted, codecs, extensions, send: line.send.clone() }
    }
}

/// Port 0.
fn refuse(offered: &OfferMedia) -> AnswerMedia {
    AnswerMedia {
        mid: offered.mid,
        kind: offered.kind,
        direction: Direction::Inactive,
        accepted: false,
        codecs: Vec::new(),
        extensions: ExtensionMap::default(),
        rids: Vec::new(),
        ssrcs: Vec::new(),
        ssrc_encodings: 0,
        send: None,
        wire: MediaWire { extensions: Vec::new(), ..offered.wire.clone() },
    }
}

/// An audio or video m-line, refused if it has no codec for us. One on which the client may not send is inactive, and not
/// refused: a refused one would be another m-line's place from then on.
fn accept(offered: &OfferMedia, known: Option<&Known>, policy: &CodecPolicy, may_send: bool) -> AnswerMedia {
    let mut line = refuse(offered);
    line.codecs = offered.codecs.iter().filter(|codec| policy.allows(codec.codec)).take(MAX_CODECS).cloned().collect();
    line.codecs.iter_mut().for_each(|codec| codec.is_lenient = policy.h264_profiles == H264Profiles::Lenient);
    line.accepted = !line.codecs.is_empty();
    if !line.accepted {
        return line;
    }
    line.direction = match offered.direction {
        Direction::SendRecv | Direction::SendOnly if may_send => Direction::RecvOnly,
        Direction::SendOnly => Direction::Inactive,
        Direction::RecvOnly | Direction::SendRecv => Direction::SendOnly,
        Direction::Inactive => Direction::Inactive,
    };
    for extension in offered.extensions.iter().filter(|extension| extension.is_useful(line.direction)) {
        line.extensions.set(extension.extension, extension.id);
        line.wire.extensions.push(*extension);
    }
    if line.direction.receives() {
        let rids = || offered.rids.iter().take(MAX_ENCODINGS);
        line.rids = rids().map(|offered| offered.rid).collect();
        line.wire.paused = rids().filter(|offered| offered.paused).map(|offered| offered.rid).collect();
        line.ssrcs = offered.ssrcs.clone();
        line.ssrc_encodings = offered.ssrc_encodings;
    } else if line.direction.sends() {
        line.send = known.and_then(|known| known.send.clone());
    }
    line
}

/// Why no m-line is served: what each offers, and what would be taken.
fn refusals(offer: &Offer, policy: &CodecPolicy) -> String {
    const MAX_NAMED: usize = 4;
    let live = offer.media().iter().filter(|line| !line.stopped && line.kind != MediaKind::Data);
    let named = live.take(MAX_NAMED).map(|line| {
        let taken = policy.names(line.kind).join(", ");
        format!("{} offers {}, and the server takes {taken}", line.title(), line.offered)
    });
    named.collect::<Vec<_>>().join("; ") + " (media.codecs in the server's configuration)"
}

/// A payload type or an id that was answered keeps its meaning (RFC 3264 section 8.3.2, RFC 8285 section 6).
fn check_numbers(known: &Known, line: &AnswerMedia) -> Result<(), NegotiationError> {
    let changed = |codec: &&NegotiatedCodec| {
        known.codecs.iter().any(|(number, old)| *number == codec.payload_type && *old != codec.codec)
    };
    if let Some(codec) = line.codecs.iter().find(changed) {
        let number = codec.payload_type;
        return Err(NegotiationError::contradiction(format!("payload type {number} was another codec before")));
    }
    let moved =
        |(extension, id): &(_, u8)| known.extensions.iter().any(|(old, old_id)| old_id == *id && old != *extension);
    match line.extensions.iter().find(moved) {
        Some((_, id)) => {
            Err(NegotiationError::contradiction(format!("the header extension id {id} was another extension before")))
        }
        None => Ok(()),
    }
}

impl CodecPolicy {
    /// Whether rooms may use this codec. Opus always.
    pub const fn allows(&self, codec: Codec) -> bool {
        match codec {
            Codec::Opus => true,
            Codec::Vp8 => self.vp8,
            Codec::Vp9 => self.vp9,
            Codec::H264(_) => self.h264,
            Codec::Av1 => self.av1,
        }
    }

    /// The encoding names of the codecs of a kind that rooms may use.
    fn names(&self, kind: MediaKind) -> Vec<&'static str> {
        if kind == MediaKind::Audio {
            return vec!["opus"];
        }
        let all = [(self.vp8, "VP8"), (self.vp9, "VP9"), (self.h264, "H264"), (self.av1, "AV1")];
        all.into_iter().filter(|(allowed, _)| *allowed).map(|(_, name)| name).collect()
    }
}
