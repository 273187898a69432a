//! A viewer: one WHEP session that receives every publisher's audio and video and counts it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

use crate::context::{CONNECT_TIMEOUT, Context};
use crate::peer::Peer;
use crate::tally::Tally;
use crate::tap::{Counting, Tapped};
use crate::token::Role;
use crate::whip::Session;

/// What a viewer asks for: so many receiving m-lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// Of audio.
    pub audio: usize,
    /// Of video.
    pub video: usize,
}

/// How long a join took, counted from the POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinTimes {
    /// Until ICE and DTLS were done.
    pub connected: Duration,
    /// Until the first authenticated packet.
    pub first_packet: Option<Duration>,
    /// Until the first keyframe was complete.
    pub first_keyframe: Option<Duration>,
}

/// A viewer that is connected.
pub struct Viewer {
    /// Its connection.
    pub peer: Peer,
    session: Session,
    tally: Arc<Mutex<Tally>>,
    posted: Instant,
    connected: Instant,
}

impl Viewer {
    /// Joins as viewer number `index`.
    pub async fn join(context: &Context, index: usize, lines: Lines) -> anyhow::Result<Self> {
        let identity = format!("viewer-{index}");
        let tally = Arc::new(Mutex::new(Tally::new(context.epoch)));
        let peer = Peer::bind(context.local, Tapped::new(Counting::new(Arc::clone(&tally)))).await?;
        // In pairs, as a conference has them; what is left over follows.
        for line in 0..lines.audio.max(lines.video) {
            if line < lines.audio {
                receive(&peer, RtpCodecKind::Audio).await?;
            }
            if line < lines.video {
                receive(&peer, RtpCodecKind::Video).await?;
            }
        }
        let offer = peer.offer().await?;
        let token = context.mint.mint(&identity, Role::Viewer)?;
        let posted = Instant::now();
        let session = context.whep.post(offer, token).await?;
        peer.accept(&session.answer).await?;
        let connected = peer.connected(CONNECT_TIMEOUT).await.with_context(|| identity.clone())?;
        Ok(Self { peer, session, tally, posted, connected })
    }

    /// What it has received so far.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long its join took.
    pub fn join_times(&self) -> JoinTimes {
        let tally = self.tally();
        let since = |then: Instant| then.saturating_duration_since(self.posted);
        JoinTimes {
            connected: since(self.connected),
            first_packet: tally.first_packet.map(since),
            first_keyframe: tally.first_keyframe.map(since),
        }
    }

    /// Ends the session.
    pub async fn leave(self) -> anyhow::Result<()> {
        let deleted = self.session.delete().await;
        self.peer.connection.close().await?;
        deleted
    }
}

async fn receive(peer: &Peer, kind: RtpCodecKind) -> anyhow::Result<()> {
    let init =
        RTCRtpTransceiverInit { direction: RTCRtpTransceiverDirection::Recvonly, ..RTCRtpTransceiverInit::default() };
    peer.connection.add_transceiver_from_kind(kind, Some(init)).await?;
    Ok(())
}
