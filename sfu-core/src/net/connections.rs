//! A worker's ICE-TCP connections.
//!
//! Invariants:
//! - A connection is taken over only if its first frame is an authentic check, and kept only while its path is a
//!   participant's: it ends within a second after the participant left, and the transport's own limit of TCP paths is that of
//!   a participant's connections.
//! - Only authentic frames show that a client is there ([`IDLE_TIMEOUT`]).
//! - What waits to be written is bounded per connection ([`TcpLimits::buffer_bytes`]) and for all of a worker's
//!   ([`MAX_WAITING`]). A connection that does not drain loses media frames first ([`MEDIA_SHARE`]), then everything, and ends
//!   after [`STUCK_TIMEOUT`]: a late packet is worth little, a DTLS flight or a STUN answer is worth waiting for.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use slab::Slab;
use smallvec::SmallVec;

use super::counters::NetCounters;
use super::framing::{Deframer, FrameQueue};
use super::tcp::{Accepted, TcpLimits};
use crate::Transmit;
use crate::transport::{Path, Protocol};

/// How long nothing authentic may arrive. Clients check their consent every 5 s (RFC 7675) and give up after 30.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long bytes may wait without any being taken.
const STUCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Media may take this part of a connection's buffer: half a second at 4 Mbit/s of the default.
const MEDIA_SHARE: usize = 4;

/// Bytes that wait for all connections of a worker, above which media is dropped.
const MAX_WAITING: usize = 64 << 20;

/// Reads of one connection in one turn.
const READS: usize = 8;

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    path: Path,
    received: Deframer,
    queue: FrameQueue,
    /// It stands in [`Connections::readable`].
    listed: bool,
    /// When an authentic frame came.
    heard: Instant,
    /// When the peer last took bytes, or when the queue began to fill.
    last_write: Instant,
}

/// All connections of a worker.
#[derive(Debug)]
pub(super) struct Connections {
    limits: TcpLimits,
    connections: Slab<Connection>,
    by_path: HashMap<Path, usize>,
    /// Keys that may have something to read.
    readable: VecDeque<usize>,
    /// Keys with frames that were queued in this round.
    dirty: Vec<usize>,
    /// Paths that ended and that the core was not told of.
    closed: Vec<Path>,
    /// Bytes that wait in all queues.
    waiting: usize,
}

impl Connections {
    pub(super) fn new(limits: TcpLimits) -> Self {
        Self {
            limits,
            connections: Slab::new(),
            by_path: HashMap::new(),
            readable: VecDeque::new(),
            dirty: Vec::new(),
            closed: Vec::new(),
            waiting: 0,
        }
    }

