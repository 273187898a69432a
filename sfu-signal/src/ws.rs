//! `/v1/rtc`: one WebSocket, from its upgrade to its end.
//!
//! A reader handles requests one after the other; a writer empties the bounded queue that replies and events go through.
//! Either ends the other. Frames from a client cannot pile up: while a request is handled, nothing more is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use sfu_core::id::SessionId;
use sfu_core::limiter::{Limit, Limiter};
use tokio_websockets::{CloseCode, Message};

use crate::counters::{Gauge, add};
use crate::error::{ErrorCode, SignalError};
use crate::forwarded::Base;
use crate::http::{bearer, origin_allowed};
use crate::join::Entry;
use crate::listener::Client;
use crate::negotiation::negotiation;
use crate::participant::Door;
use crate::protocol::{ClientMessage, PROTOCOL_VERSION, Reply, Request};
use crate::request::Caller;
use crate::server::Server;
use crate::session::{Bounds, Link, Outgoing, Queue, with_seq};
use crate::tokens::Claims;
use crate::upgrade::{Upgrade, WebSocket, subprotocol_token};
use crate::wire::{decode, encode_reply, message_id};

/// How long a closed WebSocket may take to say goodbye.
const LINGER: Duration = Duration::from_secs(1);

/// So many pings without a sign of life are a lost connection.
const SILENCE: u32 = 3;

#[derive(Deserialize)]
pub(crate) struct Params {
    access_token: Option<String>,
    session: Option<String>,
}

/// What a WebSocket may begin with.
enum Admission {
    /// A token: `join` or `resume`.
    Token(Box<Claims>),
    /// `?session=`, since the token may have expired: only `resume`.
    Session,
}

pub(crate) async fn rtc(
    State(server): State<Arc<Server>>,
    Query(params): Query<Params>,
    base: Base,
    client: Client,
    headers: HeaderMap,
    upgrade: Option<Upgrade>,
) -> Response {
    let admission = match server.admit(&params, &base, &headers) {
        Ok(admission) => admission,
        Err(error) if params.session.is_none() => return server.refuse_join(error),
        Err(error) => return server.refuse(error),
    };
    client.authenticated();
    // Browsers hide why an upgrade failed: the same address without one says whether the token is good.
    let Some(upgrade) = upgrade else { return server.refuse(ErrorCode::UpgradeRequired) };
    // A little over the limit is still read, so that its error can be told.
    let limit = server.config.limits.message_bytes.saturating_mul(2);
    upgrade.serve(limit, move |socket| connection(server, socket, client, admission))
}

impl Server {
    fn admit(&self, params: &Params, base: &Base, headers: &HeaderMap) -> Result<Admission, SignalError> {
        if self.is_draining() {
            return Err(ErrorCode::ShuttingDown.into());
        }
        if !origin_allowed(&self.config.http, base, headers) {
            return Err(ErrorCode::OriginNotAllowed.into());
        }
        if let Some(session) = &params.session {
            let known = session.parse::<SessionId>().is_ok_and(|session| self.sessions.contains_key(&session));
            return if known { Ok(Admission::Session) } else { Err(ErrorCode::SessionGone.into()) };
        }
        let shown = bearer(headers).or_else(|| subprotocol_token(headers)).or(params.access_token.as_deref());
        let token = shown.ok_or(ErrorCode::TokenMissing)?;
        let claims = self.keyring.verify(token)?;
        claims.joinable_room()?;
        Ok(Admission::Token(Box::new(claims)))
    }
}

async fn connection(server: Arc<Server>, socket: WebSocket, client: Client, admission: Admission) {
    let _gauge = Gauge::enter(&server.counters.websockets);
    let (sink, stream) = socket.split();
    let sessions = &server.config.sessions;
    let (link, queue) = Link::new(Bounds { messages: sessions.queue_messages, bytes: sessions.queue_bytes });
    let _writer = AbortOnDrop(tokio::spawn(write(sink, queue, link.clone(), sessions.ping_interval)));
    let rate = server.config.limits.messages_per_second;
    let limiter = Limiter::new(Limit::per_second(rate, rate.saturating_mul(2)), Instant::now());
    let mut reader = Reader { server: server.clone(), stream, link: link.clone(), client, limiter, closing: false };
    if let Some(caller) = reader.enter(admission).await {
        reader.client.joined();
        let _lost = Lost { server: &server, caller: &caller, link: &link };
        reader.serve(&caller).await;
    }
}

