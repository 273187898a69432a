//! What happens in a room.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{Participant, ParticipantQuality, Slot, Speaker, StreamState, Track, TrackDemand};

/// What happens in a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum RoomEvent {
    /// Somebody came.
    ParticipantJoined {
        /// Who.
        participant: Participant,
    },
    /// Somebody left.
    ParticipantLeft {
        /// The participant's id.
        participant: String,
        /// Why.
        reason: LeaveReason,
    },
    /// Name, metadata, attributes or permissions changed; the tracks are as they were.
    ParticipantUpdated {
        /// The new state.
        participant: Participant,
    },
    /// Somebody published.
    TrackPublished {
        /// The publisher's id.
        participant: String,
        /// What.
        track: Track,
    },
    /// Mute state or codec changed.
    TrackUpdated {
        /// The publisher's id.
        participant: String,
        /// The new state.
        track: Track,
    },
    /// A publication ended.
    TrackUnpublished {
        /// The publisher's id.
        participant: String,
        /// The track's id.
        track: String,
    },
    /// This client cannot be sent a track.
    TrackUnavailable {
        /// The publisher's id.
        participant: String,
        /// The track's id.
        track: String,
        /// `codec`: the offer has no codec that fits.
        reason: String,
    },
    /// Slots changed. Confirm by `slots_ack` once elements of replaced tracks are detached.
    Slots {
        /// Rises by one.
        revision: u64,
        /// The slots that changed, whole.
        slots: Vec<Slot>,
    },
    /// What this client is sent of these tracks changed.
    Streams {
        /// Those that changed.
        streams: Vec<StreamState>,
    },
    /// What this client sends of an own track meets a limit of the server: at most once in five seconds for each limit. Sending
    /// less, or smaller packets, is the remedy.
    TrackLimited {
        /// The track's id.
        track: String,
        /// Which limit.
        limit: MediaLimit,
        /// Packets that were dropped because of it since this was said last.
        dropped: u64,
    },
    /// What anybody takes of an own track changed: what nobody takes may be paused.
    Demand(TrackDemand),
    /// Who speaks, the loudest first; whoever is not named is silent. State of the moment: its `seq` is 0.
    Speakers {
        /// Those who speak.
        speakers: Vec<Speaker>,
    },
    /// Connections whose quality changed. State of the moment: its `seq` is 0.
    Qualities {
        /// Those that changed.
        qualities: Vec<ParticipantQuality>,
    },
    /// A limit of data channels cost this client something since it was last told; at most once a second.
    DataLimited {
        /// Which.
        limit: DataLimit,
        /// Messages that were lost. Reliable ones over the rate are not lost: they wait.
        lost: u32,
    },
    /// The state of the media path, as the server sees it.
    Connection {
        /// The new state.
        state: ConnectionState,
    },
    /// A fresh token for further connections of this participant.
    Token {
        /// The JWT.
        token: String,
    },
    /// The server ends the session; it is gone when the WebSocket closes.
    Disconnected {
        /// Why.
        reason: LeaveReason,
        /// For people.
        message: String,
        /// Milliseconds until a new join may work, where that is known: with `server_shutdown`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        retry_after_ms: Option<u64>,
    },
}

/// A limit of data channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum DataLimit {
    /// The client sends more than it may: lossy messages are dropped, reliable ones wait.
    Rate,
    /// The client reads too slowly: reliable messages for it were dropped.
    Reading,
}

/// A limit on what a client sends. See `limits` in docs/operations.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum MediaLimit {
    /// Bits per second of a track.
    TrackBitrate,
    /// Packets per second of a track.
    TrackPackets,
    /// Bits per second of all tracks together.
    PublisherBitrate,
    /// Packets per second of all tracks together.
    PublisherPackets,
    /// Bytes of a packet: most networks do not carry a datagram of more than 1,472.
    PacketSize,
}

/// The state of a media path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Media flows.
    Connected,
    /// The client's checks stopped; an ICE restart may help.
    Interrupted,
}

/// Why a participant is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It said so.
    Left,
    /// The same identity joined again.
    DuplicateIdentity,
    /// Its WebSocket was lost and not resumed in time.
    SignalLost,
    /// Its media path failed.
    MediaFailed,
    /// The room closed.
    RoomClosed,
    /// It was removed.
    Removed,
    /// The server stops.
    ServerShutdown,
    /// The media thread of its room failed and began anew: joining again at once works.
    MediaRestarted,
    /// It broke the protocol or a limit.
    ProtocolError,
}
