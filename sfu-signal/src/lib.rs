//! The control plane of Madang: rooms, participants, the WebSocket protocol, WHIP/WHEP, tokens.
//!
//! [`Server`] is driven by three things: HTTP requests through [`Server::router`], the media plane's events and time
//! through [`Server::run`], and [`Server::shutdown`]. It reaches the media plane through [`MediaPlane`] and knows
//! nothing of RTP; SDP is read and written by `sfu_core::sdp`.
//!
//! ```text
//! ws, whip, whep ──► join, request ──► room (state, events) ──► session ──► ws
//!                         │                 ▲
//!                         ▼                 │
//!                       media ──► worker ──► dispatch
//! ```
//!
//! Nothing that a client sends can panic; every queue, buffer and text that a client can grow has a limit.

mod adaptation;
mod body;
pub mod config;
mod counters;
mod dispatch;
pub mod duration;
pub mod error;
mod explain;
pub mod forwarded;
#[cfg(feature = "test-support")]
pub mod fuzzing;
mod http;
mod join;
mod listen;
pub mod listener;
mod media;
mod negotiation;
mod participant;
pub mod protocol;
mod request;
mod resource;
mod room;
mod server;
mod session;
pub mod tokens;
mod upgrade;
mod whep;
mod whip;
mod wire;
mod ws;

pub use config::SignalConfig;
pub use counters::{JoinResult, Snapshot as CounterSnapshot};
pub use media::{Busy, MediaPlane};
pub use server::Server;
pub use wire::decode;
