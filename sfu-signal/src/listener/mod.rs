//! The HTTP listener: accepts connections, keeps strangers within limits, and serves HTTP/1.1, HTTP/2 and WebSockets.
//!
//! A stranger is a connection without a valid token. All that it may do is bounded: how many there are ([`table`]), how long each
//! step may take ([`connection`]), how much is read of a head or kept of a body ([`serve`]), and how often it may ask. When a limit
//! or the process's descriptors are reached ([`accept`]), the oldest stranger makes room; who has joined never does.
//!
//! ```text
//! accept ──► table: in, in place of another, or refused
//!    └─► serve: TLS ─► hyper ─► router, with a `Client` in each request
//!             └─ deadline: handshake, head, request, idle
//! ```

mod accept;
mod connection;
mod counters;
mod serve;
mod socket;
mod table;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use parking_lot::Mutex;
use sfu_core::limiter::{Limit, Prefix};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinHandle};

pub(crate) use connection::Client;
pub use connection::Timeouts;
pub use counters::Snapshot;
pub use table::Limits;

use crate::config::HttpConfig;
use crate::forwarded::Proxies;
use connection::{Connection, Ticket};
use counters::{Counters, add};
use table::{Id, Standing, Table, Verdict};

/// Gives the TLS configuration of the moment, so that certificates can be replaced while connections are open.
pub type Tls = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// How a listener treats its connections.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many there may be.
    pub limits: Limits,
    /// How long they may take.
    pub timeouts: Timeouts,
    /// Streams of one HTTP/2 connection.
    pub streams: u32,
    /// Requests of one connection, a second.
    pub requests_per_second: u32,
    /// Whose word about clients counts.
    pub proxies: Proxies,
    /// Serves newcomers on spare descriptors when the process has no other left.
    pub uses_spares: bool,
}

impl Settings {
    /// Those of a public listener that may have `descriptors` at most.
    pub fn public(http: &HttpConfig, descriptors: usize) -> Self {
        let connections = http.connections.min(descriptors).max(1);
        // However few there are, half of them are for those who have joined.
        let strangers = http.strangers.min(connections / 2).max(1);
        Self {
            limits: Limits {
                connections,
                per_address: http.connections_per_address.max(1),
                strangers,
                strangers_per_address: http.strangers_per_address.clamp(1, strangers),
            },
            timeouts: Timeouts { header: http.header_timeout, request: http.request_timeout, idle: http.idle_timeout },
            streams: http.streams_per_connection,
            requests_per_second: http.requests_per_second,
            proxies: http.trusted_proxies.clone(),
            uses_spares: false,
        }
    }

    /// Those of the operator's listener: a few connections, all strangers, all short.
    pub fn operator() -> Self {
        let (limit, timeout) = (32, Duration::from_secs(10));
        Self {
            limits: Limits { connections: limit, per_address: limit, strangers: limit, strangers_per_address: limit },
            timeouts: Timeouts { header: timeout, request: timeout, idle: 6 * timeout },
            streams: 8,
            requests_per_second: 100,
            proxies: Proxies::default(),
            uses_spares: true,
        }
    }
}

/// The end of a listener, in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    /// Nothing is accepted; what is under way may finish.
    Closing,
    /// Everything ends.
    Closed,
}

/// A listener that serves. It goes on when this value is dropped.
#[derive(Debug)]
pub struct Listener {
    gate: Arc<Gate>,
    stage: Arc<watch::Sender<Stage>>,
    addresses: Vec<SocketAddr>,
    acceptors: Vec<JoinHandle<()>>,
}

