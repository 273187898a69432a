//! Redundant audio (RED) of an m-line: whole to those who negotiated it, unwrapped for the others.
//!
//! Invariant: no redundant block is sent of a time before the m-line's source began, be it a switch, an unmute or a place
//! among the loudest: it would be played under another's name, or be what somebody said while muted. Until redundancy
//! reaches back no further than that, the primary block is sent alone, as if there were no RED.

use crate::unit::timestamp_distance;

use super::packet::MediaPacket;

/// Redundancy goes back for 14 bits of ticks. After twice that, no packet that may still come reaches back to the start.
const SAFE_AFTER: i32 = 2 << 14;

/// A payload as an m-line sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrapped<'a> {
    pub payload_type: u8,
    pub payload: &'a [u8],
    /// The payload type of the blocks inside, where it is RED.
    pub blocks: Option<u8>,
}

/// What an m-line knows of its source's beginning.
#[derive(Debug, Default)]
pub struct RedundancyGate {
    /// The input timestamp from which redundancy may be sent; `None`: from ever.
    start: Option<u32>,
}

impl RedundancyGate {
    /// A source begins with this input timestamp.
    pub fn begin(&mut self, timestamp: u32) {
        self.start = Some(timestamp);
    }

    /// How to send a packet to a receiver that calls its codec `plain` and, if it negotiated that, RED `red`.
    #[inline]
    pub fn wrap<'a>(&mut self, packet: &MediaPacket<'a>, plain: u8, red: Option<u8>) -> Wrapped<'a> {
        let Some(redundancy) = packet.redundancy else {
            return Wrapped { payload_type: plain, payload: packet.payload, blocks: None };
        };
        match red.filter(|_| self.admits(packet.numbers.timestamp, redundancy.reach)) {
            Some(red) => Wrapped { payload_type: red, payload: packet.payload, blocks: Some(plain) },
            None => Wrapped { payload_type: plain, payload: &packet.payload[redundancy.primary..], blocks: None },
        }
    }

    fn admits(&mut self, timestamp: u32, reach: u32) -> bool {
        let Some(start) = self.start else { return true };
        let since = timestamp_distance(start, timestamp);
        if since >= SAFE_AFTER {
            self.start = None;
        }
        since >= reach as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redundancy_does_not_reach_before_the_start() {
        let mut gate = RedundancyGate::default();
        assert!(gate.admits(5, 1_920));
        let start = u32::MAX - 1_000;
        gate.begin(start);
        let mut at = |ticks: u32, reach| gate.admits(start.wrapping_add(ticks), reach);
        assert!(!at(0, 960));
        assert!(at(0, 0), "a first packet without redundancy");
        assert!(!at(960, 1_920));
        assert!(at(1_920, 1_920));
        assert!(!at(960, 1_920), "reordered");
        assert!(!at(960u32.wrapping_neg(), 0), "from before the start");
        assert!(at(40_000, 16_383));
        assert!(at(1 << 31, 16_383), "hours later");
    }
}
