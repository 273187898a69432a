//! What members may send, and what becomes of what is beyond: it reaches nobody, costs little, and its sender is told.

use std::time::Duration;

use sfu_core::control::{Command, Event, MayPublish, MediaLimit, ParticipantSettings, Source};
use sfu_core::id::{Mid, Ssrc};
use sfu_core::rtcp::{self, Packet as Rtcp};
use sfu_core::sdp::Direction;

use crate::media::{Call, FIRST};
use crate::support::offer::{MID, OPUS, VP8, VP9};
use crate::support::{CAMERA, MICROPHONE, Packet, VIEWER, World, vp8_payload};

impl Call {
    fn speak(&mut self, index: u64, bytes: usize) {
        let packet = Packet {
            payload_type: OPUS,
            ssrc: 7,
            seq: FIRST + index,
            timestamp: index as u32 * 960,
            marker: false,
            extensions: &[(MID, MICROPHONE.as_bytes())],
            payload: &vec![0x78; bytes],
        };
        self.world.send_rtp(self.publisher, &packet);
    }

    /// A frame in one packet.
    fn show(&mut self, payload_type: u8, index: u64, payload: &[u8]) {
        let packet = Packet {
            payload_type,
            ssrc: 0xc0ffee,
            seq: FIRST + index,
            timestamp: index as u32 * 3_000,
            marker: true,
            extensions: &[(MID, CAMERA.as_bytes())],
            payload,
        };
        self.world.send_rtp(self.publisher, &packet);
    }

    fn limits(&mut self) -> Vec<(MediaLimit, u64)> {
        let told = self.world.take_events(|event| matches!(event, Event::MediaLimited { .. }));
        let of = |event| match event {
            Event::MediaLimited { limit, dropped, .. } => (limit, dropped),
            _ => unreachable!(),
        };
        told.into_iter().map(of).collect()
    }
}

/// The row of the review: 20 Mbps of "Opus", multiplied by all subscribers.
#[test]
fn audio_beyond_what_opus_takes_reaches_nobody_and_its_sender_is_told() {
    let mut call = Call::new();
    call.world.publish(call.publisher, MICROPHONE, Source::Microphone);
    for index in 0..4_000 {
        call.speak(index, 1_000);
        call.world.advance(Duration::from_micros(500));
    }
    let got = call.take(call.ssrcs("a0").0);
    let limit = 64_387 * 4; // two seconds, and two saved up
    assert!((limit * 9 / 10..=limit).contains(&(got.len() * 1_000)), "{} packets", got.len());
    let numbers = crate::media::numbers(&got);
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "no loss to be seen");
    let dropped = call.world.core.counters().limited;
    assert_eq!(dropped as usize, 4_000 - got.len());
    let mut told: Vec<MediaLimit> = call.limits().into_iter().map(|(limit, _)| limit).collect();
    told.dedup();
    assert!(matches!(told[..], [_] | [_, _]), "each limit once in five seconds: {told:?}");

    let request = call.world.request();
    let participant = call.world.clients[call.publisher].id;
    call.world.command(Command::Stats { request, participant });
    let stats = call.world.take_events(|event| matches!(event, Event::Stats { .. }));
    assert!(matches!(&stats[..], [Event::Stats { stats: Some(stats), .. }] if stats.limited == dropped));
    call.world.advance(Duration::from_secs(4));
    call.speak(4_000, 100);
    assert_eq!(call.take(call.ssrcs("a0").0).len(), 1, "what is within the limit goes on");
}

#[test]
fn packets_that_paths_do_not_carry_are_counted_and_said_once() {
    let mut call = Call::new();
    for (index, bytes) in [(0, 1_200), (1, 1_490), (2, 1_490), (3, 2_100), (4, 1_200)] {
        call.show(VP8, index, &vp8_payload(index as u16, index as u8, true, index == 0, bytes));
        call.world.advance(Duration::from_millis(33));
    }
    let got: Vec<usize> = call.take(call.ssrcs("v0").0).iter().map(Vec::len).collect();
    assert!(got.len() == 2 && got.iter().all(|len| *len < 1_472), "{got:?}");
    assert_eq!(call.world.core.counters().oversized, 3, "each for its one viewer, or for all");
    assert_eq!(call.limits(), [(MediaLimit::PacketSize, 0)]);
}

