//! Session descriptions of real browsers, read and answered; fixtures/sdp/README.md says where they come from.

#[path = "sdp/answers.rs"]
mod answers;
#[path = "sdp/clients.rs"]
mod clients;
#[path = "sdp/errors.rs"]
mod errors;
#[path = "sdp/hostile.rs"]
mod hostile;
#[path = "sdp/interop.rs"]
mod interop;
#[path = "sdp/reoffers.rs"]
mod reoffers;
#[path = "sdp/support.rs"]
mod support;
