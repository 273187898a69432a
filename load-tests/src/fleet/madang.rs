//! Joining by Madang's own protocol (docs/protocol.md): one WebSocket and one connection for all that somebody sends and
//! receives. Slot events are acknowledged at once, as a client does that has detached what they replaced.

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Join, Part, Signalling};
use crate::stamp::Kind;
use crate::synthetic::sdp::Offer;

/// How long a reply may take.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a farewell may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A WebSocket.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A session; its WebSocket lives in a task.
pub struct Session {
    requests: mpsc::UnboundedSender<Value>,
    task: JoinHandle<()>,
    /// Kind and id of what is published.
    tracks: Vec<(Kind, String)>,
    /// Why the server ended it.
    ended: watch::Receiver<Option<String>>,
}

/// Joins.
pub(super) async fn join(join: &Join<'_>, server: &Url) -> anyhow::Result<Part> {
    let offer = join.offer(join.role);
    let address = address(server, &join.token()?)?;
    let (mut socket, _) = connect_async(address.as_str()).await.context("the WebSocket")?;
    let request = json!({
        "id": 1, "type": "join", "protocol": 1, "client": "madang-load",
        "offer": offer.text, "slots": slots(&offer), "publish": publish(&offer),
    });
    send(&mut socket, &request).await?;
    let joined = tokio::time::timeout(REPLY_TIMEOUT, reply(&mut socket)).await.context("no answer to join")??;
    let answer = joined["answer"].as_str().context("joined without an answer")?.to_owned();
    let tracks = tracks(&joined, &offer);
    let (requests, queue) = mpsc::unbounded_channel();
    let (ending, ended) = watch::channel(None);
    let task = tokio::spawn(attend(socket, queue, ending));
    join.start(offer, &answer, Signalling::Madang(Session { requests, task, tracks, ended }))
}

impl Session {
    /// Says to all that a track is muted or not.
    pub(super) fn mute(&self, kind: Kind, muted: bool) {
        for (_, track) in self.tracks.iter().filter(|(known, _)| *known == kind) {
            // A session that has ended meanwhile has nobody to tell.
            let _ = self.requests.send(json!({"type": "mute", "track": track, "muted": muted}));
        }
    }

    /// Waits until the server ends the session, and returns the reason that it gave. `None`: it gave none.
    pub(super) async fn ended(&self) -> Option<String> {
        let mut ended = self.ended.clone();
        // An error says that the WebSocket ended before.
        let reason = ended.wait_for(Option::is_some).await.ok()?;
        reason.clone()
    }

    /// Leaves.
    pub(super) async fn leave(self) {
        let _ = self.requests.send(json!({"type": "leave"}));
        drop(self.requests);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(LEAVE_TIMEOUT, self.task).await.is_err() {
            abort.abort();
        }
    }
}

pub(crate) fn address(server: &Url, token: &str) -> anyhow::Result<Url> {
    let mut address = server.join("v1/rtc").context("the server's URL")?;
    let scheme = if matches!(server.scheme(), "https" | "wss") { "wss" } else { "ws" };
    if address.set_scheme(scheme).is_err() {
        bail!("{server} cannot be a WebSocket's URL");
    }
    address.query_pairs_mut().append_pair("access_token", token);
    Ok(address)
}

/// Pairs as the offer has them; microphones alone without video.
pub(crate) fn slots(offer: &Offer) -> Vec<Value> {
    let mids = |kind| offer.receive.iter().filter(move |(known, _)| *known == kind).map(|(_, mid)| mid);
    let mut videos = mids(Kind::Video);
    let audios: Vec<_> = mids(Kind::Audio).collect();
    let mut slots: Vec<Value> = Vec::new();
    for audio in &audios {
        slots.push(match videos.next() {
            Some(video) => json!({"role": "pair", "audio": audio, "video": video}),
            None => json!({"role": "audio", "audio": audio}),
        });
    }
    slots.extend(videos.map(|video| json!({"role": "pair", "video": video})));
    slots
}

pub(crate) fn publish(offer: &Offer) -> Vec<Value> {
    let source = |kind| if kind == Kind::Video { "camera" } else { "microphone" };
    offer
        .send
        .iter()
        .map(|line| json!({"mid": line.mid, "source": source(line.kind), "name": "", "muted": false}))
        .collect()
}

