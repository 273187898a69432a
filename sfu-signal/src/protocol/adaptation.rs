//! What the two sides say about adaptation: how a client wants tracks, what it is sent of them and why, what it need not
//! encode, who speaks, and how connections are. The names and meanings are those of `sfu_core::control`.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// How a client wants a track. It replaces what was said of the track before; absent members have their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct TrackSettings {
    /// The track's id.
    pub track: String,
    /// False: the application does not want it now. Its slot stays.
    #[serde(default = "super::request::yes")]
    #[ts(as = "Option<bool>", optional)]
    pub enabled: bool,
    /// False: it is not on screen, and nothing need be sent.
    #[serde(default = "super::request::yes")]
    #[ts(as = "Option<bool>", optional)]
    pub visible: bool,
    /// The width that it is shown at, in physical pixels. With `height`, or neither: as large as it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub width: Option<u16>,
    /// The height that it is shown at, in physical pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub height: Option<u16>,
    /// Frames per second that are enough; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub max_fps: Option<u8>,
    /// A cap in words. Absent: `high`.
    #[serde(default)]
    #[ts(as = "Option<VideoQuality>", optional)]
    pub max_quality: VideoQuality,
    /// Who goes first when not everything fits. Absent: `medium`.
    #[serde(default)]
    #[ts(as = "Option<TrackPriority>", optional)]
    pub priority: TrackPriority,
}

/// The lowest of a track's sizes, the middle, or all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum VideoQuality {
    /// The lowest.
    Low,
    /// Up to the middle.
    Medium,
    /// All.
    #[default]
    High,
}

/// Who goes first when not everything fits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum TrackPriority {
    /// After the others.
    Low,
    /// The usual.
    #[default]
    Medium,
    /// Before the others.
    High,
}

/// What a client is sent of a video track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct StreamState {
    /// The track's id.
    pub track: String,
    /// The layer; null: paused, `limit` says why.
    pub layer: Option<SentLayer>,
    /// What keeps it from being better.
    pub limit: StreamLimit,
    /// Bits per second that this client's connection carries in all, as the server estimates; absent: it does not know yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub estimate: Option<u64>,
}

/// A layer that is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SentLayer {
    /// The encoding's RID, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub rid: Option<String>,
    /// The spatial layer, from 0.
    pub spatial: u8,
    /// The temporal layer, from 0.
    pub temporal: u8,
    /// Its size, where the stream tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub width: Option<u16>,
    /// Its size, where the stream tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub height: Option<u16>,
    /// Bits per second, as measured.
    pub bitrate: u64,
}

/// What keeps a stream from being better than it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum StreamLimit {
    /// Nothing: it is the best that its publisher sends.
    None,
    /// The size it is shown at.
    Size,
    /// A cap of the application or of the token.
    Cap,
    /// What the connection carries.
    Bandwidth,
    /// Its publisher sends no better one although it is wanted.
    Publisher,
    /// It is not on screen.
    Hidden,
    /// The application does not want it.
    Disabled,
    /// Its publisher muted it.
    Muted,
    /// The client has no such codec.
    Codec,
    /// The server has too much to do.
    Overload,
}

/// What anybody takes of an own track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct TrackDemand {
    /// The track's id.
    pub track: String,
    /// All its encodings.
    pub encodings: Vec<EncodingDemand>,
}

/// Whether anybody takes an encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct EncodingDemand {
    /// Its RID; absent: it is the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub rid: Option<String>,
    /// False: it may be paused.
    pub wanted: bool,
    /// The highest spatial layer that anybody takes of an SVC stream; absent: all, or it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub max_spatial: Option<u8>,
}

/// Somebody who speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Speaker {
    /// The participant's id.
    pub participant: String,
    /// Loudness, 0 to 1.
    pub level: f64,
}

/// How somebody's connection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ParticipantQuality {
    /// The participant's id.
    pub participant: String,
    /// How it is.
    pub quality: ConnectionQuality,
}

/// How a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionQuality {
    /// Nothing arrives.
    Lost,
    /// People notice.
    Poor,
    /// Not the best.
    Good,
    /// As good as it gets.
    Excellent,
}
