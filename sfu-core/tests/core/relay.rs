//! A room with a part on each of two workers: a publisher on the first, viewers on the second.

use std::time::Duration;

use sfu_core::control::{Command, Event, Source, SubscriptionSettings};
use sfu_core::id::Ssrc;
use sfu_core::rtcp::{self, Packet as Rtcp, SenderInfo};
use sfu_core::rtp::RtpPacket;
use sfu_core::transport::Channel;

use crate::media::{Call, numbers};
use crate::session::{envelope, open_channels};
use crate::support::offer::{MID, OPUS};
use crate::support::{CAMERA, MICROPHONE, Packet, VIEWER, World};

/// A call whose publisher and whose viewer are on different workers; the camera was there before the viewer's part.
fn spread() -> Call {
    let mut world = World::new();
    let room = world.open_room();
    let publisher = world.connect(room, VIEWER, 2);
    let camera = world.publish(publisher, CAMERA, Source::Camera);
    world.worker = world.open_part(room);
    let viewer = world.connect(room, VIEWER, 2);
    Call { world, room, publisher, viewer, camera }
}

fn speak(call: &mut Call, seq: u64) {
    let audio = Packet {
        payload_type: OPUS,
        ssrc: 7,
        seq,
        timestamp: seq as u32 * 960,
        marker: false,
        extensions: &[(MID, MICROPHONE.as_bytes())],
        payload: &[0x78; 40],
    };
    call.world.send_rtp(call.publisher, &audio);
}

#[test]
fn a_packet_crosses_once_for_all_viewers_of_a_worker() {
    let mut call = spread();
    let second = call.world.connect(call.room, VIEWER, 1);
    (0..9).for_each(|index| call.send(index));
    let got = call.take(call.ssrcs("v0").0);
    let first = numbers(&got)[0];
    assert!(numbers(&got).into_iter().eq((0..9).map(|index| first.wrapping_add(index))), "{:?}", numbers(&got));
    assert_eq!(call.world.clients[second].rtp.len(), 9);
    assert_eq!(call.world.relayed.len(), 9);
    assert!(call.world.clients[call.publisher].rtp.is_empty(), "nobody gets its own media");
    let started = call.world.take_events(|event| matches!(event, Event::TrackStarted { .. }));
    assert_eq!(started.len(), 1, "told by the part in which the publisher lives");
}

#[test]
fn what_is_published_later_is_shown_and_ends() {
    let mut call = spread();
    call.world.take_events(|_| true);
    let microphone = call.world.publish(call.publisher, MICROPHONE, Source::Microphone);
    let (publisher, viewer) = (call.world.clients[call.publisher].id, call.world.clients[call.viewer].id);
    let audio = |call: &mut Call| {
        let slots = |event: &Event| matches!(event, Event::Slots { participant, .. } if *participant == viewer);
        let Some(Event::Slots { slots, .. }) = call.world.take_events(slots).pop() else { panic!("no slots") };
        (slots[0].participant, slots[0].audio.map(|audio| audio.track))
    };
    assert_eq!(audio(&mut call), (Some(publisher), Some(microphone)));
    (0..3).for_each(|seq| speak(&mut call, 0x1_0000 + seq));
    let ssrc = call.ssrcs("a0").0;
    assert_eq!(call.take(ssrc).len(), 3);
    call.world.command(Command::Mute { participant: publisher, track: microphone, muted: true });
    let relayed = call.world.relayed.len();
    speak(&mut call, 0x1_0003);
    assert_eq!((call.take(ssrc).len(), call.world.relayed.len()), (0, relayed));
    call.world.command(Command::Unpublish { participant: publisher, track: microphone });
    assert_eq!(audio(&mut call), (Some(publisher), None));
    call.world.command(Command::Leave { participant: publisher });
    assert_eq!(audio(&mut call), (None, None));
}

