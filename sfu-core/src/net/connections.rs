//! A worker's ICE-TCP connections.
//!
//! The core answers only authentic STUN requests, so a connection that was never answered is a stranger's:
//! those are few ([`MAX_STRANGERS`]) and short-lived ([`STRANGER_TIMEOUT`]). A connection that does not drain loses media
//! frames first ([`MEDIA_LIMIT`]), then everything ([`LIMIT`], [`STUCK_TIMEOUT`]): a late packet is worth little, a
//! DTLS flight or a STUN answer is worth waiting for.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::counters::NetCounters;
use super::framing::{Deframer, FrameQueue};
use super::tcp::Accepted;
use crate::Transmit;
use crate::transport::{Path, Protocol};

/// Connections of one worker.
const MAX_CONNECTIONS: usize = 4096;

/// Connections of one worker that were never answered.
const MAX_STRANGERS: usize = 256;

/// How long a connection may go unanswered.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long nothing may arrive. Clients check their consent every 5 s (RFC 7675) and give up after 30.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long bytes may wait without any being taken.
const STUCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Waiting bytes above which media is dropped: half a second at 4 Mbit/s.
const MEDIA_LIMIT: usize = 256 << 10;

/// Waiting bytes above which the connection is closed.
const LIMIT: usize = 1 << 20;

/// Reads of one connection in one turn.
const READS: usize = 8;

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    path: Path,
    received: Deframer,
    queue: FrameQueue,
    answered: bool,
    /// It stands in [`Connections::readable`].
    listed: bool,
    since: Instant,
    last_read: Instant,
    /// When the peer last took bytes, or when the queue began to fill.
    last_write: Instant,
}

/// All connections of a worker.
#[derive(Debug, Default)]
pub(super) struct Connections {
    connections: Slab<Connection>,
    by_path: HashMap<Path, usize>,
    /// Keys that may have something to read.
    readable: VecDeque<usize>,
    /// Keys with frames that were queued in this round.
    dirty: Vec<usize>,
    /// Paths that ended and that the core was not told of.
    closed: Vec<Path>,
    strangers: usize,
}

impl Connections {
    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether a turn would find something to do without waiting.
    pub(super) fn is_ready(&self) -> bool {
        !self.readable.is_empty() || !self.closed.is_empty()
    }

    /// Takes a connection over, or lets it end if there are too many. Its poll token is `first_token` plus its key.
    pub(super) fn adopt(&mut self, now: Instant, registry: &Registry, first_token: usize, accepted: Accepted) {
        let Accepted { mut stream, local, remote, received } = accepted;
        let path = Path { protocol: Protocol::Tcp, local, remote };
        let full = self.connections.len() >= MAX_CONNECTIONS || self.strangers >= MAX_STRANGERS;
        if full || self.by_path.contains_key(&path) {
            return;
        }
        let slot = self.connections.vacant_entry();
        let key = slot.key();
        if registry.register(&mut stream, Token(first_token + key), Interest::READABLE | Interest::WRITABLE).is_err() {
            return;
        }
        slot.insert(Connection {
            stream,
            path,
            received,
            queue: FrameQueue::default(),
            answered: false,
            listed: true,
            since: now,
            last_read: now,
            last_write: now,
        });
        self.by_path.insert(path, key);
        self.strangers += 1;
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
    pub(super) fn receive(&mut self, now: Instant, counters: &mut NetCounters, mut each: impl FnMut(Path, &mut [u8])) {
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
        if !connection.answered {
            connection.answered = true;
            self.strangers -= 1;
        }
        if connection.queue.len() == 0 {
            connection.last_write = now;
        }
        for frame in train.data.chunks(segment) {
            let limit = if is_media(frame) { MEDIA_LIMIT } else { LIMIT };
            if connection.queue.len() + frame.len() > limit {
                counters.tcp_dropped += 1;
            } else {
                counters.tcp_out += 1;
                connection.queue.push(frame);
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
        match connection.queue.write(&mut connection.stream) {
            Ok(0) => {}
            Ok(_) => connection.last_write = now,
            Err(_) => self.close(key),
        }
    }

    /// Ends strangers, silent and stuck connections. To be called about once a second.
    pub(super) fn expire(&mut self, now: Instant) {
        let age = |since: Instant| now.saturating_duration_since(since);
        let over = self.connections.iter().filter(|(_, connection)| {
            (!connection.answered && age(connection.since) > STRANGER_TIMEOUT)
                || age(connection.last_read) > IDLE_TIMEOUT
                || (connection.queue.len() > 0 && age(connection.last_write) > STUCK_TIMEOUT)
        });
        for key in over.map(|(key, _)| key).collect::<Vec<_>>() {
            self.close(key);
        }
    }

    /// The next path that ended.
    pub(super) fn poll_closed(&mut self) -> Option<Path> {
        self.closed.pop()
    }

    /// Dropping the stream closes it and takes it out of the poll.
    fn close(&mut self, key: usize) {
        let connection = self.connections.remove(key);
        self.strangers -= usize::from(!connection.answered);
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
        each: &mut impl FnMut(Path, &mut [u8]),
    ) -> io::Result<bool> {
        for _ in 0..READS {
            while let Some(frame) = self.received.next() {
                counters.tcp_in += 1;
                self.last_read = now;
                each(self.path, frame);
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
