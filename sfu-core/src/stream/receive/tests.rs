use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Counts packets in step with the clock: 10 ms apart, 100 bytes each.
fn feed(stats: &mut ReceiveStats, numbers: impl IntoIterator<Item = u16>) {
    for number in numbers {
        let at = stats.epoch + ms(10 * u64::from(number));
        assert!(stats.on_packet(at, number, 900 * u32::from(number), 100).is_some(), "{number}");
    }
}

fn report(stats: &mut ReceiveStats) -> (u8, i32, u32) {
    let block = stats.report_block(stats.epoch, Ssrc(7)).unwrap();
    (block.fraction_lost, block.cumulative_lost, block.highest_sequence)
}

/// RFC 3550 appendix A.3 by hand: fractions are of the interval, the sum is of the whole.
#[test]
fn loss_per_interval_and_in_all() {
    let mut stats = ReceiveStats::new(90_000, Instant::now());
    assert!(stats.report_block(stats.epoch, Ssrc(7)).is_none());
    feed(&mut stats, (0..10).filter(|number| *number != 4)); // 1 of 10
    assert_eq!(report(&mut stats), (25, 1, 9));
    feed(&mut stats, [10, 11, 14, 15, 16, 17, 18, 19]); // 2 of 10
    assert_eq!(report(&mut stats), (51, 3, 19));
    assert_eq!(report(&mut stats), (0, 3, 19)); // nothing expected, nothing lost
    feed(&mut stats, [4, 12, 13, 20, 21]); // late ones count against the loss
    assert_eq!(report(&mut stats), (0, 0, 21));
    feed(&mut stats, [21, 21]); // and so do duplicates: the sum is negative
    assert_eq!(report(&mut stats), (0, -2, 21));
    assert_eq!((stats.packets(), stats.duplicates(), stats.bytes(), stats.lost()), (22, 2, 2_200, -2));
}

#[test]
fn packets_that_the_first_overtook_count() {
    let mut stats = ReceiveStats::new(90_000, Instant::now());
    feed(&mut stats, [10, 8, 11]);
    assert_eq!(report(&mut stats), (64, 1, 11)); // 9 of 8 to 11
}

#[test]
fn cycles_are_counted() {
    let mut stats = ReceiveStats::new(90_000, Instant::now());
    for number in [65_534, 65_535, 0, 1] {
        stats.on_packet(stats.epoch, number, 0, 0).unwrap();
    }
    assert_eq!(report(&mut stats), (0, 0, 0x1_0001));
    assert_eq!(stats.extend(65_000), Some(SeqNo(0x1_0000 + 65_000)));
}

/// RFC 3550 appendix A.8 by hand, in units of 1/16 tick: 0 + 900 - 0 = 900; 900 + 0 - 56 = 844; 844 + 450 - 53 = 1,241.
#[test]
fn jitter_as_in_the_rfc() {
    let mut stats = ReceiveStats::new(90_000, Instant::now());
    let mut step = |number: u16, at: u64, timestamp: u32| {
        stats.on_packet(stats.epoch + ms(at), number, timestamp, 0).unwrap();
        stats.jitter
    };
    assert_eq!(step(1, 0, u32::MAX - 899), 0);
    assert_eq!(step(2, 20, 0), 900); // 10 ms late
    assert_eq!(step(3, 30, 900), 844); // as late
    assert_eq!(step(4, 35, 1_800), 1_241); // 5 ms less late
    assert_eq!(step(5, 36, 90_000_000), 1_241); // another clock
    assert_eq!(stats.report_block(stats.epoch, Ssrc(7)).unwrap().jitter, 77);
    assert!((stats.jitter() - 77.5625 / 90_000.0).abs() < 1e-12);
}

#[test]
fn sender_reports_are_echoed() {
    let mut stats = ReceiveStats::new(90_000, Instant::now());
    feed(&mut stats, [0]);
    let block = stats.report_block(stats.epoch, Ssrc(7)).unwrap();
    assert_eq!((block.ssrc, block.last_sr, block.delay_since_last_sr), (Ssrc(7), 0, 0));
    let theirs = Ntp(0xb44d_b705_2000_0000);
    stats.on_sender_report(stats.epoch, theirs, 4_711, Offset::of(theirs, theirs, std::iter::empty()));
    let block = stats.report_block(stats.epoch + ms(5_250), Ssrc(7)).unwrap();
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0xb705_2000, 0x0005_4000));
    assert_eq!(stats.source_clock().unwrap().timestamp, 4_711);
}

#[test]
fn one_stray_number_is_ignored_and_two_are_a_restart() {
    let mut stats = ReceiveStats::new(90_000, Instant::now());
    let now = stats.epoch;
    feed(&mut stats, [100, 101, 104]);
    assert_eq!(stats.on_packet(now, 30_000, 0, 0), None);
    feed(&mut stats, [105]);
    assert_eq!(stats.on_packet(now, 30_001, 0, 0), None, "the stray one was forgotten");
    let restart = stats.on_packet(now, 30_002, 0, 0).unwrap();
    assert_eq!(restart, Arrival { seq: SeqNo::first(30_002), restarted: true });
    assert_eq!(stats.lost(), 2);

    assert_eq!(stats.on_packet(now, 5, 0, 0), None);
    let back = stats.on_packet(now, 6, 0, 0).unwrap();
    assert_eq!(back, Arrival { seq: SeqNo(0x2_0006), restarted: true }, "numbers still rise");
    assert_eq!(report(&mut stats), (0, 2, 0x1_0006));
}

proptest! {
    /// Whatever comes, nothing overflows and the report stays in its ranges.
    #[test]
    fn total_for_any_packets(
        packets in proptest::collection::vec((any::<u16>(), any::<u32>(), 0u64..100_000), 1..300),
        start: u16,
    ) {
        let mut stats = ReceiveStats::new(48_000, Instant::now());
        let mut now = stats.epoch;
        stats.on_packet(now, start, 0, 0);
        for (wire, timestamp, wait) in packets {
            now += ms(wait);
            if let Some(arrival) = stats.on_packet(now, wire, timestamp, 1) {
                prop_assert_eq!(arrival.seq.wire(), wire);
                prop_assert!(!arrival.restarted || Some(arrival.seq) == stats.highest());
            }
            let block = stats.report_block(now, Ssrc(1)).unwrap();
            prop_assert!((-0x80_0000..=0x7f_ffff).contains(&block.cumulative_lost));
        }
    }

    /// Over a path that loses and repeats nothing, reordering within 60 shows no loss and no duplicates.
    #[test]
    fn reordering_is_no_loss(start: u16, keys in proptest::collection::vec(0usize..60, 200)) {
        let mut order: Vec<usize> = (1..200).collect();
        order.sort_by_key(|number| number + keys[*number]);
        let mut stats = ReceiveStats::new(90_000, Instant::now());
        for number in std::iter::once(0).chain(order) {
            stats.on_packet(stats.epoch, start.wrapping_add(number as u16), 0, 0).unwrap();
        }
        prop_assert_eq!((stats.lost(), stats.duplicates(), stats.packets()), (0, 0, 200));
    }
}
