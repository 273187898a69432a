//! Sessions of several offers: m-lines are stopped, recycled and appended, ICE restarts.

use sfu_core::config::CodecPolicy;
use sfu_core::sdp::{Direction, MediaKind};

use crate::support::{answer, assert_golden, fixture, negotiator, parse, replaced};

/// The camera's m-line is stopped in the second offer; the third puts another there, appends one, and restarts ICE.
#[test]
fn m_lines_are_stopped_recycled_and_appended() {
    for browser in ["chromium", "firefox"] {
        let offers = [1, 2, 3].map(|number| parse(&fixture(&format!("{browser}-session-{number}"))).unwrap());
        let mut negotiator = negotiator();
        assert!(!negotiator.restarts_ice(&offers[0]));
        let first = answer(&mut negotiator, &offers[0]).unwrap();
        assert!(first.media[1].accepted, "{browser}");

        assert!(!negotiator.restarts_ice(&offers[1]), "{browser}");
        let second = answer(&mut negotiator, &offers[1]).unwrap();
        assert!(!second.media[1].accepted, "{browser}");
        assert_eq!(second.media[3].send, first.media[3].send, "{browser}");

        assert!(negotiator.restarts_ice(&offers[2]), "{browser}");
        let third = answer(&mut negotiator, &offers[2]).unwrap();
        assert_eq!(third.media.len(), 6, "{browser}");
        assert_eq!(third.media[1].direction, Direction::SendOnly, "{browser}");
        assert_ne!(third.media[1].mid, first.media[1].mid, "{browser}");
        assert_eq!(third.media[3].send, first.media[3].send, "{browser}");
        assert_eq!((first.version, second.version, third.version), (1, 2, 3));
        assert_golden(&format!("{browser}-session-all"), &third.to_string());
    }
}

#[test]
fn a_stream_is_chosen_once_for_an_m_lines_life() {
    let text = fixture("chromium-session-1");
    let offer = parse(&text).unwrap();
    let mut negotiator = negotiator();
    let first = answer(&mut negotiator, &offer).unwrap();
    let inactive = parse(&replaced(&text, "a=recvonly", "a=inactive")).unwrap();
    assert_eq!(answer(&mut negotiator, &inactive).unwrap().media[3].send, None);
    let again = negotiator.answer(&offer, &first.ice, &CodecPolicy::default(), |mid, _| panic!("asked for {mid}"));
    assert_eq!(again.unwrap().media[3].send, first.media[3].send);
}

#[test]
fn m_lines_may_not_be_dropped_swapped_or_renamed() {
    let text = fixture("chromium-session-1");
    let mut negotiator = negotiator();
    answer(&mut negotiator, &parse(&text).unwrap()).unwrap();
    let before = negotiator.clone();

    let dropped = replaced(&text[..text.find("m=application").unwrap()], "BUNDLE 0 1 2 3 4", "BUNDLE 0 1 2 3");
    let renamed = replaced(&replaced(&text, "a=mid:3\r", "a=mid:x\r"), "BUNDLE 0 1 2 3 4", "BUNDLE 0 1 2 x 4");
    for changed in [dropped, renamed] {
        let error = answer(&mut negotiator, &parse(&changed).unwrap()).unwrap_err();
        assert_eq!(error.code(), "sdp_media_order");
        assert_eq!(negotiator, before, "a failed offer changed the negotiator");
    }
}

#[test]
fn numbers_and_the_certificate_keep_their_meaning() {
    let text = fixture("firefox-session-1");
    let mut negotiator = negotiator();
    let first = parse(&text).unwrap();
    answer(&mut negotiator, &first).unwrap();
    let before = negotiator.clone();

    let vp9_as_vp8 = replaced(&replaced(&text, ":120 VP8/", ":120 H264/"), ":121 VP9/", ":121 VP8/");
    let extension = replaced(&replaced(&text, "extmap:3 ", "extmap:33 "), "extmap:7 ", "extmap:3 ");
    for changed in [vp9_as_vp8, extension] {
        let error = answer(&mut negotiator, &parse(&changed).unwrap()).unwrap_err();
        assert_eq!(error.code(), "sdp_contradiction");
    }
    let other = first.fingerprint().to_string();
    let other = replaced(&text, &other, &other.chars().rev().collect::<String>());
    let error = answer(&mut negotiator, &parse(&other).unwrap()).unwrap_err();
    assert_eq!(error.code(), "sdp_fingerprint_changed");
    assert_eq!(negotiator, before);
}

#[test]
fn a_second_data_m_line_is_refused() {
    let text = fixture("chromium-session-1");
    let data = replaced(&text[text.find("m=application").unwrap()..], "a=mid:4", "a=mid:5");
    let twice = replaced(&(text + &data), "BUNDLE 0 1 2 3 4", "BUNDLE 0 1 2 3 4 5");
    let answer = answer(&mut negotiator(), &parse(&twice).unwrap()).unwrap();
    let accepted: Vec<_> =
        answer.media.iter().filter(|media| media.kind == MediaKind::Data).map(|media| media.accepted).collect();
    assert_eq!(accepted, [true, false]);
}

/// RFC 8829 lets a stopped m-line go without its MID; the answer then has none either.
#[test]
fn a_stopped_m_line_needs_no_mid() {
    let mut negotiator = negotiator();
    answer(&mut negotiator, &parse(&fixture("firefox-session-1")).unwrap()).unwrap();
    let nameless = replaced(&fixture("firefox-session-2"), "a=mid:1\r\n", "");
    let answer = answer(&mut negotiator, &parse(&nameless).unwrap()).unwrap();
    assert!(!answer.media[1].accepted && answer.find(&answer.media[1].mid).is_none());
    assert_eq!(answer.to_string().matches("a=mid:").count(), answer.media.len() - 1);
}
