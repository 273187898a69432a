//! What header extensions hold. Each type reads the element's bytes and gives them back.
//!
//! `parse` takes an element longer than it knows and reads its beginning: later versions of an extension may append.

use arrayvec::ArrayVec;

/// RFC 6464: how loud an audio packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// The encoder believes that this is speech.
    pub voice: bool,
    /// Below the overload point in dB, 0 (loudest) to 127 (silence).
    pub level: u8,
}

impl AudioLevel {
    /// Reads the element.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let byte = *value.first()?;
        Some(Self { voice: byte & 0x80 != 0, level: byte & 0x7f })
    }

    /// The element.
    pub const fn to_bytes(self) -> [u8; 1] {
        [((self.voice as u8) << 7) | (self.level & 0x7f)]
    }
}

/// The transport-wide sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportCc(pub u16);

impl TransportCc {
    /// Reads the element.
    pub fn parse(value: &[u8]) -> Option<Self> {
        value.first_chunk().map(|bytes| Self(u16::from_be_bytes(*bytes)))
    }

    /// The element.
    pub const fn to_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}

/// When a packet left, in seconds as 6.18 fixed point: 24 bits that wrap every 64 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsSendTime(pub u32);

impl AbsSendTime {
    /// From a 32.32 NTP timestamp, or any other time in that format.
    pub const fn from_ntp(ntp: u64) -> Self {
        Self((ntp >> 14) as u32 & 0x00ff_ffff)
    }

    /// Reads the element.
    pub fn parse(value: &[u8]) -> Option<Self> {
        value.first_chunk::<3>().map(|bytes| Self(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])))
    }

    /// The element.
    pub const fn to_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

/// When the first sample of a packet was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// 32.32 NTP timestamp of the capturer's clock.
    pub ntp: u64,
    /// What to add to get to the sender's clock, 32.32 seconds, where the sender knows.
    pub clock_offset: Option<i64>,
}

impl AbsCaptureTime {
    /// Reads the element.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (ntp, rest) = value.split_first_chunk()?;
        let clock_offset = rest.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
        Some(Self { ntp: u64::from_be_bytes(*ntp), clock_offset })
    }

    /// The element: 8 or 16 bytes.
    pub fn to_bytes(self) -> ArrayVec<u8, 16> {
        let offset = self.clock_offset.into_iter().flat_map(i64::to_be_bytes);
        self.ntp.to_be_bytes().into_iter().chain(offset).collect()
    }
}

/// How a frame must be turned to be upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoOrientation {
    /// The camera faces away from the user.
    pub back_camera: bool,
    /// Mirrored horizontally.
    pub flip: bool,
    /// Clockwise turns of 90 degrees, 0 to 3.
    pub quarter_turns: u8,
}

impl VideoOrientation {
    /// Reads the element.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let byte = *value.first()?;
        Some(Self { back_camera: byte & 8 != 0, flip: byte & 4 != 0, quarter_turns: byte & 3 })
    }

    /// The element.
    pub const fn to_bytes(self) -> [u8; 1] {
        [((self.back_camera as u8) << 3) | ((self.flip as u8) << 2) | (self.quarter_turns & 3)]
    }
}

/// Bounds of the delay between capture and rendering, in units of 10 ms, each 0 to 4,095.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutDelay {
    /// The least.
    pub min: u16,
    /// The most.
    pub max: u16,
}

impl PlayoutDelay {
    /// Reads the element.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let [a, b, c] = *value.first_chunk::<3>()?;
        let min = u16::from_be_bytes([a, b]) >> 4;
        let max = u16::from_be_bytes([b, c]) & 0x0fff;
        Some(Self { min, max })
    }

    /// The element.
    pub const fn to_bytes(self) -> [u8; 3] {
        let bits = ((self.min as u32 & 0x0fff) << 12) | (self.max as u32 & 0x0fff);
        let [_, a, b, c] = bits.to_be_bytes();
        [a, b, c]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bits_are_where_the_specifications_put_them() {
        assert_eq!(AudioLevel { voice: true, level: 30 }.to_bytes(), [0x9e]);
        assert_eq!(TransportCc(0x1234).to_bytes(), [0x12, 0x34]);
        assert_eq!(VideoOrientation { back_camera: true, flip: false, quarter_turns: 3 }.to_bytes(), [0x0b]);
        assert_eq!(PlayoutDelay { min: 0x123, max: 0x456 }.to_bytes(), [0x12, 0x34, 0x56]);
        assert_eq!(AbsCaptureTime { ntp: 1, clock_offset: None }.to_bytes().len(), 8);
        // 65.5 s: the whole seconds wrap at 64, and one second is 2^18.
        assert_eq!(AbsSendTime::from_ntp((65 << 32) | (1 << 31)), AbsSendTime((1 << 18) | (1 << 17)));
    }

    proptest! {
        #[test]
        fn elements_survive(a: bool, b: bool, byte in 0u8..128, short: u16, ntp: u64, clock_offset: Option<i64>) {
            let level = AudioLevel { voice: a, level: byte };
            prop_assert_eq!(AudioLevel::parse(&level.to_bytes()), Some(level));
            prop_assert_eq!(TransportCc::parse(&TransportCc(short).to_bytes()), Some(TransportCc(short)));
            let sent = AbsSendTime::from_ntp(ntp);
            prop_assert_eq!(AbsSendTime::parse(&sent.to_bytes()), Some(sent));
            let capture = AbsCaptureTime { ntp, clock_offset };
            prop_assert_eq!(AbsCaptureTime::parse(&capture.to_bytes()), Some(capture));
            let orientation = VideoOrientation { back_camera: a, flip: b, quarter_turns: byte & 3 };
            prop_assert_eq!(VideoOrientation::parse(&orientation.to_bytes()), Some(orientation));
            let delay = PlayoutDelay { min: short & 0xfff, max: short >> 4 };
            prop_assert_eq!(PlayoutDelay::parse(&delay.to_bytes()), Some(delay));
        }

        #[test]
        fn any_element_is_read(value in proptest::collection::vec(any::<u8>(), 0..20)) {
            AudioLevel::parse(&value);
            TransportCc::parse(&value);
            AbsSendTime::parse(&value);
            AbsCaptureTime::parse(&value);
            VideoOrientation::parse(&value);
            PlayoutDelay::parse(&value);
        }
    }
}
