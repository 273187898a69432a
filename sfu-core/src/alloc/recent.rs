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

/// The budgets of the last looks, the newest first.
#[derive(Debug, Default)]
pub struct Recent {
    looks: [Option<Bitrate>; LOOKS],
}

impl Recent {
    /// Another look.
    pub fn push(&mut self, budget: Option<Bitrate>) {
        if budget.is_none() {
            *self = Self::default();
            return;
        }
        self.looks.rotate_right(1);
        self.looks[0] = budget;
    }

    /// What is to be shared out when the path is said to carry `now`.
    pub fn budget(&self, now: Bitrate) -> Budget {
        let all = || self.looks.iter().flatten().copied();
        let (lowest, highest) = (all().min().unwrap_or(now), all().max().unwrap_or(now));
        let swings = now.0.saturating_mul(100) >= highest.0.saturating_mul(SWING);
        Budget { keep: if swings { now.max(highest) } else { now }, raise: now.min(lowest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(looks: &[u64], now: u64) -> (u64, u64) {
        let mut recent = Recent::default();
        looks.iter().for_each(|look| recent.push(Some(Bitrate(*look))));
        let Budget { keep, raise } = recent.budget(Bitrate(now));
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
    fn no_limit_is_no_memory() {
        let mut recent = Recent::default();
        recent.push(Some(Bitrate(1_000)));
        recent.push(None);
        assert_eq!(recent.budget(Bitrate(5_000)), Budget { keep: Bitrate(5_000), raise: Bitrate(5_000) });
    }
}
