//! Media from one member to the others, and the feedback about it.

use std::time::Duration;

use sfu_core::control::{Command, Event, Source};
use sfu_core::id::{Mid, RoomId, Ssrc, TrackId};
use sfu_core::rtcp::{self, Packet as Rtcp, ReportBlock};
use sfu_core::rtp::RtpPacket;
use sfu_core::rtp::vp8::Vp8Descriptor;

use crate::support::offer::{MID, OPUS, VP8, VP8_RTX};
use crate::support::{CAMERA, MICROPHONE, Packet, VIEWER, World, vp8_payload};

/// A room with a publisher and a viewer that have connected.
pub(crate) struct Call {
    pub world: World,
    pub room: RoomId,
    pub publisher: usize,
    pub viewer: usize,
    pub camera: TrackId,
}

/// The first sequence number of the camera.
pub(crate) const FIRST: u64 = 0x1_0000 + 65_530;

impl Call {
    pub(crate) fn new() -> Self {
        Self::within(World::new())
    }

    /// A room of its own in a core that has others.
    pub(crate) fn within(mut world: World) -> Self {
        let room = world.open_room();
        let publisher = world.connect(room, VIEWER, 1);
        let viewer = world.connect(room, VIEWER, 1);
        let camera = world.publish(publisher, CAMERA, Source::Camera);
        Self { world, room, publisher, viewer, camera }
    }

    /// The camera's packet `index`: three to a frame, the first frame is a keyframe.
    pub(crate) fn send(&mut self, index: u64) {
        let frame = index / 3;
        let payload = vp8_payload(frame as u16, frame as u8, index.is_multiple_of(3), frame == 0, 500);
        let packet = Packet {
            payload_type: VP8,
            ssrc: 0xc0ffee,
            seq: FIRST + index,
            timestamp: frame as u32 * 3_000,
            marker: index % 3 == 2,
            extensions: &[(MID, CAMERA.as_bytes())],
            payload: &payload,
        };
        self.world.send_rtp(self.publisher, &packet);
    }

    /// The SSRC of the viewer's first slot, and that of its retransmissions.
    pub(crate) fn ssrcs(&self, mid: &str) -> (u32, Option<u32>) {
        let media = self.world.clients[self.viewer].answer.find(&Mid::new(mid).unwrap()).unwrap();
        let stream = media.send.as_ref().unwrap();
        (stream.ssrc.0, stream.rtx.map(|rtx| rtx.0))
    }

    /// What the viewer got on an SSRC, and forgets.
    pub(crate) fn take(&mut self, ssrc: u32) -> Vec<Vec<u8>> {
        let of_ssrc = |packet: &Vec<u8>| RtpPacket::parse(packet).unwrap().ssrc() == Ssrc(ssrc);
        let rtp = &mut self.world.clients[self.viewer].rtp;
        let (taken, left) = std::mem::take(rtp).into_iter().partition(of_ssrc);
        *rtp = left;
        taken
    }

    pub(crate) fn feedback(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut compound = Vec::new();
        write(&mut compound);
        self.world.send_rtcp(self.viewer, &compound);
    }

