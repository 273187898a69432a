//! Golden files under `tests/golden`; `UPDATE_GOLDEN=1 cargo test -p load-tests` writes them anew.

use super::*;
use crate::scenario::preset;

const PERCENTILES: Percentiles =
    Percentiles { count: 50, p50_ms: 31.25, p90_ms: 45.5, p99_ms: 61.125, p999_ms: 61.5, max_ms: 62.0 };

fn sample(at: f64) -> Sample {
    Sample {
        at,
        members: 51,
        streams: 100,
        packets: 16_000.0 + at,
        bitrate: 126_600_000.0,
        loss_percent: 0.0,
        p50_ms: Some(0.25),
        p99_ms: Some(1.5),
        server_cpu: Some(1.6),
        server_pss: Some(20_971_520),
        generator_cpu: 42.0,
    }
}

fn measured() -> Measured {
    Measured {
        seconds: 10.0,
        members: 51,
        sent: Traffic { video: 2_700, audio: 500, bitrate: 2_532_000.0 },
        delivered: Traffic { video: 135_000, audio: 25_000, bitrate: 126_600_000.0 },
        packets_per_second: 16_000.0,
        loss_percent: 0.0,
        loss_by: LossBy::Stamps,
        duplicates: 2,
        refused: 0,
        server: Some(Server {
            cpu_seconds: 0.16,
            percent_of_core: 1.6,
            us_per_packet: Some(1.0),
            joins_per_cpu_second: Some(1_250.0),
            pss_idle: Some(10_485_760),
            pss_joined: Some(20_971_520),
            pss_end: Some(20_971_520),
            pss_left: Some(11_534_336),
            pss_per_member: Some(65_536.0),
        }),
        generator: Generator { cpu_share: 0.42, in_time: 0.999, opened: 1.0 },
        joins: Joins {
            connected: Some(PERCENTILES),
            first_packet: Some(PERCENTILES),
            first_keyframe: None,
            failed: 0,
            reason: None,
        },
        latency: Some(PERCENTILES),
        latency_histogram: vec![(256, 100_000), (512, 60_000)],
        picture: Picture { frames: 15_000, freezes: 1, frozen_seconds: 0.5, keyframes: 12, plis: 3 },
        repair: Repair { nacks: 4, repairs: 4, time: Some(PERCENTILES) },
        starved: 0,
        steps: Vec::new(),
        stopped: None,
    }
}

fn report_with(measured: Measured, thresholds: Thresholds) -> Report {
    let scenario = Scenario { thresholds, ..preset("livestream").unwrap() };
    let environment = Environment {
        target: Target::Madang,
        url: "http://127.0.0.1:7880/".to_owned(),
        cores: 2,
        is_virtual: true,
        loopback: true,
        srtp: vec!["SRTP_AEAD_AES_128_GCM".to_owned()],
    };
    Report::of(scenario, environment, measured, vec![sample(1.0), sample(2.0)])
}

fn report(measured: Measured) -> Report {
    report_with(measured, Thresholds::default())
}

fn golden(name: &str, found: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&path).unwrap(), "{path}");
}

#[test]
fn the_table_is_stable() {
    golden("report.txt", &report(measured()).table());
}

#[test]
fn the_json_is_stable_and_read_back() {
    let report = report_with(measured(), Thresholds { max_loss_percent: Some(0.05), ..Thresholds::default() });
    let text = serde_json::to_string_pretty(&report).unwrap() + "\n";
    golden("report.json", &text);
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

#[test]
fn a_void_run_says_why() {
    let run = Measured {
        loss_percent: 0.11,
        generator: Generator { cpu_share: 0.86, in_time: 0.97, opened: 1.0 },
        starved: 3,
        ..measured()
    };
    let report = report(run);
    assert_eq!((report.verdict.void.len(), report.exit_code()), (4, 3));
    golden("void.txt", &report.table());
}

#[test]
fn the_limits_themselves_are_allowed() {
    let generator = Generator { cpu_share: 0.85, in_time: 0.98, opened: 1.0 };
    let limits = Thresholds { max_loss_percent: Some(0.1), max_cpu_us: Some(1.0), ..Thresholds::default() };
    let report = report_with(Measured { loss_percent: 0.1, generator, ..measured() }, limits);
    assert_eq!((report.verdict.clone(), report.exit_code()), (Verdict::default(), 0));
}

#[test]
fn loss_that_a_threshold_or_the_last_mile_explains_is_not_void() {
    let lossy = Measured { loss_percent: 3.0, ..measured() };
    let limits = Thresholds { max_loss_percent: Some(5.0), ..Thresholds::default() };
    assert_eq!(report_with(lossy.clone(), limits).exit_code(), 0);
    let mut scenario = preset("livestream").unwrap();
    scenario.link.loss_percent = 5.0;
    assert!(Verdict::of(&lossy, &scenario).void.is_empty());
    assert_eq!(report(lossy).exit_code(), 3);
}

#[test]
fn every_threshold_can_be_broken() {
    let limits = Thresholds {
        max_loss_percent: Some(0.0),
        max_cpu_us: Some(0.9),
        max_latency_p99_ms: Some(60.0),
        max_join_p99_ms: Some(60.0),
        max_freezes: Some(0),
        min_packets_per_second: Some(16_001.0),
    };
    let report = report_with(Measured { loss_percent: 0.05, ..measured() }, limits);
    assert_eq!((report.verdict.broken.len(), report.exit_code()), (6, 4), "{:?}", report.verdict);
}

#[test]
fn a_silent_run_is_void() {
    let nothing = Traffic { video: 0, audio: 0, bitrate: 0.0 };
    assert_eq!(report(Measured { delivered: nothing, ..measured() }).exit_code(), 3);
}

#[test]
fn the_page_is_whole_and_needs_nothing_else() {
    let page = html::page(&report(measured())).unwrap();
    assert!(page.contains("livestream: 1 -&gt; 50") && page.contains("SRTP_AEAD_AES_128_GCM"));
    assert!(page.matches("<svg").count() >= 6, "{}", page.matches("<svg").count());
    let links = page.replace("http://www.w3.org/2000/svg", "").replace("http://127.0.0.1:7880/", "");
    assert!(!links.contains("http") && !links.contains("<script"));
}

#[test]
fn a_comparison_marks_what_got_worse() {
    let (before, mut after) = (report(measured()), report(measured()));
    assert!(compare::compare(&before, &after, Some(0.0)).worse.is_empty());
    after.measured.server.as_mut().unwrap().us_per_packet = Some(1.2);
    after.measured.packets_per_second = 8_000.0;
    let comparison = compare::compare(&before, &after, Some(10.0));
    assert_eq!(comparison.worse.len(), 2, "{}", comparison.table);
    assert!(comparison.table.contains("1.200     1.200  worse"), "{}", comparison.table);
    assert!(compare::compare(&before, &after, None).worse.is_empty());
}
