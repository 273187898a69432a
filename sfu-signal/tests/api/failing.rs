//! Parts of the server that fail, clients that flood or do not read: what others notice of it.

use std::time::{Duration, Instant};

use serde_json::json;
use sfu_core::control::Event;
use sfu_signal::JoinResult;

use crate::harness::{Harness, join_request};
use crate::room::eventually;

fn results(harness: &Harness) -> impl Fn(JoinResult) -> u64 {
    let counted = harness.server.counters().join_results;
    move |wanted| counted.iter().find(|(result, _)| *result == wanted).unwrap().1
}

/// Red if those whose worker lost its rooms are not told, cannot come back at once, or if anybody else notices.
#[tokio::test]
async fn who_lived_on_a_worker_that_lost_its_rooms_is_told_and_can_join_again() {
    let harness = Harness::with(|config| config.rooms.participants_per_worker = 1).await;
    let (mut ann, first) = harness.join("spread", "ann").await;
    let (mut bob, _) = harness.join("spread", "bob").await;
    let (mut eve, alone) = harness.join("single", "eve").await;
    let on = |joined: &serde_json::Value| harness.media.worker_of(&joined["participant"]["id"]);
    assert_eq!([on(&first), on(&alone)], [0, 0]);
    harness.media.say(Event::RoomsLost { worker: 0 });
    for client in [&mut ann, &mut eve] {
        assert_eq!(client.event("disconnected").await["reason"], "media_restarted");
        client.closed().await;
    }
    let left = bob.event("participant_left").await;
    assert_eq!((&left["participant"], &left["reason"]), (&first["participant"]["id"], &json!("media_restarted")));
    assert_eq!(harness.server.counters().participants, 1, "bob's part of the room goes on");
    let (_eve, again) = harness.join("single", "eve").await;
    assert_ne!(again["room"]["id"], alone["room"]["id"], "a new room under the same name");
    let (_ann, back) = harness.join("spread", "ann").await;
    assert_eq!(back["room"]["id"], first["room"]["id"]);
    assert_eq!(on(&back), 0, "the room is spread to the worker again");
    assert_eq!(bob.event("participant_joined").await["participant"]["identity"], "ann");
    harness.media.say(Event::RoomsLost { worker: 1 });
    assert_eq!(bob.event("disconnected").await["reason"], "media_restarted");
}

#[tokio::test]
async fn a_request_to_a_worker_that_lost_its_rooms_fails_at_once() {
    let harness = Harness::start().await;
    let mut ann = harness.open(&format!("access_token={}", harness.token("demo", "ann"))).await.unwrap();
    harness.media.set_deaf(true);
    let began = Instant::now();
    let request = ann.request(join_request());
    let lose = async {
        eventually(|| harness.media.commands().last().is_some_and(|command| command == "Join")).await;
        harness.media.say(Event::RoomsLost { worker: 0 });
    };
    let (refused, ()) = tokio::join!(request, lose);
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("media_restarted"), &json!(true)));
    assert!(began.elapsed() < Duration::from_secs(4), "not by a timeout");
    harness.media.set_deaf(false);
    assert_eq!(ann.request(join_request()).await["type"], "joined");
    assert_eq!(results(&harness)(JoinResult::MediaRestarted), 1);
}

/// Red if what one member sends is copied to each that does not read, or waits for them without a bound.
#[tokio::test]
async fn a_flood_of_updates_is_told_once_a_second() {
    let harness = Harness::with(|config| config.limits.messages_per_second = 1_000).await;
    let mut claims = harness.claims("demo", "ann");
    claims.video.can_update_own_metadata = Some(true);
    let (mut ann, _) = harness.join_as(&claims).await;
    let (mut bob, _) = harness.join("demo", "bob").await;
    let began = Instant::now();
    for number in 0..200 {
        let metadata = format!("{number}{}", "x".repeat(8_000));
        assert_eq!(ann.request(json!({"type": "update", "metadata": metadata})).await["type"], "ok");
    }
    let mut told = 0;
    loop {
        told += 1;
        let update = bob.event("participant_updated").await;
        if update["participant"]["metadata"].as_str().unwrap().starts_with("199x") {
            break;
        }
    }
    let most = began.elapsed().as_secs() + 2;
    assert!(told <= most, "{told} in {:?}", began.elapsed());
}

