//! Whose packets come from which remote address: what is not STUN names nobody.
//!
//! An authentic check lets its participant *claim* the address that it came from. Mostly nobody else does. But one socket may carry a
//! session after another, or two at once, and a member can write the address of somebody else into its own checks. So:
//! - A participant that is sent media at an address *holds* it, whatever others claim. Nobody is turned away by a forged check.
//! - Another claim is kept beside it, and gets plaintext DTLS, which a finished handshake has no use for, and what
//!   does not authenticate as the holder's. So a second session shakes hands at once on the same 5-tuple.
//! - The claimant whose handshake ends holds the address from then on, since no forger sees the server's answers.

use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::router::PeerIndex;
use crate::transport::{Path, Protocol};

/// The remote end of a path.
pub(super) type Remote = (Protocol, SocketAddr);

/// The remote end of `path`.
pub(super) const fn remote_of(path: &Path) -> Remote {
    (path.protocol, path.remote)
}

/// Who uses one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub holder: PeerIndex,
    /// The latest other participant that claimed it.
    pub other: Option<PeerIndex>,
}

/// All addresses from which a worker takes packets.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_remote: HashMap<Remote, Claim>,
}

impl Claims {
    #[inline]
    pub(super) fn of(&self, remote: &Remote) -> Option<Claim> {
        self.by_remote.get(remote).copied()
    }

    /// An authentic check of `peer` came from there. `keeps` tells whether the holder is sent media there.
    pub(super) fn claim(&mut self, peer: PeerIndex, remote: Remote, keeps: impl FnOnce(PeerIndex) -> bool) {
        let claim = self.by_remote.entry(remote).or_insert(Claim { holder: peer, other: None });
        if claim.holder == peer {
            return;
        }
        if keeps(claim.holder) {
            claim.other = Some(peer);
        } else {
            *claim = Claim { holder: peer, other: None };
        }
    }

    /// The handshake of `peer` ended there.
    pub(super) fn prove(&mut self, peer: PeerIndex, remote: Remote) {
        if let Some(claim) = self.by_remote.get_mut(&remote)
            && claim.other == Some(peer)
        {
            *claim = Claim { holder: peer, other: Some(claim.holder) };
        }
    }

    /// `peer` does not use the address any more.
    pub(super) fn release(&mut self, peer: PeerIndex, remote: Remote) {
        let Some(claim) = self.by_remote.get_mut(&remote) else { return };
        if claim.other == Some(peer) {
            claim.other = None;
        } else if claim.holder == peer {
            match claim.other.take() {
                Some(other) => claim.holder = other,
                None => drop(self.by_remote.remove(&remote)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: fn() -> Remote = || (Protocol::Udp, ([10, 0, 0, 1], 1).into());
    const FIRST: PeerIndex = PeerIndex(1);
    const SECOND: PeerIndex = PeerIndex(2);

    #[test]
    fn a_holder_that_is_sent_media_stays_until_another_shows_that_it_is_there() {
        let mut claims = Claims::default();
        claims.claim(FIRST, HERE(), |_| panic!("nobody held it"));
        claims.claim(SECOND, HERE(), |holder| holder == FIRST);
        assert_eq!(claims.of(&HERE()), Some(Claim { holder: FIRST, other: Some(SECOND) }));
        claims.prove(SECOND, HERE());
        assert_eq!(claims.of(&HERE()), Some(Claim { holder: SECOND, other: Some(FIRST) }));
        claims.release(SECOND, HERE());
        assert_eq!(claims.of(&HERE()), Some(Claim { holder: FIRST, other: None }));
        claims.prove(SECOND, HERE());
        claims.release(SECOND, HERE());
        assert_eq!(claims.of(&HERE()).map(|claim| claim.holder), Some(FIRST), "who claims nothing changes nothing");
        claims.claim(SECOND, HERE(), |_| false);
        assert_eq!(claims.of(&HERE()), Some(Claim { holder: SECOND, other: None }), "an idle holder yields");
        claims.release(SECOND, HERE());
        assert_eq!(claims.of(&HERE()), None);
    }
}
