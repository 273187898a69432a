//! Each thing that can be wrong with an offer has its code.

use sfu_core::sdp::{Offer, OfferLimits};

use crate::support::{answer, fixture, negotiator, parse, replaced};

fn without(text: &str, start: &str) -> String {
    let kept: Vec<&str> = text.split_inclusive('\n').filter(|line| !line.starts_with(start)).collect();
    assert!(kept.concat() != text, "the fixture has no {start}");
    kept.concat()
}

fn code(text: &str) -> &'static str {
    match parse(text).and_then(|offer| answer(&mut negotiator(), &offer)) {
        Ok(_) => "answered",
        Err(error) => error.code(),
    }
}

#[test]
fn what_is_missing_is_named() {
    let text = fixture("chromium-session-1");
    for (missing, expected) in [
        ("a=group:", "sdp_no_bundle"),
        ("a=rtcp-mux", "sdp_no_rtcp_mux"),
        ("a=ice-ufrag:", "sdp_no_ice"),
        ("a=ice-pwd:", "sdp_no_ice"),
        ("a=fingerprint:", "sdp_no_fingerprint"),
        ("a=mid:", "sdp_mid_missing"),
        ("a=rtpmap:", "sdp_nothing_in_common"),
        ("v=", "sdp_malformed"),
        ("a=setup:", "answered"),
        ("a=extmap:", "answered"),
    ] {
        assert_eq!(code(&without(&text, missing)), expected, "without {missing}");
    }
    let audio_only = fixture("firefox-sendrecv");
    assert_eq!(code(&without(&audio_only, "a=rtpmap:")), "sdp_nothing_in_common");
}

#[test]
fn what_is_wrong_is_named() {
    let text = fixture("chromium-session-1");
    for (from, to, expected) in [
        ("a=setup:actpass", "a=setup:holdconn", "sdp_setup"),
        ("a=setup:actpass", "a=setup:active", "answered"),
        ("a=fingerprint:sha-256", "a=fingerprint:sha-1", "sdp_fingerprint_hash"),
        ("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 0", "sdp_malformed"),
        ("a=mid:1", "a=mid:0", "sdp_mid_duplicate"),
        ("a=mid:1", "a=mid:seventeen-letters", "sdp_malformed"),
        ("BUNDLE 0 1 2 3 4", "BUNDLE 0 1 2 3", "answered"),
        ("BUNDLE 0 1 2 3 4", "BUNDLE 0 1 2 3 4 5", "answered"),
        ("BUNDLE 0 1 2 3 4", "BUNDLE 0 1 2 3 4 4", "answered"),
        ("BUNDLE 0 1 2 3 4", "LS 0 1 2 3 4", "sdp_no_bundle"),
        ("s=-\r\n", "s=-\r\nt=0 0\r\na=ice-lite\r\n", "sdp_malformed"),
        ("a=extmap-allow-mixed", "a=ice-lite", "sdp_ice_lite"),
        ("a=recvonly", "a=recvonly\r\na=sendonly", "sdp_contradiction"),
        ("a=mid:2", "a=mid:2\r\na=mid:x", "sdp_contradiction"),
        ("extmap:3 ", "extmap:4 ", "sdp_contradiction"),
        ("a=rid:h", "a=rid:q", "sdp_contradiction"),
        ("m=audio 9", "m=audio x", "sdp_malformed"),
        ("m=audio 9", "m=audio 70000", "sdp_malformed"),
    ] {
        assert_eq!(code(&replaced(&text, from, to)), expected, "{to}");
    }
}

/// An offer of nothing that is live, and one of nothing that is WebRTC's.
#[test]
fn nothing_to_serve_is_named() {
    let text = fixture("chromium-session-1");
    let stopped: String = without(&text, "a=group:")
        .split_inclusive('\n')
        .map(|line| match line.split_once(' ') {
            Some((media, rest)) if media.starts_with("m=") => {
                format!("{media} 0 {}", rest.split_once(' ').unwrap().1)
            }
            _ => line.to_owned(),
        })
        .collect();
    assert_eq!(code(&stopped), "sdp_no_media");
    let text = fixture("clients/node-datachannel-data-only");
    assert_eq!(code(&replaced(&text, "UDP/DTLS/SCTP webrtc-datachannel", "UDP/BFCP *")), "sdp_unsupported_media");
}

#[test]
fn limits_hold() {
    let text = fixture("chromium-session-1");
    let limits = OfferLimits { max_media: 4, ..OfferLimits::default() };
    assert_eq!(Offer::parse(&text, &limits).unwrap_err().code(), "sdp_too_many_media");
    let limits = OfferLimits { max_bytes: 1000, ..OfferLimits::default() };
    assert_eq!(Offer::parse(&text, &limits).unwrap_err().code(), "sdp_too_large");
    let ssrcs: String = (0..100).map(|ssrc| format!("a=ssrc:{ssrc} cname:x\r\n")).collect();
    assert_eq!(code(&replaced(&text, "a=mid:1\r\n", &format!("a=mid:1\r\n{ssrcs}"))), "sdp_too_many_streams");
}

/// Transport attributes count wherever RFC 8839, RFC 8122 and RFC 8842 allow them.
#[test]
fn transport_attributes_may_be_the_sessions() {
    let text = fixture("chromium-session-1");
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned() + "\r\n";
    let names = ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:"];
    let session: String = names.iter().map(|name| line(name)).collect();
    let bare = names.iter().fold(text.clone(), |text, name| without(&text, name));
    let moved = parse(&replaced(&bare, "t=0 0\r\n", &format!("t=0 0\r\n{session}"))).unwrap();
    let there = parse(&text).unwrap();
    assert_eq!((moved.ice(), moved.fingerprint()), (there.ice(), there.fingerprint()));
}
