//! RTP packets, header extensions and payload descriptors, read without copying (RFC 3550, RFC 8285).

/// The header extensions' ids of one m-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtensionMap {}
