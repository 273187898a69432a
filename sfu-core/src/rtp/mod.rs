//! RTP packets, header extensions and payload descriptors, read without copying (RFC 3550, RFC 8285).

mod extension;

pub use extension::{Extension, ExtensionMap};
