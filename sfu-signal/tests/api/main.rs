//! The control plane from outside: WebSocket and HTTP clients against a real listener, over a media plane that only
//! pretends.

mod adaptation;
mod doors;
mod failing;
mod fake_media;
mod harness;
mod limits;
mod privacy;
mod refusals;
mod resume;
mod room;
mod standard;
mod strangers;