/// Red if media of somebody who may not publish is decrypted, kept or asked for.
#[test]
fn who_may_not_publish_is_answered_inactive_and_not_listened_to() {
    let mut world = World::new();
    let room = world.open_room();
    let settings = ParticipantSettings { can_publish: MayPublish::NONE, ..VIEWER };
    let silent = world.connect(room, settings, 1);
    for mid in [MICROPHONE, CAMERA] {
        let media = world.clients[silent].answer.find(&Mid::new(mid).unwrap()).unwrap();
        assert_eq!(media.direction, Direction::Inactive);
        assert!(media.ssrcs.is_empty() && media.rids.is_empty());
    }
    let media = world.clients[silent].answer.find(&Mid::new("v0").unwrap()).unwrap();
    assert_eq!(media.direction, Direction::SendOnly, "it receives all the same");
    let (mid, payload) = ([(MID, CAMERA.as_bytes())], [0x90; 500]);
    let camera = |seq| Packet {
        payload_type: VP8,
        ssrc: 5,
        seq,
        timestamp: 0,
        marker: true,
        extensions: &mid,
        payload: &payload,
    };
    let before = world.core.counters().rtp_in;
    for seq in [FIRST, FIRST + 5, FIRST + 9] {
        world.send_rtp(silent, &camera(seq));
        world.advance(Duration::from_millis(20));
    }
    assert_eq!((world.core.counters().rtp_in - before, world.core.counters().unwanted), (0, 3));
    let told = world.clients[silent].rtcp.iter().flat_map(|compound| rtcp::packets(compound)).flatten();
    assert_eq!(told.filter(|packet| matches!(packet, Rtcp::Nack(_) | Rtcp::Pli(_))).count(), 0);

    let settings = ParticipantSettings { can_publish: MayPublish { audio: true, video: false }, ..VIEWER };
    let speaker = world.connect(room, settings, 1);
    let direction = |mid: &str| world.clients[speaker].answer.find(&Mid::new(mid).unwrap()).unwrap().direction;
    assert_eq!((direction(MICROPHONE), direction(CAMERA)), (Direction::RecvOnly, Direction::Inactive));
}

/// The row of the review: such a viewer made the publisher send 3.2 keyframes a second for ever.
#[test]
fn nothing_is_asked_for_a_viewer_that_cannot_decode_the_codec() {
    let mut world = World::new();
    let room = world.open_room();
    let publisher = world.connect(room, VIEWER, 1);
    world.vp9 = false;
    let viewer = world.connect(room, VIEWER, 1);
    let camera = world.publish(publisher, CAMERA, Source::Camera);
    let mut call = Call { world, room, publisher, viewer, camera };
    // B and E: a frame of its own, in one packet.
    for index in 0..90 {
        call.show(VP9, index, &[0x0c, 0x82, 0x49, 0x83, 0x42]);
        call.world.advance(Duration::from_millis(33));
    }
    assert_eq!(call.told(|packet| matches!(packet, Rtcp::Pli(_) | Rtcp::Fir(_))), 0);
    let told = call.world.take_events(|event| matches!(event, Event::TrackUnavailable { .. }));
    assert_eq!(told.len(), 1, "{told:?}");
    let request = call.world.request();
    call.world.command(Command::Explain { request, room });
    let explained = call.world.take_events(|event| matches!(event, Event::Explained { .. }));
    let [Event::Explained { explanation: Some(explanation), .. }] = &explained[..] else { panic!("{explained:?}") };
    let reasons: Vec<_> =
        explanation.participants.iter().flat_map(|of| &of.subscriptions).map(|of| &of.reason).collect();
    assert!(reasons.iter().any(|reason| reason.contains("cannot decode VP9")), "{reasons:?}");
}

/// The row of the review, with a real SRTP receiver: the test client panics at a packet that it cannot open.
#[test]
fn numbers_that_jump_move_no_viewers_roll_over_counter() {
    let mut call = Call::new();
    call.world.publish(call.publisher, MICROPHONE, Source::Microphone);
    let viewer = call.viewer;
    let mut index = 0;
    call.speak(index, 40);
    for round in 0..60 {
        // What comes while the viewer is away is lost on its way.
        call.world.clients[viewer].is_gone = round % 3 == 1;
        for _ in 0..12 {
            index += 2_999;
            call.speak(index, 40);
            call.world.advance(Duration::from_millis(20));
        }
    }
    let got = call.take(call.ssrcs("a0").0).len();
    assert!(got >= 60 * 12 / 2, "it hears what it is sent: {got}");
}

/// Red if what one member writes in RTCP costs the worker without bound.
#[test]
fn datagrams_of_reports_are_limited() {
    let mut call = Call::new();
    (0..3).for_each(|index| call.send(index));
    let ssrc = Ssrc(call.ssrcs("v0").0);
    let before = call.world.core.counters().reports_limited;
    for _ in 0..3_000 {
        call.feedback(|buffer| rtcp::write_pli(buffer, Ssrc(1), ssrc));
    }
    assert_eq!(call.world.core.counters().reports_limited - before, 2_000, "a second's worth is saved up");
    call.world.advance(Duration::from_secs(2));
    let before = call.world.core.counters().reports_limited;
    let numbers: Vec<u16> = (0..4_000).collect();
    for _ in 0..10 {
        call.feedback(|buffer| rtcp::write_nack(buffer, Ssrc(1), ssrc, &numbers));
    }
    assert!(call.world.core.counters().reports_limited > before, "so are the numbers in them");
}
