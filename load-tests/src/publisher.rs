//! A publisher: one WHIP session that sends a microphone's and a camera's worth of packets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval_at, sleep_until};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use crate::clip::{AudioClip, VideoClip};
use crate::context::{CONNECT_TIMEOUT, Context};
use crate::media::{AUDIO_CLOCK, AUDIO_PACKET_MS, AudioSource, Mark, Payload, VIDEO_CLOCK, VideoShape, VideoSource};
use crate::peer::{self, Peer};
use crate::tap::{KeyframeRequests, Tapped};
use crate::token::Role;
use crate::whip::Session;

/// How the packets of a video frame leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pacing {
    /// All at once, as an encoder hands them over.
    Burst,
    /// Evenly over the time until the next frame, as a pacer lets them go.
    Even,
}

/// What a publisher sends.
#[derive(Debug, Clone)]
pub struct Media {
    /// The camera, if there is one.
    pub video: Option<VideoShape>,
    /// The microphone's bits per second, if there is one.
    pub audio: Option<u64>,
    /// What the camera shows in place of filler.
    pub video_clip: Option<Arc<VideoClip>>,
    /// What the microphone hears in place of filler.
    pub audio_clip: Option<Arc<AudioClip>>,
    /// How frames leave.
    pub pacing: Pacing,
}

/// Measured packets that were handed to the network stack.
#[derive(Debug, Default)]
pub struct Sent {
    /// Of audio.
    pub audio: AtomicU64,
    /// Of video.
    pub video: AtomicU64,
    /// Payload bytes of both.
    pub bytes: AtomicU64,
    /// Measured video frames.
    pub frames: AtomicU64,
    /// Keyframes, measured or not.
    pub keyframes: AtomicU64,
}

/// A publisher that is connected and sends.
pub struct Publisher {
    /// What it has sent.
    pub sent: Arc<Sent>,
    /// Its connection.
    pub peer: Peer,
    session: Session,
    tasks: Vec<JoinHandle<anyhow::Result<()>>>,
}

/// One track: its RTP stream's running fields.
struct Stream {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    payload_type: u8,
    sequence_number: u16,
    timestamp: u32,
}

/// What the task of one track needs.
struct Sender {
    context: Arc<Context>,
    stream: Stream,
    sent: Arc<Sent>,
    publisher: u16,
    start: Instant,
}

impl Publisher {
    /// Connects publisher number `index` and starts its media. `phase` delays it, so that publishers do not tick alike.
    pub async fn start(context: &Arc<Context>, index: u16, media: Media, phase: Duration) -> anyhow::Result<Self> {
        let identity = format!("publisher-{index}");
        let wanted = Arc::new(AtomicBool::new(false));
        let peer = Peer::bind(context.local, Tapped::new(KeyframeRequests(Arc::clone(&wanted)))).await?;
        let audio = match media.audio {
            Some(bitrate) => Some((add_track(&peer, RtpCodecKind::Audio, &identity).await?, bitrate)),
            None => None,
        };
        let video = match media.video {
            Some(shape) => Some((add_track(&peer, RtpCodecKind::Video, &identity).await?, shape)),
            None => None,
        };
        let token = context.mint.mint(&identity, Role::Publisher)?;
        let session = context.whip.post(peer.offer().await?, token).await?;
        peer.accept(&session.answer).await?;
        peer.connected(CONNECT_TIMEOUT).await.with_context(|| identity.clone())?;

        let sent = Arc::new(Sent::default());
        let start = Instant::now() + phase;
        let sender =
            |stream| Sender { context: Arc::clone(context), stream, sent: Arc::clone(&sent), publisher: index, start };
        let mut tasks = Vec::new();
        if let Some((stream, bitrate)) = audio {
            tasks.push(tokio::spawn(sender(stream).send_audio(AudioSource::new(bitrate).playing(media.audio_clip))));
        }
        if let Some((stream, shape)) = video {
            let source = VideoSource::new(shape, rand::random()).playing(media.video_clip);
            tasks.push(tokio::spawn(sender(stream).send_video(source, shape.fps, media.pacing, wanted)));
        }
        Ok(Self { sent, peer, session, tasks })
    }

    /// Whether a track could no longer be sent.
    pub fn has_failed(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Stops the media and ends the session.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.tasks.iter().for_each(JoinHandle::abort);
        let deleted = self.session.delete().await;
        self.peer.connection.close().await?;
        deleted
    }
}

