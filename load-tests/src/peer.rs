//! One `webrtc` peer connection: VP8 with RTX and Opus, NACK, reports and transport-wide feedback, UDP on one address.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::Url;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::ice::network_type::NetworkType;
use rtc::interceptor::Interceptor;
use rtc::peer_connection::certificate::RTCCertificate;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8};
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use tokio::sync::watch;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder, StatsSelector, configure_nack,
    configure_rtcp_reports, configure_twcc,
};

use crate::tap;

/// Payload type of VP8 in our offers.
pub const VP8: u8 = 96;
/// Payload type of VP8's retransmissions.
pub const VP8_RTX: u8 = 97;
/// Payload type of Opus.
pub const OPUS: u8 = 111;
/// Interval of ICE checks. The crate's default of 200 ms would be most of a join's time on a fast path.
const ICE_CHECK_INTERVAL: Duration = Duration::from_millis(20);
const ICE_CHECKS: u16 = 100;
const GATHERING_TIMEOUT: Duration = Duration::from_secs(5);

/// How far a connection has come, and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// All local candidates are known.
    pub gathered: bool,
    /// ICE and DTLS are done.
    pub connected: Option<Instant>,
    /// The connection failed or was closed.
    pub ended: bool,
    /// Tracks that the crate has announced.
    pub tracks: usize,
}

/// What is done with a track that the other side sends.
type OnTrack = Box<dyn Fn(Arc<dyn TrackRemote>) + Send + Sync>;

struct Events {
    progress: watch::Sender<Progress>,
    on_track: OnTrack,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.progress.send_modify(|progress| progress.gathered = true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let now = Instant::now();
        self.progress.send_modify(|progress| match state {
            RTCPeerConnectionState::Connected => progress.connected = progress.connected.or(Some(now)),
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => progress.ended = true,
            _ => {}
        });
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        self.progress.send_modify(|progress| progress.tracks += 1);
        (self.on_track)(track);
    }
}

/// A peer connection and its progress.
pub struct Peer {
    /// The connection.
    pub connection: Arc<dyn PeerConnection>,
    progress: watch::Receiver<Progress>,
}

impl Peer {
    /// Binds a UDP port on `local`, with `tap` at the end of the interceptors.
    pub async fn bind(local: IpAddr, tap: impl Interceptor + 'static) -> anyhow::Result<Self> {
        Self::bind_with(local, Vec::new(), tap, drop).await
    }

