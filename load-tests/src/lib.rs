//! `madang-load`: synthetic participants that measure what a server can carry, and whether it carries it well.
//!
//! Most participants are light ([`synthetic`]), a share are peers of the `webrtc` crate ([`peer`]), so that the server is
//! not tested against itself alone. They join by Madang's own protocol, by WHIP and WHEP, Janus' VideoRoom or
//! mediasoup's parameters ([`fleet`]). A [`scenario`] says who, what and when; a [`run`] goes through these stages:
//!
//! 1. Publishers connect and send; the others join, and their joins are timed.
//! 2. Once all have seen a keyframe, the measuring window opens: packets sent in it say so in their [`stamp`].
//! 3. While it is open, [`events`] happen, and a [`probe`] reads counters, CPU and memory second by second.
//! 4. The window closes, stragglers arrive, everybody leaves.
//! 5. What was sent and what was authenticated at the receivers becomes a [`report`].
//!
//! A figure is only worth something if it says when it is worth nothing: a report declares a run void when packets were
//! lost, or when this generator and not the server was the limit. [`versus`] sets servers side by side in turns, among
//! them the [`baseline`]s; [`goals`] measures what is no comparison of runs, [`hostile`] what one bad member costs; [`soak`]
//! wears a server out; [`publish`] writes tables into documents.

pub mod baseline;
pub mod cli;
pub mod clip;
pub mod context;
pub mod cpu;
pub mod events;
pub mod fleet;
pub mod goals;
pub mod hostile;
pub mod media;
pub mod memory;
pub mod peer;
pub mod probe;
pub mod process;
pub mod publish;
pub mod publisher;
pub mod report;
pub mod run;
pub mod scenario;
pub mod soak;
pub mod stamp;
pub mod stats;
pub mod synthetic;
pub mod tally;
pub mod tap;
pub mod token;
pub mod units;
pub mod versus;
pub mod viewer;
pub mod whip;
