//! What an offer may cost. What is answered of it is what the router takes: each number is written once, here or in
//! [`layers`](crate::layers).

use super::NegotiationError;

/// The most media sections that a participant may have, whatever is configured: a layout names its slots in a byte, and the
/// sets of streams that the router walks stay small.
pub const MAX_MEDIA: usize = 255;

/// Codecs of an m-line that are answered, in the offer's order. Chromium 156 offers twelve that we know.
pub const MAX_CODECS: usize = 16;

/// What an offer may cost us. Texts over these limits are refused before they are read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferLimits {
    /// Bytes of text.
    pub max_bytes: usize,
    /// Media sections, the stopped ones included. More than [`MAX_MEDIA`] are never read.
    pub max_media: usize,
}

impl Default for OfferLimits {
    /// Chromium 156 writes 2.9 kB per video m-line; with 23 m-lines an offer has 66 kB.
    fn default() -> Self {
        Self { max_bytes: 256 * 1024, max_media: 64 }
    }
}

/// The most RIDs of one m-line that are read. Of these the first [`MAX_ENCODINGS`](crate::layers::MAX_ENCODINGS) are answered.
pub(super) const MAX_RIDS: usize = 6;

/// The most SSRCs of one m-line. Firefox lists six: three encodings and their retransmissions.
pub(super) const MAX_SSRCS: usize = 24;

impl OfferLimits {
    /// Checks what can be checked before the text is parsed: its size, its m-lines, and that it has no control
    /// characters which could end a line of the answer early when a value is echoed.
    pub(super) fn check(&self, text: &str) -> Result<(), NegotiationError> {
        if text.len() > self.max_bytes {
            return Err(NegotiationError::TooLarge { bytes: text.len(), limit: self.max_bytes });
        }
        let media = text.lines().filter(|line| line.starts_with("m=")).count();
        let limit = self.max_media.min(MAX_MEDIA);
        if media > limit {
            return Err(NegotiationError::TooManyMedia { media, limit });
        }
        let bare = text.replace("\r\n", "");
        if bare.chars().any(|char| char.is_control() && char != '\n' && char != '\t') {
            return Err(NegotiationError::malformed("control characters"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oversized_offers_are_refused_unread() {
        let limits = OfferLimits { max_bytes: 20, max_media: 1 };
        assert_eq!(limits.check(&"x".repeat(21)), Err(NegotiationError::TooLarge { bytes: 21, limit: 20 }));
        assert_eq!(limits.check("m=a\r\nm=b"), Err(NegotiationError::TooManyMedia { media: 2, limit: 1 }));
        assert_eq!(limits.check("m=a\r\nm: b\n"), Ok(()));
        let limits = OfferLimits { max_media: 100_000, ..OfferLimits::default() };
        let refused = Err(NegotiationError::TooManyMedia { media: 256, limit: MAX_MEDIA });
        assert_eq!(limits.check(&"m=a\n".repeat(256)), refused, "whatever is configured");
    }

    #[test]
    fn a_lone_carriage_return_cannot_be_smuggled_into_an_answer() {
        let limits = OfferLimits::default();
        assert_eq!(limits.check("a=b\rc\r\n").unwrap_err().code(), "sdp_malformed");
        assert_eq!(limits.check("a=b\0\r\n").unwrap_err().code(), "sdp_malformed");
    }
}
