//! What a worker drives: the [`Core`], or a small stand-in under test.

use std::time::Instant;

use crate::control::{Command, Event, WorkerIndex};
use crate::relay::{Batch, Notice};
use crate::transport::Path;
use crate::{Core, Counters, Transmit};

/// The sans-IO contract of [`Core`], as a worker sees it. One that works alone leaves out what is about other workers.
pub trait Engine {
    /// One datagram, or one RFC 4571 frame. Returns whether it was authentic.
    fn handle_datagram(&mut self, now: Instant, path: Path, data: &mut [u8]) -> bool;
    /// Whether a participant uses this path. A TCP connection of nobody's is closed.
    fn owns_path(&self, path: Path) -> bool;
    /// One command of the control plane.
    fn handle_command(&mut self, now: Instant, command: Command);
    /// [`Self::poll_timeout`] has come.
    fn handle_timeout(&mut self, now: Instant);
    /// A TCP connection ended.
    fn handle_path_closed(&mut self, now: Instant, path: Path);
    /// When to call [`Self::handle_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;
    /// The next event for the control plane.
    fn poll_event(&mut self) -> Option<Event>;
    /// The trains since the last [`Self::clear_transmits`], in order.
    fn transmits(&self) -> impl Iterator<Item = Transmit<'_>>;
    /// The last packet that was forwarded is not the last of its frame: more of it may be on its way.
    fn expects_more(&self) -> bool;
    /// Withholds this share of the video from now on, in thousandths; see [`overload`](crate::overload).
    /// By default there is nothing to withhold.
    fn set_shed_level(&mut self, _now: Instant, _level: u16) {}
    /// Drops the video that it is handed, or no longer; see [`overload::Intake`](crate::overload::Intake).
    /// By default all is taken.
    fn set_behind(&mut self, _behind: bool) {}
    /// All trains were sent.
    fn clear_transmits(&mut self);
    /// Packets for other workers; whoever hands a batch on leaves an empty one in its place.
    fn relays(&mut self) -> impl Iterator<Item = (WorkerIndex, &mut Batch)> {
        std::iter::empty()
    }
    /// Packets of another worker.
    fn handle_relay(&mut self, _now: Instant, _batch: &Batch) {}
    /// What another worker must know next, once the control plane has what was said before.
    fn poll_notice(&mut self) -> Option<(WorkerIndex, Notice)> {
        None
    }
    /// What another worker tells.
    fn handle_notice(&mut self, _now: Instant, _from: WorkerIndex, _notice: Notice) {}
    /// Another worker lost all its rooms.
    fn handle_rooms_lost(&mut self, _now: Instant, _by: WorkerIndex) {}
    /// What the engine counted.
    fn counters(&self) -> &Counters;
}

impl Engine for Core {
    fn handle_datagram(&mut self, now: Instant, path: Path, data: &mut [u8]) -> bool {
        Self::handle_datagram(self, now, path, data)
    }

    fn owns_path(&self, path: Path) -> bool {
        Self::owns_path(self, path)
    }

    fn handle_command(&mut self, now: Instant, command: Command) {
        Self::handle_command(self, now, command);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn handle_path_closed(&mut self, now: Instant, path: Path) {
        Self::handle_path_closed(self, now, path);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }

    fn poll_event(&mut self) -> Option<Event> {
        Self::poll_event(self)
    }

    fn transmits(&self) -> impl Iterator<Item = Transmit<'_>> {
        Self::transmits(self)
    }

    fn expects_more(&self) -> bool {
        Self::expects_more(self)
    }

    fn set_shed_level(&mut self, now: Instant, level: u16) {
        Self::set_shed_level(self, now, level);
    }

    fn set_behind(&mut self, behind: bool) {
        Self::set_behind(self, behind);
    }

    fn clear_transmits(&mut self) {
        Self::clear_transmits(self);
    }

    fn relays(&mut self) -> impl Iterator<Item = (WorkerIndex, &mut Batch)> {
        Self::relays(self)
    }

    fn handle_relay(&mut self, now: Instant, batch: &Batch) {
        Self::handle_relay(self, now, batch);
    }

    fn poll_notice(&mut self) -> Option<(WorkerIndex, Notice)> {
        Self::poll_notice(self)
    }

    fn handle_notice(&mut self, now: Instant, from: WorkerIndex, notice: Notice) {
        Self::handle_notice(self, now, from, notice);
    }

    fn handle_rooms_lost(&mut self, now: Instant, by: WorkerIndex) {
        Self::handle_rooms_lost(self, now, by);
    }

    fn counters(&self) -> &Counters {
        Self::counters(self)
    }
}
