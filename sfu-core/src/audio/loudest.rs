//! Loudest-N: which microphones of a large room are forwarded.
//!
//! Invariants:
//! - At most `limit` are chosen, and exactly so many while there are as many: whoever has a place keeps it in silence too,
//!   so that an answer in a quiet room is heard from its first syllable.
//! - A place is taken from the one who has been silent the longest; if nobody is silent, from the quietest, by somebody
//!   who is louder by [`MARGIN`], or [`FRESH_MARGIN`] if that one has just come. So two who are equally loud do not take
//!   turns.
//! - Only somebody who speaks ([`Voice::speaking_since`](super::Voice::speaking_since)) takes a place from somebody.

use std::time::{Duration, Instant};

use super::{Loudness, Voice};

/// How much louder a newcomer must be than somebody who speaks, in dB.
const MARGIN: f32 = 6.0;

/// The same for the place of somebody who took it less than [`FRESH`] ago.
const FRESH_MARGIN: f32 = 12.0;

/// How long a place counts as just taken.
const FRESH: Duration = Duration::from_secs(1);

/// A microphone that may be heard.
#[derive(Debug, Clone, Copy)]
pub struct Contender<K> {
    /// Whose it is, for the caller.
    pub key: K,
    level: Loudness,
    speaks: bool,
    spoke: Option<Instant>,
    /// It is chosen.
    pub heard: bool,
    /// When it took its place from somebody; `None`: it did not, or has none.
    pub since: Option<Instant>,
}

impl<K> Contender<K> {
    /// As its voice is now.
    pub fn new(now: Instant, key: K, voice: &Voice, heard: bool, since: Option<Instant>) -> Self {
        let (level, speaks) = (voice.level(now), voice.speaking_since(now).is_some());
        Self { key, level, speaks, spoke: voice.spoke(), heard, since }
    }

    /// How loud it is.
    pub fn level(&self) -> Loudness {
        self.level
    }

    /// Somebody speaks into it, and is heard.
    pub fn is_heard_speaking(&self) -> bool {
        self.heard && self.speaks
    }

    /// Who comes first when places are free: who speaks, then who spoke last, then the loudest.
    fn is_before(&self, other: &Self) -> bool {
        let rank = |c: &Self| (c.speaks, if c.speaks { None } else { c.spoke });
        (rank(self), self.level) > (rank(other), other.level)
    }

    /// How loud a newcomer must be to take the place.
    fn defence(&self, now: Instant) -> Loudness {
        let fresh = self.since.is_some_and(|since| now.saturating_duration_since(since) < FRESH);
        match self.speaks {
            false => Loudness::SILENCE,
            true => self.level.plus(if fresh { FRESH_MARGIN } else { MARGIN }),
        }
    }
}

/// Chooses anew who is heard.
pub fn choose<K>(now: Instant, limit: usize, contenders: &mut [Contender<K>]) {
    let mut heard = contenders.iter().filter(|c| c.heard).count();
    while heard > limit {
        let Some(out) = weakest(now, contenders) else { return };
        (contenders[out].heard, contenders[out].since) = (false, None);
        heard -= 1;
    }
    while heard < limit {
        let Some(next) = strongest(contenders, |_| true) else { return };
        contenders[next].heard = true;
        heard += 1;
    }
    // Each newcomer is louder than whom it replaces, so that nobody comes in twice.
    for _ in 0..limit {
        let (Some(next), Some(out)) = (strongest(contenders, |c| c.speaks), weakest(now, contenders)) else { return };
        if contenders[next].level < contenders[out].defence(now) {
            return;
        }
        (contenders[next].heard, contenders[next].since) = (true, Some(now));
        (contenders[out].heard, contenders[out].since) = (false, None);
    }
}

/// The first of those who are not heard.
fn strongest<K>(contenders: &[Contender<K>], admits: impl Fn(&Contender<K>) -> bool) -> Option<usize> {
    let outside = (0..contenders.len()).filter(|&c| !contenders[c].heard && admits(&contenders[c]));
    outside.reduce(|best, c| if contenders[c].is_before(&contenders[best]) { c } else { best })
}

