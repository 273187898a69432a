//! Packets on their way to another worker.

use crate::id::{ParticipantId, RoomId};

/// More bytes than this do not wait for a worker that does not keep up: half a second of 8 Mbps.
const MAX_BYTES: usize = 512 * 1024;

/// What a relayed packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An RTP packet.
    Rtp,
    /// A compound RTCP packet with a sender report.
    Rtcp,
}

/// A packet of a participant, as it was decrypted.
#[derive(Debug, Clone, Copy)]
pub struct Relayed<'a> {
    /// The room in which it was sent.
    pub room: RoomId,
    /// Who sent it.
    pub participant: ParticipantId,
    /// What it is.
    pub kind: Kind,
    /// The packet.
    pub packet: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    room: RoomId,
    participant: ParticipantId,
    kind: Kind,
    end: usize,
}

/// Packets for one worker, in order. It keeps its memory when it is cleared, and goes back and forth between two workers.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

impl Batch {
    /// Adds a packet; false: too much waits already.
    pub fn push(&mut self, relayed: Relayed<'_>) -> bool {
        let Relayed { room, participant, kind, packet } = relayed;
        if self.bytes.len() + packet.len() > MAX_BYTES {
            return false;
        }
        self.bytes.extend_from_slice(packet);
        self.entries.push(Entry { room, participant, kind, end: self.bytes.len() });
        true
    }

    /// Whether it holds no packet.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many packets it holds.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Its packets, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Relayed<'_>> {
        let mut from = 0;
        self.entries.iter().map(move |Entry { room, participant, kind, end }| {
            let packet = &self.bytes[from..*end];
            from = *end;
            Relayed { room: *room, participant: *participant, kind: *kind, packet }
        })
    }

    /// Forgets all packets.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_as_they_went_in_up_to_a_limit() {
        let (room, participant) = (RoomId::from_bytes([2; 12]), ParticipantId::from_bytes([3; 12]));
        let mut batch = Batch::default();
        let packets: [(Kind, &[u8]); 3] = [(Kind::Rtp, &[1; 10]), (Kind::Rtcp, &[2; 20]), (Kind::Rtp, &[])];
        for (kind, packet) in packets {
            assert!(batch.push(Relayed { room, participant, kind, packet }));
        }
        assert!(batch.iter().map(|relayed| (relayed.kind, relayed.packet)).eq(packets));
        let large = Relayed { room, participant, kind: Kind::Rtp, packet: &[0; 60_000] };
        assert_eq!((0..10).filter(|_| batch.push(large)).count(), 8, "the rest is not taken");
        assert_eq!(batch.len(), 11);
        batch.clear();
        assert!(batch.is_empty() && batch.iter().next().is_none() && batch.push(large));
    }
}
