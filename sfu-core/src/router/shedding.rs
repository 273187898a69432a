//! What a room sends less of while its worker is past its limit: see [`alloc::shed`](crate::alloc::shed).

use crate::alloc::Shed;
use crate::alloc::shed::{Costs, add_costs, is_favoured};
use crate::control::{Source, TrackKind};

use super::Room;
use super::member::Member;
use super::publication::Publication;

impl Room {
    /// Adds what the room's videos take to the sums of all rooms: at the top of their ladders, whatever paths carry.
    pub fn add_video_costs(&self, costs: &mut Costs) {
        for (_, member) in &self.members {
            for (place, line) in member.lines.iter().enumerate().filter(|(_, line)| line.kind == TrackKind::Video) {
                let Some(publication) = line.publication() else { continue };
                let publication = &self.publications[publication.0 as usize];
                if publication.muted {
                    continue;
                }
                let settings = member.adaptation.settings(&publication.track);
                let pinned = self.is_pinned(member, place, publication);
                let favoured = is_favoured(&settings, pinned, publication.source == Source::Screen);
                add_costs(costs, &settings, favoured, publication.catalog.offers());
            }
        }
    }

    /// Withholds so much from now on.
    pub fn set_shed(&mut self, shed: Shed) {
        if std::mem::replace(&mut self.allocating.shed, shed) != shed {
            self.members.iter_mut().for_each(|(_, member)| member.adaptation.invalidate());
        }
    }
}

/// A subscription's rank, the same as long as it lasts: who watches many videos loses some of them, and of those who watch
/// one video some lose it. Both numbers are random enough or mixed until they are (the multiplier is 2^64 by the golden ratio).
pub(super) fn rank(member: &Member, publication: &Publication) -> u8 {
    let pair = u64::from(member.rtcp_ssrc) << 32 | u64::from(publication.track.csrc());
    (pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}
