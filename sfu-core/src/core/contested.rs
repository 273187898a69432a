//! Packets from an address that two participants claim; [`claims`](super::claims) says why there are two.

use std::time::Instant;

use smallvec::SmallVec;

use super::Core;
use crate::router::PeerIndex;
use crate::transport::{Class, Path};

/// Of what arrives; longer ones are copied to the heap.
const TYPICAL: usize = 2_048;

impl Core {
    /// Hands a packet to the one whose keys it was made with. Nothing is lost by trying the holder first: a transport ignores what
    /// does not authenticate. But a handshake that began anew is plaintext, and the holder's is done.
    #[cold]
    pub(super) fn handle_contested(
        &mut self,
        now: Instant,
        path: &Path,
        class: Class,
        (holder, other): (PeerIndex, PeerIndex),
        data: &mut [u8],
    ) -> bool {
        if class == Class::Dtls && is_plaintext(data) && !self.peers[other.0 as usize].transport.is_connected() {
            return self.handle_packet(now, path, class, other, data);
        }
        // What does not open is overwritten by the attempt.
        let copy: SmallVec<[u8; TYPICAL]> = SmallVec::from_slice(data);
        if self.handle_packet(now, path, class, holder, data) {
            return true;
        }
        data.copy_from_slice(&copy);
        self.handle_packet(now, path, class, other, data)
    }
}

/// A DTLS record of epoch 0 (RFC 6347 section 4.1).
fn is_plaintext(record: &[u8]) -> bool {
    record.get(3..5) == Some(&[0, 0])
}
