//! WHIP and WHEP, and what HTTP clients see besides.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use sfu_core::control::{ConnectionState, Event};

use crate::harness::{Harness, offer};

pub(crate) async fn post(harness: &Harness, path: &str, token: &str, body: String) -> Response {
    let request = Client::new().post(harness.url(path)).bearer_auth(token).header(CONTENT_TYPE, "application/sdp");
    request.body(body).send().await.unwrap()
}

pub(crate) async fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let error: Value = response.json().await.unwrap();
    (status, error["code"].as_str().unwrap().to_owned())
}

pub(crate) fn publisher() -> String {
    offer(&[("audio", "sendonly"), ("video", "sendonly")])
}

#[tokio::test]
async fn whip_publishes_until_it_is_deleted() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("de mo", "ann").await;
    let token = harness.token("de mo", "obs");
    let created = post(&harness, "/whip/de%20mo", &token, publisher()).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    assert_eq!(created.headers()[CONTENT_TYPE], "application/sdp");
    assert!(created.headers().contains_key("etag"));
    let location = created.headers()[LOCATION].to_str().unwrap().to_owned();
    assert!(location.starts_with("/whip/de%20mo/SE_"), "{location}");
    assert!(created.text().await.unwrap().contains("a=setup:passive"));
    let view = ann.event("track_published").await;
    assert_eq!(view["track"]["source"], "microphone");
    assert_eq!(ann.event("track_published").await["track"]["source"], "camera");

    let stranger = Client::new().delete(harness.url(&location)).bearer_auth(harness.token("de mo", "eve"));
    assert_eq!(stranger.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let delete = Client::new().delete(harness.url(&location)).bearer_auth(&token);
    assert_eq!(delete.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(ann.event("participant_left").await["reason"], "left");
    let delete = Client::new().delete(harness.url(&location)).bearer_auth(&token);
    assert_eq!(delete.send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whoever_has_no_websocket_leaves_when_its_media_path_is_lost() {
    let harness = Harness::with(|config| config.sessions.interruption_grace = Duration::from_millis(300)).await;
    let (mut ann, welcome) = harness.join("demo", "ann").await;
    let connection = |participant: &Value, state| {
        let participant = participant.as_str().unwrap().parse().unwrap();
        harness.media.say(Event::Connection { participant, state });
    };
    let token = harness.token("demo", "obs");
    assert_eq!(post(&harness, "/whip/demo", &token, publisher()).await.status(), StatusCode::CREATED);
    let joined = ann.event("participant_joined").await;
    let obs = &joined["participant"]["id"];

    // One that comes back in time stays, as does whoever has a WebSocket.
    connection(&welcome["participant"]["id"], ConnectionState::Interrupted);
    connection(obs, ConnectionState::Interrupted);
    connection(obs, ConnectionState::Resumed);
    connection(obs, ConnectionState::Interrupted);
    let since = Instant::now();
    let left = ann.event("participant_left").await;
    assert!(since.elapsed() >= Duration::from_millis(300), "it had its grace");
    assert_eq!((&left["participant"], &left["reason"]), (obs, &json!("media_failed")));

    // It comes back as a new session.
    assert_eq!(post(&harness, "/whip/demo", &token, publisher()).await.status(), StatusCode::CREATED);
    assert_eq!(ann.event("participant_joined").await["participant"]["identity"], "obs");
}

/// What the server does not know of an offer is refused by the answer, and the rest is published.
#[tokio::test]
async fn whip_publishes_what_is_accepted() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let hevc = |media| offer(media).replace("VP8/90000", "H265/90000");
    let both = hevc(&[("video", "sendonly"), ("audio", "sendonly")]);
    let created = post(&harness, "/whip/demo", &harness.token("demo", "obs"), both).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    assert!(created.text().await.unwrap().contains("m=video 0 "));
    assert_eq!(ann.event("track_published").await["track"]["source"], "microphone");
    let only = post(&harness, "/whip/demo", &harness.token("demo", "cam"), hevc(&[("video", "sendonly")])).await;
    assert_eq!(only.status(), StatusCode::BAD_REQUEST);
    let error: Value = only.json().await.unwrap();
    assert_eq!(error["code"], "sdp_nothing_in_common");
    let message = error["message"].as_str().unwrap();
    assert!(["video", "mid 0", "H265", "VP8", "media.codecs"].iter().all(|word| message.contains(word)), "{message}");
}

/// Data channels need no track.
#[tokio::test]
async fn whip_takes_an_offer_of_data_only() {
    let harness = Harness::start().await;
    let data = offer(&[("audio", "sendonly")]);
    let data = data.split("m=").next().unwrap().to_owned()
        + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sctp-port:5000\r\n";
    let created = post(&harness, "/whip/demo", &harness.token("demo", "sensor"), data).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    assert!(created.text().await.unwrap().contains("m=application 9 "));
}

/// Pion's players offer to send as well; they are played to.
#[tokio::test]
async fn whep_plays_to_who_offers_to_send() {
    let harness = Harness::start().await;
    let player = offer(&[("audio", "sendrecv"), ("video", "sendrecv"), ("video", "sendonly")]);
    let created = post(&harness, "/whep/demo", &harness.token("demo", "tv"), player).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let answer = created.text().await.unwrap();
    assert!(!answer.contains("a=recvonly") && !answer.contains("a=sendrecv"), "{answer}");
}

#[tokio::test]
async fn whep_plays_and_its_participant_is_in_the_room() {
    let harness = Harness::start().await;
    let (mut ann, _) = harness.join("demo", "ann").await;
    let player = offer(&[("audio", "recvonly"), ("video", "recvonly")]);
    let created = post(&harness, "/whep/demo", &harness.token("demo", "tv"), player).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    assert!(created.headers()[LOCATION].to_str().unwrap().starts_with("/whep/demo/SE_"));
    assert_eq!(ann.event("participant_joined").await["participant"]["identity"], "tv");
}

#[tokio::test]
async fn standard_clients_need_the_right_token() {
    let harness = Harness::start().await;
    let response = Client::new().post(harness.url("/whip/demo")).body(publisher()).send().await.unwrap();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(code(response).await, (401, "token_missing".into()));
    let other = harness.token("other", "obs");
    assert_eq!(code(post(&harness, "/whip/demo", &other, publisher()).await).await, (403, "wrong_room".into()));
    let mut viewer = harness.claims("demo", "tv");
    viewer.video.can_publish = Some(false);
    let viewer = harness.mint(&viewer);
    assert_eq!(code(post(&harness, "/whip/demo", &viewer, publisher()).await).await, (403, "permission_denied".into()));
    assert_eq!(harness.server.counters().participants, 0);
}

#[tokio::test]
async fn bad_bodies_get_their_errors() {
    let harness = Harness::with(|config| config.limits.http_body_bytes = 5000).await;
    let token = harness.token("demo", "obs");
    let nothing = offer(&[("audio", "recvonly")]);
    assert_eq!(code(post(&harness, "/whip/demo", &token, nothing).await).await, (400, "bad_request".into()));
    assert_eq!(code(post(&harness, "/whip/demo", &token, "hello".into()).await).await, (400, "sdp_malformed".into()));
    let long = "x".repeat(6000);
    assert_eq!(code(post(&harness, "/whip/demo", &token, long).await).await, (413, "message_too_large".into()));
    let json = Client::new().post(harness.url("/whip/demo")).bearer_auth(&token).json(&json!({}));
    assert_eq!(code(json.send().await.unwrap()).await, (415, "unsupported_media_type".into()));
    assert_eq!(code(reqwest::get(harness.url("/whip/demo")).await.unwrap()).await, (405, "method_not_allowed".into()));
}

#[tokio::test]
async fn preflights_are_answered() {
    let harness = Harness::with(|config| config.http.allowed_origins = vec!["https://meet.example".into()]).await;
    let preflight = |origin: &'static str| {
        let request = Client::new().request(Method::OPTIONS, harness.url("/whip/demo")).header("origin", origin);
        request.header("access-control-request-method", "POST").send()
    };
    let allowed = preflight("https://meet.example").await.unwrap();
    assert!(allowed.status().is_success());
    assert_eq!(allowed.headers()["accept-post"], "application/sdp");
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://meet.example");
    let foreign = preflight("https://evil.example").await.unwrap();
    assert!(!foreign.headers().contains_key("access-control-allow-origin"));
    let token = harness.token("demo", "ann");
    let page = Client::new().get(harness.url(&format!("/v1/rtc?access_token={token}")));
    let page = page.header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(code(page).await, (403, "origin_not_allowed".into()));
}

#[tokio::test]
async fn the_dev_endpoint_signs_with_no_other_key() {
    let harness = Harness::with(|config| {
        // Before the development key in the order of names.
        config.keys.0 = [("a-production-key".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())].into();
    })
    .await;
    let response = reqwest::get(harness.url("/dev/token?room=demo&identity=ann")).await.unwrap();
    assert_eq!(code(response).await, (401, "token_unknown_key".into()));
}

#[tokio::test]
async fn tokens_for_everybody_only_in_dev_mode() {
    let path = "/dev/token?room=demo&identity=ann&name=Ann";
    let harness = Harness::start().await;
    let dev: Value = reqwest::get(harness.url(path)).await.unwrap().json().await.unwrap();
    assert_eq!(dev["url"], format!("ws://{}", harness.address));
    let mut ann = harness.open(&format!("access_token={}", dev["token"].as_str().unwrap())).await.unwrap();
    assert_eq!(ann.request(crate::harness::join_request()).await["participant"]["name"], "Ann");
    let harness = Harness::with(|config| config.dev = false).await;
    assert_eq!(reqwest::get(harness.url(path)).await.unwrap().status(), StatusCode::NOT_FOUND);
}
