//! Messages on data channels: the envelope says to whom, the core says from whom.

use std::time::Instant;

use bytes::Bytes;

use crate::data::Envelope;
use crate::router::PeerIndex;
use crate::transport::Channel;

use super::Core;

impl Core {
    /// Forwards a message to its destinations in the sender's room, on the same kind of channel.
    pub(super) fn forward_message(&mut self, now: Instant, from: PeerIndex, channel: Channel, message: Bytes) {
        self.counters.data_in += 1;
        let sender = &self.peers[from.0 as usize];
        let envelope = Envelope::parse(&message).ok().filter(|_| sender.can_publish_data);
        let Some(envelope) = envelope else {
            self.counters.data_dropped += 1;
            return;
        };
        let delivered = envelope.deliver(sender.id);
        let named = |participant| envelope.destinations.iter().any(|named| named == participant);
        let to: Vec<PeerIndex> = self.rooms[sender.room]
            .participants()
            .filter(|(participant, peer)| {
                *peer != from && (envelope.destinations.is_everybody() || named(*participant))
            })
            .map(|(_, peer)| peer)
            .collect();
        for peer in to {
            match self.peers[peer.0 as usize].transport.send_data(now, channel, &delivered) {
                Ok(()) => self.counters.data_out += 1,
                Err(_) => self.counters.data_dropped += 1,
            }
            self.send_datagrams(peer);
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