    /// The same with these DTLS certificates (none: a fresh ECDSA one), and `on_track` takes what the other side sends.
    pub async fn bind_with(
        local: IpAddr,
        certificates: Vec<RTCCertificate>,
        tap: impl Interceptor + 'static,
        on_track: impl Fn(Arc<dyn TrackRemote>) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let mut media = media_engine()?;
        let registry = configure_nack(Registry::new(), &mut media);
        let registry = configure_twcc(configure_rtcp_reports(registry), &mut media)?.with(tap::slot(), tap);
        let network = if local.is_ipv4() { NetworkType::Udp4 } else { NetworkType::Udp6 };
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_include_loopback_candidate(true)
            .with_network_types(vec![network])
            .with_ice_connection_attempts(Some(ICE_CHECK_INTERVAL), Some(ICE_CHECKS))
            .build();
        let (events, progress) = watch::channel(Progress::default());
        let configuration = RTCConfigurationBuilder::new().with_certificates(certificates).build();
        let connection = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(media)
            .with_setting_engine(settings)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Events { progress: events, on_track: Box::new(on_track) }))
            .with_udp_addrs(vec![SocketAddr::new(local, 0)])
            .build()
            .await?;
        Ok(Self { connection: Arc::new(connection), progress })
    }

    /// The offer, with all candidates in it.
    pub async fn offer(&self) -> anyhow::Result<String> {
        let offer = self.connection.create_offer(None).await?;
        self.connection.set_local_description(offer).await?;
        self.reached(GATHERING_TIMEOUT, |progress| progress.gathered).await.context("gathering candidates")?;
        Ok(self.connection.local_description().await.context("no local description")?.sdp)
    }

    /// Takes an offer and gives the answer, with all candidates in it.
    pub async fn answer(&self, offer: &str) -> anyhow::Result<String> {
        let offer = RTCSessionDescription::offer(offer.to_owned()).context("the offer")?;
        self.connection.set_remote_description(offer).await.context("the offer")?;
        let answer = self.connection.create_answer(None).await?;
        self.connection.set_local_description(answer).await?;
        self.reached(GATHERING_TIMEOUT, |progress| progress.gathered).await.context("gathering candidates")?;
        Ok(self.connection.local_description().await.context("no local description")?.sdp)
    }

    /// Takes the answer, which starts ICE.
    pub async fn accept(&self, answer: &str) -> anyhow::Result<()> {
        let answer = RTCSessionDescription::answer(answer.to_owned()).context("the answer")?;
        self.connection.set_remote_description(answer).await.context("the answer")
    }

    /// Waits for ICE and DTLS; returns when they were done.
    pub async fn connected(&self, within: Duration) -> anyhow::Result<Instant> {
        let progress = self.reached(within, |progress| progress.connected.is_some()).await;
        progress.context("connecting")?.connected.context("connecting")
    }

    /// Waits until the progress is as wanted. Fails when the connection ends or `within` is over.
    pub async fn reached(&self, within: Duration, wanted: impl Fn(&Progress) -> bool) -> anyhow::Result<Progress> {
        let mut progress = self.progress.clone();
        let reached = tokio::time::timeout(within, progress.wait_for(|now| wanted(now) || now.ended)).await;
        let now = *reached.with_context(|| format!("timed out after {within:?}"))?.context("the connection is gone")?;
        if !wanted(&now) {
            bail!("the connection failed");
        }
        Ok(now)
    }

    /// The SRTP profile that DTLS agreed on, by its name in RFC 5764 and RFC 7714.
    pub async fn srtp_profile(&self) -> Option<String> {
        let stats = self.connection.get_stats(Instant::now(), StatsSelector::None).await;
        stats.transport().map(|transport| transport.srtp_cipher.clone()).filter(|name| !name.is_empty())
    }
}

/// The local address from which `server` is reached. Nothing is sent.
pub fn local_address_for(server: &Url) -> anyhow::Result<IpAddr> {
    let addresses = server.socket_addrs(|| None).with_context(|| format!("resolving {server}"))?;
    // A server's name often has both families; IPv4 is what its media surely listens on.
    let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    let address = address.with_context(|| format!("{server} has no address"))?;
    let unspecified: IpAddr = if address.is_ipv4() { [0u8; 4].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((unspecified, 0))?;
    socket.connect(address).with_context(|| format!("no route to {address}"))?;
    Ok(socket.local_addr()?.ip())
}

/// A codec as our offers name it.
pub fn codec(mime_type: &str, clock_rate: u32, channels: u16, fmtp: &str) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate,
        channels,
        sdp_fmtp_line: fmtp.to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

/// VP8.
pub fn vp8() -> RTCRtpCodec {
    codec(MIME_TYPE_VP8, crate::media::VIDEO_CLOCK, 0, "")
}

/// Opus.
pub fn opus() -> RTCRtpCodec {
    codec(MIME_TYPE_OPUS, crate::media::AUDIO_CLOCK, 2, "minptime=10;useinbandfec=1")
}

fn media_engine() -> anyhow::Result<MediaEngine> {
    let mut media = MediaEngine::default();
    let rtx = codec(MIME_TYPE_RTX, crate::media::VIDEO_CLOCK, 0, &format!("apt={VP8}"));
    for (rtp_codec, payload_type, kind) in
        [(opus(), OPUS, RtpCodecKind::Audio), (vp8(), VP8, RtpCodecKind::Video), (rtx, VP8_RTX, RtpCodecKind::Video)]
    {
        media.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, kind)?;
    }
    Ok(media)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_reached_from_loopback() {
        let server = "http://127.0.0.1:7880".parse().unwrap();
        assert!(local_address_for(&server).unwrap().is_loopback());
    }
}
