//! The media plane's events, applied to rooms in the order in which they come.
//!
//! What others learn from an answer (somebody came, something was published) they learn here and not where the answer
//! is awaited: a later event may already build on it.

use std::sync::Arc;
use std::time::Instant;

use sfu_core::control::{ConnectionState, DataLimit, Event, MediaLimit};
use sfu_core::id::{ParticipantId, RoomId};

use crate::counters::add;
use crate::protocol::{self, LeaveReason, RoomEvent};
use crate::room::{Room, RoomState};
use crate::server::Server;

const fn media_limit(limit: MediaLimit) -> protocol::MediaLimit {
    match limit {
        MediaLimit::TrackBitrate => protocol::MediaLimit::TrackBitrate,
        MediaLimit::TrackPackets => protocol::MediaLimit::TrackPackets,
        MediaLimit::PublisherBitrate => protocol::MediaLimit::PublisherBitrate,
        MediaLimit::PublisherPackets => protocol::MediaLimit::PublisherPackets,
        MediaLimit::PacketSize => protocol::MediaLimit::PacketSize,
    }
}

impl Server {
    pub(crate) fn on_event(&self, event: Event) {
        if let Some(id) = event.participant() {
            let room = self.participants.get(&id).map(|entry| entry.value().clone());
            // Without a room, the participant left and its events are history; whoever waits is still answered.
            if let Some(room) = room {
                self.apply(&room, id, &event);
            }
        }
        match &event {
            Event::Speakers { room, speakers } => {
                self.in_room(*room, |state| state.apply_speakers(speakers));
            }
            Event::Qualities { room, qualities } => {
                self.in_room(*room, |state| state.apply_qualities(qualities));
            }
            Event::Negotiated { request, .. }
            | Event::Published { request, .. }
            | Event::PartOpened { request }
            | Event::Stats { request, .. }
            | Event::Explained { request, .. } => {
                let request = *request;
                self.media.complete(request, event);
            }
            _ => {}
        }
    }

    fn apply(&self, room: &Arc<Room>, id: ParticipantId, event: &Event) {
        let now = Instant::now();
        match event {
            Event::Negotiated { result: Ok(_), .. } => self.on_joined(room, id, now),
            Event::Published { track, result: Ok(()), .. } => {
                room.state.lock().publish(id, *track, now);
            }
            Event::Negotiated { .. } | Event::Stats { .. } => {}
            Event::Published { track, .. } => {
                room.state.lock().unpublish(id, *track, now);
            }
            Event::Connection { state, .. } => self.on_connection(room, id, state, now),
            Event::Slots { revision, slots, .. } => {
                room.state.lock().apply_slots(id, *revision, slots.clone(), now);
            }
            Event::TrackStarted { track, codec, .. } => {
                let name = codec.name();
                room.state.lock().update_track(id, *track, |own| own.codec = Some(name), now);
            }
            Event::TrackUnavailable { track, reason, .. } => {
                let mut state = room.state.lock();
                if let Some(owner) = state.owner(*track) {
                    let (participant, track) = (owner.to_string(), track.to_string());
                    let event = RoomEvent::TrackUnavailable { participant, track, reason: reason.to_string() };
                    state.tell_surely(id, &event, now);
                }
            }
            Event::MediaLimited { track, limit, dropped, .. } => {
                add(&self.counters.media_limits, 1);
                tracing::warn!(participant = %id, %track, %limit, dropped, "a participant's media meets a limit");
                let (track, limit, dropped) = (track.to_string(), media_limit(*limit), *dropped);
                room.state.lock().tell(id, &RoomEvent::TrackLimited { track, limit, dropped }, now);
            }
            Event::Streams { streams, .. } => room.state.lock().apply_streams(id, streams, now),
            Event::DataLimited { limit, lost, .. } => {
                let limit = match limit {
                    DataLimit::Rate => protocol::DataLimit::Rate,
                    DataLimit::Reading => protocol::DataLimit::Reading,
                };
                let lost = u32::try_from(*lost).unwrap_or(u32::MAX);
                room.state.lock().tell(id, &RoomEvent::DataLimited { limit, lost }, now);
            }
            Event::Demand { track, encodings, .. } => room.state.lock().apply_demand(id, *track, encodings, now),
            // These are of no participant.
            Event::PartOpened { .. } | Event::Speakers { .. } | Event::Qualities { .. } | Event::Explained { .. } => {}
        }
    }

    /// A room that closed meanwhile hears of nothing.
    fn in_room(&self, room: RoomId, change: impl FnOnce(&mut RoomState)) {
        let room = self.rooms_by_id.get(&room).map(|entry| entry.value().clone());
        if let Some(room) = room {
            change(&mut room.state.lock());
        }
    }

    /// A first answer lets its participant in; a later one changes nothing here.
    fn on_joined(&self, room: &Arc<Room>, id: ParticipantId, now: Instant) {
        let mut state = room.state.lock();
        if let Some(older) = state.activate(id, now) {
            let reason = LeaveReason::DuplicateIdentity;
            self.remove_locked(room, &mut state, older, reason, "the same identity joined again");
        }
    }

    fn on_connection(&self, room: &Arc<Room>, id: ParticipantId, state: &ConnectionState, now: Instant) {
        let state = match state {
            ConnectionState::Connected | ConnectionState::Resumed => protocol::ConnectionState::Connected,
            ConnectionState::Interrupted => protocol::ConnectionState::Interrupted,
            ConnectionState::Failed(why) => {
                self.remove(room, id, LeaveReason::MediaFailed, why);
                return;
            }
        };
        room.state.lock().tell_surely(id, &RoomEvent::Connection { state }, now);
    }
}
