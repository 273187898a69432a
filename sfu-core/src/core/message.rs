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

use crate::data::Envelope;
use crate::id::ParticipantId;
use crate::router::PeerIndex;
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
        let sender = &mut self.peers[from.0 as usize];
        if Envelope::parse(&message).is_err() || !sender.can_publish_data {
            self.counters.data_dropped += 1;
            return;
        }
        if channel == Channel::Lossy {
            let to = self.destinations(from, &message);
            return self.deliver(now, from, channel, &message, &to);
        }
        sender.messages.held.push_back(message);
        self.deliver_held(now, from);
    }

    /// Delivers what waits for room, as far as there is room.
    pub(super) fn deliver_held(&mut self, now: Instant, from: PeerIndex) {
        while let Some(message) = self.peers[from.0 as usize].messages.held.front().cloned() {
            let since = *self.peers[from.0 as usize].messages.since.get_or_insert(now);
            let is_patient = now.saturating_duration_since(since) < PATIENCE;
            let to = self.destinations(from, &message);
            let full: Vec<PeerIndex> = to.iter().copied().filter(|to| !self.has_room(*to, message.len())).collect();
            if !full.is_empty() && is_patient {
                return self.peers[from.0 as usize].transport.pause_data(now, true);
            }
            for stuck in full {
                self.peers[stuck.0 as usize].messages.stuck = true;
            }
            let messages = &mut self.peers[from.0 as usize].messages;
            messages.held.pop_front();
            messages.since = None;
            self.deliver(now, from, Channel::Reliable, &message, &to);
        }
    }

    /// Looks again for room for all that waits.
    pub(super) fn deliver_all_held(&mut self, now: Instant) {
        let waiting =
            |(index, peer): (usize, &Peer)| (!peer.messages.held.is_empty()).then_some(PeerIndex(index as u32));
        let waiting: SmallVec<[PeerIndex; 8]> = self.peers.iter().filter_map(waiting).collect();
        for peer in waiting {
            self.deliver_held(now, peer);
            if self.peers[peer.0 as usize].messages.held.is_empty() {
                self.peers[peer.0 as usize].transport.pause_data(now, false);
                self.drain_transport(now, peer);
            }
        }
    }

    fn destinations(&self, from: PeerIndex, message: &[u8]) -> Vec<PeerIndex> {
        let Ok(envelope) = Envelope::parse(message) else { return Vec::new() };
        let named = |id: &ParticipantId| envelope.destinations.iter().any(|named| named == *id);
        self.rooms[self.peers[from.0 as usize].room]
            .participants()
            .filter(|(id, peer)| *peer != from && (envelope.destinations.is_everybody() || named(id)))
            .map(|(_, peer)| peer)
            .collect()
    }

    /// Whether a participant can be sent a message now, or is not waited for.
    fn has_room(&mut self, to: PeerIndex, len: usize) -> bool {
        let to = &mut self.peers[to.0 as usize];
        let room = to.transport.has_room(Channel::Reliable, len);
        to.messages.stuck &= room != Some(true);
        to.messages.stuck || room.unwrap_or(!to.messages.expected)
    }

    fn deliver(&mut self, now: Instant, from: PeerIndex, channel: Channel, message: &[u8], to: &[PeerIndex]) {
        let Ok(envelope) = Envelope::parse(message) else { return };
        let delivered = envelope.deliver(self.peers[from.0 as usize].id);
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
