//! What the path carried lately: an estimate swings, and what is sent must not swing with it.
//!
//! A layer that is new begins with a keyframe, and often right after a probe: for a moment there is a queue, and the
//! estimate gives way to it. So going up waits until the estimate has stood for a while, and a small want that passes takes
//! nothing away. A large one does at once.

use crate::unit::Bitrate;

use super::Budget;

/// So many looks, 100 ms apart, are remembered.
const LOOKS: usize = 5;

/// Less than this part of the highest, in percent, is no swing.
const SWING: u64 = 80;

/// An estimate is exact to this part of it, in percent: what is sent just so is not given up for its trembling.
const TOLERANCE: u64 = 5;

/// The budgets of the last looks, the newest first.
#[derive(Debug, Default)]
pub struct Recent {
    looks: [Option<Bitrate>; LOOKS],
}

impl Recent {
    /// Another look.
    pub fn push(&mut self, budget: Budget) {
        let Budget::Known { keep, .. } = budget else {
            *self = Self::default();
            return;
        };
        self.looks.rotate_right(1);
        self.looks[0] = Some(keep);
    }

    /// What is to be shared out when the path is said to carry `budget` now. `is_calm`: it shows no sign of too much.
    pub fn budget(&self, budget: Budget, is_calm: bool) -> Budget {
        let Budget::Known { admit, keep: now, .. } = budget else { return budget };
        let all = || self.looks.iter().flatten().copied();
        let (lowest, highest) = (all().min().unwrap_or(now), all().max().unwrap_or(now));
        let swings = now.0.saturating_mul(100) >= highest.0.saturating_mul(SWING);
        let tolerated = if is_calm { Bitrate(now.0 + now.0 / 100 * TOLERANCE) } else { now };
        let keep = if swings { tolerated.max(highest) } else { tolerated };
        Budget::Known { admit: admit.max(keep), keep, raise: now.min(lowest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(looks: &[u64], now: u64) -> (u64, u64) {
        let mut recent = Recent::default();
        looks.iter().for_each(|look| recent.push(Budget::known(Bitrate(*look))));
        let Budget::Known { keep, raise, .. } = recent.budget(Budget::known(Bitrate(now)), false) else {
            unreachable!()
        };
        (keep.0, raise.0)
    }

    #[test]
    fn what_rises_must_stand_and_what_falls_a_little_too() {
        assert_eq!(after(&[], 1_000), (1_000, 1_000));
        assert_eq!(after(&[1_000; 6], 2_000), (2_000, 1_000));
        assert_eq!(after(&[1_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000], 2_000), (2_000, 2_000));
        assert_eq!(after(&[1_000; 6], 850), (1_000, 850));
        assert_eq!(after(&[1_000, 850, 850, 850, 850, 850, 850], 850), (850, 850));
    }

    #[test]
    fn what_falls_far_does_so_at_once() {
        assert_eq!(after(&[1_000; 6], 700), (700, 700));
    }

    #[test]
    fn a_calm_path_carries_a_little_more_of_what_it_carries_already() {
        let budget = Recent::default().budget(Budget::known(Bitrate(1_000)), true);
        let (more, now) = (Bitrate(1_050), Bitrate(1_000));
        assert_eq!(budget, Budget::Known { admit: more, keep: more, raise: now });
    }

    #[test]
    fn no_limit_is_no_memory() {
        let mut recent = Recent::default();
        recent.push(Budget::known(Bitrate(1_000)));
        recent.push(Budget::Unlimited);
        assert_eq!(recent.budget(Budget::known(Bitrate(5_000)), false), Budget::known(Bitrate(5_000)));
        assert_eq!(recent.budget(Budget::Guessed(Bitrate(7)), true), Budget::Guessed(Bitrate(7)));
    }
}
