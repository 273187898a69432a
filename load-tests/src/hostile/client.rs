//! A member that does as it likes: a real client with ICE, DTLS, SRTP and SCTP, on `sfu-core`'s sans-IO test client, and a
//! WebSocket of its own, of which it notes what it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use mio::net::UdpSocket;
use parking_lot::Mutex;
use reqwest::Url;
use serde_json::{Value, json};
use sfu_core::id::ParticipantId;
use sfu_core::rtcp::{self, Packet};
use sfu_core::sdp::IceCredentials;
use sfu_core::transport::client::{Received, TestClient};
use sfu_core::transport::{Certificate, Channel};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::fleet::madang::{self, Socket};
use crate::stamp::Kind;
use crate::synthetic::sdp::{Offer, Remote, Wishes};
use crate::synthetic::socket::{self, Epoch};
use crate::token::{Role, TokenMint};

/// Between checks, as consent.
const CHECK: Duration = Duration::from_millis(2_500);
/// Before the first answer.
const FIRST_CHECK: Duration = Duration::from_millis(100);
/// For a reply.
const PATIENCE: Duration = Duration::from_secs(1);
/// Datagrams that are read in one turn.
const READS: usize = 64;

/// What the server told a client that was not an `ok`, and how often: codes of errors, limits, reasons of an end.
pub(super) type Told = Arc<Mutex<BTreeMap<String, u64>>>;

/// The media of a client.
pub(super) struct Client {
    pub(super) rtc: TestClient,
    socket: UdpSocket,
    epoch: Epoch,
    pub(super) offer: Offer,
    pub(super) remote: Remote,
    check_at: Instant,
    is_checked: bool,
    has_channels: bool,
    /// By which others address it.
    pub(super) id: ParticipantId,
    /// Keyframes that were asked for.
    pub(super) requests: u64,
    /// Messages that came on data channels.
    pub(super) messages: u64,
    /// RTP packets that came.
    pub(super) packets: u64,
}

/// The WebSocket of a client.
pub(super) struct Signal {
    sink: SplitSink<Socket, Message>,
    next: u64,
    pub(super) told: Told,
    published: mpsc::UnboundedReceiver<Value>,
    reader: tokio::task::JoinHandle<()>,
}

/// What somebody wants in a room.
pub(super) struct Wanted {
    pub(super) identity: String,
    pub(super) send: Vec<(Kind, usize)>,
    pub(super) receive: Vec<Kind>,
    pub(super) publish: bool,
}

/// Joins. The media is up once the client was driven for a while.
pub(super) async fn join(
    server: &Url,
    mint: &TokenMint,
    certificate: &Certificate,
    wanted: Wanted,
) -> anyhow::Result<(Client, Signal)> {
    let ice = IceCredentials {
        ufrag: format!("{:08x}", rand::random::<u32>()),
        password: format!("{:032x}", rand::random::<u128>()),
    };
    let wishes = Wishes { send: wanted.send, receive: wanted.receive };
    let mut offer = Offer::new(&wishes, ice.clone(), certificate.fingerprint());
    offer.text = with_data(&offer.text);
    let address = madang::address(server, &mint.mint(&wanted.identity, Role::Member)?)?;
    let (mut socket, _) = tokio_tungstenite::connect_async(address.as_str()).await.context("the WebSocket")?;
    let publish = if wanted.publish { madang::publish(&offer) } else { Vec::new() };
    let request = json!({
        "id": 1, "type": "join", "protocol": 1, "client": "madang-load hostile",
        "offer": offer.text, "slots": madang::slots(&offer), "publish": publish,
    });
    madang::send(&mut socket, &request).await?;
    let joined = tokio::time::timeout(Duration::from_secs(20), madang::reply(&mut socket)).await??;
    let id = joined["participant"]["id"].as_str().context("joined without an id")?.parse()?;
    let remote = Remote::parse(joined["answer"].as_str().context("joined without an answer")?)?;
    let server = remote.address([127, 0, 0, 1].into())?;
    let own = socket::bind([127, 0, 0, 1].into())?;
    own.connect(server)?;
    let now = Instant::now();
    let client = Client {
        rtc: TestClient::new(certificate.clone(), ice, remote.ice.clone(), now),
        socket: UdpSocket::from_std(own),
        epoch: Epoch::at(now),
        offer,
        remote,
        check_at: now,
        is_checked: false,
        has_channels: false,
        id,
        requests: 0,
        messages: 0,
        packets: 0,
    };
    let (sink, stream) = socket.split();
    let told = Told::default();
    let (replies, published) = mpsc::unbounded_channel();
    let reader = tokio::spawn(listen(stream, Arc::clone(&told), replies));
    Ok((client, Signal { sink, next: 1, told, published, reader }))
}

/// The offer with an m-line of data channels (RFC 8841).
fn with_data(offer: &str) -> String {
    let bundle = offer.lines().find(|line| line.starts_with("a=group:BUNDLE")).unwrap_or_default();
    offer.replacen(bundle, &format!("{bundle} data"), 1)
        + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:data\r\n\
           a=sctp-port:5000\r\na=max-message-size:65536\r\n"
}

/// Notes what a client is told, and passes replies on that it may want.
async fn listen(mut stream: SplitStream<Socket>, told: Told, replies: mpsc::UnboundedSender<Value>) {
    let note_down = |what: String| *told.lock().entry(what).or_default() += 1;
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Text(text) if noteworthy(&text) => {
                let Ok(message) = serde_json::from_str::<Value>(&text) else { continue };
                note(&message).map(note_down).unwrap_or_default();
                // Who asked is gone at the end.
                let _ = replies.send(message);
            }
            Message::Close(frame) => {
                return note_down(frame.map_or("closed".to_owned(), |frame| format!("closed: {}", frame.code)));
            }
            _ => {}
        }
    }
    note_down("closed without a word".to_owned());
}

