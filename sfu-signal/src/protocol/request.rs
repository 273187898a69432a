//! What a client asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::TrackSettings;

/// What a client can ask. The first request of a WebSocket is `join` or `resume`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Request {
    /// Enters the room that the token names. Answered by `joined`.
    Join {
        /// The client's protocol version.
        protocol: u32,
        /// The SDP offer.
        offer: String,
        /// The offer's m-lines that receive, in the order of slot indexes.
        #[serde(default)]
        slots: Vec<SlotLayout>,
        /// Tracks to publish at once.
        #[serde(default)]
        publish: Vec<PublishTrack>,
        /// False: only tracks named by `subscribe` are shown.
        #[serde(default = "yes")]
        auto_subscribe: bool,
        /// For logs: SDK and browser, e.g. `js/0.1.0 Firefox 153`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        client: Option<String>,
    },
    /// Continues a session after its WebSocket was lost. Answered by `resumed`. Where the token may have expired, open
    /// the WebSocket with `?session=SE_...` instead of a token; `resume` is then the only first message.
    Resume {
        /// The client's protocol version.
        protocol: u32,
        /// From `joined`.
        session: String,
        /// From `joined`.
        secret: String,
        /// The last `seq` that the client has handled.
        last_seq: u64,
    },
    /// A further offer: more slots, other codecs, or new ICE credentials (ICE restart). Answered by `answer`.
    Offer {
        /// The SDP offer.
        offer: String,
        /// The whole slot layout; it only grows.
        #[serde(default)]
        slots: Vec<SlotLayout>,
    },
    /// A trickled candidate of the client. The server is ICE-lite and needs none: it is accepted and not used.
    Candidate {
        /// The `candidate` line; empty: end of candidates.
        candidate: String,
        /// Its m-line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        mid: Option<String>,
    },
    /// Publishes what flows on an m-line. Answered by `published`.
    Publish {
        /// What is published.
        #[serde(flatten)]
        track: PublishTrack,
    },
    /// Ends a publication. Its m-line may be used again.
    Unpublish {
        /// The track's id.
        track: String,
    },
    /// Mutes or unmutes an own track for all.
    Mute {
        /// The track's id.
        track: String,
        /// The new state.
        muted: bool,
    },
    /// Wants these tracks.
    Subscribe {
        /// Track ids.
        tracks: Vec<String>,
    },
    /// Does not want these tracks.
    Unsubscribe {
        /// Track ids.
        tracks: Vec<String>,
    },
    /// How the client wants tracks from now on. Those that ended meanwhile are skipped, others stay as they are.
    Configure {
        /// At most 256.
        tracks: Vec<TrackSettings>,
    },
    /// Names who shall be in which slot; the other slots fill in order of arrival. Replaces earlier pins.
    Slots {
        /// The pins.
        pins: Vec<SlotPin>,
    },
    /// All slot events up to this revision are applied: elements of replaced tracks are detached.
    SlotsAck {
        /// From the `slots` event.
        revision: u64,
    },
    /// Changes what others see of oneself. Absent fields stay; an attribute with an empty value is removed.
    Update {
        /// The display name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        name: Option<String>,
        /// Free text of the application.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        metadata: Option<String>,
        /// Key and value of the application.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        attributes: Option<BTreeMap<String, String>>,
    },
    /// Statistics of the server about this participant. Answered by `stats`.
    Stats,
    /// Leaves for good. Answered by `ok`, then the server closes the WebSocket.
    Leave,
    /// Answered by `pong`.
    Ping {
        /// The client's clock, returned as it came.
        #[serde(default)]
        timestamp: f64,
    },
}

/// One slot: two receiving m-lines that belong together, or one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SlotLayout {
    /// What it is for.
    pub role: SlotRole,
    /// The MID of its audio m-line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub audio: Option<String>,
    /// The MID of its video m-line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub video: Option<String>,
}

/// What a slot may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum SlotRole {
    /// A participant's camera and microphone.
    Pair,
    /// A shared screen and its sound.
    Screen,
    /// The microphone of somebody who is not shown.
    Audio,
}

/// A wish of who is in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SlotPin {
    /// The slot's index.
    pub slot: u8,
    /// The participant's id.
    pub participant: String,
}

/// What a client publishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PublishTrack {
    /// The m-line that it flows on.
    pub mid: String,
    /// Where it comes from.
    pub source: TrackSource,
    /// A name of the application.
    #[serde(default)]
    pub name: String,
    /// Whether it starts muted.
    #[serde(default)]
    pub muted: bool,
}

/// Where a track comes from. The names are those of LiveKit's `canPublishSources`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum TrackSource {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A shared screen.
    ScreenShare,
    /// The sound of a shared screen.
    ScreenShareAudio,
}

pub(super) const fn yes() -> bool {
    true
}
