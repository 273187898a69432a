//! The loop of one thread: sockets that have something, timers that are due, requests from the run.
//!
//! Timers are a heap with stale entries: a participant knows the earliest of its entries, and others are skipped when
//! they come up. A socket is read until it is empty, but only so often in a row, so that nobody starves the others.
//!
//! While somebody joins, each datagram wakes the thread. Otherwise it looks at its sockets once in [`LOOK`]: on one machine a
//! wake-up is paid by the server whose packet it is, and on one core the thread that it wakes stops the server between two
//! packets, which a receiver elsewhere never does. What arrived when is the kernel's to say (see [`socket`]).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver as Mailbox, TryRecvError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use super::Settings;
use super::participant::{Participant, Setup};
use super::receiver::Shared;
use super::sender::Moment;
use super::session::Identity;
use super::socket::{self, Epoch, RECEIVE_BUFFER};
use super::totals::{Sequences, Totals};
use crate::stamp::Kind;

const WAKER: Token = Token(usize::MAX);
const EVENTS: usize = 1_024;
/// System calls for one socket before the others have their turn.
const READS: usize = 16;
/// How often sockets are looked at while nobody joins. Answers (RTX, TWCC, a keyframe) leave so much later at most.
const LOOK: Duration = Duration::from_millis(1);
/// The longest wait.
const IDLE: Duration = Duration::from_millis(500);

/// Names a participant of an engine.
pub type Id = u32;

/// What a run asks of a thread.
pub(super) enum Request {
    Add(Id, Box<Setup>),
    Remove(Id),
    Mute(Id, Kind, bool),
    Collect(tokio::sync::oneshot::Sender<Totals>),
}

/// One thread's state.
pub(super) struct Driver {
    settings: Arc<Settings>,
    identity: Identity,
    epoch: Epoch,
    poll: Poll,
    mailbox: Mailbox<Request>,
    participants: Slab<Participant>,
    by_id: HashMap<Id, usize>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Sockets that had more than their share.
    unfinished: VecDeque<usize>,
    /// Participants that are neither connected nor lost.
    joining: usize,
    totals: Totals,
    /// What participants that left knew by sequence numbers.
    gone: [Sequences; 2],
    buffer: Box<[u8]>,
    scratch: Vec<u8>,
}

impl Driver {
    /// The thread's state, and what wakes it.
    pub(super) fn new(
        settings: Arc<Settings>,
        identity: Identity,
        mailbox: Mailbox<Request>,
    ) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let driver = Self {
            epoch: Epoch::at(settings.epoch),
            settings,
            identity,
            poll,
            mailbox,
            participants: Slab::new(),
            by_id: HashMap::new(),
            timers: BinaryHeap::new(),
            unfinished: VecDeque::new(),
            joining: 0,
            totals: Totals::default(),
            gone: <[Sequences; 2]>::default(),
            buffer: vec![0; RECEIVE_BUFFER].into(),
            scratch: Vec::new(),
        };
        Ok((driver, waker))
    }

    /// Runs until the engine is dropped.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.wait(&mut events) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for _ in 0..self.unfinished.len() {
                if let Some(key) = self.unfinished.pop_front() {
                    self.read(key);
                }
            }
            for event in &events {
                if event.token() != WAKER {
                    self.read(event.token().0);
                }
            }
            self.run_timers();
            if !self.handle_requests() {
                return Ok(());
            }
        }
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let mut timeout = self.timeout();
        if self.joining == 0 && !self.participants.is_empty() {
            std::thread::sleep(timeout.min(LOOK));
            timeout = Duration::ZERO;
        }
        self.poll.poll(events, Some(timeout))
    }

    fn timeout(&self) -> Duration {
        if !self.unfinished.is_empty() {
            return Duration::ZERO;
        }
        let next = self.timers.peek().map(|Reverse((at, _))| at.saturating_duration_since(Instant::now()));
        next.map_or(IDLE, |next| next.min(IDLE))
    }

    fn read(&mut self, key: usize) {
        let mut shared = shared(&mut self.totals, &self.settings);
        for _ in 0..READS {
            let Some(participant) = self.participants.get_mut(key) else { return };
            // An empty socket ends the loop; so does an unreachable port, of which ICE learns by its timeout.
            let Ok(received) = socket::receive(&participant.socket, &mut self.buffer, &self.epoch) else {
                return self.arm(key);
            };
            for datagram in self.buffer[..received.len].chunks_mut(received.segment) {
                participant.on_datagram(received.at, datagram, &mut shared);
            }
        }
        self.unfinished.push_back(key);
        self.arm(key);
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, key))) = self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.timers.pop();
            let Some(participant) = self.participants.get_mut(key).filter(|known| known.due == Some(at)) else {
                continue;
            };
            participant.due = None;
            let moment = Moment { now, epoch: self.settings.epoch, measuring: self.settings.is_measuring() };
            participant.handle_timeout(moment, &mut self.scratch, &mut shared(&mut self.totals, &self.settings));
            self.arm(key);
        }
    }

    /// After anything happened to a participant: puts its next deadline among the timers, unless an earlier one is there.
    fn arm(&mut self, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        if participant.joining && participant.has_joined() {
            participant.joining = false;
            self.joining -= 1;
        }
        let Some(at) = participant.poll_timeout() else { return };
        if participant.due.is_none_or(|due| at < due) {
            participant.due = Some(at);
            self.timers.push(Reverse((at, key)));
        }
    }

    /// False once nobody can ask any more.
    fn handle_requests(&mut self) -> bool {
        loop {
            match self.mailbox.try_recv() {
                Ok(Request::Add(id, setup)) => self.add(id, *setup),
                Ok(Request::Remove(id)) => self.remove(id),
                Ok(Request::Mute(id, kind, muted)) => {
                    if let Some(participant) = self.by_id.get(&id).and_then(|key| self.participants.get_mut(*key)) {
                        participant.set_muted(kind, muted);
                    }
                }
                // A run that has gone meanwhile needs no answer.
                Ok(Request::Collect(reply)) => drop(reply.send(self.collect())),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn add(&mut self, id: Id, setup: Setup) {
        let progress = setup.progress.clone();
        let added = Participant::new(setup, &self.identity, id.into(), Instant::now()).and_then(|mut participant| {
            let entry = self.participants.vacant_entry();
            let key = entry.key();
            self.poll.registry().register(&mut participant.socket, Token(key), Interest::READABLE)?;
            entry.insert(participant);
            Ok(key)
        });
        match added {
            Ok(key) => {
                self.by_id.insert(id, key);
                self.joining += 1;
                self.arm(key);
            }
            Err(error) => progress.send_modify(|progress| progress.failed = Some(error.to_string())),
        }
    }

    fn remove(&mut self, id: Id) {
        let Some(key) = self.by_id.remove(&id) else { return };
        let mut participant = self.participants.remove(key);
        add(&mut self.gone, participant.sequences());
        self.joining -= usize::from(participant.joining);
        participant.close();
        // The socket closes with the participant, which deregisters it, too.
        let _ = self.poll.registry().deregister(&mut participant.socket);
    }

    fn collect(&self) -> Totals {
        let mut totals = self.totals.clone();
        totals.sequences = self.gone;
        for (_, participant) in &self.participants {
            add(&mut totals.sequences, participant.sequences());
            totals.streams += participant.streams() as u64;
            totals.connected += u64::from(participant.is_connected());
        }
        totals
    }
}

fn add(sums: &mut [Sequences; 2], more: [Sequences; 2]) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| sum.merge(more));
}

