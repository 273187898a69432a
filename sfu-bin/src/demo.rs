//! The demo app, embedded; a page that says how to get it where it was not built.
//!
//! Its pages may run no script and take no style but the server's own files, so that what strangers write or send cannot become a
//! part of the page: nothing inline, no plugin, no foreign frame. Connections go anywhere, because `?url=` may name another server,
//! for which the page asks the person first.

use std::borrow::Cow;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;
use sfu_signal::config::HttpConfig;

#[derive(RustEmbed)]
#[folder = "../sdk-js/demo/dist"]
#[allow_missing = true]
struct Assets;

const MISSING: &str = include_str!("demo_missing.html");

/// The policy but for its `frame-ancestors` (CSP level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; \
                      connect-src 'self' ws: wss: http: https:; base-uri 'none'; form-action 'none'; frame-ancestors ";

/// What every answer says besides.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Links of the call lead nowhere with the room's name.
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(self), microphone=(self), display-capture=(self)"),
];

/// Serves the demo for every path that `router` does not know, unless it is switched off. Pages of `frame_ancestors` may
/// show it in a frame.
pub(crate) fn mount(router: Router, config: &HttpConfig) -> Router {
    if !config.demo {
        return router;
    }
    let policy = policy(&config.frame_ancestors);
    router.fallback(get(async move |uri: Uri, headers: HeaderMap| guarded(asset(&uri, &headers), policy)))
}

/// The whole policy. Where an entry is no origin, none counts.
fn policy(frame_ancestors: &[String]) -> HeaderValue {
    let are_origins = frame_ancestors.iter().all(|origin| !origin.contains([';', ',', ' ']));
    let allowed = if are_origins { frame_ancestors.join(" ") } else { String::new() };
    let allowed = if allowed.is_empty() { "'none'" } else { &allowed };
    HeaderValue::from_str(&format!("{POLICY}{allowed}"))
        .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

fn guarded(mut response: Response, policy: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn asset(uri: &Uri, headers: &HeaderMap) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    let Some(file) = Assets::get(path) else {
        return if path == "index.html" {
            Html(MISSING).into_response()
        } else {
            StatusCode::NOT_FOUND.into_response()
        };
    };
    let etag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..16]));
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    let headers = [
        (header::CONTENT_TYPE, mime.essence_str().to_owned()),
        (header::ETAG, etag),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    // What is built in is sent from where it is: a client that does not read must not cost a copy.
    let body = match file.data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => data.into(),
    };
    (headers, body).into_response()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_page_and_nothing_outside_the_folder() {
        let get = |path: &'static str| asset(&Uri::from_static(path), &HeaderMap::new()).status();
        assert_eq!(get("/"), StatusCode::OK);
        assert_eq!(get("/no/such/file.js"), StatusCode::NOT_FOUND);
        assert_eq!(get("/../Cargo.toml"), StatusCode::NOT_FOUND);
    }

    #[test]
    fn pages_run_nothing_but_the_servers_own_files() {
        let response = guarded(StatusCode::OK.into_response(), policy(&[]));
        let policy_text = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        for wanted in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy_text.split("; ").any(|part| part == wanted), "{wanted} in {policy_text}");
        }
        assert!(!policy_text.contains("unsafe"));
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(response.headers()[header::REFERRER_POLICY], "no-referrer");
        // The page that stands in for a demo that was not built has nothing that the policy would refuse.
        assert!(!MISSING.contains("<script") && !MISSING.contains("style"));
    }

    #[test]
    fn frames_are_as_configured() {
        let text = policy(&["https://a.test".into(), "https://b.test".into()]);
        assert!(text.to_str().unwrap().ends_with("frame-ancestors https://a.test https://b.test"));
        assert_eq!(policy(&["https://a.test\n".into()]), "default-src 'none'; frame-ancestors 'none'");
        assert_eq!(policy(&["https://a.test; script-src *".into()]), policy(&[]));
    }
}
