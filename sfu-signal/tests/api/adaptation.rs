//! What is said about adaptation: wishes in, streams, demand, speakers and qualities out, and the explanation of a room.

use serde_json::{Value, json};
use sfu_core::control::{
    ConnectionQuality, EncodingDemand, Event, Limit, ParticipantExplanation, Priority, Quality, RoomExplanation,
    SentLayer, Size, Speaker, StreamState, SubscriptionExplanation, SubscriptionSettings,
};
use sfu_signal::tokens::VideoGrant;

use crate::harness::{Client, Harness};
use crate::room::eventually;

fn sent(bitrate: u64) -> SentLayer {
    let size = Some(Size { width: 640, height: 360 });
    SentLayer { rid: Some("h".into()), spatial: 0, temporal: 2, size, bitrate }
}

fn state(track: &Value, limit: Limit) -> StreamState {
    let layer = (limit != Limit::Hidden).then(|| sent(600_000));
    StreamState { track: id(track), layer, limit, estimate: Some(800_000) }
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

fn streams(participant: &Value, states: Vec<StreamState>) -> Event {
    Event::Streams { participant: id(participant), streams: states }
}

/// Ann who watches Bob's camera: her client and id, his, his track, and her `joined`.
async fn watching(harness: &Harness) -> (Client, Value, Client, Value, Value) {
    let (mut ann, joined) = harness.join("demo", "ann").await;
    let (mut bob, other) = harness.join("demo", "bob").await;
    let track = bob.publish("1", "camera").await["track"]["id"].clone();
    ann.event("slots").await;
    (ann, joined, bob, other["participant"]["id"].clone(), track)
}

#[tokio::test]
async fn wishes_reach_the_media_plane() {
    let harness = Harness::start().await;
    let (mut ann, joined, _bob, _, track) = watching(&harness).await;
    let wish = json!({"track": track, "visible": false, "width": 320, "height": 180, "maxFps": 15, "priority": "low"});
    let gone = json!({"track": "TR_000000000000000000000000"});
    assert_eq!(ann.request(json!({"type": "configure", "tracks": [gone, wish]})).await["type"], "ok");
    let wanted = SubscriptionSettings {
        visible: false,
        size: Some(Size { width: 320, height: 180 }),
        max_fps: Some(15),
        max_quality: Quality::High,
        priority: Priority::Low,
        enabled: true,
    };
    assert_eq!(harness.media.wish(&joined["participant"]["id"], &track), Some(wanted));
    // What is not said again has its default again.
    ann.request(json!({"type": "configure", "tracks": [{"track": track}]})).await;
    assert_eq!(harness.media.wish(&joined["participant"]["id"], &track), Some(SubscriptionSettings::default()));
}

#[tokio::test]
async fn wishes_have_limits() {
    let harness = Harness::start().await;
    let (mut ann, _, _bob, _, track) = watching(&harness).await;
    let many = vec![json!({"track": track}); 257];
    assert_eq!(ann.request(json!({"type": "configure", "tracks": many})).await["code"], "bad_request");
    let half = json!({"type": "configure", "tracks": [{"track": track, "width": 320}]});
    assert_eq!(ann.request(half).await["code"], "bad_request");
    assert_eq!(ann.request(json!({"type": "configure", "tracks": [{"track": "x"}]})).await["code"], "bad_request");
    let mut claims = harness.claims("demo", "eve");
    claims.video.can_subscribe = Some(false);
    let (mut eve, _) = harness.join_as(&claims).await;
    let refused = eve.request(json!({"type": "configure", "tracks": [{"track": track}]})).await;
    assert_eq!(refused["code"], "permission_denied");
}

#[tokio::test]
async fn streams_and_demand_come_as_events_and_in_snapshots() {
    let harness = Harness::with(|config| config.sessions.replay_events = 2).await;
    let (mut ann, joined, mut bob, bob_id, track) = watching(&harness).await;
    let me = joined["participant"]["id"].clone();
    harness.media.say(streams(&me, vec![state(&track, Limit::Bandwidth)]));
    let told = ann.event("streams").await["streams"].clone();
    let layer = json!({"rid": "h", "spatial": 0, "temporal": 2, "width": 640, "height": 360, "bitrate": 600_000});
    assert_eq!(told, json!([{"track": track, "layer": layer, "limit": "bandwidth", "estimate": 800_000}]));

    let encodings =
        ["q", "h"].map(|rid| EncodingDemand { rid: Some(rid.into()), wanted: rid == "q", max_spatial: None });
    let participant = id(&bob_id);
    harness.media.say(Event::Demand { participant, track: id(&track), encodings: encodings.to_vec() });
    let demand = bob.event("demand").await;
    let wanted = json!([{"rid": "q", "wanted": true}, {"rid": "h", "wanted": false}]);
    assert_eq!((&demand["track"], &demand["encodings"]), (&track, &wanted));

    harness.media.say(streams(&me, vec![state(&track, Limit::Hidden)]));
    assert_eq!(ann.event("streams").await["streams"][0]["layer"], Value::Null);
    let (_, resumed) = harness.resume(&joined, 0).await;
    assert_eq!(resumed["snapshot"]["streams"][0]["limit"], "hidden", "the last of each");
    assert_eq!(resumed["snapshot"].get("demand"), None, "others' demand is not hers");
}

#[tokio::test]
async fn what_is_said_of_a_track_goes_with_it() {
    let harness = Harness::with(|config| config.sessions.replay_events = 1).await;
    let (mut ann, joined, mut bob, _, track) = watching(&harness).await;
    let me = joined["participant"]["id"].clone();
    harness.media.say(streams(&me, vec![state(&track, Limit::None)]));
    ann.event("streams").await;
    bob.request(json!({"type": "unpublish", "track": track})).await;
    ann.event("slots").await;
    harness.media.say(streams(&me, vec![state(&track, Limit::None)]));
    let (mut ann, resumed) = harness.resume(&joined, 0).await;
    assert_eq!(resumed["snapshot"].get("streams"), None);
    ann.request(json!({"type": "ping", "timestamp": 0})).await;
    assert_eq!(ann.last_seq, resumed["seq"].as_u64().unwrap(), "nobody hears of a track that is gone");
}

fn speakers(room: &Value, of: &[(&Value, f32)]) -> Event {
    let speakers = of.iter().map(|(participant, level)| Speaker { participant: id(participant), level: *level });
    Event::Speakers { room: id(room), speakers: speakers.collect() }
}

#[tokio::test]
async fn everybody_hears_who_speaks_and_how_connections_are() {
    let harness = Harness::start().await;
    let (mut ann, joined, mut bob, bob_id, _) = watching(&harness).await;
    let room = joined["room"]["id"].clone();
    let before = ann.last_seq;
    let nobody = json!("PA_000000000000000000000000");
    harness.media.say(speakers(&room, &[(&bob_id, 0.456_78), (&nobody, 0.3)]));
    let wanted = json!([{"participant": bob_id, "level": 0.46}]);
    let told = ann.event("speakers").await;
    assert_eq!((&told["speakers"], &told["seq"]), (&wanted, &json!(0)));
    assert_eq!(bob.event("speakers").await["speakers"], wanted, "oneself, too");
    let qualities = vec![(id(&bob_id), ConnectionQuality::Poor), (id(&nobody), ConnectionQuality::Good)];
    harness.media.say(Event::Qualities { room: id(&room), qualities });
    let wanted_qualities = json!([{"participant": bob_id, "quality": "poor"}]);
    assert_eq!(ann.event("qualities").await["qualities"], wanted_qualities);
    assert_eq!(ann.last_seq, before, "neither is counted");

    let (_eve, late) = harness.join("demo", "eve").await;
    assert_eq!((&late["speakers"], &late["qualities"]), (&wanted, &wanted_qualities));
    // A replay has none of it: what is true now follows.
    drop(ann);
    let (mut ann, resumed) = harness.resume(&joined, before).await;
    assert_eq!(resumed.get("snapshot"), None);
    assert_eq!(ann.event("speakers").await["speakers"], wanted);
    assert_eq!(ann.event("qualities").await["qualities"], wanted_qualities);
    // Who left speaks no more.
    bob.request(json!({"type": "leave"})).await;
    ann.event("participant_left").await;
    let (_joe, later) = harness.join("demo", "joe").await;
    assert_eq!((later.get("speakers"), later.get("qualities")), (None, None));
}

#[tokio::test]
async fn a_slow_client_misses_state_of_the_moment_and_is_told_the_whole_later() {
    let harness = Harness::with(|config| config.sessions.queue_messages = 4).await;
    let (mut ann, joined, _bob, bob_id, _) = watching(&harness).await;
    let room = joined["room"]["id"].clone();
    // More than sockets buffer, while Ann reads nothing: 15 MB.
    const TOLD: usize = 5000;
    for round in 0..TOLD {
        let level = f32::from((round % 100) as u8) / 100.0;
        harness.media.say_patiently(speakers(&room, &[(&bob_id, level); 50])).await;
    }
    harness.media.say_patiently(speakers(&room, &[(&bob_id, 1.0)])).await;
    let mut heard = 1;
    while ann.event("speakers").await["speakers"][0]["level"] != 1.0 {
        heard += 1;
    }
    assert!(heard < TOLD, "she heard all: nothing was slow");
    assert_eq!(harness.server.counters().slow_clients, 0, "nobody is disconnected for it");
    assert_eq!(ann.request(json!({"type": "ping", "timestamp": 1})).await["type"], "pong");
}

fn explanation(ann: &Value, bob: &Value, room: &Value, track: &Value) -> RoomExplanation {
    let subscription = SubscriptionExplanation {
        publisher: id(bob),
        slot: 0,
        wanted: SubscriptionSettings {
            size: Some(Size { width: 1280, height: 720 }),
            ..SubscriptionSettings::default()
        },
        available: vec![sent(600_000)],
        decision: state(track, Limit::Bandwidth),
        flowing: Some(sent(590_000)),
        since_ms: 1500,
        reason: "360p: the connection carries 0.8 Mbps.".into(),
    };
    let participant = ParticipantExplanation {
        participant: id(ann),
        quality: Some(ConnectionQuality::Good),
        estimate: Some(800_000),
        estimate_source: Some("twcc"),
        budget: Some(750_000),
        rtt_ms: Some(12.5),
        loss: 0.25,
        limited: 0,
        subscriptions: vec![subscription],
    };
    RoomExplanation { room: id(room), participants: vec![participant] }
}

#[tokio::test]
async fn a_room_is_explained_with_names() {
    let harness = Harness::start().await;
    let (_ann, joined, _bob, bob_id, track) = watching(&harness).await;
    let (ann_id, room) = (&joined["participant"]["id"], &joined["room"]["id"]);
    harness.media.explain(explanation(ann_id, &bob_id, room, &track));
    let mut claims = harness.claims("demo", "operator");
    claims.video = VideoGrant { room_admin: true, room: "demo".into(), ..VideoGrant::default() };
    let get = |room: &str, claims| {
        let request = reqwest::Client::new().get(harness.url(&format!("/v1/rooms/{room}/explain")));
        request.bearer_auth(harness.mint(claims)).send()
    };
    let found = get("demo", &claims).await.unwrap();
    assert_eq!(found.status(), 200);
    let mut text = found.text().await.unwrap();
    for (id, name) in [(ann_id, "PA_0123456789abcdef01234567"), (&bob_id, "PA_89abcdef0123456789abcdef")] {
        text = text.replace(id.as_str().unwrap(), name);
    }
    text = text.replace(room.as_str().unwrap(), "RM_0123456789abcdef01234567");
    text = text.replace(track.as_str().unwrap(), "TR_0123456789abcdef01234567");
    let golden = include_str!("../golden/http_explain.json");
    let (found, wanted): (Value, Value) = (serde_json::from_str(&text).unwrap(), serde_json::from_str(golden).unwrap());
    assert_eq!(found, wanted, "{found:#}");
}

#[tokio::test]
async fn only_the_rooms_administrators_have_it_explained() {
    let harness = Harness::start().await;
    let (_ann, _) = harness.join("demo", "ann").await;
    let ask = async |room: &str, video: VideoGrant| {
        let claims = sfu_signal::tokens::Claims { video, ..harness.claims("demo", "operator") };
        let request = reqwest::Client::new().get(harness.url(&format!("/v1/rooms/{room}/explain")));
        let found = request.bearer_auth(harness.mint(&claims)).send().await.unwrap();
        let status = found.status().as_u16();
        (status, found.json::<Value>().await.unwrap()["code"].as_str().unwrap().to_owned())
    };
    let admin = |room: &str| VideoGrant { room_admin: true, room: room.into(), ..VideoGrant::default() };
    let joiner = VideoGrant { room_join: true, room: "demo".into(), ..VideoGrant::default() };
    assert_eq!(ask("demo", joiner).await, (403, "permission_denied".into()));
    assert_eq!(ask("demo", admin("other")).await, (403, "wrong_room".into()));
    assert_eq!(ask("demo", admin("")).await, (403, "wrong_room".into()), "no token administers every room");
    assert_eq!(ask("empty", admin("empty")).await, (404, "room_not_found".into()));
    assert_eq!(ask("demo", admin("demo")).await, (404, "room_not_found".into()), "the worker has closed it");
    let bare = reqwest::get(harness.url("/v1/rooms/demo/explain")).await.unwrap();
    assert_eq!(bare.status(), 401);
    eventually(|| harness.media.commands().iter().filter(|command| *command == "Explain").count() == 1).await;
}
