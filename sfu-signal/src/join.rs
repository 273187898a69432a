//! How a participant comes in: one join for WebSocket, WHIP and WHEP.
//!
//! The member is in the room's state before the media plane hears of it, so that no event about it is lost, and is
//! announced by the media plane's answer (see `dispatch`). Whatever fails on the way takes it out again.

use std::sync::Arc;
use std::time::Instant;

use sfu_core::control::{Command, Event, Negotiation, WorkerIndex};
use sfu_core::id::{ParticipantId, TrackId};
use sfu_core::limiter::Limiter;

use crate::counters::add;
use crate::error::{ErrorCode, SignalError};
use crate::media::Answer;
use crate::negotiation::mid;
use crate::participant::{Door, Member, OwnTrack, core_source, settings};
use crate::protocol::{LeaveReason, Permissions, PublishTrack, SlotLayout};
use crate::room::{Room, RoomState};
use crate::server::Server;
use crate::session::{Bounds, Session};
use crate::tokens::{Claims, unix_now};

/// What a client brings to a join.
pub(crate) struct Entry {
    pub(crate) claims: Claims,
    pub(crate) door: Door,
    pub(crate) negotiation: Negotiation,
    pub(crate) layout: Vec<SlotLayout>,
    pub(crate) publish: Vec<PublishTrack>,
    pub(crate) auto_subscribe: bool,
}

/// A participant that is in its room; its session does not listen yet.
pub(crate) struct Entered {
    pub(crate) room: Arc<Room>,
    pub(crate) participant: ParticipantId,
    pub(crate) worker: WorkerIndex,
    pub(crate) answer: String,
    pub(crate) published: Vec<TrackId>,
}

impl Server {
    /// Brings a participant into the room that its token names. Must run to its end: see [`Server::enter`].
    async fn join(&self, entry: Entry) -> Result<Entered, SignalError> {
        self.admit_join()?;
        let permissions = entry.claims.video.permissions();
        for track in &entry.publish {
            may_publish(&permissions, track)?;
        }
        let (room, participant, worker) = self.reserve(&entry, &permissions).await?;
        match self.negotiate_entry(&room, (participant, worker), entry, &permissions).await {
            Ok((answer, published)) => {
                add(&self.counters.joins, 1);
                tracing::info!(%participant, room = %room.id, "participant joined");
                Ok(Entered { room, participant, worker, answer, published })
            }
            Err(error) => {
                let mut state = room.state.lock();
                if let Ok(member) = state.member_mut(participant) {
                    // It is counted as refused, and not as gone.
                    member.awaits_media = None;
                }
                self.remove_locked(&room, &mut state, participant, LeaveReason::Left, "");
                drop(state);
                Err(error)
            }
        }
    }

    /// [`Server::join`] as a task of its own: a connection that ends meanwhile must not leave half a participant behind.
    pub(crate) async fn enter(self: &Arc<Self>, entry: Entry) -> Result<Entered, SignalError> {
        let server = self.clone();
        let joined = tokio::spawn(async move { server.join(entry).await }).await;
        joined.unwrap_or_else(|_| Err(ErrorCode::Internal.into()))
    }

    async fn reserve(
        &self,
        entry: &Entry,
        permissions: &Permissions,
    ) -> Result<(Arc<Room>, ParticipantId, WorkerIndex), SignalError> {
        let id = ParticipantId::random(&mut rand::rng());
        loop {
            let room = self.room_for(&entry.claims)?;
            self.widen(&room).await;
            let mut state = room.state.lock();
            if state.closed {
                // Its last step, taking its name out of the index, was done under this lock.
                continue;
            }
            let sessions = &self.config.sessions;
            let kept = Bounds { messages: sessions.replay_events, bytes: sessions.replay_bytes };
            let session = Session::new(kept, &mut rand::rng());
            let session_id = session.id();
            let joined_at = unix_now().as_millis() as f64;
            let changes = Limiter::new(self.config.limits.track_changes(), Instant::now());
            let mut member = Member::new(id, entry.claims.clone(), entry.door, joined_at, session, changes);
            member.permissions = permissions.clone();
            member.layout.clone_from(&entry.layout);
            let per_worker = self.config.rooms.participants_per_worker;
            state.reserve(member, self.config.limits.participants_per_room, per_worker)?;
            let worker = state.member(id)?.worker;
            self.participants.insert(id, room.clone());
            self.sessions.insert(session_id, (room.clone(), id));
            // A shutdown sets the mark, then looks into each room: it finds this participant, or the mark is seen here.
            if self.is_draining() {
                self.remove_locked(&room, &mut state, id, LeaveReason::Left, "");
                return Err(ErrorCode::ShuttingDown.into());
            }
            drop(state);
            return Ok((room, id, worker));
        }
    }

