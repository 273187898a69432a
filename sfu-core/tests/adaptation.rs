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

fn seeds() -> std::ops::Range<u64> {
    0..std::env::var("MADANG_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn trace(name: &str, outcome: &Outcome) {
    if std::env::var_os("MADANG_TRACE").is_none() {
        return;
    }
    for (index, flow) in outcome.flows.iter().enumerate() {
        for sample in flow.iter().step_by(2) {
            let at = sample.at.as_secs_f64();
            eprintln!(
                "{name} {index} {at:6.2} est {:7.0} sent {:7.0} queue {:6.1}",
                sample.estimate, sample.sent, sample.queue
            );
        }
    }
    eprintln!(
        "{name}: p95 {:.1} ms, probes {} B, loss {:.3}, rtt {:?}",
        outcome.p95_wait(),
        outcome.probe_bytes,
        outcome.loss,
        outcome.rtt
    );
}

fn greedy_steps(seed: u64) -> Outcome {
    Scenario::greedy(seed, 90, LinkConfig::steady(3_000).then(30, 1_000).then(60, 3_000)).run()
}

#[test]
fn follows_a_step_down_and_up() {
    for seed in seeds() {
        let outcome = greedy_steps(seed);
        trace("step", &outcome);
        let (down, up) = (outcome.reaches(0, 30.0, 0.0..=1_050.0), outcome.reaches(0, 60.0, 2_550.0..=3_150.0));
        eprintln!(
            "seed {seed}: down {down:?} up {up:?} first {:?} p95 {:.1}",
            outcome.reaches(0, 0.0, 2_550.0..=3_150.0),
            outcome.p95_wait()
        );
        for (from, to, capacity) in [(10.0, 30.0, 3_000.0), (40.0, 60.0, 1_000.0), (70.0, 90.0, 3_000.0)] {
            eprintln!(
                "  {:.3} {:.3} sent {:.3}",
                outcome.mean_estimate(0, from, to) / capacity,
                outcome.share(0, from, to, 0.85 * capacity..1.05 * capacity),
                outcome.mean_sent(0, from, to) / capacity
            );
        }
    }
}

#[test]
fn application_limited() {
    for seed in seeds() {
        let demand = vec![(secs(0), 300), (secs(30), 5_000)];
        let outcome = Scenario::of(seed, 60, LinkConfig::steady(10_000), vec![demand]).run();
        trace("alr", &outcome);
        eprintln!(
            "alr {seed}: {:.0} {:.0} up {:?} steady {:.0} p95 {:.1}",
            outcome.mean_estimate(0, 5.0, 10.0),
            outcome.mean_estimate(0, 25.0, 30.0),
            outcome.reaches(0, 30.0, 5_000.0..=20_000.0),
            outcome.mean_sent(0, 40.0, 60.0),
            outcome.p95_wait()
        );
    }
}

#[test]
fn random_loss() {
    for loss in [0.02, 0.05, 0.1, 0.2] {
        for seed in seeds() {
            let link = LinkConfig { loss, ..LinkConfig::steady(3_000) };
            let outcome = Scenario::greedy(seed, 60, link.clone()).run();
            trace("loss", &outcome);
            let fixed =
                Scenario::of(seed, 60, LinkConfig { loss, ..LinkConfig::steady(10_000) }, vec![vec![(secs(0), 1_700)]])
                    .run();
            eprintln!(
                "loss {loss} {seed}: mean {:.0} sent {:.0} p95 {:.1} loss {:.3} fixed: {:.0} {:.0}",
                outcome.mean_estimate(0, 10.0, 60.0),
                outcome.mean_sent(0, 10.0, 60.0),
                outcome.p95_wait(),
                outcome.loss,
                fixed.mean_estimate(0, 10.0, 60.0),
                fixed.mean_sent(0, 10.0, 60.0)
            );
        }
    }
}

#[test]
fn sharing() {
    for seed in seeds() {
        for kbps in [1_000, 2_000, 4_000] {
            let demand = vec![(secs(0), 20_000)];
            let late = vec![(secs(0), 0), (secs(seed % 10), 20_000)];
            let outcome = Scenario::of(seed, 90, LinkConfig::steady(kbps), vec![demand, late]).run();
            trace("share", &outcome);
            eprintln!(
                "share {kbps} {seed}: {:.0} {:.0} p95 {:.1}",
                outcome.mean_sent(0, 30.0, 90.0),
                outcome.mean_sent(1, 30.0, 90.0),
                outcome.p95_wait()
            );
        }
    }
}

#[test]
fn cross() {
    for seed in seeds() {
        let mut scenario = Scenario::greedy(seed, 90, LinkConfig::steady(3_000));
        scenario.cross = vec![(secs(30), secs(60), 1_500)];
        let outcome = scenario.run();
        trace("cross", &outcome);
        eprintln!(
            "cross {seed}: {:.0} {:.0} {:.0} down {:?} up {:?} p95 {:.1}",
            outcome.mean_estimate(0, 10.0, 30.0),
            outcome.mean_estimate(0, 35.0, 60.0),
            outcome.mean_estimate(0, 70.0, 90.0),
            outcome.reaches(0, 30.0, 0.0..=1_575.0),
            outcome.reaches(0, 60.0, 2_550.0..=4_000.0),
            outcome.p95_wait()
        );
    }
}

#[test]
fn feedback_is_lost() {
    for seed in seeds() {
        for lost in [0.1, 0.3] {
            let outcome =
                Scenario { feedback_loss: lost, ..Scenario::greedy(seed, 60, LinkConfig::steady(2_000)) }.run();
            trace("fbloss", &outcome);
            eprintln!(
                "fbloss {lost} {seed}: {:.0} {:.3} p95 {:.1} loss {}",
                outcome.mean_estimate(0, 10.0, 60.0),
                outcome.share(0, 10.0, 60.0, 1_700.0..2_100.0),
                outcome.p95_wait(),
                outcome.loss
            );
        }
    }
}

#[test]
fn jitter() {
    for seed in seeds() {
        for (ms, reorder) in [(10, false), (30, false), (10, true), (30, true)] {
            let link = LinkConfig { jitter: Duration::from_millis(ms), reorder, ..LinkConfig::steady(2_000) };
            let outcome = Scenario::greedy(seed, 60, link).run();
            trace("jitter", &outcome);
            eprintln!(
                "jitter {ms} {reorder} {seed}: {:.0} {:.3} p95 {:.1} loss {}",
                outcome.mean_estimate(0, 10.0, 60.0),
                outcome.share(0, 10.0, 60.0, 1_700.0..2_100.0),
                outcome.p95_wait(),
                outcome.loss
            );
        }
    }
}
