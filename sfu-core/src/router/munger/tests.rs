use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn packet(seq: u64, timestamp: u32) -> Incoming {
    Incoming { seq: SeqNo(seq), timestamp, frame: Frame::default(), closes_pictures: true }
}

fn out(munged: Result<Munged, Refusal>) -> Option<(SeqNo, u32)> {
    munged.ok().map(|munged| (munged.seq, munged.timestamp))
}

fn vp8(seq: u64, picture: u16, tl0: u8) -> Incoming {
    let picture_id = Some(PictureId { value: picture, long: true });
    Incoming {
        frame: Frame { picture_id, tl0: Some(tl0), ..Frame::default() },
        ..packet(seq, u32::from(picture) * 3000)
    }
}

#[test]
fn a_switch_goes_on_by_one_and_by_the_time_that_passed() {
    let start = Instant::now();
    let mut munger = Munger::new(90_000, 100, 5_000);
    let first = packet(70_000, 900);
    munger.switch_source(start, &first);
    assert_eq!(out(munger.munge(start, &first)), Some((SeqNo::first(100), 5_000)));

    let later = start + Duration::from_millis(100);
    let other = packet(300_000, 0xffff_ff00);
    munger.switch_source(later, &other);
    assert_eq!(out(munger.munge(later, &other)), Some((SeqNo::first(101), 14_000)));
    assert_eq!(munger.munge(later, &packet(299_999, 0)), Err(Refusal::Late), "from before the switch");
}

#[test]
fn no_number_is_given_twice() {
    let now = Instant::now();
    let mut munger = Munger::new(90_000, 0, 0);
    munger.switch_source(now, &packet(70_000, 0));
    let mut given = |seq| munger.munge(now, &packet(seq, 0)).ok().map(|munged| munged.seq.0 - SeqNo::first(0).0);
    assert_eq!((given(70_000), given(70_000)), (Some(0), None));
    assert_eq!((given(70_003), given(70_002), given(70_002)), (Some(3), Some(2), None));
    assert_eq!((given(70_200), given(70_073), given(70_072)), (Some(200), Some(73), None), "127 below, and no further");
    assert_eq!((given(70_003), given(70_200), given(70_201)), (None, None, Some(201)));
}

#[test]
fn audio_never_steps_by_less_than_a_packet() {
    let start = Instant::now();
    let mut munger = Munger::new(48_000, 0, 0);
    munger.switch_source(start, &packet(70_000, 0));
    munger.munge(start, &packet(70_000, 0)).unwrap();
    munger.switch_source(start, &packet(80_000, 7));
    assert_eq!(munger.munge(start, &packet(80_000, 7)).unwrap().timestamp, 960);
}

#[test]
fn vp8_counters_go_on_and_wrap() {
    let now = Instant::now();
    let mut munger = Munger::new(90_000, 0, 0);
    munger.switch_source(now, &vp8(70_000, 0x7fff, 255));
    munger.munge(now, &vp8(70_000, 0x7fff, 255)).unwrap();
    munger.switch_source(now, &vp8(9_000_000, 17, 3));
    let mut payload = |packet| munger.munge(now, &packet).unwrap().payload;
    assert_eq!(payload(vp8(9_000_000, 17, 3)), PayloadNumbers { picture_id: Some(0), tl0: Some(0) });
    assert_eq!(payload(vp8(9_000_001, 18, 3)), PayloadNumbers { picture_id: Some(1), tl0: Some(0) });
}

#[test]
fn left_out_packets_close_up_and_late_ones_keep_their_place() {
    let now = Instant::now();
    let mut munger = Munger::new(90_000, 0, 0);
    munger.switch_source(now, &packet(70_000, 0));
    let seq = |munger: &mut Munger, input| munger.munge(now, &packet(input, 0)).ok().map(|munged| munged.seq.wire());
    assert_eq!(seq(&mut munger, 70_000), Some(0));
    munger.leave_out(SeqNo(70_002));
    assert_eq!(seq(&mut munger, 70_003), Some(2));
    assert_eq!(seq(&mut munger, 70_001), Some(1), "late, but its place was kept");
    munger.leave_out(SeqNo(70_001));
    assert_eq!(seq(&mut munger, 70_004), Some(3), "an old packet cannot be left out any more");
}

