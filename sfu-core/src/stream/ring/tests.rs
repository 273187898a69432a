use proptest::prelude::*;

use super::*;
use crate::layers::Frame;

const WINDOW: Duration = Duration::from_secs(1);

fn meta(seq: u64) -> PacketMeta {
    PacketMeta {
        seq: SeqNo(seq),
        timestamp: seq as u32 * 3_000,
        marker: seq.is_multiple_of(3),
        payload_type: 96,
        frame: Frame::default(),
    }
}

/// Feeds packets of `size` at `per_second` for `seconds` and returns the time after the last.
fn feed(ring: &mut PacketRing, mut now: Instant, size: usize, per_second: u32, seconds: u32) -> Instant {
    for _ in 0..per_second * seconds {
        now += Duration::from_secs(1) / per_second;
        let seq = 0x1_0000 + u64::from(ring.next);
        ring.insert(now, meta(seq), &[], &vec![7; size]).unwrap();
    }
    now
}

/// A packet of the model.
#[derive(Debug, Clone)]
struct Packet {
    meta: PacketMeta,
    arrival: Instant,
    extensions: Vec<(u8, Vec<u8>)>,
    payload: Vec<u8>,
}

impl Packet {
    fn insert_into(&self, ring: &mut PacketRing) -> Option<RingIndex> {
        let extensions: Vec<_> = self.extensions.iter().map(|(id, value)| (*id, &value[..])).collect();
        ring.insert(self.arrival, self.meta, &extensions, &self.payload)
    }

    fn is(&self, stored: &Stored<'_>) -> bool {
        stored.meta == self.meta
            && stored.arrival == self.arrival
            && stored.payload == self.payload
            && stored.extensions.map(|(id, value)| (id, value.to_vec())).eq(self.extensions.iter().cloned())
    }
}

fn extensions() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    proptest::collection::vec((1..=14u8, proptest::collection::vec(any::<u8>(), 0..20)), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is inserted, at whatever times, with growing, shrinking and a wrapping index: an index gives exactly its
    /// packet or nothing; what is held is the newest; young packets are only lost to the cap; `lookup` agrees.
    #[test]
    fn agrees_with_a_list(
        steps in proptest::collection::vec((0u64..4, 0u64..40, extensions(), 0usize..1_300, 0u8..100), 1..500),
        first_index in prop_oneof![Just(0u32), Just(u32::MAX - 100)],
        max_bytes in prop_oneof![Just(4_096usize), Just(64 << 10)],
    ) {
        let limits = RingLimits { window: Duration::from_millis(500), max_bytes };
        let mut ring = PacketRing { next: first_index, ..PacketRing::new(limits) };
        let mut model: Vec<(RingIndex, Packet)> = Vec::new();
        let (mut seq, mut now) = (0x1_0000, Instant::now());
        for (step, wait, extensions, size, chance) in steps {
            now += Duration::from_millis(wait);
            if chance == 0 {
                now += Duration::from_secs(1);
            }
            if chance < 10 {
                ring.shrink(now);
            }
            seq += step;
            let packet = Packet { meta: meta(seq - u64::from(chance % 3)), arrival: now, extensions, payload: vec![chance; size] };
            let index = packet.insert_into(&mut ring).unwrap();
            prop_assert_eq!(index.0, first_index.wrapping_add(model.len() as u32));
            model.push((index, packet));

            let held = ring.len();
            for (age, (index, packet)) in model.iter().rev().enumerate() {
                match ring.get(*index) {
                    Some(stored) => prop_assert!(age < held && packet.is(&stored)),
                    None => prop_assert!(age >= held),
                }
            }
            let newest = model.iter().rev().take(held);
            for age in 0..MIN_ENTRIES as u64 {
                let number = SeqNo(seq - age);
                let expected = newest.clone().find(|(_, packet)| packet.meta.seq == number).map(|(index, _)| *index);
                prop_assert_eq!(ring.lookup(number), expected);
            }
            prop_assert!(ring.arena.len() <= max_bytes);
            prop_assert!(held <= ring.entries.len() && ring.entries.len() <= limits.max_entries());
            let full = ring.arena.len() == max_bytes || ring.entries.len() == limits.max_entries();
            let young = model.iter().filter(|(_, packet)| now - packet.arrival < limits.window).count();
            prop_assert!(full || held >= young, "held {} of {} young packets", held, young);
        }
    }
}

#[test]
fn grows_to_the_window_and_no_further() {
    let mut ring = PacketRing::new(RingLimits::video(WINDOW));
    assert_eq!(ring.allocated_bytes(), 0);
    let now = feed(&mut ring, Instant::now(), 1_100, 250, 10); // 2.2 Mbit/s: 275,000 bytes a second
    assert_eq!(ring.arena.len(), 512 << 10);
    assert!(ring.len() >= 250);
    let before = ring.allocated_bytes();
    feed(&mut ring, now, 1_100, 250, 10);
    assert_eq!(ring.allocated_bytes(), before);
}

#[test]
fn the_cap_holds() {
    let mut ring = PacketRing::new(RingLimits::video(WINDOW));
    let now = feed(&mut ring, Instant::now(), 1_200, 5_000, 2);
    assert_eq!(ring.arena.len(), 2 << 20);
    assert!(ring.len() > 1_700);
    feed(&mut ring, now, 1, 50_000, 2);
    assert_eq!(ring.entries.len(), 4_096);
    assert!(ring.allocated_bytes() < 3 << 20);
}

#[test]
fn memory_comes_back() {
    let mut ring = PacketRing::new(RingLimits::video(WINDOW));
    let mut now = feed(&mut ring, Instant::now(), 1_200, 1_000, 3);
    let large = ring.allocated_bytes();
    for _ in 0..10 {
        now = feed(&mut ring, now, 200, 20, 1);
        ring.shrink(now);
    }
    assert!(ring.allocated_bytes() * 8 < large);
    let last = RingIndex(ring.next - 1);
    assert!(ring.get(last).is_some());
    ring.shrink(now + WINDOW);
    assert_eq!(ring.allocated_bytes(), 0);
    assert!(ring.get(last).is_none());
    let again = ring.insert(now + WINDOW, meta(0x2_0000), &[], b"x").unwrap();
    assert_eq!(again.0, last.0 + 1);
    assert_eq!(ring.get(again).unwrap().payload, b"x");
}

#[test]
fn what_is_too_large_is_refused() {
    let mut ring = PacketRing::new(RingLimits { window: WINDOW, max_bytes: 4_096 });
    let now = Instant::now();
    assert_eq!(ring.insert(now, meta(0x1_0000), &[], &[0; MAX_STORED + 1]), None);
    assert_eq!(ring.insert(now, meta(0x1_0000), &[(1, &[0; 8])], &[0; MAX_STORED - 9]), None);
    for number in 0..10 {
        let index = ring.insert(now, meta(0x1_0000 + number), &[(1, &[1; 8])], &[0; MAX_STORED - 10]).unwrap();
        assert_eq!(ring.get(index).unwrap().extensions.value(1), Some(&[1; 8][..]));
        assert_eq!(ring.get(index).unwrap().extensions.value(2), None);
    }
}