/// Most events are of no interest; their text is not parsed.
fn noteworthy(text: &str) -> bool {
    ["\"error\"", "limited\"", "\"disconnected\"", "\"published\""].iter().any(|word| text.contains(word))
}

fn note(message: &Value) -> Option<String> {
    let kind = message["type"].as_str()?;
    let detail = ["code", "limit", "reason"].iter().find_map(|member| message[*member].as_str());
    match kind {
        "error" => detail.map(str::to_owned),
        _ if kind.ends_with("limited") || kind == "disconnected" => {
            Some(detail.map_or(kind.to_owned(), |detail| format!("{kind}: {detail}")))
        }
        _ => None,
    }
}

impl Signal {
    /// Sends a request, whose reply is not waited for, and returns its id. `None`: the WebSocket is gone.
    pub(super) async fn request(&mut self, mut request: Value) -> Option<u64> {
        self.next += 1;
        request["id"] = self.next.into();
        self.sink.send(Message::text(request.to_string())).await.ok().map(|()| self.next)
    }

    /// Publishes an m-line and ends the publication once the server has named the track.
    pub(super) async fn publish_and_unpublish(&mut self, mid: &str) {
        let publish = json!({"type": "publish", "mid": mid, "source": "microphone", "name": "", "muted": false});
        let Some(id) = self.request(publish).await else { return };
        let reply = async {
            loop {
                match self.published.recv().await {
                    Some(reply) if reply["id"] == id => return Some(reply),
                    Some(_) => {}
                    None => return None,
                }
            }
        };
        let Ok(Some(reply)) = tokio::time::timeout(PATIENCE, reply).await else { return };
        if let Some(track) = reply["track"]["id"].as_str() {
            self.request(json!({"type": "unpublish", "track": track})).await;
        }
    }

    /// Whether the server closed the WebSocket.
    pub(super) fn is_closed(&self) -> bool {
        self.reader.is_finished()
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Client {
    /// Reads what came and does what is due.
    pub(super) fn drive(&mut self, now: Instant, buffer: &mut [u8]) {
        for _ in 0..READS {
            // An empty socket ends the loop; so does an unreachable port.
            let Ok(received) = socket::receive(&self.socket, buffer, &self.epoch) else { break };
            buffer[..received.len].chunks(received.segment).for_each(|datagram| self.on_datagram(now, datagram));
        }
        if now >= self.check_at {
            self.check_at = now + if self.is_checked { CHECK } else { FIRST_CHECK };
            let check = self.rtc.check(true);
            self.send(&check);
        }
        if self.rtc.is_connected() && !self.has_channels {
            self.has_channels = true;
            self.rtc.open_channels(now);
        }
        if self.rtc.poll_timeout().is_some_and(|at| at <= now) {
            self.rtc.handle_timeout(now);
        }
        self.flush();
    }

    fn on_datagram(&mut self, now: Instant, datagram: &[u8]) {
        match self.rtc.handle(now, datagram) {
            Received::Checked { success: true } if !self.is_checked => {
                self.is_checked = true;
                self.rtc.start_dtls(now);
            }
            Received::Rtp(_) => self.packets += 1,
            Received::Rtcp(compound) => {
                let is_request = |packet: &Packet<'_>| matches!(packet, Packet::Pli(_) | Packet::Fir(_));
                self.requests += rtcp::packets(&compound).flatten().filter(is_request).count() as u64;
            }
            _ => {}
        }
        self.messages += std::iter::from_fn(|| self.rtc.poll_data()).count() as u64;
    }

    /// Whether media and both channels are up.
    pub(super) fn is_up(&self) -> bool {
        self.rtc.is_connected() && self.rtc.is_open(Channel::Reliable) && self.rtc.is_open(Channel::Lossy)
    }

    /// Sends a datagram. A full socket buffer is a loss like any other.
    pub(super) fn send(&self, datagram: &[u8]) {
        let _ = self.socket.send(datagram);
    }

    pub(super) fn flush(&mut self) {
        while let Some(datagram) = self.rtc.poll_transmit() {
            self.send(&datagram);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_is_told_is_noted() {
        for (message, expected) in [
            (json!({"type": "error", "code": "rate_limited", "message": "x"}), Some("rate_limited")),
            (json!({"type": "data_limited", "limit": "rate", "lost": 3}), Some("data_limited: rate")),
            (json!({"type": "disconnected", "reason": "protocol_error"}), Some("disconnected: protocol_error")),
            (json!({"type": "ok"}), None),
        ] {
            assert_eq!(note(&message).as_deref(), expected);
            assert!(expected.is_none() || noteworthy(&message.to_string()));
        }
    }

    #[test]
    fn offers_bundle_data() {
        let ice = IceCredentials { ufrag: "u".into(), password: "p".into() };
        let wishes = Wishes { send: vec![(Kind::Audio, 1)], receive: vec![] };
        let offer = with_data(&Offer::new(&wishes, ice, sfu_core::sdp::Fingerprint([0; 32])).text);
        assert!(offer.contains("a=group:BUNDLE 0 data\r\n") && offer.contains("\r\na=mid:data\r\n"), "{offer}");
    }
}
