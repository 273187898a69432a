//! The control plane of Madang: rooms, participants, the WebSocket protocol, WHIP/WHEP, tokens.

pub mod error;
pub mod protocol;
