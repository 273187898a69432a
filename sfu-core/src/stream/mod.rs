//! What is known about single RTP streams: pure state, driven by packets and by the time that the caller gives.
//!
//! | Incoming, per encoding | Outgoing, per stream | Per participant |
//! |---|---|---|
//! | [`PacketRing`]: the last packets, shared by all subscriptions | [`SendHistory`]: output number → packet in a ring | [`TwccRecorder`]: arrival times for the sender's bandwidth estimation |
//! | [`ReceiveStats`]: loss, jitter, report blocks | [`SendStats`]: sender reports, round-trip time, reported loss | |
//! | [`NackTracker`]: what is missing and when to ask | | |
//! | [`SourceClock`]: its RTP clock against the publisher's NTP clock, and that against ours | | |
//!
//! The order for an incoming packet: [`TwccRecorder::record`]; [`ReceiveStats::on_packet`] extends the sequence number
//! (a packet unwrapped from RTX takes [`ReceiveStats::extend`] instead, since it does not count as received); then
//! [`NackTracker::on_packet`] says whether it is new; then [`PacketRing::insert`]. These four and
//! [`SendHistory::insert`] run for every packet: O(1), and without allocation once they have grown to the stream's rate.

mod history;
mod nack;
mod ntp;
mod receive;
mod ring;
mod send;
mod source_clock;
mod stored;
mod twcc;

pub use history::{Descriptor, Epoch, SendHistory};
pub use nack::{MAX_NACKS, NackTracker};
pub use ntp::Ntp;
pub use receive::{Arrival, ReceiveStats};
pub use ring::{MAX_STORED, PacketRing, RingIndex, RingLimits};
pub use send::SendStats;
pub use source_clock::{Offset, SourceClock};
pub use stored::{PacketMeta, Stored, StoredExtensions};
pub use twcc::TwccRecorder;
