//! The demo app, embedded; a page that says how to get it where it was not built.

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../sdk-js/demo/dist"]
#[allow_missing = true]
struct Assets;

const MISSING: &str = include_str!("demo_missing.html");

/// Serves the demo for every path that `router` does not know.
pub(crate) fn mount(router: Router) -> Router {
    router.fallback(get(asset))
}

async fn asset(uri: Uri, headers: HeaderMap) -> Response {
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
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, file.data.into_owned()).into_response()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_always_a_page_and_nothing_outside_the_folder() {
        let get = async |path: &'static str| asset(Uri::from_static(path), HeaderMap::new()).await.status();
        assert_eq!(get("/").await, StatusCode::OK);
        assert_eq!(get("/no/such/file.js").await, StatusCode::NOT_FOUND);
        assert_eq!(get("/../Cargo.toml").await, StatusCode::NOT_FOUND);
    }
}
