//! What HTTP says of a WebSocket that is refused. The SDK's tests replay these answers, so the file holds what a server
//! really says. `UPDATE_GOLDEN=1` records it anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use reqwest::header::ORIGIN;
use serde_json::{Value, json};

use crate::harness::Harness;

const GOLDEN: &str = "tests/golden/http_refusals.json";

async fn ask(harness: &Harness, query: &str, origin: Option<&str>) -> Value {
    let request = reqwest::Client::new().get(harness.url(&format!("/v1/rtc?{query}")));
    let request = origin.into_iter().fold(request, |request, origin| request.header(ORIGIN, origin));
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let mut body: Value = response.json().await.unwrap();
    assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    // Texts may change, the rest may not.
    body["message"] = json!("for people");
    json!({"status": status, "body": body})
}

#[tokio::test]
async fn http_says_why_a_websocket_was_refused() {
    let harness = Harness::with(|config| config.http.allowed_origins = vec!["https://ours.test".into()]).await;
    let good = format!("access_token={}", harness.token("demo", "ann"));
    let mut late = harness.claims("demo", "ann");
    late.exp = 1;
    let mut no_join = harness.claims("demo", "ann");
    no_join.video.room_join = false;
    let mut answers = BTreeMap::new();
    for (name, query, origin) in [
        ("upgrade_required", good.clone(), None),
        ("session_gone", "session=SE_000000000000000000000000".into(), None),
        ("token_missing", String::new(), None),
        ("token_invalid", "access_token=nonsense".into(), None),
        ("token_expired", format!("access_token={}", harness.mint(&late)), None),
        ("permission_denied", format!("access_token={}", harness.mint(&no_join)), None),
        ("origin_not_allowed", good.clone(), Some("https://foreign.test")),
    ] {
        answers.insert(name, ask(&harness, &query, origin).await);
    }
    harness.server.shutdown(Duration::from_secs(1)).await;
    answers.insert("shutting_down", ask(&harness, &good, None).await);
    for (name, answer) in &answers {
        assert_eq!(answer["body"]["code"], *name);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let lines = answers.iter().map(|(name, answer)| format!(" {name:?}: {answer}")).collect::<Vec<_>>();
    let text = format!("{{\n{}\n}}\n", lines.join(",\n"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{GOLDEN} is not what the server says");
}