fn shared<'a>(totals: &'a mut Totals, settings: &Settings) -> Shared<'a> {
    Shared { totals, epoch: settings.epoch, open_every: settings.open_every, measuring: settings.is_measuring() }
}

impl Settings {
    fn is_measuring(&self) -> bool {
        self.measuring.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;

    use sfu_core::sdp::IceCredentials;
    use tokio::sync::watch;

    use super::*;
    use crate::synthetic::link::Profile;
    use crate::synthetic::participant::{Progress, Receiving};
    use crate::synthetic::sdp::OFFERED;
    use crate::synthetic::session::Peer;

    fn driver() -> Driver {
        let settings = Settings { epoch: Instant::now(), open_every: 1, measuring: Arc::new(AtomicBool::new(false)) };
        let identity = Identity::generate().unwrap();
        Driver::new(Arc::new(settings), identity, mpsc::channel().1).unwrap().0
    }

    /// Of somebody whose server never answers.
    fn setup(driver: &Driver) -> Setup {
        let ice = || IceCredentials { ufrag: "abcd".to_owned(), password: "x".repeat(22) };
        Setup {
            socket: socket::bind([127, 0, 0, 1].into()).unwrap(),
            peer: Peer {
                address: ([127, 0, 0, 1], 9).into(),
                fingerprint: driver.identity.fingerprint,
                starts_dtls: false,
            },
            ice: (ice(), ice()),
            sending: None,
            receiving: Receiving { payload_types: OFFERED, transport_cc: None, repairs: Vec::new() },
            link: Profile::default(),
            progress: watch::channel(Progress::default()).0,
        }
    }

    /// Red if a thread goes on to be woken by each packet after somebody left or failed while joining, or counts them twice.
    #[test]
    fn who_left_or_failed_joins_no_more() {
        let mut driver = driver();
        for id in [1, 2] {
            driver.add(id, setup(&driver));
        }
        assert_eq!(driver.joining, 2);
        driver.remove(1);
        assert_eq!(driver.joining, 1);
        let key = driver.by_id[&2];
        while let Some(now) = driver.participants[key].poll_timeout() {
            let moment = Moment { now, epoch: now, measuring: false };
            let mut shared = shared(&mut driver.totals, &driver.settings);
            driver.participants[key].handle_timeout(moment, &mut driver.scratch, &mut shared);
            driver.arm(key);
        }
        assert_eq!(driver.joining, 0);
        driver.remove(2);
        assert_eq!(driver.joining, 0);
    }
}
