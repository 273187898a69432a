//! Each limit has its error, and hurts nobody else.

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::{Value, json};
use sfu_core::control::{DataLimit, Event};
use sfu_signal::config::DEV_KEY;
use sfu_signal::tokens::{Claims, VideoGrant, unix_now};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, Harness, join_request, offer, status};

async fn refused(harness: &Harness, token: &str) -> (u16, String) {
    let upgrade = harness.open(&format!("access_token={token}")).await.err().map(status);
    let response = reqwest::get(harness.url(&format!("/v1/rtc?access_token={token}"))).await.unwrap();
    assert_eq!(upgrade, Some(response.status().as_u16()), "with and without an upgrade the same");
    let status = response.status().as_u16();
    let error: Value = response.json().await.unwrap();
    (status, error["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn bad_tokens_get_401_and_403_and_nothing_else() {
    let harness = Harness::start().await;
    let expired = Claims { exp: unix_now().as_secs() - 120, ..harness.claims("demo", "ann") };
    assert_eq!(refused(&harness, &harness.mint(&expired)).await, (401, "token_expired".into()));
    assert_eq!(refused(&harness, "not.a.token").await, (401, "token_invalid".into()));
    let stranger = harness.token("demo", "ann").replace('.', "x.");
    assert_eq!(refused(&harness, &stranger).await.0, 401);
    let joinless = Claims { video: VideoGrant::default(), iss: DEV_KEY.into(), ..harness.claims("demo", "ann") };
    assert_eq!(refused(&harness, &harness.mint(&joinless)).await, (403, "permission_denied".into()));
    assert_eq!(reqwest::get(harness.url("/v1/rtc")).await.unwrap().status(), 401);
    // A good token without an upgrade: nothing is wrong but the missing WebSocket.
    let good = format!("/v1/rtc?access_token={}", harness.token("demo", "ann"));
    assert_eq!(reqwest::get(harness.url(&good)).await.unwrap().status(), 426);
}

#[tokio::test]
async fn an_upgrade_is_as_the_rfc_wants_it() {
    let harness = Harness::start().await;
    let url = harness.url(&format!("/v1/rtc?access_token={}", harness.token("demo", "ann")));
    let whole = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let status = async |headers: &[(&str, &str)]| {
        let request = headers
            .iter()
            .fold(reqwest::Client::new().get(&url), |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        let accept = response.headers().get("sec-websocket-accept").map(|accept| accept.to_str().unwrap().to_owned());
        (response.status().as_u16(), accept)
    };
    // The example of RFC 6455 section 1.3.
    assert_eq!(status(&whole).await, (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into())));
    for missing in 0..whole.len() {
        let rest: Vec<_> =
            whole.into_iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, header)| header).collect();
        assert_eq!(status(&rest).await, (426, None), "without {}", whole[missing].0);
    }
    for (place, wrong) in [(0, "close"), (1, "h2c"), (2, "8")] {
        let mut headers = whole;
        headers[place].1 = wrong;
        assert_eq!(status(&headers).await, (426, None), "{wrong}");
    }
}

#[tokio::test]
async fn the_first_message_is_a_join_and_comes_in_time() {
    let harness = Harness::with(|config| config.sessions.join_timeout = Duration::from_millis(300)).await;
    let mut client = open(&harness, "ann").await;
    assert_eq!(client.request(json!({"type": "ping", "timestamp": 0})).await["code"], "not_joined");
    assert_eq!(client.receive().await.unwrap()["code"], "join_timeout");
    client.closed().await;
    let mut client = open(&harness, "ann").await;
    let mut request = join_request();
    request["protocol"] = 99.into();
    assert_eq!(client.request(request).await["code"], "unsupported_protocol");
    assert_eq!(client.request(join_request()).await["type"], "joined");
    assert_eq!(client.request(join_request()).await["code"], "already_joined");
}

#[tokio::test]
async fn malformed_messages_are_answered_and_survived() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    for (text, id) in [("", 0), ("[]", 0), ("{\"id\":9,\"type\":\"dance\"}", 9), ("{\"id\":8,\"type\":\"mute\"}", 8)] {
        ann.send(text).await;
        let reply = ann.receive().await.unwrap();
        assert_eq!((&reply["code"], &reply["id"]), (&json!("bad_request"), &json!(id)), "{text}");
    }
    ann.socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(ann.receive().await.unwrap()["code"], "bad_request");
    let pin = json!({"type": "slots", "pins": [{"slot": 7, "participant": "PA_000000000000000000000000"}]});
    assert_eq!(ann.request(pin).await["code"], "bad_request");
    assert_eq!(ann.request(json!({"type": "mute", "track": "TR_x", "muted": true})).await["code"], "bad_request");
    let foreign = json!({"type": "mute", "track": "TR_000000000000000000000000", "muted": true});
    assert_eq!(ann.request(foreign).await["code"], "not_found");
}

