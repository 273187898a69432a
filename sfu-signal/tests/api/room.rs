//! People in a room see each other, and nobody else's room.

use std::time::Duration;

use serde_json::json;
use sfu_signal::tokens::{Claims, VideoGrant, unix_now};

use crate::harness::{Client, Harness, join_request, offer};

#[tokio::test]
async fn two_participants_see_each_other_come_publish_mute_and_leave() {
    let harness = Harness::start().await;
    let (mut ann, joined) = harness.join("demo", "ann").await;
    assert!(joined["answer"].as_str().unwrap().starts_with("v=0"));
    assert_eq!(joined["participants"], json!([]));
    assert_eq!(joined["room"]["name"], "demo");

    let (mut bob, joined) = harness.join("demo", "bob").await;
    assert_eq!(joined["participants"][0]["identity"], "ann");
    let bob_id = joined["participant"]["id"].clone();
    assert_eq!(ann.event("participant_joined").await["participant"]["id"], bob_id);

    let published = bob.publish("1", "camera").await;
    let track = published["track"]["id"].clone();
    let event = ann.event("track_published").await;
    assert_eq!((&event["participant"], &event["track"]["id"]), (&bob_id, &track));
    let slots = ann.event("slots").await;
    assert_eq!(slots["slots"][0]["video"], json!({"track": track, "after": null}));
    assert_eq!(ann.request(json!({"type": "slots_ack", "revision": slots["revision"]})).await["type"], "ok");

    harness.media.start_track(bob_id.as_str().unwrap(), track.as_str().unwrap());
    assert_eq!(ann.event("track_updated").await["track"]["codec"], "VP8");
    assert_eq!(bob.request(json!({"type": "mute", "track": track, "muted": true})).await["type"], "ok");
    assert_eq!(ann.event("track_updated").await["track"]["muted"], true);

    assert_eq!(bob.request(json!({"type": "unpublish", "track": track})).await["type"], "ok");
    assert_eq!(ann.event("track_unpublished").await["track"], track);
    assert_eq!(bob.request(json!({"type": "leave"})).await["type"], "ok");
    bob.closed().await;
    let left = ann.event("participant_left").await;
    assert_eq!((&left["participant"], &left["reason"]), (&bob_id, &json!("left")));
}

#[tokio::test]
async fn a_late_comer_finds_tracks_and_slots_in_its_snapshot() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    ann.publish("0", "microphone").await;
    let track = ann.publish("1", "camera").await["track"]["id"].clone();
    let (_bob, joined) = harness.join("demo", "bob").await;
    assert_eq!(joined["participants"][0]["tracks"].as_array().unwrap().len(), 2);
    assert_eq!(joined["slots"][0]["video"]["track"], track);
    assert_eq!(joined["slotsRevision"], 1);
}

#[tokio::test]
async fn tracks_of_the_join_are_published_with_it() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let mut bob = harness.open(&format!("access_token={}", harness.token("demo", "bob"))).await.unwrap();
    let mut request = join_request();
    request["publish"] = json!([{"mid": "0", "source": "microphone", "muted": true}, {"mid": "1", "source": "camera"}]);
    let joined = bob.request(request).await;
    assert_eq!(joined["published"][0]["muted"], true);
    assert_eq!(joined["published"][1]["source"], "camera");
    assert_eq!(joined["participant"]["tracks"], joined["published"]);
    ann.event("participant_joined").await;
    assert_eq!(ann.event("track_published").await["track"], joined["published"][0]);
}

#[tokio::test]
async fn rooms_do_not_see_each_other() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("one", "ann").await;
    let (mut bob, joined) = harness.join("two", "bob").await;
    assert_eq!(joined["participants"], json!([]));
    bob.publish("1", "camera").await;
    assert_eq!(ann.request(json!({"type": "ping", "timestamp": 1.0})).await["timestamp"], 1.0);
    assert_eq!(ann.last_seq, 0);
}

