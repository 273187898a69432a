//! What of its video an overloaded worker withholds, and of whom first.
//!
//! Video goes in [`STEPS`] steps, each for all of the worker's videos before the next begins for any:
//!
//! | Step | Cameras | Screens, and what was pinned or has high priority |
//! |---|---|---|
//! | 1 | the best picture | |
//! | 2 | all but the lowest picture | the best picture |
//! | 3 | | all but the lowest picture |
//! | 4 | all | |
//! | 5 | | all |
//!
//! A step that not everybody has to take is taken by those of lowest *rank*, a number that each subscription keeps, so that a
//! little more or less load touches few, and always the same ones. Audio is not shed.
//!
//! Invariant: more shed never gives anybody more.

use crate::control::{Priority, Quality, SubscriptionSettings};

use super::{Offer, ladder};

/// Steps from everything to no video at all.
pub const STEPS: usize = 5;

/// Ranks of a subscription: the parts that a step has.
const RANKS: u16 = 256;

/// What all videos of a worker take, in bits per second, after none, one, two, ... of the steps.
pub type Costs = [u64; STEPS + 1];

/// How far a video is cut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Cut {
    #[default]
    None,
    /// As [`Quality::Medium`].
    Medium,
    /// As [`Quality::Low`].
    Low,
    /// Paused.
    All,
}

impl Cut {
    /// The cap that this is; `None`: none.
    pub(super) const fn quality(self) -> Option<Quality> {
        match self {
            Self::None => None,
            Self::Medium => Some(Quality::Medium),
            Self::Low | Self::All => Some(Quality::Low),
        }
    }

    /// After so many steps. `favoured`: see [`is_favoured`].
    fn after(steps: usize, favoured: bool) -> Self {
        match (steps, favoured) {
            (0, _) | (1, true) => Self::None,
            (1, false) | (2, true) => Self::Medium,
            (2 | 3, false) | (3 | 4, true) => Self::Low,
            _ => Self::All,
        }
    }
}

/// Whether a video is cut down later than others.
pub fn is_favoured(settings: &SubscriptionSettings, pinned: bool, screen: bool) -> bool {
    pinned || screen || settings.priority == Priority::High
}

/// How far the steps have been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Shed(u16);

impl Shed {
    /// Every step, by everybody.
    pub const ALL: Self = Self(STEPS as u16 * RANKS);

    /// What leaves at most `keep` thousandths of what all videos take.
    pub fn keeping(keep: u16, costs: &Costs) -> Self {
        if keep == 0 {
            return Self::ALL;
        }
        let allowed = u128::from(costs[0]) * u128::from(keep.min(1_000)) / 1_000;
        let enough = |step: &usize| u128::from(costs[*step + 1]) <= allowed;
        let Some(step) = (0..STEPS).find(enough) else { return Self::ALL };
        let (before, after) = (u128::from(costs[step]), u128::from(costs[step + 1]));
        let saves = before.saturating_sub(after).max(1);
        let part = (before.saturating_sub(allowed) * u128::from(RANKS)).div_ceil(saves);
        Self(step as u16 * RANKS + (part as u16).min(RANKS))
    }

    /// How far a video is cut down that has this rank.
    pub fn cut(self, rank: u8, favoured: bool) -> Cut {
        let own = usize::from(u16::from(rank) < self.0 % RANKS);
        Cut::after(usize::from(self.0 / RANKS) + own, favoured)
    }
}

/// Adds what a video takes to the sums of all.
pub fn add_costs(costs: &mut Costs, settings: &SubscriptionSettings, favoured: bool, offers: &[Offer]) {
    if !settings.enabled || !settings.visible {
        return;
    }
    let of = [Cut::None, Cut::Medium, Cut::Low].map(|cut| ladder::cost(settings, cut, offers).0);
    for (steps, sum) in costs.iter_mut().enumerate() {
        *sum += match Cut::after(steps, favoured) {
            Cut::None => of[0],
            Cut::Medium => of[1],
            Cut::Low => of[2],
            Cut::All => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn falling() -> impl Strategy<Value = Costs> {
        prop::array::uniform5(0u64..1_000_000).prop_map(|steps| {
            let mut costs = [0; STEPS + 1];
            for step in (0..STEPS).rev() {
                costs[step] = costs[step + 1] + steps[step];
            }
            costs
        })
    }

    /// What is left when ranks are spread evenly.
    fn left(shed: Shed, costs: &Costs) -> f64 {
        let (step, part) = (usize::from(shed.0 / RANKS), f64::from(shed.0 % RANKS) / f64::from(RANKS));
        let next = costs.get(step + 1).copied().unwrap_or(0);
        costs[step] as f64 - part * (costs[step] - next) as f64
    }

    proptest! {
        /// Red if a step that saves nothing is counted, or if less is shed than was asked.
        #[test]
        fn what_is_kept_is_what_was_asked(costs in falling(), keep in 0u16..=1_000) {
            let shed = Shed::keeping(keep, &costs);
            let (left, asked) = (left(shed, &costs), costs[0] as f64 * f64::from(keep) / 1e3);
            prop_assert!(left <= asked + 1.0, "{left} of {asked}");
            prop_assert!(left >= asked - costs[0] as f64 / f64::from(RANKS) - 1.0, "{left} of {asked}");
        }

        #[test]
        fn less_kept_is_more_shed(costs in falling(), keep in 0u16..=1_000, less in 0u16..=1_000) {
            prop_assert!(Shed::keeping(keep.min(less), &costs) >= Shed::keeping(keep, &costs));
        }

        #[test]
        fn more_shed_gives_nobody_more(one in 0u16..=1_280, other in 0u16..=1_280, rank: u8, favoured: bool) {
            let (less, more) = (Shed(one.min(other)), Shed(one.max(other)));
            prop_assert!(more.cut(rank, favoured) >= less.cut(rank, favoured));
            prop_assert!(less.cut(rank, false) >= less.cut(rank, true), "favoured");
        }
    }

    #[test]
    fn the_ends() {
        assert_eq!(Shed::keeping(1_000, &[6, 5, 4, 3, 2, 0]), Shed::default());
        assert_eq!(Shed::keeping(0, &[0; 6]), Shed::ALL);
        assert_eq!(Shed::default().cut(0, false), Cut::None);
        assert_eq!(Shed::ALL.cut(255, true), Cut::All);
    }
}
