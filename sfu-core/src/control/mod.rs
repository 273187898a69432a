//! What the control plane and a worker say to each other: commands in, events out.
//!
//! Commands name rooms and participants by their public ids and carry what was decided elsewhere (who may publish what);
//! the core never sees a token, a room's name or JSON. A command with a [`RequestId`] is answered by exactly one event
//! with the same number, in order for one participant. A command for a room or participant that is gone is dropped, or
//! answered by [`ControlError::Gone`] where it has a request id: the two sides race, and that is no fault.

mod adaptation;

use std::fmt;

pub use adaptation::{
    ConnectionQuality, EncodingDemand, Limit, ParticipantExplanation, Priority, Quality, RoomExplanation, SentLayer,
    Size, Speaker, StreamState, SubscriptionExplanation, SubscriptionSettings,
};

use crate::id::{Mid, ParticipantId, RoomId, TrackId};
use crate::sdp::{Answer, Codec, NegotiationError, Offer};

/// The caller's number for a command that has an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// The index of a slot in its participant's layout.
pub type SlotIndex = u8;

/// A worker's index, from 0.
pub type WorkerIndex = u8;

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// Opus.
    Audio,
    /// VP8, VP9, H264 or AV1.
    Video,
}

/// Where a track comes from, which decides the slot that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A camera: the video of a pair.
    Camera,
    /// A microphone: the audio of a pair, or a lone audio slot.
    Microphone,
    /// A shared screen: the video of the screen pair, or of a pair where there is none.
    Screen,
    /// The sound of a shared screen.
    ScreenAudio,
}

/// A participant's m-lines that receive: two that belong together, or one alone.
///
/// The media section that a `None` names does not exist. Slots keep their SSRCs for life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotLines {
    /// What the slot is for.
    pub role: SlotRole,
    /// The `recvonly` audio m-line.
    pub audio: Option<Mid>,
    /// The `recvonly` video m-line.
    pub video: Option<Mid>,
}

/// What a slot may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotRole {
    /// A participant's camera and microphone.
    Pair,
    /// A shared screen and its sound.
    Screen,
    /// The microphone of a participant who is not shown.
    Audio,
}

/// An offer and what belongs to it.
#[derive(Debug)]
pub struct Negotiation {
    /// The parsed offer.
    pub offer: Box<Offer>,
    /// The whole slot layout, in the order of slot indexes. A later layout only appends. Empty in the first offer: the
    /// `recvonly` audio and video m-lines are paired in their order (WHEP); empty later: as it is.
    pub slots: Vec<SlotLines>,
}

/// Which kinds of media a participant may publish. M-lines of other kinds are answered as if the client only received on them:
/// nothing that arrives there is decrypted, kept or asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MayPublish {
    pub audio: bool,
    pub video: bool,
}

impl MayPublish {
    /// Everything.
    pub const ALL: Self = Self { audio: true, video: true };
    /// Nothing.
    pub const NONE: Self = Self { audio: false, video: false };

    /// Whether media of this kind may be published.
    pub const fn allows(self, kind: TrackKind) -> bool {
        match kind {
            TrackKind::Audio => self.audio,
            TrackKind::Video => self.video,
        }
    }
}

/// What a participant may do and how it takes slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParticipantSettings {
    /// Takes part in slot assignment of others, and receives theirs.
    pub can_subscribe: bool,
    /// Which media it may send.
    pub can_publish: MayPublish,
    /// May send on data channels; receiving is always allowed.
    pub can_publish_data: bool,
    /// Others' tracks are shown without asking. Otherwise only what [`Command::Subscribe`] names.
    pub auto_subscribe: bool,
    /// The client confirms slot changes by [`Command::AckSlots`]: media of a new track is withheld from a slot that
    /// showed another until then, so that nobody is shown under another's name. False for WHEP.
    pub confirms_slots: bool,
}

