//! What a worker handed to its engine last, for the line that reports a panic: its kind, its length and the first bytes of
//! its header. Neither payload nor address nor key is kept.

use std::fmt;

use crate::transport::{self, Class};

/// The fixed header of RTP (RFC 3550), nearly all of a DTLS record's, more than half of STUN's.
const HEADER: usize = 12;

/// What was handed to the engine.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Last {
    /// Nothing yet, or nothing since the last wait.
    #[default]
    Nothing,
    /// A datagram, or a frame of a TCP connection.
    Datagram { len: usize, header: [u8; HEADER] },
    /// A command, by its name.
    Command(&'static str),
    /// A batch of so many packets of another worker.
    Relay(usize),
    /// A notice of another worker.
    Notice,
    /// The time, because something was due.
    Timeout,
    /// The end of a TCP connection.
    PathClosed,
}

impl Last {
    pub(super) fn datagram(data: &[u8]) -> Self {
        let mut header = [0; HEADER];
        let len = data.len().min(HEADER);
        header[..len].copy_from_slice(&data[..len]);
        Self::Datagram { len: data.len(), header }
    }
}

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Datagram { len, header } => {
                let header = &header[..(*len).min(HEADER)];
                let kind = match transport::classify(header) {
                    Class::Stun => "STUN",
                    Class::Dtls => "DTLS",
                    Class::Rtp => "SRTP",
                    Class::Rtcp => "SRTCP",
                    Class::Unknown => "unknown",
                };
                write!(f, "{kind} datagram of {len} bytes that begins with ")?;
                header.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Command(name) => write!(f, "command {name}"),
            Self::Relay(packets) => write!(f, "{packets} packets of another worker"),
            Self::Notice => f.write_str("notice of another worker"),
            Self::Timeout => f.write_str("timeout"),
            Self::PathClosed => f.write_str("end of a TCP connection"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_holds_the_header_and_nothing_of_the_payload() {
        let rtp = [&[0x80, 0x60, 0, 7, 0, 0, 0, 9, 1, 2, 3, 4][..], b"payload"].concat();
        let expected = "SRTP datagram of 19 bytes that begins with 806000070000000901020304";
        assert_eq!(Last::datagram(&rtp).to_string(), expected);
        assert_eq!(Last::datagram(&[22]).to_string(), "DTLS datagram of 1 bytes that begins with 16");
        assert_eq!(Last::datagram(&[]).to_string(), "unknown datagram of 0 bytes that begins with ");
        assert_eq!(Last::Command("Join").to_string(), "command Join");
    }
}
