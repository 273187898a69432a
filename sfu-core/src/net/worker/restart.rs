//! A worker outlives its engine.
//!
//! A panic of the engine ends its rooms and nothing else: the worker keeps its sockets and lanes, begins anew with an empty
//! engine, and tells the control plane and the other workers ([`Event::RoomsLost`]). Of an engine that panicked nothing is used
//! again, since the call that panicked may have left anything half done. A worker that panics again and again is taken out of
//! service (see [`health`](super::super::health)).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Instant;

use mio::Events;

use super::super::engine::Engine;
use super::super::health::Verdict;
use super::super::last::Last;
use super::super::load::Load;
use super::{BACKLOG_RETRY, HEARTBEAT, NOTICES, Worker};
use crate::control::Event;

impl Worker {
    /// Runs until it is told to stop; then takes the commands that wait and ends. `engine` makes an empty one.
    pub(in crate::net) fn run<E: Engine>(mut self, engine: impl Fn() -> E) {
        self.load.follow_this_thread();
        loop {
            let mut current = engine();
            // What the panic left half done in `self` is dropped by `begin_anew`.
            let ended = catch_unwind(AssertUnwindSafe(|| self.drive(&mut current)));
            // An engine in an unknown state may panic again when it is dropped.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(current)));
            let (now, worker, last) = (Instant::now(), self.inbox.index, self.last);
            let verdict = match ended {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    tracing::error!(worker, %error, "the worker cannot wait for its sockets; its rooms are gone");
                    self.inbox.health.retire();
                    Verdict::Retire
                }
                Err(_) => {
                    let whole = dropped.is_ok();
                    tracing::error!(worker, %last, whole, "the worker panicked; its rooms are gone");
                    self.inbox.health.on_panic(now)
                }
            };
            self.begin_anew(now);
            if verdict == Verdict::Retire {
                tracing::error!(worker, "the worker is out of service until the process is restarted");
                return self.idle();
            }
        }
    }

    /// After a panic: what belonged to the engine's rooms goes with them, and everybody is told.
    fn begin_anew(&mut self, now: Instant) {
        self.connections = self.connections.anew();
        self.load = Load::new(now);
        self.load.follow_this_thread();
        self.counters.shed_level = 0;
        (self.readable, self.more_commands) = (true, true);
        self.last = Last::Nothing;
        self.lanes.tell_rooms_lost();
        self.backlog.push_back(Event::RoomsLost { worker: self.inbox.index });
        self.hand_out_backlog();
    }

    /// Out of service: what comes is dropped, until the process ends. The socket is not read, so that the kernel drops what comes there.
    fn idle(mut self) {
        let mut events = Events::with_capacity(256);
        while !self.inbox.stop.load(Ordering::Acquire) {
            let timeout = if self.backlog.is_empty() { HEARTBEAT } else { BACKLOG_RETRY };
            self.lanes.fall_asleep();
            if self.poll.poll(&mut events, Some(timeout)).is_err() {
                std::thread::sleep(BACKLOG_RETRY);
            }
            self.lanes.wake_up();
            while self.inbox.commands.try_recv().is_ok() {}
            while self.inbox.connections.try_recv().is_ok() {}
            while self.lanes.take_batches(|_| {}) {}
            while self.lanes.take_notices(NOTICES, |_, _| {}) {}
            self.lanes.send_notices(std::iter::empty());
            self.hand_out_backlog();
            self.counters.turns += 1;
            self.counters.event_backlog = self.backlog.len() as u64;
            self.shared.publish(Instant::now(), &self.counters, &crate::Counters::default());
        }
    }
}
