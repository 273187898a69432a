//! What a client without a token, or with one and bad intentions, can make the server keep.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::Harness;
use crate::room::eventually;

/// Sends the head of a POST and some of its body; the answer's status, and how long it took.
async fn half_post(harness: &Harness, path: &str, headers: &str, body: usize) -> (String, Duration) {
    let started = Instant::now();
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 262144\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may have answered and closed before all of it was taken.
    let _ = stream.write_all(&vec![b'a'; body]).await;
    let mut line = vec![0; 12];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut line)).await;
    read.expect("an answer in time").expect("an answer");
    (String::from_utf8(line).unwrap(), started.elapsed())
}

const SDP: &str = "Content-Type: application/sdp\r\n";

#[tokio::test]
async fn nothing_is_read_for_who_may_not_send_it() {
    let harness = Harness::with(|config| config.http.body_timeout = Duration::from_secs(60)).await;
    let bearer = |claims| format!("Authorization: Bearer {}\r\n", harness.mint(&claims));
    let mut viewer = harness.claims("demo", "tv");
    viewer.video.can_publish = Some(false);
    for (path, headers, wanted) in [
        ("/whip/demo", SDP.to_owned(), "401"),
        ("/whep/demo", format!("{SDP}Authorization: Bearer a.b.c\r\n"), "401"),
        ("/whip/demo", SDP.to_owned() + &bearer(harness.claims("other", "ann")), "403"),
        ("/whip/demo", SDP.to_owned() + &bearer(viewer), "403"),
        ("/whip/demo", bearer(harness.claims("demo", "ann")), "415"),
        ("/nowhere", SDP.to_owned(), "404"),
    ] {
        let (line, _) = half_post(&harness, path, &headers, 1000).await;
        assert!(line.ends_with(wanted), "{path} {headers}: {line}");
    }
    assert_eq!(harness.server.counters().body_bytes, 0);
}

#[tokio::test]
async fn bodies_have_a_deadline_and_a_budget() {
    let harness = Harness::with(|config| {
        config.http.body_timeout = Duration::from_millis(300);
        config.http.body_budget = 100_000;
    })
    .await;
    let headers = format!("{SDP}Authorization: Bearer {}\r\n", harness.token("demo", "ann"));
    let (line, took) = half_post(&harness, "/whip/demo", &headers, 1000).await;
    assert!(line.ends_with("408") && took >= Duration::from_millis(300), "{line} after {took:?}");
    let (line, took) = half_post(&harness, "/whip/demo", &headers, 200_000).await;
    assert!(line.ends_with("503") && took < Duration::from_secs(5), "{line} after {took:?}");
    eventually(|| harness.server.counters().body_bytes == 0).await;
    let code = |code| harness.server.counters().errors.iter().find(|(known, _)| known.as_str() == code).unwrap().1;
    assert_eq!((code("request_timeout"), code("server_busy")), (1, 1));
}

#[tokio::test]
async fn sockets_without_a_token_shut_nobody_out() {
    let harness = Harness::with(|config| {
        config.http.connections = 40;
        config.http.strangers_per_address = 40;
    })
    .await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(harness.address).await.unwrap());
    }
    harness.join("demo", "bob").await;
    assert_eq!(ann.event("participant_joined").await["participant"]["identity"], "bob");
    let connections = harness.listener.counters().connections;
    let open = |state| connections.iter().find(|(name, _)| *name == state).unwrap().1;
    assert!(open("stranger") <= 20 && open("joined") >= 1, "{connections:?}");
}

#[tokio::test]
async fn pings_pongs_and_binary_frames_cost_what_messages_cost() {
    for frame in [Message::Ping(vec![1].into()), Message::Pong(vec![1].into()), Message::binary(vec![1])] {
        let harness = Harness::with(|config| config.limits.messages_per_second = 5).await;
        let (mut ann, _) = harness.join("demo", "ann").await;
        let started = Instant::now();
        for _ in 0..20 {
            ann.socket.feed(frame.clone()).await.unwrap();
        }
        ann.socket.flush().await.unwrap();
        let reply = ann.request(json!({"type": "ping", "timestamp": 0})).await;
        // Nine of them are free beside the join; each of the rest costs at least half of a fifth of a second.
        assert!(started.elapsed() >= Duration::from_millis(900), "{frame:?}: {:?}", started.elapsed());
        assert!(reply["type"] == "pong" || reply["code"] == "rate_limited", "{reply}");
    }
}

#[tokio::test]
async fn a_replay_that_does_not_fit_becomes_a_snapshot() {
    let harness = Harness::with(|config| {
        config.sessions.queue_messages = 4;
        config.sessions.replay_events = 256;
    })
    .await;
    let (ann, joined) = harness.join("demo", "ann").await;
    drop(ann);
    let mut others = Vec::new();
    for number in 0..8 {
        others.push(harness.join("demo", &format!("bob{number}")).await.0);
    }
    let (mut ann, resumed) = harness.resume(&joined, 0).await;
    let participants = resumed["snapshot"]["participants"].as_array().expect("a snapshot, not half of the events");
    assert_eq!(participants.len(), 8);
    others[0].request(json!({"type": "leave"})).await;
    ann.event("participant_left").await;
}
