//! The header extensions that Madang understands, and their ids on an m-line (RFC 8285 section 5).

/// A header extension, named by the URI of its `a=extmap` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extension {
    /// The m-line's tag (RFC 9143 section 15).
    Mid,
    /// The simulcast encoding's id (RFC 8852).
    Rid,
    /// The id of the encoding that an RTX stream repairs (RFC 8852).
    RepairedRid,
    /// The loudness of an audio packet (RFC 6464).
    AudioLevel,
    /// A transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportCc,
    /// When the packet left, 24 bits.
    AbsSendTime,
    /// When the frame was captured, an NTP timestamp.
    AbsCaptureTime,
    /// What a frame depends on (AV1 RTP specification, appendix A).
    DependencyDescriptor,
    /// How the camera was held (3GPP TS 26.114 section 7.4.5).
    VideoOrientation,
    /// Bounds of the receiver's delay.
    PlayoutDelay,
}

impl Extension {
    /// Every extension, in the order of the declaration.
    pub const ALL: [Self; 10] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::AudioLevel,
        Self::TransportCc,
        Self::AbsSendTime,
        Self::AbsCaptureTime,
        Self::DependencyDescriptor,
        Self::VideoOrientation,
        Self::PlayoutDelay,
    ];

    /// The URI as both browsers write it.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::TransportCc => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        }
    }

    /// The extension with this URI.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.uri() == uri)
    }
}

/// The ids of the header extensions on one m-line. An id belongs to at most one extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtensionMap {
    /// By `Extension as usize`; 0, which is never an id, where there is none.
    ids: [u8; Extension::ALL.len()],
}

impl ExtensionMap {
    /// Gives `extension` the id 1 to 255; ids above 14 need the two-byte form. False, and nothing changed, for id 0 or
    /// an id that another extension has.
    pub fn set(&mut self, extension: Extension, id: u8) -> bool {
        let free = self.ext(id).is_none_or(|owner| owner == extension);
        if id == 0 || !free {
            return false;
        }
        self.ids[extension as usize] = id;
        true
    }

    /// Takes the id of `extension` away.
    pub fn remove(&mut self, extension: Extension) {
        self.ids[extension as usize] = 0;
    }

    /// The id of `extension`.
    pub const fn id(&self, extension: Extension) -> Option<u8> {
        match self.ids[extension as usize] {
            0 => None,
            id => Some(id),
        }
    }

    /// The extension with this id.
    pub fn ext(&self, id: u8) -> Option<Extension> {
        self.iter().find_map(|(extension, used)| (used == id).then_some(extension))
    }

    /// The extensions that have an id.
    pub fn iter(&self) -> impl Iterator<Item = (Extension, u8)> + use<> {
        Extension::ALL.into_iter().zip(self.ids).filter(|&(_, id)| id != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_unique_and_found() {
        for (index, extension) in Extension::ALL.into_iter().enumerate() {
            assert_eq!(Extension::from_uri(extension.uri()), Some(extension));
            assert_eq!(extension as usize, index, "the map is indexed by the discriminant");
        }
        assert_eq!(Extension::from_uri("urn:ietf:params:rtp-hdrext:toffset"), None);
    }

    #[test]
    fn an_id_has_one_owner() {
        let mut map = ExtensionMap::default();
        assert!(map.set(Extension::Mid, 4));
        assert!(!map.set(Extension::Rid, 4));
        assert!(!map.set(Extension::Rid, 0));
        assert!(map.set(Extension::Rid, 255));
        assert!(map.set(Extension::Mid, 4));
        assert_eq!(map.iter().collect::<Vec<_>>(), [(Extension::Mid, 4), (Extension::Rid, 255)]);
        assert!(map.set(Extension::Mid, 9), "an extension may move");
        assert_eq!(map.ext(4), None);
        assert_eq!(map.ext(0), None);
        assert_eq!(map.ext(255), Some(Extension::Rid));
        assert_eq!(map.id(Extension::Mid), Some(9));
        assert_eq!(map.id(Extension::AudioLevel), None);
    }
}
