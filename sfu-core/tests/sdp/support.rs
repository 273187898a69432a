//! What the tests share: fixtures, a participant that answers predictably, golden files.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use rtc::sdp::SessionDescription;
use sfu_core::config::CodecPolicy;
use sfu_core::id::Ssrc;
use sfu_core::sdp::{
    Answer, Candidate, Fingerprint, IceCredentials, MediaKind, NegotiationError, Negotiator, Offer, OfferLimits,
    SendStream,
};
use sfu_core::transport::Protocol;

/// Every captured offer.
pub(crate) const OFFERS: [&str; 16] = [
    "aiortc-whep",
    "aiortc-whip",
    "chromium-paused",
    "chromium-room",
    "chromium-sendrecv",
    "chromium-session-1",
    "chromium-session-2",
    "chromium-session-3",
    "firefox-paused",
    "firefox-room",
    "firefox-room-balanced",
    "firefox-sendrecv",
    "firefox-session-1",
    "firefox-session-2",
    "firefox-session-3",
    "safari-like",
];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sdp").join(name)
}

pub(crate) fn fixture(name: &str) -> String {
    let path = path(&format!("{name}.sdp"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares with a golden file; `UPDATE_GOLDEN=1` writes it instead.
pub(crate) fn assert_golden(name: &str, text: &str) {
    let path = path(&format!("{name}.answer"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).expect("the fixtures are writable");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "{} differs from the answer (UPDATE_GOLDEN=1 rewrites it):\n{text}", path.display());
}

pub(crate) fn parse(text: &str) -> Result<Offer, NegotiationError> {
    Offer::parse(text, &OfferLimits::default())
}

pub(crate) fn negotiator() -> Negotiator {
    let candidate = |protocol, address: &str| Candidate { protocol, address: address.parse().unwrap() };
    let candidates = vec![
        candidate(Protocol::Udp, "192.0.2.1:7882"),
        candidate(Protocol::Udp, "[2001:db8::1]:7882"),
        candidate(Protocol::Tcp, "192.0.2.1:7881"),
    ];
    Negotiator::new(4_611_686_018_427_387_904, Fingerprint(std::array::from_fn(|index| index as u8)), candidates)
}

/// Answers with a stream for every m-line, numbered by its MID, or by its first letter.
pub(crate) fn answer(negotiator: &mut Negotiator, offer: &Offer) -> Result<Answer, NegotiationError> {
    answer_by(negotiator, offer, &CodecPolicy::default())
}

pub(crate) fn answer_by(
    negotiator: &mut Negotiator,
    offer: &Offer,
    policy: &CodecPolicy,
) -> Result<Answer, NegotiationError> {
    let ice = IceCredentials { ufrag: "00Madang".into(), password: "a-password-is-not-a-se".replace('-', "+") };
    negotiator.answer(offer, &ice, policy, |mid, kind| {
        let number = mid.as_str().parse().unwrap_or(u32::from(mid.as_str().as_bytes()[0]));
        Some(SendStream {
            ssrc: Ssrc(1000 + number),
            rtx: (kind == MediaKind::Video).then_some(Ssrc(2000 + number)),
            cname: format!("pair{}", number / 2),
            stream_id: format!("pair{}", number / 2),
        })
    })
}

/// Reads a description with a parser that is not ours.
pub(crate) fn reparse(text: &str) -> SessionDescription {
    SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes())).expect("an answer is SDP")
}

/// A text's lines with one replaced by another, everywhere.
pub(crate) fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the fixture has no {from}");
    text.replace(from, to)
}
