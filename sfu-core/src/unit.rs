//! Units: sequence numbers and timestamps that wrap on the wire and must not wrap in our heads.

/// An RTP sequence number extended to 64 bits by counting wraps (RFC 3550 appendix A.1). Never decreases by wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeqNo(pub u64);

impl SeqNo {
    /// The 16 bits that travel.
    pub const fn wire(self) -> u16 {
        self.0 as u16
    }

    /// The number with these low 16 bits that lies nearest to `self`; `self` is the highest seen so far.
    pub const fn nearest(self, wire: u16) -> Self {
        let distance = wire.wrapping_sub(self.0 as u16) as i16;
        Self(self.0.saturating_add_signed(distance as i64))
    }

    /// The start of a stream: one cycle up, so that packets reordered before the first one still have a number.
    pub const fn first(wire: u16) -> Self {
        Self(0x1_0000 + wire as u64)
    }
}

/// The distance from `from` to `to` of two 32-bit RTP timestamps, in clock ticks, negative if `to` is earlier.
pub const fn timestamp_distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

/// Bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bitrate(pub u64);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nearest_undoes_the_wire(at in 0x1_0000u64..1 << 48, step in -0x8000i64..0x8000) {
            let target = SeqNo(at.saturating_add_signed(step));
            prop_assert_eq!(SeqNo(at).nearest(target.wire()), target);
        }
    }

    #[test]
    fn timestamps_wrap() {
        assert_eq!(timestamp_distance(u32::MAX, 2), 3);
        assert_eq!(timestamp_distance(2, u32::MAX), -3);
    }
}
