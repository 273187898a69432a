//! The ICE-TCP listener (RFC 6544, passive): one port for all workers.
//!
//! A connection must first show a STUN binding request whose ufrag names a worker, and then moves to that worker with
//! all bytes that it has sent. What a stranger can cost is bounded: [`MAX_PENDING`] connections (the oldest makes room),
//! [`FIRST_FRAME_TIMEOUT`], and [`MAX_FIRST_FRAME`] bytes. Whether the request is authentic is for the worker to find
//! out; see `connections.rs`. The listener has a thread of its own, so that a flood of connections costs no media.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use tokio::sync::mpsc;

use super::framing::Deframer;
use crate::control::WorkerIndex;

/// Which worker a first frame is for; `None`: nobody's.
pub type Route = fn(&[u8]) -> Option<WorkerIndex>;

/// Connections that have not shown their first frame.
const MAX_PENDING: usize = 256;

/// How long they may take for it.
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
    since: Instant,
}

/// The listener's thread, before it runs.
pub(super) struct Listener {
    poll: Poll,
    listener: TcpListener,
    pending: Slab<Pending>,
    workers: Vec<Handover>,
    route: Route,
    stop: Arc<AtomicBool>,
    /// The last accept failed, and the poll will not tell of what waits.
    accept_again: bool,
}

impl Listener {
    pub(super) fn new(
        listener: std::net::TcpListener,
        workers: Vec<Handover>,
        route: Route,
        stop: Arc<AtomicBool>,
    ) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let pending = Slab::with_capacity(MAX_PENDING);
        Ok((Self { poll, listener, pending, workers, route, stop, accept_again: false }, waker))
    }

    /// Runs until it is told to stop. A panic costs the connections that have not shown their first frame.
    pub(super) fn run_again_and_again(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            tracing::error!("the ICE-TCP listener panicked; it goes on without the connections that were new");
            self.pending.clear();
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
        if self.pending.len() >= MAX_PENDING
            && let Some((oldest, _)) = self.pending.iter().min_by_key(|(_, pending)| pending.since)
        {
            self.pending.remove(oldest);
        }
        stream.set_nodelay(true)?;
        let local = canonical(stream.local_addr()?);
        let accepted = Accepted { stream, local, remote: canonical(remote), received: Deframer::default() };
        let key = self.pending.insert(Pending { accepted, since: now });
        let stream = &mut self.pending[key].accepted.stream;
        self.poll.registry().register(stream, Token(key), Interest::READABLE).inspect_err(|_| {
            self.pending.remove(key);
        })
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
        self.pending.remove(key);
    }

    fn hand_over(&mut self, key: usize, worker: Option<WorkerIndex>) {
        let mut accepted = self.pending.remove(key).accepted;
        let Some(worker) = worker.and_then(|index| self.workers.get(usize::from(index))) else { return };
        if self.poll.registry().deregister(&mut accepted.stream).is_err() {
            return;
        }
        // A worker that has no room for it lets it end: the client tries again, or uses UDP.
        if worker.connections.try_send(accepted).is_ok() {
            let _ = worker.waker.wake();
        }
    }

    fn expire(&mut self, now: Instant) {
        self.pending.retain(|_, pending| now.saturating_duration_since(pending.since) < FIRST_FRAME_TIMEOUT);
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        v4 => SocketAddr::new(v4, address.port()),
    }
}