/// Tells when a session's WebSocket is gone, also when its task panics: the session must not wait for it for ever.
struct Lost<'a> {
    server: &'a Server,
    caller: &'a Caller,
    link: &'a Link,
}

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        self.server.connection_lost(self.caller, self.link);
    }
}

/// Ends a task with itself.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Reader {
    server: Arc<Server>,
    stream: SplitStream<WebSocket>,
    link: Link,
    client: Client,
    limiter: Limiter,
    closing: bool,
}

impl Reader {
    /// Reads until the client has joined or resumed. `None`: it did not.
    async fn enter(&mut self, admission: Admission) -> Option<Caller> {
        let deadline = tokio::time::Instant::now() + self.server.config.sessions.join_timeout;
        let server = Arc::clone(&self.server);
        loop {
            let next = tokio::select! {
                next = tokio::time::timeout_at(deadline, self.next()) => next,
                () = server.when_draining() => {
                    self.reply_error(0, ErrorCode::ShuttingDown.into());
                    self.close(CloseCode::GOING_AWAY, "the server stops").await;
                    return None;
                }
            };
            let Ok(message) = next else {
                self.reply_error(0, ErrorCode::JoinTimeout.into());
                self.close(CloseCode::POLICY_VIOLATION, "no join in time").await;
                return None;
            };
            let ClientMessage { id, request } = message?;
            let joins = matches!(request, Request::Join { .. });
            match self.first(&admission, id, request).await {
                Ok(caller) => return Some(caller),
                Err(error) => {
                    if joins {
                        self.server.counters.on_refused_join(error.code);
                    }
                    self.reply_error(id, error);
                }
            }
        }
    }

    async fn first(&self, admission: &Admission, id: u32, request: Request) -> Result<Caller, SignalError> {
        match request {
            Request::Join { protocol, .. } | Request::Resume { protocol, .. } if protocol != PROTOCOL_VERSION => {
                let text = format!("the server speaks protocol {PROTOCOL_VERSION}");
                Err(SignalError::new(ErrorCode::UnsupportedProtocol, text))
            }
            Request::Join { offer, slots, publish, auto_subscribe, client, .. } => {
                let Admission::Token(claims) = admission else { return Err(ErrorCode::TokenMissing.into()) };
                let negotiation = negotiation(&offer, &slots, &self.server.config.limits)?;
                tracing::debug!(client = client.as_deref().unwrap_or("unknown"), "join");
                let claims = Claims::clone(claims);
                let door = Door::WebSocket;
                let entry = Entry { claims, door, negotiation, layout: slots, publish, auto_subscribe };
                let entered = self.server.enter(entry).await?;
                self.server.listen(entered, id, &self.link)
            }
            Request::Resume { session, secret, last_seq, .. } => {
                self.server.resume(id, &session, &secret, last_seq, &self.link)
            }
            _ => Err(ErrorCode::NotJoined.into()),
        }
    }

    async fn serve(&mut self, caller: &Caller) {
        while let Some(ClientMessage { id, request }) = self.next().await {
            let leaves = request == Request::Leave;
            match self.server.handle(caller, request).await {
                Ok(reply) => self.reply(id, reply),
                Err(error) => self.reply_error(id, error),
            }
            if leaves {
                return self.close(CloseCode::NORMAL_CLOSURE, "left").await;
            }
        }
    }

