//! One function per fuzz target: bytes as a peer may send them, given to what reads them.
//!
//! `fuzz/` calls these under libFuzzer; [`replay`] calls them with the files of `fuzz/corpus` and mutations of these in
//! `cargo test`. A target fails by a panic, which is why the targets assert what must hold for any bytes: that lengths
//! add up, that what was read is written alike, that an error changed nothing.
//!
//! Invariant: a target depends on its bytes alone, but for what the DTLS and SCTP libraries draw for themselves.

mod dtls;
mod input;
mod media;
mod replay;
mod room;
mod sdp;

use std::sync::LazyLock;
use std::time::Instant;

pub use crate::net::fuzz_framing as framing;
pub use crate::transport::{fuzz_sctp as sctp, fuzz_stun as stun};
pub use dtls::dtls;
pub(crate) use input::Input;
pub use media::{envelope, extensions, payload, rtcp, rtp};
pub use replay::replay;
pub use room::room;
pub use sdp::sdp;

use crate::transport::Certificate;

/// A function under a name that `fuzz/fuzz_targets` and `fuzz/corpus` use, too.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its file in `fuzz/fuzz_targets` and its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// How many mutations of each corpus file a test tries: fewer where one costs more.
    pub mutations: u32,
}

/// Every target of this crate.
pub const TARGETS: [Target; 11] = [
    Target { name: "dtls", run: dtls, mutations: 40 },
    Target { name: "envelope", run: envelope, mutations: 10_000 },
    Target { name: "extensions", run: extensions, mutations: 5_000 },
    Target { name: "framing", run: framing, mutations: 2_500 },
    Target { name: "payload", run: payload, mutations: 5_000 },
    Target { name: "room", run: room, mutations: 200 },
    Target { name: "rtcp", run: rtcp, mutations: 5_000 },
    Target { name: "rtp", run: rtp, mutations: 5_000 },
    Target { name: "sctp", run: sctp, mutations: 500 },
    Target { name: "sdp", run: sdp, mutations: 60 },
    Target { name: "stun", run: stun, mutations: 2_500 },
];

/// When every run begins. What happens is a matter of the time since.
pub(crate) fn start() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "an Instant has no other beginning; read once")]
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}

/// Making one costs more than most runs.
pub(crate) fn certificate() -> &'static Certificate {
    static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().expect("keys can be made"));
    &CERTIFICATE
}
