//! What a client of `/v1/rtc` asks once it is in its room.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use sfu_core::control::{Command, Event, WorkerIndex};
use sfu_core::id::{ParticipantId, TrackId};

use crate::adaptation::{MAX_CONFIGURED, subscription_settings};
use crate::error::{ErrorCode, SignalError};
use crate::join::{negotiated, published_ok};
use crate::negotiation::negotiation;
use crate::participant::OwnTrack;
use crate::protocol::{LeaveReason, PublishTrack, Reply, Request, SlotLayout, SlotPin, Track, TrackSettings};
use crate::room::Room;
use crate::server::Server;

/// Whoever asks.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) room: Arc<Room>,
    pub(crate) id: ParticipantId,
    /// Where its part of the room is.
    pub(crate) worker: WorkerIndex,
}

impl Server {
    /// Answers one request.
    pub(crate) async fn handle(&self, caller: &Caller, request: Request) -> Result<Reply, SignalError> {
        match request {
            Request::Join { .. } | Request::Resume { .. } => return Err(ErrorCode::AlreadyJoined.into()),
            Request::Offer { offer, slots } => return self.renegotiate(caller, &offer, slots).await,
            Request::Publish { track } => {
                return self.publish(caller, &track).await.map(|track| Reply::Published { track });
            }
            Request::Stats => return self.stats(caller).await,
            Request::Ping { timestamp } => return Ok(Reply::Pong { timestamp }),
            // The server is ICE-lite: it sends no checks, and needs no candidates.
            Request::Candidate { .. } => {}
            Request::Unpublish { track } => self.unpublish(caller, &track)?,
            Request::Mute { track, muted } => self.mute(caller, &track, muted)?,
            Request::Subscribe { tracks } => self.subscribe(caller, &tracks, true)?,
            Request::Unsubscribe { tracks } => self.subscribe(caller, &tracks, false)?,
            Request::Configure { tracks } => self.configure(caller, &tracks)?,
            Request::Slots { pins } => self.pin_slots(caller, &pins)?,
            Request::SlotsAck { revision } => {
                let participant = caller.id;
                self.media.send(caller.worker, Command::AckSlots { participant, revision })?;
            }
            Request::Update { name, metadata, attributes } => self.update(caller, name, metadata, attributes)?,
            Request::Leave => {
                self.remove(&caller.room, caller.id, LeaveReason::Left, "");
            }
        }
        Ok(Reply::Ok)
    }

    async fn renegotiate(&self, caller: &Caller, offer: &str, layout: Vec<SlotLayout>) -> Result<Reply, SignalError> {
        let negotiation = negotiation(offer, &layout, &self.config.limits)?;
        if !layout.starts_with(&caller.room.state.lock().member(caller.id)?.layout) {
            return Err(SignalError::new(ErrorCode::SlotLayout, "a further layout only appends to the one before"));
        }
        let participant = caller.id;
        let answer =
            self.media.request(caller.worker, |request| Command::Negotiate { request, participant, negotiation })?;
        let answer = negotiated(answer.wait().await?)?;
        caller.room.state.lock().member_mut(caller.id)?.layout = layout;
        Ok(Reply::Answer { answer })
    }

    /// Publishes. Saying it twice is no error: a client whose WebSocket was lost cannot know whether it was heard.
    async fn publish(&self, caller: &Caller, publish: &PublishTrack) -> Result<Track, SignalError> {
        let same = |own: &&OwnTrack| own.public && own.mid.as_str() == publish.mid && own.source == publish.source;
        if let Some(own) = caller.room.state.lock().member(caller.id)?.tracks.iter().find(same) {
            return Ok(own.view());
        }
        let (track, answer) = self.begin_publish(&caller.room, caller.id, publish)?;
        if let Err(error) = answer.wait().await.and_then(published_ok) {
            self.abandon_publish(&caller.room, caller.id, track);
            return Err(error);
        }
        let state = caller.room.state.lock();
        let own = state.member(caller.id)?.track(track);
        own.map(|own| own.view()).ok_or_else(|| ErrorCode::NotFound.into())
    }

    fn unpublish(&self, caller: &Caller, track: &str) -> Result<(), SignalError> {
        let track = parse::<TrackId>(track)?;
        let mut state = caller.room.state.lock();
        self.unpublish_locked(&mut state, caller.id, track).ok_or_else(no_such_track)
    }

    fn mute(&self, caller: &Caller, track: &str, muted: bool) -> Result<(), SignalError> {
        let (track, participant) = (parse::<TrackId>(track)?, caller.id);
        let mut state = caller.room.state.lock();
        let own = state.member(participant)?.track(track).ok_or_else(no_such_track)?;
        if own.muted == muted {
            return Ok(());
        }
        if !muted {
            state.member_mut(participant)?.admit_change(Instant::now())?;
        }
        self.media.send(caller.worker, Command::Mute { participant, track, muted })?;
        state.update_track(participant, track, |own| own.muted = muted, Instant::now()).ok_or_else(no_such_track)
    }

