//! Messages on data channels: the envelope says to whom, the core says from whom.
//!
//! A lossy message goes to every channel that has room for it. A reliable one goes into the [`Mailbox`] of every participant it is
//! for, and so reaches each once and in order. While one of them holds it up it waits with its sender ([`Quota`]), whose channel is
//! then no longer read, so that the client's own buffer fills.
//!
//! In a room on several workers a message goes to each other part once. What a part has not yet taken is bounded
//! ([`Window`](crate::relay::Window)): beyond it lossy messages are dropped, and reliable ones wait with their senders.

mod mailbox;
mod quota;

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::control::{DataLimit, Event, WorkerIndex};
use crate::data::Envelope;
use crate::id::ParticipantId;
use crate::router::{Arrived, PeerIndex};
use crate::transport::Channel;

use super::Core;
use super::peer::Peer;
pub(super) use mailbox::Mailbox;
use mailbox::Put;
pub(super) use quota::Quota;

/// How often participants are told what their limits cost them.
const TELLING: Duration = Duration::from_secs(1);

impl Core {
    /// Forwards a message to its destinations in the sender's room, on the same kind of channel.
    pub(super) fn forward_message(&mut self, now: Instant, from: PeerIndex, channel: Channel, message: Bytes) {
        self.counters.data_in += 1;
        let sender = &mut self.peers[from.0 as usize];
        let Some(envelope) = Envelope::parse(&message).ok().filter(|_| sender.can_publish_data) else {
            self.counters.data_dropped += 1;
            return;
        };
        match channel {
            Channel::Lossy => self.forward_lossy(now, from, &message, &envelope),
            Channel::Reliable => {
                sender.quota.held.push_back(message);
                self.deliver_held(now, from);
                self.note_held(from);
            }
        }
    }

    fn forward_lossy(&mut self, now: Instant, from: PeerIndex, message: &Bytes, envelope: &Envelope<'_>) {
        let Peer { id, room, .. } = self.peers[from.0 as usize];
        let to = self.destinations(room, id, envelope);
        let receivers = self.receivers(room, envelope, to.len());
        let is_shedding = self.shedding.is_withholding();
        let quota = &mut self.peers[from.0 as usize].quota;
        if !quota.admit_lossy(now, message.len(), receivers, is_shedding) {
            *if is_shedding { &mut self.counters.data_shed } else { &mut self.counters.data_limited } += 1;
            return;
        }
        if receivers > to.len() {
            self.counters.data_dropped += self.rooms[room].part.send(id, Channel::Lossy, message);
        }
        self.deliver_lossy(now, id, envelope, &to);
    }

    /// Delivers what waits with a sender, as far as nobody holds it up.
    fn deliver_held(&mut self, now: Instant, from: PeerIndex) {
        while let Some(message) = self.peers[from.0 as usize].quota.held.front().cloned() {
            if !self.deliver_first(now, from, &message) {
                return self.peers[from.0 as usize].transport.pause_data(now, true);
            }
            self.peers[from.0 as usize].quota.held.pop_front();
        }
    }

    /// Delivers the first message that waits with a sender; false: it must wait.
    fn deliver_first(&mut self, now: Instant, from: PeerIndex, message: &Bytes) -> bool {
        let Ok(envelope) = Envelope::parse(message) else { return true };
        let (sender, counters) = (&mut self.peers[from.0 as usize], &mut self.counters);
        if sender.quota.must_wait(now, || counters.data_held += 1) {
            return false;
        }
        let Peer { id, room, .. } = *sender;
        let to = self.destinations(room, id, &envelope);
        let receivers = self.receivers(room, &envelope, to.len());
        let crosses = receivers > to.len();
        // Both are asked: whoever is waited for is so at the same time as the others.
        let is_blocked = self.are_blocking(now, message.len(), &to);
        if crosses && !self.rooms[room].part.has_room(now, message.len()) || is_blocked {
            return false;
        }
        self.peers[from.0 as usize].quota.charge(now, message.len(), receivers);
        if crosses {
            self.counters.data_dropped += self.rooms[room].part.send(id, Channel::Reliable, message);
        }
        self.deliver_reliable(now, id, &envelope, &to);
        true
    }

    fn note_held(&mut self, from: PeerIndex) {
        if !self.peers[from.0 as usize].quota.held.is_empty() && !self.holding.contains(&from) {
            self.holding.push(from);
        }
    }

    /// Takes a message of a participant who lives in another part of the room.
    pub(super) fn receive_message(
        &mut self,
        now: Instant,
        (room, from): (usize, WorkerIndex),
        sender: ParticipantId,
        channel: Channel,
        message: Bytes,
    ) {
        if channel == Channel::Reliable {
            self.rooms[room].part.arrived.push_back(Arrived { from, sender, message });
            return self.deliver_arrived(now, room);
        }
        if let Ok(envelope) = Envelope::parse(&message) {
            let to = self.destinations(room, sender, &envelope);
            self.deliver_lossy(now, sender, &envelope, &to);
        }
        self.rooms[room].part.tell_taken(from, channel, message.len());
    }

    /// Delivers what came from other parts, as far as nobody holds it up.
    fn deliver_arrived(&mut self, now: Instant, room: usize) {
        while let Some(Arrived { from, sender, message }) = self.rooms[room].part.arrived.front().cloned() {
            if let Ok(envelope) = Envelope::parse(&message) {
                let to = self.destinations(room, sender, &envelope);
                if self.are_blocking(now, message.len(), &to) {
                    return;
                }
                self.deliver_reliable(now, sender, &envelope, &to);
            }
            let part = &mut self.rooms[room].part;
            part.arrived.pop_front();
            part.tell_taken(from, Channel::Reliable, message.len());
        }
    }

