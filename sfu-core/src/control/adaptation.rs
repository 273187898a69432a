//! What the two sides say about adaptation: how a subscriber wants its tracks, what it is sent of them and why, what a
//! publisher need not encode, who speaks, and how everybody's connection is.

use std::fmt;

use serde::Serialize;

use crate::id::{ParticipantId, RoomId, TrackId};

/// Width and height in physical pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

/// Who goes first when not everything fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    Low,
    #[default]
    Medium,
    High,
}

/// A cap in words, for applications that do not think in pixels: the lowest of a track's sizes, the middle, all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    Low,
    Medium,
    #[default]
    High,
}

/// How a subscriber wants a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionSettings {
    /// The application wants it at all; the slot keeps it either way.
    pub enabled: bool,
    /// It is on screen. Nothing is sent of what nobody sees.
    pub visible: bool,
    /// The size it is shown at; `None`: unknown, as large as it comes.
    #[serde(flatten)]
    pub size: Option<Size>,
    /// Frames per second that are enough; `None`: all.
    pub max_fps: Option<u8>,
    /// See [`Quality`].
    pub max_quality: Quality,
    pub priority: Priority,
}

impl Default for SubscriptionSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            visible: true,
            size: None,
            max_fps: None,
            max_quality: Quality::default(),
            priority: Priority::default(),
        }
    }
}

/// What a subscriber is sent of a video track.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamState {
    pub track: TrackId,
    /// `None`: paused, `limit` says why.
    pub layer: Option<SentLayer>,
    /// What keeps it from being better.
    pub limit: Limit,
    /// Bits per second that the estimate gives this subscriber in all, where there is one.
    pub estimate: Option<u64>,
}

/// A layer that is sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SentLayer {
    /// The encoding's RID, where there is one.
    pub rid: Option<String>,
    /// 0: the lowest.
    pub spatial: u8,
    /// 0: the lowest.
    pub temporal: u8,
    /// Where the stream says it.
    #[serde(flatten)]
    pub size: Option<Size>,
    /// Bits per second, as measured.
    pub bitrate: u64,
}

/// What keeps a subscription from being better than it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Nothing: it is the best that the publisher sends.
    None,
    /// The size it is shown at.
    Size,
    /// A cap of the application or of the token.
    Cap,
    /// The receiver's estimated bandwidth.
    Bandwidth,
    /// The publisher sends no better layer although it is wanted.
    Publisher,
    /// Not visible.
    Hidden,
    /// Disabled by the application.
    Disabled,
    /// Muted by its publisher.
    Muted,
    /// The receiver has no such codec.
    Codec,
    /// The worker is past its limit and sheds load.
    Overload,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Size => "size",
            Self::Cap => "cap",
            Self::Bandwidth => "bandwidth",
            Self::Publisher => "publisher",
            Self::Hidden => "hidden",
            Self::Disabled => "disabled",
            Self::Muted => "muted",
            Self::Codec => "codec",
            Self::Overload => "overload",
        })
    }
}

/// Whether a publisher's encoding is taken by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EncodingDemand {
    /// Its RID; `None`: the track's only encoding.
    pub rid: Option<String>,
    /// False: it may be paused.
    pub wanted: bool,
    /// The highest spatial layer of an SVC stream that anybody takes; `None`: all, or not SVC.
    pub max_spatial: Option<u8>,
}

/// Somebody who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Speaker {
    pub participant: ParticipantId,
    /// Loudness, 0 (silence) to 1.
    pub level: f32,
}

/// How a participant's connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionQuality {
    /// Nothing arrives.
    Lost,
    Poor,
    Good,
    Excellent,
}

/// What every participant of a room is sent, and why.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomExplanation {
    pub room: RoomId,
    pub participants: Vec<ParticipantExplanation>,
}

/// What a participant is sent, and why.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantExplanation {
    pub participant: ParticipantId,
    pub quality: Option<ConnectionQuality>,
    /// Bits per second, and what tells: `twcc`, `remb` or `reports`. `None`: nothing was told yet.
    pub estimate: Option<u64>,
    pub estimate_source: Option<&'static str>,
    /// Bits per second for video, after audio and retransmissions.
    pub budget: Option<u64>,
    pub rtt_ms: Option<f64>,
    /// Packets lost on the way to it, 0 to 1.
    pub loss: f64,
    /// Packets that it sent beyond a limit and that were dropped.
    pub limited: u64,
    pub subscriptions: Vec<SubscriptionExplanation>,
}

/// What is sent of one video track to one participant, and why.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionExplanation {
    pub publisher: ParticipantId,
    pub slot: u8,
    pub wanted: SubscriptionSettings,
    /// Every layer that the publisher offers now, from the lowest; `bitrate` includes the layers below it.
    pub available: Vec<SentLayer>,
    /// What was decided.
    #[serde(flatten)]
    pub decision: StreamState,
    /// What flows: until a keyframe comes it is not yet what was decided.
    pub flowing: Option<SentLayer>,
    /// Milliseconds since the decision.
    pub since_ms: u64,
    /// The decision in a sentence.
    pub reason: String,
}
