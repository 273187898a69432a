//! One participant's signalling session: the events it was told, and the WebSocket that they go to, if there is one.
//!
//! Events are numbered from 1 without gaps, and the last of them are kept, so that a resume brings exactly what was
//! missed. State of the moment is numbered 0: it is worth nothing later, so that it is not kept, and never what a slow
//! client is disconnected for. A session outlives its WebSocket by the grace period.
//!
//! The queue and what is kept are bounded in messages and in bytes: a client that does not read is disconnected, and may resume.
//! All receivers of an event share its text; the number, in which they differ, is put in front when it is written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use rand::Rng;
use sfu_core::id::SessionId;
use tokio::sync::{mpsc, watch};
use tokio_websockets::CloseCode;

/// What goes to a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// A reply.
    Reply(String),
    /// The reply that holds the whole room. There is one for each WebSocket, and its size is the room's and not the client's to
    /// choose: it does not count.
    Snapshot(String),
    /// An event, `{"type":...}`, and its number.
    Event { seq: u64, event: Arc<str> },
    /// The last thing that is written.
    Close { code: CloseCode, reason: &'static str },
}

impl Outgoing {
    /// Bytes that count against the bounds. An event counts in whole, although others share its text.
    fn cost(&self) -> usize {
        match self {
            Self::Reply(text) => text.len(),
            Self::Event { event, .. } => event.len(),
            Self::Snapshot(_) | Self::Close { .. } => 0,
        }
    }
}

/// How much may wait for a WebSocket, or is kept for a resume.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// The server's end of one WebSocket's outgoing queue.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    id: u64,
    queue: mpsc::Sender<Outgoing>,
    /// Bytes that are queued or being written.
    waiting: Arc<AtomicUsize>,
    max_bytes: usize,
    cut: Arc<watch::Sender<bool>>,
}

/// The other end.
#[derive(Debug)]
pub(crate) struct Queue {
    receiver: mpsc::Receiver<Outgoing>,
    waiting: Arc<AtomicUsize>,
    /// Bytes of what was taken last, which is being written.
    taken: usize,
}

impl Queue {
    /// The next message. The one before it was written.
    pub(crate) async fn next(&mut self) -> Option<Outgoing> {
        self.waiting.fetch_sub(std::mem::take(&mut self.taken), Ordering::Relaxed);
        let outgoing = self.receiver.recv().await?;
        self.taken = outgoing.cost();
        Some(outgoing)
    }
}

impl Link {
    pub(crate) fn new(bounds: Bounds) -> (Self, Queue) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (queue, receiver) = mpsc::channel(bounds.messages.max(1));
        let waiting = Arc::<AtomicUsize>::default();
        let link = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            queue,
            waiting: Arc::clone(&waiting),
            max_bytes: bounds.bytes,
            cut: Arc::new(watch::Sender::new(false)),
        };
        (link, Queue { receiver, waiting, taken: 0 })
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// Queues a message. False: the queue is full, or the WebSocket gone. One that is larger than all that may wait finds room
    /// in an empty queue.
    pub(crate) fn send(&self, outgoing: Outgoing) -> bool {
        let cost = outgoing.cost();
        let before = self.waiting.fetch_add(cost, Ordering::Relaxed);
        let fits = before == 0 || before + cost <= self.max_bytes;
        let sent = fits && self.queue.try_send(outgoing).is_ok();
        if !sent {
            self.waiting.fetch_sub(cost, Ordering::Relaxed);
        }
        sent
    }

    /// Whether the queue is at most half full.
    fn has_room(&self) -> bool {
        self.queue.capacity() * 2 >= self.queue.max_capacity()
            && self.waiting.load(Ordering::Relaxed) * 2 <= self.max_bytes
    }

    /// Whether all of these find room, with one reply before them.
    pub(crate) fn has_room_for(&self, messages: &[Outgoing]) -> bool {
        let bytes: usize = messages.iter().map(Outgoing::cost).sum();
        messages.len() < self.queue.capacity() && self.waiting.load(Ordering::Relaxed) + bytes <= self.max_bytes
    }

    /// Closes the WebSocket after what is queued, or at once where nothing more can be queued.
    pub(crate) fn close(&self, code: CloseCode, reason: &'static str) {
        if self.queue.try_send(Outgoing::Close { code, reason }).is_err() {
            self.cut();
        }
    }

    /// Ends the WebSocket at once.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Resolves when the WebSocket is to end at once.
    pub(crate) async fn when_cut(&self) {
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = self.cut.subscribe().wait_for(|cut| *cut).await;
    }
}

/// The secret that a resume shows. Compared in constant time, and never printed.
pub(crate) struct Secret([u8; 32]);

