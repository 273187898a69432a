//! Session descriptions: a client's offer in, our answer out (RFC 8866, RFC 8829, RFC 9143).
//!
//! The server never offers. [`Offer::parse`] turns text into what we understand of it, or a typed error;
//! [`Negotiator::answer`] decides and keeps what must stay the same across offers; `Display` of [`Answer`] writes it.
//!
//! Invariants: an answer has the offer's m-lines in their order; a failed offer leaves the negotiator as it was;
//! payload types and extension ids of an answer are the offer's.

mod codec;

pub use codec::{Codec, H264Profile};

use std::net::SocketAddr;

use crate::id::{Mid, Rid, Ssrc};
use crate::rtp::ExtensionMap;
use crate::transport::Protocol;

/// What an offer may cost us. Texts over these limits are refused before they are read further.
#[derive(Debug, Clone, Copy)]
pub struct OfferLimits {
    /// Bytes of text.
    pub max_bytes: usize,
    /// Media sections, the stopped ones included.
    pub max_media: usize,
}

/// The kind of an m-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `m=audio`
    Audio,
    /// `m=video`
    Video,
    /// `m=application ... webrtc-datachannel` (RFC 8841)
    Data,
}

/// RFC 8866 section 6.7, seen from whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

/// ICE user fragment and password (RFC 8839 section 5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    pub ufrag: String,
    pub password: String,
}

/// `a=fingerprint` with SHA-256 (RFC 8122).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// An address where we listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub protocol: Protocol,
    pub address: SocketAddr,
}

/// Feedback messages that both sides know (RFC 4585, RFC 5104).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Feedback {
    pub nack: bool,
    pub pli: bool,
    pub fir: bool,
    pub transport_cc: bool,
    pub remb: bool,
}

/// A codec that both sides know, with the offer's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedCodec {
    pub codec: Codec,
    pub payload_type: u8,
    /// The payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    pub feedback: Feedback,
    /// The `a=fmtp` parameters, as the answer gives them.
    pub fmtp: Option<String>,
}

/// What the server sends on an m-line: chosen by the router, fixed for the m-line's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendStream {
    pub ssrc: Ssrc,
    /// For video.
    pub rtx: Option<Ssrc>,
    /// Shared by the lines of a slot, since browsers keep lip sync by it.
    pub cname: String,
    /// The stream's id in `a=msid`, shared by the lines of a slot.
    pub stream_id: String,
}

/// One m-line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerMedia {
    pub mid: Mid,
    pub kind: MediaKind,
    /// From our side. `Inactive` also for m-lines that were refused.
    pub direction: Direction,
    /// False: port 0.
    pub accepted: bool,
    /// In the offer's order of preference. Empty for data.
    pub codecs: Vec<NegotiatedCodec>,
    pub extensions: ExtensionMap,
    /// Simulcast encodings that we receive, in the offer's order.
    pub rids: Vec<Rid>,
    /// The offer's `a=ssrc` lines: each primary SSRC with its FID partner.
    pub ssrcs: Vec<(Ssrc, Option<Ssrc>)>,
    /// What we send, where `direction` says that we do.
    pub send: Option<SendStream>,
}

/// A whole answer; `Display` writes the SDP.
#[derive(Debug, Clone)]
pub struct Answer {
    pub session_id: u64,
    /// Rises by one per answer.
    pub version: u64,
    pub ice: IceCredentials,
    pub fingerprint: Fingerprint,
    pub candidates: Vec<Candidate>,
    pub media: Vec<AnswerMedia>,
}

/// Why an offer cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// Not SDP, or not what WebRTC makes of it.
    #[error("the offer cannot be read: {0}")]
    Malformed(String),
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// A parsed offer.
#[derive(Debug, Clone)]
pub struct Offer {}
