//! What a room holds, as one participant sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{ParticipantQuality, Speaker, StreamState, TrackDemand, TrackSource};

/// The state of a room as one participant sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The room.
    pub room: Room,
    /// Oneself.
    pub participant: Participant,
    /// The others.
    pub participants: Vec<Participant>,
    /// All slots that show something.
    pub slots: Vec<Slot>,
    /// The revision of `slots`.
    pub slots_revision: u64,
    /// What the client is sent of the tracks in its slots, as far as that is decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(as = "Option<Vec<StreamState>>", optional)]
    pub streams: Vec<StreamState>,
    /// What anybody takes of the own tracks; of one that is not named: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(as = "Option<Vec<TrackDemand>>", optional)]
    pub demand: Vec<TrackDemand>,
    /// Who speaks, the loudest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(as = "Option<Vec<Speaker>>", optional)]
    pub speakers: Vec<Speaker>,
    /// How connections are, as far as known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(as = "Option<Vec<ParticipantQuality>>", optional)]
    pub qualities: Vec<ParticipantQuality>,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// This incarnation of the room: `RM_...`.
    pub id: String,
    /// The name that tokens carry.
    pub name: String,
}

/// A participant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// `PA_...`
    pub id: String,
    /// The token's `sub`; one participant per identity and room.
    pub identity: String,
    /// The display name; may be empty.
    pub name: String,
    /// Free text of the application.
    pub metadata: String,
    /// Key and value of the application.
    pub attributes: BTreeMap<String, String>,
    /// What it may do.
    pub permissions: Permissions,
    /// What it publishes.
    pub tracks: Vec<Track>,
    /// Unix time of the join, in milliseconds.
    pub joined_at: f64,
}

/// What a participant may do, as its token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// May publish tracks.
    pub can_publish: bool,
    /// Which sources; empty: all.
    pub can_publish_sources: Vec<TrackSource>,
    /// Receives others' tracks.
    pub can_subscribe: bool,
    /// May send data.
    pub can_publish_data: bool,
    /// May change its own name, metadata and attributes.
    pub can_update_own_metadata: bool,
}

/// A published track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Track {
    /// `TR_...`
    pub id: String,
    /// Where it comes from.
    pub source: TrackSource,
    /// A name of the application.
    pub name: String,
    /// Whether its publisher muted it.
    pub muted: bool,
    /// The codec's name (`VP8`, `opus`), once media has arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub codec: Option<String>,
}

/// What a slot shows from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// The slot's index in the layout.
    pub slot: u8,
    /// Whom it shows; null: nobody.
    pub participant: Option<String>,
    /// The track on its audio m-line.
    pub audio: Option<SlotTrack>,
    /// The track on its video m-line.
    pub video: Option<SlotTrack>,
}

/// A track on an m-line of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SlotTrack {
    /// The track's id.
    pub track: String,
    /// Only frames with a later RTP timestamp (mod 2^32) show this track; null: all that come.
    pub after: Option<u32>,
}
