//! One member of a room, however it joined.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::sync::watch;

use super::{Role, janus, madang, mediasoup};
use crate::publisher::Publisher;
use crate::stamp::Kind;
use crate::synthetic::{Engine, Id, Progress};
use crate::viewer::{JoinTimes, Viewer};
use crate::whip;

/// What keeps a session with the server.
pub enum Signalling {
    /// WHIP or WHEP.
    Whip(whip::Session),
    /// Madang's WebSocket.
    Madang(madang::Session),
    /// Janus' WebSocket.
    Janus(janus::Session),
    /// mediasoup's HTTP API.
    Mediasoup(mediasoup::Session),
}

/// One connection of a synthetic member.
pub struct Part {
    /// Its number in the engine.
    pub id: Id,
    /// How far it is.
    pub progress: watch::Receiver<Progress>,
    /// What keeps it on the server.
    pub signalling: Signalling,
}

impl Part {
    /// Waits for ICE and DTLS.
    pub(super) async fn connected(&self, within: Duration) -> anyhow::Result<()> {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|now| now.connected.is_some() || now.failed.is_some());
        let reached = tokio::time::timeout(within, reached).await.context("connecting took too long")?;
        match &reached.context("its thread has ended")?.failed {
            Some(reason) => bail!("{reason}"),
            None => Ok(()),
        }
    }
}

/// Somebody in a room.
pub struct Member {
    /// Which.
    pub room: usize,
    /// What it does there.
    pub role: Role,
    pub(super) began: Instant,
    /// Connections of a synthetic member, the receiving one first.
    pub parts: Vec<Part>,
    /// Of a member of the `webrtc` crate.
    pub publisher: Option<Publisher>,
    /// Of a member of the `webrtc` crate.
    pub viewer: Option<Viewer>,
}

impl Member {
    /// Whether its peers are those of the `webrtc` crate.
    pub fn is_webrtc(&self) -> bool {
        self.parts.is_empty()
    }

    /// How long its join took, from the first byte of signalling.
    pub fn join_times(&self) -> JoinTimes {
        if let Some(viewer) = &self.viewer {
            return viewer.join_times();
        }
        let since = |then: Instant| then.saturating_duration_since(self.began);
        let Some(part) = self.parts.first() else {
            return JoinTimes { connected: Duration::ZERO, first_packet: None, first_keyframe: None };
        };
        let progress = part.progress.borrow();
        JoinTimes {
            connected: progress.connected.map(since).unwrap_or_default(),
            first_packet: progress.first_packet.map(since),
            first_keyframe: progress.first_keyframe.map(since),
        }
    }

    /// The SRTP profile that it receives with, by its name in RFC 5764 and RFC 7714.
    pub async fn srtp_profile(&self) -> Option<String> {
        match (&self.viewer, self.parts.first()) {
            (Some(viewer), _) => viewer.peer.srtp_profile().await,
            (None, Some(part)) => part.progress.borrow().profile.map(|profile| profile.name().to_owned()),
            (None, None) => None,
        }
    }

    /// Why it is over, if it is.
    pub fn failure(&self) -> Option<String> {
        let stopped = self.publisher.as_ref().is_some_and(Publisher::has_failed);
        let failed = self.parts.iter().find_map(|part| part.progress.borrow().failed.clone());
        failed.or_else(|| stopped.then(|| "a publisher could not go on sending".to_owned()))
    }

    /// Waits until the server ends its session, and returns the reason. `None`: it gave none, or has no way to.
    pub async fn ended(&self) -> Option<String> {
        match &self.parts.first()?.signalling {
            Signalling::Madang(session) => session.ended().await,
            _ => None,
        }
    }

    /// Mutes or unmutes a track, towards the server and in fact.
    pub fn set_muted(&self, engine: &Engine, kind: Kind, muted: bool) -> anyhow::Result<()> {
        for part in &self.parts {
            if let Signalling::Madang(session) = &part.signalling {
                session.mute(kind, muted);
            }
            engine.set_muted(part.id, kind, muted)?;
        }
        Ok(())
    }

    /// Leaves. A server that fails at that has still been measured.
    pub async fn leave(self, engine: &Engine) {
        for part in self.parts {
            match part.signalling {
                Signalling::Whip(session) => drop(session.delete().await),
                Signalling::Madang(session) => session.leave().await,
                Signalling::Janus(session) => session.leave().await,
                Signalling::Mediasoup(session) => session.leave().await,
            }
            let _ = engine.remove(part.id);
        }
        if let Some(viewer) = self.viewer {
            let _ = viewer.leave().await;
        }
        if let Some(publisher) = self.publisher {
            let _ = publisher.stop().await;
        }
    }
}
