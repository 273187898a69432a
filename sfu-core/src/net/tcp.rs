//! The ICE-TCP listener (RFC 6544, passive): one port for all workers.
//!
//! A connection must first show a STUN binding request whose ufrag names a worker, and then moves to that worker with
//! all bytes that it has sent. The worker takes it over only if the request is authentic; see `connections.rs`. Until then it is a
//! stranger's, which costs at most [`FIRST_FRAME_TIMEOUT`] and [`MAX_FIRST_FRAME`] bytes. Strangers are limited in all
//! and per source address ([`TcpLimits`]). Where there is no room, the oldest one makes room: of the same address, if
//! that has as many as it may, else of the address that has most. So a flood of one address evicts itself, and who speaks as soon
//! as it is connected, as all clients do, is never the oldest. The listener has a thread of its own, so that a flood of connections
//! costs no media.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use tokio::sync::mpsc;

use super::framing::Deframer;
use crate::control::WorkerIndex;
use crate::limiter::Prefix;

/// Which worker a first frame is for; `None`: nobody's.
pub type Route = fn(&[u8]) -> Option<WorkerIndex>;

/// What ICE-TCP connections may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// Connections of one worker.
    pub connections: usize,
    /// Connections that have shown no authentic check, in all.
    pub strangers: usize,
    /// Those of one source address; an IPv6 network of 64 bits is one.
    pub strangers_per_address: usize,
    /// Bytes that wait for a client that does not read.
    pub buffer_bytes: usize,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self { connections: 4096, strangers: 256, strangers_per_address: 64, buffer_bytes: 1 << 20 }
    }
}

/// What the listener counts. All values only rise.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Strangers that made room for newer ones.
    pub evicted: AtomicU64,
    /// Strangers that showed no first frame in time.
    pub timed_out: AtomicU64,
    /// Connections that ended before their first frame, or whose first frame is no check for a worker of ours.
    pub refused: AtomicU64,
    /// Connections whose worker had no room for them.
    pub busy: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How long a connection may take to show its first frame.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(10);

/// A binding request of ICE has less than 300 bytes; browsers' UDP checks stay below an MTU.
const MAX_FIRST_FRAME: usize = 1500;

/// Pause after the system refused to accept, as it does without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// A connection on its way to its worker.
#[derive(Debug)]
pub(super) struct Accepted {
    pub stream: TcpStream,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// What was read so far.
    pub received: Deframer,
}

/// How a connection reaches a worker.
#[derive(Debug, Clone)]
pub(super) struct Handover {
    pub connections: mpsc::Sender<Accepted>,
    pub waker: Arc<Waker>,
}

struct Pending {
    accepted: Accepted,
    source: Prefix,
    /// Rises with each connection: the lowest is the oldest.
    number: u64,
    since: Instant,
}

/// The listener's thread, before it runs.
pub(super) struct Listener {
    poll: Poll,
    listener: TcpListener,
    limits: TcpLimits,
    pending: Slab<Pending>,
    /// How many are pending of each source address.
    sources: HashMap<Prefix, usize>,
    next_number: u64,
    workers: Vec<Handover>,
    route: Route,
    stop: Arc<AtomicBool>,
    counters: Arc<ListenerCounters>,
    /// The last accept failed, and the poll will not tell of what waits.
    accept_again: bool,
}

