//! Joining Janus' VideoRoom over its WebSocket (sub-protocol `janus-protocol`): a handle that publishes with our offer,
//! and a handle that subscribes to all feeds with Janus' offer.
//!
//! Rooms are made when the first one needs them, with everything on that the other targets have: transport-wide
//! feedback, RTX, no bitrate cap. Subscribers see the feeds that are there when they join.

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Join, Part, Role, Signalling};
use crate::synthetic::Receiving;
use crate::synthetic::sdp::Remote;

const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// Janus ends sessions that were silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// Between looks at who publishes.
const FEED_RETRY: Duration = Duration::from_millis(100);
const FEED_RETRIES: usize = 50;
/// `already exists`, which is as good as made.
const ROOM_EXISTS: i64 = 427;
/// The number of the first room.
const FIRST_ROOM: u64 = 1_000_000;

/// A session; its WebSocket lives in a task, and Janus ends it when that closes.
pub struct Session {
    task: JoinHandle<()>,
}

impl Session {
    /// Leaves.
    pub(super) async fn leave(self) {
        self.task.abort();
        // Its end is that of the WebSocket.
        let _ = self.task.await;
    }
}

/// One WebSocket with a session and a VideoRoom handle.
struct Handle {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: u64,
    handle: u64,
    room: u64,
    transaction: u64,
}

/// Joins; who does both has two handles.
pub(super) async fn join(join: &Join<'_>, server: &Url) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    if join.role.receives {
        parts.push(subscribe(join, server).await?);
    }
    if join.role.sends {
        parts.push(publish(join, server).await?);
    }
    Ok(parts)
}

async fn publish(join: &Join<'_>, server: &Url) -> anyhow::Result<Part> {
    let mut handle = Handle::open(server, join.room).await?;
    let offer = join.offer(Role::PUBLISHER);
    handle.create_room().await?;
    handle
        .message(json!({"request": "join", "ptype": "publisher", "room": handle.room, "display": join.identity}), None)
        .await?;
    let body = json!({"request": "publish", "bitrate": 0});
    let reply = handle.message(body, Some(json!({"type": "offer", "sdp": offer.text}))).await?;
    let answer = reply["jsep"]["sdp"].as_str().context("Janus published without an answer")?.to_owned();
    join.start(offer, &answer, Signalling::Janus(handle.keep()))
}

async fn subscribe(join: &Join<'_>, server: &Url) -> anyhow::Result<Part> {
    let mut handle = Handle::open(server, join.room).await?;
    handle.create_room().await?;
    let feeds = handle.wait_for_feeds(join.expected_feeds()).await?;
    let streams: Vec<Value> = feeds.iter().map(|feed| json!({"feed": feed})).collect();
    let body = json!({"request": "join", "ptype": "subscriber", "room": handle.room, "streams": streams});
    let reply = handle.message(body, None).await?;
    let remote = Remote::parse(reply["jsep"]["sdp"].as_str().context("Janus attached without an offer")?)?;
    let ice = Join::credentials();
    let answer = remote.accept_all(&ice, join.identity().fingerprint);
    handle.message(json!({"request": "start"}), Some(json!({"type": "answer", "sdp": answer}))).await?;
    join.start_with(&remote, ice, None, Receiving::of(&remote), Signalling::Janus(handle.keep()))
}

impl Handle {
    async fn open(server: &Url, room: usize) -> anyhow::Result<Self> {
        let mut request = server.as_str().into_client_request().context("Janus' URL")?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", "janus-protocol".parse()?);
        let (socket, _) = connect_async(request).await.context("Janus' WebSocket")?;
        let mut handle = Self { socket, session: 0, handle: 0, room: FIRST_ROOM + room as u64, transaction: 0 };
        let id = |reply: Value| reply["data"]["id"].as_u64().context("Janus gave no id");
        handle.session = id(handle.ask(json!({"janus": "create"}), false).await?)?;
        let attach = json!({"janus": "attach", "plugin": "janus.plugin.videoroom"});
        handle.handle = id(handle.ask(attach, false).await?)?;
        Ok(handle)
    }