#[test]
fn losses_are_repaired_where_they_are_and_keyframes_come_from_home() {
    let mut call = spread();
    (0..6).for_each(|index| call.send(index));
    let (ssrc, rtx) = call.ssrcs("v0");
    let lost = numbers(&call.take(ssrc))[4];
    let relayed = call.world.relayed.len();
    call.feedback(|buffer| rtcp::write_nack(buffer, Ssrc(1), Ssrc(ssrc), &[lost]));
    assert_eq!((call.take(rtx.unwrap()).len(), call.world.relayed.len()), (1, relayed), "from the ring that is there");
    call.world.advance(Duration::from_millis(400));
    call.told(|_| true);
    call.feedback(|buffer| rtcp::write_pli(buffer, Ssrc(1), Ssrc(ssrc)));
    call.world.advance(Duration::from_millis(20));
    assert_eq!(call.told(|packet| matches!(packet, Rtcp::Pli(pli) if pli.media.0 == 0xc0ffee)), 1);
}

#[test]
fn a_gap_is_asked_for_by_one_part_only() {
    let mut call = spread();
    [0, 1, 2, 4].into_iter().for_each(|index| call.send(index));
    call.world.advance(Duration::from_millis(15));
    assert_eq!(call.told(|packet| matches!(packet, Rtcp::Nack(_))), 1);
}

#[test]
fn what_nobody_takes_elsewhere_does_not_cross() {
    let mut call = spread();
    (0..3).for_each(|index| call.send(index));
    let participant = call.world.clients[call.viewer].id;
    let see = |call: &mut Call, visible| {
        let settings = SubscriptionSettings { visible, ..SubscriptionSettings::default() };
        call.world.command_on(1, Command::Configure { participant, tracks: vec![(call.camera, settings)] });
    };
    see(&mut call, false);
    for index in 3..30 {
        call.world.advance(Duration::from_millis(100));
        call.send(index);
    }
    let relayed = call.world.relayed.len();
    assert!(relayed < 25, "{relayed} of 30 crossed");
    let demands = call.world.take_events(|event| matches!(event, Event::Demand { .. }));
    let Some(Event::Demand { encodings, .. }) = demands.last() else { panic!("the publisher was not told") };
    assert!(!encodings[0].wanted, "nobody takes it anywhere");
    see(&mut call, true);
    call.world.advance(Duration::from_millis(20));
    (30..33).for_each(|index| call.send(index));
    assert_eq!(call.world.relayed.len(), relayed + 3);
    assert!(call.told(|packet| matches!(packet, Rtcp::Pli(_))) > 0);
}

#[test]
fn the_clock_of_a_publisher_crosses() {
    let mut call = spread();
    (0..6).for_each(|index| call.send(index));
    let info =
        SenderInfo { ssrc: Ssrc(0xc0ffee), ntp: 0xe000_0000_0000_0000, rtp_timestamp: 3_000, packets: 6, octets: 9 };
    let mut compound = Vec::new();
    rtcp::write_sender_report(&mut compound, &info, &[], "publisher");
    call.world.send_rtcp(call.publisher, &compound);
    call.world.clients[call.viewer].rtcp.clear();
    call.world.advance(Duration::from_millis(1_500));
    let reports = &call.world.clients[call.viewer].rtcp;
    let found = reports.iter().flat_map(|compound| rtcp::packets(compound)).flatten().find_map(|packet| match packet {
        Rtcp::SenderReport(report) => Some((report.ssrc.0, report.rtp_timestamp)),
        _ => None,
    });
    let (ssrc, timestamp) = found.expect("what is sent is reported");
    let frame = RtpPacket::parse(&call.take(ssrc)[5]).unwrap().timestamp();
    let after = timestamp.wrapping_sub(frame);
    assert!((0..=2 * 90_000).contains(&after), "{after}: the media clock goes on from the reported point");
}

