//! The small values that offers and answers share: kinds, directions, feedback, setup roles.

use std::fmt;
use std::str::FromStr;

use crate::control::TrackKind;

/// The kind of an m-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `m=audio`
    Audio,
    /// `m=video`
    Video,
    /// `m=application ... webrtc-datachannel` (RFC 8841)
    Data,
    /// Any other, which every answer refuses: text, BFCP, SCTP as it was before RFC 8841.
    Other,
}

impl From<TrackKind> for MediaKind {
    fn from(kind: TrackKind) -> Self {
        match kind {
            TrackKind::Audio => Self::Audio,
            TrackKind::Video => Self::Video,
        }
    }
}

/// Which side opens the DTLS connection (RFC 8842 section 5): `a=setup` of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Setup {
    /// The answerer does: it is the DTLS client.
    Active,
    /// The offerer does.
    #[default]
    Passive,
}

impl Setup {
    /// The attribute's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

/// RFC 8866 section 6.7, seen from whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Sends and receives.
    SendRecv,
    /// Sends.
    SendOnly,
    /// Receives.
    RecvOnly,
    /// Does neither.
    Inactive,
}

impl Direction {
    /// Whether the writer sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same, seen from the other side.
    pub const fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            same => same,
        }
    }

    /// The attribute's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

impl FromStr for Direction {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];
        all.into_iter().find(|direction| direction.name() == text).ok_or(())
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Feedback messages that both sides know (RFC 4585, RFC 5104).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Feedback {
    /// `nack`: generic NACK.
    pub nack: bool,
    /// `nack pli`: picture loss indication.
    pub pli: bool,
    /// `ccm fir`: full intra request.
    pub fir: bool,
    /// `transport-cc`: transport-wide congestion control.
    pub transport_cc: bool,
    /// `goog-remb`: receiver estimated maximum bitrate.
    pub remb: bool,
}

impl Feedback {
    /// Notes one `a=rtcp-fb` value, without its payload type. What is not known is ignored.
    pub(super) fn note(&mut self, value: &str) {
        let mut words = value.split_whitespace();
        match (words.next(), words.next()) {
            (Some("nack"), None) => self.nack = true,
            (Some("nack"), Some("pli")) => self.pli = true,
            (Some("ccm"), Some("fir")) => self.fir = true,
            (Some("transport-cc"), None) => self.transport_cc = true,
            (Some("goog-remb"), None) => self.remb = true,
            _ => {}
        }
    }

    /// What makes sense for audio.
    pub(super) const fn for_audio(self) -> Self {
        Self { nack: self.nack, transport_cc: self.transport_cc, pli: false, fir: false, remb: false }
    }

    /// Both together.
    pub(super) const fn or(self, other: Self) -> Self {
        Self {
            nack: self.nack || other.nack,
            pli: self.pli || other.pli,
            fir: self.fir || other.fir,
            transport_cc: self.transport_cc || other.transport_cc,
            remb: self.remb || other.remb,
        }
    }

    /// The `a=rtcp-fb` values.
    pub(super) fn values(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.remb, "goog-remb"),
            (self.transport_cc, "transport-cc"),
            (self.fir, "ccm fir"),
            (self.nack, "nack"),
            (self.pli, "nack pli"),
        ];
        all.into_iter().filter(|(known, _)| *known).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_survives_its_text() {
        let all = Feedback { nack: true, pli: true, fir: true, transport_cc: true, remb: true };
        let mut read = Feedback::default();
        all.values().for_each(|value| read.note(value));
        assert_eq!(read, all);
        let mut none = Feedback::default();
        ["nack rpsi", "ccm tmmbr", "trr-int 100", "", "transport-cc x"].iter().for_each(|value| none.note(value));
        assert_eq!(none, Feedback::default());
    }
}
