//! `madang-load`: synthetic publishers and viewers that measure what a server can carry.
//!
//! Publishers and viewers are peers of the `webrtc` crate, so that the server is not tested against itself. They speak
//! WHIP and WHEP, so that any server that does can be measured. A run goes through these stages ([`run`]):
//!
//! 1. Publishers connect and send.
//! 2. Viewers join, one after another, and their joins are timed.
//! 3. Once all have seen a keyframe, the measuring window opens: packets sent in it say so in their [`stamp`].
//! 4. The window closes, stragglers arrive, everybody leaves.
//! 5. What was sent and what was authenticated at the viewers becomes a [`report`].
//!
//! A figure is only worth something if it says when it is worth nothing: [`report`] declares a run void when packets
//! were lost, or when this generator and not the server was the limit.

pub mod cli;
pub mod context;
pub mod cpu;
pub mod events;
pub mod fleet;
pub mod media;
pub mod memory;
pub mod peer;
pub mod probe;
pub mod publisher;
pub mod report;
pub mod run;
pub mod scenario;
pub mod stamp;
pub mod stats;
pub mod synthetic;
pub mod tally;
pub mod tap;
pub mod token;
pub mod units;
pub mod viewer;
pub mod whip;
