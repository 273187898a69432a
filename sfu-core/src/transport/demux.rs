//! What a datagram is, by its first bytes (RFC 7983, RFC 5761), before anything is known of its sender.

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A STUN message (RFC 8489).
    Stun,
    /// A DTLS record.
    Dtls,
    /// An SRTP packet.
    Rtp,
    /// An SRTCP packet.
    Rtcp,
    /// Nothing that we know.
    Unknown,
}

/// Sorts a datagram. Total: nothing is read beyond what is there.
pub fn classify(datagram: &[u8]) -> Class {
    match (datagram.first(), datagram.get(1)) {
        (Some(0..=3), _) => Class::Stun,
        (Some(20..=63), _) => Class::Dtls,
        // RFC 5761 section 4: RTCP packet types, as an RTP header would show them with the marker bit.
        (Some(128..=191), Some(192..=223)) => Class::Rtcp,
        (Some(128..=191), Some(_)) => Class::Rtp,
        _ => Class::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_decide() {
        assert_eq!(classify(&[0, 1]), Class::Stun);
        assert_eq!(classify(&[22, 254]), Class::Dtls);
        assert_eq!(classify(&[0x80, 111]), Class::Rtp);
        assert_eq!(classify(&[0x90, 0x80 | 96]), Class::Rtp);
        assert_eq!(classify(&[0x80, 200]), Class::Rtcp);
        assert_eq!(classify(&[0x81, 206]), Class::Rtcp);
        for unknown in [&[][..], &[0x80], &[4, 0], &[19], &[64], &[127, 1], &[192, 0], &[255, 255]] {
            assert_eq!(classify(unknown), Class::Unknown);
        }
    }
}
