//! Messages on data channels: the envelope that clients and server share. What is inside belongs to the clients.

mod envelope;

pub use envelope::{Destinations, Envelope, EnvelopeError, Kind};

/// What keeping a message takes beyond its bytes: the queue's entry, and what SCTP knows of a chunk.
const OVERHEAD: usize = 256;

/// What a message of `len` bytes counts in a queue that is bounded in bytes, so that many small ones cost no more than few large.
pub const fn cost(len: usize) -> usize {
    len + OVERHEAD
}
