//! From an HTTP/1.1 request to a WebSocket (RFC 6455 section 4.2).
//!
//! axum's own WebSocket keeps its buffers as long as the longest message of a connection was, an offer and its answer, which was a
//! third of what an idle participant takes. `tokio-websockets` writes messages from where they are; its upgrade is for bare
//! sockets, so that the handshake's headers are checked here, by the types of the `headers` crate.
//!
//! Browsers cannot set headers of a WebSocket, but for its subprotocols. So a token may come as one of them, `token.` and the JWT,
//! beside [`SUBPROTOCOL`], which alone is answered. URLs end up in the logs of proxies; this header does not.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::OptionalFromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::response::Response;
use headers::{Connection, HeaderMapExt, SecWebsocketAccept, SecWebsocketKey, SecWebsocketVersion};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_websockets::{Limits, ServerBuilder, WebSocketStream};

/// A WebSocket, the server's end.
pub(crate) type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// The subprotocol that is spoken; clients need not name it.
pub(crate) const SUBPROTOCOL: &str = "madang.v1";

/// What a client offers as subprotocols.
fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// The token among the subprotocols.
pub(crate) fn subprotocol_token(headers: &HeaderMap) -> Option<&str> {
    subprotocols(headers).find_map(|name| name.strip_prefix("token."))
}

/// A request for a WebSocket.
pub(crate) struct Upgrade {
    accept: SecWebsocketAccept,
    /// The client offers [`SUBPROTOCOL`].
    named: bool,
    pending: OnUpgrade,
}

impl Upgrade {
    /// What the client asks for; `None`: no WebSocket, or not as the RFC wants it.
    fn of(parts: &mut Parts) -> Option<Self> {
        let headers = &parts.headers;
        let asks = parts.method == Method::GET
            && parts.version == Version::HTTP_11
            && headers.typed_get::<Connection>()?.contains("upgrade")
            && headers.typed_get::<headers::Upgrade>()? == headers::Upgrade::websocket()
            && headers.typed_get::<SecWebsocketVersion>()? == SecWebsocketVersion::V13;
        let key = headers.typed_get::<SecWebsocketKey>().filter(|_| asks)?;
        let named = subprotocols(headers).any(|name| name == SUBPROTOCOL);
        Some(Self { accept: key.into(), named, pending: parts.extensions.remove()? })
    }

    /// Agrees, and serves the WebSocket in a task of its own. Messages are `max_message` bytes at most: a longer one ends it.
    pub(crate) fn serve<F>(self, max_message: usize, serve: impl FnOnce(WebSocket) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send,
    {
        let Self { accept, named, pending } = self;
        let builder = ServerBuilder::new().limits(Limits::default().max_payload_len(Some(max_message)));
        tokio::spawn(async move {
            // A client that is gone before the answer reached it leaves nothing behind.
            if let Ok(upgraded) = pending.await {
                serve(builder.serve(TokioIo::new(upgraded))).await;
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().typed_insert(Connection::upgrade());
        response.headers_mut().typed_insert(headers::Upgrade::websocket());
        response.headers_mut().typed_insert(accept);
        if named {
            let protocol = HeaderValue::from_static(SUBPROTOCOL);
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Upgrade {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(parts))
    }
}
