//! `/whip/{room}`: standard clients publish (RFC 9725).

use axum::extract::{Path, Request, State};
use axum::response::Response;
use sfu_core::sdp::{Direction, MediaKind, Offer};

use crate::error::{ErrorCode, SignalError};
use crate::forwarded::Base;
use crate::participant::Door;
use crate::protocol::{PublishTrack, TrackSource};
use crate::resource::{ResourcePath, Shared};

pub(crate) async fn publish(State(server): Shared, Path(room): Path<String>, base: Base, request: Request) -> Response {
    let created = server.create(Door::Whip, &room, &base, request).await;
    created.unwrap_or_else(|error| server.refuse_join(error))
}

pub(crate) async fn end(State(server): Shared, Path(path): ResourcePath, request: Request) -> Response {
    server.delete(Door::Whip, &path, &request).unwrap_or_else(|error| server.refuse(error))
}

pub(crate) async fn patch(State(server): Shared, Path(path): ResourcePath, request: Request) -> Response {
    server.trickle(Door::Whip, &path, request).await.unwrap_or_else(|error| server.refuse(error))
}

/// One track per m-line that sends: a microphone and a camera, then a screen and its sound. None for an offer of data channels only.
pub(crate) fn tracks(offer: &Offer) -> Result<Vec<PublishTrack>, SignalError> {
    let mut audio = [TrackSource::Microphone, TrackSource::ScreenShareAudio].into_iter();
    let mut video = [TrackSource::Camera, TrackSource::ScreenShare].into_iter();
    let mut tracks = Vec::new();
    for media in offer.media() {
        if media.stopped || !matches!(media.direction, Direction::SendOnly | Direction::SendRecv) {
            continue;
        }
        let source = match media.kind {
            MediaKind::Audio => audio.next(),
            MediaKind::Video => video.next(),
            MediaKind::Data | MediaKind::Other => continue,
        };
        let source = source.ok_or(ErrorCode::TooManyTracks)?;
        tracks.push(PublishTrack { mid: media.mid.to_string(), source, name: String::new(), muted: false });
    }
    let has_data = offer.media().iter().any(|media| media.kind == MediaKind::Data && !media.stopped);
    if tracks.is_empty() && !has_data {
        let message = "no m-line of the offer sends: offer audio or video as sendonly, or a data channel";
        return Err(SignalError::new(ErrorCode::BadRequest, message));
    }
    Ok(tracks)
}
