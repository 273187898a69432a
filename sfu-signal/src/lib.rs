//! The control plane of Madang: rooms, participants, the WebSocket protocol, WHIP/WHEP, tokens.

pub mod config;
mod duration;
pub mod error;
mod negotiation;
pub mod protocol;