    async fn create_room(&mut self) -> anyhow::Result<()> {
        let body = json!({
            "request": "create", "room": self.room, "publishers": 100, "audiocodec": "opus", "videocodec": "vp8",
            "transport_wide_cc_ext": true, "require_pvtid": false, "bitrate": 0, "fir_freq": 0, "notify_joining": false,
        });
        let reply = self.ask(json!({"janus": "message", "body": body}), false).await?;
        let data = &reply["plugindata"]["data"];
        match data["error_code"].as_i64() {
            None | Some(ROOM_EXISTS) => Ok(()),
            Some(_) => bail!("Janus makes no room: {data}"),
        }
    }

    /// Janus knows a publisher a little later than the publisher's end is up.
    async fn wait_for_feeds(&mut self, expected: usize) -> anyhow::Result<Vec<u64>> {
        for _ in 0..FEED_RETRIES {
            let feeds = self.feeds().await?;
            if feeds.len() >= expected {
                return Ok(feeds);
            }
            tokio::time::sleep(FEED_RETRY).await;
        }
        bail!("less than {expected} publish in Janus' room {}", self.room)
    }

    async fn feeds(&mut self) -> anyhow::Result<Vec<u64>> {
        let body = json!({"request": "listparticipants", "room": self.room});
        let reply = self.ask(json!({"janus": "message", "body": body}), false).await?;
        let listed = reply["plugindata"]["data"]["participants"].as_array().cloned().unwrap_or_default();
        let publishing = listed.iter().filter(|participant| participant["publisher"] == true);
        Ok(publishing.filter_map(|participant| participant["id"].as_u64()).collect())
    }

    /// A request to the plugin, which answers by an event.
    async fn message(&mut self, body: Value, jsep: Option<Value>) -> anyhow::Result<Value> {
        let mut request = json!({"janus": "message", "body": body});
        if let Some(jsep) = jsep {
            request["jsep"] = jsep;
        }
        let reply = self.ask(request, true).await?;
        match reply["plugindata"]["data"].get("error") {
            Some(error) => bail!("Janus refused: {error}"),
            None => Ok(reply),
        }
    }

    /// Sends a request and waits for its reply, or for the event that answers it.
    async fn ask(&mut self, mut request: Value, by_event: bool) -> anyhow::Result<Value> {
        self.transaction += 1;
        let transaction = self.transaction.to_string();
        request["transaction"] = transaction.as_str().into();
        if self.session != 0 {
            request["session_id"] = self.session.into();
        }
        if self.handle != 0 {
            request["handle_id"] = self.handle.into();
        }
        self.socket.send(Message::text(request.to_string())).await?;
        let reply = tokio::time::timeout(REPLY_TIMEOUT, self.reply(&transaction, by_event)).await;
        reply.context("Janus does not answer")?
    }

    async fn reply(&mut self, transaction: &str, by_event: bool) -> anyhow::Result<Value> {
        while let Some(message) = self.socket.next().await {
            let Message::Text(text) = message? else { continue };
            let message: Value = serde_json::from_str(&text)?;
            if message["transaction"] != transaction {
                continue;
            }
            match message["janus"].as_str() {
                Some("error") => bail!("Janus: {}", message["error"]),
                Some("ack") if by_event => {}
                _ => return Ok(message),
            }
        }
        bail!("Janus closed the WebSocket")
    }

    /// Keeps the session alive in a task, which reads what comes and throws it away.
    fn keep(mut self) -> Session {
        let request = json!({"janus": "keepalive", "session_id": self.session, "transaction": "keep"}).to_string();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(KEEP_ALIVE);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {
                        if self.socket.send(Message::text(request.clone())).await.is_err() {
                            return;
                        }
                    }
                    message = self.socket.next() => {
                        if !matches!(message, Some(Ok(_))) {
                            return;
                        }
                    }
                }
            }
        });
        Session { task }
    }
}
