//! A participant as the core sees it: its transport, and where in which room it is.

use arrayvec::ArrayVec;

use crate::id::ParticipantId;
use crate::router::MemberIndex;
use crate::sdp::{IceCredentials, Negotiator};
use crate::transport::{Path, Transport};

use super::message::{Mailbox, Quota};
use super::train::OpenTrain;

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
    /// Our user fragments that its transport answers to; the last is that of [`Self::ice`].
    pub ufrags: ArrayVec<String, 2>,
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
}
