//! What WHIP and WHEP share: an offer makes a resource, which DELETE ends (RFC 9725 section 4).
//!
//! Both end without a WebSocket: their participants live until DELETE, or until the media path fails. A body is read only after the
//! token, the room, the Content-Type and the precondition were found good.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Extensions, HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use sfu_core::control::Negotiation;
use sfu_core::id::{ParticipantId, SessionId};

use crate::error::{ErrorCode, SignalError};
use crate::forwarded::Base;
use crate::http::bearer;
use crate::join::{Entered, Entry};
use crate::listener::Client;
use crate::negotiation::parse_offer;
use crate::participant::Door;
use crate::protocol::{IceServer, LeaveReason};
use crate::room::Room;
use crate::server::Server;
use crate::tokens::{Claims, Expiry};

const SDP: &str = "application/sdp";
const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";

pub(crate) fn router() -> axum::Router<Arc<Server>> {
    let (publish, play) = (post(crate::whip::publish), post(crate::whep::play));
    let published = delete(crate::whip::end).patch(crate::whip::patch);
    let played = delete(crate::whep::end).patch(crate::whep::patch);
    // People write URLs with and without a slash at the end.
    axum::Router::new()
        .route("/whip/{room}", publish.clone())
        .route("/whip/{room}/", publish)
        .route("/whip/{room}/{resource}", published.clone())
        .route("/whip/{room}/{resource}/", published)
        .route("/whep/{room}", play.clone())
        .route("/whep/{room}/", play)
        .route("/whep/{room}/{resource}", played.clone())
        .route("/whep/{room}/{resource}/", played)
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
        base: &Base,
        request: Request,
    ) -> Result<Response, SignalError> {
        let (parts, body) = request.into_parts();
        let claims = self.authorize(room, &parts.headers, Expiry::Enforced)?;
        claims.joinable_room()?;
        client(&parts.extensions).authenticated();
        let permissions = claims.video.permissions();
        let granted = if door == Door::Whip { permissions.can_publish } else { permissions.can_subscribe };
        if !granted {
            return Err(ErrorCode::PermissionDenied.into());
        }
        expect_type(&parts.headers, SDP)?;
        let text = self.read(&parts.headers, body).await?;
        let offer = parse_offer(&text, &self.config.limits)?;
        drop(text);
        // Who plays publishes nothing.
        let offer = if door == Door::Whep { offer.into_receive_only() } else { offer };
        let ufrag = offer.ice().ufrag.clone();
        let publish = if door == Door::Whip { crate::whip::tracks(&offer)? } else { Vec::new() };
        let negotiation = Negotiation { offer: Box::new(offer), slots: Vec::new() };
        let entry =
            Entry { claims, door, negotiation, layout: Vec::new(), publish, auto_subscribe: door == Door::Whep };
        let entered = self.enter(entry).await?;
        self.created(door, room, base, &entered, ufrag)
    }

    fn created(
        &self,
        door: Door,
        name: &str,
        base: &Base,
        entered: &Entered,
        ufrag: String,
    ) -> Result<Response, SignalError> {
        let mut state = entered.room.state.lock();
        let member = state.member_mut(entered.participant)?;
        member.remote_ufrag = ufrag;
        let folder = if door == Door::Whip { "whip" } else { "whep" };
        let location = base.location(&format!("/{folder}/{}/{}", percent_encode(name), member.session.id()));
        let etag = entity_tag(entered.participant);
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
        request: &Request,
    ) -> Result<Response, SignalError> {
        let (room, participant) = self.resource(door, path, request.headers())?;
        self.remove(&room, participant, LeaveReason::Left, "");
        Ok(StatusCode::OK.into_response())
    }

    /// Candidates are accepted and not used: the server is ICE-lite. An ICE restart is not supported (RFC 9725 section 4.3).
    pub(crate) async fn trickle(
        &self,
        door: Door,
        path: &(String, String),
        request: Request,
    ) -> Result<Response, SignalError> {
        let (parts, body) = request.into_parts();
        let (room, participant) = self.resource(door, path, &parts.headers)?;
        client(&parts.extensions).authenticated();
        expect_type(&parts.headers, SDP_FRAGMENT)?;
        expect_match(&parts.headers, &entity_tag(participant))?;
        let text = self.read(&parts.headers, body).await?;
        let fragment = Fragment::of(&text)?;
        let state = room.state.lock();
        if fragment
            .ufrag
            .is_some_and(|ufrag| ufrag != state.member(participant).map_or("", |known| &known.remote_ufrag))
        {
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

/// Where the request came from.
fn client(extensions: &Extensions) -> Client {
    extensions.get::<Client>().cloned().unwrap_or_default()
}

/// The strong entity tag of a resource: its ICE session never changes.
fn entity_tag(participant: ParticipantId) -> String {
    format!("\"{participant}\"")
}

/// The precondition that every PATCH must have (RFC 9725 section 4.3.1): the entity tag, or `*`.
fn expect_match(headers: &HeaderMap, tag: &str) -> Result<(), SignalError> {
    let mut lines = headers.get_all(header::IF_MATCH).iter().peekable();
    if lines.peek().is_none() {
        return Err(ErrorCode::PreconditionRequired.into());
    }
    let mut tags = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let same = |given: &str| given.trim() == "*" || given.trim() == tag;
    if tags.any(same) { Ok(()) } else { Err(ErrorCode::PreconditionFailed.into()) }
}

/// What counts of a trickled SDP fragment (RFC 8840).
#[derive(Debug, PartialEq, Eq)]
struct Fragment<'a> {
    /// Absent where there are candidates alone.
    ufrag: Option<&'a str>,
}

impl<'a> Fragment<'a> {
    /// Reads lines of `type=value`, of which one at least must be about ICE.
    fn of(text: &'a str) -> Result<Self, SignalError> {
        let wrong = |text: &str| SignalError::new(ErrorCode::BadRequest, text);
        let lines = || text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        if lines().any(|line| line.as_bytes().get(1) != Some(&b'=')) {
            return Err(wrong("a line of the SDP fragment is not of the form a=..."));
        }
        let ufrag = lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
        let about_ice = |line: &str| line.starts_with("a=candidate:") || line == "a=end-of-candidates";
        if ufrag.is_none() && !lines().any(about_ice) {
            return Err(wrong("the SDP fragment has neither a=ice-ufrag nor a=candidate nor a=end-of-candidates"));
        }
        Ok(Self { ufrag })
    }
}

/// RFC 9725 section 4.6.
fn ice_links(server: &IceServer) -> impl Iterator<Item = HeaderValue> {
    let credentials = match (&server.username, &server.credential) {
        (Some(username), Some(credential)) => {
            let (username, credential) = (quoted(username), quoted(credential));
            format!("; username={username}; credential={credential}; credential-type=\"password\"")
        }
        _ => String::new(),
    };
    let link = move |url: &String| format!("<{url}>; rel=\"ice-server\"{credentials}").parse().ok();
    server.urls.iter().filter_map(link)
}

/// A quoted-string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
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
        let links = |username: &str, credential: &str| {
            let (username, credential) = (Some(username.into()), Some(credential.into()));
            ice_links(&IceServer { urls: vec!["turn:a.example".into()], username, credential }).collect::<Vec<_>>()
        };
        let wanted =
            "<turn:a.example>; rel=\"ice-server\"; username=\"u\"; credential=\"c\"; credential-type=\"password\"";
        assert_eq!(links("u", "c"), [wanted]);
        let wanted =
            r#"<turn:a.example>; rel="ice-server"; username="a\"b"; credential="c\\d"; credential-type="password""#;
        assert_eq!(links("a\"b", "c\\d"), [wanted]);
    }

    #[test]
    fn fragments_are_about_ice_or_refused() {
        let of = |text| Fragment::of(text).map(|fragment| fragment.ufrag).map_err(|error| error.code);
        assert_eq!(of("a=ice-ufrag:abcd\r\na=ice-pwd:x\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"), Ok(Some("abcd")));
        assert_eq!(of("a=ice-ufrag:abcd"), Ok(Some("abcd")));
        assert_eq!(of("m=audio 9 RTP/AVP 0\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\n"), Ok(None));
        assert_eq!(of("a=end-of-candidates\r\n\r\n"), Ok(None));
        for wrong in ["", "garbage", "a=mid:0\r\n", "a=ice-ufrag:abcd\r\ngarbage"] {
            assert_eq!(of(wrong), Err(ErrorCode::BadRequest), "{wrong}");
        }
    }
}
