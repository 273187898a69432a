//! Rooms: whose packets go to whom, and as what.
//!
//! A packet goes `Member` (the publisher's receiving m-lines, [`receiver`]) → [`publication`] → every [`line`] that is
//! subscribed to it (layer, [`munger`], history) → [`Outbox`]. Who is shown in which slot is decided by [`assignment`].
//!
//! The router works on plaintext: it knows neither SRTP nor paths, so that whole rooms are simulated in virtual time
//! without a handshake. It owns no clock and draws numbers only from the RNG that it is given.

mod admission;
pub mod allocation;
pub mod assignment;
pub mod catalog;
mod concerns;
pub mod connection_quality;
mod demand;
pub mod downlink;
pub mod encoding;
mod explain;
pub mod feedback;
pub mod keyframe;
mod layering;
pub mod layout;
pub mod line;
pub mod member;
pub mod member_set;
pub mod munger;
pub mod numbering;
pub mod packet;
mod part;
pub mod presence;
pub mod publication;
pub mod receiver;
pub mod redundancy;
mod release;
pub mod resend;
pub mod room;
pub mod sent;
mod shedding;
mod slots;
mod speakers;
pub mod stage;

pub use demand::Taken;
pub use downlink::Class;
pub use layout::{LayoutError, PlannedLine};
pub use packet::{MediaPacket, OutPacket, Outbox, Refused};
pub use part::{Arrived, Part};
pub use room::Room;

/// A member's place in its room; used again after it left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberIndex(pub u32);

/// A publication's place in its room; used again after it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicationIndex(pub u32);

/// Whose transport carries a member's packets: chosen by the owner of the transports, meaningless to the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerIndex(pub u32);

impl PeerIndex {
    /// Of a stand-in, which has no transport: nothing is ever sent to it.
    pub const NONE: Self = Self(u32::MAX);
}
