//! The loop of one worker thread: it owns an engine and the sockets.
//!
//! It measures how much of its time it could not wait, and lets [`overload`](crate::overload) say how much video to withhold.
//!
//! One turn: wait; datagrams in batches, each sent on before the next is read unless a frame is unfinished; frames of TCP; what
//! other workers relayed; a bounded number of commands; timeouts; events. Media never waits for the control plane: events that it
//! does not take stay in a backlog,
//! and while that is long, no further commands are taken, which are what most events come from.

mod restart;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use tokio::sync::mpsc;

use super::connections::Connections;
use super::counters::{NetCounters, Shared};
use super::engine::Engine;
use super::health::Health;
use super::lanes::{Lanes, Said};
use super::last::Last;
use super::linger::Linger;
use super::load::Load;
use super::retry::Retry;
use super::tcp::{Accepted, TcpLimits};
use super::udp::{Readiness, Udp};
use crate::control::{Command, Event, WorkerIndex};
use crate::overload::Intake;
use crate::transport::Protocol;

const UDP: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_CONNECTION: usize = 2;

/// Batches of datagrams in one turn, so that commands and timers come to their turn under load.
const BATCHES: usize = 8;

/// After so long no further batch is read in a turn: with a thousand viewers a batch takes 30 ms.
const TURN: Duration = Duration::from_millis(10);

/// Commands in one turn.
const COMMANDS: usize = 16;

/// After so long no further command is taken in a turn: a join takes 0.1 ms, and audio of all rooms waits for it.
const COMMANDS_TURN: Duration = Duration::from_millis(1);

/// Notices of one other worker in one turn.
const NOTICES: usize = 64;

/// Waiting events above which no commands are taken.
pub(super) const BACKLOG: usize = 1024;

/// How soon the control plane is asked again whether it takes events, and other workers whether they take notices.
const BACKLOG_RETRY: Duration = Duration::from_millis(5);

/// The longest wait, so that counters show that the worker lives.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A poll that took longer did wait: one that finds something takes a few microseconds.
const WAITED: Duration = Duration::from_micros(100);

/// What the outside holds of a worker.
pub(super) struct Inbox {
    pub index: WorkerIndex,
    pub commands: mpsc::Receiver<Command>,
    pub connections: mpsc::Receiver<Accepted>,
    pub stop: Arc<AtomicBool>,
    pub health: Health,
}

/// A worker's sockets and queues; [`Worker::run`] adds the engine.
pub(super) struct Worker {
    poll: Poll,
    udp: Udp,
    connections: Connections,
    inbox: Inbox,
    events: mpsc::Sender<Event>,
    backlog: VecDeque<Event>,
    counters: NetCounters,
    shared: Shared,
    /// The last read left something behind.
    readable: bool,
    /// The mailbox was not empty when it was last looked at.
    more_commands: bool,
    linger: Linger,
    lanes: Lanes,
    load: Load,
    intake: Intake,
    /// When connections that say nothing were looked for.
    expired: Option<Instant>,
    /// What the engine was handed last.
    last: Last,
    retry: Retry,
}

