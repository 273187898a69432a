//! The header extensions that Madang knows, and their ids on one m-line (RFC 8285).

/// A header extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extension {
    /// The m-line's MID.
    Mid,
    /// The encoding's RID.
    Rid,
    /// The RID of the encoding that a retransmission belongs to.
    RepairedRid,
    /// RFC 6464.
    AudioLevel,
    /// The transport-wide sequence number.
    TransportCc,
    /// The absolute send time.
    AbsSendTime,
    /// The absolute capture time.
    AbsCaptureTime,
    /// The AV1 dependency descriptor.
    DependencyDescriptor,
    /// Coordination of video orientation.
    VideoOrientation,
    /// The limits of the playout delay.
    PlayoutDelay,
}

const URIS: [(Extension, &str); 10] = [
    (Extension::Mid, "urn:ietf:params:rtp-hdrext:sdes:mid"),
    (Extension::Rid, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
    (Extension::RepairedRid, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
    (Extension::AudioLevel, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    (Extension::TransportCc, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"),
    (Extension::AbsSendTime, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
    (Extension::AbsCaptureTime, "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"),
    (
        Extension::DependencyDescriptor,
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    ),
    (Extension::VideoOrientation, "urn:3gpp:video-orientation"),
    (Extension::PlayoutDelay, "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"),
];

impl Extension {
    /// The URI in `a=extmap`.
    pub fn uri(self) -> &'static str {
        URIS[self as usize].1
    }

    /// The extension with this URI.
    pub fn from_uri(uri: &str) -> Option<Self> {
        URIS.iter().find(|(_, known)| *known == uri).map(|(extension, _)| *extension)
    }
}

/// The header extensions' ids of one m-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtensionMap([u8; 10]);

impl ExtensionMap {
    /// Gives an extension its id.
    pub fn set(&mut self, extension: Extension, id: u8) {
        self.0[extension as usize] = id;
    }

    /// The id of an extension.
    pub fn id(&self, extension: Extension) -> Option<u8> {
        Some(self.0[extension as usize]).filter(|id| *id != 0)
    }

    /// The extensions that have an id.
    pub fn iter(&self) -> impl Iterator<Item = (Extension, u8)> + '_ {
        URIS.iter().filter_map(|(extension, _)| Some((*extension, self.id(*extension)?)))
    }
}