    /// None, within the same limits.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.limits)
    }

    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether a turn would find something to do without waiting.
    pub(super) fn is_ready(&self) -> bool {
        !self.readable.is_empty() || !self.closed.is_empty()
    }

    /// Takes a connection over if its first frame `is_ours`, or lets it end. Its poll token is the first one plus its key.
    pub(super) fn adopt(
        &mut self,
        now: Instant,
        (registry, first_token): (&Registry, usize),
        accepted: Accepted,
        counters: &mut NetCounters,
        is_ours: impl FnOnce(Path, &mut [u8]) -> bool,
    ) {
        let Accepted { mut stream, local, remote, mut received } = accepted;
        let path = Path { protocol: Protocol::Tcp, local, remote };
        if self.connections.len() >= self.limits.connections || self.by_path.contains_key(&path) {
            counters.tcp_full += 1;
            return;
        }
        if !received.next().is_some_and(|first| is_ours(path, first)) {
            counters.tcp_refused += 1;
            return;
        }
        counters.tcp_in += 1;
        let slot = self.connections.vacant_entry();
        let key = slot.key();
        if registry.register(&mut stream, Token(first_token + key), Interest::READABLE | Interest::WRITABLE).is_err() {
            self.closed.push(path);
            return;
        }
        let queue = FrameQueue::default();
        slot.insert(Connection { stream, path, received, queue, listed: true, heard: now, last_write: now });
        self.by_path.insert(path, key);
        self.readable.push_back(key);
    }

    /// The poll said that a connection can be read or written.
    pub(super) fn on_ready(&mut self, now: Instant, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !std::mem::replace(&mut connection.listed, true) {
            self.readable.push_back(key);
        }
        self.write(now, key);
    }

    /// Hands all frames that arrived to `each`, a bounded number per connection.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        counters: &mut NetCounters,
        mut each: impl FnMut(Path, &mut [u8]) -> bool,
    ) {
        for _ in 0..self.readable.len() {
            let Some(key) = self.readable.pop_front() else { return };
            let Some(connection) = self.connections.get_mut(key) else { continue };
            match connection.read(now, counters, &mut each) {
                Ok(true) => self.readable.push_back(key),
                Ok(false) => connection.listed = false,
                Err(_) => self.close(key),
            }
        }
    }

    /// Queues a train on its connection. [`Self::flush`] writes.
    pub(super) fn send(&mut self, now: Instant, counters: &mut NetCounters, train: &Transmit<'_>) {
        let segment = train.segment.max(1);
        let key = self.by_path.get(&train.path).copied();
        let Some((key, connection)) = key.and_then(|key| Some((key, self.connections.get_mut(key)?))) else {
            counters.tcp_dropped += train.data.len().div_ceil(segment) as u64;
            return;
        };
        if connection.queue.len() == 0 {
            connection.last_write = now;
        }
        for frame in train.data.chunks(segment) {
            let limit = self.limits.buffer_bytes;
            let limit = match is_media(frame) {
                true if self.waiting > MAX_WAITING => 0,
                true => limit / MEDIA_SHARE,
                false => limit,
            };
            if connection.queue.len() + frame.len() > limit {
                counters.tcp_dropped += 1;
            } else {
                counters.tcp_out += 1;
                let before = connection.queue.len();
                connection.queue.push(frame);
                self.waiting += connection.queue.len() - before;
            }
        }
        if self.dirty.last() != Some(&key) {
            self.dirty.push(key);
        }
    }

    /// Writes what was queued since the last flush.
    pub(super) fn flush(&mut self, now: Instant) {
        while let Some(key) = self.dirty.pop() {
            self.write(now, key);
        }
    }

    fn write(&mut self, now: Instant, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let before = connection.queue.len();
        let result = connection.queue.write(&mut connection.stream);
        self.waiting -= before - connection.queue.len();
        match result {
            Ok(0) => {}
            Ok(_) => connection.last_write = now,
            Err(_) => self.close(key),
        }
    }

    /// Ends connections of nobody's, silent and stuck ones. To be called about once a second.
    pub(super) fn expire(&mut self, now: Instant, counters: &mut NetCounters, is_used: impl Fn(Path) -> bool) {
        let age = |since: Instant| now.saturating_duration_since(since);
        let mut over = SmallVec::<[usize; 16]>::new();
        for (key, connection) in &self.connections {
            let count = if !is_used(connection.path) {
                &mut counters.tcp_orphaned
            } else if age(connection.heard) > IDLE_TIMEOUT {
                &mut counters.tcp_idle
            } else if connection.queue.len() > 0 && age(connection.last_write) > STUCK_TIMEOUT {
                &mut counters.tcp_stuck
            } else {
                continue;
            };
            *count += 1;
            over.push(key);
        }
        over.into_iter().for_each(|key| self.close(key));
    }

    /// The next path that ended.
    pub(super) fn poll_closed(&mut self) -> Option<Path> {
        self.closed.pop()
    }

    /// Dropping the stream closes it and takes it out of the poll.
    fn close(&mut self, key: usize) {
        let connection = self.connections.remove(key);
        self.waiting -= connection.queue.len();
        self.by_path.remove(&connection.path);
        self.closed.push(connection.path);
    }
}

impl Connection {
    /// Whether there may be more to read.
    fn read(
        &mut self,
        now: Instant,
        counters: &mut NetCounters,
        each: &mut impl FnMut(Path, &mut [u8]) -> bool,
    ) -> io::Result<bool> {
        for _ in 0..READS {
            while let Some(frame) = self.received.next() {
                counters.tcp_in += 1;
                if each(self.path, frame) {
                    self.heard = now;
                }
            }
            match self.received.read(&mut self.stream) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// RTP and RTCP have first bytes 128 to 191 (RFC 7983).
fn is_media(frame: &[u8]) -> bool {
    frame.first().is_some_and(|byte| (128..=191).contains(byte))
}