#[tokio::test]
async fn the_same_identity_replaces_the_older_one() {
    let harness = Harness::start().await;
    let (mut eve, _) = harness.join("demo", "eve").await;
    let (mut old, first) = harness.join("demo", "ann").await;
    let (_new, second) = harness.join("demo", "ann").await;
    assert_eq!(old.event("disconnected").await["reason"], "duplicate_identity");
    old.closed().await;
    assert_ne!(first["participant"]["id"], second["participant"]["id"]);
    assert_eq!(second["participants"].as_array().unwrap().len(), 1);
    assert_eq!(eve.event("participant_left").await["reason"], "duplicate_identity");
    // A session that was replaced is not resumed into two of the same.
    let url = format!("session={}", first["session"].as_str().unwrap());
    assert_eq!(crate::harness::status(harness.open(&url).await.err().unwrap()), 404);
}

#[tokio::test]
async fn hidden_participants_are_not_seen_and_publish_nothing() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let mut claims = harness.claims("demo", "spy");
    claims.video = VideoGrant { hidden: true, ..claims.video };
    let (mut spy, joined) = harness.join_as(&claims).await;
    assert_eq!(joined["participants"][0]["identity"], "ann");
    assert_eq!(spy.publish("1", "camera").await["code"], "permission_denied");
    spy.request(json!({"type": "leave"})).await;
    ann.request(json!({"type": "ping", "timestamp": 0})).await;
    assert_eq!(ann.last_seq, 0);
}

#[tokio::test]
async fn own_attributes_change_where_the_token_allows_it() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let update = json!({"type": "update", "name": "Bob", "attributes": {"hand": "up"}});
    assert_eq!(ann.request(update.clone()).await["code"], "permission_denied");
    let mut claims = harness.claims("demo", "bob");
    claims.video.can_update_own_metadata = Some(true);
    let (mut bob, _) = harness.join_as(&claims).await;
    assert_eq!(bob.request(update).await["type"], "ok");
    let seen = ann.event("participant_updated").await;
    assert_eq!(
        (&seen["participant"]["name"], &seen["participant"]["attributes"]["hand"]),
        (&json!("Bob"), &json!("up"))
    );
    bob.request(json!({"type": "update", "attributes": {"hand": ""}})).await;
    assert_eq!(ann.event("participant_updated").await["participant"]["attributes"], json!({}));
}

#[tokio::test]
async fn a_failed_media_path_ends_its_participant() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let (mut bob, joined) = harness.join("demo", "bob").await;
    harness.media.fail(joined["participant"]["id"].as_str().unwrap(), "the handshake timed out");
    let event = bob.event("disconnected").await;
    assert_eq!((&event["reason"], &event["message"]), (&json!("media_failed"), &json!("the handshake timed out")));
    bob.closed().await;
    assert_eq!(ann.event("participant_left").await["reason"], "media_failed");
}

#[tokio::test]
async fn a_token_that_is_about_to_expire_is_refreshed_once() {
    let harness = Harness::start().await;
    let exp = unix_now().as_secs() + 5;
    let short = Claims { exp, ..harness.claims("demo", "ann") };
    let (mut ann, _) = harness.join_as(&short).await;
    let token = ann.event("token").await["token"].as_str().unwrap().to_owned();
    let renewed = harness.server.keyring().verify(&token).unwrap();
    assert_eq!((&renewed.sub, &renewed.video), (&short.sub, &short.video), "the same rights");
    assert!(renewed.exp >= exp + 50);
    let (_bob, _) = harness.join("demo", "bob").await;
    assert_eq!(ann.event("participant_joined").await["seq"], ann.last_seq, "no second token came before");
    assert_eq!(ann.last_seq, 2);
}

