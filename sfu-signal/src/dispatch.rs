//! The media plane's events, applied to rooms in the order in which they come.
//!
//! What others learn from an answer (somebody came, something was published) they learn here and not where the answer
//! is awaited: a later event may already build on it.
//!
//! A room whose lock is held, for a snapshot of a thousand participants perhaps, holds up its own events only: they wait in its
//! inbox, in order, and other rooms' events are handled meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use sfu_core::control::{ConnectionState, DataLimit, Event, MediaLimit};
use sfu_core::id::ParticipantId;

use crate::counters::add;
use crate::protocol::{self, LeaveReason, RoomEvent};
use crate::room::{Room, RoomState};
use crate::server::Server;

/// Events of a room whose turn has not come.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<VecDeque<Event>>,
    /// Somebody waits for the room's lock to handle them.
    is_awaited: AtomicBool,
}

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
    pub(crate) fn on_event(self: &Arc<Self>, event: Event) {
        if let Event::RoomsLost { worker } = event {
            return self.on_rooms_lost(worker);
        }
        // Without a room, the participant left or the room closed, and its events are history; whoever waits is still answered.
        let Some(room) = self.room_of(&event) else { return self.answer(event) };
        room.inbox.waiting.lock().push_back(event);
        if let Some(mut state) = room.state.try_lock() {
            self.apply_waiting(&room, &mut state);
        } else if !room.inbox.is_awaited.swap(true, Ordering::AcqRel) {
            let server = Arc::clone(self);
            tokio::task::spawn_blocking(move || {
                let mut state = room.state.lock();
                // From here on whoever finds the room locked waits anew.
                room.inbox.is_awaited.store(false, Ordering::Release);
                server.apply_waiting(&room, &mut state);
            });
        }
    }

    fn room_of(&self, event: &Event) -> Option<Arc<Room>> {
        match event {
            Event::Speakers { room, .. } | Event::Qualities { room, .. } => {
                self.rooms_by_id.get(room).map(|entry| entry.value().clone())
            }
            event => self.participants.get(&event.participant()?).map(|entry| entry.value().clone()),
        }
    }

    fn apply_waiting(&self, room: &Room, state: &mut RoomState) {
        loop {
            // The inbox is not locked while an event is applied.
            let next = room.inbox.waiting.lock().pop_front();
            let Some(event) = next else { return };
            self.apply(room, state, &event, Instant::now());
            self.answer(event);
        }
    }

    /// Hands an answer to whoever waits for it.
    fn answer(&self, event: Event) {
        match event {
            Event::Negotiated { request, .. }
            | Event::Published { request, .. }
            | Event::PartOpened { request }
            | Event::Stats { request, .. }
            | Event::Explained { request, .. } => self.media.complete(request, event),
            _ => {}
        }
    }

    fn apply(&self, room: &Room, state: &mut RoomState, event: &Event, now: Instant) {
        match event {
            Event::Negotiated { participant, result: Ok(_), .. } => self.on_joined(room, state, *participant, now),
            Event::Published { participant, track, result: Ok(()), .. } => {
                state.publish(*participant, *track, now);
            }
            Event::Published { participant, track, .. } => {
                state.unpublish(*participant, *track, now);
            }
            Event::Connection { participant, state: connection } => {
                self.on_connection(room, state, *participant, connection, now);
            }
            Event::Slots { participant, revision, slots } => {
                state.apply_slots(*participant, *revision, slots.clone(), now);
            }
            Event::TrackStarted { participant, track, codec } => {
                let name = codec.name();
                state.update_track(*participant, *track, |own| own.codec = Some(name), now);
            }
            Event::TrackUnavailable { participant, track, reason } => {
                if let Some(owner) = state.owner(*track) {
                    let (owner, track) = (owner.to_string(), track.to_string());
                    let event = RoomEvent::TrackUnavailable { participant: owner, track, reason: reason.to_string() };
                    state.tell_surely(*participant, &event, now);
                }
            }
            Event::Streams { participant, streams } => state.apply_streams(*participant, streams, now),
            Event::MediaLimited { participant, track, limit, dropped } => {
                add(&self.counters.media_limits, 1);
                tracing::warn!(%participant, %track, %limit, dropped, "a participant's media meets a limit");
                let (track, limit, dropped) = (track.to_string(), media_limit(*limit), *dropped);
                state.tell(*participant, &RoomEvent::TrackLimited { track, limit, dropped }, now);
            }
            Event::DataLimited { participant, limit, lost } => {
                let limit = match limit {
                    DataLimit::Rate => protocol::DataLimit::Rate,
                    DataLimit::Reading => protocol::DataLimit::Reading,
                };
                let lost = u32::try_from(*lost).unwrap_or(u32::MAX);
                state.tell(*participant, &RoomEvent::DataLimited { limit, lost }, now);
            }
            Event::Demand { participant, track, encodings } => {
                state.apply_demand(*participant, *track, encodings, now);
            }
            Event::Speakers { speakers, .. } => state.apply_speakers(speakers),
            Event::Qualities { qualities, .. } => state.apply_qualities(qualities),
            // Answers that change nothing in the room, and what is of no room.
            Event::Negotiated { .. }
            | Event::Stats { .. }
            | Event::RoomsLost { .. }
            | Event::PartOpened { .. }
            | Event::Explained { .. } => {}
        }
    }

    /// A first answer lets its participant in; a later one changes nothing here.
    fn on_joined(&self, room: &Room, state: &mut RoomState, id: ParticipantId, now: Instant) {
        if let Some(older) = state.activate(id, now) {
            let reason = LeaveReason::DuplicateIdentity;
            self.remove_locked(room, state, older, reason, "the same identity joined again");
        }
    }

    fn on_connection(
        &self,
        room: &Room,
        state: &mut RoomState,
        id: ParticipantId,
        connection: &ConnectionState,
        now: Instant,
    ) {
        let connection = match connection {
            ConnectionState::Connected | ConnectionState::Resumed => {
                let since = state.members.get_mut(&id).and_then(|member| member.awaits_media.take());
                if let Some(since) = since {
                    self.counters.on_media(now.saturating_duration_since(since));
                }
                protocol::ConnectionState::Connected
            }
            ConnectionState::Interrupted => protocol::ConnectionState::Interrupted,
            ConnectionState::Failed(why) => {
                self.remove_locked(room, state, id, LeaveReason::MediaFailed, why);
                return;
            }
        };
        if let Ok(member) = state.member_mut(id) {
            member.interrupted = (connection == protocol::ConnectionState::Interrupted).then_some(now);
        }
        state.tell_surely(id, &RoomEvent::Connection { state: connection }, now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sfu_core::control::{Command, ConnectionQuality, WorkerIndex};
    use sfu_core::id::RoomId;

    use super::*;
    use crate::config::SignalConfig;
    use crate::media::{Busy, MediaPlane};
    use crate::tokens::{Claims, VideoGrant};

    struct Deaf;

    impl MediaPlane for Deaf {
        fn send(&self, _: WorkerIndex, _: Command) -> Result<(), Busy> {
            Ok(())
        }

        fn pick_worker(&self, _: &[WorkerIndex]) -> Option<WorkerIndex> {
            Some(0)
        }
    }

    /// Red if a control plane that ended or hangs goes unnoticed, or if one that idles does not.
    #[tokio::test]
    async fn the_control_plane_has_a_heartbeat() {
        let server = Server::new(SignalConfig::development(), Arc::new(Deaf));
        *server.heartbeat.lock() = Instant::now().checked_sub(Duration::from_secs(11)).unwrap();
        assert!(!server.is_alive());
        let (_events, receiver) = tokio::sync::mpsc::channel(1);
        let running = tokio::spawn(Arc::clone(&server).run(receiver));
        let deadline = Instant::now() + Duration::from_secs(5);
        while !server.is_alive() {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.abort();
    }

    fn room(server: &Server, name: &str) -> Arc<Room> {
        let video = VideoGrant { room_join: true, room: name.to_owned(), ..VideoGrant::default() };
        server.room_for(&Claims { sub: "ann".to_owned(), video, ..Claims::default() }).unwrap()
    }

    fn qualities(room: RoomId) -> Event {
        let id = ParticipantId::from_bytes([1; 12]);
        Event::Qualities { room, qualities: vec![(id, ConnectionQuality::Good)] }
    }

    /// Red if a room that is held up holds up another, or if its events are lost when it is free again.
    #[tokio::test]
    async fn a_locked_room_holds_up_its_own_events_only() {
        let server = Server::new(SignalConfig::development(), Arc::new(Deaf));
        let (slow, quick) = (room(&server, "slow"), room(&server, "quick"));
        let held = slow.state.lock();
        (0..100).for_each(|_| server.on_event(qualities(slow.id)));
        server.on_event(qualities(quick.id));
        let waiting = |room: &Room| room.inbox.waiting.lock().len();
        assert_eq!((waiting(&slow), waiting(&quick)), (100, 0));
        drop(held);
        let deadline = Instant::now() + Duration::from_secs(5);
        while waiting(&slow) > 0 {
            assert!(Instant::now() < deadline, "{} wait for ever", waiting(&slow));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.on_event(qualities(slow.id));
        assert_eq!(waiting(&slow), 0);
    }
}