impl Secret {
    fn random(rng: &mut impl Rng) -> Self {
        let mut bits = [0; 32];
        rng.fill_bytes(&mut bits);
        Self(bits)
    }

    pub(crate) fn expose(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn matches(&self, shown: &str) -> bool {
        let wanted = self.expose();
        let differing = wanted.bytes().zip(shown.bytes()).fold(0, |bits, (a, b)| bits | (a ^ b));
        shown.len() == wanted.len() && std::hint::black_box(differing) == 0
    }
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Queued, or kept for a resume.
    Kept,
    /// The client does not read: its WebSocket was cut.
    Slow,
}

/// One session.
pub(crate) struct Session {
    id: SessionId,
    secret: Secret,
    seq: u64,
    replay: VecDeque<Arc<str>>,
    /// Bytes of what is kept.
    replay_bytes: usize,
    bounds: Bounds,
    link: Option<Link>,
    lost_at: Option<Instant>,
    /// It missed state of the moment.
    behind: bool,
}

impl Session {
    /// `bounds`: how many events, and how many bytes of them, are kept for a resume.
    pub(crate) fn new(bounds: Bounds, rng: &mut impl Rng) -> Self {
        Self {
            id: SessionId::random(rng),
            secret: Secret::random(rng),
            seq: 0,
            replay: VecDeque::new(),
            replay_bytes: 0,
            bounds,
            link: None,
            lost_at: None,
            behind: false,
        }
    }

    pub(crate) const fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) const fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) const fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// When the WebSocket was lost; `None` while there is one.
    pub(crate) const fn lost_at(&self) -> Option<Instant> {
        self.lost_at
    }

    /// Events go to `link` from now on; an older WebSocket is closed.
    pub(crate) fn attach(&mut self, link: Link) {
        self.lost_at = None;
        self.behind = false;
        if let Some(old) = self.link.replace(link) {
            old.close(CloseCode::POLICY_VIOLATION, "the session was resumed elsewhere");
        }
    }

    /// The WebSocket with this id ended. False: it was not this session's any more.
    pub(crate) fn detach(&mut self, link: u64, now: Instant) -> bool {
        let current = self.link.as_ref().is_some_and(|current| current.id == link);
        if current {
            self.link = None;
            self.lost_at = Some(now);
        }
        current
    }

    /// Numbers an event, `{"type":...}`, keeps it and sends it.
    pub(crate) fn emit(&mut self, event: &Arc<str>, now: Instant) -> Delivery {
        self.seq += 1;
        self.keep(event);
        let sent = self.link.as_ref().is_none_or(|link| link.send(numbered(self.seq, event)));
        if sent {
            return Delivery::Kept;
        }
        if let Some(link) = self.link.take() {
            link.cut();
        }
        self.lost_at = Some(now);
        Delivery::Slow
    }

    /// Keeps an event for a resume, and forgets the oldest for it.
    fn keep(&mut self, event: &Arc<str>) {
        self.replay.push_back(event.clone());
        self.replay_bytes += event.len();
        while self.replay.len() > self.bounds.messages || self.replay_bytes > self.bounds.bytes {
            let Some(oldest) = self.replay.pop_front() else { break };
            self.replay_bytes -= oldest.len();
        }
    }

    /// Sends state of the moment, `{"type":...}`: numbered 0 and not kept. A client with much to read misses it.
    pub(crate) fn hint(&mut self, event: &Arc<str>) {
        let Some(link) = &self.link else { return };
        self.behind |= !(link.has_room() && link.send(numbered(0, event)));
    }

    /// Whether it missed state of the moment, and has caught up with the rest.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind && self.link.as_ref().is_some_and(Link::has_room)
    }

    /// Sends all of the state of the moment, after which nothing of it is missing.
    pub(crate) fn catch_up(&mut self, whole: &[Arc<str>]) {
        self.behind = false;
        whole.iter().for_each(|event| self.hint(event));
    }

    /// The events after `last_seq`, or `None` where they are no longer all known.
    pub(crate) fn missed(&self, last_seq: u64) -> Option<Vec<Outgoing>> {
        let count = usize::try_from(self.seq.checked_sub(last_seq)?).ok()?;
        let first = self.replay.len().checked_sub(count)?;
        let events = self.replay.iter().skip(first).zip(last_seq + 1..);
        Some(events.map(|(event, seq)| numbered(seq, event)).collect())
    }
}

fn numbered(seq: u64, event: &Arc<str>) -> Outgoing {
    Outgoing::Event { seq, event: event.clone() }
}

/// An event's text with its number.
pub(crate) fn with_seq(seq: u64, event: &str) -> String {
    // The event is an object with at least its `type`: the number becomes its first member.
    format!("{{\"seq\":{seq},{}", &event[1..])
}

#[cfg(test)]
mod tests;