impl Worker {
    pub(super) fn new(
        mut udp: Udp,
        inbox: Inbox,
        lanes: Lanes,
        events: mpsc::Sender<Event>,
        shared: Shared,
        tcp: TcpLimits,
    ) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        poll.registry().register(udp.socket(), UDP, Interest::READABLE)?;
        let worker = Self {
            poll,
            udp,
            connections: Connections::new(tcp),
            inbox,
            events,
            backlog: VecDeque::new(),
            counters: NetCounters::default(),
            shared,
            readable: true,
            more_commands: false,
            linger: Linger::new(),
            lanes,
            load: Load::new(Instant::now()),
            intake: Intake::new(Instant::now()),
            expired: None,
            last: Last::Nothing,
            retry: Retry::default(),
        };
        Ok((worker, waker))
    }

    /// Runs with one engine until it is told to stop. An error says that the poll failed.
    fn drive(&mut self, engine: &mut impl Engine) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        let mut now = Instant::now();
        loop {
            let timeout = if self.lanes.fall_asleep() { self.wait_for(engine, now) } else { Duration::ZERO };
            let waited = self.poll.poll(&mut events, Some(timeout));
            self.lanes.wake_up();
            if let Err(error) = waited
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            let woken = Instant::now();
            self.note_wait(woken, woken.saturating_duration_since(now), timeout);
            self.note_ready(&events, woken);
            self.turn(engine, woken);
            let stop = self.inbox.stop.load(Ordering::Acquire);
            while stop && self.may_take_commands() {
                self.turn(engine, Instant::now());
            }
            now = Instant::now();
            self.account(engine, woken, now);
            if stop {
                return Ok(());
            }
        }
    }

    fn wait_for(&self, engine: &impl Engine, now: Instant) -> Duration {
        if self.readable || self.may_take_commands() || self.connections.is_ready() {
            return Duration::ZERO;
        }
        let is_clear = self.backlog.is_empty() && !self.lanes.is_waiting();
        let retry = if is_clear { HEARTBEAT } else { BACKLOG_RETRY };
        let due = engine.poll_timeout().into_iter().chain(self.retry.again()).min();
        due.map_or(retry, |at| at.saturating_duration_since(now).min(retry))
    }

    /// After a wait. Where there was one at all, the queue was empty until then: what is in it came now.
    fn note_wait(&mut self, now: Instant, waited: Duration, timeout: Duration) {
        self.load.on_wait(waited, timeout);
        if waited >= WAITED {
            self.intake.on_drained(now);
        }
    }

    fn note_ready(&mut self, events: &Events, now: Instant) {
        for event in events {
            match event.token() {
                UDP => self.readable = self.retry.again().is_none(),
                WAKER => {}
                Token(token) => self.connections.on_ready(now, token - FIRST_CONNECTION),
            }
        }
    }

    fn turn(&mut self, engine: &mut impl Engine, now: Instant) {
        self.readable |= self.retry.take_over(now);
        self.read_udp(engine, now);
        self.read_tcp(engine, now);
        self.take_relays(engine);
        self.take_commands(engine);
        let now = Instant::now();
        if engine.poll_timeout().is_some_and(|at| at <= now) {
            self.last = Last::Timeout;
            engine.handle_timeout(now);
        }
        while let Some(path) = self.connections.poll_closed() {
            self.last = Last::PathClosed;
            engine.handle_path_closed(now, path);
        }
        self.send(engine, now);
        self.hand_out_events(engine);
    }

    fn read_udp(&mut self, engine: &mut impl Engine, began: Instant) {
        for _ in 0..BATCHES {
            let now = Instant::now();
            if !self.readable || now.saturating_duration_since(began) >= TURN {
                break;
            }
            let overflow = self.counters.udp_receive_overflow;
            let (intake, last) = (&self.intake, &mut self.last);
            let each = |age, path, data: &mut [u8]| {
                *last = Last::datagram(data);
                engine.set_behind(intake.is_behind(now, age));
                engine.handle_datagram(now, path, data);
            };
            self.readable = match self.udp.receive(&mut self.counters, each) {
                Readiness::Failed(error) => {
                    self.counters.udp_receive_errors += 1;
                    self.retry.on_error(now, &error)
                }
                readiness => {
                    self.retry.on_success();
                    matches!(readiness, Readiness::More)
                }
            };
            self.note_queue(now, overflow);
            if engine.expects_more() && !self.readable {
                self.readable = self.linger(now);
            }
            if !self.readable || !engine.expects_more() {
                self.send(engine, now);
            }
        }
        self.send(engine, Instant::now());
    }

    /// After a batch that was read from `now` on: whether that was all there was, and whether it was all that had come.
    fn note_queue(&mut self, now: Instant, overflow: u64) {
        if self.counters.udp_receive_overflow != overflow {
            self.intake.on_dropped(now);
        }
        if !self.readable {
            self.intake.on_drained(now);
        }
    }

    /// Waits a moment for the rest of a frame, so that all of it leaves in one train; whether something came.
    fn linger(&mut self, now: Instant) -> bool {
        let Some(patience) = self.linger.patience(now) else { return false };
        let began = Instant::now();
        let came = self.udp.wait(patience);
        self.load.on_linger(began.elapsed().min(patience));
        self.linger.on_result(came);
        came
    }

    fn read_tcp(&mut self, engine: &mut impl Engine, now: Instant) {
        while let Ok(accepted) = self.inbox.connections.try_recv() {
            let last = &mut self.last;
            let is_ours = |path, first: &mut [u8]| {
                *last = Last::datagram(first);
                engine.handle_datagram(now, path, first) && engine.owns_path(path)
            };
            let registry = self.poll.registry();
            self.connections.adopt(now, (registry, FIRST_CONNECTION), accepted, &mut self.counters, is_ours);
        }
        let last = &mut self.last;
        let each = |path, data: &mut [u8]| {
            *last = Last::datagram(data);
            engine.handle_datagram(now, path, data)
        };
        self.connections.receive(now, &mut self.counters, each);
        self.send(engine, now);
    }

    /// What other workers relayed, and then what they tell.
    fn take_relays(&mut self, engine: &mut impl Engine) {
        let now = Instant::now();
        for _ in 0..BATCHES {
            let last = &mut self.last;
            let came = self.lanes.take_batches(|batch| {
                *last = Last::Relay(batch.len());
                engine.handle_relay(now, batch);
            });
            if !came {
                break;
            }
            self.send(engine, now);
        }
        let last = &mut self.last;
        let each = |from, said| {
            *last = Last::Notice;
            match said {
                Said::Notice(notice) => engine.handle_notice(now, from, notice),
                Said::RoomsLost => engine.handle_rooms_lost(now, from),
            }
        };
        if self.backlog.len() <= BACKLOG && self.lanes.take_notices(NOTICES, each) {
            self.send(engine, now);
            self.hand_out_events(engine);
        }
    }

    fn take_commands(&mut self, engine: &mut impl Engine) {
        self.more_commands = true;
        let began = Instant::now();
        for _ in 0..COMMANDS {
            if !self.may_take_commands() || began.elapsed() >= COMMANDS_TURN {
                return;
            }
            let Ok(command) = self.inbox.commands.try_recv() else {
                self.more_commands = false;
                return;
            };
            self.counters.commands += 1;
            let now = Instant::now();
            self.last = Last::Command(command.name());
            engine.handle_command(now, command);
            self.send(engine, now);
            self.hand_out_events(engine);
        }
    }

    fn may_take_commands(&self) -> bool {
        self.more_commands && self.may_tell()
    }

    /// Whether more may be taken of what events come from.
    fn may_tell(&self) -> bool {
        self.backlog.len() <= BACKLOG
    }

    fn send(&mut self, engine: &mut impl Engine, now: Instant) {
        self.lanes.send_batches(engine.relays());
        let of = |protocol| move |train: &crate::Transmit<'_>| train.path.protocol == protocol;
        self.udp.send(&mut self.counters, engine.transmits().filter(of(Protocol::Udp)));
        for train in engine.transmits().filter(of(Protocol::Tcp)) {
            self.connections.send(now, &mut self.counters, &train);
        }
        self.connections.flush(now);
        engine.clear_transmits();
        self.linger.on_sent();
    }

    fn hand_out_events(&mut self, engine: &mut impl Engine) {
        while let Some(event) = engine.poll_event() {
            self.backlog.push_back(event);
        }
        if self.hand_out_backlog() {
            // Another worker speaks of a track only once the control plane has heard of it.
            self.lanes.send_notices(std::iter::from_fn(|| engine.poll_notice()));
        }
    }

    /// Whether the control plane took all.
    fn hand_out_backlog(&mut self) -> bool {
        while let Some(event) = self.backlog.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => self.counters.events += 1,
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.backlog.push_front(event);
                    return false;
                }
                // Nobody listens any more: the process ends.
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
        true
    }

    /// Once per turn: how long it took, what follows from that, and the counters for whoever asks.
    fn account(&mut self, engine: &mut impl Engine, woken: Instant, now: Instant) {
        self.counters.turns += 1;
        self.counters.tcp_connections = self.connections.len() as u64;
        self.counters.event_backlog = self.backlog.len() as u64;
        let lost = self.counters.udp_receive_overflow + engine.counters().discarded;
        if let Some(level) = self.load.on_turn(now, now.saturating_duration_since(woken), lost, &mut self.counters) {
            engine.set_shed_level(now, level);
        }
        if self.expired.is_none_or(|at| now.saturating_duration_since(at) >= HEARTBEAT) {
            self.expired = Some(now);
            self.connections.expire(now, &mut self.counters, |path| engine.owns_path(path));
        }
        self.shared.publish(now, &self.counters, engine.counters());
    }
}
