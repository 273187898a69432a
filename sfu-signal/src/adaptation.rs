//! Adaptation between the wire and the media plane: the same things, as texts here and as ids and newtypes there.

use sfu_core::control::{self, Limit, Priority, Quality, Size, SubscriptionSettings};
use sfu_core::id::{ParticipantId, TrackId};

use crate::error::{ErrorCode, SignalError};
use crate::protocol::{
    ConnectionQuality, EncodingDemand, ParticipantQuality, SentLayer, Speaker, StreamLimit, StreamState, TrackDemand,
    TrackPriority, TrackSettings, VideoQuality,
};

/// Tracks that one `configure` may name. A client sees as many as it has slots; this is several times that.
pub(crate) const MAX_CONFIGURED: usize = 256;

/// How a client wants a track.
pub(crate) fn subscription_settings(wanted: &TrackSettings) -> Result<SubscriptionSettings, SignalError> {
    let bad = |text: &str| SignalError::new(ErrorCode::BadRequest, text);
    let size = match (wanted.width, wanted.height) {
        (None, None) => None,
        (Some(width @ 1..), Some(height @ 1..)) => Some(Size { width, height }),
        _ => return Err(bad("a size has a width and a height of at least 1")),
    };
    if wanted.max_fps == Some(0) {
        return Err(bad("maxFps is at least 1"));
    }
    Ok(SubscriptionSettings {
        enabled: wanted.enabled,
        visible: wanted.visible,
        size,
        max_fps: wanted.max_fps,
        max_quality: match wanted.max_quality {
            VideoQuality::Low => Quality::Low,
            VideoQuality::Medium => Quality::Medium,
            VideoQuality::High => Quality::High,
        },
        priority: match wanted.priority {
            TrackPriority::Low => Priority::Low,
            TrackPriority::Medium => Priority::Medium,
            TrackPriority::High => Priority::High,
        },
    })
}

/// What a client is sent of a track.
pub(crate) fn stream_view(state: &control::StreamState) -> StreamState {
    StreamState {
        track: state.track.to_string(),
        layer: state.layer.as_ref().map(layer_view),
        limit: limit_view(state.limit),
        estimate: state.estimate,
    }
}

fn layer_view(layer: &control::SentLayer) -> SentLayer {
    SentLayer {
        rid: layer.rid.clone(),
        spatial: layer.spatial,
        temporal: layer.temporal,
        width: layer.size.map(|size| size.width),
        height: layer.size.map(|size| size.height),
        bitrate: layer.bitrate,
    }
}

const fn limit_view(limit: Limit) -> StreamLimit {
    match limit {
        Limit::None => StreamLimit::None,
        Limit::Size => StreamLimit::Size,
        Limit::Cap => StreamLimit::Cap,
        Limit::Bandwidth => StreamLimit::Bandwidth,
        Limit::Publisher => StreamLimit::Publisher,
        Limit::Hidden => StreamLimit::Hidden,
        Limit::Disabled => StreamLimit::Disabled,
        Limit::Muted => StreamLimit::Muted,
        Limit::Codec => StreamLimit::Codec,
        Limit::Overload => StreamLimit::Overload,
    }
}

/// What anybody takes of a track.
pub(crate) fn demand_view(track: TrackId, encodings: &[control::EncodingDemand]) -> TrackDemand {
    let view = |demand: &control::EncodingDemand| EncodingDemand {
        rid: demand.rid.clone(),
        wanted: demand.wanted,
        max_spatial: demand.max_spatial,
    };
    TrackDemand { track: track.to_string(), encodings: encodings.iter().map(view).collect() }
}

/// Somebody who speaks. Two digits are as much as anybody can see or hear of a level.
pub(crate) fn speaker_view(speaker: &control::Speaker) -> Speaker {
    Speaker { participant: speaker.participant.to_string(), level: f64::from((speaker.level * 100.0).round()) / 100.0 }
}

/// How somebody's connection is.
pub(crate) fn quality_view(participant: ParticipantId, quality: control::ConnectionQuality) -> ParticipantQuality {
    ParticipantQuality {
        participant: participant.to_string(),
        quality: match quality {
            control::ConnectionQuality::Lost => ConnectionQuality::Lost,
            control::ConnectionQuality::Poor => ConnectionQuality::Poor,
            control::ConnectionQuality::Good => ConnectionQuality::Good,
            control::ConnectionQuality::Excellent => ConnectionQuality::Excellent,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<SubscriptionSettings, SignalError> {
        subscription_settings(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn absent_members_have_the_media_planes_defaults() {
        assert_eq!(read(json!({"track": "TR"})), Ok(SubscriptionSettings::default()));
    }

    #[test]
    fn everything_that_is_said_arrives() {
        let said = json!({
            "track": "TR", "enabled": false, "visible": false, "width": 640, "height": 360, "maxFps": 15,
            "maxQuality": "medium", "priority": "high",
        });
        let wanted = SubscriptionSettings {
            enabled: false,
            visible: false,
            size: Some(Size { width: 640, height: 360 }),
            max_fps: Some(15),
            max_quality: Quality::Medium,
            priority: Priority::High,
        };
        assert_eq!(read(said), Ok(wanted));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for said in [
            json!({"track": "TR", "width": 0, "height": 360}),
            json!({"track": "TR", "width": 640}),
            json!({"track": "TR", "height": 360}),
            json!({"track": "TR", "maxFps": 0}),
        ] {
            assert_eq!(read(said).unwrap_err().code, ErrorCode::BadRequest);
        }
    }
}
