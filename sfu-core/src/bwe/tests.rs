use proptest::prelude::*;

use super::*;
use crate::id::Ssrc;
use crate::rtcp::{self, Packet, write_transport_feedback};

const SECOND: Duration = Duration::from_secs(1);

fn estimator(now: Instant) -> Estimator {
    let mut estimator = Estimator::new(now, EstimatorConfig::default());
    estimator.set_demand(Bitrate(20_000_000));
    estimator
}

fn hear(estimator: &mut Estimator, now: Instant, message: &[u8]) {
    for packet in rtcp::packets(message) {
        if let Ok(Packet::TransportFeedback(feedback)) = packet {
            estimator.on_feedback(now, &feedback);
        }
    }
}

/// A sender and a receiver with nothing between them but 20 ms.
struct Path {
    estimator: Estimator,
    start: Instant,
    now: Instant,
    number: u16,
    count: u8,
}

impl Path {
    fn new() -> Self {
        let now = Instant::now();
        Self { estimator: estimator(now), start: now, now, number: 0, count: 0 }
    }

    /// Sends 1,000 bytes every so often, with feedback on every five, and whatever is probed.
    fn run(&mut self, duration: Duration, gap: Duration, told: bool) {
        let (end, mut arrivals, mut base) = (self.now + duration, Vec::new(), self.number);
        while self.now < end {
            self.estimator.poll(self.now);
            let probe = self.estimator.take_probe();
            let (packets, pause) = probe.map_or((1, gap), |probe| {
                let packets = (probe.bytes / 1_000).max(5);
                (packets, Duration::from_secs_f64(8_000.0 / probe.rate.0 as f64))
            });
            for _ in 0..packets {
                self.estimator.on_sent(self.now, self.number, 1_000, probe.map(|probe| probe.id));
                arrivals
                    .push((self.number, Some((self.now - self.start + Duration::from_millis(20)).as_micros() as u64)));
                self.number = self.number.wrapping_add(1);
                self.now += pause;
            }
            if told && arrivals.len() >= 5 {
                let mut message = Vec::new();
                write_transport_feedback(&mut message, Ssrc(1), Ssrc(2), self.count, base, &arrivals);
                (self.count, base) = (self.count.wrapping_add(1), self.number);
                arrivals.clear();
                hear(&mut self.estimator, self.now + Duration::from_millis(40), &message);
            }
        }
    }

    fn estimate(&self) -> u64 {
        self.estimator.estimate().map_or(0, |estimate| estimate.0)
    }
}

#[test]
fn is_nothing_before_it_was_told() {
    let now = Instant::now();
    let mut estimator = estimator(now);
    estimator.on_sent(now, 1, 1_000, None);
    estimator.poll(now + SECOND);
    assert_eq!((estimator.estimate(), estimator.source(), estimator.rtt()), (None, None, None));
    assert_eq!(estimator.take_probe(), None);
}

#[test]
fn sparse_sending_never_lowers_an_estimate() {
    let mut path = Path::new();
    path.run(5 * SECOND, Duration::from_millis(2), true);
    let before = path.estimate();
    assert!(before > 10_000_000, "{before}");
    path.estimator.set_demand(Bitrate(50_000));
    for gap in [20, 100, 500] {
        path.run(20 * SECOND, Duration::from_millis(gap), true);
        assert!(path.estimate() >= before, "{} after {before}", path.estimate());
        assert!(path.estimator.is_application_limited());
    }
}

#[test]
fn measures_the_round_trip() {
    let mut path = Path::new();
    path.run(SECOND, Duration::from_millis(10), true);
    let rtt = path.estimator.rtt().unwrap();
    assert!((40..60).contains(&rtt.as_millis()), "{rtt:?}");
}

#[test]
fn feedback_that_stays_away_takes_it_down_and_comes_back() {
    let mut path = Path::new();
    path.run(5 * SECOND, Duration::from_millis(4), true);
    let before = path.estimate();
    path.run(4 * SECOND, Duration::from_millis(4), false);
    let silent = path.estimate();
    assert!(silent < before / 2, "{silent} after {before}");
    path.run(10 * SECOND, Duration::from_millis(4), true);
    assert!(path.estimate() > before / 2, "{} after {silent}", path.estimate());
}

#[test]
fn remb_counts_where_there_is_nothing_better() {
    let now = Instant::now();
    let mut remb = estimator(now);
    remb.on_reports(now, 0.2, None);
    assert_eq!(remb.source(), Some("reports"));
    remb.on_remb(now, Bitrate(700_000));
    assert_eq!((remb.source(), remb.estimate()), (Some("remb"), Some(Bitrate(700_000))));
    remb.on_reports(now + SECOND, 0.3, None);
    assert_eq!((remb.source(), remb.estimate(), remb.loss()), (Some("remb"), Some(Bitrate(700_000)), 0.3));
    let mut silent = estimator(now);
    silent.set_demand(Bitrate(2_000_000));
    silent.on_remb(now, Bitrate(700_000));
    (1..10).for_each(|second| silent.on_reports(now + second * SECOND, 0.0, None));
    assert_eq!(silent.source(), Some("reports"));
    assert!(silent.estimate().unwrap().0 > 850_000, "{:?}", silent.estimate());
    remb.poll(now + SECOND);
    assert!(remb.take_probe().is_some(), "a REMB follows probes too");
    remb.on_remb(now + SECOND, Bitrate(u64::MAX));
    assert_eq!(remb.estimate(), Some(EstimatorConfig::default().max));
    (0..100).for_each(|packet| remb.on_sent_unnumbered(packet, 1_000));
    remb.on_remb(now + SECOND, Bitrate(0));
    assert_eq!(remb.estimate(), Some(EstimatorConfig::default().min));

    let mut path = Path::new();
    path.run(SECOND, Duration::from_millis(10), true);
    path.estimator.on_remb(path.now, Bitrate(40_000));
    assert_eq!(path.estimator.source(), Some("twcc"));
    assert!(path.estimate() > 40_000);
}

