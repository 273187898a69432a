//! Who is heard and who speaks, from the loudness that packets tell (RFC 6464): no sample is ever decoded.
//!
//! [`Voice`] follows one microphone, O(1) per packet; [`loudest`] chooses those whose audio is forwarded. Both are pure and
//! told the time.
//!
//! Invariants:
//! - What does not speak is not chosen while anything that speaks is not.
//! - A microphone that falls silent, by a mute, a pause of its sender (DTX) or its death, is silent here soon after.

pub mod loudest;
mod voice;

pub use voice::{HOLD, ONSET, Voice};

use crate::rtp::values::AudioLevel;

/// How loud something is: decibels above RFC 6464's silence (-127 dBov). 0: silence; 127: the loudest there is.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Loudness(pub f32);

impl Loudness {
    /// Digital silence.
    pub const SILENCE: Self = Self(0.0);

    /// -50 dBov. Speech is louder (after a browser's gain control: -35 to -15), and the noise that a browser's suppression
    /// leaves is quieter (-60 and below).
    pub const SPEECH: Self = Self(77.0);

    /// What applications call 0 is this and all below: -60 dBov.
    const FLOOR: f32 = 67.0;

    /// What a packet said.
    pub fn of(level: AudioLevel) -> Self {
        Self(f32::from(127 - level.level.min(127)))
    }

    /// Louder by so many decibels.
    pub fn plus(self, decibels: f32) -> Self {
        Self(self.0 + decibels)
    }

    /// For applications: 0 (-60 dBov and below) to 1 (0 dBov), linear in decibels, as loudness is perceived.
    pub fn to_unit(self) -> f32 {
        ((self.0 - Self::FLOOR) / (127.0 - Self::FLOOR)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_count_downwards_and_loudness_up() {
        let of = |level| Loudness::of(AudioLevel { voice: false, level });
        assert_eq!(of(127), Loudness::SILENCE);
        assert_eq!(of(50), Loudness::SPEECH);
        assert_eq!(of(0).to_unit(), 1.0);
        assert_eq!(of(30).to_unit(), 0.5);
        assert_eq!(of(90).to_unit(), 0.0);
    }
}
