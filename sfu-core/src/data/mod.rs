//! Messages on data channels: the envelope that clients and server share. What is inside belongs to the clients.

mod envelope;

pub use envelope::{Destinations, Envelope, EnvelopeError, Kind};
