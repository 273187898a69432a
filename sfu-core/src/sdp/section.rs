//! One m-line of an offer.

use rtc::sdp::description::media::{MediaDescription, MediaName};

use crate::id::{Mid, Rid, Ssrc};

use super::attributes::Attributes;
use super::error::NegotiationError;
use super::extmap::{Extmap, OfferedExtension};
use super::payload::{Formats, NegotiatedCodec};
use super::simulcast::{OfferedRid, Rids, Ssrcs};
use super::value::{Direction, MediaKind};

/// The protocols that we can answer (RFC 8829 section 5.1.2, RFC 8841). An answer has its offer's.
const RTP_PROTOCOLS: [&str; 3] = ["UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF", "RTP/SAVPF"];
const DATA_PROTOCOLS: [&str; 2] = ["UDP/DTLS/SCTP", "TCP/DTLS/SCTP"];
const DATA_FORMAT: &str = "webrtc-datachannel";

/// The largest message that a peer takes which does not say (RFC 8841 section 6.1).
const DEFAULT_MAX_MESSAGE_SIZE: u64 = 65_536;

/// One m-line of an offer: what we understand of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferMedia {
    /// Its name. One that we made up if the m-line is stopped and has none.
    pub mid: Mid,
    /// Audio, video or data.
    pub kind: MediaKind,
    /// From the client's side. `Inactive` if it is stopped.
    pub direction: Direction,
    /// Port 0, and not because of `a=bundle-only`. Nothing else of a stopped m-line was read.
    pub stopped: bool,
    /// Those that we know, in the client's order of preference, whatever a room's policy says of them.
    pub codecs: Vec<NegotiatedCodec>,
    /// Those that we know.
    pub extensions: Vec<OfferedExtension>,
    /// The simulcast encodings that the client sends.
    pub rids: Vec<OfferedRid>,
    /// The SSRCs that are listed, each with that of its retransmissions. Firefox lists some on m-lines that only receive.
    pub ssrcs: Vec<(Ssrc, Option<Ssrc>)>,
    /// For data: the largest message that the client takes in bytes; 0 is no limit.
    pub max_message_size: u64,
    pub(super) rtcp_mux: bool,
    pub(super) wire: MediaWire,
}

/// What an answer repeats of its offer and nobody else needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MediaWire {
    pub(super) protocol: &'static str,
    /// The first payload type: a refused m-line must list one.
    pub(super) format: u8,
    pub(super) named: bool,
    pub(super) reduced_size: bool,
    pub(crate) allow_mixed: bool,
    pub(super) extensions: Vec<OfferedExtension>,
    /// Encodings that stay paused: named without `~`, a browser would take them for wanted and start them.
    pub(super) paused: Vec<Rid>,
}

impl OfferMedia {
    /// Reads the section; `index` is its place in the offer.
    pub(super) fn parse(
        section: &MediaDescription,
        session: Attributes<'_>,
        index: usize,
    ) -> Result<Self, NegotiationError> {
        let attributes = Attributes(&section.attributes);
        let (kind, protocol) = kind_and_protocol(&section.media_name)?;
        let stopped = section.media_name.port.value == 0 && !attributes.has("bundle-only");
        let (mid, named) = mid(attributes, stopped, index)?;
        let mut media = Self {
            mid,
            kind,
            direction: Direction::Inactive,
            stopped,
            codecs: Vec::new(),
            extensions: Vec::new(),
            rids: Vec::new(),
            ssrcs: Vec::new(),
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
            rtcp_mux: attributes.has("rtcp-mux"),
            wire: MediaWire { protocol, named, ..MediaWire::default() },
        };
        match kind {
            MediaKind::Data if !stopped => media.read_data(attributes)?,
            MediaKind::Data => {}
            MediaKind::Audio | MediaKind::Video => media.read_rtp(section, session)?,
        }
        Ok(media)
    }