    /// Ids of tracks that ended meanwhile are no fault of the client's.
    fn subscribe(&self, caller: &Caller, tracks: &[String], wanted: bool) -> Result<(), SignalError> {
        let tracks = tracks.iter().map(|track| parse::<TrackId>(track)).collect::<Result<Vec<_>, _>>()?;
        let state = caller.room.state.lock();
        if wanted && !state.member(caller.id)?.permissions.can_subscribe {
            return Err(SignalError::new(ErrorCode::PermissionDenied, "the token does not grant subscribing"));
        }
        let tracks = tracks.into_iter().filter(|track| state.owner(*track).is_some()).collect();
        self.media.send(caller.worker, Command::Subscribe { participant: caller.id, tracks, wanted })
    }

    fn configure(&self, caller: &Caller, tracks: &[TrackSettings]) -> Result<(), SignalError> {
        if tracks.len() > MAX_CONFIGURED {
            return Err(SignalError::new(ErrorCode::BadRequest, format!("at most {MAX_CONFIGURED} tracks at once")));
        }
        let read = |wanted: &TrackSettings| Ok((parse::<TrackId>(&wanted.track)?, subscription_settings(wanted)?));
        let tracks = tracks.iter().map(read).collect::<Result<Vec<_>, SignalError>>()?;
        let state = caller.room.state.lock();
        if !state.member(caller.id)?.permissions.can_subscribe {
            return Err(SignalError::new(ErrorCode::PermissionDenied, "the token does not grant subscribing"));
        }
        let tracks = tracks.into_iter().filter(|(track, _)| state.owner(*track).is_some()).collect();
        self.media.send(caller.worker, Command::Configure { participant: caller.id, tracks })
    }

    fn pin_slots(&self, caller: &Caller, pins: &[SlotPin]) -> Result<(), SignalError> {
        let state = caller.room.state.lock();
        let slots = state.member(caller.id)?.layout.len();
        let mut known = Vec::new();
        for pin in pins {
            if usize::from(pin.slot) >= slots {
                return Err(SignalError::new(ErrorCode::BadRequest, format!("there is no slot {}", pin.slot)));
            }
            let shown = parse::<ParticipantId>(&pin.participant)?;
            // Whoever has left cannot be shown; that is no fault of the client's.
            if state.members.get(&shown).is_some_and(|member| member.is_visible()) {
                known.push((pin.slot, shown));
            }
        }
        self.media.send(caller.worker, Command::PinSlots { participant: caller.id, pins: known })
    }

    fn update(
        &self,
        caller: &Caller,
        name: Option<String>,
        metadata: Option<String>,
        attributes: Option<BTreeMap<String, String>>,
    ) -> Result<(), SignalError> {
        let limit = self.config.limits.metadata_bytes;
        let mut state = caller.room.state.lock();
        let member = state.member_mut(caller.id)?;
        if !member.permissions.can_update_own_metadata {
            return Err(SignalError::new(ErrorCode::PermissionDenied, "the token does not grant canUpdateOwnMetadata"));
        }
        let mut merged = member.attributes.clone();
        merged.extend(attributes.unwrap_or_default());
        merged.retain(|_, value| !value.is_empty());
        let attribute_bytes: usize = merged.iter().map(|(key, value)| key.len() + value.len()).sum();
        let too_long = name.as_ref().is_some_and(|name| name.len() > 256)
            || metadata.as_ref().is_some_and(|metadata| metadata.len() > limit);
        if too_long || attribute_bytes > limit {
            return Err(SignalError::new(ErrorCode::MessageTooLarge, "the name, metadata or attributes are too long"));
        }
        member.name = name.unwrap_or_else(|| std::mem::take(&mut member.name));
        member.metadata = metadata.unwrap_or_else(|| std::mem::take(&mut member.metadata));
        member.attributes = merged;
        state.on_updated(caller.id, Instant::now());
        Ok(())
    }

    async fn stats(&self, caller: &Caller) -> Result<Reply, SignalError> {
        let participant = caller.id;
        let answer = self.media.request(caller.worker, |request| Command::Stats { request, participant })?;
        match answer.wait().await? {
            Event::Stats { stats: Some(stats), .. } => {
                let stats = serde_json::to_value(&*stats).map_err(|_| ErrorCode::Internal)?;
                Ok(Reply::Stats { stats })
            }
            _ => Err(ErrorCode::NotFound.into()),
        }
    }
}

fn parse<T: FromStr>(id: &str) -> Result<T, SignalError>
where
    T::Err: std::fmt::Display,
{
    id.parse().map_err(|error: T::Err| SignalError::new(ErrorCode::BadRequest, error.to_string()))
}

fn no_such_track() -> SignalError {
    SignalError::new(ErrorCode::NotFound, "you publish no such track")
}
