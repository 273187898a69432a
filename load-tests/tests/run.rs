//! Short runs against the real server: what `madang-load run` does, from the flags to the report. The last two are the
//! smoke test of every change: a meeting of 10 and a livestream of 100, with thresholds.

mod support;

use clap::Parser;
use load_tests::cli::{Cli, Command};
use load_tests::report::{LossBy, Report, html};
use support::Madang;

async fn run(madang: &Madang, flags: &[&str]) -> Report {
    let pid = madang.pid().to_string();
    let fixed = ["madang-load", "run", "--quiet", "--url", &madang.url, "--server-pid", &pid];
    let Command::Run(args) = Cli::parse_from([&fixed[..], flags].concat()).command else { panic!("it is a run") };
    load_tests::run::run(&args).await.unwrap()
}

/// Everybody saw what they came for, and next to nothing was lost on a machine that may be busy with other tests.
fn assert_healthy(report: &Report, receivers: u64) {
    let measured = &report.measured;
    assert_eq!((measured.starved, measured.joins.failed, measured.refused), (0, 0, 0), "{}", report.table());
    assert!(measured.loss_percent < 1.0, "{}", report.table());
    let seen = measured.joins.first_keyframe.or(measured.joins.first_packet).unwrap();
    assert_eq!(seen.count, receivers, "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_call_is_measured_whichever_way_and_stack_they_join() {
    let madang = Madang::start();
    for flags in [["--target", "madang"], ["--target", "whip-whep"], ["--webrtc-share", "1"]] {
        let size = ["--publishers", "2", "--viewers", "3", "--video-bitrate", "500k", "--duration", "2s"];
        let report = run(&madang, &[&flags[..], &size].concat()).await;
        assert_healthy(&report, 3);
        let measured = &report.measured;
        assert_eq!(measured.loss_by, LossBy::Stamps);
        // Two seconds of two publishers, whom a busy machine may slow down.
        assert!((100..=248).contains(&measured.sent.video), "{}", report.table());
        assert!((100..=204).contains(&measured.sent.audio), "{}", report.table());
        assert_eq!(measured.delivered.video, measured.sent.video * 3, "{}", report.table());
        let cpu = measured.server.unwrap().us_per_packet.unwrap();
        assert!(cpu > 0.0 && cpu < 1_000.0, "{}", report.table());
        assert!(report.environment.loopback && !report.environment.srtp.is_empty());
        assert!(report.timeline.len() >= 2 && html::page(&report).unwrap().contains("<svg"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audio_room_has_no_video() {
    let madang = Madang::start();
    let flags = ["audio-room", "--publishers", "2", "--viewers", "2", "--duration", "2s", "--max-cpu-us", "0.000001"];
    let report = run(&madang, &flags).await;
    assert_eq!((report.measured.sent.video, report.measured.delivered.video), (0, 0));
    assert!(report.measured.delivered.audio > 200, "{}", report.table());
    assert_eq!(report.verdict.broken.len(), 1, "no server is that fast: {}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lossy_last_mile_is_repaired() {
    let madang = Madang::start();
    let flags = ["--viewers", "3", "--video-bitrate", "500k", "--duration", "3s", "--loss", "5", "--rtt", "30"];
    let report = run(&madang, &flags).await;
    let measured = &report.measured;
    assert!(measured.repair.nacks > 0 && measured.repair.repairs > 0, "{}", report.table());
    let time = measured.repair.time.unwrap();
    assert!(time.p50_ms >= 30.0, "the round trip is in it: {}", report.table());
    // Audio is not asked for again; of the video, what is lost is sent until it arrives.
    let (sent, delivered) = (measured.sent.video * 3, measured.delivered.video);
    assert!(delivered * 100 >= sent * 99, "{delivered} of {sent}: {}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_on_two_workers_loses_nothing() {
    let madang = Madang::spread();
    let size = ["--publishers", "2", "--viewers", "10", "--video-bitrate", "500k", "--duration", "3s"];
    let report = run(&madang, &[&size[..], &["--webrtc-share", "0.2"]].concat()).await;
    assert_healthy(&report, 10);
    assert_eq!(report.measured.delivered.video, report.measured.sent.video * 10, "{}", report.table());
    let report = run(&madang, &["meeting", "--participants", "6", "--duration", "3s", "--join-rate", "10"]).await;
    assert_healthy(&report, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_and_go_and_mute() {
    let madang = Madang::start();
    let flags = ["churn", "--participants", "4", "--mutes", "5", "--duration", "3s", "--video-bitrate", "500k"];
    let report = run(&madang, &flags).await;
    assert_eq!(report.measured.joins.failed, 0, "{}", report.table());
    assert!(report.measured.joins.connected.unwrap().count > 4, "somebody was replaced: {}", report.table());
    assert_eq!(report.measured.loss_by, LossBy::Sequence);
    assert!(report.measured.delivered.packets() > 0, "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn smoke_a_meeting_of_ten() {
    let madang = Madang::start();
    let limits = ["--max-loss", "1", "--max-join", "5000", "--max-cpu-us", "500"];
    let report = run(&madang, &[&["meeting", "--duration", "5s", "--join-rate", "10"], &limits[..]].concat()).await;
    assert_healthy(&report, 10);
    assert!(report.verdict.broken.is_empty(), "{}", report.table());
    assert!(report.measured.picture.frames > 0, "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn smoke_a_livestream_of_a_hundred() {
    let madang = Madang::start();
    let size = ["--viewers", "100", "--video-bitrate", "1M", "--join-rate", "50", "--duration", "5s"];
    let limits = ["--max-loss", "1", "--max-join", "5000", "--max-cpu-us", "500", "--webrtc-share", "0.05"];
    let report = run(&madang, &[&size[..], &limits].concat()).await;
    assert_healthy(&report, 100);
    assert!(report.verdict.broken.is_empty(), "{}", report.table());
}