proptest! {
    /// Against a model that sees everything at once: distinct inputs get distinct outputs, order and distances hold
    /// within a source, and sources follow each other without a hole.
    #[test]
    fn numbers_are_continuous(plan in prop::collection::vec((1usize..40, any::<u16>(), 0u32..4), 1..12), first: u16) {
        let now = Instant::now();
        let mut munger = Munger::new(90_000, first, 0);
        let mut given = BTreeMap::new();
        let mut highest: Option<u64> = None;
        for (source, (count, start, swap)) in plan.into_iter().enumerate() {
            let base = SeqNo::first(start).0;
            let mut inputs: Vec<u64> = (0..count as u64).map(|i| base + i).collect();
            for i in (1..inputs.len().saturating_sub(1)).step_by(2 + swap as usize) {
                inputs.swap(i, i + 1);
            }
            munger.switch_source(now, &packet(inputs[0], 0));
            for input in inputs {
                let out = munger.munge(now, &packet(input, 0)).unwrap().seq.0;
                prop_assert_eq!(given.insert(out, (source, input)), None);
                if input == base {
                    prop_assert_eq!(out, highest.map_or(SeqNo::first(first & 0x7fff).0, |highest| highest + 1));
                }
                highest = highest.max(Some(out));
            }
        }
        let outs: Vec<u64> = given.keys().copied().collect();
        prop_assert!(outs.windows(2).all(|pair| pair[1] == pair[0] + 1));
    }
}

/// A receiver's count of the roll-over, as RFC 3711 section 3.3.1 and appendix A have it.
struct RollOver {
    highest: u64,
}

impl RollOver {
    /// The index that it takes a packet for, which it opens only if that is right.
    fn opens(&mut self, seq: SeqNo) -> bool {
        let (local, wire) = (self.highest as u16, seq.wire());
        let roll_over = self.highest >> 16;
        let guessed = match (local < 0x8000, local.abs_diff(wire) > 0x8000) {
            (_, false) => roll_over,
            (true, true) if wire > local => roll_over - 1,
            (false, true) if wire < local => roll_over + 1,
            _ => roll_over,
        };
        let index = guessed << 16 | u64::from(wire);
        let right = index == seq.0;
        if right {
            self.highest = self.highest.max(index);
        }
        right
    }
}

/// What a publisher writes next, and what of it the receiver misses in a row.
fn steps() -> impl Strategy<Value = Vec<(u64, bool)>> {
    let jump = prop_oneof![3 => Just(1u64), 2 => 1u64..600, 2 => 2_000u64..3_000, 1 => 1u64..40_000];
    prop::collection::vec((jump, 0usize..60, 0usize..200, any::<bool>()), 1..60).prop_map(|runs| {
        let run = |(jump, packets, missed, alternate): (u64, usize, usize, bool)| {
            (0..packets + missed).map(move |place| {
                let jump = if alternate && place % 2 == 0 { 1 } else { jump };
                (jump, place >= packets)
            })
        };
        runs.into_iter().flat_map(run).collect()
    })
}

proptest! {
    /// Whatever a publisher numbers, a receiver that misses some thousand packets in a row opens all the others. Red if a
    /// publisher can move its roll-over counter.
    #[test]
    fn no_numbering_moves_a_receivers_roll_over_counter(steps in steps(), first: u16) {
        let now = Instant::now();
        let mut munger = Munger::new(90_000, first, 0);
        let mut receiver = RollOver { highest: SeqNo::first(first & 0x7fff).0 };
        let mut input = 0x2_0000;
        munger.switch_source(now, &packet(input, 0));
        for (jump, missed) in steps {
            let munged = match munger.munge(now, &packet(input, 0)) {
                Err(Refusal::Gap) => {
                    munger.switch_source(now, &packet(input, 0));
                    munger.munge(now, &packet(input, 0))
                }
                munged => munged,
            };
            let munged = munged.unwrap();
            prop_assert!(missed || receiver.opens(munged.seq), "{:?} after {}", munged.seq, receiver.highest);
            input += jump;
        }
    }
}

#[test]
fn a_loss_that_can_be_repaired_stays_a_gap() {
    let now = Instant::now();
    let mut munger = Munger::new(90_000, 0, 0);
    munger.switch_source(now, &packet(70_000, 0));
    let mut given = |seq| munger.munge(now, &packet(seq, 0)).map(|munged| munged.seq.0 - SeqNo::first(0).0);
    assert_eq!((given(70_000), given(70_513)), (Ok(0), Ok(513)));
    assert_eq!(given(70_516), Err(Refusal::Gap), "one packet pays for one");
    for seq in 70_514..70_600 {
        assert_eq!(given(seq), Ok(seq - 70_000), "what goes on, goes on");
    }
    assert_eq!(given(70_640), Ok(640));
}
