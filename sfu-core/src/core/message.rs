//! Messages on data channels: the envelope says to whom, the core says from whom.
//!
//! A message of the reliable channel that was taken is delivered to everybody it is for, in order. When somebody's
//! buffer is full, or its channel is not open yet, the message waits here and the sender's channel is no longer read, so
//! that the sender's own buffer fills: at most its receive window waits. Whoever takes nothing for [`PATIENCE`] is no
//! longer waited for, since one stuck client must not silence the others.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::control::WorkerIndex;
use crate::data::Envelope;
use crate::id::ParticipantId;
use crate::relay::News;
use crate::router::{Arrived, PeerIndex};
use crate::transport::Channel;

use super::Core;
use super::peer::Peer;

/// How long a sender waits for a receiver that takes nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A participant's data channels, beyond what the transport knows of them.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// Messages of the reliable channel that wait for room.
    held: VecDeque<Bytes>,
    /// Since when the first of them waits.
    since: Option<Instant>,
    /// The client negotiated data channels, and will open them.
    pub(super) expected: bool,
    /// It took nothing for too long.
    stuck: bool,
}

impl Core {
    /// Forwards a message to its destinations in the sender's room, on the same kind of channel.
    pub(super) fn forward_message(&mut self, now: Instant, from: PeerIndex, channel: Channel, message: Bytes) {
        self.counters.data_in += 1;
        let Peer { id, room, can_publish_data, .. } = self.peers[from.0 as usize];
        let Some(envelope) = Envelope::parse(&message).ok().filter(|_| can_publish_data) else {
            self.counters.data_dropped += 1;
            return;
        };
        if channel == Channel::Lossy {
            let to = self.destinations(room, id, &envelope);
            if self.crosses(room, &envelope, to.len()) {
                let news = News::Data { sender: id, channel, message: message.clone() };
                self.rooms[room].part.tell_all(&news);
            }
            return self.deliver(now, id, channel, &envelope, &to);
        }
        self.peers[from.0 as usize].messages.held.push_back(message);
        self.deliver_held(now, from);
        self.note_held(from);
    }

    /// Delivers what waits for room, as far as there is room.
    pub(super) fn deliver_held(&mut self, now: Instant, from: PeerIndex) {
        while let Some(message) = self.peers[from.0 as usize].messages.held.front().cloned() {
            let since = *self.peers[from.0 as usize].messages.since.get_or_insert(now);
            let Peer { id, room, .. } = self.peers[from.0 as usize];
            if let Ok(envelope) = Envelope::parse(&message) {
                let to = self.destinations(room, id, &envelope);
                let crosses = self.crosses(room, &envelope, to.len());
                let blocked = crosses && !self.rooms[room].part.has_room(message.len());
                if !self.may_deliver(now, since, blocked, &message, &to) {
                    return self.peers[from.0 as usize].transport.pause_data(now, true);
                }
                if crosses {
                    self.rooms[room].part.send_reliable(id, &message);
                }
                self.deliver(now, id, Channel::Reliable, &envelope, &to);
            }
            let messages = &mut self.peers[from.0 as usize].messages;
            messages.held.pop_front();
            messages.since = None;
        }
    }

    fn note_held(&mut self, from: PeerIndex) {
        if !self.peers[from.0 as usize].messages.held.is_empty() && !self.holding.contains(&from) {
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
        if channel == Channel::Lossy {
            let Ok(envelope) = Envelope::parse(&message) else { return };
            let to = self.destinations(room, sender, &envelope);
            return self.deliver(now, sender, channel, &envelope, &to);
        }
        self.rooms[room].part.arrived.push_back(Arrived { from, sender, message, since: None });
        self.deliver_arrived(now, room);
    }

    /// Delivers what came from other parts, as far as there is room.
    fn deliver_arrived(&mut self, now: Instant, room: usize) {
        while let Some(first) = self.rooms[room].part.arrived.front_mut() {
            let since = *first.since.get_or_insert(now);
            let (sender, message, from) = (first.sender, first.message.clone(), first.from);
            if let Ok(envelope) = Envelope::parse(&message) {
                let to = self.destinations(room, sender, &envelope);
                if !self.may_deliver(now, since, false, &message, &to) {
                    return;
                }
                self.deliver(now, sender, Channel::Reliable, &envelope, &to);
            }
            let part = &mut self.rooms[room].part;
            part.arrived.pop_front();
            part.tell(from, News::DataTaken { bytes: message.len() });
        }
    }

    /// Looks again for room for all that waits.
    pub(super) fn deliver_all_held(&mut self, now: Instant) {
        for from in std::mem::take(&mut self.holding) {
            if !self.peers.contains(from.0 as usize) {
                continue;
            }
            self.deliver_held(now, from);
            self.note_held(from);
            let sender = &mut self.peers[from.0 as usize];
            if sender.messages.held.is_empty() {
                sender.transport.pause_data(now, false);
                self.drain_transport(now, from);
            }
        }
        for place in 0..self.spread.len() {
            self.deliver_arrived(now, self.spread[place]);
        }
    }

    /// Who of a room, on this worker, a message is for.
    fn destinations(&self, room: usize, sender: ParticipantId, envelope: &Envelope<'_>) -> Vec<PeerIndex> {
        let named = |id: &ParticipantId| envelope.destinations.iter().any(|named| named == *id);
        self.rooms[room]
            .participants()
            .filter(|(id, _)| *id != sender && (envelope.destinations.is_everybody() || named(id)))
            .map(|(_, peer)| peer)
            .collect()
    }

    /// Whether a message is for somebody in another part of the room, when `found` of those it is for are in this one.
    fn crosses(&self, room: usize, envelope: &Envelope<'_>, found: usize) -> bool {
        let destinations = &envelope.destinations;
        self.rooms[room].part.is_spread() && (destinations.is_everybody() || destinations.iter().count() > found)
    }

    /// Whether a message that waits `since` can go to all it is for, unless something else blocks it. Who took nothing
    /// for too long is not waited for any more.
    fn may_deliver(&mut self, now: Instant, since: Instant, blocked: bool, message: &[u8], to: &[PeerIndex]) -> bool {
        let is_patient = now.saturating_duration_since(since) < PATIENCE;
        let full: SmallVec<[PeerIndex; 8]> =
            to.iter().copied().filter(|to| !self.has_room(*to, message.len())).collect();
        if (blocked || !full.is_empty()) && is_patient {
            return false;
        }
        for stuck in full {
            self.peers[stuck.0 as usize].messages.stuck = true;
        }
        true
    }

    /// Whether a participant can be sent a message now, or is not waited for.
    fn has_room(&mut self, to: PeerIndex, len: usize) -> bool {
        let to = &mut self.peers[to.0 as usize];
        let room = to.transport.has_room(Channel::Reliable, len);
        to.messages.stuck &= room != Some(true);
        to.messages.stuck || room.unwrap_or(!to.messages.expected)
    }

    fn deliver(
        &mut self,
        now: Instant,
        sender: ParticipantId,
        channel: Channel,
        envelope: &Envelope<'_>,
        to: &[PeerIndex],
    ) {
        let delivered = envelope.deliver(sender);
        for &to in to {
            match self.peers[to.0 as usize].transport.send_data(now, channel, &delivered) {
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