    /// The next message that can be handled. What cannot is answered by an error. `None`: the WebSocket ended.
    async fn next(&mut self) -> Option<ClientMessage> {
        loop {
            let frame = self.frame().await?;
            // After a goodbye the stream ends by itself.
            if self.closing || frame.is_close() {
                continue;
            }
            // Pings, pongs and binary frames cost as much as messages: each takes time.
            let admitted = self.limiter.admit(Instant::now(), 1);
            if frame.is_binary() {
                let code = if admitted { ErrorCode::BadRequest } else { ErrorCode::RateLimited };
                self.reply_error(0, SignalError::new(code, "messages are text"));
            }
            let text = frame.as_text();
            if text.is_some_and(|text| text.len() > self.server.config.limits.message_bytes) {
                self.reply_error(text.map_or(0, message_id), ErrorCode::MessageTooLarge.into());
                self.close(CloseCode::MESSAGE_TOO_BIG, "message too large").await;
                return None;
            }
            add(&self.server.counters.messages, u64::from(text.is_some()));
            if !admitted {
                if let Some(text) = text {
                    self.reply_error(message_id(text), ErrorCode::RateLimited.into());
                }
                // Nothing is read for a moment: what is refused takes time as well.
                self.pause().await;
                continue;
            }
            let Some(text) = text else { continue };
            match decode(text) {
                Ok(message) => return Some(message),
                Err(error) => self.reply_error(message_id(text), SignalError::new(error.code, error.message)),
            }
        }
    }

    /// Waits for about one message's share of a second.
    async fn pause(&self) {
        let share = Duration::from_secs(1) / self.server.config.limits.messages_per_second.max(1);
        tokio::time::sleep(share).await;
    }

    async fn frame(&mut self) -> Option<Message> {
        // The client answers every ping.
        let silence = self.server.config.sessions.ping_interval.saturating_mul(SILENCE);
        tokio::select! {
            frame = tokio::time::timeout(silence, self.stream.next()) => frame.ok()??.ok(),
            () = self.link.when_cut() => None,
            () = self.client.when_cut() => None,
        }
    }

    fn reply(&self, id: u32, reply: Reply) {
        if !self.link.send(Outgoing::Reply(encode_reply(id, reply))) {
            add(&self.server.counters.slow_clients, 1);
            self.link.cut();
        }
    }

    fn reply_error(&self, id: u32, error: SignalError) {
        self.server.counters.error(error.code);
        tracing::debug!(code = %error.code, message = %error.message, "request refused");
        self.reply(id, Reply::Error(error.into()));
    }

    /// Closes after what is queued, and waits for the client's goodbye, so that it reads all of it.
    async fn close(&mut self, code: CloseCode, reason: &'static str) {
        self.closing = true;
        self.link.close(code, reason);
        let goodbye = async {
            while let Some(frame) = self.frame().await {
                if frame.is_close() {
                    break;
                }
            }
        };
        // Nobody is kept who does not say goodbye.
        let _ = tokio::time::timeout(LINGER, goodbye).await;
    }
}

async fn write(mut sink: SplitSink<WebSocket, Message>, mut queue: Queue, link: Link, ping_interval: Duration) {
    let mut ping = tokio::time::interval(ping_interval);
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // A client that takes nothing for so long is lost, however much it says.
    let patience = ping_interval.saturating_mul(SILENCE);
    loop {
        let message = tokio::select! {
            outgoing = queue.next() => match outgoing {
                Some(Outgoing::Reply(text) | Outgoing::Snapshot(text)) => Message::text(text),
                Some(Outgoing::Event { seq, event }) => Message::text(with_seq(seq, &event)),
                Some(Outgoing::Close { code, reason }) => {
                    let goodbye = sink.send(Message::close(Some(code), reason));
                    if tokio::time::timeout(LINGER, goodbye).await.is_ok_and(|sent| sent.is_ok()) {
                        tokio::time::sleep(LINGER).await;
                    }
                    break;
                }
                None => break,
            },
            _ = ping.tick() => Message::ping(""),
        };
        if !tokio::time::timeout(patience, sink.send(message)).await.is_ok_and(|sent| sent.is_ok()) {
            break;
        }
    }
    link.cut();
}
