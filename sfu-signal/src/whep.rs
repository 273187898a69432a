//! `/whep/{room}`: standard clients play (draft-ietf-wish-whep). Receiving m-lines become slots in their order.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use crate::participant::Door;
use crate::resource::{Body, ResourcePath, Shared};

pub(crate) async fn play(State(server): Shared, Path(room): Path<String>, headers: HeaderMap, body: Body) -> Response {
    let created = server.create(Door::Whep, &room, &headers, body).await;
    created.unwrap_or_else(|error| server.refuse_join(error))
}

pub(crate) async fn end(State(server): Shared, Path(path): ResourcePath, headers: HeaderMap) -> Response {
    server.delete(Door::Whep, &path, &headers).unwrap_or_else(|error| server.refuse(error))
}

pub(crate) async fn patch(State(server): Shared, Path(path): ResourcePath, headers: HeaderMap, body: Body) -> Response {
    server.trickle(Door::Whep, &path, &headers, body).unwrap_or_else(|error| server.refuse(error))
}
