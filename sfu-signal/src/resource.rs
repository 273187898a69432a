//! What WHIP and WHEP share: an offer makes a resource, which DELETE ends (RFC 9725 section 4).
//!
//! Both end without a WebSocket: their participants live until DELETE, or until the media path fails.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use sfu_core::control::Negotiation;
use sfu_core::id::{ParticipantId, SessionId};

use crate::error::{ErrorCode, SignalError};
use crate::http::bearer;
use crate::join::{Entered, Entry};
use crate::negotiation::parse_offer;
use crate::participant::Door;
use crate::protocol::{IceServer, LeaveReason};
use crate::room::Room;
use crate::server::Server;
use crate::tokens::{Claims, Expiry};

const SDP: &str = "application/sdp";
const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";

pub(crate) fn router() -> axum::Router<Arc<Server>> {
    axum::Router::new()
        .route("/whip/{room}", post(crate::whip::publish))
        .route("/whip/{room}/{resource}", delete(crate::whip::end).patch(crate::whip::patch))
        .route("/whep/{room}", post(crate::whep::play))
        .route("/whep/{room}/{resource}", delete(crate::whep::end).patch(crate::whep::patch))
}

/// Tells what an endpoint takes (RFC 9725 section 4.2). Around CORS, which answers every OPTIONS by itself.
pub(crate) async fn accept_post(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let asked = request.method() == Method::OPTIONS && (path.starts_with("/whip/") || path.starts_with("/whep/"));
    let mut response = next.run(request).await;
    if asked {
        response.headers_mut().insert(HeaderName::from_static("accept-post"), HeaderValue::from_static(SDP));
    }
    response
}

/// A request that makes or ends a resource.
pub(crate) type Body = Result<Bytes, BytesRejection>;
/// `/{room}/{resource}`.
pub(crate) type ResourcePath = Path<(String, String)>;
/// The shared server.
pub(crate) type Shared = State<Arc<Server>>;

