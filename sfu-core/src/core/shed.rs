//! What a worker past its limit does without: video by rule, video that came too late, and newcomers.

use std::time::Instant;

use crate::alloc::Shed;
use crate::alloc::shed::{Costs, STEPS};
use crate::id::Ssrc;
use crate::overload;
use crate::router::PeerIndex;

use super::Core;

/// How much a worker withholds.
#[derive(Debug, Default)]
pub(super) struct Shedding {
    /// The share of the video, in thousandths.
    level: u16,
    /// What that means for its videos.
    pub shed: Shed,
    /// Video that arrives now is dropped.
    pub behind: bool,
}

impl Shedding {
    /// The worker is past its limit.
    pub(super) const fn is_withholding(&self) -> bool {
        self.level > 0
    }

    /// Nobody new is let in.
    pub(super) const fn is_full(&self) -> bool {
        self.level >= overload::FULL
    }
}

impl Core {
    /// Withholds this share of the video from now on, in thousandths; see [`overload`].
    pub fn set_shed_level(&mut self, now: Instant, level: u16) {
        let mut costs: Costs = [0; STEPS + 1];
        self.rooms.iter().for_each(|(_, room)| room.add_video_costs(&mut costs));
        let shed = Shed::keeping(overload::ALL.saturating_sub(level), &costs);
        // What videos take changes while the level does not: nobody loses by a lower level, nor wins by a higher one.
        let Shedding { level: before, shed: current, .. } = self.shedding;
        let shed = match level {
            0 => Shed::default(),
            _ if level < before => shed.min(current),
            _ => shed.max(current),
        };
        self.shedding.level = level;
        self.shedding.shed = shed;
        self.rooms.iter_mut().for_each(|(_, room)| room.set_shed(shed));
        self.wake(now);
    }

    /// Drops video that arrives, or no longer; see [`overload::Intake`].
    pub const fn set_behind(&mut self, behind: bool) {
        self.shedding.behind = behind;
    }

    /// Whether a packet is of a video that is known, by its header, which is not authenticated: a forged one is dropped for
    /// what it says that it is. The publisher hears of no transport-wide number of it and so sends less, which is what helps.
    pub(super) fn is_video(&self, peer: PeerIndex, data: &[u8]) -> bool {
        // RFC 3550 section 5.1: bytes 8 to 11.
        let Some(ssrc) = data.get(8..).and_then(|rest| rest.first_chunk()) else { return false };
        let ssrc = Ssrc(u32::from_be_bytes(*ssrc));
        let peer = &self.peers[peer.0 as usize];
        self.rooms[peer.room].member(peer.member).is_some_and(|member| member.receiver.is_video(ssrc))
    }
}