impl Listener {
    pub(super) fn new(
        listener: std::net::TcpListener,
        limits: TcpLimits,
        workers: Vec<Handover>,
        route: Route,
        stop: Arc<AtomicBool>,
        counters: Arc<ListenerCounters>,
    ) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let listener = Self {
            poll,
            listener,
            limits,
            pending: Slab::new(),
            sources: HashMap::new(),
            next_number: 0,
            workers,
            route,
            stop,
            counters,
            accept_again: false,
        };
        Ok((listener, waker))
    }

    /// Runs until it is told to stop. A panic costs the connections that have not shown their first frame.
    pub(super) fn run_again_and_again(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            tracing::error!("the ICE-TCP listener panicked; it goes on without the connections that were new");
            self.pending.clear();
            self.sources.clear();
            self.accept_again = true;
            std::thread::sleep(ACCEPT_PAUSE);
        }
    }

    /// Runs until it is told to stop.
    fn run(&mut self) {
        let mut events = Events::with_capacity(256);
        while !self.stop.load(Ordering::Acquire) {
            let timeout = if self.accept_again { ACCEPT_PAUSE } else { Duration::from_secs(1) };
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the ICE-TCP listener cannot wait; it stops");
                return;
            }
            let now = Instant::now();
            if std::mem::take(&mut self.accept_again) {
                self.accept(now);
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(now),
                    WAKER => {}
                    Token(key) => self.read(key),
                }
            }
            self.expire(now);
        }
    }

    fn accept(&mut self, now: Instant) {
        loop {
            match self.listener.accept() {
                Ok((stream, remote)) => {
                    if let Err(error) = self.admit(now, stream, remote) {
                        tracing::debug!(%error, "an ICE-TCP connection ended at once");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::debug!(%error, "cannot accept an ICE-TCP connection");
                    self.accept_again = true;
                    return;
                }
            }
        }
    }

    fn admit(&mut self, now: Instant, stream: TcpStream, remote: SocketAddr) -> io::Result<()> {
        count(&self.counters.accepted);
        let remote = canonical(remote);
        let source = Prefix::from(remote.ip());
        self.make_room(source);
        stream.set_nodelay(true)?;
        let local = canonical(stream.local_addr()?);
        let accepted = Accepted { stream, local, remote, received: Deframer::default() };
        let number = self.next_number;
        self.next_number += 1;
        *self.sources.entry(source).or_default() += 1;
        let key = self.pending.insert(Pending { accepted, source, number, since: now });
        let stream = &mut self.pending[key].accepted.stream;
        self.poll.registry().register(stream, Token(key), Interest::READABLE).inspect_err(|_| {
            self.remove(key);
        })
    }

    /// Lets the oldest of the address end that has as many as it may, or else, if there are too many in all, of the address that
    /// has most.
    fn make_room(&mut self, source: Prefix) {
        let of_source = self.sources.get(&source).copied().unwrap_or(0);
        let crowded = if of_source >= self.limits.strangers_per_address.max(1) {
            Some(source)
        } else if self.pending.len() >= self.limits.strangers.max(1) {
            self.sources.iter().max_by_key(|(_, count)| **count).map(|(source, _)| *source)
        } else {
            None
        };
        let Some(crowded) = crowded else { return };
        let of_crowded = self.pending.iter().filter(|(_, pending)| pending.source == crowded);
        if let Some((oldest, _)) = of_crowded.min_by_key(|(_, pending)| pending.number) {
            self.remove(oldest);
            count(&self.counters.evicted);
        }
    }

    fn remove(&mut self, key: usize) -> Accepted {
        let Pending { accepted, source, .. } = self.pending.remove(key);
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
        accepted
    }

    fn read(&mut self, key: usize) {
        let Some(Pending { accepted, .. }) = self.pending.get_mut(key) else { return };
        loop {
            let first = match accepted.received.read(&mut accepted.stream) {
                Ok(0) => break,
                Ok(_) => accepted.received.peek(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            if let Some(frame) = first {
                let worker = (self.route)(frame);
                return self.hand_over(key, worker);
            }
            if accepted.received.frame_len().is_some_and(|len| len > MAX_FIRST_FRAME) {
                break;
            }
        }
        self.remove(key);
        count(&self.counters.refused);
    }

    fn hand_over(&mut self, key: usize, worker: Option<WorkerIndex>) {
        let mut accepted = self.remove(key);
        let Some(worker) = worker.and_then(|index| self.workers.get(usize::from(index))) else {
            return count(&self.counters.refused);
        };
        if self.poll.registry().deregister(&mut accepted.stream).is_err() {
            return count(&self.counters.refused);
        }
        // A worker that has no room for it lets it end: the client tries again, or uses UDP.
        match worker.connections.try_send(accepted) {
            Ok(()) => drop(worker.waker.wake()),
            Err(_) => count(&self.counters.busy),
        }
    }

    fn expire(&mut self, now: Instant) {
        let is_over = |pending: &Pending| now.saturating_duration_since(pending.since) >= FIRST_FRAME_TIMEOUT;
        let over: Vec<_> = self.pending.iter().filter(|(_, pending)| is_over(pending)).map(|(key, _)| key).collect();
        for key in over {
            self.remove(key);
            count(&self.counters.timed_out);
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        v4 => SocketAddr::new(v4, address.port()),
    }
}
