//! `/whep/{room}`: standard clients play (draft-ietf-wish-whep). Receiving m-lines become slots in their order.

use axum::extract::{Path, Request, State};
use axum::response::Response;

use crate::forwarded::Base;
use crate::participant::Door;
use crate::resource::{ResourcePath, Shared};

pub(crate) async fn play(State(server): Shared, Path(room): Path<String>, base: Base, request: Request) -> Response {
    let created = server.create(Door::Whep, &room, &base, request).await;
    created.unwrap_or_else(|error| server.refuse_join(error))
}

pub(crate) async fn end(State(server): Shared, Path(path): ResourcePath, request: Request) -> Response {
    server.delete(Door::Whep, &path, &request).unwrap_or_else(|error| server.refuse(error))
}

pub(crate) async fn patch(State(server): Shared, Path(path): ResourcePath, request: Request) -> Response {
    server.trickle(Door::Whep, &path, request).await.unwrap_or_else(|error| server.refuse(error))
}
