//! The server against a client that is not ours: the `webrtc` crate over WHIP and WHEP.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use load_tests::context::Context;
use load_tests::media::VideoShape;
use load_tests::peer::{Peer, local_address_for};
use load_tests::publisher::{Media, Pacing, Publisher};
use load_tests::tap::{Passing, Tapped};
use load_tests::token::{Role, TokenMint};
use load_tests::viewer::{Lines, Viewer};
use load_tests::whip::Endpoint;
use rtc::crypto::SignatureScheme;
use rtc::peer_connection::certificate::{CertificateParams, RTCCertificate};
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use support::Madang;

/// Media flows within this time on a machine that builds something else beside.
const PATIENCE: Duration = Duration::from_secs(20);
const CAMERA: VideoShape = VideoShape { bitrate: 500_000, fps: 30, max_payload: 1_100, size: (1280, 720), encoding: 0 };
const MEDIA: Media =
    Media { video: Some(CAMERA), audio: Some(32_000), video_clip: None, audio_clip: None, pacing: Pacing::Burst };
const PAIR: Lines = Lines { audio: 1, video: 1 };

fn mint(room: &str) -> TokenMint {
    let secret = "secret-for-development-only-do-not-use".to_owned();
    TokenMint { key: "devkey".to_owned(), secret, room: room.to_owned() }
}

fn context(madang: &Madang, room: &str) -> Arc<Context> {
    let server = madang.url.parse().expect("the server's URL");
    let client = reqwest::Client::new();
    let whip = Endpoint::new(client.clone(), &server, "whip", room).unwrap();
    let whep = Endpoint::new(client, &server, "whep", room).unwrap();
    Arc::new(Context::new(local_address_for(&server).unwrap(), whip, whep, mint(room)))
}

/// Measured packets that `viewer` has received, of video and of audio.
fn received(viewer: &Viewer) -> (u64, u64) {
    let tally = viewer.tally();
    (tally.video.packets, tally.audio.packets)
}

/// Waits until `viewer` has seen what `wanted` says, and returns whether it did.
async fn sees(viewer: &Viewer, wanted: impl Fn(&load_tests::tally::Tally) -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if wanted(&viewer.tally()) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    wanted(&viewer.tally())
}

#[tokio::test(flavor = "multi_thread")]
async fn published_media_reaches_a_viewer() {
    let madang = Madang::start();
    let context = context(&madang, "interop");
    context.set_measuring(true);
    let publisher = Publisher::start(&context, 0, MEDIA, Duration::ZERO).await.unwrap();
    let viewer = Viewer::join(&context, 0, PAIR).await.unwrap();

    assert!(sees(&viewer, |tally| tally.first_keyframe.is_some()).await, "a whole keyframe");
    assert!(sees(&viewer, |tally| tally.video.packets > 100).await, "video goes on: {:?}", viewer.tally().video);
    assert!(sees(&viewer, |tally| tally.audio.packets > 50).await, "audio goes on: {:?}", viewer.tally().audio);
    let announced = viewer.peer.reached(PATIENCE, |progress| progress.tracks == 2).await;
    assert_eq!(announced.unwrap().tracks, 2, "one audio and one video track were announced");
    for peer in [&publisher.peer, &viewer.peer] {
        let profile = peer.srtp_profile().await.unwrap();
        assert!(profile.starts_with("SRTP_AEAD_AES_"), "{profile}");
    }
    assert_eq!(viewer.tally().duplicates, 0);
    viewer.leave().await.unwrap();
    publisher.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_was_there_first_gets_the_first_keyframe() {
    let madang = Madang::start();
    let context = context(&madang, "early");
    let viewer = Viewer::join(&context, 0, PAIR).await.unwrap();
    let publisher = Publisher::start(&context, 0, MEDIA, Duration::ZERO).await.unwrap();
    assert!(sees(&viewer, |tally| tally.first_keyframe.is_some()).await, "a whole keyframe");
    viewer.leave().await.unwrap();
    publisher.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_viewer_asks_for_a_keyframe_and_loses_nothing_after_it() {
    let madang = Madang::start();
    let context = context(&madang, "late");
    let publisher = Publisher::start(&context, 0, MEDIA, Duration::ZERO).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = publisher.sent.keyframes.load(Ordering::Relaxed);
    let viewer = Viewer::join(&context, 0, PAIR).await.unwrap();
    assert!(sees(&viewer, |tally| tally.first_keyframe.is_some()).await, "a whole keyframe");
    assert!(publisher.sent.keyframes.load(Ordering::Relaxed) > before, "the publisher was asked for one");

    context.set_measuring(true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    context.set_measuring(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = (publisher.sent.video.load(Ordering::Relaxed), publisher.sent.audio.load(Ordering::Relaxed));
    assert_eq!(received(&viewer), sent, "(video, audio)");
    viewer.leave().await.unwrap();
    publisher.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_do_not_hear_each_other() {
    let madang = Madang::start();
    let (here, there) = (context(&madang, "here"), context(&madang, "there"));
    let publisher = Publisher::start(&here, 0, MEDIA, Duration::ZERO).await.unwrap();
    let stranger = Viewer::join(&there, 0, PAIR).await.unwrap();
    let viewer = Viewer::join(&here, 0, PAIR).await.unwrap();
    assert!(sees(&viewer, |tally| tally.first_keyframe.is_some()).await, "a whole keyframe");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stranger.tally().first_packet, None);
    for viewer in [viewer, stranger] {
        viewer.leave().await.unwrap();
    }
    publisher.stop().await.unwrap();
}

/// GStreamer's `webrtcbin` and others have RSA certificates; ours is ECDSA, whoever connects.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_an_rsa_certificate_connects() {
    let madang = Madang::start();
    let context = context(&madang, "rsa");
    let provider = rtc::crypto::default_provider().unwrap();
    let scheme = SignatureScheme::RsaPkcs1Sha256;
    for size in [KeySize::Rsa2048, KeySize::Rsa3072, KeySize::Rsa4096] {
        let key: Pkcs8V1Der<'_> = KeyPair::generate(size).unwrap().as_der().unwrap();
        let key = provider.crypto().import_signing_key(scheme, key.as_ref()).unwrap();
        let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        let certificate = RTCCertificate::generate_from_signing_key(params, scheme, key).unwrap();
        let peer = Peer::bind_with(context.local, vec![certificate], Tapped::new(Passing), drop).await.unwrap();
        peer.connection.add_transceiver_from_kind(RtpCodecKind::Audio, None).await.unwrap();
        let offer = peer.offer().await.unwrap();
        let session = context.whep.post(offer, context.mint.mint("viewer", Role::Viewer).unwrap()).await.unwrap();
        peer.accept(&session.answer).await.unwrap();
        peer.connected(PATIENCE).await.unwrap_or_else(|error| panic!("{size:?}: {error:#}"));
        session.delete().await.unwrap();
        peer.connection.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_its_own_door_only() {
    let madang = Madang::start();
    let context = context(&madang, "doors");
    let offer = "v=0\r\n".to_owned();
    let refusals = [
        (mint("doors").mint("ann", Role::Viewer).unwrap(), "403"),
        (mint("elsewhere").mint("ann", Role::Publisher).unwrap(), "403"),
        (TokenMint { secret: "x".repeat(40), ..mint("doors") }.mint("ann", Role::Publisher).unwrap(), "401"),
    ];
    for (token, status) in refusals {
        let error = context.whip.post(offer.clone(), token.clone()).await.unwrap_err().to_string();
        assert!(error.contains(status), "{status}: {error}");
        assert!(!error.contains(&token), "no token in an error");
    }
}
