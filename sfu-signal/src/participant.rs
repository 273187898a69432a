//! One participant of a room: what others see of it, its tracks, what its slots show, and its session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use sfu_core::control::{
    EncodingDemand, MayPublish, ParticipantSettings, SlotContent, SlotIndex, Source, StreamState, TrackKind,
    WorkerIndex,
};
use sfu_core::id::{Mid, ParticipantId, TrackId};
use sfu_core::limiter::Limiter;

use crate::adaptation::{demand_view, stream_view};
use crate::error::{ErrorCode, SignalError};
use crate::protocol::{self, Participant, Permissions, PublishTrack, Slot, SlotLayout, SlotTrack, Track, TrackSource};
use crate::session::Session;
use crate::tokens::Claims;

/// Where a participant is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its offer is with the media plane; nobody sees it.
    Joining,
    /// It is in the room.
    Present,
}

/// Which door it came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// `/v1/rtc`: it lives as long as its session.
    WebSocket,
    /// `/whip`: it lives until DELETE, or until its media path fails or was interrupted for a moment.
    Whip,
    /// `/whep`: the same.
    Whep,
}

/// A track of a participant. It is public once the media plane has taken it.
pub(crate) struct OwnTrack {
    pub(crate) id: TrackId,
    pub(crate) source: TrackSource,
    pub(crate) name: String,
    pub(crate) muted: bool,
    pub(crate) codec: Option<&'static str>,
    pub(crate) mid: Mid,
    pub(crate) public: bool,
    /// What anybody takes of it; empty: nothing was said yet.
    pub(crate) demand: Vec<EncodingDemand>,
}

impl OwnTrack {
    pub(crate) fn new(id: TrackId, mid: Mid, publish: &PublishTrack) -> Self {
        let PublishTrack { source, ref name, muted, .. } = *publish;
        Self { id, source, name: name.clone(), muted, codec: None, mid, public: false, demand: Vec::new() }
    }

    pub(crate) fn view(&self) -> Track {
        Track {
            id: self.id.to_string(),
            source: self.source,
            name: self.name.clone(),
            muted: self.muted,
            codec: self.codec.map(str::to_owned),
        }
    }
}

/// A participant.
pub(crate) struct Member {
    pub(crate) id: ParticipantId,
    pub(crate) identity: String,
    pub(crate) name: String,
    pub(crate) metadata: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) permissions: Permissions,
    pub(crate) hidden: bool,
    pub(crate) joined_at: f64,
    pub(crate) phase: Phase,
    pub(crate) door: Door,
    /// Where its part of the room is.
    pub(crate) worker: WorkerIndex,
    pub(crate) tracks: Vec<OwnTrack>,
    pub(crate) layout: Vec<SlotLayout>,
    pub(crate) slots: BTreeMap<SlotIndex, SlotContent>,
    pub(crate) slots_revision: u64,
    /// What it is sent of the tracks in its slots.
    pub(crate) streams: BTreeMap<TrackId, StreamState>,
    pub(crate) session: Session,
    /// Whether events are for its session already: after the snapshot that they build on.
    pub(crate) listening: bool,
    /// What it was told before that.
    pub(crate) early: Vec<Arc<str>>,
    pub(crate) claims: Claims,
    /// Seconds for which its token was good when it joined; a refreshed one is good for as long.
    pub(crate) token_life: u64,
    /// The ICE user fragment of a WHIP or WHEP offer.
    pub(crate) remote_ufrag: String,
    /// How often it may publish and unmute.
    pub(crate) changes: Limiter,
    /// When others were last told that its name, metadata or attributes changed.
    pub(crate) update_told: Option<Instant>,
    /// Since when it is in the room without its media path having been up.
    pub(crate) awaits_media: Option<Instant>,
    /// Since when its media path is interrupted.
    pub(crate) interrupted: Option<Instant>,
}

impl Member {
    pub(crate) fn new(
        id: ParticipantId,
        claims: Claims,
        door: Door,
        joined_at: f64,
        session: Session,
        changes: Limiter,
    ) -> Self {
        Self {
            id,
            identity: claims.sub.clone(),
            name: claims.name.clone(),
            metadata: claims.metadata.clone(),
            attributes: claims.attributes.clone(),
            permissions: claims.video.permissions(),
            hidden: claims.video.hidden,
            joined_at,
            phase: Phase::Joining,
            door,
            worker: 0,
            tracks: Vec::new(),
            layout: Vec::new(),
            slots: BTreeMap::new(),
            slots_revision: 0,
            streams: BTreeMap::new(),
            session,
            listening: false,
            early: Vec::new(),
            token_life: claims.exp.saturating_sub((joined_at / 1000.0) as u64),
            claims,
            remote_ufrag: String::new(),
            changes,
            update_told: None,
            awaits_media: None,
            interrupted: None,
        }
    }

