//! NTP timestamps (RFC 3550 section 4): 32 bits of seconds since 1900, 32 bits of fraction.

use std::time::{Duration, Instant};

use crate::core::ClockAnchor;

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
const UNIX_EPOCH_SECONDS: u64 = 2_208_988_800;

/// A 64-bit NTP timestamp. It wraps in 2036; [`Ntp::since`] is right across the wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ntp(pub u64);

impl Ntp {
    /// The wall clock at `now`, by the anchor. A `now` before the anchor reads as the anchor.
    pub fn at(anchor: &ClockAnchor, now: Instant) -> Self {
        Self::from_unix(anchor.unix + now.saturating_duration_since(anchor.instant))
    }

    /// The timestamp of this time since the Unix epoch.
    pub const fn from_unix(unix: Duration) -> Self {
        let seconds = unix.as_secs().wrapping_add(UNIX_EPOCH_SECONDS);
        // Rounded up, so that 250 ms and the like come back exactly from the truncating conversions.
        let fraction = ((unix.subsec_nanos() as u64) << 32).div_ceil(1_000_000_000);
        Self((seconds << 32).wrapping_add(fraction))
    }

    /// The middle 32 bits, as LSR has them: seconds in 16.16 fixed point.
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// From `earlier` to `self` in units of 2^-32 s, negative if `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0) as i64
    }

    /// The timestamp this many units of 2^-32 s later.
    pub const fn offset(self, units: i64) -> Self {
        Self(self.0.wrapping_add_signed(units))
    }
}

/// A duration in 16.16 fixed point seconds, as DLSR has it. More than 65,535 s reads as the most that fits.
pub(super) fn to_short(duration: Duration) -> u32 {
    let units = (u128::from(duration.as_secs()) << 16) + (u128::from(duration.subsec_nanos()) << 16) / 1_000_000_000;
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// The duration of 16.16 fixed point seconds.
pub(super) fn from_short(units: u32) -> Duration {
    Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16)
}

/// Units of 2^-32 s as ticks of a clock with this rate, rounded to the nearest.
pub(super) const fn ticks(units: i64, clock_rate: u32) -> i64 {
    ((units as i128 * clock_rate as i128 + (1 << 31)) >> 32) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unix_epoch_and_fraction() {
        assert_eq!(Ntp::from_unix(Duration::ZERO).0, 2_208_988_800 << 32);
        let ntp = Ntp::from_unix(Duration::from_millis(1_500));
        assert_eq!(ntp.0, (2_208_988_801 << 32) | 0x8000_0000);
        assert_eq!(ntp.middle(), ((2_208_988_801_u64 as u32 & 0xffff) << 16) | 0x8000);
    }

    #[test]
    fn era_wrap_in_2036_keeps_distances() {
        let last = Ntp::from_unix(Duration::from_secs((1 << 32) - UNIX_EPOCH_SECONDS - 1));
        let first = Ntp::from_unix(Duration::from_secs((1 << 32) - UNIX_EPOCH_SECONDS + 1));
        assert_eq!(first.since(last), 2 << 32);
        assert_eq!(last.since(first), -(2 << 32));
    }

    #[test]
    fn anchor_maps_instants() {
        let instant = Instant::now();
        let anchor = ClockAnchor { instant, unix: Duration::from_secs(1_800_000_000) };
        let later = Ntp::at(&anchor, instant + Duration::from_millis(250));
        assert_eq!(later.since(Ntp::at(&anchor, instant)), 1 << 30);
    }

    #[test]
    fn short_format() {
        assert_eq!(to_short(Duration::from_millis(5_250)), 0x0005_4000); // the example of RFC 3550 figure 2
        assert_eq!(from_short(0x0005_4000), Duration::from_millis(5_250));
        assert_eq!(to_short(Duration::MAX), u32::MAX);
    }

    proptest! {
        #[test]
        fn short_format_round_trips(units: u32) {
            prop_assert!(to_short(from_short(units)).abs_diff(units) <= 1);
        }

        #[test]
        fn ticks_never_overflow(units: i64, rate: u32) {
            let exact = units as f64 / 4_294_967_296.0 * f64::from(rate);
            prop_assert!((ticks(units, rate) as f64 - exact).abs() <= 1.0 + exact.abs() * 1e-12);
        }
    }
}
