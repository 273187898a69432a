//! STUN messages (RFC 8489), as much as an ICE-lite agent reads and writes (RFC 8445).
//!
//! [`Message::parse`] walks the attributes once, borrows and allocates nothing, and is total. An attribute that
//! stands after MESSAGE-INTEGRITY is ignored but for FINGERPRINT (RFC 8489 section 14.5), so that nothing
//! unauthenticated is ever believed.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;
use smallvec::SmallVec;

const HEADER: usize = 20;
const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const FINGERPRINT_XOR: u32 = 0x5354_554e;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802a;

/// The 96 bits that pair a response with its request.
pub type TransactionId = [u8; 12];

/// The message types of ICE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Binding request: a check.
    Request = 0x0001,
    /// Binding indication: a keepalive.
    Indication = 0x0011,
    /// Binding success response.
    Success = 0x0101,
    /// Binding error response.
    Error = 0x0111,
}

/// Why bytes are no STUN message for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StunError {
    /// Not STUN, or its lengths contradict each other.
    #[error("malformed STUN message")]
    Malformed,
    /// A method that is not Binding.
    #[error("not a STUN binding message")]
    Method,
}

/// A parsed message.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    kind: Kind,
    username: Option<&'a str>,
    use_candidate: bool,
    controlling: bool,
    controlled: bool,
    has_priority: bool,
    unknown_required: Option<u16>,
    mapped: Option<&'a [u8]>,
    error: Option<u16>,
    /// Where MESSAGE-INTEGRITY stands.
    integrity: Option<usize>,
    /// Where FINGERPRINT stands, as the last attribute.
    fingerprint: Option<usize>,
}

impl<'a> Message<'a> {
    /// Reads a whole datagram.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, StunError> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(StunError::Malformed)?;
        let length = usize::from(u16_at(header, 2));
        if header[0] >> 6 != 0 || header[4..8] != MAGIC || length % 4 != 0 || HEADER + length != bytes.len() {
            return Err(StunError::Malformed);
        }
        let kind = match u16_at(header, 0) {
            0x0001 => Kind::Request,
            0x0011 => Kind::Indication,
            0x0101 => Kind::Success,
            0x0111 => Kind::Error,
            _ => return Err(StunError::Method),
        };
        let mut message = Self {
            bytes,
            kind,
            username: None,
            use_candidate: false,
            controlling: false,
            controlled: false,
            has_priority: false,
            unknown_required: None,
            mapped: None,
            error: None,
            integrity: None,
            fingerprint: None,
        };
        message.read_attributes()?;
        Ok(message)
    }

    fn read_attributes(&mut self) -> Result<(), StunError> {
        let mut at = HEADER;
        while at < self.bytes.len() {
            let head = self.bytes.get(at..at + 4).ok_or(StunError::Malformed)?;
            let (kind, length) = (u16_at(head, 0), usize::from(u16_at(head, 2)));
            let value = self.bytes.get(at + 4..at + 4 + length).ok_or(StunError::Malformed)?;
            // A fingerprint is the last attribute.
            if self.fingerprint.is_some() {
                return Err(StunError::Malformed);
            }
            self.read_attribute(at, kind, value)?;
            at += 4 + length.next_multiple_of(4);
        }
        Ok(())
    }

    fn read_attribute(&mut self, at: usize, kind: u16, value: &'a [u8]) -> Result<(), StunError> {
        match kind {
            FINGERPRINT if value.len() == 4 => self.fingerprint = Some(at),
            FINGERPRINT => return Err(StunError::Malformed),
            _ if self.integrity.is_some() => {}
            MESSAGE_INTEGRITY if value.len() == 20 => self.integrity = Some(at),
            MESSAGE_INTEGRITY => return Err(StunError::Malformed),
            USERNAME => {
                let text = std::str::from_utf8(value).map_err(|_| StunError::Malformed)?;
                self.username = self.username.or(Some(text));
            }
            // A request may carry both, for servers that know one (RFC 8489 section 9.1.2).
            MESSAGE_INTEGRITY_SHA256 => {}
            USE_CANDIDATE => self.use_candidate = true,
            PRIORITY => self.has_priority = true,
            ICE_CONTROLLING => self.controlling = true,
            ICE_CONTROLLED => self.controlled = true,
            XOR_MAPPED_ADDRESS => self.mapped = self.mapped.or(Some(value)),
            ERROR_CODE => {
                let code = value.get(2..4).ok_or(StunError::Malformed)?;
                self.error = Some(u16::from(code[0] & 7) * 100 + u16::from(code[1]));
            }
            _ if kind < 0x8000 => self.unknown_required = self.unknown_required.or(Some(kind)),
            _ => {}
        }
        Ok(())
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its transaction.
    pub fn transaction(&self) -> TransactionId {
        let id = self.bytes[8..].first_chunk();
        *id.expect("parse checked the header")
    }

    /// USERNAME.
    pub fn username(&self) -> Option<&'a str> {
        self.username
    }

    /// USE-CANDIDATE: the controlling agent nominates this pair.
    pub fn use_candidate(&self) -> bool {
        self.use_candidate
    }

    /// ICE-CONTROLLED: the sender believes that we control.
    pub fn is_controlled(&self) -> bool {
        self.controlled
    }

    /// ICE-CONTROLLING: the sender controls.
    pub fn is_controlling(&self) -> bool {
        self.controlling
    }

    /// PRIORITY, which every check has.
    pub fn has_priority(&self) -> bool {
        self.has_priority
    }

    /// The first comprehension-required attribute that we do not know (RFC 8489 section 6.3.1).
    pub fn unknown_required(&self) -> Option<u16> {
        self.unknown_required
    }

    /// ERROR-CODE.
    pub fn error_code(&self) -> Option<u16> {
        self.error
    }

    /// XOR-MAPPED-ADDRESS.
    pub fn mapped_address(&self) -> Option<SocketAddr> {
        let value = self.mapped?;
        let port = u16_at(value.get(..4)?, 2) ^ 0x2112;
        let address = &value[4..];
        let ip = match (value[1], address.len()) {
            (1, 4) => IpAddr::from(unmask::<4>(address, self.bytes)),
            (2, 16) => IpAddr::from(unmask::<16>(address, self.bytes)),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    /// Whether MESSAGE-INTEGRITY is there and was made with this key, compared in constant time.
    pub fn is_authentic(&self, key: &hmac::Key) -> bool {
        let Some(at) = self.integrity else { return false };
        let mut header = [0; HEADER];
        header.copy_from_slice(&self.bytes[..HEADER]);
        // The length is what it was when the attribute had just been written.
        header[2..4].copy_from_slice(&((at + 24 - HEADER) as u16).to_be_bytes());
        let mut signer = hmac::Context::with_key(key);
        signer.update(&header);
        signer.update(&self.bytes[HEADER..at]);
        let expected = signer.sign();
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), &self.bytes[at + 4..at + 24]).is_ok()
    }

    /// Whether FINGERPRINT is there and right.
    pub fn has_valid_fingerprint(&self) -> bool {
        let Some(at) = self.fingerprint else { return false };
        let value = self.bytes[at + 4..at + 8].first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        value == Some(crc32(&self.bytes[..at]) ^ FINGERPRINT_XOR)
    }
}