impl Listener {
    /// Serves `router` on sockets that listen already.
    pub fn start(
        sockets: Vec<std::net::TcpListener>,
        router: Router,
        tls: Option<Tls>,
        settings: Settings,
    ) -> io::Result<Self> {
        let gate = Arc::new(Gate::new(&settings));
        let stage = Arc::new(watch::Sender::new(Stage::Open));
        let service = Arc::new(serve::Service::new(router, tls, settings, gate.clone(), stage.subscribe()));
        let addresses = sockets.iter().map(std::net::TcpListener::local_addr).collect::<io::Result<_>>()?;
        let accept = |socket| accept::Acceptor::new(socket, service.clone());
        let acceptors = sockets.into_iter().map(accept).collect::<io::Result<Vec<_>>>()?;
        let acceptors = acceptors.into_iter().map(|acceptor| tokio::spawn(acceptor.run())).collect();
        Ok(Self { gate, stage, addresses, acceptors })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Resolves when one of its sockets is accepted from no more, which happens by [`Self::close`] and by a fault of ours. Once.
    pub fn ended(&mut self) -> impl Future<Output = Result<(), JoinError>> + Send + 'static + use<> {
        let acceptors = std::mem::take(&mut self.acceptors);
        async move {
            if acceptors.is_empty() {
                std::future::pending::<()>().await;
            }
            futures_util::future::select_all(acceptors).await.0
        }
    }

    /// Its counters now.
    pub fn counters(&self) -> Snapshot {
        self.gate.counters.snapshot(self.gate.table.lock().counts())
    }

    /// Accepts no more, and ends what is under way after `grace`.
    pub fn close(&self, grace: Duration) {
        self.stage.send_replace(Stage::Closing);
        let stage = self.stage.clone();
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            stage.send_replace(Stage::Closed);
        });
    }
}

/// The table of a listener, and how those in it are told to end.
#[derive(Debug)]
pub(crate) struct Gate {
    table: Mutex<Table>,
    connections: Mutex<HashMap<Id, Arc<Connection>>>,
    counters: Counters,
    /// A place or a descriptor has become free.
    freed: Notify,
    requests: Limit,
}

impl Gate {
    fn new(settings: &Settings) -> Self {
        let rate = settings.requests_per_second;
        Self {
            table: Mutex::new(Table::new(settings.limits)),
            connections: Mutex::default(),
            counters: Counters::default(),
            freed: Notify::new(),
            requests: Limit::per_second(rate, rate.saturating_mul(2)),
        }
    }

    /// A place for a newcomer. It waits for one in a storm; `None`: it is refused.
    async fn admit(self: &Arc<Self>, prefix: Prefix, proxy: bool) -> Option<Ticket> {
        loop {
            let now = Instant::now();
            let freed = self.freed.notified();
            let verdict = {
                let mut table = self.table.lock();
                if proxy { table.admit_proxy(now, prefix) } else { table.admit(now, prefix) }
            };
            match verdict {
                Verdict::Admitted { id, evicted } => {
                    evicted.into_iter().for_each(|victim| self.evict(victim));
                    let connection = Connection::new(id, self.clone(), self.requests, now);
                    self.connections.lock().insert(id, connection.clone());
                    add(&self.counters.accepted);
                    return Some(Ticket(connection));
                }
                Verdict::Wait(until) => {
                    // Whichever comes first; then it is looked again.
                    let _ = tokio::time::timeout_at(until.into(), freed).await;
                }
                Verdict::Refused(reason) => {
                    self.counters.refused(reason);
                    return None;
                }
            }
        }
    }

    /// Makes a descriptor free. False: nobody makes room.
    fn relieve(&self) -> bool {
        let victim = self.table.lock().relieve();
        victim.into_iter().for_each(|victim| self.evict(victim));
        victim.is_some()
    }

    fn evict(&self, victim: Id) {
        add(&self.counters.evicted);
        if let Some(connection) = self.connections.lock().get(&victim) {
            connection.cut();
        }
    }

    fn remove(&self, id: Id) {
        self.table.lock().remove(id);
        self.connections.lock().remove(&id);
        self.freed.notify_waiters();
    }

    fn promote(&self, id: Id, to: Standing) {
        self.table.lock().promote(id, to);
        self.freed.notify_waiters();
    }

    fn enter(&self, prefix: Prefix) -> bool {
        let admitted = self.table.lock().enter(prefix);
        if !admitted {
            self.counters.refused(table::Refusal::Address);
        }
        admitted
    }

    fn leave(&self, prefix: Prefix) {
        self.table.lock().leave(prefix);
    }
}

#[cfg(test)]
mod tests;
