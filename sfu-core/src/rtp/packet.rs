//! A view of one RTP packet (RFC 3550 section 5.1, RFC 8285 section 4).

use crate::id::Ssrc;

const FIXED_HEADER: usize = 12;

/// Why bytes are no RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtpError {
    /// The header does not fit into the bytes.
    #[error("the packet is shorter than its header")]
    Truncated,
    /// The version is not 2.
    #[error("the version is {0}, not 2")]
    Version(u8),
    /// The last byte counts no padding, or more than follows the header.
    #[error("the padding count {0} is wrong")]
    Padding(u8),
}

/// The length of the header with CSRCs and extension, which is all that can be read of an encrypted packet.
pub fn header_len(data: &[u8]) -> Result<usize, RtpError> {
    let first = *data.first().ok_or(RtpError::Truncated)?;
    if first >> 6 != 2 {
        return Err(RtpError::Version(first >> 6));
    }
    let mut len = FIXED_HEADER + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let words = data.get(len + 2..len + 4).ok_or(RtpError::Truncated)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    if data.len() < len { Err(RtpError::Truncated) } else { Ok(len) }
}

/// A packet that was checked once: every accessor reads within bounds.
#[derive(Debug, Clone, Copy)]
pub struct RtpPacket<'a> {
    /// Fixed header, CSRCs and extension.
    header: &'a [u8],
    payload: &'a [u8],
    padding: u8,
}

impl<'a> RtpPacket<'a> {
    /// Reads a decrypted packet.
    pub fn parse(data: &'a [u8]) -> Result<Self, RtpError> {
        let (header, body) = data.split_at(header_len(data)?);
        let padding = if header[0] & 0x20 == 0 { 0 } else { body.last().copied().ok_or(RtpError::Padding(0))? };
        if header[0] & 0x20 != 0 && padding == 0 {
            return Err(RtpError::Padding(0));
        }
        let end = body.len().checked_sub(usize::from(padding)).ok_or(RtpError::Padding(padding))?;
        Ok(Self { header, payload: &body[..end], padding })
    }

    /// The marker bit.
    pub fn marker(&self) -> bool {
        self.header[1] & 0x80 != 0
    }

    /// The payload type, 0 to 127.
    pub fn payload_type(&self) -> u8 {
        self.header[1] & 0x7f
    }

    /// The sequence number as it travels.
    pub fn sequence_number(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// The media timestamp, in ticks of the codec's clock.
    pub fn timestamp(&self) -> u32 {
        self.word(4)
    }

    /// The sender's synchronization source.
    pub fn ssrc(&self) -> Ssrc {
        Ssrc(self.word(8))
    }

    /// The contributing sources.
    pub fn csrcs(&self) -> impl Iterator<Item = u32> + use<'a> {
        let words = &self.header[FIXED_HEADER..FIXED_HEADER + self.csrc_len()];
        words.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
    }

    /// The elements of the header extension in their order. Ends early where an element is cut short.
    pub fn extensions(&self) -> Extensions<'a> {
        let (profile, bytes) = self.raw_extensions();
        Extensions::of(profile, bytes)
    }

    /// The header extension as it came: what is "defined by profile", and what follows its length. Zero and nothing if
    /// there is none.
    pub fn raw_extensions(&self) -> (u16, &'a [u8]) {
        if self.header[0] & 0x10 == 0 {
            return (0, &[]);
        }
        let at = FIXED_HEADER + self.csrc_len();
        (u16::from_be_bytes([self.header[at], self.header[at + 1]]), &self.header[at + 4..])
    }

    /// The first element with this id.
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find_map(|(found, value)| (found == id).then_some(value))
    }

    /// The header's length in bytes, CSRCs and extension included.
    pub fn header_len(&self) -> usize {
        self.header.len()
    }

    /// What follows the header, without the padding.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Bytes of padding at the end, the count itself included.
    pub fn padding_len(&self) -> usize {
        usize::from(self.padding)
    }

    fn csrc_len(&self) -> usize {
        4 * usize::from(self.header[0] & 0x0f)
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.header[at], self.header[at + 1], self.header[at + 2], self.header[at + 3]])
    }
}

/// The elements of a header extension, in the one-byte or the two-byte form.
#[derive(Debug, Clone)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    two_byte: bool,
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let element = self.element();
        if element.is_none() {
            self.rest = &[];
        }
        element
    }
}

impl<'a> Extensions<'a> {
    /// The elements of a raw header extension; none if `profile` is of neither form.
    pub const fn of(profile: u16, bytes: &'a [u8]) -> Self {
        let two_byte = profile & 0xfff0 == 0x1000;
        let known = two_byte || profile == 0xbede;
        Self { rest: if known { bytes } else { &[] }, two_byte }
    }

    fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let padding = self.rest.iter().take_while(|&&byte| byte == 0).count();
        let element = &self.rest[padding..];
        let (id, start, len) = if self.two_byte {
            (*element.first()?, 2, usize::from(*element.get(1)?))
        } else {
            let head = *element.first()?;
            (head >> 4, 1, usize::from(head & 0x0f) + 1)
        };
        // In the one-byte form id 15 ends the list, and id 0 with a length is not padding but an error.
        if !self.two_byte && (id == 15 || id == 0) {
            return None;
        }
        let value = element.get(start..start + len)?;
        self.rest = &element[start + len..];
        Some((id, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// V=2, P, X, two CSRCs, marker, payload type 96, one-byte extensions 1 = [0xaa] and 2 = [1, 2, 3] around padding.
    const ONE_BYTE: &[u8] = &[
        0xb2, 0xe0, 0x12, 0x34, 0, 0, 0, 1, 0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 7, 0, 0, 0, 8, // header and CSRCs
        0xbe, 0xde, 0, 2, 0x10, 0xaa, 0, 0x22, 1, 2, 3, 0, // extension
        9, 8, 7, 0, 0, 3, // payload and padding
    ];

    #[test]
    fn all_fields_of_the_header_are_read() {
        let packet = RtpPacket::parse(ONE_BYTE).unwrap();
        assert!(packet.marker());
        assert_eq!(packet.payload_type(), 96);
        assert_eq!(packet.sequence_number(), 0x1234);
        assert_eq!(packet.timestamp(), 1);
        assert_eq!(packet.ssrc(), Ssrc(0xcafe_babe));
        assert_eq!(packet.csrcs().collect::<Vec<_>>(), [7, 8]);
        assert_eq!(packet.header_len(), 32);
        assert_eq!(packet.payload(), [9, 8, 7]);
        assert_eq!(packet.padding_len(), 3);
        assert_eq!(packet.extension(2), Some(&[1, 2, 3][..]));
        assert_eq!(packet.extensions().map(|(id, _)| id).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn two_byte_elements_may_be_empty() {
        let data =
            [&[0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x05, 0, 2][..], &[16, 0, 0, 15, 2, 5, 6, 0]].concat();
        let packet = RtpPacket::parse(&data).unwrap();
        assert_eq!(packet.extensions().collect::<Vec<_>>(), [(16, &[][..]), (15, &[5, 6][..])]);
    }

    #[test]
    fn extensions_end_at_what_cannot_be_read() {
        let list = |form: [u8; 2], elements: [u8; 4]| {
            let data = [&[0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &form, &[0, 1], &elements].concat();
            let packet = RtpPacket::parse(&data).unwrap();
            packet.extensions().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(list([0xbe, 0xde], [0x10, 1, 0xf0, 0x10]), [1], "id 15 ends the list");
        assert_eq!(list([0xbe, 0xde], [0x10, 1, 0x05, 0x10]), [1], "id 0 with a length ends the list");
        assert_eq!(list([0xbe, 0xde], [0x10, 1, 0x23, 0]), [1], "the second element is cut short");
        assert_eq!(list([0x10, 0x00], [1, 1, 9, 2]), [1], "the second element has no length");
        assert_eq!(list([0x12, 0x34], [0x10, 1, 0x20, 1]), [], "another profile");
    }

    #[test]
    fn wrong_packets_are_named() {
        assert_eq!(RtpPacket::parse(&[]).unwrap_err(), RtpError::Truncated);
        assert_eq!(RtpPacket::parse(&ONE_BYTE[..31]).unwrap_err(), RtpError::Truncated);
        assert_eq!(RtpPacket::parse(&[0x40; 12]).unwrap_err(), RtpError::Version(1));
        assert_eq!(RtpPacket::parse(&ONE_BYTE[..32]).unwrap_err(), RtpError::Padding(0));
        let mut padded = ONE_BYTE.to_vec();
        *padded.last_mut().unwrap() = 7;
        assert_eq!(RtpPacket::parse(&padded).unwrap_err(), RtpError::Padding(7));
        *padded.last_mut().unwrap() = 0;
        assert_eq!(RtpPacket::parse(&padded).unwrap_err(), RtpError::Padding(0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_bounds(
            first in prop_oneof![Just(0x90u8), Just(0xb3), any::<u8>()],
            form in prop_oneof![Just([0xbe, 0xde]), Just([0x10, 0]), any::<[u8; 2]>()],
            words in 0u8..5,
            rest in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let head = [&[first, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..], &form, &[0, words]].concat();
            for data in [[head, rest.clone()].concat(), rest] {
                if let Ok(packet) = RtpPacket::parse(&data) {
                    prop_assert_eq!(packet.header_len() + packet.payload().len() + packet.padding_len(), data.len());
                    let held: usize = packet.extensions().map(|(_, value)| 1 + value.len()).sum();
                    prop_assert!(held <= packet.header_len());
                    packet.csrcs().count();
                }
            }
        }
    }
}
