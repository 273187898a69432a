//! Offers of a WebRTC stack that is not ours, made and answered in the test.

use std::time::Instant;

use rtc::peer_connection::RTCPeerConnectionBuilder;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use sfu_core::sdp::Direction;

use crate::support::{answer, negotiator, parse};

/// A viewer of the `rtc` crate offers, takes the answer, and offers once more with another m-line.
#[test]
fn rtc_takes_our_answers() {
    let now = Instant::now();
    let mut engine = MediaEngine::default();
    engine.register_default_codecs().unwrap();
    let mut peer = RTCPeerConnectionBuilder::new().with_media_engine(engine).build(now).unwrap();
    let recvonly = || {
        let direction = RTCRtpTransceiverDirection::Recvonly;
        Some(RTCRtpTransceiverInit { direction, ..RTCRtpTransceiverInit::default() })
    };
    peer.create_data_channel("reliable", None).unwrap();
    let mut negotiator = negotiator();
    for (kind, lines) in [(RtpCodecKind::Audio, 2), (RtpCodecKind::Video, 3)] {
        peer.add_transceiver_from_kind(kind, recvonly()).unwrap();
        let offer = peer.create_offer(None).unwrap();
        peer.set_local_description(now, offer.clone()).unwrap();
        let answer = answer(&mut negotiator, &parse(&offer.sdp).unwrap()).unwrap();
        assert_eq!(answer.media.len(), lines);
        assert!(answer.media.iter().all(|media| media.accepted && media.direction != Direction::Inactive));
        peer.set_remote_description(now, RTCSessionDescription::answer(answer.to_string()).unwrap()).unwrap();
    }
}
