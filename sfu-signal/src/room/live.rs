//! State of the moment: what everybody is sent and why, what of a publication anybody takes, who speaks, how connections are.
//!
//! Streams and demand are events like others, since an encoding that stays paused for a lost word is a fault; the last of
//! each is kept for snapshots. Who speaks and how connections are interests only as it is now: a client that reads slowly
//! misses some of it and is told the whole when it has caught up, and nothing of it is replayed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use sfu_core::control::{ConnectionQuality, EncodingDemand, Speaker, StreamState};
use sfu_core::id::{ParticipantId, TrackId};

use super::{RoomState, encode};
use crate::adaptation::{demand_view, quality_view, speaker_view, stream_view};
use crate::participant::Member;
use crate::protocol::{self, RoomEvent};

/// What is true for a whole room for the moment.
#[derive(Default)]
pub(crate) struct Live {
    speakers: Vec<Speaker>,
    qualities: BTreeMap<ParticipantId, ConnectionQuality>,
}

impl Live {
    pub(super) fn forget(&mut self, id: ParticipantId) {
        self.speakers.retain(|speaker| speaker.participant != id);
        self.qualities.remove(&id);
    }
}

impl RoomState {
    /// Takes what the media plane says a participant is sent. Tracks that ended meanwhile are left out.
    pub(crate) fn apply_streams(&mut self, id: ParticipantId, streams: &[StreamState], now: Instant) {
        let known: Vec<_> = streams.iter().filter(|state| self.owner(state.track).is_some()).cloned().collect();
        let Some(member) = self.members.get_mut(&id).filter(|_| !known.is_empty()) else { return };
        let event = RoomEvent::Streams { streams: known.iter().map(stream_view).collect() };
        member.streams.extend(known.into_iter().map(|state| (state.track, state)));
        member.forget_streams();
        self.tell(id, &event, now);
    }

    /// Takes what the media plane says anybody takes of a publication.
    pub(crate) fn apply_demand(
        &mut self,
        id: ParticipantId,
        track: TrackId,
        encodings: &[EncodingDemand],
        now: Instant,
    ) {
        let Some(own) = self.members.get_mut(&id).and_then(|member| member.track_mut(track)) else { return };
        own.demand = encodings.to_vec();
        self.tell(id, &RoomEvent::Demand(demand_view(track, encodings)), now);
    }

    /// Who speaks now.
    pub(crate) fn apply_speakers(&mut self, speakers: &[Speaker]) {
        self.live.speakers = speakers.iter().filter(|speaker| self.sees(speaker.participant)).copied().collect();
        let event = encode(&RoomEvent::Speakers { speakers: self.speakers_view() });
        self.hint_all(&event);
    }

    /// Connections that changed.
    pub(crate) fn apply_qualities(&mut self, qualities: &[(ParticipantId, ConnectionQuality)]) {
        let known: Vec<_> = qualities.iter().filter(|(id, _)| self.sees(*id)).copied().collect();
        self.live.qualities.extend(known.iter().copied());
        if known.is_empty() {
            return;
        }
        let qualities = known.into_iter().map(|(id, quality)| quality_view(id, quality)).collect();
        let event = encode(&RoomEvent::Qualities { qualities });
        self.hint_all(&event);
    }

    /// Tells those the whole who missed some of it and have caught up.
    pub(crate) fn refresh_live(&mut self) {
        if self.members.values().any(|member| member.session.is_behind()) {
            let whole = self.whole();
            for member in self.members.values_mut().filter(|member| member.session.is_behind()) {
                member.session.catch_up(&whole);
            }
        }
    }

    /// The whole state of the moment, as events.
    pub(crate) fn whole(&self) -> [Arc<str>; 2] {
        let speakers = RoomEvent::Speakers { speakers: self.speakers_view() };
        [encode(&speakers), encode(&RoomEvent::Qualities { qualities: self.qualities_view() })]
    }

    pub(super) fn speakers_view(&self) -> Vec<protocol::Speaker> {
        self.live.speakers.iter().map(speaker_view).collect()
    }

    pub(super) fn qualities_view(&self) -> Vec<protocol::ParticipantQuality> {
        self.live.qualities.iter().map(|(id, quality)| quality_view(*id, *quality)).collect()
    }

    fn sees(&self, id: ParticipantId) -> bool {
        self.members.get(&id).is_some_and(Member::is_visible)
    }

    fn hint_all(&mut self, event: &Arc<str>) {
        self.members.values_mut().filter(|member| member.listening).for_each(|member| member.session.hint(event));
    }
}