    /// Looks again at all that waits, and tells whoever lost something.
    pub(super) fn tick_messages(&mut self, now: Instant) {
        for to in std::mem::take(&mut self.feeding) {
            if let Some(peer) = self.peers.get_mut(to.0 as usize) {
                peer.mailbox.expire(now);
                peer.mailbox.is_listed = false;
                self.feed(now, to);
            }
        }
        self.deliver_all_held(now);
        self.tell_limits(now);
    }

    /// Looks again whether what is held up may go on.
    pub(super) fn deliver_all_held(&mut self, now: Instant) {
        for from in std::mem::take(&mut self.holding) {
            if !self.peers.contains(from.0 as usize) {
                continue;
            }
            self.deliver_held(now, from);
            self.note_held(from);
            let sender = &mut self.peers[from.0 as usize];
            if sender.quota.held.is_empty() {
                sender.transport.pause_data(now, false);
                self.drain_transport(now, from);
            }
        }
        for place in 0..self.spread.len() {
            self.deliver_arrived(now, self.spread[place]);
        }
    }

    fn tell_limits(&mut self, now: Instant) {
        if self.next_telling.is_some_and(|due| due > now) {
            return;
        }
        self.next_telling = Some(now + TELLING);
        for (_, peer) in &mut self.peers {
            let participant = peer.id;
            if let Some(lost) = peer.quota.take_news() {
                self.events.push_back(Event::DataLimited { participant, limit: DataLimit::Rate, lost });
            }
            let lost = peer.mailbox.take_lost();
            if lost > 0 {
                self.events.push_back(Event::DataLimited { participant, limit: DataLimit::Reading, lost });
            }
        }
    }

    /// The participants of a room, on this worker, that a message is for.
    fn destinations(&self, room: usize, sender: ParticipantId, envelope: &Envelope<'_>) -> Vec<PeerIndex> {
        if envelope.destinations.is_everybody() {
            let others = self.rooms[room].participants().filter(|(id, _)| *id != sender);
            return others.map(|(_, peer)| peer).collect();
        }
        let named = envelope.destinations.iter().filter(|id| *id != sender);
        let here = |id: ParticipantId| self.by_participant.get(&id).copied();
        let mut here: Vec<_> = named.filter_map(here).filter(|at| self.peers[at.0 as usize].room == room).collect();
        here.sort_unstable_by_key(|at| at.0);
        here.dedup();
        here
    }

    /// How many participants a message is for, when `found` of them are in this part of the room: more, if it must cross. Parts fill
    /// alike, so that those of other parts are taken to be as many.
    fn receivers(&self, room: usize, envelope: &Envelope<'_>, found: usize) -> usize {
        let part = &self.rooms[room].part;
        match envelope.destinations.iter().len() {
            _ if !part.is_spread() => found,
            0 => found.max(1) * (1 + part.others().len()),
            named => named.max(found),
        }
    }

    /// Whether a message must wait for one of those it is for.
    fn are_blocking(&mut self, now: Instant, len: usize, to: &[PeerIndex]) -> bool {
        let Self { peers, counters, config, .. } = self;
        let mut are_blocking = false;
        for to in to {
            let stalled = || counters.data_stalled += 1;
            are_blocking |= peers[to.0 as usize].mailbox.is_blocking(now, len, &config.data, stalled);
        }
        are_blocking
    }

    fn deliver_reliable(&mut self, now: Instant, sender: ParticipantId, envelope: &Envelope<'_>, to: &[PeerIndex]) {
        let delivered = Bytes::from(envelope.deliver(sender));
        for &to in to {
            match self.peers[to.0 as usize].mailbox.put(now, delivered.clone(), &self.config.data) {
                Put::Lost(count) => self.counters.data_dropped += count,
                Put::Kept | Put::Absent => {}
            }
            self.feed(now, to);
        }
    }

    /// Hands messages from a participant's mailbox to its channel, as far as there is room.
    pub(super) fn feed(&mut self, now: Instant, to: PeerIndex) {
        let Peer { mailbox, transport, .. } = &mut self.peers[to.0 as usize];
        let mut has_fed = false;
        while let Some(message) = mailbox.first()
            && transport.has_room(Channel::Reliable, message.len()) == Some(true)
        {
            match transport.send_data(now, Channel::Reliable, message) {
                Ok(()) => self.counters.data_out += 1,
                Err(_) => self.counters.data_dropped += 1,
            }
            mailbox.take(&self.config.data);
            has_fed = true;
        }
        if !mailbox.is_empty() && !mailbox.is_listed {
            mailbox.is_listed = true;
            self.feeding.push(to);
        }
        if has_fed {
            self.send_datagrams(to);
        }
    }

    fn deliver_lossy(&mut self, now: Instant, sender: ParticipantId, envelope: &Envelope<'_>, to: &[PeerIndex]) {
        let delivered = envelope.deliver(sender);
        for &to in to {
            match self.peers[to.0 as usize].transport.send_data(now, Channel::Lossy, &delivered) {
                Ok(()) => self.counters.data_out += 1,
                Err(_) => self.counters.data_dropped += 1,
            }
            self.send_datagrams(to);
        }
    }

    /// Takes what a transport wants to send, and leaves its events for later.
    pub(super) fn send_datagrams(&mut self, peer: PeerIndex) {
        let state = &mut self.peers[peer.0 as usize];
        while let Some((path, datagram)) = state.transport.poll_transmit() {
            self.trains.push(&mut state.open_train, path, datagram.len()).copy_from_slice(&datagram);
        }
    }
}