    fn read_data(&mut self, attributes: Attributes<'_>) -> Result<(), NegotiationError> {
        self.direction = Direction::SendRecv;
        if let Some(size) = attributes.value("max-message-size") {
            self.max_message_size = size.parse().map_err(|_| NegotiationError::malformed("a=max-message-size"))?;
        }
        Ok(())
    }

    fn read_rtp(&mut self, section: &MediaDescription, session: Attributes<'_>) -> Result<(), NegotiationError> {
        let attributes = Attributes(&section.attributes);
        let mut formats = Formats::new(&section.media_name.formats)?;
        self.wire.format = formats.first();
        if self.stopped {
            return Ok(());
        }
        let (mut extmap, mut rids, mut ssrcs) = (Extmap::default(), Rids::default(), Ssrcs::default());
        session.values("extmap").try_for_each(|value| extmap.note(value))?;
        for (name, value) in attributes.iter() {
            match name {
                "rtpmap" => formats.note_rtpmap(value)?,
                "fmtp" => formats.note_fmtp(value)?,
                "rtcp-fb" => formats.note_feedback(value)?,
                "extmap" => extmap.note(value)?,
                "rid" => rids.note_rid(value, self.mid)?,
                "simulcast" => rids.note_simulcast(value)?,
                "ssrc" => ssrcs.note_ssrc(value, self.mid)?,
                "ssrc-group" => ssrcs.note_group(value, self.mid)?,
                _ => {}
            }
        }
        self.direction = direction(attributes)?.or(direction(session)?).unwrap_or(Direction::SendRecv);
        self.codecs = formats.codecs()?;
        self.codecs.retain(|known| MediaKind::from(known.codec.kind()) == self.kind);
        self.extensions = extmap.known;
        self.rids = rids.finish()?;
        self.ssrcs = ssrcs.finish();
        self.wire.reduced_size = attributes.has("rtcp-rsize");
        self.wire.allow_mixed = attributes.has("extmap-allow-mixed");
        Ok(())
    }
}

fn kind_and_protocol(name: &MediaName) -> Result<(MediaKind, &'static str), NegotiationError> {
    let protocol = name.protos.join("/");
    let known = |list: &[&'static str]| list.iter().copied().find(|known| *known == protocol);
    let found = match name.media.as_str() {
        "audio" => known(&RTP_PROTOCOLS).map(|protocol| (MediaKind::Audio, protocol)),
        "video" => known(&RTP_PROTOCOLS).map(|protocol| (MediaKind::Video, protocol)),
        "application" if name.formats == [DATA_FORMAT] => {
            known(&DATA_PROTOCOLS).map(|protocol| (MediaKind::Data, protocol))
        }
        _ => None,
    };
    let shown = || name.to_string().chars().take(80).collect();
    found.ok_or_else(|| NegotiationError::UnsupportedMedia(shown()))
}

/// The section's MID, and whether it is the offer's.
fn mid(attributes: Attributes<'_>, stopped: bool, index: usize) -> Result<(Mid, bool), NegotiationError> {
    let mut values = attributes.values("mid");
    match (values.next(), values.next()) {
        (Some(text), None) => {
            let mid = Mid::new(text).ok_or_else(|| NegotiationError::malformed(format!("mid {text}")))?;
            Ok((mid, true))
        }
        (Some(_), Some(_)) => Err(NegotiationError::contradiction(format!("m-line number {index} has two mids"))),
        (None, _) if stopped => {
            let made_up = Mid::new(&format!("<{}>", index % 10_000));
            Ok((made_up.expect("at most six visible characters"), false))
        }
        (None, _) => Err(NegotiationError::MidMissing(index)),
    }
}

fn direction(attributes: Attributes<'_>) -> Result<Option<Direction>, NegotiationError> {
    let mut found: Option<Direction> = None;
    for direction in attributes.iter().filter_map(|(name, _)| name.parse().ok()) {
        if found.replace(direction).is_some_and(|other| other != direction) {
            return Err(NegotiationError::contradiction(format!("both {direction} and another direction")));
        }
    }
    Ok(found)
}