/// Control plane to worker.
#[derive(Debug)]
pub enum Command {
    /// Creates a room. Commands for its participants follow.
    OpenRoom { room: RoomId },
    /// Creates a further part of a room, whose other parts are on these workers and open; answered by
    /// [`Event::PartOpened`]. Before that no other part may be opened: parts learn of each other one at a time.
    OpenPart { request: RequestId, room: RoomId, others: Vec<WorkerIndex> },
    /// Removes a room, or its part on this worker, with all participants that live there.
    CloseRoom { room: RoomId },
    /// Adds a participant and answers its offer by [`Event::Negotiated`]. If the offer fails, nobody was added.
    Join {
        request: RequestId,
        room: RoomId,
        participant: ParticipantId,
        settings: ParticipantSettings,
        negotiation: Negotiation,
    },
    /// A further offer of a participant, with the same answer. New ICE credentials mean an ICE restart.
    Negotiate { request: RequestId, participant: ParticipantId, negotiation: Negotiation },
    /// Removes a participant and all that it published.
    Leave { participant: ParticipantId },
    /// Lets the media that arrives on `mid` be `track`, answered by [`Event::Published`].
    Publish { request: RequestId, participant: ParticipantId, track: TrackId, mid: Mid, source: Source, muted: bool },
    /// Ends a publication at once; its m-line may be published again.
    Unpublish { participant: ParticipantId, track: TrackId },
    /// A muted track is not forwarded, whatever arrives.
    Mute { participant: ParticipantId, track: TrackId, muted: bool },
    /// The participant wants, or no longer wants, these tracks.
    Subscribe { participant: ParticipantId, tracks: Vec<TrackId>, wanted: bool },
    /// Replaces the participant's wishes of who is in which slot; the other slots fill by policy.
    PinSlots { participant: ParticipantId, pins: Vec<(SlotIndex, ParticipantId)> },
    /// The participant has applied all slot changes up to this revision.
    AckSlots { participant: ParticipantId, revision: u64 },
    /// How the participant wants these tracks from now on. Unknown tracks are left out.
    Configure { participant: ParticipantId, tracks: Vec<(TrackId, SubscriptionSettings)> },
    /// Asks for [`Event::Explained`].
    Explain { request: RequestId, room: RoomId },
    /// Asks for [`Event::Stats`].
    Stats { request: RequestId, participant: ParticipantId },
    /// Panics, so that tests see what follows from that. Release builds have no such command.
    #[cfg(debug_assertions)]
    Panic,
}

impl Command {
    /// Its name, without what it carries.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OpenRoom { .. } => "OpenRoom",
            Self::OpenPart { .. } => "OpenPart",
            Self::CloseRoom { .. } => "CloseRoom",
            Self::Join { .. } => "Join",
            Self::Negotiate { .. } => "Negotiate",
            Self::Leave { .. } => "Leave",
            Self::Publish { .. } => "Publish",
            Self::Unpublish { .. } => "Unpublish",
            Self::Mute { .. } => "Mute",
            Self::Subscribe { .. } => "Subscribe",
            Self::PinSlots { .. } => "PinSlots",
            Self::AckSlots { .. } => "AckSlots",
            Self::Configure { .. } => "Configure",
            Self::Explain { .. } => "Explain",
            Self::Stats { .. } => "Stats",
            #[cfg(debug_assertions)]
            Self::Panic => "Panic",
        }
    }
}

