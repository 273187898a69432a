//! A plain forwarder on the `webrtc` crate, as its `broadcast` example is written: each packet of a remote track goes to
//! one local track per viewer. NACK, reports and transport-wide feedback are the crate's interceptors'.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use async_trait::async_trait;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::Server;
use crate::peer::{self, Peer};
use crate::tap::{Passing, Tapped};

/// A viewer's track.
struct Line {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
}

/// What all sessions share.
#[derive(Default)]
struct Shared {
    /// By viewer's session: audio, and video.
    lines: Mutex<HashMap<u64, [Option<Arc<Line>>; 2]>>,
    /// Video tracks of publishers, which can be asked for keyframes.
    cameras: Mutex<Vec<(Arc<dyn TrackRemote>, u32)>>,
}

/// The server.
pub struct Forwarder {
    ip: IpAddr,
    shared: Arc<Shared>,
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
    next: AtomicU64,
}

impl Forwarder {
    /// Nobody is connected.
    pub fn new(ip: IpAddr) -> Self {
        Self { ip, shared: Arc::default(), peers: Mutex::default(), next: AtomicU64::new(0) }
    }
}

#[async_trait]
impl Server for Forwarder {
    async fn answer(&self, offer: String, publishes: bool) -> anyhow::Result<(u64, String)> {
        let session = self.next.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        let peer = Peer::bind_with(self.ip, Vec::new(), Tapped::new(Passing), move |track| {
            drop(tokio::spawn(forward(Arc::clone(&shared), track)));
        });
        let peer = Arc::new(peer.await?);
        if !publishes {
            let audio = add_line(&peer, session, RtpCodecKind::Audio).await?;
            let video = add_line(&peer, session, RtpCodecKind::Video).await?;
            lock(&self.shared.lines).insert(session, [Some(audio), Some(video)]);
        }
        let answer = peer.answer(&offer).await?;
        lock(&self.peers).insert(session, Arc::clone(&peer));
        if !publishes {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                if peer.connected(crate::context::CONNECT_TIMEOUT).await.is_ok() {
                    shared.ask_for_keyframes().await;
                }
            });
        }
        Ok((session, answer))
    }

    async fn end(&self, session: u64) {
        lock(&self.shared.lines).remove(&session);
        let peer = lock(&self.peers).remove(&session);
        if let Some(peer) = peer {
            // It is gone either way.
            let _ = peer.connection.close().await;
        }
    }
}

impl Shared {
    async fn ask_for_keyframes(&self) {
        let cameras: Vec<_> = lock(&self.cameras).iter().map(|(track, ssrc)| (Arc::clone(track), *ssrc)).collect();
        for (track, media_ssrc) in cameras {
            // A publisher that is gone has no keyframes.
            let _ = track.write_rtcp(vec![Box::new(PictureLossIndication { sender_ssrc: 0, media_ssrc })]).await;
        }
    }
}

async fn forward(shared: Arc<Shared>, track: Arc<dyn TrackRemote>) {
    let is_video = track.kind().await == RtpCodecKind::Video;
    let mut known = None;
    while let Some(event) = track.poll().await {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
        if is_video && known.replace(packet.header.ssrc) != Some(packet.header.ssrc) {
            lock(&shared.cameras).push((Arc::clone(&track), packet.header.ssrc));
        }
        let lines: Vec<_> =
            lock(&shared.lines).values().filter_map(|lines| lines[usize::from(is_video)].clone()).collect();
        for line in lines {
            let mut packet = packet.clone();
            packet.header = outgoing(packet.header, line.ssrc);
            // A viewer that has just left takes no more.
            let _ = line.track.write_rtp(packet).await;
        }
    }
}

/// The publisher's extensions are not the viewer's; the crate adds its own. All their traces go, padding included.
fn outgoing(header: rtc::rtp::Header, ssrc: u32) -> rtc::rtp::Header {
    rtc::rtp::Header {
        ssrc,
        extension: false,
        extension_profile: 0,
        extensions: Vec::new(),
        extensions_padding: 0,
        ..header
    }
}

async fn add_line(peer: &Peer, session: u64, kind: RtpCodecKind) -> anyhow::Result<Arc<Line>> {
    let ssrc: u32 = rand::random();
    let is_video = kind == RtpCodecKind::Video;
    let rtx = is_video.then(|| RTCRtpRtxParameters { ssrc: ssrc.wrapping_add(1) });
    let coding = RTCRtpCodingParameters { ssrc: Some(ssrc), rtx, ..RTCRtpCodingParameters::default() };
    let codec = if is_video { peer::vp8() } else { peer::opus() };
    let encoding =
        RTCRtpEncodingParameters { rtp_coding_parameters: coding, codec, ..RTCRtpEncodingParameters::default() };
    let (stream, id) = (format!("viewer-{session}"), format!("{session}-{kind}"));
    let track = MediaStreamTrack::new(stream, id.clone(), id, kind, vec![encoding]);
    let track = Arc::new(TrackLocalStaticRTP::new(track));
    peer.connection.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await.context("adding a track")?;
    Ok(Arc::new(Line { track, ssrc }))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
