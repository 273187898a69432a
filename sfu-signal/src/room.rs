//! One room's state, and the events that its changes mean to whom. Pure: no media plane, no sockets, no clock.
//!
//! All changes of a room happen under its one lock, in the order in which the media plane reports them or clients ask
//! for them; the lock is never held across an await. An event goes to a session in that order, after the snapshot
//! that it builds on. Nobody hears of a participant or track that was not announced before: the media plane's answer
//! makes it public, and what the media plane says later comes later.

mod live;
mod parts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use live::Live;
use parking_lot::Mutex;
pub(crate) use parts::Parts;
use sfu_core::control::{SlotContent, WorkerIndex};
use sfu_core::id::{ParticipantId, RoomId, TrackId};

use crate::dispatch::Inbox;
use crate::error::{ErrorCode, SignalError};
use crate::participant::{Member, Phase, slot_view};
use crate::protocol::{LeaveReason, RoomEvent, Snapshot, Track};
use crate::session::Delivery;

/// Events kept for a participant whose join is not answered yet. WHIP and WHEP participants never listen.
const MAX_EARLY: usize = 64;

/// So much time lies between two events that tell of one participant's name, metadata and attributes.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);

/// A room.
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) name: String,
    pub(crate) state: Mutex<RoomState>,
    /// What the media plane says of it, before it is applied.
    pub(crate) inbox: Inbox,
}

impl Room {
    pub(crate) fn new(id: RoomId, name: &str, worker: WorkerIndex, now: Instant) -> Self {
        let state = RoomState {
            members: HashMap::new(),
            owners: HashMap::new(),
            closed: false,
            empty_since: Some(now),
            slow: 0,
            live: Live::default(),
            parts: Parts::new(worker),
            updated: Vec::new(),
        };
        Self { id, name: name.to_owned(), state: Mutex::new(state), inbox: Inbox::default() }
    }

    /// The room as `participant` sees it.
    pub(crate) fn snapshot(&self, state: &RoomState, participant: &Member) -> Snapshot {
        let mut others: Vec<_> =
            state.members.values().filter(|member| member.id != participant.id && member.is_visible()).collect();
        others.sort_by(|a, b| a.joined_at.total_cmp(&b.joined_at).then(a.id.cmp(&b.id)));
        Snapshot {
            room: crate::protocol::Room { id: self.id.to_string(), name: self.name.clone() },
            participant: participant.view(),
            participants: others.into_iter().map(Member::view).collect(),
            slots: participant.slots_view(),
            slots_revision: participant.slots_revision,
            streams: participant.streams_view(),
            demand: participant.demand_view(),
            speakers: state.speakers_view(),
            qualities: state.qualities_view(),
        }
    }
}

/// What a room holds.
pub(crate) struct RoomState {
    pub(crate) members: HashMap<ParticipantId, Member>,
    owners: HashMap<TrackId, ParticipantId>,
    /// Nobody may enter any more; the name is free for another room.
    pub(crate) closed: bool,
    pub(crate) empty_since: Option<Instant>,
    /// Clients that were cut since the last look because they do not read.
    pub(crate) slow: u64,
    pub(crate) parts: Parts,
    live: Live,
    /// Participants with changes that others were not told of yet.
    updated: Vec<ParticipantId>,
}

impl RoomState {
    /// Adds a participant that nobody sees yet. One that will replace an older one takes no further place, unless another that
    /// will is on its way already.
    pub(crate) fn reserve(&mut self, mut member: Member, limit: usize, per_worker: usize) -> Result<(), SignalError> {
        let of_identity = |phase| {
            let is = |other: &Member| other.identity == member.identity && other.phase == phase;
            self.members.values().any(is)
        };
        let replaces = of_identity(Phase::Present) && !of_identity(Phase::Joining);
        if self.members.len() >= limit && !replaces {
            return Err(ErrorCode::RoomFull.into());
        }
        self.empty_since = None;
        member.worker = self.parts.place(per_worker);
        self.members.insert(member.id, member);
        Ok(())
    }

    /// The media plane has taken the participant: others see it, and an older one of its identity must go.
    pub(crate) fn activate(&mut self, id: ParticipantId, now: Instant) -> Option<ParticipantId> {
        let member = self.members.get_mut(&id).filter(|member| member.phase == Phase::Joining)?;
        member.phase = Phase::Present;
        member.awaits_media = Some(now);
        let (view, visible, identity) = (member.view(), member.is_visible(), member.identity.clone());
        let older = self
            .members
            .values()
            .find(|other| other.id != id && other.phase == Phase::Present && other.identity == identity)
            .map(|other| other.id);
        if visible {
            self.tell_others(id, &RoomEvent::ParticipantJoined { participant: view }, now);
        }
        older
    }

    /// Takes a participant out and tells the others.
    pub(crate) fn remove(&mut self, id: ParticipantId, reason: LeaveReason, now: Instant) -> Option<Member> {
        let member = self.members.remove(&id)?;
        self.parts.leave(member.worker);
        for track in &member.tracks {
            self.owners.remove(&track.id);
        }
        self.live.forget(id);
        if member.is_visible() {
            self.tell_others(id, &RoomEvent::ParticipantLeft { participant: id.to_string(), reason }, now);
        }
        if self.members.is_empty() {
            self.empty_since = Some(now);
        }
        Some(member)
    }

