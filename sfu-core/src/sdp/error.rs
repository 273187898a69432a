//! Why an offer is refused. Every variant has a stable code, which signalling hands to clients as it is.

use crate::id::Mid;

/// Why an offer cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// Not SDP, or not what WebRTC makes of it.
    #[error("the offer cannot be read: {0}")]
    Malformed(String),
    /// More bytes than [`OfferLimits::max_bytes`](super::OfferLimits::max_bytes).
    #[error("the offer has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// The offer's size.
        bytes: usize,
        /// The most that is read.
        limit: usize,
    },
    /// More m-lines than [`OfferLimits::max_media`](super::OfferLimits::max_media).
    #[error("the offer has {media} m-lines, more than {limit}")]
    TooManyMedia {
        /// The offer's m-lines.
        media: usize,
        /// The most that are read.
        limit: usize,
    },
    /// More encodings or SSRCs on one m-line than any browser has.
    #[error("m-line {0} has too many encodings or SSRCs")]
    TooManyStreams(Mid),
    /// No m-line is live.
    #[error("the offer has no m-line that is not stopped")]
    NoMedia,
    /// No m-line is live but those of a kind or protocol that is not WebRTC's.
    #[error(
        "m-lines of the form {0} are not supported: offer audio or video over UDP/TLS/RTP/SAVPF, or a data channel over UDP/DTLS/SCTP"
    )]
    UnsupportedMedia(String),
    /// Every m-line would be refused, or every one that sends or receives media.
    #[error("no m-line can be served: {0}")]
    NothingInCommon(String),
    /// One transport carries everything (RFC 9143).
    #[error(
        "the m-lines are in no BUNDLE group: set the client's bundle policy to max-bundle, so that a=group:BUNDLE names the m-lines"
    )]
    NoBundle,
    /// RTP and RTCP share a port (RFC 5761).
    #[error(
        "a=rtcp-mux is missing on the first audio or video m-line: set the client's RTCP multiplexing policy to require"
    )]
    NoRtcpMux,
    /// No ICE user fragment or password.
    #[error("a=ice-ufrag or a=ice-pwd is missing")]
    NoIce,
    /// The server is a lite agent, which needs a full one as its peer (RFC 8445 section 2.5).
    #[error("the offer is of an ICE-lite agent, and so is the server")]
    IceLite,
    /// No DTLS fingerprint.
    #[error("a=fingerprint is missing")]
    NoFingerprint,
    /// Fingerprints, but none with SHA-256.
    #[error("no a=fingerprint has the hash function sha-256")]
    FingerprintHash,
    /// A later offer has another certificate than the first.
    #[error("the DTLS fingerprint changed within the session")]
    FingerprintChanged,
    /// Nobody would open the DTLS connection, or the other side than so far (RFC 8842 section 5.5).
    #[error("a=setup must be actpass, active or passive, and keep the roles of the session: {0}")]
    Setup(String),
    /// A live m-line has no MID.
    #[error("m-line number {0} has no a=mid")]
    MidMissing(usize),
    /// Two m-lines have the same MID.
    #[error("two m-lines have the mid {0}")]
    MidDuplicate(Mid),
    /// A later offer dropped, reordered or changed m-lines (RFC 3264 section 8).
    #[error("m-line number {0} is not the one of the previous offer")]
    MediaOrder(usize),
    /// The offer says two things that exclude each other.
    #[error("the offer contradicts itself: {0}")]
    Contradiction(String),
}

impl NegotiationError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "sdp_malformed",
            Self::TooLarge { .. } => "sdp_too_large",
            Self::TooManyMedia { .. } => "sdp_too_many_media",
            Self::TooManyStreams(_) => "sdp_too_many_streams",
            Self::NoMedia => "sdp_no_media",
            Self::UnsupportedMedia(_) => "sdp_unsupported_media",
            Self::NothingInCommon(_) => "sdp_nothing_in_common",
            Self::NoBundle => "sdp_no_bundle",
            Self::NoRtcpMux => "sdp_no_rtcp_mux",
            Self::NoIce => "sdp_no_ice",
            Self::IceLite => "sdp_ice_lite",
            Self::NoFingerprint => "sdp_no_fingerprint",
            Self::FingerprintHash => "sdp_fingerprint_hash",
            Self::FingerprintChanged => "sdp_fingerprint_changed",
            Self::Setup(_) => "sdp_setup",
            Self::MidMissing(_) => "sdp_mid_missing",
            Self::MidDuplicate(_) => "sdp_mid_duplicate",
            Self::MediaOrder(_) => "sdp_media_order",
            Self::Contradiction(_) => "sdp_contradiction",
        }
    }

    pub(super) fn malformed(what: impl std::fmt::Display) -> Self {
        Self::Malformed(excerpt(&what.to_string()))
    }

    pub(super) fn contradiction(what: impl std::fmt::Display) -> Self {
        Self::Contradiction(excerpt(&what.to_string()))
    }
}

/// The beginning of a text of the peer's, for an error message that goes back to it.
pub(super) fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 120;
    text.chars().filter(|char| !char.is_control()).take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_do_not_carry_whole_offers() {
        let NegotiationError::Malformed(text) = NegotiationError::malformed("é\r\n".repeat(10_000)) else {
            unreachable!()
        };
        assert_eq!(text, "é".repeat(120));
    }
}
