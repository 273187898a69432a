//! An answer, and its text (RFC 8829 section 5.3).
//!
//! Every accepted m-line repeats the transport's attributes, although BUNDLE asks for them only once: some WHIP clients
//! look for them on each. Candidates are on the first accepted one.

use std::fmt;

use crate::id::{Mid, Rid, Ssrc};
use crate::rtp::ExtensionMap;

use super::codec::Codec;
use super::ice::{Candidate, Fingerprint, IceCredentials};
use super::payload::NegotiatedCodec;
use super::section::MediaWire;
use super::value::{Direction, MediaKind, Setup};

/// Where SCTP is said to listen; every WebRTC endpoint says 5000.
const SCTP_PORT: u16 = 5000;

/// The largest message on a data channel, in bytes.
pub const MAX_MESSAGE_SIZE: usize = 65_536;

/// What the server sends on an m-line: chosen by the router, fixed for the m-line's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendStream {
    /// Of the media.
    pub ssrc: Ssrc,
    /// Of retransmissions, for video.
    pub rtx: Option<Ssrc>,
    /// Shared by the lines of a slot, since browsers keep lip sync by it.
    pub cname: String,
    /// The stream's id in `a=msid`, shared by the lines of a slot.
    pub stream_id: String,
}

/// One m-line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerMedia {
    /// The offer's.
    pub mid: Mid,
    /// The offer's.
    pub kind: MediaKind,
    /// From our side. `Inactive` also for m-lines that were refused.
    pub direction: Direction,
    /// False: port 0.
    pub accepted: bool,
    /// In the offer's order of preference. Empty for data.
    pub codecs: Vec<NegotiatedCodec>,
    /// The ids of the offer, of those that either side may use in this direction.
    pub extensions: ExtensionMap,
    /// Simulcast encodings that we receive, in the offer's order.
    pub rids: Vec<Rid>,
    /// The offer's `a=ssrc` lines: each primary SSRC with its FID partner. Empty unless the client sends.
    pub ssrcs: Vec<(Ssrc, Option<Ssrc>)>,
    /// How many of `ssrcs`, from the first on, are the encodings of a simulcast without RIDs.
    pub ssrc_encodings: usize,
    /// What we send, where `direction` says that we do.
    pub send: Option<SendStream>,
    /// What the text repeats of the offer.
    pub wire: MediaWire,
}

/// A whole answer; `Display` writes the SDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of `o=`, the same for the participant's life.
    pub session_id: u64,
    /// Rises by one per answer.
    pub version: u64,
    /// Ours.
    pub ice: IceCredentials,
    /// Of our certificate.
    pub fingerprint: Fingerprint,
    /// Our DTLS role, the same for the participant's life.
    pub setup: Setup,
    /// Whether the offer has a BUNDLE group: the answer has one then.
    pub grouped: bool,
    /// Where we listen.
    pub candidates: Vec<Candidate>,
    /// The offer's m-lines, in their order.
    pub media: Vec<AnswerMedia>,
    /// Whether the offer had `a=ice-options:trickle`.
    pub trickle: bool,
    /// Whether the offer had `a=extmap-allow-mixed` for the whole session.
    pub allow_mixed: bool,
}

impl Answer {
    /// The m-line with this MID, unless it was refused or stopped.
    pub fn find(&self, mid: &Mid) -> Option<&AnswerMedia> {
        self.media.iter().find(|media| media.mid == *mid && media.accepted)
    }
}

impl AnswerMedia {
    /// The codec by which a stream of `stream` can be sent to this client.
    pub fn codec_for(&self, stream: Codec) -> Option<&NegotiatedCodec> {
        stream.best_of(&self.codecs, |known| (known.codec, known.is_lenient))
    }
}

/// A line of SDP.
macro_rules! line {
    ($f:expr, $($text:tt)*) => {{
        write!($f, $($text)*)?;
        $f.write_str("\r\n")
    }};
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line!(f, "v=0")?;
        line!(f, "o=- {} {} IN IP4 0.0.0.0", self.session_id, self.version)?;
        line!(f, "s=-")?;
        line!(f, "t=0 0")?;
        line!(f, "a=ice-lite")?;
        if self.allow_mixed {
            line!(f, "a=extmap-allow-mixed")?;
        }
        line!(f, "a=msid-semantic: WMS *")?;
        if self.grouped {
            f.write_str("a=group:BUNDLE")?;
            for media in self.media.iter().filter(|media| media.accepted) {
                write!(f, " {}", media.mid)?;
            }
            f.write_str("\r\n")?;
        }
        let tagged = self.media.iter().position(|media| media.accepted);
        for (index, media) in self.media.iter().enumerate() {
            media.write_head(f)?;
            if media.accepted {
                self.write_transport(f, tagged == Some(index))?;
                media.write_body(f)?;
            }
        }
        Ok(())
    }
}