/// Worker to control plane.
#[derive(Debug)]
pub enum Event {
    /// A worker panicked: all its rooms, their parts and who lived there are gone. What was asked of it before is not answered
    /// any more. It takes new rooms, unless it is out of service.
    RoomsLost { worker: WorkerIndex },
    /// Answers [`Command::Join`] and [`Command::Negotiate`].
    Negotiated { request: RequestId, participant: ParticipantId, result: Result<Box<Answer>, ControlError> },
    /// Answers [`Command::Publish`].
    Published { request: RequestId, participant: ParticipantId, track: TrackId, result: Result<(), ControlError> },
    /// Answers [`Command::OpenPart`].
    PartOpened { request: RequestId },
    /// A participant's transport changed state.
    Connection { participant: ParticipantId, state: ConnectionState },
    /// The participant's slots that changed, with their whole new content. Revisions rise by one per event.
    Slots { participant: ParticipantId, revision: u64, slots: Vec<SlotContent> },
    /// The first media of a track arrived.
    TrackStarted { participant: ParticipantId, track: TrackId, codec: Codec },
    /// `participant` cannot be sent `track`.
    TrackUnavailable { participant: ParticipantId, track: TrackId, reason: UnavailableReason },
    /// A limit was met by what the participant sends of a track; so many packets were dropped because of it since it was told last.
    /// At most once in five seconds for each limit.
    MediaLimited { participant: ParticipantId, track: TrackId, limit: MediaLimit, dropped: u64 },
    /// What the participant is sent of these tracks changed.
    Streams { participant: ParticipantId, streams: Vec<StreamState> },
    /// What anybody takes of a publisher's track changed: what nobody takes may be paused. All its encodings, always.
    Demand { participant: ParticipantId, track: TrackId, encodings: Vec<EncodingDemand> },
    /// Who speaks in a room, the loudest first; whoever is not named is silent.
    Speakers { room: RoomId, speakers: Vec<Speaker> },
    /// The connection qualities in a room that changed.
    Qualities { room: RoomId, qualities: Vec<(ParticipantId, ConnectionQuality)> },
    /// A limit of data channels cost a participant something since it was last told, at most once a second.
    DataLimited { participant: ParticipantId, limit: DataLimit, lost: u64 },
    /// Answers [`Command::Explain`]; `None` if the room is gone.
    Explained { request: RequestId, explanation: Option<Box<RoomExplanation>> },
    /// Answers [`Command::Stats`]; `None` if the participant is gone.
    Stats { request: RequestId, participant: ParticipantId, stats: Option<Box<ParticipantStats>> },
}

impl Event {
    /// The participant that the event is for; `None`: a whole room, or whoever asked.
    pub const fn participant(&self) -> Option<ParticipantId> {
        match self {
            Self::Negotiated { participant, .. }
            | Self::Published { participant, .. }
            | Self::Connection { participant, .. }
            | Self::Slots { participant, .. }
            | Self::TrackStarted { participant, .. }
            | Self::TrackUnavailable { participant, .. }
            | Self::MediaLimited { participant, .. }
            | Self::Streams { participant, .. }
            | Self::Demand { participant, .. }
            | Self::DataLimited { participant, .. }
            | Self::Stats { participant, .. } => Some(*participant),
            Self::RoomsLost { .. }
            | Self::PartOpened { .. }
            | Self::Speakers { .. }
            | Self::Qualities { .. }
            | Self::Explained { .. } => None,
        }
    }

    /// Whether a command waits for it.
    pub const fn is_reply(&self) -> bool {
        matches!(
            self,
            Self::Negotiated { .. }
                | Self::Published { .. }
                | Self::PartOpened { .. }
                | Self::Stats { .. }
                | Self::Explained { .. }
        )
    }
}

/// The state of a participant's transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// DTLS is done: media flows.
    Connected,
    /// No authenticated STUN check for 30 s (RFC 7675): nothing is sent until one comes.
    Interrupted,
    /// A check came after an interruption.
    Resumed,
    /// The transport is over; the participant must be removed. The text says why, for people.
    Failed(String),
}

/// What a slot shows from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotContent {
    /// Which slot.
    pub slot: SlotIndex,
    /// Whom it shows; `None`: nobody.
    pub participant: Option<ParticipantId>,
    /// The track on its audio m-line.
    pub audio: Option<SlotTrack>,
    /// The track on its video m-line.
    pub video: Option<SlotTrack>,
}

/// A track on an m-line of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotTrack {
    /// The track.
    pub track: TrackId,
    /// The RTP timestamp of the last packet that was sent on this m-line before the change. Frames with a later one
    /// show `track`. `None`: nothing was ever sent here, all frames show it.
    pub after: Option<u32>,
}

/// Why a subscriber cannot be sent a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnavailableReason {
    /// Its offer has no such codec.
    Codec,
}

/// Which limit of data channels was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataLimit {
    /// The participant sends more than it may: lossy messages were dropped, reliable ones had to wait.
    Rate,
    /// The participant reads too slowly: it did not get reliable messages.
    Reading,
}

