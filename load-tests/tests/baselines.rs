//! The baselines forward: what they are compared by is real work.

mod support;

use clap::Parser;
use load_tests::baseline;
use load_tests::cli::{Baseline, BaselineArgs, Cli, Command};
use load_tests::report::Report;
use tokio::sync::oneshot;

async fn run_against(kind: Baseline) -> Report {
    let (ready, address) = oneshot::channel();
    let args = BaselineArgs { kind, bind: ([127, 0, 0, 1], 0).into() };
    let server = tokio::spawn(async move { baseline::serve(&args, |address| drop(ready.send(address))).await });
    let url = format!("http://{}", address.await.unwrap());
    let flags = ["--target", "whip-whep", "--viewers", "3", "--video-bitrate", "500k", "--duration", "2s", "--quiet"];
    let command = Cli::parse_from([&["madang-load", "run", "--url", &url], &flags[..]].concat()).command;
    let Command::Run(args) = command else { panic!("it is a run") };
    let report = load_tests::run::run(&args).await.unwrap();
    server.abort();
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn every_baseline_delivers_what_is_sent() {
    for kind in [Baseline::Floor, Baseline::FloorSendto, Baseline::Webrtc] {
        let report = run_against(kind).await;
        let measured = &report.measured;
        assert_eq!((measured.starved, measured.refused), (0, 0), "{kind:?}\n{}", report.table());
        assert!(measured.loss_percent < 1.0 && measured.delivered.video > 200, "{kind:?}\n{}", report.table());
    }
}
