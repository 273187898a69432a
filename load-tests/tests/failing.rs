//! A worker of the real server panics under calls: its rooms are back within two seconds, and nobody else notices.
//!
//! Release builds of the server know no command for that: run it with a debug build.

#![cfg(debug_assertions)]

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use clap::Parser;
use load_tests::cli::{Cli, Command};
use load_tests::fleet::{Fleet, Member, Role};
use serde_json::Value;
use support::Madang;

/// What users are promised.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// Media flows within this time on a machine that builds something else beside.
const PATIENCE: Duration = Duration::from_secs(20);

/// One room with two synthetic participants, who send and receive audio and video.
struct Call {
    fleet: Fleet,
    members: Vec<Member>,
    worker: u64,
}

impl Call {
    async fn start(madang: &Madang, room: &str) -> Self {
        let flags =
            ["madang-load", "run", "--quiet", "--url", &madang.url, "--room", room, "meeting", "--participants", "2"];
        let Command::Run(args) = Cli::parse_from([&flags[..], &["--threads", "1"]].concat()).command else {
            panic!("it is a run")
        };
        let fleet = Fleet::new(&args, args.resolve().unwrap()).unwrap();
        let mut call = Self { fleet, members: Vec::new(), worker: 0 };
        call.join().await;
        call.join().await;
        call.wait_for_media(Instant::now() + PATIENCE).await;
        // Rooms are opened one after the other.
        call.worker = opened_on(&madang.log()).pop().expect("a room was opened");
        call
    }

    async fn join(&mut self) {
        self.members.push(self.fleet.join(0, Role::PARTICIPANT, false).await.unwrap());
    }

    /// Until everybody has seen the other.
    async fn wait_for_media(&self, deadline: Instant) {
        let sees = |member: &Member| member.join_times().first_keyframe.is_some();
        while !self.members.iter().all(sees) {
            assert!(Instant::now() < deadline, "media came too late");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// As the SDK does: who is told that the media thread failed joins again at once.
    async fn come_back(&mut self) {
        let panicked = Instant::now();
        for member in std::mem::take(&mut self.members) {
            let reason = tokio::time::timeout(BACK_WITHIN, member.ended()).await.expect("told at once");
            assert_eq!(reason.as_deref(), Some("media_restarted"));
            member.leave(&self.fleet.engine).await;
        }
        self.join().await;
        self.join().await;
        self.wait_for_media(panicked + BACK_WITHIN).await;
    }

    /// Distinct packets that came, and those that did not.
    async fn received(&self) -> (u64, u64) {
        let [audio, video] = self.fleet.engine.collect().await.unwrap().sequences;
        (audio.distinct + video.distinct, audio.lost() + video.lost())
    }
}

/// The workers of the rooms that were opened so far.
fn opened_on(log: &[String]) -> Vec<u64> {
    let lines = log.iter().map(|line| serde_json::from_str::<Value>(line).expect("every line is JSON"));
    lines.filter(|line| line["message"] == "room opened").map(|line| line["worker"].as_u64().unwrap()).collect()
}

async fn get(operator: &str, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("http://{operator}{path}")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_panics_costs_its_rooms_two_seconds_and_others_nothing() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let operator = free.to_string();
    let madang = Madang::breakable(&operator);
    let mut calls: Vec<Call> = Vec::new();
    // Rooms go where the load is least, which is not for a test to say: two on one worker and one on the other are there soon.
    let of = |calls: &[Call], worker| calls.iter().filter(|call| call.worker == worker).count();
    while !matches!((of(&calls, 0), of(&calls, 1)), (2.., 1..) | (1.., 2..)) {
        assert!(calls.len() < 8, "rooms are spread over workers");
        calls.push(Call::start(&madang, &format!("room {}", calls.len())).await);
    }
    let broken = u64::from(of(&calls, 1) >= 2);
    let (mut victims, others): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.worker == broken);

    let mut before = Vec::new();
    for call in &others {
        before.push(call.received().await);
    }
    let response = reqwest::Client::new().post(format!("http://{operator}/test/panic/{broken}")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    futures_util::future::join_all(victims.iter_mut().map(Call::come_back)).await;

    for (call, (came, lost)) in others.iter().zip(before) {
        let now = call.received().await;
        assert!(now.0 > came, "media goes on elsewhere");
        assert_eq!(now.1, lost, "and nothing of it is lost");
        assert!(call.members.iter().all(|member| member.failure().is_none()));
    }
    assert_eq!(get(&operator, "/livez").await, (200, "ok\n".to_owned()));
    let (_, metrics) = get(&operator, "/metrics").await;
    for line in [
        format!("madang_worker_restarts_total{{worker=\"{broken}\"}} 1"),
        format!("madang_worker_restarts_total{{worker=\"{}\"}} 0", 1 - broken),
        format!("madang_worker_in_service{{worker=\"{broken}\"}} 1"),
        "madang_panics_total 1".to_owned(),
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} of {metrics}");
    }
    let log: Vec<Value> = madang.log().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let panic = log.iter().find(|line| line["message"] == "panic: a test asked for it").expect("one line");
    assert_eq!((&panic["level"], &panic["worker"]), (&"ERROR".into(), &broken.into()));
    assert!(panic["location"].as_str().unwrap().contains("command.rs"), "{panic}");
    let report = log.iter().find(|line| line["last"] == "command Panic").expect("what it was handed last");
    assert_eq!(report["worker"], broken);
}