async fn add_track(peer: &Peer, kind: RtpCodecKind, identity: &str) -> anyhow::Result<Stream> {
    let (codec, payload_type) = match kind {
        RtpCodecKind::Video => (peer::vp8(), peer::VP8),
        _ => (peer::opus(), peer::OPUS),
    };
    let ssrc = rand::random();
    let track = Arc::new(TrackLocalStaticRTP::new(media_track(identity, kind, ssrc, codec)));
    let init =
        RTCRtpTransceiverInit { direction: RTCRtpTransceiverDirection::Sendonly, ..RTCRtpTransceiverInit::default() };
    peer.connection.add_transceiver_from_track(Arc::clone(&track) as Arc<dyn TrackLocal>, Some(init)).await?;
    Ok(Stream { track, ssrc, payload_type, sequence_number: rand::random(), timestamp: rand::random() })
}

fn media_track(identity: &str, kind: RtpCodecKind, ssrc: u32, codec: RTCRtpCodec) -> MediaStreamTrack {
    let rtx = (kind == RtpCodecKind::Video).then(|| RTCRtpRtxParameters { ssrc: ssrc.wrapping_add(1) });
    let coding = RTCRtpCodingParameters { ssrc: Some(ssrc), rtx, ..RTCRtpCodingParameters::default() };
    let encoding =
        RTCRtpEncodingParameters { rtp_coding_parameters: coding, codec, ..RTCRtpEncodingParameters::default() };
    let track = format!("{identity}-{kind}");
    MediaStreamTrack::new(identity.to_owned(), track.clone(), track, kind, vec![encoding])
}

impl Sender {
    async fn send_video(
        mut self,
        mut source: VideoSource,
        fps: u32,
        pacing: Pacing,
        wanted: Arc<AtomicBool>,
    ) -> anyhow::Result<()> {
        let interval = Duration::from_secs(1) / fps;
        let mut ticks = interval_at(self.start.into(), interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut is_first = true;
        loop {
            let tick = ticks.tick().await;
            let keyframe = wanted.swap(false, Ordering::Relaxed) || std::mem::take(&mut is_first);
            let mark = self.mark();
            let frame = source.frame(keyframe, mark);
            let keyframe = frame.first().is_some_and(Payload::is_keyframe);
            self.sent.keyframes.fetch_add(u64::from(keyframe), Ordering::Relaxed);
            self.sent.frames.fetch_add(u64::from(mark.measured), Ordering::Relaxed);
            let gap = interval / u32::try_from(frame.len()).unwrap_or(u32::MAX).max(1);
            for (position, payload) in (0u32..).zip(frame) {
                if pacing == Pacing::Even {
                    sleep_until(tick + gap * position).await;
                }
                self.write(payload, mark, &Arc::clone(&self.sent).video).await?;
            }
            self.stream.timestamp = self.stream.timestamp.wrapping_add(VIDEO_CLOCK / fps);
        }
    }

    async fn send_audio(mut self, mut source: AudioSource) -> anyhow::Result<()> {
        let mut ticks = interval_at(self.start.into(), Duration::from_millis(AUDIO_PACKET_MS.into()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            ticks.tick().await;
            let mark = self.mark();
            self.write(source.packet(mark), mark, &Arc::clone(&self.sent).audio).await?;
            self.stream.timestamp = self.stream.timestamp.wrapping_add(AUDIO_CLOCK / 1_000 * AUDIO_PACKET_MS);
        }
    }

    fn mark(&self) -> Mark {
        Mark { publisher: self.publisher, measured: self.context.measuring() }
    }

    /// Sends one packet, and counts it if it is measured.
    async fn write(&mut self, payload: Payload, mark: Mark, counter: &AtomicU64) -> anyhow::Result<()> {
        let stream = &mut self.stream;
        let header = rtp::Header {
            version: 2,
            marker: payload.marker,
            payload_type: stream.payload_type,
            sequence_number: stream.sequence_number,
            timestamp: stream.timestamp,
            ssrc: stream.ssrc,
            ..rtp::Header::default()
        };
        stream.sequence_number = stream.sequence_number.wrapping_add(1);
        let payload = payload.stamped(self.context.now_us());
        let bytes = payload.len() as u64;
        stream.track.write_rtp(rtp::Packet { header, payload }).await?;
        if mark.measured {
            counter.fetch_add(1, Ordering::Relaxed);
            self.sent.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }
}