impl Answer {
    fn write_transport(&self, f: &mut fmt::Formatter<'_>, with_candidates: bool) -> fmt::Result {
        line!(f, "a=ice-ufrag:{}", self.ice.ufrag)?;
        line!(f, "a=ice-pwd:{}", self.ice.password)?;
        if self.trickle {
            line!(f, "a=ice-options:trickle")?;
        }
        line!(f, "a=fingerprint:sha-256 {}", self.fingerprint)?;
        line!(f, "a=setup:{}", self.setup.name())?;
        if with_candidates {
            for (index, candidate) in self.candidates.iter().enumerate() {
                line!(f, "a=candidate:{}", candidate.line(index))?;
            }
            line!(f, "a=end-of-candidates")?;
        }
        Ok(())
    }
}

impl AnswerMedia {
    /// `m=`, `c=`, the MID and the direction: all that a refused m-line has.
    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = if self.accepted { 9 } else { 0 };
        write!(f, "m={} {port} {}", self.wire.media, self.wire.protocol)?;
        match self.kind {
            MediaKind::Audio | MediaKind::Video if self.accepted => self.write_formats(f)?,
            _ => write!(f, " {}", self.wire.format)?,
        }
        f.write_str("\r\n")?;
        line!(f, "c=IN IP4 0.0.0.0")?;
        if self.wire.named {
            line!(f, "a=mid:{}", self.mid)?;
        }
        match self.kind {
            MediaKind::Data if self.accepted => Ok(()),
            MediaKind::Other => Ok(()),
            _ => line!(f, "a={}", self.direction),
        }
    }

    fn write_formats(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for codec in &self.codecs {
            let red = |preferred| codec.red.filter(|red| red.preferred == preferred).map(|red| red.payload_type);
            for format in red(true).into_iter().chain([codec.payload_type]).chain(red(false)) {
                write!(f, " {format}")?;
            }
            if let Some(rtx) = codec.rtx {
                write!(f, " {rtx}")?;
            }
        }
        Ok(())
    }

    fn write_body(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == MediaKind::Data {
            line!(f, "a=sctp-port:{SCTP_PORT}")?;
            return line!(f, "a=max-message-size:{MAX_MESSAGE_SIZE}");
        }
        line!(f, "a=rtcp-mux")?;
        if self.wire.reduced_size {
            line!(f, "a=rtcp-rsize")?;
        }
        if self.wire.allow_mixed {
            line!(f, "a=extmap-allow-mixed")?;
        }
        for offered in &self.wire.extensions {
            match offered.direction {
                Some(theirs) => line!(f, "a=extmap:{}/{} {}", offered.id, theirs.reversed(), offered.extension.uri())?,
                None => line!(f, "a=extmap:{} {}", offered.id, offered.extension.uri())?,
            }
        }
        self.codecs.iter().try_for_each(|codec| codec.write(f))?;
        self.write_rids(f)?;
        self.write_send(f)
    }

    fn write_rids(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rid in &self.rids {
            line!(f, "a=rid:{rid} recv")?;
        }
        if self.rids.len() < 2 {
            return Ok(());
        }
        f.write_str("a=simulcast:recv ")?;
        for (index, rid) in self.rids.iter().enumerate() {
            let separator = if index == 0 { "" } else { ";" };
            let pause = if self.wire.paused.contains(rid) { "~" } else { "" };
            write!(f, "{separator}{pause}{rid}")?;
        }
        f.write_str("\r\n")
    }

    fn write_send(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(SendStream { ssrc, rtx, cname, stream_id }) = &self.send else { return Ok(()) };
        line!(f, "a=msid:{stream_id} {}", self.mid)?;
        if let Some(rtx) = rtx {
            line!(f, "a=ssrc-group:FID {} {}", ssrc.0, rtx.0)?;
        }
        for ssrc in std::iter::once(ssrc).chain(rtx) {
            line!(f, "a=ssrc:{} cname:{cname}", ssrc.0)?;
        }
        Ok(())
    }
}

impl NegotiatedCodec {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { codec, payload_type, rtx, red, feedback, fmtp, is_lenient: _ } = self;
        let channels = if *codec == Codec::Opus { "/2" } else { "" };
        line!(f, "a=rtpmap:{payload_type} {}/{}{channels}", codec.name(), codec.clock_rate())?;
        for value in feedback.values() {
            line!(f, "a=rtcp-fb:{payload_type} {value}")?;
        }
        if let Some(fmtp) = fmtp {
            line!(f, "a=fmtp:{payload_type} {fmtp}")?;
        }
        if let Some(red) = red.map(|red| red.payload_type) {
            line!(f, "a=rtpmap:{red} red/{}{channels}", codec.clock_rate())?;
            line!(f, "a=fmtp:{red} {payload_type}/{payload_type}")?;
        }
        if let Some(rtx) = rtx {
            line!(f, "a=rtpmap:{rtx} rtx/{}", codec.clock_rate())?;
            line!(f, "a=fmtp:{rtx} apt={payload_type}")?;
        }
        Ok(())
    }
}
