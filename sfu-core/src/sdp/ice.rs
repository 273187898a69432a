//! What connects the two sides: ICE credentials, candidates, the DTLS certificate's fingerprint.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::transport::Protocol;

/// ICE user fragment and password (RFC 8839 section 5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// 4 to 256 ice-chars.
    pub ufrag: String,
    /// 22 to 256 ice-chars. Never shown by `Debug`.
    pub password: String,
}

impl IceCredentials {
    /// Whether both have the length and the characters of RFC 8839 section 5.4.
    pub(super) fn is_valid(&self) -> bool {
        let ice_chars = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
        (4..=256).contains(&self.ufrag.len())
            && (22..=256).contains(&self.password.len())
            && ice_chars(&self.ufrag)
            && ice_chars(&self.password)
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// `a=fingerprint` with SHA-256 (RFC 8122).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl FromStr for Fingerprint {
    type Err = ();

    /// Reads 32 pairs of hexadecimal digits with colons between them.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 32];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(pair.ok_or(())?, 16).map_err(drop)?;
        }
        pairs.next().is_none().then_some(Self(bytes)).ok_or(())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// An address where we listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// UDP, or passive TCP (RFC 6544).
    pub protocol: Protocol,
    /// As the client reaches it.
    pub address: SocketAddr,
}

impl Candidate {
    /// The value of its `a=candidate` line; `index` is its place in the list, which makes foundation and priority differ.
    pub(super) fn line(&self, index: usize) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        let (foundation, priority) = (index + 1, self.priority(index));
        match self.protocol {
            Protocol::Udp => format!("{foundation} 1 udp {priority} {ip} {port} typ host"),
            Protocol::Tcp => format!("{foundation} 1 tcp {priority} {ip} {port} typ host tcptype passive"),
        }
    }

    /// RFC 8445 section 5.1.2.1. TCP has a lower type preference, so that any UDP address comes first (RFC 6544 section 4.2).
    fn priority(&self, index: usize) -> u32 {
        let type_preference = match self.protocol {
            Protocol::Udp => 126,
            Protocol::Tcp => 90,
        };
        let local_preference = u32::from(u16::MAX) - index.min(usize::from(u16::MAX)) as u32;
        (type_preference << 24) + (local_preference << 8) + 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_survive_their_text() {
        let fingerprint = Fingerprint(std::array::from_fn(|index| index as u8 * 7));
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!(fingerprint.to_string().to_lowercase().parse(), Ok(fingerprint));
    }

    #[test]
    fn fingerprints_of_another_form_are_refused() {
        let text = Fingerprint([0xab; 32]).to_string();
        for wrong in [&text[3..], &format!("{text}:00"), &text.replacen("AB", "+B", 1), ""] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn udp_comes_before_tcp_whatever_the_order() {
        let candidate = |protocol| Candidate { protocol, address: "192.0.2.1:7881".parse().unwrap() };
        assert!(candidate(Protocol::Udp).priority(9) > candidate(Protocol::Tcp).priority(0));
        assert_eq!(candidate(Protocol::Tcp).line(1), "2 1 tcp 1526726399 192.0.2.1 7881 typ host tcptype passive",);
    }

    #[test]
    fn passwords_are_not_shown() {
        let ice = IceCredentials { ufrag: "abcd".into(), password: "s".repeat(24) };
        assert!(ice.is_valid());
        assert!(!format!("{ice:?}").contains("sss"));
        assert!(!IceCredentials { ufrag: "ab:d".into(), ..ice }.is_valid());
    }
}
