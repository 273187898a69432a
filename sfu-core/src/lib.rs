//! The media plane of Madang: it forwards RTP between the members of rooms without decoding it.
//!
//! # The contract
//!
//! Everything outside [`net`] is sans-IO: it never reads a clock, opens a socket, spawns a task or draws from a
//! global RNG. One [`Core`] holds the rooms of one worker and is driven by whoever owns the sockets:
//!
//! 1. [`Core::handle_datagram`], [`Core::handle_command`] and [`Core::handle_timeout`] tell it what happened and *when*.
//! 2. [`Core::transmits`] lists the trains of datagrams to send; [`Core::clear_transmits`] once they are sent.
//! 3. [`Core::poll_event`] returns what the control plane must know, until `None`.
//! 4. [`Core::poll_timeout`] returns when `handle_timeout` wants to be called next.
//!
//! After every call of 1, do 2 to 4 (a batch of datagrams may share one round of them). `now` never goes backwards.
//! The same calls with the same seed give the same outputs, except what the DTLS and SCTP libraries draw for themselves.
//!
//! # The road of a packet
//!
//! datagram → [`transport`] (demux, SRTP opened in place) → [`stream`] (statistics, NACK, the ring) →
//! [`router`] (publication → subscription → munger) → [`transport`] again (sealed straight into a train) → [`net`].
//! Nothing on this road allocates, locks, awaits or logs in the steady state; `benches/forward.rs` proves it.
//!
//! # Panics
//!
//! Nothing that a peer sends can panic: parsers return typed errors, and what is wrong is counted and dropped.
//! A panic means that this crate broke an invariant of its own; each `expect` names the invariant.

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod alloc;
pub mod audio;
pub mod bwe;
pub mod config;
pub mod control;
mod core;
pub mod data;
#[cfg(any(test, feature = "test-support"))]
pub mod fuzzing;
pub mod id;
pub mod layers;
pub mod limiter;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the one place with clocks, sockets and threads"
)]
pub mod net;
pub mod overload;
pub mod pacer;
pub mod prefetch;
pub mod relay;
pub mod router;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod stream;
pub mod transport;
pub mod unit;

pub use crate::core::{ClockAnchor, Core, Counters, Transmit};