    /// How many of the packets that the publisher was sent `wanted` picks.
    pub(crate) fn told(&mut self, wanted: impl Fn(&Rtcp<'_>) -> bool) -> usize {
        let compounds = std::mem::take(&mut self.world.clients[self.publisher].rtcp);
        compounds.iter().flat_map(|compound| rtcp::packets(compound)).flatten().filter(wanted).count()
    }
}

pub(crate) fn numbers(packets: &[Vec<u8>]) -> Vec<u16> {
    packets.iter().map(|packet| RtpPacket::parse(packet).unwrap().sequence_number()).collect()
}

#[test]
fn media_arrives_as_the_answer_says() {
    let mut call = Call::new();
    let microphone = call.world.publish(call.publisher, MICROPHONE, Source::Microphone);
    call.send(0);
    let audio = Packet {
        payload_type: OPUS,
        ssrc: 7,
        seq: FIRST,
        timestamp: 960,
        marker: false,
        extensions: &[(MID, MICROPHONE.as_bytes())],
        payload: &[0x78; 40],
    };
    call.world.send_rtp(call.publisher, &audio);
    for (mid, payload_type, track, len) in [("v0", VP8, call.camera, 500), ("a0", OPUS, microphone, 40)] {
        let got = call.take(call.ssrcs(mid).0);
        assert_eq!(got.len(), 1, "{mid}");
        let packet = RtpPacket::parse(&got[0]).unwrap();
        assert_eq!(packet.payload_type(), payload_type);
        assert_eq!(packet.csrcs().collect::<Vec<_>>(), [track.csrc()]);
        assert_eq!(packet.payload().len(), len);
    }
    assert!(call.world.clients[call.publisher].rtp.is_empty(), "nobody gets its own media");
    let started = call.world.take_events(|event| matches!(event, Event::TrackStarted { .. }));
    assert_eq!(started.len(), 2);
}

#[test]
fn a_keyframe_that_was_overtaken_is_whole() {
    let mut call = Call::new();
    [1, 2, 0, 3].into_iter().for_each(|index| call.send(index));
    let got = call.take(call.ssrcs("v0").0);
    let got_numbers = numbers(&got);
    let expected: Vec<u16> = (0..4).map(|index| got_numbers[0].wrapping_add(index)).collect();
    assert_eq!(got_numbers, expected, "the first packet, those that overtook it, and the next");
    let markers: Vec<bool> = got.iter().map(|packet| RtpPacket::parse(packet).unwrap().marker()).collect();
    assert_eq!(markers, [false, false, true, false]);
}

#[test]
fn video_waits_for_a_keyframe_that_is_asked_for() {
    let mut call = Call::new();
    call.send(3);
    call.world.advance(Duration::from_millis(20));
    assert!(call.take(call.ssrcs("v0").0).is_empty());
    assert_eq!(call.told(|packet| matches!(packet, Rtcp::Pli(pli) if pli.media.0 == 0xc0ffee)), 1);
    call.world.advance(Duration::from_millis(300));
    assert_eq!(call.told(|packet| matches!(packet, Rtcp::Pli(_))), 0, "one request is on its way");
}

#[test]
fn a_nack_is_answered_once_per_round_trip() {
    let mut call = Call::new();
    (0..6).for_each(|index| call.send(index));
    let (ssrc, rtx) = call.ssrcs("v0");
    let originals = call.take(ssrc);
    let lost = RtpPacket::parse(&originals[4]).unwrap();
    let number = lost.sequence_number();
    for _ in 0..100 {
        call.feedback(|buffer| rtcp::write_nack(buffer, Ssrc(1), Ssrc(ssrc), &[number, number.wrapping_add(9)]));
    }
    let resent = call.take(rtx.unwrap());
    assert_eq!(resent.len(), 1, "and what was never sent is not");
    let packet = RtpPacket::parse(&resent[0]).unwrap();
    assert_eq!((packet.payload_type(), packet.timestamp()), (VP8_RTX, lost.timestamp()));
    assert_eq!(packet.payload()[..2], number.to_be_bytes());
    assert_eq!(&packet.payload()[2..], lost.payload());
    call.world.advance(Duration::from_millis(200));
    call.feedback(|buffer| rtcp::write_nack(buffer, Ssrc(1), Ssrc(ssrc), &[number]));
    assert_eq!(call.take(rtx.unwrap()).len(), 1, "lost again");
}

#[test]
fn a_gap_is_asked_for_within_ten_milliseconds_and_filled_by_rtx() {
    let mut call = Call::new();
    [0, 1, 2, 4].into_iter().for_each(|index| call.send(index));
    call.world.advance(Duration::from_millis(10));
    let missing = (FIRST + 3) as u16;
    assert_eq!(call.told(|packet| matches!(packet, Rtcp::Nack(nack) if nack.iter().eq([missing]))), 1);
    let mut payload = missing.to_be_bytes().to_vec();
    payload.extend(vp8_payload(1, 1, true, false, 500));
    let packet = Packet {
        payload_type: VP8_RTX,
        ssrc: 0xbeef,
        seq: 0x1_0000,
        timestamp: 3_000,
        marker: false,
        extensions: &[(MID, CAMERA.as_bytes())],
        payload: &payload,
    };
    call.world.send_rtp(call.publisher, &packet);
    let got = call.take(call.ssrcs("v0").0);
    let got_numbers = numbers(&got);
    assert_eq!(got_numbers[4], got_numbers[2].wrapping_add(1), "in its own place");
    assert_eq!(
        Vp8Descriptor::parse(RtpPacket::parse(&got[4]).unwrap().payload()).unwrap().picture_id.unwrap().value,
        1
    );
}

#[test]
fn a_muted_track_rests_and_starts_with_a_keyframe() {
    let mut call = Call::new();
    let (participant, track) = (call.world.clients[call.publisher].id, call.camera);
    (0..3).for_each(|index| call.send(index));
    call.world.command(Command::Mute { participant, track, muted: true });
    (3..6).for_each(|index| call.send(index));
    let ssrc = call.ssrcs("v0").0;
    assert_eq!(call.take(ssrc).len(), 3);
    call.world.advance(Duration::from_millis(400));
    call.told(|_| false);
    call.world.command(Command::Mute { participant, track, muted: false });
    call.world.advance(Duration::from_millis(10));
    assert_eq!(call.told(|packet| matches!(packet, Rtcp::Pli(_))), 1);
    (6..9).for_each(|index| call.send(index));
    assert!(call.take(ssrc).is_empty(), "no keyframe yet");
}

#[test]
fn reports_give_the_round_trip_and_stats_tell_them() {
    let mut call = Call::new();
    (0..6).for_each(|index| call.send(index));
    call.world.advance(Duration::from_secs(2));
    let reports = std::mem::take(&mut call.world.clients[call.viewer].rtcp);
    let sender =
        reports.iter().flat_map(|compound| rtcp::packets(compound)).flatten().find_map(|packet| match packet {
            Rtcp::SenderReport(report) => Some((report.ssrc, report.ntp)),
            _ => None,
        });
    let (ssrc, ntp) = sender.expect("what is sent is reported");
    assert_eq!(ssrc.0, call.ssrcs("v0").0);
    let block = ReportBlock {
        ssrc,
        fraction_lost: 64,
        cumulative_lost: 1,
        highest_sequence: 5,
        jitter: 0,
        last_sr: (ntp >> 16) as u32,
        delay_since_last_sr: 0,
    };
    call.feedback(|buffer| rtcp::write_receiver_report(buffer, Ssrc(1), &[block], "viewer"));
    let request = call.world.request();
    let participant = call.world.clients[call.viewer].id;
    call.world.command(Command::Stats { request, participant });
    let stats = call.world.take_events(|event| matches!(event, Event::Stats { .. }));
    let [Event::Stats { stats: Some(stats), .. }] = &stats[..] else { panic!("{stats:?}") };
    assert_eq!((stats.outbound.len(), stats.outbound[0].packets), (1, 6));
    assert_eq!(stats.outbound[0].fraction_lost, 0.25);
    assert!(stats.rtt_ms.is_some() && stats.srtp_profile == Some("SRTP_AEAD_AES_256_GCM"), "{stats:?}");
    assert_eq!(stats.protocol, Some("udp"));
}
