//! A participant as the core sees it: its transport, and where in which room it is.

use std::net::SocketAddr;

use arrayvec::ArrayVec;

use crate::id::ParticipantId;
use crate::router::MemberIndex;
use crate::sdp::{IceCredentials, Negotiator};
use crate::transport::{Path, Protocol, Transport};

use super::message::{Mailbox, Quota};
use super::train::OpenTrain;

/// Remote addresses from which a participant's packets are taken. The oldest one makes room for a new one; a client
/// checks a handful of pairs and then uses one.
const MAX_REMOTES: usize = 8;

/// A participant.
#[derive(Debug)]
pub(super) struct Peer {
    pub id: ParticipantId,
    pub room: usize,
    pub member: MemberIndex,
    pub transport: Transport,
    pub negotiator: Negotiator,
    /// Ours, as the last answer gave them.
    pub ice: IceCredentials,
    /// The client's, as the last offer gave them.
    pub remote_ice: IceCredentials,
    /// Our user fragments under which it is known: the one before a restart stays until the new one is used.
    pub ufrags: ArrayVec<String, 2>,
    pub remotes: ArrayVec<(Protocol, SocketAddr), MAX_REMOTES>,
    pub open_train: OpenTrain,
    pub can_publish_data: bool,
    /// What it sends on data channels.
    pub quota: Quota,
    /// What it is sent there.
    pub mailbox: Mailbox,
    /// It has an m-line on which it may send media.
    pub sends_media: bool,
}

impl Peer {
    /// Where its media goes, if it may be sent any.
    pub(super) fn sending_path(&self) -> Option<Path> {
        self.transport.path().filter(|_| self.transport.may_send())
    }

    /// Takes packets from a remote address whose STUN check was authentic. Returns the one that made room for it.
    pub(super) fn admit_remote(&mut self, remote: (Protocol, SocketAddr)) -> Option<(Protocol, SocketAddr)> {
        if self.remotes.contains(&remote) {
            return None;
        }
        let in_use = self.transport.path().map(|path| (path.protocol, path.remote));
        let oldest = self.remotes.iter().position(|known| Some(*known) != in_use);
        let forgotten = if self.remotes.is_full() { oldest.map(|oldest| self.remotes.remove(oldest)) } else { None };
        self.remotes.push(remote);
        forgotten
    }
}
