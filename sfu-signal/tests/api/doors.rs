//! How requests are written by other people's clients and proxies: RFC 9725's details, subprotocols, forwarded headers.

use reqwest::header::{CONTENT_TYPE, ETAG, IF_MATCH, LOCATION};
use reqwest::{Client, Method, Response};
use serde_json::Value;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{Harness, offer, status};
use crate::standard::{code, post, publisher};

/// A published resource, and what its PATCH answers.
struct Resource<'a> {
    harness: &'a Harness,
    token: String,
    location: String,
    tag: String,
}

impl<'a> Resource<'a> {
    async fn create(harness: &'a Harness) -> Self {
        let token = harness.token("demo", "obs");
        let created = post(harness, "/whip/demo", &token, publisher()).await;
        let header = |name| created.headers()[name].to_str().unwrap().to_owned();
        Self { harness, location: header(LOCATION), tag: header(ETAG), token }
    }

    async fn patch(&self, condition: Option<&str>, kind: &str, body: &'static str) -> Response {
        let patch = Client::new().patch(self.harness.url(&self.location)).bearer_auth(&self.token).body(body);
        let patch = patch.header(CONTENT_TYPE, kind);
        let patch = condition.iter().fold(patch, |patch, condition| patch.header(IF_MATCH, *condition));
        patch.send().await.unwrap()
    }
}

#[tokio::test]
async fn patch_has_the_status_codes_of_rfc_9725() {
    let harness = Harness::start().await;
    let resource = Resource::create(&harness).await;
    let kind = "application/trickle-ice-sdpfrag";
    let tag = resource.tag.as_str();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong entity tag: {tag}");
    let (own, other) = ("a=ice-ufrag:abcd\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", "a=ice-ufrag:other\r\n");
    let several = format!("\"stale\", {tag}");
    for condition in [tag, "*", &several] {
        assert_eq!(resource.patch(Some(condition), kind, own).await.status(), 204, "{condition}");
    }
    assert_eq!(resource.patch(Some(tag), kind, "a=end-of-candidates").await.status(), 204);
    let refused = async |condition, kind, body| code(resource.patch(condition, kind, body).await).await;
    assert_eq!(refused(None, kind, own).await, (428, "precondition_required".into()));
    assert_eq!(refused(Some("\"stale\""), kind, own).await, (412, "precondition_failed".into()));
    assert_eq!(refused(Some("*"), kind, other).await, (422, "ice_restart_unsupported".into()));
    assert_eq!(refused(Some(tag), kind, "garbage").await, (400, "bad_request".into()));
    assert_eq!(refused(Some(tag), "application/sdp", own).await, (415, "unsupported_media_type".into()));
}

#[tokio::test]
async fn endpoints_and_resources_may_end_in_a_slash() {
    let harness = Harness::start().await;
    for (path, body) in [("/whip/demo/", publisher()), ("/whep/demo/", offer(&[("video", "recvonly")]))] {
        let token = harness.token("demo", path);
        let created = post(&harness, path, &token, body).await;
        assert_eq!(created.status(), 201, "{path}");
        let resource = format!("{}/", created.headers()[LOCATION].to_str().unwrap());
        let deleted = Client::new().delete(harness.url(&resource)).bearer_auth(&token).send().await.unwrap();
        assert_eq!(deleted.status(), 200, "{resource}");
    }
    assert_eq!(harness.server.counters().participants, 0);
}

#[tokio::test]
async fn pages_of_other_origins_may_read_what_they_need() {
    let harness = Harness::start().await;
    let request = Client::new().post(harness.url("/whip/demo")).bearer_auth(harness.token("demo", "obs"));
    let request = request.header("origin", "https://studio.example").header(CONTENT_TYPE, "application/sdp");
    let created = request.body(publisher()).send().await.unwrap();
    let exposed = created.headers()["access-control-expose-headers"].to_str().unwrap().to_ascii_lowercase();
    for name in ["location", "link", "etag", "accept-patch", "retry-after"] {
        assert!(exposed.split(',').any(|exposed| exposed.trim() == name), "{name} in {exposed}");
    }
    let wrong = Client::new().request(Method::GET, harness.url("/whip/demo")).send().await.unwrap();
    assert!(wrong.headers()["allow"].to_str().unwrap().contains("POST"));
    assert_eq!(code(wrong).await, (405, "method_not_allowed".into()));
}

async fn handshake(harness: &Harness, protocols: &str) -> Result<Option<String>, tungstenite::Error> {
    let mut request = format!("ws://{}/v1/rtc", harness.address).into_client_request().unwrap();
    request.headers_mut().append("sec-websocket-protocol", protocols.parse().unwrap());
    let (_socket, response) = tokio_tungstenite::connect_async(request).await?;
    let chosen = response.headers().get_all("sec-websocket-protocol").iter().collect::<Vec<_>>();
    assert!(chosen.len() <= 1);
    Ok(chosen.first().map(|chosen| chosen.to_str().unwrap().to_owned()))
}

#[tokio::test]
async fn a_token_may_come_as_a_subprotocol_and_is_not_answered() {
    let harness = Harness::start().await;
    let token = format!("token.{}", harness.token("demo", "ann"));
    for offered in [format!("madang.v1, {token}"), format!("{token},madang.v1")] {
        assert_eq!(handshake(&harness, &offered).await.unwrap().as_deref(), Some("madang.v1"));
    }
    assert_eq!(status(handshake(&harness, "madang.v1").await.unwrap_err()), 401);
    assert_eq!(status(handshake(&harness, "madang.v1, token.a.b.c").await.unwrap_err()), 401);
}

#[tokio::test]
async fn behind_a_proxy_urls_are_those_that_clients_know() {
    let forwarded = |harness: &Harness| {
        let headers =
            [("x-forwarded-proto", "https"), ("x-forwarded-host", "meet.example"), ("x-forwarded-prefix", "/sfu")];
        let dev = Client::new().get(harness.url("/dev/token?room=demo&identity=ann"));
        headers.iter().fold(dev, |dev, (name, value)| dev.header(*name, *value)).send()
    };
    let url = async |response: Response| response.json::<Value>().await.unwrap()["url"].as_str().unwrap().to_owned();
    let trusting = Harness::with(|config| config.http.trusted_proxies.0 = vec!["127.0.0.1".parse().unwrap()]).await;
    assert_eq!(url(forwarded(&trusting).await.unwrap()).await, "wss://meet.example/sfu");
    let wary = Harness::start().await;
    assert_eq!(url(forwarded(&wary).await.unwrap()).await, format!("ws://{}", wary.address));

    let public_url = "https://meet.example/sfu".to_owned();
    let named = Harness::with(|config| config.http.public_url = Some(public_url.try_into().unwrap())).await;
    assert_eq!(url(forwarded(&named).await.unwrap()).await, "wss://meet.example/sfu");
    let created = post(&named, "/whip/demo", &named.token("demo", "obs"), publisher()).await;
    let location = created.headers()[LOCATION].to_str().unwrap();
    assert!(location.starts_with("https://meet.example/sfu/whip/demo/SE_"), "{location}");
    // A page that the proxy serves from there is one of our own.
    let token = named.token("demo", "ann");
    let page = Client::new().get(named.url("/v1/rtc")).bearer_auth(token).header("origin", "https://meet.example");
    assert_eq!(code(page.send().await.unwrap()).await, (426, "upgrade_required".into()));
}
