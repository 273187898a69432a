//! One participant's connection: ICE-lite, DTLS, SRTP and SCTP over one bundled 5-tuple (RFC 8834, RFC 8835).

pub mod certificate;
mod credentials;
mod demux;
pub mod srtp;
pub mod stun;

pub use certificate::{Certificate, CertificateError};
pub use credentials::{stun_username, worker_of_ufrag};
pub use demux::{Class, classify};
pub use srtp::{SrtpError, SrtpProfile};

use std::net::SocketAddr;

/// What carries the datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP with the framing of RFC 4571.
    Tcp,
}

/// A 5-tuple. `local` is the address that the datagram was sent to, not a wildcard; answers leave from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    pub protocol: Protocol,
    pub local: SocketAddr,
    pub remote: SocketAddr,
}
