//! How a WebSocket becomes a session's: after a join, and by a resume.
//!
//! The reply and everything after it are queued under the room's lock: no event comes before the snapshot that it
//! builds on, none is missing after it.

use std::time::Instant;

use sfu_core::id::SessionId;

use crate::counters::add;
use crate::error::{ErrorCode, SignalError};
use crate::join::Entered;
use crate::participant::OwnTrack;
use crate::protocol::{ClientLimits, Joined, PROTOCOL_VERSION, Reply, Resumed};
use crate::request::Caller;
use crate::server::Server;
use crate::session::{Link, Outgoing};
use crate::wire::encode_reply;

impl Server {
    /// Answers a join, and lets events follow.
    pub(crate) fn listen(&self, entered: Entered, id: u32, link: &Link) -> Result<Caller, SignalError> {
        let Entered { room, participant, worker, answer, published } = entered;
        let mut state = room.state.lock();
        let member = state.member(participant)?;
        let joined = Joined {
            protocol: PROTOCOL_VERSION,
            session: member.session.id().to_string(),
            secret: member.session.secret().expose(),
            resume_within: u32::try_from(self.config.sessions.resume_grace.as_secs()).unwrap_or(u32::MAX),
            answer,
            ice_servers: self.config.ice_servers.clone(),
            snapshot: room.snapshot(&state, member),
            published: published.iter().filter_map(|track| member.track(*track)).map(OwnTrack::view).collect(),
            limits: self.client_limits(),
        };
        self.snapshot_to(link, encode_reply(id, Reply::Joined(Box::new(joined))))?;
        let member = state.member_mut(participant)?;
        member.session.attach(link.clone());
        member.listening = true;
        let now = Instant::now();
        for event in std::mem::take(&mut member.early) {
            member.session.emit(&event, now);
        }
        drop(state);
        Ok(Caller { room, id: participant, worker })
    }

    /// Continues a session on another WebSocket.
    pub(crate) fn resume(
        &self,
        id: u32,
        session: &str,
        secret: &str,
        last_seq: u64,
        link: &Link,
    ) -> Result<Caller, SignalError> {
        let session: SessionId = session.parse().map_err(|_| ErrorCode::SessionGone)?;
        let (room, participant) =
            self.sessions.get(&session).map(|entry| entry.value().clone()).ok_or(ErrorCode::SessionGone)?;
        let mut state = room.state.lock();
        let member = state.member(participant)?;
        if !member.listening || !member.session.secret().matches(secret) {
            return Err(ErrorCode::SessionGone.into());
        }
        // What does not fit the queue is replaced by a snapshot, which does.
        let missed = member.session.missed(last_seq).filter(|missed| link.has_room_for(missed));
        let snapshot = missed.is_none().then(|| room.snapshot(&state, member));
        let resumed = Resumed { seq: member.session.seq(), snapshot };
        self.snapshot_to(link, encode_reply(id, Reply::Resumed(Box::new(resumed))))?;
        if !missed.into_iter().flatten().all(|event| link.send(event)) {
            return Err(self.cut_slow(link));
        }
        let whole = state.whole();
        let member = state.member_mut(participant)?;
        let (worker, session) = (member.worker, &mut member.session);
        session.attach(link.clone());
        session.catch_up(&whole);
        drop(state);
        add(&self.counters.resumes, 1);
        tracing::info!(%participant, room = %room.id, "session resumed");
        Ok(Caller { room, id: participant, worker })
    }

    fn snapshot_to(&self, link: &Link, text: String) -> Result<(), SignalError> {
        if link.send(Outgoing::Snapshot(text)) { Ok(()) } else { Err(self.cut_slow(link)) }
    }

    /// Ends a WebSocket that has no room for what must come without a gap. Nothing is attached to it: its session may be resumed.
    fn cut_slow(&self, link: &Link) -> SignalError {
        add(&self.counters.slow_clients, 1);
        link.cut();
        SignalError::new(ErrorCode::RateLimited, "read what was sent before asking for more")
    }

    /// A WebSocket ended: its session waits for another, if this was its last.
    pub(crate) fn connection_lost(&self, caller: &Caller, link: &Link) {
        let mut state = caller.room.state.lock();
        if let Ok(member) = state.member_mut(caller.id)
            && member.session.detach(link.id(), Instant::now())
        {
            tracing::info!(participant = %caller.id, room = %caller.room.id, "websocket lost");
        }
    }

    fn client_limits(&self) -> ClientLimits {
        let limits = &self.config.limits;
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        ClientLimits {
            message_bytes: number(limits.message_bytes),
            messages_per_second: limits.messages_per_second,
            tracks: number(limits.tracks_per_participant),
            media: number(limits.media_per_offer),
            data_message_bytes: limits.data_message_bytes,
        }
    }
}
