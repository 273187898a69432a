//! The data channel establishment protocol (RFC 8832): one message opens a channel, one acknowledges it.

/// DATA_CHANNEL_ACK, which is this byte alone.
pub(super) const ACK: [u8; 1] = [2];
const OPEN: u8 = 3;
const UNORDERED: u8 = 0x80;
const HEADER: usize = 12;

/// How hard a channel tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reliability {
    Reliable,
    Retransmissions(u32),
    /// In milliseconds.
    Lifetime(u32),
}

/// DATA_CHANNEL_OPEN (RFC 8832 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open<'a> {
    pub(super) label: &'a [u8],
    pub(super) unordered: bool,
    pub(super) reliability: Reliability,
}

impl<'a> Open<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = message.first_chunk().filter(|header| header[0] == OPEN)?;
        let parameter = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let label_len = usize::from(u16::from_be_bytes([header[8], header[9]]));
        let protocol_len = usize::from(u16::from_be_bytes([header[10], header[11]]));
        let label = message.get(HEADER..HEADER + label_len)?;
        if message.len() != HEADER + label_len + protocol_len {
            return None;
        }
        let reliability = match header[1] & !UNORDERED {
            0 => Reliability::Reliable,
            1 => Reliability::Retransmissions(parameter),
            2 => Reliability::Lifetime(parameter),
            _ => return None,
        };
        Some(Self { label, unordered: header[1] & UNORDERED != 0, reliability })
    }

    #[cfg(any(test, feature = "test-support"))]
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (kind, parameter) = match self.reliability {
            Reliability::Reliable => (0, 0),
            Reliability::Retransmissions(count) => (1, count),
            Reliability::Lifetime(milliseconds) => (2, milliseconds),
        };
        let mut bytes = vec![OPEN, kind | if self.unordered { UNORDERED } else { 0 }, 1, 0];
        bytes.extend(parameter.to_be_bytes());
        bytes.extend((self.label.len() as u16).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.label);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(label: Vec<u8>, unordered: bool, kind in 0..3, parameter: u32) {
            let reliability = match kind {
                0 => Reliability::Reliable,
                1 => Reliability::Retransmissions(parameter),
                _ => Reliability::Lifetime(parameter),
            };
            let open = Open { label: &label, unordered, reliability };
            let bytes = open.to_bytes();
            prop_assert_eq!(Open::parse(&bytes), Some(open));
        }

        #[test]
        fn parsing_is_total(mut message: Vec<u8>) {
            let _ = Open::parse(&message);
            message.insert(0, OPEN);
            let _ = Open::parse(&message);
        }
    }
}
