//! What browsers are answered.

use sfu_core::config::CodecPolicy;
use sfu_core::rtp::Extension;
use sfu_core::sdp::{Answer, Codec, Direction, H264Profile, MediaKind};

use crate::support::{OFFERS, answer, answer_by, assert_golden, fixture, negotiator, parse, reparse};

fn answered(name: &str) -> Answer {
    answer(&mut negotiator(), &parse(&fixture(name)).unwrap()).unwrap()
}

fn mid(text: &str) -> sfu_core::id::Mid {
    sfu_core::id::Mid::new(text).unwrap()
}

/// Any change of an answer's text is seen here, and reviewed in the golden file.
#[test]
fn golden_answers() {
    for name in OFFERS {
        let answer = answered(name).to_string();
        assert_eq!(reparse(&answer).media_descriptions.len(), reparse(&fixture(name)).media_descriptions.len());
        assert_golden(name, &answer);
    }
}

#[test]
fn a_room_of_both_browsers_is_answered_whole() {
    for name in ["chromium-room", "firefox-room", "firefox-room-balanced"] {
        let answer = answered(name);
        assert!(answer.media.iter().all(|media| media.accepted), "{name}");
        let directions: Vec<_> = answer.media.iter().map(|media| media.direction).collect();
        assert_eq!(directions[..4], [Direction::RecvOnly; 4], "{name}");
        assert_eq!(directions[4..22], [Direction::SendOnly; 18], "{name}");
        assert_eq!(answer.media[22].kind, MediaKind::Data, "{name}");
        let rids: Vec<_> = answer.media[1].rids.iter().map(|rid| rid.as_str()).collect();
        assert_eq!(rids, ["q", "h", "f"], "{name}");
        assert!(answer.media[4..22].iter().all(|media| media.send.is_some() && media.ssrcs.is_empty()), "{name}");
    }
}

#[test]
fn chromium_has_all_codecs_and_firefox_no_h264() {
    let h264 = |profile, packetization_mode| Codec::H264(H264Profile { profile, packetization_mode });
    let codecs = |name| {
        let answer = answered(name);
        let line = answer.media.into_iter().find(|media| media.kind == MediaKind::Video).unwrap();
        assert!(line.codecs.iter().all(|codec| codec.rtx.is_some()), "{name}");
        line.codecs.into_iter().map(|codec| codec.codec).collect::<Vec<_>>()
    };
    let baseline =
        [h264(0x4200, 1), h264(0x4200, 0), h264(0x42e0, 1), h264(0x42e0, 0), h264(0x4d00, 1), h264(0x4d00, 0)];
    let chromium = [&[Codec::Vp8][..], &baseline, &[Codec::Av1, Codec::Vp9]].concat();
    assert_eq!(codecs("chromium-sendrecv"), chromium);
    assert_eq!(codecs("firefox-sendrecv"), [Codec::Vp8, Codec::Vp9, Codec::Av1]);
}