    pub(crate) fn member(&self, id: ParticipantId) -> Result<&Member, SignalError> {
        self.members.get(&id).ok_or_else(|| SignalError::new(ErrorCode::SessionGone, "the participant has left"))
    }

    pub(crate) fn member_mut(&mut self, id: ParticipantId) -> Result<&mut Member, SignalError> {
        self.members.get_mut(&id).ok_or_else(|| SignalError::new(ErrorCode::SessionGone, "the participant has left"))
    }

    /// Notes who owns a track that was added to a member.
    pub(crate) fn own(&mut self, track: TrackId, owner: ParticipantId) {
        self.owners.insert(track, owner);
    }

    pub(crate) fn owner(&self, track: TrackId) -> Option<ParticipantId> {
        self.owners.get(&track).copied()
    }

    /// The media plane has taken the track: others see it.
    pub(crate) fn publish(&mut self, owner: ParticipantId, track: TrackId, now: Instant) -> Option<Track> {
        let own = self.members.get_mut(&owner)?.track_mut(track)?;
        own.public = true;
        let view = own.view();
        let event = RoomEvent::TrackPublished { participant: owner.to_string(), track: view.clone() };
        self.tell_others(owner, &event, now);
        Some(view)
    }

    /// Ends a publication. `None`: there was none.
    pub(crate) fn unpublish(&mut self, owner: ParticipantId, track: TrackId, now: Instant) -> Option<()> {
        let member = self.members.get_mut(&owner)?;
        let at = member.tracks.iter().position(|own| own.id == track)?;
        let own = member.tracks.remove(at);
        self.owners.remove(&track);
        if own.public {
            let event = RoomEvent::TrackUnpublished { participant: owner.to_string(), track: track.to_string() };
            self.tell_others(owner, &event, now);
        }
        Some(())
    }

    /// Changes a track and tells the others, if they know it.
    pub(crate) fn update_track(
        &mut self,
        owner: ParticipantId,
        track: TrackId,
        change: impl FnOnce(&mut crate::participant::OwnTrack),
        now: Instant,
    ) -> Option<()> {
        let own = self.members.get_mut(&owner)?.track_mut(track)?;
        change(own);
        if own.public {
            let event = RoomEvent::TrackUpdated { participant: owner.to_string(), track: own.view() };
            self.tell_others(owner, &event, now);
        }
        Some(())
    }

    /// A participant's name, metadata or attributes changed. Others are told at once, but at most once a second: of what changes
    /// more often they learn the last.
    pub(crate) fn on_updated(&mut self, id: ParticipantId, now: Instant) {
        if !self.updated.contains(&id) {
            self.updated.push(id);
        }
        self.tell_updated(now);
    }

    /// Tells of changes that have waited for long enough.
    pub(crate) fn tell_updated(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.updated) {
            let Some(member) = self.members.get_mut(&id).filter(|member| member.is_visible()) else { continue };
            if member.update_told.is_some_and(|told| now.saturating_duration_since(told) < UPDATE_INTERVAL) {
                self.updated.push(id);
                continue;
            }
            member.update_told = Some(now);
            let event = RoomEvent::ParticipantUpdated { participant: member.view() };
            self.tell_others(id, &event, now);
        }
    }

    /// Takes what the media plane says about a participant's slots. Whoever left in the meantime is shown no more.
    pub(crate) fn apply_slots(&mut self, id: ParticipantId, revision: u64, mut slots: Vec<SlotContent>, now: Instant) {
        for slot in &mut slots {
            let known = |track: &sfu_core::control::SlotTrack| self.owners.contains_key(&track.track);
            slot.participant = slot.participant.filter(|shown| self.members.contains_key(shown));
            slot.audio = slot.audio.filter(known);
            slot.video = slot.video.filter(known);
        }
        let Some(member) = self.members.get_mut(&id) else { return };
        member.slots_revision = revision;
        for slot in &slots {
            match slot.participant {
                Some(_) => member.slots.insert(slot.slot, *slot),
                None => member.slots.remove(&slot.slot),
            };
        }
        member.forget_streams();
        self.tell(id, &RoomEvent::Slots { revision, slots: slots.iter().map(slot_view).collect() }, now);
    }

    /// Tells one participant.
    pub(crate) fn tell(&mut self, id: ParticipantId, event: &RoomEvent, now: Instant) {
        if let Some(member) = self.members.get_mut(&id) {
            self.slow += deliver(member, &encode(event), now);
        }
    }

    /// Tells one participant what no snapshot holds: before its session listens, it is kept for then.
    pub(crate) fn tell_surely(&mut self, id: ParticipantId, event: &RoomEvent, now: Instant) {
        match self.members.get_mut(&id) {
            Some(member) if !member.listening && member.early.len() < MAX_EARLY => member.early.push(encode(event)),
            _ => self.tell(id, event, now),
        }
    }

    /// Tells everybody but one.
    pub(crate) fn tell_others(&mut self, except: ParticipantId, event: &RoomEvent, now: Instant) {
        let text = encode(event);
        let others = self.members.values_mut().filter(|member| member.id != except);
        self.slow += others.map(|member| deliver(member, &text, now)).sum::<u64>();
    }
}

fn deliver(member: &mut Member, event: &Arc<str>, now: Instant) -> u64 {
    u64::from(member.listening && member.session.emit(event, now) == Delivery::Slow)
}

fn encode(event: &RoomEvent) -> Arc<str> {
    serde_json::to_string(event).expect("events have string keys and no failing serializers").into()
}

#[cfg(test)]
mod tests;