/// The one whose place is taken next.
fn weakest<K>(now: Instant, contenders: &[Contender<K>]) -> Option<usize> {
    let weaker = |a: &Contender<K>, b: &Contender<K>| match (a.speaks, b.speaks) {
        (false, false) => a.spoke < b.spoke,
        (true, true) => a.defence(now) < b.defence(now),
        (a_speaks, _) => !a_speaks,
    };
    let inside = (0..contenders.len()).filter(|&c| contenders[c].heard);
    inside.reduce(|best, c| if weaker(&contenders[c], &contenders[best]) { c } else { best })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A microphone: its loudness above silence, and how long ago it spoke in ms; 0: it speaks.
    fn mic(now: Instant, key: usize, level: f32, ago: Option<u64>, heard: Option<u64>) -> Contender<usize> {
        let before = |millis| now - Duration::from_millis(millis);
        Contender {
            key,
            level: Loudness(level),
            speaks: ago == Some(0),
            spoke: ago.map(before),
            heard: heard.is_some(),
            since: heard.map(before),
        }
    }

    fn heard(contenders: &[Contender<usize>]) -> Vec<usize> {
        contenders.iter().filter(|c| c.heard).map(|c| c.key).collect()
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(100)
    }

    #[test]
    fn free_places_go_to_speakers_then_to_anybody() {
        let now = later();
        let mut all =
            [mic(now, 0, 60.0, None, None), mic(now, 1, 20.0, Some(900), None), mic(now, 2, 90.0, Some(0), None)];
        choose(now, 1, &mut all);
        assert_eq!(heard(&all), [2]);
        choose(now, 2, &mut all);
        assert_eq!(heard(&all), [1, 2]);
        choose(now, 9, &mut all);
        assert_eq!(heard(&all), [0, 1, 2]);
    }

    #[test]
    fn the_longest_silent_yields_first() {
        let now = later();
        let mut all = [
            mic(now, 0, 70.0, Some(5_000), Some(9_000)),
            mic(now, 1, 10.0, Some(800), Some(9_000)),
            mic(now, 2, 95.0, Some(0), Some(9_000)),
            mic(now, 3, 80.0, Some(0), None),
        ];
        choose(now, 3, &mut all);
        assert_eq!(heard(&all), [1, 2, 3], "although 1 is quieter now");
    }

    #[test]
    fn speakers_yield_to_the_clearly_louder_only() {
        let now = later();
        let with = |newcomer, heard_for| {
            let mut all = [mic(now, 0, 90.0, Some(0), Some(heard_for)), mic(now, 1, newcomer, Some(0), None)];
            choose(now, 1, &mut all);
            heard(&all)[0]
        };
        assert_eq!(with(95.0, 2_000), 0);
        assert_eq!(with(97.0, 2_000), 1);
        assert_eq!(with(97.0, 500), 0, "who has just come");
        assert_eq!(with(103.0, 500), 1);
    }

    #[test]
    fn noise_takes_no_place() {
        let now = later();
        let mut all = [mic(now, 0, 0.0, None, Some(9_000)), mic(now, 1, 120.0, Some(701), None)];
        choose(now, 1, &mut all);
        assert_eq!(heard(&all), [0]);
    }

    proptest! {
        #[test]
        fn invariants_hold(
            all in prop::collection::vec(
                (0f32..127.0, prop::option::of(0u64..3), prop::option::of(0u64..5_000)), 0..20),
            limit in 0usize..8,
        ) {
            let now = later();
            let mut mics: Vec<_> = all.iter().enumerate()
                .map(|(key, (level, ago, heard))| mic(now, key, *level, ago.map(|ago| ago * 1_000), *heard)).collect();
            choose(now, limit, &mut mics);
            prop_assert_eq!(heard(&mics).len(), limit.min(all.len()));
            let silent_inside = mics.iter().any(|c| c.heard && !c.speaks);
            let speaks_outside = mics.iter().any(|c| !c.heard && c.speaks);
            prop_assert!(!silent_inside || !speaks_outside, "speech waits for silence");
            for outside in mics.iter().filter(|c| !c.heard && c.speaks) {
                for inside in mics.iter().filter(|c| c.heard) {
                    prop_assert!(outside.level < inside.level.plus(FRESH_MARGIN), "louder, and yet outside");
                }
            }
            let chosen = heard(&mics);
            choose(now, limit, &mut mics);
            prop_assert_eq!(heard(&mics), chosen, "not stable");
        }
    }
}