    async fn negotiate_entry(
        &self,
        room: &Room,
        (participant, worker): (ParticipantId, WorkerIndex),
        entry: Entry,
        permissions: &Permissions,
    ) -> Result<(String, Vec<TrackId>), SignalError> {
        let settings = settings(permissions, entry.auto_subscribe, entry.door);
        let negotiation = entry.negotiation;
        let join = self.media.request(worker, |request| Command::Join {
            request,
            room: room.id,
            participant,
            settings,
            negotiation,
        })?;
        // Sent along, not after the answer: the media plane takes a participant's commands in order.
        let tracks: Result<Vec<_>, _> =
            entry.publish.iter().map(|track| self.begin_publish(room, participant, track)).collect();
        let answer = negotiated(join.wait().await?)?;
        let (mut published, mut refused) = (Vec::new(), None);
        for (track, answer) in tracks? {
            match published_ok(answer.wait().await?) {
                Ok(()) => published.push(track),
                // WHIP names no tracks: one per m-line is meant, of those that the answer accepts.
                Err(error) if entry.door == Door::Whip && error.code == ErrorCode::MidUnusable => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        match refused {
            Some(error) if published.is_empty() => Err(error),
            _ => Ok((answer, published)),
        }
    }

    /// Asks the media plane to take a track. It is public once the answer has come.
    pub(crate) fn begin_publish(
        &self,
        room: &Room,
        participant: ParticipantId,
        publish: &PublishTrack,
    ) -> Result<(TrackId, Answer<'_>), SignalError> {
        let mid = mid(&publish.mid)?;
        let track = TrackId::random(&mut rand::rng());
        let mut state = room.state.lock();
        let member = state.member_mut(participant)?;
        may_publish(&member.permissions, publish)?;
        if member.tracks.len() >= self.config.limits.tracks_per_participant {
            return Err(ErrorCode::TooManyTracks.into());
        }
        member.admit_change(Instant::now())?;
        if member.tracks.iter().any(|other| other.mid == mid) {
            return Err(SignalError::new(ErrorCode::MidUnusable, format!("m-line {mid} carries another track")));
        }
        let source = core_source(publish.source);
        let muted = publish.muted;
        let answer = self.media.request(member.worker, |request| Command::Publish {
            request,
            participant,
            track,
            mid,
            source,
            muted,
        })?;
        member.tracks.push(OwnTrack::new(track, mid, publish));
        state.own(track, participant);
        Ok((track, answer))
    }

    /// Takes back what [`Server::begin_publish`] began.
    pub(crate) fn abandon_publish(&self, room: &Room, participant: ParticipantId, track: TrackId) {
        self.unpublish_locked(&mut room.state.lock(), participant, track);
    }

    pub(crate) fn unpublish_locked(
        &self,
        state: &mut RoomState,
        participant: ParticipantId,
        track: TrackId,
    ) -> Option<()> {
        let worker = state.members.get(&participant)?.worker;
        state.unpublish(participant, track, Instant::now())?;
        self.media.post(worker, move || Command::Unpublish { participant, track });
        Some(())
    }
}

fn may_publish(permissions: &Permissions, track: &PublishTrack) -> Result<(), SignalError> {
    let sources = &permissions.can_publish_sources;
    if !permissions.can_publish || (!sources.is_empty() && !sources.contains(&track.source)) {
        return Err(SignalError::new(ErrorCode::PermissionDenied, "the token does not grant publishing this source"));
    }
    if track.name.len() > 256 {
        return Err(SignalError::new(ErrorCode::BadRequest, "a track's name has at most 256 bytes"));
    }
    Ok(())
}

/// The SDP of an answer.
pub(crate) fn negotiated(event: Event) -> Result<String, SignalError> {
    match event {
        Event::Negotiated { result, .. } => Ok(result?.to_string()),
        _ => Err(ErrorCode::Internal.into()),
    }
}

/// Whether a track was taken.
pub(crate) fn published_ok(event: Event) -> Result<(), SignalError> {
    match event {
        Event::Published { result, .. } => Ok(result?),
        _ => Err(ErrorCode::Internal.into()),
    }
}
