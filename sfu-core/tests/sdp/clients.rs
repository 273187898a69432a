//! What clients other than browsers are answered: each offer of fixtures/sdp/clients has its row, and their siblings.

use sfu_core::sdp::{Answer, Direction, Setup};

use crate::support::{answer, fixture, negotiator, parse, reparse, replaced};

/// An offer, and per m-line its media with the answer's direction and codecs.
const TABLE: &[(&str, &[&str])] = &[
    ("android-sim-group-simulcast", &["video recvonly VP8"]),
    ("bfcp-m-line", &["audio recvonly opus", "application refused"]),
    ("chrome-mdns-and-odd-candidates", &["audio recvonly opus"]),
    ("extmap-4096", &["audio recvonly opus"]),
    ("ffmpeg-8.0-audio-only", &["audio recvonly opus"]),
    ("ffmpeg-8.0-video-only", &["video recvonly H264"]),
    ("ffmpeg-8.0-whip", &["audio recvonly opus", "video recvonly H264"]),
    ("ffmpeg-8.1-active", &["audio recvonly opus", "video recvonly H264"]),
    ("ffmpeg-8.1-active-high", &["audio recvonly opus", "video recvonly H264"]),
    ("ffmpeg-8.1-active-video-only", &["video recvonly H264"]),
    ("fingerprints-sha1-sha512-sha256", &["audio recvonly opus"]),
    ("gst-max-bundle-data-port-0", &["video recvonly VP8", "application sendrecv"]),
    ("gst-whepsrc", &["audio sendonly opus", "video sendonly H264"]),
    ("gst-whipclientsink", &["audio recvonly opus", "video recvonly VP8"]),
    ("gst-whipsink-h264-sprop", &["video recvonly H264", "audio recvonly opus"]),
    ("gst-whipsink-pt96-twice", &["video recvonly AV1", "audio recvonly opus"]),
    ("lf-only", &["audio recvonly opus", "video recvonly H264"]),
    ("no-final-eol", &["audio recvonly opus", "video recvonly H264"]),
    ("node-datachannel-data-only", &["application sendrecv"]),
    ("obs-30.1", &["audio recvonly opus", "video recvonly H264"]),
    ("obs-31-av1", &["audio recvonly opus", "video recvonly AV1"]),
    ("obs-31-hevc", &["audio recvonly opus", "video refused"]),
    ("obs-32-simulcast", &["audio recvonly opus", "video recvonly H264"]),
    ("pion-whep-recvonly", &["video sendonly VP8,H264,AV1,VP9,H264", "audio sendonly opus"]),
    ("pion-whep-sendrecv", &["video sendonly VP8,H264,AV1,VP9,H264", "audio sendonly opus"]),
    ("pion-whip", &["video recvonly VP8,H264,AV1,VP9,H264", "audio recvonly opus"]),
    ("safari-12-old-sctp", &["audio recvonly opus", "video recvonly H264,VP8", "application refused"]),
    ("single-m-line-no-bundle", &["application sendrecv"]),
    ("trailing-blank-lines", &["audio recvonly opus", "video recvonly H264"]),
    ("unknown-m-line", &["audio recvonly opus", "text refused"]),
    ("webrtc-rs-whip", &["video recvonly H264", "audio recvonly opus"]),
];

/// An offer that a client of the right kind sends: WHEP plays only.
fn answered(name: &str, text: &str) -> Result<Answer, sfu_core::sdp::NegotiationError> {
    let offer = parse(text)?;
    let offer = if name.contains("whep") { offer.into_receive_only() } else { offer };
    answer(&mut negotiator(), &offer)
}

fn lines(answer: &Answer) -> Vec<String> {
    let text = reparse(&answer.to_string());
    let media = text.media_descriptions.iter().map(|section| section.media_name.media.as_str());
    let line = |(media, line): (&str, &sfu_core::sdp::AnswerMedia)| {
        if !line.accepted {
            return format!("{media} refused");
        }
        let mut codecs: Vec<_> = line.codecs.iter().map(|codec| codec.codec.name()).collect();
        codecs.dedup();
        format!("{media} {} {}", line.direction, codecs.join(",")).trim_end().to_owned()
    };
    media.zip(&answer.media).map(line).collect()
}