#[tokio::test]
async fn further_offers_are_answered_and_layouts_only_grow() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let more = offer(&[
        ("audio", "sendonly"),
        ("video", "sendonly"),
        ("audio", "recvonly"),
        ("video", "recvonly"),
        ("audio", "recvonly"),
    ]);
    let slots = json!([{"role": "pair", "audio": "2", "video": "3"}, {"role": "audio", "audio": "4"}]);
    let reply = ann.request(json!({"type": "offer", "offer": more, "slots": slots})).await;
    assert!(reply["answer"].as_str().unwrap().contains("a=mid:4"), "{reply}");
    let reply = ann.request(json!({"type": "offer", "offer": more, "slots": [{"role": "audio", "audio": "4"}]})).await;
    assert_eq!(reply["code"], "slot_layout");
    assert_eq!(ann.request(json!({"type": "stats"})).await["stats"]["rtt_ms"], 1.5);
}

#[tokio::test]
async fn shutdown_tells_everybody_and_returns_in_time() {
    let harness = Harness::with(|config| config.sessions.retry_after = Duration::from_millis(1500)).await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let reader = tokio::spawn(async move {
        let event = ann.event("disconnected").await;
        ann.closed().await;
        event
    });
    let before = std::time::Instant::now();
    harness.server.shutdown(Duration::from_secs(5)).await;
    assert!(before.elapsed() < Duration::from_secs(4));
    let event = reader.await.unwrap();
    assert_eq!((&event["reason"], &event["retryAfterMs"]), (&json!("server_shutdown"), &json!(1500)));
    assert!(!harness.server.is_ready());
    let token = harness.token("demo", "bob");
    let refused = harness.open(&format!("access_token={token}")).await;
    assert_eq!(crate::harness::status(refused.err().unwrap()), 503);
    assert!(harness.media.commands().ends_with(&["Leave".into(), "CloseRoom".into()]));
}

#[tokio::test]
async fn an_empty_room_closes_and_its_name_is_free() {
    let harness = Harness::with(|config| config.rooms.empty_timeout = Duration::from_millis(50)).await;
    let (mut ann, first) = harness.join("demo", "ann").await;
    ann.request(json!({"type": "leave"})).await;
    eventually(|| harness.server.counters().rooms == 0).await;
    let (_ann, second) = harness.join("demo", "ann").await;
    assert_ne!(first["room"]["id"], second["room"]["id"]);
}

#[tokio::test]
async fn a_room_that_outgrows_a_worker_is_spread() {
    let harness = Harness::with(|config| config.rooms.participants_per_worker = 2).await;
    let mut clients = Vec::new();
    for identity in ["ann", "bob", "cat", "dan", "eve"] {
        clients.push(harness.join("demo", identity).await);
    }
    let on = |joined: &serde_json::Value| harness.media.worker_of(&joined["participant"]["id"]);
    assert!(clients.iter().map(|(_, joined)| on(joined)).eq([0, 0, 1, 1, 0]), "then evenly, since there is no third");
    let cat = &mut clients[2].0;
    assert_eq!(cat.publish("1", "camera").await["type"], "published");
    assert_eq!(cat.request(json!({"type": "leave"})).await["type"], "ok");
    let fay = harness.join("demo", "fay").await;
    assert_eq!(on(&fay.1), 1, "there is a place again");
    harness.server.shutdown(Duration::from_millis(200)).await;
    assert!(harness.media.commands().ends_with(&["CloseRoom".into(), "CloseRoom".into()]), "every part is closed");
}

#[tokio::test]
async fn a_leave_is_not_lost_on_a_busy_worker() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    harness.media.set_busy(true);
    assert_eq!(ann.publish("1", "camera").await["code"], "server_busy");
    assert_eq!(ann.request(json!({"type": "leave"})).await["type"], "ok");
    harness.media.set_busy(false);
    eventually(|| harness.media.commands().last().is_some_and(|command| command == "Leave")).await;
    let (_ann, _): (Client, _) = harness.join("demo", "ann").await;
}

pub(crate) async fn eventually(condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came true");
}