/// A limit on what a participant sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaLimit {
    /// Bits per second of a track.
    TrackBitrate,
    /// Packets per second of a track.
    TrackPackets,
    /// Bits per second of all tracks of a participant.
    PublisherBitrate,
    /// Packets per second of all of them.
    PublisherPackets,
    /// Bytes of a packet: most paths do not carry it, and what is larger than 2,048 is dropped.
    PacketSize,
}

impl MediaLimit {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::TrackBitrate, Self::TrackPackets, Self::PublisherBitrate, Self::PublisherPackets, Self::PacketSize];
}

impl fmt::Display for MediaLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TrackBitrate => "track_bitrate",
            Self::TrackPackets => "track_packets",
            Self::PublisherBitrate => "publisher_bitrate",
            Self::PublisherPackets => "publisher_packets",
            Self::PacketSize => "packet_size",
        })
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The room or participant is gone, or never was.
    #[error("the room or participant is gone")]
    Gone,
    /// The participant is there already.
    #[error("the participant has joined already")]
    AlreadyJoined,
    /// The worker sheds all that it can and lets nobody new in; try again later.
    #[error("the media worker is overloaded")]
    Overloaded,
    /// The offer cannot be answered; the session is as it was.
    #[error(transparent)]
    Negotiation(#[from] NegotiationError),
    /// The slot layout does not fit the offer.
    #[error("slot layout: {0}")]
    SlotLayout(String),
    /// No `sendonly` or `sendrecv` m-line with that MID was negotiated, or another track uses it.
    #[error("no free m-line with mid {0} that sends")]
    NoSuchMid(Mid),
    /// The m-line's kind is not the source's.
    #[error("m-line {0} is not of the track's kind")]
    KindMismatch(Mid),
}

/// Statistics of one participant's media.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct ParticipantStats {
    /// `SRTP_AEAD_AES_256_GCM` and the like, once DTLS is done.
    pub srtp_profile: Option<&'static str>,
    /// `udp` or `tcp`, once a path was selected.
    pub protocol: Option<&'static str>,
    /// The smoothed round-trip time of STUN or RTCP, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Packets that it sent beyond a limit and that were dropped.
    pub limited: u64,
    /// One per encoding that arrived.
    pub inbound: Vec<InboundStats>,
    /// One per slot m-line that was ever used.
    pub outbound: Vec<OutboundStats>,
}

/// Statistics of one incoming encoding.
#[derive(Debug, Clone, serde::Serialize)]
pub struct InboundStats {
    /// The publication.
    pub track: TrackId,
    /// The encoding's RID, where there is one.
    pub rid: Option<String>,
    /// The codec's name.
    pub codec: &'static str,
    /// Packets, without duplicates and retransmissions.
    pub packets: u64,
    /// Bytes of RTP payload.
    pub bytes: u64,
    /// Packets that never arrived, as RFC 3550 counts.
    pub lost: i64,
    /// Interarrival jitter in milliseconds.
    pub jitter_ms: f64,
    /// NACKed sequence numbers.
    pub nacks: u64,
    /// Keyframe requests sent.
    pub plis: u64,
}

/// Statistics of one outgoing stream.
#[derive(Debug, Clone, serde::Serialize)]
pub struct OutboundStats {
    /// The slot.
    pub slot: SlotIndex,
    /// The track that it shows now.
    pub track: Option<TrackId>,
    /// Packets, without retransmissions.
    pub packets: u64,
    /// Bytes of RTP payload.
    pub bytes: u64,
    /// Retransmitted packets.
    pub retransmitted: u64,
    /// Loss that the receiver reported last, 0 to 1.
    pub fraction_lost: f64,
}

impl Source {
    /// The kind of media that this source has.
    pub const fn kind(self) -> TrackKind {
        match self {
            Self::Camera | Self::Screen => TrackKind::Video,
            Self::Microphone | Self::ScreenAudio => TrackKind::Audio,
        }
    }
}

impl fmt::Display for UnavailableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec => f.write_str("codec"),
        }
    }
}