/// An outgoing message; small enough to stand on the stack.
pub type Bytes = SmallVec<[u8; 128]>;

/// The HMAC-SHA1 key of a short-term credential (RFC 8489 section 9.1.1).
pub fn key(password: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes())
}

/// Writes a message attribute by attribute.
#[derive(Debug)]
pub struct Writer {
    bytes: Bytes,
}

impl Writer {
    /// A message without attributes.
    pub fn new(kind: Kind, transaction: &TransactionId) -> Self {
        let mut bytes = Bytes::new();
        bytes.extend_from_slice(&(kind as u16).to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(transaction);
        Self { bytes }
    }

    /// XOR-MAPPED-ADDRESS.
    pub fn mapped_address(mut self, address: SocketAddr) -> Self {
        let mut value = SmallVec::<[u8; 20]>::new();
        value.extend_from_slice(&[0, if address.is_ipv4() { 1 } else { 2 }]);
        value.extend_from_slice(&(address.port() ^ 0x2112).to_be_bytes());
        match address.ip() {
            IpAddr::V4(ip) => value.extend_from_slice(&unmask::<4>(&ip.octets(), &self.bytes)),
            IpAddr::V6(ip) => value.extend_from_slice(&unmask::<16>(&ip.octets(), &self.bytes)),
        }
        self.attribute(XOR_MAPPED_ADDRESS, &value);
        self
    }

    /// ERROR-CODE with its reason phrase.
    pub fn error_code(mut self, code: u16, reason: &str) -> Self {
        let mut value = SmallVec::<[u8; 32]>::new();
        value.extend_from_slice(&[0, 0, (code / 100) as u8, (code % 100) as u8]);
        value.extend_from_slice(reason.as_bytes());
        self.attribute(ERROR_CODE, &value);
        self
    }

    /// MESSAGE-INTEGRITY and FINGERPRINT, which end the message.
    pub fn finish(mut self, key: &hmac::Key) -> Bytes {
        self.set_length(24);
        let tag = hmac::sign(key, &self.bytes);
        self.attribute(MESSAGE_INTEGRITY, tag.as_ref());
        self.set_length(8);
        let sum = crc32(&self.bytes) ^ FINGERPRINT_XOR;
        self.attribute(FINGERPRINT, &sum.to_be_bytes());
        self.bytes
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.set_length(0);
    }

    /// The length that the header says, counting `more` bytes that are still to come.
    fn set_length(&mut self, more: usize) {
        let length = (self.bytes.len() - HEADER + more) as u16;
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
    }
}

/// What only a full agent writes.
#[cfg(any(test, feature = "test-support"))]
impl Writer {
    /// The attributes of a check (RFC 8445 section 7.1).
    pub fn check(mut self, username: &str, controlling: bool, use_candidate: bool) -> Self {
        self.attribute(USERNAME, username.as_bytes());
        self.attribute(PRIORITY, &0x6e7f_00ffu32.to_be_bytes());
        self.attribute(if controlling { ICE_CONTROLLING } else { ICE_CONTROLLED }, &[7; 8]);
        if use_candidate {
            self.attribute(USE_CANDIDATE, &[]);
        }
        self
    }

    /// Attributes as bytes, right or wrong; those that the length field cannot count are left out.
    pub fn raw(mut self, attributes: &[u8]) -> Self {
        self.bytes.extend_from_slice(&attributes[..attributes.len().min(60_000)]);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.set_length(0);
        self
    }
}

/// Applies or removes the mask of XOR-MAPPED-ADDRESS: the cookie and transaction of the message.
fn unmask<const N: usize>(address: &[u8], message: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().zip(address.iter().zip(&message[4..])).for_each(|(byte, (value, mask))| *byte = value ^ mask);
    bytes
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// CRC-32 as of ITU V.42, which FINGERPRINT uses.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| CRC_TABLE[usize::from(sum as u8 ^ byte)] ^ (sum >> 8))
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests;