/// Red if somebody who toggles as fast as it can is told to everybody, or if it cannot mute any more.
#[tokio::test]
async fn publishing_and_unmuting_have_a_rate_and_taking_back_has_none() {
    let harness = Harness::with(|config| {
        config.limits.track_changes_per_second = 1;
        config.limits.tracks_per_participant = 1;
    })
    .await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let published = ann.publish("1", "camera").await;
    let track = published["track"]["id"].clone();
    let mute = |muted: bool| json!({"type": "mute", "track": track, "muted": muted});
    let mut refused = None;
    for _ in 0..10 {
        assert_eq!(ann.request(mute(true)).await["type"], "ok", "whoever mutes is muted");
        let reply = ann.request(mute(false)).await;
        if reply["type"] == "error" {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("a limit");
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("rate_limited"), &json!(true)));
    assert_eq!(ann.request(json!({"type": "unpublish", "track": track})).await["type"], "ok");
    assert_eq!(ann.publish("1", "camera").await["code"], "rate_limited");
    // A token grows each second.
    let deadline = Instant::now() + Duration::from_secs(5);
    while ann.publish("1", "camera").await["type"] != "published" {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Red if parallel joins of one identity enter past the limit.
#[tokio::test]
async fn parallel_joins_of_one_identity_do_not_pass_the_limit() {
    let harness = Harness::with(|config| config.limits.participants_per_room = 2).await;
    harness.media.set_deaf(true);
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = harness.open(&format!("access_token={}", harness.token("demo", "ann"))).await.unwrap();
        let mut request = join_request();
        request["id"] = 1.into();
        client.send(&request.to_string()).await;
        clients.push(client);
    }
    eventually(|| results(&harness)(JoinResult::RoomFull) == 4).await;
    assert_eq!(harness.server.counters().participants, 2);
}

/// Red if a client that was told nothing keeps a shutdown waiting, or joins meanwhile.
#[tokio::test]
async fn a_websocket_that_has_not_joined_does_not_hold_up_a_shutdown() {
    let harness = Harness::start().await;
    let mut ann = harness.open(&format!("access_token={}", harness.token("demo", "ann"))).await.unwrap();
    let began = Instant::now();
    let reader = tokio::spawn(async move {
        let told = ann.receive().await.unwrap();
        ann.closed().await;
        told
    });
    harness.server.shutdown(Duration::from_secs(8)).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(reader.await.unwrap()["code"], "shutting_down");
}

/// Red if joins that are on their way when the server stops are in a room afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn no_join_survives_a_shutdown() {
    for _ in 0..10 {
        let harness = Harness::start().await;
        let mut joins = tokio::task::JoinSet::new();
        for number in 0..20 {
            let token = harness.token(&format!("room {}", number % 5), &format!("user {number}"));
            let mut client = harness.open(&format!("access_token={token}")).await.unwrap();
            joins.spawn(async move {
                let mut request = join_request();
                request["id"] = 1.into();
                client.send(&request.to_string()).await;
                while client.receive().await.is_some() {}
            });
        }
        harness.server.shutdown(Duration::from_secs(5)).await;
        while joins.join_next().await.is_some() {}
        assert_eq!(harness.server.counters().participants, 0);
    }
}

/// Red if a client that says something but takes nothing lives for ever.
#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_however_much_it_says() {
    let harness = Harness::with(|config| {
        config.sessions.ping_interval = Duration::from_millis(200);
        config.sessions.queue_messages = 1 << 20;
        config.sessions.queue_bytes = 1 << 30;
        config.limits.messages_per_second = 100_000;
    })
    .await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    // Nobody reads: replies fill the socket, and then the server's writer waits.
    let flood = tokio::spawn(async move {
        let text = json!({"id": 7, "type": "stats"}).to_string();
        while let Ok(()) = ann.try_send(&text).await {}
    });
    let cut = tokio::time::timeout(Duration::from_secs(20), flood).await;
    assert!(cut.is_ok(), "the WebSocket lives on");
    eventually(|| harness.server.counters().websockets == 0).await;
}

#[tokio::test]
async fn joins_are_counted_by_what_became_of_them() {
    let harness = Harness::start().await;
    let (_ann, ann) = harness.join("demo", "ann").await;
    let (mut bob, _) = harness.join("demo", "bob").await;
    let (_cat, cat) = harness.join("demo", "cat").await;
    harness.media.connect(ann["participant"]["id"].as_str().unwrap());
    harness.media.fail(cat["participant"]["id"].as_str().unwrap(), "no packets");
    bob.request(json!({"type": "leave"})).await;
    let refused = harness.open("access_token=not.a.token").await;
    assert!(refused.is_err());
    harness.server.set_short_of(Some("memory"));
    let mut dan = harness.open(&format!("access_token={}", harness.token("demo", "dan"))).await.unwrap();
    let refused = dan.request(join_request()).await;
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("server_busy"), &json!(true)));
    assert!(refused["message"].as_str().unwrap().contains("memory"), "{refused}");
    harness.server.set_short_of(None);
    let count = || {
        let count = results(&harness);
        [JoinResult::Ok, JoinResult::NoMedia, JoinResult::Abandoned, JoinResult::Unauthorized, JoinResult::Busy]
            .map(count)
    };
    eventually(|| count() == [1; 5]).await;
    assert_eq!(dan.request(join_request()).await["type"], "joined");
    assert_eq!(harness.server.counters().joins, 4, "those that were answered");
}
