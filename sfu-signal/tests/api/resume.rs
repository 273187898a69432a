//! A lost WebSocket does not lose the participant.

use std::time::Duration;

use serde_json::json;
use sfu_core::control::{Event, SlotContent};

use crate::harness::{Harness, status};
use crate::room::eventually;

#[tokio::test]
async fn a_resume_replays_exactly_what_was_missed() {
    let harness = Harness::start().await;
    let (ann, joined) = harness.join("demo", "ann").await;
    drop(ann);
    let (mut bob, _) = harness.join("demo", "bob").await;
    bob.publish("1", "camera").await;
    let (mut ann, resumed) = harness.resume(&joined, 0).await;
    assert_eq!((&resumed["type"], resumed.get("snapshot")), (&json!("resumed"), None));
    assert_eq!(ann.event("participant_joined").await["seq"], 1);
    assert_eq!(ann.event("track_published").await["seq"], 2);
    assert_eq!(ann.event("slots").await["seq"], 3);
    // Live events follow on the same count.
    bob.request(json!({"type": "leave"})).await;
    assert_eq!(ann.event("participant_left").await["seq"], resumed["seq"].as_u64().unwrap() + 1);
    assert_eq!(ann.publish("1", "camera").await["type"], "published");
}

#[tokio::test]
async fn a_publish_that_is_said_twice_is_one_track() {
    let harness = Harness::start().await;
    let (mut ann, joined) = harness.join("r", "ann").await;
    let first = ann.publish("0", "microphone").await;
    drop(ann);
    let (mut ann, _) = harness.resume(&joined, 0).await;
    assert_eq!(ann.publish("0", "microphone").await, first);
    let other = ann.request(json!({"type": "publish", "mid": "0", "source": "screen_share_audio"})).await;
    assert_eq!(other["code"], "mid_unusable");
}

#[tokio::test]
async fn who_missed_too_much_gets_a_snapshot() {
    let harness = Harness::with(|config| config.sessions.replay_events = 2).await;
    let (ann, joined) = harness.join("demo", "ann").await;
    drop(ann);
    let (mut bob, _) = harness.join("demo", "bob").await;
    bob.publish("1", "camera").await;
    bob.publish("0", "microphone").await;
    let (mut ann, resumed) = harness.resume(&joined, 0).await;
    let snapshot = &resumed["snapshot"];
    assert_eq!(snapshot["participants"][0]["tracks"].as_array().unwrap().len(), 2);
    assert_eq!(snapshot["slots"][0]["participant"], snapshot["participants"][0]["id"]);
    bob.request(json!({"type": "leave"})).await;
    ann.event("participant_left").await;
}

#[tokio::test]
async fn a_resume_needs_the_secret_and_not_the_token() {
    let harness = Harness::start().await;
    let (mut ann, joined) = harness.join("demo", "ann").await;
    let mut forged = joined.clone();
    forged["secret"] = json!("00".repeat(32));
    let (_, refused) = harness.resume(&forged, 0).await;
    assert_eq!(refused["code"], "session_gone");
    // The real one goes on, and replaces a WebSocket that is still open.
    let (mut again, resumed) = harness.resume(&joined, 0).await;
    assert_eq!(resumed["type"], "resumed");
    ann.closed().await;
    assert_eq!(again.request(json!({"type": "ping", "timestamp": 2})).await["type"], "pong");
    assert_eq!(status(harness.open("session=SE_000000000000000000000000").await.err().unwrap()), 404);
    // Without a token, only a resume is a first message.
    let session = joined["session"].as_str().unwrap();
    let mut other = harness.open(&format!("session={session}")).await.unwrap();
    assert_eq!(other.request(crate::harness::join_request()).await["code"], "token_missing");
}

#[tokio::test]
async fn a_seq_from_the_future_gets_a_snapshot() {
    let harness = Harness::start().await;
    let (ann, joined) = harness.join("demo", "ann").await;
    drop(ann);
    let (_, resumed) = harness.resume(&joined, u64::MAX).await;
    assert!(resumed["snapshot"].is_object());
}

#[tokio::test]
async fn who_does_not_come_back_in_time_has_left() {
    let harness = Harness::with(|config| config.sessions.resume_grace = Duration::from_millis(50)).await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let (bob, _) = harness.join("demo", "bob").await;
    drop(bob);
    assert_eq!(ann.event("participant_left").await["reason"], "signal_lost");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_may_resume() {
    let harness = Harness::with(|config| {
        config.sessions.queue_messages = 4;
        config.sessions.replay_events = 8;
        config.limits.messages_per_second = 100_000;
    })
    .await;
    let (ann, joined) = harness.join("demo", "ann").await;
    let participant = joined["participant"]["id"].as_str().unwrap().parse().unwrap();
    let empty = |slot| SlotContent { slot, participant: None, audio: None, video: None };
    for revision in 1..5_000 {
        let slots = (0..=u8::MAX).map(empty).collect();
        harness.media.say_patiently(Event::Slots { participant, revision, slots }).await;
        if harness.server.counters().slow_clients > 0 {
            break;
        }
    }
    eventually(|| harness.server.counters().slow_clients > 0).await;
    let (_again, resumed) = harness.resume(&joined, 0).await;
    assert!(resumed["snapshot"].is_object());
    drop(ann);
}
