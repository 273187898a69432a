//! Typed identifiers.
//!
//! Public ids are a prefix and 96 random bits in lower-case hexadecimal (`PA_0123456789abcdef01234567`): unguessable
//! enough to be handed to clients, short enough to read, and 12 bytes on the wire of a data channel.
//! Identifiers of the wire formats ([`Ssrc`], [`Mid`], [`Rid`]) keep the names that RFC 3550, RFC 9143 and RFC 8852 give them.

use std::fmt;
use std::str::FromStr;

use arrayvec::ArrayString;
use rand::Rng;

/// Why a text is no identifier of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {prefix}_ followed by 24 lower-case hexadecimal digits")]
pub struct ParseIdError {
    prefix: &'static str,
}

macro_rules! public_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 12]);

        impl $name {
            /// The text before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Draws a fresh identifier from `rng`, which must be cryptographically strong outside tests.
            pub fn random(rng: &mut impl Rng) -> Self {
                let mut bits = [0; 12];
                rng.fill_bytes(&mut bits);
                Self(bits)
            }

            /// The identifier with these 96 bits, as data envelopes carry it.
            pub const fn from_bytes(bits: [u8; 12]) -> Self {
                Self(bits)
            }

            /// The 96 bits, without the prefix.
            pub const fn as_bytes(&self) -> &[u8; 12] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_bits(text, $prefix).map(Self).ok_or(ParseIdError { prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

public_id!(
    /// One incarnation of a room; its name is another thing and may be used again after the room closed.
    RoomId, "RM"
);
public_id!(
    /// One participant, from join to leave, across reconnects.
    ParticipantId, "PA"
);
public_id!(
    /// One published track.
    TrackId, "TR"
);
public_id!(
    /// One signalling session, which a resume continues.
    SessionId, "SE"
);
public_id!(
    /// One server process.
    NodeId, "ND"
);

impl TrackId {
    /// The first 32 bits, which forwarded packets carry as their CSRC (RFC 3550 section 5.1).
    pub const fn csrc(&self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

fn parse_bits(text: &str, prefix: &str) -> Option<[u8; 12]> {
    let digits = text.strip_prefix(prefix)?.strip_prefix('_')?.as_bytes();
    let mut bits = [0; 12];
    if digits.len() != 2 * bits.len() {
        return None;
    }
    for (byte, pair) in bits.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (hex_digit(pair[0])? << 4) | hex_digit(pair[1])?;
    }
    Some(bits)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// A synchronization source (RFC 3550 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ssrc(pub u32);

/// A media identification tag (RFC 9143): the token that names an m-line, at most 16 bytes here.
pub type Mid = Token;

/// A restriction identifier (RFC 8851): the token that names a simulcast encoding, at most 16 bytes here.
pub type Rid = Token;

/// A short token of SDP that is also sent in header extensions. Both browsers use at most 16 bytes, the most that the
/// one-byte header extension form can carry (RFC 8285 section 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(ArrayString<16>);

impl Token {
    /// The token with this text, or `None` if it is empty, longer than 16 bytes, or has a byte that is not visible ASCII.
    pub fn new(text: &str) -> Option<Self> {
        let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        ArrayString::from(text).ok().filter(|_| visible).map(Self)
    }

    /// The same from bytes of a header extension.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok().and_then(Self::new)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_survive_their_text(bits: [u8; 12]) {
            let id = TrackId::from_bytes(bits);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn ids_of_another_kind_are_refused() {
        let room = RoomId::from_bytes([0xab; 12]).to_string();
        assert!(room.parse::<ParticipantId>().is_err());
        assert!(room.to_uppercase().parse::<RoomId>().is_err());
        assert!(room[..room.len() - 1].parse::<RoomId>().is_err());
    }

    #[test]
    fn tokens_are_short_and_visible() {
        assert_eq!(Token::new("0").unwrap().as_str(), "0");
        assert!(Token::new("").is_none());
        assert!(Token::new("seventeen-letters").is_none());
        assert!(Token::from_bytes(b"a b").is_none());
    }
}
