//! What an offer may cost.

use super::NegotiationError;

/// What an offer may cost us. Texts over these limits are refused before they are read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferLimits {
    /// Bytes of text.
    pub max_bytes: usize,
    /// Media sections, the stopped ones included.
    pub max_media: usize,
}

impl Default for OfferLimits {
    /// Chromium 156 writes 2.9 kB per video m-line; with 23 m-lines an offer has 66 kB.
    fn default() -> Self {
        Self { max_bytes: 256 * 1024, max_media: 64 }
    }
}

/// The most encodings of one m-line. Browsers send three.
pub(super) const MAX_ENCODINGS: usize = 6;

/// The most SSRCs of one m-line. Firefox lists six: three encodings and their retransmissions.
pub(super) const MAX_SSRCS: usize = 4 * MAX_ENCODINGS;

impl OfferLimits {
    /// Checks what can be checked before the text is parsed: its size, its m-lines, and that it has no control
    /// characters which could end a line of the answer early when a value is echoed.
    pub(super) fn check(&self, text: &str) -> Result<(), NegotiationError> {
        if text.len() > self.max_bytes {
            return Err(NegotiationError::TooLarge { bytes: text.len(), limit: self.max_bytes });
        }
        let media = text.lines().filter(|line| line.starts_with("m=")).count();
        if media > self.max_media {
            return Err(NegotiationError::TooManyMedia { media, limit: self.max_media });
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
    }

    #[test]
    fn a_lone_carriage_return_cannot_be_smuggled_into_an_answer() {
        let limits = OfferLimits::default();
        assert_eq!(limits.check("a=b\rc\r\n").unwrap_err().code(), "sdp_malformed");
        assert_eq!(limits.check("a=b\0\r\n").unwrap_err().code(), "sdp_malformed");
    }
}
