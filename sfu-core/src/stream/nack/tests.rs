use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const RTT: Duration = Duration::from_millis(40);

/// Arrivals of these numbers at one moment.
fn arrive(tracker: &mut NackTracker, now: Instant, numbers: impl IntoIterator<Item = u16>) {
    for number in numbers {
        assert!(tracker.on_packet(SeqNo::first(number), now), "{number}");
    }
}

fn ask(tracker: &mut NackTracker, now: Instant) -> Vec<u16> {
    let mut out = ArrayVec::new();
    tracker.poll(now, RTT, &mut out);
    out.to_vec()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_gap_is_asked_for_within_ten_milliseconds() {
    let (mut tracker, now) = (NackTracker::new(), Instant::now());
    arrive(&mut tracker, now, [1, 2, 5]);
    assert!(ask(&mut tracker, now).is_empty());
    let due = tracker.poll_timeout().unwrap();
    assert!(due <= now + ms(10));
    assert_eq!(ask(&mut tracker, due), [3, 4]);
    assert!(ask(&mut tracker, due + ms(49)).is_empty()); // 1.25 round-trip times
    assert_eq!(ask(&mut tracker, due + ms(50)), [3, 4]);
}

#[test]
fn what_was_only_reordered_is_not_asked_for() {
    let (mut tracker, now) = (NackTracker::new(), Instant::now());
    arrive(&mut tracker, now, [1, 3]);
    arrive(&mut tracker, now + ms(4), [2]);
    assert!(ask(&mut tracker, now + ms(10)).is_empty());
    assert_eq!(tracker.poll_timeout(), None);
}

#[test]
fn duplicates_are_told_apart_from_late_packets() {
    let (mut tracker, now) = (NackTracker::new(), Instant::now());
    arrive(&mut tracker, now, [100, 102, 99]);
    assert!(!tracker.on_packet(SeqNo::first(102), now));
    assert!(!tracker.on_packet(SeqNo::first(99), now));
    assert!(tracker.on_packet(SeqNo::first(101), now));
    assert!(!tracker.on_packet(SeqNo::first(101), now));
    arrive(&mut tracker, now, [100 + WINDOW as u16]);
    assert!(!tracker.on_packet(SeqNo::first(100), now), "too old to tell");
}

#[test]
fn too_large_a_gap_wants_a_keyframe() {
    let (mut tracker, now) = (NackTracker::new(), Instant::now());
    arrive(&mut tracker, now, [1, 3, 3 + MAX_MISSING as u16 + 1]);
    assert!(tracker.take_keyframe_needed());
    assert!(!tracker.take_keyframe_needed());
    assert!(ask(&mut tracker, now + ms(10)).is_empty());
    assert!(tracker.on_packet(SeqNo::first(2), now), "still new, though nobody asks");
    arrive(&mut tracker, now, [3 + MAX_MISSING as u16 + 3]);
    assert_eq!(ask(&mut tracker, now + ms(10)), [3 + MAX_MISSING as u16 + 2]);
}

#[test]
fn a_large_gap_takes_several_polls() {
    let (mut tracker, now) = (NackTracker::new(), Instant::now());
    arrive(&mut tracker, now, [0, MAX_MISSING as u16 + 1]);
    let now = now + ms(10);
    let mut asked = Vec::new();
    while tracker.poll_timeout().unwrap() <= now {
        asked.extend(ask(&mut tracker, now));
    }
    assert!(asked.into_iter().eq(1..=MAX_MISSING as u16));
}

#[test]
fn gives_up_in_the_end() {
    let (mut tracker, start) = (NackTracker::new(), Instant::now());
    arrive(&mut tracker, start, [1, 3]);
    let mut times = Vec::new();
    let mut out = ArrayVec::new();
    while let Some(now) = tracker.poll_timeout() {
        tracker.poll(now, Duration::ZERO, &mut out);
        times.extend(out.iter().map(|_| now - start));
    }
    assert_eq!(times.len(), usize::from(MAX_TRIES));
    assert!(*times.last().unwrap() < MAX_AGE);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= MIN_RETRY));
}

proptest! {
    /// Against a model that remembers every number: nothing is asked for that arrived or was not yet passed, nothing
    /// more than ten times or after a second, and `on_packet` is true exactly for the first arrival within the window.
    #[test]
    fn asks_only_for_what_is_missing(
        steps in proptest::collection::vec((prop_oneof![8 => 1i64..4, 3 => -20i64..1, 1 => 4i64..700], 0u64..20), 1..400),
        rtt in 0u64..300,
        start in 0x1_0000u64..0x2_8000,
    ) {
        let mut tracker = NackTracker::new();
        let mut now = Instant::now();
        let mut arrived = BTreeSet::new();
        let mut passed: BTreeMap<u64, Instant> = BTreeMap::new();
        let mut tries: BTreeMap<u64, u32> = BTreeMap::new();
        let mut highest = start;
        for (step, wait) in steps {
            now += ms(wait);
            let seq = highest.saturating_add_signed(step);
            let known = !arrived.is_empty();
            if known && seq > highest {
                passed.extend((highest + 1..seq).map(|number| (number, now)));
            }
            highest = if known { highest.max(seq) } else { seq };
            let new = highest - seq < WINDOW && arrived.insert(seq);
            prop_assert_eq!(tracker.on_packet(SeqNo(seq), now), new);

            let mut out = ArrayVec::new();
            tracker.poll(now, ms(rtt), &mut out);
            for wire in out {
                let number = SeqNo(highest).nearest(wire).0;
                prop_assert!(!arrived.contains(&number), "{} has arrived", number);
                let since = passed.get(&number);
                prop_assert!(since.is_some_and(|since| now - *since < MAX_AGE && now - *since >= REORDER_WAIT));
                let tries = tries.entry(number).or_default();
                *tries += 1;
                prop_assert!(*tries <= u32::from(MAX_TRIES));
            }
            prop_assert!(tracker.missing.len() <= MAX_MISSING);
        }
    }

    /// Gaps that fit are asked for, all of them, at the first chance.
    #[test]
    fn asks_for_all_that_is_missing(lost in proptest::collection::btree_set(1u16..100, 0..60)) {
        let (mut tracker, now) = (NackTracker::new(), Instant::now());
        arrive(&mut tracker, now, (0..=100).filter(|number| !lost.contains(number)));
        prop_assert!(ask(&mut tracker, now + ms(10)).iter().eq(lost.iter()));
    }
}