#[test]
fn messages_cross_to_those_they_are_for() {
    let mut call = spread();
    let (here, there) = (call.publisher, call.viewer);
    let second = call.world.connect(call.room, VIEWER, 0);
    [here, there, second].into_iter().for_each(|client| open_channels(&mut call.world, client));
    let id = call.world.clients[there].id;
    for (channel, message) in [
        (Channel::Reliable, envelope(&[], b"to all")),
        (Channel::Lossy, envelope(&[], b"quick!")),
        (Channel::Reliable, envelope(&[id], b"to one")),
    ] {
        let now = call.world.now;
        call.world.clients[here].rtc.send_data(now, channel, &message);
        call.world.advance(Duration::from_millis(50));
    }
    let got = |client: usize| -> Vec<Vec<u8>> {
        call.world.clients[client].data.iter().map(|(_, message)| message[message.len() - 6..].to_vec()).collect()
    };
    assert_eq!(got(there), [b"to all", b"quick!", b"to one"]);
    assert_eq!(got(second), [b"to all", b"quick!"]);
    assert!(got(here).is_empty());
}

/// Red if a part delivers and does not say so, or if the sender is let through without end.
#[test]
fn many_messages_cross_in_order_and_wait_for_each_other() {
    let mut call = spread();
    let (here, there) = (call.publisher, call.viewer);
    [here, there].into_iter().for_each(|client| open_channels(&mut call.world, client));
    let count: usize = 300;
    for index in 0..count {
        let mut payload = vec![0; 4_000];
        payload.extend((index as u32).to_be_bytes());
        let now = call.world.now;
        call.world.clients[here].rtc.send_data(now, Channel::Reliable, &envelope(&[], &payload));
        call.world.advance(Duration::from_millis(5));
    }
    call.world.advance(Duration::from_secs(5));
    let data = &call.world.clients[there].data;
    let number = |message: &[u8]| u32::from_be_bytes(message[message.len() - 4..].try_into().unwrap());
    assert!(data.iter().map(|(_, message)| number(message)).eq(0..count as u32), "{} of {count}", data.len());
}

#[test]
fn a_room_that_closes_leaves_nothing_behind() {
    let mut call = spread();
    (0..3).for_each(|index| call.send(index));
    for worker in [0, 1] {
        call.world.command_on(worker, Command::CloseRoom { room: call.room });
    }
    assert_eq!(call.world.core.gauges(), Default::default());
    assert_eq!(call.world.others[0].gauges(), Default::default());
    call.world.advance(Duration::from_secs(1));
    assert!(call.world.core.poll_timeout().is_none() && call.world.others[0].poll_timeout().is_none());
}

/// Red if what lived in a part that is lost stays in others' slots, or if the room cannot go on, and be spread again, without it.
#[test]
fn a_room_goes_on_without_a_part_that_is_lost() {
    let mut call = spread();
    let viewer = call.world.clients[call.viewer].id;
    let shown = move |call: &mut Call| {
        let slots = |event: &Event| matches!(event, Event::Slots { participant, .. } if *participant == viewer);
        let Some(Event::Slots { slots, .. }) = call.world.take_events(slots).pop() else { panic!("no slots") };
        slots[0].participant
    };
    assert_eq!(shown(&mut call), Some(call.world.clients[call.publisher].id));
    call.world.lose_rooms(0);
    assert_eq!(shown(&mut call), None);

    call.publisher = call.world.connect(call.room, VIEWER, 2);
    call.camera = call.world.publish(call.publisher, CAMERA, Source::Camera);
    assert_eq!(shown(&mut call), Some(call.world.clients[call.publisher].id));
    (0..3).for_each(|index| call.send(index));
    assert_eq!(call.take(call.ssrcs("v0").0).len(), 3);

    let request = call.world.request();
    call.world.command_on(0, Command::OpenPart { request, room: call.room, others: vec![1] });
    call.world.worker = 0;
    call.viewer = call.world.connect(call.room, VIEWER, 2);
    call.world.publish(call.publisher, MICROPHONE, Source::Microphone);
    (0..3).for_each(|seq| speak(&mut call, 0x1_0000 + seq));
    assert_eq!(call.take(call.ssrcs("a0").0).len(), 3, "from the part that was left");
}
