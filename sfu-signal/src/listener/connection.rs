//! One connection, as its task, its requests and its WebSocket share it: what it has shown, what it has under way, until when
//! the next thing must come, and whether it was told to end.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::Version;
use axum::http::request::Parts;
use parking_lot::Mutex;
use sfu_core::limiter::{Limit, Limiter, Prefix};
use tokio::sync::watch;

use super::Gate;
use super::table::{Id, Standing};

/// How long a connection may take for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a TLS handshake, and then for the head of a request.
    pub header: Duration,
    /// For a request, from its head to the end of its response.
    pub request: Duration,
    /// Between two requests.
    pub idle: Duration,
}

/// What did not come in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// The end of a TLS handshake.
    Handshake,
    /// The head of a request.
    Headers,
    /// The end of a request and its response.
    Request,
    /// The next request.
    Idle,
}

impl Overdue {
    /// Every kind, in the order of its index.
    pub(crate) const ALL: [Self; 4] = [Self::Handshake, Self::Headers, Self::Request, Self::Idle];

    /// The text in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Headers => "headers",
            Self::Request => "request",
            Self::Idle => "idle",
        }
    }
}

/// What a connection is doing.
#[derive(Debug)]
struct Work {
    /// Requests under way, and since when. The first is the oldest.
    requests: BTreeMap<u64, Instant>,
    next: u64,
    /// Since when there is none.
    idle_since: Instant,
    /// When the first bytes after the last response came: a head that is on its way.
    head_since: Option<Instant>,
    /// It had a request.
    served: bool,
    /// HTTP/2: bytes between requests are not the beginning of one.
    multiplexed: bool,
    limiter: Limiter,
}

/// A connection of a listener.
#[derive(Debug)]
pub(crate) struct Connection {
    id: Id,
    gate: Arc<Gate>,
    cut: watch::Sender<bool>,
    work: Mutex<Work>,
}

impl Connection {
    pub(super) fn new(id: Id, gate: Arc<Gate>, requests: Limit, now: Instant) -> Arc<Self> {
        let work = Work {
            requests: BTreeMap::new(),
            next: 0,
            idle_since: now,
            head_since: None,
            served: false,
            multiplexed: false,
            limiter: Limiter::new(requests, now),
        };
        Arc::new(Self { id, gate, cut: watch::Sender::new(false), work: Mutex::new(work) })
    }

    /// Ends it at once: it made room for another.
    pub(super) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Resolves when it is to end at once.
    pub(crate) async fn when_cut(&self) {
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = self.cut.subscribe().wait_for(|cut| *cut).await;
    }

    /// Bytes came.
    pub(super) fn on_read(&self, now: Instant) {
        let mut work = self.work.lock();
        if work.requests.is_empty() && work.head_since.is_none() {
            work.head_since = Some(now);
        }
    }

    /// The TLS handshake is over: from now on it has time for the head of a request.
    pub(super) fn on_handshake(&self, now: Instant) {
        let mut work = self.work.lock();
        (work.idle_since, work.head_since) = (now, None);
    }

    /// The head of a request is there. `None`: the connection has asked too much.
    pub(super) fn begin(self: &Arc<Self>, version: Version, now: Instant) -> Option<Underway> {
        let mut work = self.work.lock();
        work.served = true;
        work.multiplexed = version == Version::HTTP_2;
        if !work.limiter.admit(now, 1) {
            return None;
        }
        let number = work.next;
        work.next += 1;
        work.requests.insert(number, now);
        drop(work);
        Some(Underway { connection: self.clone(), number })
    }

    /// Until when the next thing must come, and what it is.
    pub(super) fn deadline(&self, timeouts: &Timeouts) -> (Instant, Overdue) {
        let work = self.work.lock();
        if let Some(oldest) = work.requests.values().next() {
            (*oldest + timeouts.request, Overdue::Request)
        } else if !work.served {
            (work.idle_since + timeouts.header, Overdue::Headers)
        } else {
            match work.head_since.filter(|_| !work.multiplexed) {
                Some(since) => (since + timeouts.header, Overdue::Headers),
                None => (work.idle_since + timeouts.idle, Overdue::Idle),
            }
        }
    }
}

/// A request under way, until its response is written or given up.
#[derive(Debug)]
pub(super) struct Underway {
    connection: Arc<Connection>,
    number: u64,
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut work = self.connection.work.lock();
        work.requests.remove(&self.number);
        if work.requests.is_empty() {
            (work.idle_since, work.head_since) = (Instant::now(), None);
        }
    }
}

/// A place among the connections; it is free again when the socket ends.
#[derive(Debug)]
pub(super) struct Ticket(pub(super) Arc<Connection>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.gate.remove(self.0.id);
    }
}

/// A request that a proxy passed on, counted as a connection of the proxy's client.
#[derive(Debug)]
pub(super) struct Seat {
    gate: Arc<Gate>,
    prefix: Prefix,
}

impl Seat {
    /// `None`: the client has too many.
    pub(super) fn take(gate: &Arc<Gate>, prefix: Prefix) -> Option<Self> {
        gate.enter(prefix).then(|| Self { gate: gate.clone(), prefix })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.gate.leave(self.prefix);
    }
}

/// Where a request came from. Empty where no listener of ours is in front, as in tests of a bare router.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    connection: Option<Arc<Connection>>,
    /// Held for as long as the request and its response, or the WebSocket that it became.
    _seat: Option<Arc<Seat>>,
    address: Option<IpAddr>,
    /// The peer is a proxy whose word about scheme, host and prefix counts.
    pub(crate) proxied: bool,
}

impl Client {
    pub(super) fn new(connection: Arc<Connection>, seat: Option<Seat>, address: IpAddr, proxied: bool) -> Self {
        Self { connection: Some(connection), _seat: seat.map(Arc::new), address: Some(address), proxied }
    }

    /// The client's address: the peer's, or what a trusted proxy says.
    pub(crate) const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// It showed a valid token.
    pub(crate) fn authenticated(&self) {
        self.promote(Standing::Guest);
    }

    /// Its WebSocket joined or resumed.
    pub(crate) fn joined(&self) {
        self.promote(Standing::Joined);
    }

    /// Resolves when its connection is to end at once.
    pub(crate) async fn when_cut(&self) {
        match &self.connection {
            Some(connection) => connection.when_cut().await,
            None => std::future::pending().await,
        }
    }

    fn promote(&self, to: Standing) {
        if let Some(connection) = &self.connection {
            connection.gate.promote(connection.id, to);
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
