//! A short run against the real server: what `madang-load run` does, from the flags to the report.

mod support;

use clap::Parser;
use load_tests::cli::{Cli, Command};
use load_tests::report::Report;
use support::Madang;

async fn run(madang: &Madang, flags: &[&str]) -> Report {
    let pid = madang.pid().to_string();
    let fixed = ["madang-load", "run", "--quiet", "--url", &madang.url, "--server-pid", &pid, "--duration", "2s"];
    let Command::Run(args) = Cli::parse_from([&fixed[..], flags].concat()).command;
    load_tests::run::run(&args).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_call_is_measured() {
    let madang = Madang::start();
    let report = run(&madang, &["--publishers", "2", "--viewers", "3", "--video-bitrate", "500k"]).await;
    let measured = &report.measured;
    assert_eq!(measured.starved_viewers, 0, "{}", report.table());
    assert!(measured.loss_percent < 1.0, "{}", report.table());
    assert_eq!(measured.joins.first_keyframe.unwrap().count, 3);
    // Two seconds of two publishers, whom a busy machine may slow down.
    assert!((60..=124).contains(&(measured.sent.video / 2)), "{}", report.table());
    assert!((100..=202).contains(&measured.sent.audio), "{}", report.table());
    let cpu = measured.server.unwrap().us_per_packet.unwrap();
    assert!(cpu > 0.0 && cpu < 1_000.0, "{}", report.table());
    assert_eq!(report.scenario.packets_per_frame, 2);
    assert!(report.environment.loopback);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audio_room_has_no_video() {
    let madang = Madang::start();
    let report = run(&madang, &["--viewers", "2", "--video-bitrate", "0", "--max-cpu-us", "0.000001"]).await;
    assert_eq!((report.measured.sent.video, report.measured.delivered.video), (0, 0));
    assert!(report.measured.delivered.audio > 100, "{}", report.table());
    assert_eq!(report.verdict.broken.len(), 1, "no server is that fast: {}", report.table());
}