#[test]
fn every_offer_has_its_answer() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sdp/clients")).unwrap();
    let mut names: Vec<_> =
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".sdp", "")).collect();
    names.sort();
    let tabled: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    if names != tabled {
        wrong.push(format!("the table has other offers than the folder: {names:?}"));
    }
    for name in &names {
        let expected = TABLE.iter().find(|(tabled, _)| tabled == name).map(|(_, expected)| expected);
        let found = answered(name, &fixture(&format!("clients/{name}")));
        let right = found.as_ref().is_ok_and(|answer| expected.is_some_and(|expected| lines(answer) == **expected));
        if !right {
            let found = found.map(|answer| lines(&answer)).map_err(|error| (error.code(), error.to_string()));
            wrong.push(format!("{name}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One change each that a client might make, and what the m-lines become.
/// What cannot be served at all is an error that names the m-line, the codec and the remedy.
#[test]
fn every_refusal_says_what_to_change() {
    for (name, changes, code, words) in [
        (
            "obs-31-hevc",
            &[("opus/48000/2", "G722/8000")][..],
            "sdp_nothing_in_common",
            &["audio (mid 0)", "G722", "opus", "video (mid 1)", "H265", "VP8, VP9, H264, AV1", "media.codecs"][..],
        ),
        ("pion-whip", &[("a=group:BUNDLE 0 1\r\n", "")], "sdp_no_bundle", &["max-bundle", "a=group:BUNDLE"]),
        ("pion-whip", &[("BUNDLE 0 1", "BUNDLE 8 9")], "sdp_no_bundle", &["max-bundle"]),
        ("extmap-4096", &[("a=rtcp-mux\r\n", "")], "sdp_no_rtcp_mux", &["a=rtcp-mux", "require"]),
        ("ffmpeg-8.0-whip", &[("a=setup:passive", "a=setup:holdconn")], "sdp_setup", &["actpass", "holdconn"]),
        (
            "obs-30.1",
            &[("UDP/TLS/RTP/SAVPF", "RTP/AVP")],
            "sdp_unsupported_media",
            &["audio RTP/AVP", "UDP/TLS/RTP/SAVPF"],
        ),
    ] {
        let text =
            changes.iter().fold(fixture(&format!("clients/{name}")), |text, (from, to)| replaced(&text, from, to));
        let error = answered(name, &text).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.code(), code, "{name}: {message}");
        words.iter().for_each(|word| assert!(message.contains(word), "{name}: no {word} in {message}"));
    }
}

#[test]
fn siblings_are_answered_alike() {
    let text = fixture("clients/ffmpeg-8.1-active");
    let both = ["audio recvonly opus", "video recvonly H264"];
    for (from, to, expected) in [
        ("\r\n", "\n", both),
        ("opus/48000/2", "Opus/48000", both),
        ("H264/90000", "h264/90000", both),
        ("c=IN IP4 0.0.0.0\r\n", "", both),
        ("c=IN IP4 0.0.0.0\r\n", "c=IN IP6 ::\r\n", both),
        ("c=IN IP4 0.0.0.0\r\n", "c=IN IP4 0.0.0.0\r\nb=AS:2000\r\nb=TIAS:2000000\r\n", both),
        ("a=mid:1\r\n", "a=mid:1\r\na=mid:1\r\n", both),
        ("BUNDLE 0 1", "BUNDLE 1 0 7 0", both),
        ("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n", both),
        ("BUNDLE 0 1", "BUNDLE 0", ["audio recvonly opus", "video refused"]),
        ("BUNDLE 0 1", "BUNDLE 1", ["audio refused", "video recvonly H264"]),
        ("m=video 9 UDP/TLS/RTP/SAVPF", "m=video 9 RTP/AVP", ["audio recvonly opus", "video refused"]),
        ("m=audio 9", "m=text 9", ["text refused", "video recvonly H264"]),
        ("m=video 9", "m=video 0", both),
        ("opus/48000/2", "G722/8000", ["audio refused", "video recvonly H264"]),
        ("a=sendonly", "a=inactive", ["audio inactive opus", "video inactive H264"]),
        ("a=sendonly\r\n", "", both),
    ] {
        let changed = replaced(&text, from, to);
        assert_eq!(answered("", &changed).map(|answer| lines(&answer)).unwrap(), expected, "{from:?} to {to:?}");
    }
}

#[test]
fn a_refused_m_line_is_echoed_with_its_media_protocol_and_format() {
    for (name, expected) in [
        ("bfcp-m-line", "m=application 0 UDP/BFCP *\r\n"),
        ("unknown-m-line", "m=text 0 UDP/TLS/RTP/SAVPF 98\r\n"),
        ("safari-12-old-sctp", "m=application 0 DTLS/SCTP 5000\r\n"),
    ] {
        let answer = answered(name, &fixture(&format!("clients/{name}"))).unwrap().to_string();
        assert!(answer.contains(expected), "{answer}");
    }
}

/// Without a group there is none in the answer, and a single m-line needs no MID.
#[test]
fn a_single_m_line_needs_neither_group_nor_mid() {
    let text = fixture("clients/single-m-line-no-bundle");
    for text in [replaced(&text, "a=mid:0\r\n", ""), text] {
        let answer = answered("", &text).unwrap();
        assert!(answer.media[0].accepted);
        assert!(!answer.to_string().contains("a=group"));
        assert_eq!(answer.to_string().contains("a=mid:"), text.contains("a=mid:"));
    }
}

/// RFC 8842 section 5.5: the role of the first answer holds, and an offer that leaves another is refused.
#[test]
fn the_dtls_role_is_kept() {
    let passive = fixture("clients/ffmpeg-8.0-whip");
    let with = |setup| parse(&replaced(&passive, "a=setup:passive", setup)).unwrap();
    let mut negotiator = negotiator();
    let first = answer(&mut negotiator, &parse(&passive).unwrap()).unwrap();
    assert!(first.setup == Setup::Active && first.to_string().contains("a=setup:active\r\n"));
    assert_eq!(answer(&mut negotiator, &with("a=setup:actpass")).unwrap().setup, Setup::Active);
    assert_eq!(answer(&mut negotiator, &with("a=setup:active")).unwrap_err().code(), "sdp_setup");
}

#[test]
fn one_payload_type_is_two_codecs_where_packets_can_be_told_apart() {
    let text = fixture("clients/gst-whipsink-pt96-twice");
    let nameless: String = text.split_inclusive('\n').filter(|line| !line.starts_with("a=ssrc")).collect();
    let error = answered("", &nameless).unwrap_err();
    let message = error.to_string();
    assert!(["96", "AV1", "opus", "video0", "audio1"].iter().all(|word| message.contains(word)), "{message}");
    let mid = "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendonly";
    let named = answered("", &replaced(&nameless, "a=sendonly", mid)).unwrap();
    assert!(named.media.iter().all(|line| line.direction == Direction::RecvOnly));
    // What the server sends has the server's SSRCs.
    assert!(answered("", &replaced(&nameless, "a=sendonly", "a=recvonly")).is_ok());
}