#[test]
fn receiver_reports_are_the_last_resort() {
    let now = Instant::now();
    let mut reports = estimator(now);
    reports.on_sent(now, 1, 1_000, None);
    reports.on_reports(now, 0.05, None);
    assert_eq!(reports.estimate(), None, "whoever is to tell more is not limited before there is a reason to");
    for second in 1..=5 {
        reports.on_reports(now + SECOND * second, 0.3, None);
    }
    assert_eq!(reports.source(), Some("reports"));
    let fallen = reports.estimate().unwrap().0;
    assert!((8_000_000..10_000_000).contains(&fallen), "0.85 of 20 Mbps, five times: {fallen}");
    reports.on_reports(now + SECOND * 6, 0.0, None);
    assert!(reports.estimate().unwrap().0 > fallen);
    reports.on_reports(now + SECOND * 12, f64::NAN, None);
    assert_eq!(reports.loss(), 0.0);
}

#[test]
fn who_tells_nothing_more_starts_slowly() {
    let now = Instant::now();
    let mut reports = estimator(now);
    reports.on_sent_unnumbered(0, 1_000);
    assert!(reports.is_guess(now + 2 * SECOND));
    assert!(!reports.is_guess(now + 3 * SECOND), "and nothing is waited for that never comes");
    reports.on_reports(now + SECOND, 0.0, None);
    assert_eq!((reports.source(), reports.estimate()), (Some("reports"), Some(EstimatorConfig::default().start)));
    assert!(!reports.is_guess(now + SECOND));
}

proptest! {
    /// Feedback of any bytes, amid sending: no panic, and the estimate within its bounds.
    #[test]
    fn any_feedback_is_survived(
        steps in proptest::collection::vec(
            (0u64..400, 0u16..40, any::<u16>(), proptest::collection::vec(any::<u8>(), 0..200), any::<bool>()),
            1..60,
        ),
    ) {
        let start = Instant::now();
        let mut estimator = estimator(start);
        let (mut now, mut number) = (start, 65_500u16);
        for (wait, packets, base, mut body, near) in steps {
            now += Duration::from_millis(wait);
            for _ in 0..packets {
                estimator.on_sent(now, number, usize::from(base), None);
                number = number.wrapping_add(1);
            }
            estimator.poll(now);
            while let Some(probe) = estimator.take_probe() {
                estimator.on_sent(now, number, 1_200, Some(probe.id));
                number = number.wrapping_add(1);
            }
            let base = if near { number.wrapping_sub(base % 64) } else { base };
            let mut message = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
            message.extend_from_slice(&base.to_be_bytes());
            body.resize((body.len() + 6).next_multiple_of(4) + 2, 0);
            message.extend_from_slice(&body);
            let words = (message.len() / 4 - 1) as u16;
            message[2..4].copy_from_slice(&words.to_be_bytes());
            message.truncate(usize::from(words + 1) * 4);
            hear(&mut estimator, now, &message);
            let config = EstimatorConfig::default();
            prop_assert!(estimator.estimate().is_none_or(|estimate| (config.min..=config.max).contains(&estimate)));
            prop_assert!((0.0..=1.0).contains(&estimator.loss()));
        }
    }

    /// A client that claims that everything arrived at once, in no time, gets no more than was sent to it allows.
    #[test]
    fn a_liar_gains_little(claimed_gap in 0u64..3_000, jump in -4_000i64..4_000) {
        let start = Instant::now();
        let mut estimator = estimator(start);
        estimator.set_demand(Bitrate(400_000));
        let (mut now, mut number, mut clock) = (start, 0u16, 1_000_000_000i64);
        for count in 0..200u8 {
            let base = number;
            let arrivals = (0..5u64).map(|index| (base.wrapping_add(index as u16), Some(clock as u64 + index * claimed_gap)));
            let arrivals = arrivals.collect::<Vec<_>>();
            for _ in 0..5 {
                estimator.on_sent(now, number, 1_000, None);
                number = number.wrapping_add(1);
                now += Duration::from_millis(20);
            }
            estimator.poll(now);
            let mut message = Vec::new();
            write_transport_feedback(&mut message, Ssrc(1), Ssrc(2), count, base, &arrivals);
            hear(&mut estimator, now, &message);
            clock += 100_000 + jump;
        }
        let estimate = estimator.estimate().unwrap();
        prop_assert!(estimate.0 < 1_500_000, "{estimate:?} of 400 kbps");
    }
}