#[tokio::test]
async fn offers_have_limits() {
    let harness = Harness::with(|config| {
        config.limits.media_per_offer = 4;
        config.limits.sdp_bytes = 4000;
    })
    .await;
    let mut client = open(&harness, "ann").await;
    let join = |offer: String| {
        let mut request = join_request();
        request["offer"] = offer.into();
        request
    };
    let (many, long, wrong) = (offer(&[("audio", "sendonly"); 5]), "x".repeat(4001), "hello".to_owned());
    assert_eq!(client.request(join(many)).await["code"], "sdp_too_many_media");
    assert_eq!(client.request(join(long)).await["code"], "sdp_too_large");
    assert_eq!(client.request(join(wrong)).await["code"], "sdp_malformed");
    assert_eq!(harness.server.counters().participants, 0);
    assert_eq!(client.request(join_request()).await["type"], "joined");
}

#[tokio::test]
async fn rooms_and_tracks_have_limits() {
    let harness = Harness::with(|config| {
        config.limits.participants_per_room = 1;
        config.limits.tracks_per_participant = 1;
    })
    .await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let mut bob = open(&harness, "bob").await;
    let refused = bob.request(join_request()).await;
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("room_full"), &json!(true)));
    assert_eq!(ann.publish("9", "camera").await["code"], "mid_unusable");
    assert_eq!(ann.publish("0", "camera").await["code"], "kind_mismatch");
    assert_eq!(ann.publish("1", "camera").await["type"], "published");
    assert_eq!(ann.publish("0", "microphone").await["code"], "too_many_tracks");
    // The same identity takes no further place.
    harness.join("demo", "ann").await;
}

#[tokio::test]
async fn messages_have_limits() {
    let harness = Harness::with(|config| {
        config.limits.message_bytes = 8000;
        config.limits.messages_per_second = 5;
    })
    .await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let mut limited = 0;
    for _ in 0..30 {
        let reply = ann.request(json!({"type": "ping", "timestamp": 0})).await;
        limited += u32::from(reply["code"] == "rate_limited");
    }
    // After each that is refused nothing is read until the next would pass.
    assert!((5..=20).contains(&limited), "{limited}");
    ann.send(&format!("{{\"id\":77,\"type\":\"ping\",\"x\":\"{}\"}}", "x".repeat(9000))).await;
    assert_eq!(ann.receive().await.unwrap()["code"], "message_too_large");
    ann.closed().await;
}

#[tokio::test]
async fn rooms_are_not_created_where_that_is_off() {
    let harness = Harness::with(|config| config.rooms.auto_create = false).await;
    assert_eq!(open(&harness, "ann").await.request(join_request()).await["code"], "room_not_found");
    let mut claims = harness.claims("demo", "host");
    claims.video.room_create = true;
    let (_host, _) = harness.join_as(&claims).await;
    harness.join("demo", "ann").await;
}

#[tokio::test]
async fn sources_are_granted_one_by_one() {
    let harness = Harness::start().await;
    let mut claims = harness.claims("demo", "ann");
    claims.video.can_publish_sources = vec!["microphone".into()];
    let (mut ann, _) = harness.join_as(&claims).await;
    assert_eq!(ann.publish("1", "camera").await["code"], "permission_denied");
    assert_eq!(ann.publish("0", "microphone").await["type"], "published");
}

async fn open(harness: &Harness, identity: &str) -> Client {
    harness.open(&format!("access_token={}", harness.token("demo", identity))).await.unwrap()
}

#[tokio::test]
async fn limits_of_data_channels_are_told_to_whom_they_concern() {
    let harness = Harness::start().await;
    let (mut ann, joined) = harness.join("demo", "ann").await;
    let participant = joined["participant"]["id"].as_str().unwrap().parse().unwrap();
    for (limit, lost, name) in [(DataLimit::Rate, 40, "rate"), (DataLimit::Reading, u64::MAX, "reading")] {
        harness.media.say(Event::DataLimited { participant, limit, lost });
        let told = ann.event("data_limited").await;
        assert_eq!((&told["limit"], &told["lost"]), (&json!(name), &json!(lost.min(u64::from(u32::MAX)))));
    }
}