/// `published` has the tracks in the order of `publish`.
fn tracks(joined: &Value, offer: &Offer) -> Vec<(Kind, String)> {
    let published = joined["published"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ids = published.iter().filter_map(|track| track["id"].as_str());
    offer.send.iter().map(|line| line.kind).zip(ids.map(str::to_owned)).collect()
}

pub(crate) async fn send(socket: &mut Socket, message: &Value) -> anyhow::Result<()> {
    Ok(socket.send(Message::text(message.to_string())).await?)
}

/// The reply to the first request.
pub(crate) async fn reply(socket: &mut Socket) -> anyhow::Result<Value> {
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let message: Value = serde_json::from_str(&text)?;
        if message["type"] == "error" {
            bail!("the server refused: {}: {}", message["code"], message["message"]);
        }
        if message["id"] == 1 {
            return Ok(message);
        }
    }
    bail!("the server closed the WebSocket")
}

/// Acknowledges slots and passes requests on until either side ends. Says why the server ended it.
async fn attend(
    mut socket: Socket,
    mut requests: mpsc::UnboundedReceiver<Value>,
    ending: watch::Sender<Option<String>>,
) {
    let mut id = 1;
    let mut leaving = false;
    loop {
        let mut request = tokio::select! {
            request = requests.recv(), if !leaving => match request {
                Some(request) => request,
                None => return,
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if let Some(reason) = farewell(&text) {
                        ending.send_replace(Some(reason));
                    }
                    match acknowledgement(&text) {
                        Some(request) => request,
                        None => continue,
                    }
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
        };
        id += 1;
        request["id"] = id.into();
        leaving |= request["type"] == "leave";
        if send(&mut socket, &request).await.is_err() {
            return;
        }
    }
}

/// The reason for which the server ends the session.
fn farewell(text: &str) -> Option<String> {
    // Most events are none; their text is not parsed.
    if !text.contains("\"disconnected\"") {
        return None;
    }
    let message: Value = serde_json::from_str(text).ok()?;
    (message["type"] == "disconnected").then(|| message["reason"].as_str().map(str::to_owned))?
}

fn acknowledgement(text: &str) -> Option<Value> {
    // Most events are none; their text is not parsed.
    if !text.contains("\"slots\"") {
        return None;
    }
    let message: Value = serde_json::from_str(text).ok().filter(|message: &Value| message["type"] == "slots")?;
    Some(json!({"type": "slots_ack", "revision": message["revision"]}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::sdp::Wishes;
    use sfu_core::sdp::{Fingerprint, IceCredentials};

    #[test]
    fn slots_are_pairs_or_microphones() {
        let ice = IceCredentials { ufrag: "u".into(), password: "p".into() };
        let offer = |receive: &[Kind]| {
            let wishes = Wishes { send: vec![(Kind::Audio, 1)], receive: receive.to_vec() };
            Offer::new(&wishes, ice.clone(), Fingerprint([0; 32]))
        };
        let pairs = slots(&offer(&[Kind::Audio, Kind::Video]));
        assert_eq!(pairs, [json!({"role": "pair", "audio": "1", "video": "2"})]);
        assert_eq!(slots(&offer(&[Kind::Audio])), [json!({"role": "audio", "audio": "1"})]);
    }

    #[test]
    fn only_slot_events_are_acknowledged() {
        let found = acknowledgement(r#"{"seq":1,"type":"slots","revision":4,"slots":[]}"#);
        assert_eq!(found, Some(json!({"type": "slots_ack", "revision": 4})));
        assert_eq!(acknowledgement(r#"{"seq":1,"type":"participant_joined","name":"slots"}"#), None);
        assert_eq!(acknowledgement("{"), None);
    }

    #[test]
    fn only_the_end_has_a_reason() {
        let ended = r#"{"seq":1,"type":"disconnected","reason":"media_restarted","message":""}"#;
        assert_eq!(farewell(ended).as_deref(), Some("media_restarted"));
        assert_eq!(farewell(r#"{"seq":1,"type":"participant_left","reason":"disconnected"}"#), None);
    }
}