    /// Takes one of the changes to its tracks that it may make per second. What takes back needs none: whoever mutes must be
    /// silent at once.
    pub(crate) fn admit_change(&mut self, now: Instant) -> Result<(), SignalError> {
        if self.changes.admit(now, 1) {
            return Ok(());
        }
        Err(SignalError::new(ErrorCode::RateLimited, "tracks are published and unmuted too often; wait a second"))
    }

    /// Whether others see it.
    pub(crate) fn is_visible(&self) -> bool {
        self.phase == Phase::Present && !self.hidden
    }

    pub(crate) fn track(&self, id: TrackId) -> Option<&OwnTrack> {
        self.tracks.iter().find(|track| track.id == id)
    }

    pub(crate) fn track_mut(&mut self, id: TrackId) -> Option<&mut OwnTrack> {
        self.tracks.iter_mut().find(|track| track.id == id)
    }

    pub(crate) fn view(&self) -> Participant {
        Participant {
            id: self.id.to_string(),
            identity: self.identity.clone(),
            name: self.name.clone(),
            metadata: self.metadata.clone(),
            attributes: self.attributes.clone(),
            permissions: self.permissions.clone(),
            tracks: self.tracks.iter().filter(|track| track.public).map(OwnTrack::view).collect(),
            joined_at: self.joined_at,
        }
    }

    pub(crate) fn slots_view(&self) -> Vec<Slot> {
        self.slots.values().map(slot_view).collect()
    }

    pub(crate) fn streams_view(&self) -> Vec<protocol::StreamState> {
        self.streams.values().map(stream_view).collect()
    }

    pub(crate) fn demand_view(&self) -> Vec<protocol::TrackDemand> {
        let told = self.tracks.iter().filter(|track| !track.demand.is_empty());
        told.map(|track| demand_view(track.id, &track.demand)).collect()
    }

    /// Keeps what is said of tracks in slots only: there are few of them, whatever the room publishes.
    pub(crate) fn forget_streams(&mut self) {
        let shown = |id: TrackId| self.slots.values().any(|slot| slot.video.is_some_and(|video| video.track == id));
        self.streams.retain(|id, _| shown(*id));
    }
}

/// What a slot shows, as it travels.
pub(crate) fn slot_view(content: &SlotContent) -> Slot {
    let track = |track: sfu_core::control::SlotTrack| SlotTrack { track: track.track.to_string(), after: track.after };
    Slot {
        slot: content.slot,
        participant: content.participant.map(|id| id.to_string()),
        audio: content.audio.map(track),
        video: content.video.map(track),
    }
}

/// What the media plane must know of a participant's permissions.
pub(crate) fn settings(permissions: &Permissions, auto_subscribe: bool, door: Door) -> ParticipantSettings {
    ParticipantSettings {
        can_subscribe: permissions.can_subscribe && !matches!(door, Door::Whip),
        can_publish: may_publish(permissions, door),
        can_publish_data: permissions.can_publish_data,
        auto_subscribe,
        confirms_slots: matches!(door, Door::WebSocket),
    }
}

/// The kinds of media whose sources may be published; a WHEP player publishes nothing.
fn may_publish(permissions: &Permissions, door: Door) -> MayPublish {
    let sources = &permissions.can_publish_sources;
    let may = |kind| {
        let is_of_kind = |source: &TrackSource| core_source(*source).kind() == kind;
        permissions.can_publish && door != Door::Whep && (sources.is_empty() || sources.iter().any(is_of_kind))
    };
    MayPublish { audio: may(TrackKind::Audio), video: may(TrackKind::Video) }
}

/// The media plane's name of a source.
pub(crate) const fn core_source(source: TrackSource) -> Source {
    match source {
        TrackSource::Camera => Source::Camera,
        TrackSource::Microphone => Source::Microphone,
        TrackSource::ScreenShare => Source::Screen,
        TrackSource::ScreenShareAudio => Source::ScreenAudio,
    }
}
