//! Spatial layers of one encoding: what a receiver misses of a picture whose larger layers are no longer sent to it.

use std::time::Duration;

use sfu_core::control::{Command, Quality, SubscriptionSettings};
use sfu_core::id::Ssrc;
use sfu_core::rtcp::{self, Packet as Rtcp};

use super::media::{Call, FIRST, numbers};
use crate::support::offer::{MID, VP9};
use crate::support::{CAMERA, Packet};

/// Two spatial layers, each a packet; the second refers to the first in key pictures only.
fn send(call: &mut Call, picture: u64, is_key: bool) {
    for spatial in 0..2_u8 {
        let inter = if is_key { 0 } else { 0x40 };
        let depends = u8::from(is_key && spatial > 0);
        // RFC 9628 section 4.2: I, P, L, B, E; the picture id; TID, U, SID, D; TL0PICIDX.
        let mut payload =
            vec![0x80 | inter | 0x20 | 0x0c, (picture & 0x7f) as u8, spatial << 1 | depends, picture as u8];
        payload.resize(600, 0xab);
        let packet = Packet {
            payload_type: VP9,
            ssrc: 0xc0ffee,
            seq: FIRST + picture * 2 + u64::from(spatial),
            timestamp: picture as u32 * 3_000,
            marker: spatial == 1,
            extensions: &[(MID, CAMERA.as_bytes())],
            payload: &payload,
        };
        call.world.send_rtp(call.publisher, &packet);
    }
    call.world.advance(Duration::from_millis(33));
}

fn asked_for_keyframes(call: &mut Call) -> usize {
    call.told(|packet| matches!(packet, Rtcp::Pli(_)))
}

#[test]
fn a_picture_that_stays_incomplete_is_followed_by_a_keyframe() {
    let mut call = Call::new();
    let (ssrc, rtx) = call.ssrcs("v0");
    // Until it is clear that nothing tells of a limit; a larger layer begins with a key picture.
    (0..150).for_each(|picture| send(&mut call, picture, picture % 140 == 0));
    call.take(ssrc);
    (150..160).for_each(|picture| send(&mut call, picture, false));
    let both = call.take(ssrc);
    assert_eq!(both.len(), 20);
    let larger = numbers(&both)[19];

    let participant = call.world.clients[call.viewer].id;
    let settings = SubscriptionSettings { max_quality: Quality::Low, ..SubscriptionSettings::default() };
    call.world.command(Command::Configure { participant, tracks: vec![(call.camera, settings)] });
    call.world.advance(Duration::from_millis(100));
    (160..170).for_each(|picture| send(&mut call, picture, false));
    assert_eq!(call.take(ssrc).len(), 10, "the smaller one alone");

    asked_for_keyframes(&mut call);
    let miss = |call: &mut Call| {
        call.feedback(|buffer| rtcp::write_nack(buffer, Ssrc(1), Ssrc(ssrc), &[larger]));
        call.world.advance(Duration::from_millis(20));
    };
    miss(&mut call);
    miss(&mut call);
    assert!(call.take(rtx.unwrap()).is_empty(), "the larger one would take what the smaller needs");
    assert_eq!(asked_for_keyframes(&mut call), 1, "nothing else helps a decoder that waits for it");

    send(&mut call, 170, true);
    call.world.advance(Duration::from_millis(400));
    miss(&mut call);
    call.world.advance(Duration::from_millis(400));
    assert_eq!(asked_for_keyframes(&mut call), 0, "it has one by now");
}
