//! One m-line of an offer.

use std::fmt;

use rtc::sdp::description::media::{MediaDescription, MediaName};

use crate::id::{Mid, Rid, Ssrc};
use crate::rtp::Extension;

use super::attributes::Attributes;
use super::bundle::Bundle;
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
    /// Its name. One that we made up if the m-line has none.
    pub mid: Mid,
    /// Audio, video, data or none of these.
    pub kind: MediaKind,
    /// From the client's side. `Inactive` if it is stopped.
    pub direction: Direction,
    /// The answer refuses it whatever it offers: the client stopped it (port 0, without `a=bundle-only` and named by no BUNDLE
    /// group), it is not of WebRTC, or it is outside of the BUNDLE group. Nothing else of a stopped m-line was kept.
    pub stopped: bool,
    /// Those that we know, in the client's order of preference, whatever a room's policy says of them.
    pub codecs: Vec<NegotiatedCodec>,
    /// Those that we know.
    pub extensions: Vec<OfferedExtension>,
    /// The simulcast encodings that the client sends.
    pub rids: Vec<OfferedRid>,
    /// The SSRCs that are listed, each with that of its retransmissions. Firefox lists some on m-lines that only receive.
    pub ssrcs: Vec<(Ssrc, Option<Ssrc>)>,
    /// How many of `ssrcs`, from the first on, are the encodings of a simulcast without RIDs (`a=ssrc-group:SIM`).
    pub ssrc_encodings: usize,
    /// For data: the largest message that the client takes in bytes; 0 is no limit.
    pub max_message_size: u64,
    pub(super) rtcp_mux: bool,
    /// Whether its media and protocol are WebRTC's.
    pub(super) supported: bool,
    /// What it offers, for an error message.
    pub(super) offered: String,
    pub(super) wire: MediaWire,
}

/// What an answer repeats of its offer and nobody else needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MediaWire {
    pub(super) media: String,
    pub(super) protocol: String,
    /// The first format: a refused m-line must list one.
    pub(super) format: String,
    pub(super) named: bool,
    pub(super) reduced_size: bool,
    pub(crate) allow_mixed: bool,
    pub(super) extensions: Vec<OfferedExtension>,
    /// Encodings that stay paused: named without `~`, a browser would take them for wanted and start them.
    pub(super) paused: Vec<Rid>,
}

impl MediaWire {
    fn new(name: &MediaName, named: bool) -> Self {
        let format = name.formats.first().cloned().unwrap_or_default();
        Self { media: name.media.clone(), protocol: name.protos.join("/"), format, named, ..Self::default() }
    }
}

/// The beginning of the m-line without its port.
impl fmt::Display for MediaWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = format!("{} {} {}", self.media, self.protocol, self.format).chars().take(80).collect();
        f.write_str(&text)
    }
}

impl OfferMedia {
    /// Reads the section; `index` is its place in the offer.
    pub(super) fn parse(
        section: &MediaDescription,
        session: Attributes<'_>,
        bundle: &Bundle<'_>,
        index: usize,
    ) -> Result<Self, NegotiationError> {
        let attributes = Attributes(&section.attributes);
        let (mid, named) = mid(attributes, index)?;
        let wire = MediaWire::new(&section.media_name, named);
        let (kind, supported) = kind(&wire, &section.media_name.formats);
        let bundled = || attributes.has("bundle-only") || (named && bundle.names(mid.as_str()));
        let stopped = !supported || (section.media_name.port.value == 0 && !bundled());
        let mut media = Self {
            mid,
            kind,
            direction: Direction::Inactive,
            stopped,
            supported,
            offered: String::new(),
            codecs: Vec::new(),
            extensions: Vec::new(),
            rids: Vec::new(),
            ssrcs: Vec::new(),
            ssrc_encodings: 0,
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
            rtcp_mux: attributes.has("rtcp-mux") || attributes.has("rtcp-mux-only"),
            wire,
        };
        match kind {
            _ if stopped => {}
            MediaKind::Audio | MediaKind::Video => media.read_rtp(section, session)?,
            MediaKind::Data | MediaKind::Other => media.read_data(attributes)?,
        }
        Ok(media)
    }

    /// Forgets what the m-line offers: the answer refuses it.
    pub(super) fn stop(&mut self) {
        let (mid, wire) = (self.mid, std::mem::take(&mut self.wire));
        let wire = MediaWire { extensions: Vec::new(), paused: Vec::new(), ..wire };
        *self = Self {
            mid,
            kind: self.kind,
            direction: Direction::Inactive,
            stopped: true,
            codecs: Vec::new(),
            extensions: Vec::new(),
            rids: Vec::new(),
            ssrcs: Vec::new(),
            ssrc_encodings: 0,
            max_message_size: self.max_message_size,
            rtcp_mux: self.rtcp_mux,
            supported: self.supported,
            offered: String::new(),
            wire,
        };
    }

    /// Whether packets of this m-line can be told from those of another with the same payload types.
    pub(super) fn is_recognizable(&self) -> bool {
        !self.ssrcs.is_empty() || self.extensions.iter().any(|known| known.extension == Extension::Mid)
    }

    /// The m-line in an error message.
    pub(super) fn title(&self) -> String {
        format!("{} (mid {})", self.wire.media, self.mid)
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
        self.offered = formats.names();
        self.codecs = formats.codecs()?;
        self.codecs.retain(|known| MediaKind::from(known.codec.kind()) == self.kind);
        self.extensions = extmap.known;
        self.rids = rids.finish()?;
        (self.ssrcs, self.ssrc_encodings) = ssrcs.finish();
        self.wire.reduced_size = attributes.has("rtcp-rsize");
        self.wire.allow_mixed = attributes.has("extmap-allow-mixed");
        Ok(())
    }
}

/// What an m-line is, and whether it can be served at all.
fn kind(wire: &MediaWire, formats: &[String]) -> (MediaKind, bool) {
    let is_rtp = RTP_PROTOCOLS.contains(&wire.protocol.as_str());
    match wire.media.as_str() {
        "audio" => (MediaKind::Audio, is_rtp),
        "video" => (MediaKind::Video, is_rtp),
        "application" if formats == [DATA_FORMAT] => {
            (MediaKind::Data, DATA_PROTOCOLS.contains(&wire.protocol.as_str()))
        }
        _ => (MediaKind::Other, false),
    }
}

/// The section's MID, and whether it is the offer's.
fn mid(attributes: Attributes<'_>, index: usize) -> Result<(Mid, bool), NegotiationError> {
    let mut values = attributes.values("mid");
    let Some(text) = values.next() else {
        let made_up = Mid::new(&format!("<{}>", index % 10_000));
        return Ok((made_up.expect("at most six visible characters"), false));
    };
    if values.any(|other| other != text) {
        return Err(NegotiationError::contradiction(format!("m-line number {index} has two mids")));
    }
    let mid = Mid::new(text).ok_or_else(|| NegotiationError::malformed(format!("mid {text}")))?;
    Ok((mid, true))
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
