//! No token and no secret in any log, at the most talkative level.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

use crate::harness::{Harness, offer};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_hold_no_token_and_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false);
    tracing::subscriber::set_global_default(subscriber.with_writer(move || writer.clone()).finish()).unwrap();

    let harness = Harness::start().await;
    let (mut ann, joined) = harness.join("private", "ann").await;
    let token = harness.token("private", "obs");
    let whip = reqwest::Client::new().post(harness.url("/whip/private")).bearer_auth(&token);
    let whip = whip.header("content-type", "application/sdp").body(offer(&[("audio", "sendonly")]));
    whip.send().await.unwrap();
    let bad = format!("{token}x");
    reqwest::get(harness.url(&format!("/v1/rtc?access_token={bad}"))).await.unwrap();
    harness.resume(&joined, 0).await;
    ann.closed().await;
    let (mut bob, _) = harness.join("private", "bob").await;
    let secret = joined["secret"].as_str().unwrap();
    bob.request(json!({"type": "mute", "track": secret, "muted": true})).await;

    let text = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(text.contains("/v1/rtc") && text.contains("participant joined"), "the log is captured");
    let ours: String = text.lines().filter(|line| !line.contains("hyper_util::client")).collect();
    for hidden in [secret, &token, &bad, "access_token", "eyJ"] {
        assert!(!ours.contains(hidden), "{hidden} was logged");
    }
}