#[test]
fn opus_keeps_its_parameters_and_redundancy_its_rank() {
    let chromium = answered("chromium-sendrecv").media.remove(0);
    assert_eq!(chromium.codecs.len(), 1);
    assert_eq!(chromium.codecs[0].fmtp.as_deref(), Some("minptime=10;useinbandfec=1"));
    let firefox = answered("firefox-sendrecv").media.remove(0);
    assert_eq!(firefox.codecs[0].fmtp.as_deref(), Some("maxplaybackrate=48000;stereo=1;useinbandfec=1"));
    let text = answered("chromium-room").to_string();
    assert!(text.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n") && text.contains("a=fmtp:63 111/111\r\n"));
    assert!(["ulpfec", "flexfec", "telephone-event", "CN/"].iter().all(|name| !text.contains(name)));
}

#[test]
fn extensions_keep_their_ids_and_directions() {
    let answer = answered("firefox-room");
    let camera = &answer.media[1];
    assert_eq!(camera.extensions.id(Extension::Mid), Some(3));
    assert_eq!(camera.extensions.id(Extension::Rid), Some(9));
    assert_eq!(camera.extensions.id(Extension::DependencyDescriptor), Some(8));
    assert_eq!(camera.extensions.id(Extension::PlayoutDelay), None, "only for the other direction");
    let slot = &answer.media[5];
    assert_eq!(slot.extensions.id(Extension::Mid), Some(3));
    assert_eq!(slot.extensions.id(Extension::PlayoutDelay), Some(6));
    let text = answer.to_string();
    assert!(text.contains("a=extmap:8/recvonly https://aomediacodec"));
    assert!(text.contains("a=extmap:6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"));
}

#[test]
fn a_paused_encoding_stays_paused() {
    let answer = answered("chromium-paused");
    assert_eq!(answer.media[0].rids.len(), 3);
    assert!(answer.to_string().contains("a=simulcast:recv ~q;h;f\r\n"));
}

#[test]
fn a_policy_leaves_codecs_out_with_their_retransmissions() {
    let offer = parse(&fixture("chromium-sendrecv")).unwrap();
    let policy = CodecPolicy { vp8: true, vp9: false, h264: false, av1: false, ..CodecPolicy::default() };
    let answer = answer_by(&mut negotiator(), &offer, &policy).unwrap();
    assert!(answer.to_string().contains("m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n"));
    let nothing = CodecPolicy { vp8: false, ..policy };
    let answer = answer_by(&mut negotiator(), &offer, &nothing).unwrap();
    assert!(answer.find(&mid("1")).is_none());
    let text = answer.to_string();
    assert!(text.contains("a=group:BUNDLE 0\r\n") && text.contains("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n"));
}

#[test]
fn an_m_line_without_a_stream_is_inactive_until_it_has_one() {
    let offer = parse(&fixture("chromium-session-1")).unwrap();
    let mut negotiator = negotiator();
    let ice = answered("chromium-session-1").ice;
    let answer_none = negotiator.answer(&offer, &ice, &CodecPolicy::default(), |_, _| None).unwrap();
    assert_eq!(answer_none.media[2].direction, Direction::Inactive);
    assert!(answer_none.media[2].accepted);
    let later = answer(&mut negotiator, &offer).unwrap();
    assert_eq!(later.media[2].direction, Direction::SendOnly);
}

/// Chromium publishes H264 Baseline by preference; Safari names only Constrained Baseline and Constrained High.
#[test]
fn h264_of_chromium_reaches_safari() {
    let safari = answered("safari-like");
    let baseline = Codec::H264(H264Profile { profile: 0x4200, packetization_mode: 1 });
    assert_eq!(safari.media[1].codec_for(baseline).map(|codec| codec.payload_type), Some(96));
    assert_eq!(safari.media[1].codec_for(Codec::Vp8).map(|codec| codec.payload_type), Some(100));
    let firefox = answered("firefox-sendrecv");
    assert_eq!(firefox.media[1].codec_for(baseline), None);
}

/// Red if an encoding is answered that no receiver takes.
#[test]
fn as_many_encodings_are_answered_as_are_received() {
    let offer = fixture("chromium-sendrecv");
    let (head, tail) = offer.split_at(offer.find("a=rtcp-mux").unwrap());
    let video = tail.find("m=video").unwrap();
    let rids: String = (0..6).map(|index| format!("a=rid:{index} send\r\n")).collect();
    let more = format!("{rids}a=simulcast:send 0;~1;2;3;~4;5\r\n");
    let tail = format!(
        "{}{}{more}",
        &tail[..video],
        tail[video..].trim_end_matches('\n').trim_end_matches('\r').to_owned() + "\r\n"
    );
    let answer = answer(&mut negotiator(), &parse(&format!("{head}{tail}")).unwrap()).unwrap();
    let line = answer.media.iter().find(|media| !media.rids.is_empty()).unwrap();
    assert_eq!(line.rids.len(), sfu_core::layers::MAX_ENCODINGS);
    assert!(answer.to_string().contains("a=simulcast:recv 0;~1;2;3\r\n"), "{answer}");
}
