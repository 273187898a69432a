//! The HTTP side: routes, CORS, errors as JSON, and what is logged of a request (its path, never its query nor its headers).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::trace::TraceLayer;

use crate::config::{DEV_KEY, HttpConfig};
use crate::error::{ErrorCode, SignalError};
use crate::forwarded::Base;
use crate::listener::Client;
use crate::protocol::WireError;
use crate::server::Server;
use crate::tokens::{Claims, VideoGrant, unix_now};

/// How long a token of dev mode lives, in seconds.
const DEV_TOKEN_LIFE: u64 = 6 * 3600;

/// Seconds after which a client may try again what the server was too busy for.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

pub(crate) fn router(server: Arc<Server>) -> axum::Router {
    let mut router = axum::Router::new()
        .route("/v1/rtc", get(crate::ws::rtc))
        .route("/v1/rooms/{room}/explain", get(crate::explain::explain))
        .merge(crate::resource::router());
    if server.config.dev {
        router = router.route("/dev/token", get(dev_token));
    }
    router
        .method_not_allowed_fallback(|| async { SignalError::from(ErrorCode::MethodNotAllowed) })
        .layer(cors(&server.config.http))
        .layer(axum::middleware::from_fn(crate::resource::accept_post))
        .layer(TraceLayer::new_for_http().make_span_with(
            // The query holds tokens: only the path is logged.
            |request: &Request| {
                let client = request.extensions().get::<Client>().and_then(Client::address);
                let client = client.map(tracing::field::display);
                tracing::info_span!("http", method = %request.method(), path = request.uri().path(), client)
            },
        ))
        .with_state(server)
}

fn cors(config: &HttpConfig) -> CorsLayer {
    let origins = if allows_any(config) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(config.allowed_origins.iter().filter_map(|origin| origin.parse::<HeaderValue>().ok()))
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH])
        .expose_headers([
            header::LOCATION,
            header::LINK,
            header::ETAG,
            header::RETRY_AFTER,
            HeaderName::from_static("accept-patch"),
        ])
        .max_age(std::time::Duration::from_secs(24 * 3600))
}

fn allows_any(config: &HttpConfig) -> bool {
    config.allowed_origins.iter().any(|origin| origin == "*")
}

/// CORS does not cover WebSockets: a page's origin is checked here. Pages that this server serves itself may always.
pub(crate) fn origin_allowed(config: &HttpConfig, base: &Base, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()) else { return true };
    let own = origin.split_once("://").is_some_and(|(_, host)| base.serves(host));
    own || allows_any(config) || config.allowed_origins.iter().any(|allowed| allowed == origin)
}

/// The token of `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl IntoResponse for SignalError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(WireError::from(self))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

impl Server {
    /// Counts an error and tells it.
    pub(crate) fn refuse(&self, error: impl Into<SignalError>) -> Response {
        let error = error.into();
        self.counters.error(error.code);
        error.into_response()
    }

    /// The same of an attempt to join.
    pub(crate) fn refuse_join(&self, error: SignalError) -> Response {
        self.counters.on_refused_join(error.code);
        self.refuse(error)
    }
}

#[derive(Deserialize)]
struct DevTokenParams {
    room: String,
    identity: String,
    #[serde(default)]
    name: String,
}

#[derive(Serialize)]
struct DevToken {
    token: String,
    url: String,
}

/// Dev mode only: a token for whoever asks. It is signed with the development key and with no other.
async fn dev_token(State(server): State<Arc<Server>>, Query(params): Query<DevTokenParams>, base: Base) -> Response {
    let now = unix_now().as_secs();
    let claims = Claims {
        iss: DEV_KEY.to_owned(),
        sub: params.identity,
        nbf: Some(now),
        exp: now + DEV_TOKEN_LIFE,
        name: params.name,
        video: VideoGrant {
            room_join: true,
            room: params.room,
            can_update_own_metadata: Some(true),
            ..VideoGrant::default()
        },
        ..Claims::default()
    };
    let url = base.websocket();
    match claims.joinable_room().and_then(|_| server.keyring.mint(&claims)) {
        Ok(token) => ([(header::CACHE_CONTROL, "no-store")], Json(DevToken { token, url })).into_response(),
        Err(error) => server.refuse(error),
    }
}