impl Server {
    /// Makes a resource of an offer.
    pub(crate) async fn create(
        self: &Arc<Self>,
        door: Door,
        room: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, SignalError> {
        let claims = self.authorize(room, headers, Expiry::Enforced)?;
        claims.joinable_room()?;
        let permissions = claims.video.permissions();
        let granted = if door == Door::Whip { permissions.can_publish } else { permissions.can_subscribe };
        if !granted {
            return Err(ErrorCode::PermissionDenied.into());
        }
        expect_type(headers, SDP)?;
        let offer = parse_offer(&text(body)?, &self.config.limits)?;
        let ufrag = offer.ice().ufrag.clone();
        let publish = if door == Door::Whip { crate::whip::tracks(&offer)? } else { Vec::new() };
        let negotiation = Negotiation { offer: Box::new(offer), slots: Vec::new() };
        let entry =
            Entry { claims, door, negotiation, layout: Vec::new(), publish, auto_subscribe: door == Door::Whep };
        let entered = self.enter(entry).await?;
        self.created(door, room, &entered, ufrag)
    }

    fn created(&self, door: Door, name: &str, entered: &Entered, ufrag: String) -> Result<Response, SignalError> {
        let mut state = entered.room.state.lock();
        let member = state.member_mut(entered.participant)?;
        member.remote_ufrag = ufrag;
        let folder = if door == Door::Whip { "whip" } else { "whep" };
        let location = format!("/{folder}/{}/{}", percent_encode(name), member.session.id());
        let etag = format!("\"{}\"", entered.participant);
        let headers = [
            (header::CONTENT_TYPE, SDP.to_owned()),
            (header::LOCATION, location),
            (header::ETAG, etag),
            (HeaderName::from_static("accept-patch"), SDP_FRAGMENT.to_owned()),
        ];
        let mut response = (StatusCode::CREATED, headers, entered.answer.clone()).into_response();
        for server in &self.config.ice_servers {
            for link in ice_links(server) {
                response.headers_mut().append(header::LINK, link);
            }
        }
        Ok(response)
    }

    /// Ends a resource. An expired token may: whoever could begin it can end it.
    pub(crate) fn delete(
        &self,
        door: Door,
        path: &(String, String),
        headers: &HeaderMap,
    ) -> Result<Response, SignalError> {
        let (room, participant) = self.resource(door, path, headers)?;
        self.remove(&room, participant, LeaveReason::Left, "");
        Ok(StatusCode::OK.into_response())
    }

    /// Candidates are accepted and not used: the server is ICE-lite. An ICE restart is not supported.
    pub(crate) fn trickle(
        &self,
        door: Door,
        path: &(String, String),
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, SignalError> {
        let (room, participant) = self.resource(door, path, headers)?;
        expect_type(headers, SDP_FRAGMENT)?;
        let fragment = text(body)?;
        let state = room.state.lock();
        let known = &state.member(participant)?.remote_ufrag;
        let mut ufrags = fragment.lines().filter_map(|line| line.trim_end().strip_prefix("a=ice-ufrag:"));
        if ufrags.any(|ufrag| ufrag != known) {
            return Err(ErrorCode::IceRestartUnsupported.into());
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    fn resource(
        &self,
        door: Door,
        (name, resource): &(String, String),
        headers: &HeaderMap,
    ) -> Result<(Arc<Room>, ParticipantId), SignalError> {
        let claims = self.authorize(name, headers, Expiry::Ignored)?;
        let session: SessionId = resource.parse().map_err(|_| ErrorCode::NotFound)?;
        let (room, participant) =
            self.sessions.get(&session).map(|entry| entry.value().clone()).ok_or(ErrorCode::NotFound)?;
        let state = room.state.lock();
        let member = state.member(participant).map_err(|_| ErrorCode::NotFound)?;
        let same = room.name == *name && member.door == door && member.identity == claims.sub;
        drop(state);
        if same { Ok((room, participant)) } else { Err(ErrorCode::NotFound.into()) }
    }

    fn authorize(&self, room: &str, headers: &HeaderMap, expiry: Expiry) -> Result<Claims, SignalError> {
        let token = bearer(headers).ok_or(ErrorCode::TokenMissing)?;
        let claims = self.keyring.verify_with(token, expiry)?;
        if !claims.video.room.is_empty() && claims.video.room != room {
            return Err(ErrorCode::WrongRoom.into());
        }
        Ok(claims)
    }
}

fn expect_type(headers: &HeaderMap, wanted: &str) -> Result<(), SignalError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(SignalError::new(ErrorCode::UnsupportedMediaType, format!("the Content-Type must be {wanted}")))
}

fn text(body: Body) -> Result<String, SignalError> {
    let bytes = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => SignalError::from(ErrorCode::MessageTooLarge),
        _ => SignalError::new(ErrorCode::BadRequest, "the body cannot be read"),
    })?;
    String::from_utf8(bytes.into()).map_err(|_| SignalError::new(ErrorCode::BadRequest, "the body is not UTF-8"))
}

/// RFC 9725 section 4.6.
fn ice_links(server: &IceServer) -> impl Iterator<Item = HeaderValue> {
    let credentials = match (&server.username, &server.credential) {
        (Some(username), Some(credential)) => {
            format!("; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\"")
        }
        _ => String::new(),
    };
    let link = move |url: &String| format!("<{url}>; rel=\"ice-server\"{credentials}").parse().ok();
    server.urls.iter().filter_map(link)
}

fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_survive_their_location() {
        assert_eq!(percent_encode("a room/ä?"), "a%20room%2F%C3%A4%3F");
    }

    #[test]
    fn turn_credentials_ride_in_the_link() {
        let server =
            IceServer { urls: vec!["turn:a.example".into()], username: Some("u".into()), credential: Some("c".into()) };
        let links: Vec<_> = ice_links(&server).collect();
        let wanted =
            "<turn:a.example>; rel=\"ice-server\"; username=\"u\"; credential=\"c\"; credential-type=\"password\"";
        assert_eq!(links, [wanted]);
    }
}
