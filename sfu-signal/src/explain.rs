//! `GET /v1/rooms/{room}/explain`: what everybody in a room is sent and why, for whoever administers it.
//!
//! What the media plane says, with the names that only the control plane knows. The token must grant `roomAdmin` for this
//! very room: it tells of everybody, hidden participants included.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sfu_core::control::{Command, Event, RoomExplanation};
use sfu_core::id::{ParticipantId, TrackId};

use crate::error::{ErrorCode, SignalError};
use crate::http::bearer;
use crate::listener::Client;
use crate::resource::Shared;
use crate::room::{Room, RoomState};
use crate::server::Server;

pub(crate) async fn explain(
    State(server): Shared,
    Path(room): Path<String>,
    client: Client,
    headers: HeaderMap,
) -> Response {
    match server.explained(&room, &client, &headers).await {
        Ok(explanation) => ([(CACHE_CONTROL, "no-store")], Json(explanation)).into_response(),
        Err(error) => server.refuse(error),
    }
}

impl Server {
    async fn explained(&self, name: &str, client: &Client, headers: &HeaderMap) -> Result<Value, SignalError> {
        let token = bearer(headers).ok_or(ErrorCode::TokenMissing)?;
        self.keyring.verify(token)?.administers(name)?;
        client.authenticated();
        let none = || SignalError::new(ErrorCode::RoomNotFound, "there is no such room now");
        let room = self.rooms.get(name).map(|entry| entry.value().clone()).ok_or_else(none)?;
        let workers: Vec<_> = room.state.lock().parts.workers().collect();
        let mut whole = RoomExplanation { room: room.id, participants: Vec::new() };
        for worker in workers {
            let asked = self.media.request(worker, |request| Command::Explain { request, room: room.id })?;
            match asked.wait().await? {
                Event::Explained { explanation: Some(part), .. } => whole.participants.extend(part.participants),
                Event::Explained { explanation: None, .. } => return Err(none()),
                _ => return Err(ErrorCode::Internal.into()),
            }
        }
        with_names(&room, &whole)
    }
}

/// The media plane's explanation as JSON, with what people call rooms, participants and tracks.
fn with_names(room: &Room, explanation: &RoomExplanation) -> Result<Value, SignalError> {
    let mut value = serde_json::to_value(explanation).map_err(|_| ErrorCode::Internal)?;
    value["room"] = json!({"id": room.id.to_string(), "name": room.name});
    let state = room.state.lock();
    let participants = value["participants"].as_array_mut().into_iter().flatten();
    for (view, told) in participants.zip(&explanation.participants) {
        name_participant(view, &state, told.participant, "identity", Some("name"));
        let subscriptions = view["subscriptions"].as_array_mut().into_iter().flatten();
        for (view, told) in subscriptions.zip(&told.subscriptions) {
            name_participant(view, &state, told.publisher, "publisherIdentity", None);
            name_track(view, &state, told.publisher, told.decision.track);
        }
    }
    Ok(value)
}

/// Whoever left meanwhile has no name any more.
fn name_participant(view: &mut Value, state: &RoomState, id: ParticipantId, identity: &str, name: Option<&str>) {
    let member = state.members.get(&id);
    view[identity] = member.map(|member| member.identity.clone()).into();
    if let Some(name) = name {
        view[name] = member.map(|member| member.name.clone()).into();
    }
}

fn name_track(view: &mut Value, state: &RoomState, owner: ParticipantId, track: TrackId) {
    let track = state.members.get(&owner).and_then(|member| member.track(track));
    view["source"] = track.map_or(Value::Null, |track| json!(track.source));
}
