//! Golden files under `tests/golden`; `UPDATE_GOLDEN=1 cargo test -p load-tests` writes them anew.

use super::*;

const PERCENTILES: Percentiles = Percentiles { count: 50, p50_ms: 31.25, p90_ms: 45.5, p99_ms: 61.125, max_ms: 62.0 };

fn measured() -> Measured {
    Measured {
        seconds: 10.0,
        sent: Traffic { video: 2_700, audio: 500, bitrate: 2_532_000.0 },
        delivered: Traffic { video: 135_000, audio: 25_000, bitrate: 126_600_000.0 },
        loss_percent: 0.0,
        duplicates: 2,
        keyframes: 12,
        server: Some(ServerCpu { seconds: 0.16, percent_of_core: 1.6, us_per_packet: Some(1.0) }),
        generator: Generator { cpu_share: 0.42, sent_share: 0.999 },
        joins: Joins { connected: Some(PERCENTILES), first_packet: Some(PERCENTILES), first_keyframe: None },
        latency: Some(PERCENTILES),
        starved_viewers: 0,
    }
}

fn report(measured: Measured, thresholds: Thresholds) -> Report {
    let scenario = Scenario {
        url: "http://127.0.0.1:7880/".to_owned(),
        publishers: 1,
        viewers: 50,
        video_bitrate: 2_500_000,
        audio_bitrate: 32_000,
        fps: 30,
        packets_per_frame: 9,
        pacing: Pacing::Burst,
    };
    let srtp = vec!["SRTP_AEAD_AES_128_GCM".to_owned()];
    let environment = Environment { cores: 2, is_virtual: true, loopback: true, srtp };
    Report::new(scenario, environment, measured, thresholds)
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
    golden("report.txt", &report(measured(), Thresholds::default()).table());
}

#[test]
fn the_json_is_stable() {
    let report = report(measured(), Thresholds { max_loss_percent: Some(0.05), max_cpu_us: None });
    golden("report.json", &(serde_json::to_string_pretty(&report).unwrap() + "\n"));
}

#[test]
fn a_void_run_says_why() {
    let run = Measured {
        loss_percent: 0.11,
        generator: Generator { cpu_share: 0.86, sent_share: 0.97 },
        starved_viewers: 3,
        ..measured()
    };
    let report = report(run, Thresholds::default());
    assert_eq!((report.verdict.void.len(), report.exit_code()), (4, 3));
    golden("void.txt", &report.table());
}

#[test]
fn the_limits_themselves_are_allowed() {
    let run = Measured { loss_percent: 0.1, generator: Generator { cpu_share: 0.85, sent_share: 0.98 }, ..measured() };
    let report = report(run, Thresholds { max_loss_percent: Some(0.1), max_cpu_us: Some(1.0) });
    assert_eq!((report.verdict.clone(), report.exit_code()), (Verdict::default(), 0));
}

#[test]
fn broken_thresholds_fail_a_valid_run() {
    let thresholds = Thresholds { max_loss_percent: Some(0.0), max_cpu_us: Some(0.9) };
    let report = report(Measured { loss_percent: 0.05, ..measured() }, thresholds);
    assert_eq!((report.verdict.broken.len(), report.exit_code()), (2, 4));
}

#[test]
fn a_silent_run_is_void() {
    let nothing = Traffic { video: 0, audio: 0, bitrate: 0.0 };
    assert_eq!(report(Measured { delivered: nothing, ..measured() }, Thresholds::default()).exit_code(), 3);
}
