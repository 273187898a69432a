//! The whole core in virtual time: clients that check, shake hands, seal and open, without sockets.

#[path = "core/adaptation.rs"]
mod adaptation;
#[path = "core/admission.rs"]
mod admission;
#[path = "core/data.rs"]
mod data;
#[path = "core/hostile.rs"]
mod hostile;
#[path = "core/media.rs"]
mod media;
#[path = "core/paths.rs"]
mod paths;
#[path = "core/presence.rs"]
mod presence;
#[path = "core/relay.rs"]
mod relay;
#[path = "core/session.rs"]
mod session;
mod support;
#[path = "core/svc.rs"]
mod svc;
