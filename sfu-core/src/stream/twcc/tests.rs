use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rtcp::{self, Packet};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The count of a message, and the microseconds at which each of its packets arrived.
type Told = (u8, Vec<(u16, Option<u64>)>);

/// The next message, read back by the parser.
fn feedback(recorder: &mut TwccRecorder, now: Instant) -> Option<Told> {
    let mut buf = Vec::new();
    if !recorder.poll(now, Ssrc(1), Ssrc(2), &mut buf) {
        assert!(buf.is_empty());
        return None;
    }
    let mut packets = rtcp::packets(&buf);
    let Some(Ok(Packet::TransportFeedback(message))) = packets.next() else { panic!("no feedback") };
    assert!(packets.next().is_none());
    let reference = i64::from(message.reference_time) * 64_000;
    let micros = |ticks: i64| (reference + ticks * 250) as u64;
    Some((message.feedback_count, message.iter().map(|(wire, ticks)| (wire, ticks.map(micros))).collect()))
}

#[test]
fn covers_every_number_once() {
    let start = Instant::now();
    let mut recorder = TwccRecorder::new(start);
    assert_eq!(recorder.poll_timeout(), None);
    recorder.record(65_534, start + ms(1));
    recorder.record(0, start + ms(2));
    assert_eq!(feedback(&mut recorder, start + ms(50)), None);
    let due = recorder.poll_timeout().unwrap();
    assert_eq!(due, start + ms(51));
    let first = vec![(65_534, Some(1_000)), (65_535, None), (0, Some(2_000))];
    assert_eq!(feedback(&mut recorder, due), Some((0, first)));
    assert_eq!((feedback(&mut recorder, due), recorder.poll_timeout()), (None, None));

    recorder.record(2, due + ms(1));
    let due = recorder.poll_timeout().unwrap();
    assert_eq!(feedback(&mut recorder, due), Some((1, vec![(1, None), (2, Some(52_000))])));
}

#[test]
fn a_late_packet_is_reported_after_all() {
    let start = Instant::now();
    let mut recorder = TwccRecorder::new(start);
    recorder.record(10, start);
    recorder.record(12, start);
    assert!(feedback(&mut recorder, start + ms(50)).is_some());
    recorder.record(10, start + ms(60)); // a duplicate, not worth a word
    assert_eq!(recorder.poll_timeout(), None);
    recorder.record(11, start + ms(60));
    let due = recorder.poll_timeout().unwrap();
    assert_eq!(feedback(&mut recorder, due).unwrap().1, [(11, Some(60_000)), (12, Some(0))]);
}

#[test]
fn the_interval_follows_the_rate() {
    let start = Instant::now();
    let mut recorder = TwccRecorder::new(start);
    recorder.record(0, start);
    assert!(feedback(&mut recorder, start + ms(50)).is_some());
    recorder.record(1, start + ms(51));
    assert_eq!(recorder.poll_timeout(), Some(start + ms(150)));
    (2..9).for_each(|number| recorder.record(number, start + ms(52)));
    assert_eq!(recorder.poll_timeout(), Some(start + ms(100)));
}

#[test]
fn times_too_far_apart_take_two_packets() {
    let start = Instant::now();
    let mut recorder = TwccRecorder::new(start);
    recorder.record(0, start);
    recorder.record(2, start + ms(9_000));
    let now = start + ms(9_001);
    assert_eq!(feedback(&mut recorder, now).unwrap().1, [(0, Some(0)), (1, None)]);
    assert_eq!(feedback(&mut recorder, now).unwrap().1, [(2, Some(9_000_000))]);
    assert_eq!(feedback(&mut recorder, now), None);
}

proptest! {
    /// Any numbers in any order: feedback is bounded, ascends without holes and tells the first arrival of each number;
    /// all that came lately is told in the end.
    #[test]
    fn tells_what_arrived(
        steps in proptest::collection::vec((prop_oneof![20 => -3i32..6, 1 => any::<i16>().prop_map(i32::from)], 0u64..30), 1..300),
    ) {
        let start = Instant::now();
        let mut recorder = TwccRecorder::new(start);
        let (mut now, mut seq, mut told) = (start, 0x8_0000i64, BTreeMap::new());
        let mut tell = |highest: i64, arrivals: &[(u16, Option<u64>)]| {
            let numbers = arrivals.iter().map(|(wire, _)| highest - i64::from((highest as u16).wrapping_sub(*wire)));
            told.extend(numbers.zip(arrivals.iter().map(|(_, arrival)| *arrival)));
        };
        let (mut highest, mut model) = (0, BTreeMap::new());
        for (step, wait) in steps {
            now += ms(wait);
            seq = (seq + i64::from(step)).max(highest - 0x7000);
            if highest > 0 {
                seq = seq.min(highest + 0x7000);
            }
            recorder.record(seq as u16, now);
            highest = highest.max(seq);
            if highest - seq < WINDOW as i64 {
                model.entry(seq).or_insert((now - start).as_micros() as u64);
            }
            while let Some((_, arrivals)) = feedback(&mut recorder, now) {
                prop_assert!(arrivals.len() <= WINDOW);
                prop_assert!(arrivals.windows(2).all(|pair| pair[0].0.wrapping_add(1) == pair[1].0));
                tell(highest, &arrivals);
            }
            seq = highest;
        }
        while let Some((_, arrivals)) = feedback(&mut recorder, now + ms(100)) {
            tell(highest, &arrivals);
        }
        for (number, arrival) in told.range(highest - WINDOW as i64 + 1..) {
            prop_assert!(arrival.is_none() || model.get(number) == arrival.as_ref());
        }
        for number in model.range(highest - 300..) {
            prop_assert_eq!(told.get(number.0), Some(&Some(*number.1)));
        }
    }
}
