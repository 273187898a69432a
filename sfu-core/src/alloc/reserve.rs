//! What is left for video.

use crate::unit::Bitrate;

/// What there is for all videos of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Nothing tells of a limit.
    Unlimited,
    /// Nothing was measured yet, but will be in a moment: everybody is shown at its lowest.
    Guessed(Bitrate),
    Known {
        /// For everybody's lowest, which nobody is paused for less than: what the path carries when its queue has drained.
        admit: Bitrate,
        /// For what was sent before.
        keep: Bitrate,
        /// For that with what is new; no more than `keep` counts.
        raise: Bitrate,
    },
}

impl Budget {
    /// The same for what was sent before and for what is new.
    pub const fn known(rate: Bitrate) -> Self {
        Self::Known { admit: rate, keep: rate, raise: rate }
    }

    /// The limit, if there is one.
    pub const fn rate(self) -> Option<Bitrate> {
        match self {
            Self::Unlimited => None,
            Self::Guessed(rate) | Self::Known { keep: rate, .. } => Some(rate),
        }
    }
}

/// Retransmissions get at most this part of the estimate set aside: on a path that loses more, sending less is the cure.
const MAX_RETRANSMISSION_PERCENT: u64 = 20;

/// What video may take of an estimate: audio comes off first and whole, then what retransmissions take (as measured
/// lately). Video gets nothing before audio gets less than it needs.
pub fn video_budget(estimate: Bitrate, audio: Bitrate, retransmissions: Bitrate) -> Bitrate {
    let set_aside = retransmissions.0.min(estimate.0 / 100 * MAX_RETRANSMISSION_PERCENT);
    Bitrate(estimate.0.saturating_sub(audio.0).saturating_sub(set_aside))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn audio_is_never_starved(
            estimate in 0u64..20_000_000, more in 0u64..1_000_000, audio in 0u64..400_000, resent in 0u64..9_000_000,
        ) {
            let video = video_budget(Bitrate(estimate), Bitrate(audio), Bitrate(resent));
            prop_assert!(video.0 == 0 || video.0 + audio <= estimate);
            prop_assert!(video_budget(Bitrate(estimate + more), Bitrate(audio), Bitrate(resent)) >= video);
        }
    }

    #[test]
    fn a_storm_of_retransmissions_leaves_video_most_of_it() {
        let budget = video_budget(Bitrate(1_000_000), Bitrate(100_000), Bitrate(5_000_000));
        assert_eq!(budget, Bitrate(700_000));
    }
}
