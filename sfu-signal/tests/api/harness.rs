//! A server on an ephemeral port, and clients for it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use sfu_signal::Server;
use sfu_signal::config::{DEV_KEY, SignalConfig};
use sfu_signal::listener::{Listener, Settings};
use sfu_signal::tokens::{Claims, VideoGrant, unix_now};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::fake_media::FakeMedia;

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Harness {
    pub(crate) server: Arc<Server>,
    pub(crate) media: Arc<FakeMedia>,
    pub(crate) address: SocketAddr,
    pub(crate) listener: Listener,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut SignalConfig)) -> Self {
        let mut config = SignalConfig::development();
        change(&mut config);
        let http = config.http.clone();
        let (media, events) = FakeMedia::new();
        let server = Server::new(config, media.clone());
        tokio::spawn(server.clone().run(events));
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = Listener::start(vec![socket], server.router(), None, Settings::public(&http, 10_000)).unwrap();
        let address = listener.addresses()[0];
        while !server.is_ready() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { server, media, address, listener }
    }

    pub(crate) fn claims(&self, room: &str, identity: &str) -> Claims {
        let video = VideoGrant { room_join: true, room: room.into(), ..VideoGrant::default() };
        let exp = unix_now().as_secs() + 600;
        Claims { iss: DEV_KEY.into(), sub: identity.into(), exp, video, ..Claims::default() }
    }

    pub(crate) fn token(&self, room: &str, identity: &str) -> String {
        self.mint(&self.claims(room, identity))
    }

    pub(crate) fn mint(&self, claims: &Claims) -> String {
        self.server.keyring().mint(claims).unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn open(&self, query: &str) -> Result<Client, tungstenite::Error> {
        let url = format!("ws://{}/v1/rtc?{query}", self.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await?;
        Ok(Client { socket, next_id: 1, events: VecDeque::new(), last_seq: 0 })
    }

    /// A client that has joined, and the reply.
    pub(crate) async fn join(&self, room: &str, identity: &str) -> (Client, Value) {
        self.join_as(&self.claims(room, identity)).await
    }

    pub(crate) async fn join_as(&self, claims: &Claims) -> (Client, Value) {
        let mut client = self.open(&format!("access_token={}", self.mint(claims))).await.unwrap();
        let joined = client.request(join_request()).await;
        assert_eq!(joined["type"], "joined", "{joined}");
        (client, joined)
    }

    /// A resuming client, and the reply.
    pub(crate) async fn resume(&self, joined: &Value, last_seq: u64) -> (Client, Value) {
        let session = joined["session"].as_str().unwrap();
        let mut client = self.open(&format!("session={session}")).await.unwrap();
        let request = json!({
            "type": "resume", "protocol": 1, "session": session, "secret": joined["secret"], "lastSeq": last_seq,
        });
        client.last_seq = last_seq;
        let reply = client.request(request).await;
        (client, reply)
    }
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u32,
    events: VecDeque<Value>,
    /// The number of the last event that came; the next must be one more.
    pub(crate) last_seq: u64,
}

impl Client {
    /// Sends a request and waits for its reply; events are kept.
    pub(crate) async fn request(&mut self, mut request: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        request["id"] = id.into();
        self.send(&request.to_string()).await;
        loop {
            let message = self.receive().await.expect("a reply, not the end");
            if message["id"] == id {
                if message["type"] == "resumed" && message.get("snapshot").is_some() {
                    self.last_seq = message["seq"].as_u64().unwrap();
                }
                return message;
            }
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The same, where the server may have ended the WebSocket.
    pub(crate) async fn try_send(&mut self, text: &str) -> Result<(), tungstenite::Error> {
        self.socket.send(Message::text(text)).await
    }

    /// The next event of this type; others before it are dropped.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => {
                    self.receive().await.unwrap_or_else(|| panic!("the WebSocket ended without {kind}"));
                    continue;
                }
            };
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// The next message, noted if it is an event. `None`: the WebSocket ended.
    pub(crate) async fn receive(&mut self) -> Option<Value> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("the server says something");
            match frame {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if let Some(seq) = message.get("seq").filter(|_| message.get("id").is_none()) {
                        // State of the moment is not counted.
                        self.last_seq += u64::from(*seq != 0);
                        assert!(*seq == 0 || *seq == self.last_seq, "events come without gaps");
                        self.events.push_back(message.clone());
                    }
                    return Some(message);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Reads until the server has closed.
    pub(crate) async fn closed(&mut self) {
        while self.receive().await.is_some() {}
    }

    pub(crate) async fn publish(&mut self, mid: &str, source: &str) -> Value {
        self.request(json!({"type": "publish", "mid": mid, "source": source})).await
    }
}

/// The HTTP status of a refused upgrade.
pub(crate) fn status(error: tungstenite::Error) -> u16 {
    match error {
        tungstenite::Error::Http(response) => response.status().as_u16(),
        other => panic!("{other}"),
    }
}

pub(crate) fn join_request() -> Value {
    json!({
        "type": "join", "protocol": 1, "offer": sdk_offer(),
        "slots": [{"role": "pair", "audio": "2", "video": "3"}],
    })
}

/// Microphone, camera, and one pair.
pub(crate) fn sdk_offer() -> String {
    offer(&[("audio", "sendonly"), ("video", "sendonly"), ("audio", "recvonly"), ("video", "recvonly")])
}

/// An offer with these m-lines; their MIDs are 0, 1, ...
pub(crate) fn offer(media: &[(&str, &str)]) -> String {
    let mids: Vec<_> = (0..media.len()).map(|mid| mid.to_string()).collect();
    let mut sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\n",
        mids.join(" "),
        ["AB"; 32].join(":"),
    );
    for (mid, (kind, direction)) in media.iter().enumerate() {
        let (number, codec) = if *kind == "audio" { (111, "opus/48000/2") } else { (96, "VP8/90000") };
        sdp += &format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {number}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=rtcp-mux\r\na={direction}\r\n\
             a=rtpmap:{number} {codec}\r\n",
        );
    }
    sdp
}
