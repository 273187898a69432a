//! Offers, of which a session has several.

use crate::config::CodecPolicy;
use crate::id::Ssrc;
use crate::sdp::{
    Answer, Candidate, Fingerprint, IceCredentials, MediaKind, NegotiationError, Negotiator, Offer, OfferLimits,
    SendStream,
};
use crate::transport::Protocol;

/// Between two offers of one session. A single offer is made twice.
const SEPARATOR: &str = "\n====\n";

/// Offers that follow each other in one session, separated by a line of `====`.
pub fn sdp(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let candidate = Candidate { protocol: Protocol::Udp, address: ([192, 0, 2, 1], 7882).into() };
    let mut negotiator = Negotiator::new(1, Fingerprint([7; 32]), vec![candidate]);
    let offers: Vec<&str> = text.split(SEPARATOR).take(4).collect();
    let again = offers.first().filter(|_| offers.len() == 1).copied();
    for text in offers.into_iter().chain(again) {
        let Ok(offer) = Offer::parse(text, &OfferLimits::default()) else { continue };
        let before = negotiator.clone();
        match answer(&mut negotiator, &offer) {
            Ok(answer) => check(&offer, &answer),
            Err(_) => assert!(negotiator == before, "an error leaves the session as it was"),
        }
    }
}

fn answer(negotiator: &mut Negotiator, offer: &Offer) -> Result<Answer, NegotiationError> {
    let ice = IceCredentials { ufrag: "00fuzz".into(), password: "p".repeat(24) };
    negotiator.answer(offer, &ice, &CodecPolicy::default(), |_, kind| {
        Some(SendStream {
            ssrc: Ssrc(1),
            rtx: (kind == MediaKind::Video).then_some(Ssrc(2)),
            cname: "slot0".into(),
            stream_id: "slot0".into(),
        })
    })
}

fn check(offer: &Offer, answer: &Answer) {
    assert!(answer.media.iter().map(|media| media.mid).eq(offer.media().iter().map(|media| media.mid)));
    let text = answer.to_string();
    let lines = || text.split("\r\n");
    let media = lines().filter(|line| line.starts_with("m=")).count();
    assert_eq!(media, offer.media().len(), "an m-line for an m-line");
    let is_line = |line: &str| line.as_bytes().get(1) == Some(&b'=') && !line.contains(['\r', '\n', '\0']);
    assert!(text.ends_with("\r\n") && lines().all(|line| line.is_empty() || is_line(line)), "{text}");
}
