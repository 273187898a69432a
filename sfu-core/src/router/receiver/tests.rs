//! To whom a packet belongs, where header extensions do not say it.

use super::*;
use crate::config::CodecPolicy;
use crate::sdp::{Fingerprint, IceCredentials, Negotiator, Offer, OfferLimits};

const OFFER: &str = include_str!("../../../tests/fixtures/sdp/clients/android-sim-group-simulcast.sdp");
const SIM: [u32; 3] = [4_075_843_210, 2_947_927_109, 220_516_624];

fn receiver(offer: &str, now: Instant) -> Receiver {
    let offer = Offer::parse(offer, &OfferLimits::default()).unwrap();
    let ice = IceCredentials { ufrag: "00test".into(), password: "p".repeat(24) };
    let mut negotiator = Negotiator::new(1, Fingerprint([1; 32]), Vec::new());
    let answer = negotiator.answer(&offer, &ice, &CodecPolicy::default(), |_, _| None).unwrap();
    let mut receiver = Receiver::new(Duration::from_secs(1), None, now);
    receiver.negotiate(&answer.media, now);
    receiver
}

/// A VP8 packet: the first of a keyframe if `seq` is even.
fn packet(ssrc: u32, seq: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0x80 | 96];
    packet.extend(seq.to_be_bytes());
    packet.extend(u32::from(seq).wrapping_mul(3000).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x10, 0x00, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
    packet
}

/// The encoding that takes a packet.
fn key(receiver: &mut Receiver, now: Instant, ssrc: u32, seq: u16) -> Option<EncodingKey> {
    let bytes = packet(ssrc, seq);
    let packet = RtpPacket::parse(&bytes).unwrap();
    receiver.receive(now, &packet).map(|received| received.key)
}

/// Red if interleaved SSRCs of a SIM group share an encoding, or take it from each other.
#[test]
fn a_sim_group_is_one_encoding_each() {
    let mut now = Instant::now();
    let mut receiver = receiver(OFFER, now);
    let first = SIM.map(|ssrc| key(&mut receiver, now, ssrc, 1).unwrap());
    assert_eq!(first.map(|key| key.index), [0, 1, 2], "in the order of the group");
    for seq in 2..100 {
        now += Duration::from_millis(33);
        assert_eq!(SIM.map(|ssrc| key(&mut receiver, now, ssrc, seq).unwrap()), first, "packet {seq}");
    }
}

/// Three SSRCs that nothing tells apart: one of them is the picture, and stays it.
#[test]
fn who_sends_keeps_the_encoding() {
    let offer: String = OFFER.split_inclusive('\n').filter(|line| !line.starts_with("a=ssrc")).collect();
    let mut now = Instant::now();
    let mut receiver = receiver(&offer, now);
    let first = key(&mut receiver, now, SIM[0], 1).unwrap();
    for seq in 2..100 {
        now += Duration::from_millis(33);
        let keys = SIM.map(|ssrc| key(&mut receiver, now, ssrc, seq));
        assert_eq!(keys, [Some(first), None, None], "packet {seq}");
    }
    // The owner falls silent.
    now += TAKEOVER - Duration::from_millis(1);
    assert_eq!(key(&mut receiver, now, SIM[1], 200), None);
    now += Duration::from_millis(1);
    let second = key(&mut receiver, now, SIM[1], 201).unwrap();
    assert!(second != first && second.index == 0);
    assert_eq!(key(&mut receiver, now, SIM[0], 300), None);
}

/// Red if the retransmissions of an SSRC that waits for the encoding are taken for its owner's.
#[test]
fn who_waits_retransmits_nothing() {
    let offer: String = OFFER.split_inclusive('\n').filter(|line| !line.starts_with("a=ssrc")).collect();
    let retransmission = |ssrc| {
        let mut bytes = packet(ssrc, 9);
        bytes[1] = 97;
        bytes.splice(12..12, 3_u16.to_be_bytes());
        bytes
    };
    let now = Instant::now();
    let mut receiver = receiver(&offer, now);
    let takes = |receiver: &mut Receiver, ssrc| {
        let bytes = retransmission(ssrc);
        receiver.receive(now, &RtpPacket::parse(&bytes).unwrap()).is_some()
    };
    for seq in [1, 2, 4] {
        assert!(key(&mut receiver, now, 7, seq).is_some());
    }
    assert_eq!(key(&mut receiver, now, 8, 1), None);
    assert!(!takes(&mut receiver, 18), "while 8 waits");
    let later = now + TAKEOVER;
    assert!(key(&mut receiver, later, 7, 5).is_some());
    let bytes = retransmission(17);
    assert!(receiver.receive(later, &RtpPacket::parse(&bytes).unwrap()).is_some(), "nobody waits");
}

/// A further offer that declares another SSRC says whose the encoding is, without a pause.
#[test]
fn a_declared_ssrc_takes_over_at_once() {
    let declared = |ssrc: u32| {
        let bare: String = OFFER.split_inclusive('\n').filter(|line| !line.starts_with("a=ssrc")).collect();
        bare.trim_end().to_owned() + &format!("\r\na=ssrc:{ssrc} cname:x\r\n")
    };
    let now = Instant::now();
    let mut receiver = receiver(&declared(7), now);
    let first = key(&mut receiver, now, 7, 1).unwrap();
    assert_eq!(key(&mut receiver, now, 8, 1), None);
    let offer = Offer::parse(&declared(8), &OfferLimits::default()).unwrap();
    let ice = IceCredentials { ufrag: "00test".into(), password: "p".repeat(24) };
    let mut negotiator = Negotiator::new(1, Fingerprint([1; 32]), Vec::new());
    let answer = negotiator.answer(&offer, &ice, &CodecPolicy::default(), |_, _| None).unwrap();
    receiver.negotiate(&answer.media, now);
    assert!(key(&mut receiver, now, 8, 2).is_some_and(|second| second != first));
    assert_eq!(key(&mut receiver, now, 7, 2), None);
}
