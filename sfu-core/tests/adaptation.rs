//! Adaptation in virtual time: what the estimator makes of an emulated bottleneck, and how fast.
//!
//! `MADANG_SEEDS=n` runs so many seeds of each scenario; `MADANG_TRACE=1` prints how each goes.

#![allow(unreachable_pub, reason = "a module of a test has no outside")]

#[path = "adaptation/flow.rs"]
mod flow;
#[path = "adaptation/link.rs"]
mod link;
#[path = "adaptation/scenario.rs"]
mod scenario;

use std::time::Duration;

use link::LinkConfig;
use scenario::{Outcome, Scenario};

/// What a flow without a limit of its own wants, kbps.
const GREEDY: u64 = 20_000;

fn seeds() -> std::ops::Range<u64> {
    0..std::env::var("MADANG_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs a scenario, and prints it if that is wanted.
fn run(name: &str, scenario: Scenario) -> Outcome {
    let seed = scenario.seed;
    let outcome = scenario.run();
    if std::env::var_os("MADANG_TRACE").is_some() {
        for (index, sample) in
            outcome.flows.iter().enumerate().flat_map(|(index, flow)| flow.iter().map(move |s| (index, s)))
        {
            let (at, queue) = (sample.at.as_secs_f64(), sample.queue);
            eprintln!(
                "{name} {seed} {index} {at:6.1} s: {:7.0} kbps, {:7.0} sent, {queue:5.1} ms",
                sample.estimate, sample.sent
            );
        }
        eprintln!("{name} {seed}: p95 {:.1} ms, probes {} bytes", outcome.p95_wait(), outcome.probe_bytes);
    }
    outcome
}

/// The estimate is on average within 85 to 105 % of the capacity, and at four moments of five.
fn assert_steady(outcome: &Outcome, from: f64, to: f64, kbps: f64, what: &str) {
    let (mean, share) = (outcome.mean_estimate(0, from, to), outcome.share(0, from, to, 0.85 * kbps..1.05 * kbps));
    assert!((0.85 * kbps..1.05 * kbps).contains(&mean), "{what}: {mean} of {kbps} kbps from {from} to {to}");
    assert!(share >= 0.8, "{what}: {share} of the time from {from} to {to}");
}

#[test]
fn a_step_down_and_up_is_followed() {
    for seed in seeds() {
        let what = format!("seed {seed}");
        let link = LinkConfig::steady(3_000).then(30, 1_000).then(60, 3_000);
        let outcome = run("step", Scenario::greedy(seed, 90, link));
        let within = |from, range, limit: f64| outcome.reaches(0, from, range).is_some_and(|seconds| seconds <= limit);
        assert!(within(0.0, 2_550.0..=3_150.0, 1.0), "{what}: the start");
        assert!(within(30.0, 0.0..=1_050.0, 1.0), "{what}: down");
        assert!(within(60.0, 2_550.0..=3_150.0, 5.0), "{what}: up");
        for (from, to, kbps) in [(10.0, 30.0, 3_000.0), (35.0, 60.0, 1_000.0), (65.0, 90.0, 3_000.0)] {
            assert_steady(&outcome, from, to, kbps, &what);
        }
        assert!(outcome.p95_wait() <= 100.0, "{what}: {} ms", outcome.p95_wait());
    }
}

#[test]
fn an_application_limited_flow_finds_its_way_up_when_it_wants_more() {
    for seed in seeds() {
        let demand = vec![(secs(0), 300), (secs(30), 5_000)];
        let outcome = run("limited", Scenario::of(seed, 60, LinkConfig::steady(10_000), vec![demand]));
        let before = outcome.between(0, 5.0, 30.0).map(|sample| sample.estimate);
        let (lowest, highest) = (before.clone().fold(f64::MAX, f64::min), before.fold(0.0, f64::max));
        assert!(lowest >= 300.0 && highest <= 750.0, "seed {seed}: {lowest} to {highest} for 300 kbps");
        let up = outcome.reaches(0, 30.0, 5_000.0..=f64::MAX);
        assert!(up.is_some_and(|seconds| seconds <= 2.0), "seed {seed}: {up:?}");
        let lowest = outcome.between(0, 35.0, 60.0).map(|sample| sample.estimate).fold(f64::MAX, f64::min);
        assert!(lowest >= 5_000.0, "seed {seed}: {lowest} later");
    }
}

#[test]
fn a_small_link_is_found() {
    for kbps in [100, 300] {
        for seed in seeds() {
            let outcome = run("small", Scenario::greedy(seed, 40, LinkConfig::steady(kbps)));
            let what = format!("seed {seed}, {kbps} kbps");
            let capacity = kbps as f64;
            let found = outcome.reaches(0, 0.5, 0.0..=1.1 * capacity);
            assert!(found.is_some_and(|seconds| seconds <= 1.5), "{what}: {found:?}");
            let low = outcome.share(0, 2.0, 40.0, 0.0..0.5 * capacity);
            assert!(low <= 0.1, "{what}: too low in {low} of the time");
            let mean = outcome.mean_estimate(0, 10.0, 40.0);
            assert!((0.8 * capacity..1.1 * capacity).contains(&mean), "{what}: {mean}");
        }
    }
}

/// All that can be sent is too much for a while, so that nothing is: what the link carries then must be asked.
#[test]
fn what_was_paused_comes_back() {
    for (queue, layers) in [(500, &[500][..]), (500, &[150, 500, 1_700]), (30, &[500]), (30, &[150, 500, 1_700])] {
        for seed in seeds() {
            let link = LinkConfig {
                queue: Duration::from_millis(queue),
                ..LinkConfig::steady(4_000).then(20, 100).then(40, 4_000)
            };
            let demands = vec![vec![(secs(0), layers[layers.len() - 1])]];
            let outcome = run("paused", Scenario { layers, ..Scenario::of(seed, 60, link, demands) });
            let what = format!("seed {seed}, {layers:?} kbps, {queue} ms");
            let enough = layers[layers.len() - 1] as f64 / 0.9;
            let down = outcome.reaches(0, 20.0, 0.0..=layers[0] as f64 / 0.9);
            // Next to no queue: only loss tells, and takes its time.
            let patience = if queue < 100 { 6.0 } else { 2.5 };
            assert!(down.is_some_and(|seconds| seconds <= patience), "{what}: down {down:?}");
            let up = outcome.reaches(0, 40.0, enough..=f64::MAX);
            assert!(up.is_some_and(|seconds| seconds <= 6.0), "{what}: up {up:?}");
            let share = outcome.share(0, 47.0, 60.0, enough..f64::MAX);
            assert!(share > 0.9, "{what}: {share} of the time");
        }
    }
}

#[test]
fn random_loss_is_no_congestion() {
    for (loss, least) in [(0.02, 0.85), (0.05, 0.85), (0.1, 0.8), (0.2, 0.7)] {
        for seed in seeds() {
            let link = LinkConfig { loss, ..LinkConfig::steady(3_000) };
            let outcome = run("loss", Scenario::greedy(seed, 60, link));
            let mean = outcome.mean_estimate(0, 10.0, 60.0);
            assert!((least * 3_000.0..3_150.0).contains(&mean), "seed {seed}: {mean} kbps at {loss}");
            assert!((outcome.loss - loss).abs() < 0.05, "seed {seed}: {} of {loss}", outcome.loss);
            assert!(outcome.p95_wait() <= 100.0, "seed {seed}: {} ms at {loss}", outcome.p95_wait());
        }
    }
}

#[test]
fn random_loss_leaves_a_fixed_rate_alone() {
    for loss in [0.05, 0.1, 0.2] {
        for seed in seeds() {
            let link = LinkConfig { loss, ..LinkConfig::steady(10_000) };
            let outcome = run("fixed", Scenario::of(seed, 60, link, vec![vec![(secs(0), 1_700)]]));
            let (share, sent) = (outcome.share(0, 5.0, 60.0, 1_700.0..f64::MAX), outcome.mean_sent(0, 5.0, 60.0));
            assert!(share > 0.85 && sent > 1_550.0, "seed {seed}: {sent} kbps, {share} of the time at {loss}");
        }
    }
}

#[test]
fn two_flows_share_a_link() {
    for kbps in [1_000, 2_000, 4_000] {
        let mut deviations = Vec::new();
        for seed in seeds() {
            let late = vec![(secs(0), 0), (secs(seed % 10), GREEDY)];
            let demands = vec![vec![(secs(0), GREEDY)], late];
            let outcome = run("share", Scenario::of(seed, 90, LinkConfig::steady(kbps), demands));
            let (first, second) = (outcome.mean_sent(0, 30.0, 90.0), outcome.mean_sent(1, 30.0, 90.0));
            assert!(first + second > 0.85 * kbps as f64, "seed {seed}: {first} and {second} of {kbps}");
            deviations.push((first - second).abs() / (first + second));
        }
        assert!(deviations.iter().all(|deviation| *deviation <= 0.2), "{kbps} kbps: {deviations:?}");
    }
}

#[test]
fn traffic_of_others_is_given_way_to() {
    for seed in seeds() {
        let cross = vec![(secs(30), secs(60), 1_500)];
        let outcome = run("cross", Scenario { cross, ..Scenario::greedy(seed, 90, LinkConfig::steady(3_000)) });
        let (down, up) = (outcome.reaches(0, 30.0, 0.0..=1_575.0), outcome.reaches(0, 60.0, 2_550.0..=4_000.0));
        assert!(down.is_some_and(|seconds| seconds <= 1.0), "seed {seed}: down {down:?}");
        assert!(up.is_some_and(|seconds| seconds <= 5.0), "seed {seed}: up {up:?}");
        let beside = outcome.mean_estimate(0, 35.0, 60.0);
        assert!((0.8 * 1_500.0..1.05 * 1_500.0).contains(&beside), "seed {seed}: {beside} kbps beside the others");
        assert!(outcome.p95_wait() <= 125.0, "seed {seed}: {} ms", outcome.p95_wait());
    }
}

#[test]
fn lost_feedback_is_not_lost_media() {
    for feedback_loss in [0.1, 0.3] {
        for seed in seeds() {
            let link = LinkConfig::steady(2_000);
            let outcome = run("feedback", Scenario { feedback_loss, ..Scenario::greedy(seed, 60, link) });
            assert_steady(&outcome, 10.0, 60.0, 2_000.0, &format!("seed {seed}, {feedback_loss} lost"));
            assert!(outcome.loss < 0.01, "seed {seed}: {}", outcome.loss);
        }
    }
}

#[test]
fn jitter_is_no_queue() {
    for (jitter, reorder, least) in [(10, false, 0.85), (10, true, 0.85), (30, false, 0.8), (30, true, 0.8)] {
        for seed in seeds() {
            let link = LinkConfig { jitter: Duration::from_millis(jitter), reorder, ..LinkConfig::steady(2_000) };
            let outcome = run("jitter", Scenario::greedy(seed, 60, link));
            let mean = outcome.mean_estimate(0, 10.0, 60.0);
            assert!((least * 2_000.0..2_100.0).contains(&mean), "seed {seed}: {mean} kbps, {jitter} ms, {reorder}");
            assert!(outcome.loss < 0.02, "seed {seed}: what is late is not lost: {}", outcome.loss);
        }
    }
}

#[test]
fn the_round_trip_is_measured() {
    let outcome = run("rtt", Scenario::of(1, 10, LinkConfig::steady(10_000), vec![vec![(secs(0), 1_000)]]));
    let rtt = outcome.rtt.expect("measured");
    assert!((50..65).contains(&rtt.as_millis()), "{rtt:?}");
}
