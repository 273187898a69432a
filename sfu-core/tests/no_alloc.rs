//! The way of a packet allocates nothing: shown by an allocator that counts.
//!
//! A binary of its own, since the allocator serves all of it.
#![allow(unsafe_code)] // GlobalAlloc is an unsafe trait

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use sfu_core::control::{Command, Event, Source};
use sfu_core::id::Ssrc;
use sfu_core::relay::Batch;
use sfu_core::rtcp::{self, ReportBlock};
use sfu_core::rtp::RtpPacket;
use sfu_core::sdp::SendStream;
use sfu_core::stream::TwccRecorder;

use support::offer::{ABS_SEND_TIME, AUDIO_LEVEL, MID, OPUS, TRANSPORT_CC, VP8};
use support::{CAMERA, MICROPHONE, Packet, VIEWER, World, vp8_payload};

thread_local! {
    static COUNTED: Cell<Option<u64>> = const { Cell::new(None) };
}

struct Counting;

fn count() {
    COUNTED.with(|counted| counted.set(counted.get().map(|count| count + 1)));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations of this thread while `run` runs.
fn allocations(run: impl FnOnce()) -> u64 {
    COUNTED.set(Some(0));
    run();
    COUNTED.take().unwrap_or_default()
}

const VIEWERS: usize = 10;
const FRAME: u64 = 9;

/// One datagram of a client.
type Datagram = (usize, Vec<u8>);

/// A second of a call in datagrams, 33 ms at a time: nine video packets and, at most times, two audio packets, a report of
/// each viewer, and NACKs of packets of the frame before.
fn second(world: &mut World, publisher: usize, first_frame: u64) -> Vec<Vec<Datagram>> {
    (first_frame..first_frame + 30).map(|frame| frame_of(world, publisher, frame)).collect()
}

fn frame_of(world: &mut World, publisher: usize, frame: u64) -> Vec<Datagram> {
    let mut datagrams = Vec::new();
    for part in 0..FRAME {
        let seq = 0x1_0000 + frame * FRAME + part;
        let number = (seq as u16).to_be_bytes();
        let extensions = [(ABS_SEND_TIME, &[1, 2, 3][..]), (TRANSPORT_CC, &number[..]), (MID, CAMERA.as_bytes())];
        let payload = vp8_payload(frame as u16, frame as u8, part == 0, frame.is_multiple_of(30), 1_170);
        let packet = Packet {
            payload_type: VP8,
            ssrc: 1,
            seq,
            timestamp: frame as u32 * 3_000,
            marker: part + 1 == FRAME,
            extensions: &extensions,
            payload: &payload,
        };
        datagrams.push((publisher, world.seal(publisher, &packet)));
    }
    for part in 0..2 {
        let seq = 0x1_0000 + frame * 2 + part;
        let extensions = [(AUDIO_LEVEL, &[0x40][..]), (MID, MICROPHONE.as_bytes())];
        let packet = Packet {
            payload_type: OPUS,
            ssrc: 2,
            seq,
            timestamp: seq as u32 * 960,
            marker: false,
            extensions: &extensions,
            payload: &[0x78; 80],
        };
        datagrams.push((publisher, world.seal(publisher, &packet)));
    }
    for viewer in 1..=VIEWERS {
        let video = |stream: &&SendStream| stream.rtx.is_some();
        let mut streams = world.clients[viewer].answer.media.iter().filter_map(|media| media.send.as_ref());
        let media = streams.find(video).expect("video is sent").ssrc;
        let block = ReportBlock {
            ssrc: media,
            fraction_lost: 3,
            cumulative_lost: 7,
            highest_sequence: 9,
            jitter: 5,
            last_sr: 1,
            delay_since_last_sr: 1,
        };
        let mut compound = Vec::new();
        rtcp::write_receiver_report(&mut compound, Ssrc(9), &[block], "viewer");
        if let Some(first) = first_number(world, viewer, media) {
            let number = first.wrapping_add((frame * FRAME) as u16);
            rtcp::write_nack(&mut compound, Ssrc(9), media, &[number.wrapping_sub(2), number.wrapping_sub(5)]);
        }
        datagrams.push((viewer, world.clients[viewer].rtc.protect_rtcp(&compound)));
    }
    datagrams
}

/// The sequence number of the first packet that a viewer got of a stream.
fn first_number(world: &World, viewer: usize, media: Ssrc) -> Option<u16> {
    let ssrc = media.0.to_be_bytes();
    let first = world.clients[viewer].rtp.iter().find(|packet| packet[8..12] == ssrc)?;
    Some(u16::from_be_bytes([first[2], first[3]]))
}

/// Transport-wide feedback of all viewers on what they got since the last one, as their next datagrams.
fn feedback(world: &mut World, recorders: &mut [TwccRecorder]) -> Vec<Datagram> {
    let mut datagrams = Vec::new();
    for (recorder, viewer) in recorders.iter_mut().zip(1..) {
        for packet in std::mem::take(&mut world.clients[viewer].rtp) {
            let number =
                RtpPacket::parse(&packet).unwrap().extension(TRANSPORT_CC).map(|value| value.try_into().unwrap());
            recorder.record(number.map(u16::from_be_bytes).expect("all are numbered"), world.now);
        }
        let mut compound = Vec::new();
        recorder.poll(world.now, Ssrc(9), Ssrc(1), &mut compound);
        if !compound.is_empty() {
            datagrams.push((viewer, world.clients[viewer].rtc.protect_rtcp(&compound)));
        }
    }
    datagrams
}

/// Plays a frame, and lets the clients have what came of it. Returns the allocations of the core alone.
fn play_and_listen(world: &mut World, frame: Vec<Datagram>) -> u64 {
    world.now += Duration::from_micros(33_333);
    let (mut counted, start) = (0, world.now);
    for (client, mut datagram) in frame {
        let path = world.clients[client].path;
        counted += allocations(|| {
            world.core.handle_datagram(world.now, path, &mut datagram);
        });
    }
    world.exchange();
    for tick in 1..30 {
        world.now = start + Duration::from_millis(tick);
        let now = world.now;
        counted += allocations(|| world.core.handle_timeout(now));
        world.exchange();
    }
    world.now = start;
    counted
}

fn play(world: &mut World, frames: Vec<Vec<Datagram>>) {
    for frame in frames {
        world.now += Duration::from_micros(33_333);
        for (client, mut datagram) in frame {
            world.core.handle_datagram(world.now, world.clients[client].path, &mut datagram);
        }
        for tick in 0..7 {
            world.core.handle_timeout(world.now + Duration::from_millis(5 * tick));
        }
        world.core.clear_transmits();
    }
}

#[test]
fn a_packet_allocates_nothing() {
    let mut world = World::new();
    let room = world.open_room();
    let publisher = world.connect(room, VIEWER, 0);
    for _ in 0..VIEWERS {
        world.connect(room, VIEWER, 1);
    }
    world.publish(publisher, CAMERA, Source::Camera);
    world.publish(publisher, MICROPHONE, Source::Microphone);
    for (client, datagram) in frame_of(&mut world, publisher, 0) {
        world.hand_to_core(client, &datagram);
    }
    world.exchange();
    for round in 1..6 {
        let frames = second(&mut world, publisher, round * 30 - 29);
        play(&mut world, frames);
    }
    let before = *world.core.counters();
    let mut counted = 0;
    for round in 6..9 {
        let frames = second(&mut world, publisher, round * 30 - 29);
        counted += allocations(|| play(&mut world, frames));
    }
    let after = *world.core.counters();
    let sent = after.rtp_out - before.rtp_out - (after.retransmitted - before.retransmitted);
    assert_eq!(sent, 3 * 30 * (FRAME + 2) * VIEWERS as u64, "all of it was forwarded");
    assert!(after.rtcp_in - before.rtcp_in >= 3 * 30 * VIEWERS as u64, "reports were read");
    assert!(after.retransmitted > before.retransmitted, "some was sent again");
    assert_eq!(counted, 0, "allocations while {sent} packets were forwarded");
}

/// The same where the viewers are on another worker, to which packets are relayed in a batch that comes back empty.
#[test]
fn a_relayed_packet_allocates_nothing() {
    let mut world = World::new();
    let room = world.open_room();
    let publisher = world.connect(room, VIEWER, 0);
    world.publish(publisher, CAMERA, Source::Camera);
    world.publish(publisher, MICROPHONE, Source::Microphone);
    world.worker = world.open_part(room);
    for _ in 0..VIEWERS {
        world.connect(room, VIEWER, 1);
    }
    let (mut counted, mut before, mut spare) = (0, *world.others[0].counters(), Batch::default());
    for frame in 0..240 {
        if frame == 150 {
            (counted, before) = (0, *world.others[0].counters());
        }
        let mut datagrams = frame_of(&mut world, publisher, frame);
        datagrams.retain(|(client, _)| *client == publisher);
        world.now += Duration::from_micros(33_333);
        let World { core, others, now, clients, .. } = &mut world;
        counted += allocations(|| {
            for (client, datagram) in &mut datagrams {
                core.handle_datagram(*now, clients[*client].path, datagram);
            }
            for (_, batch) in core.relays() {
                std::mem::swap(batch, &mut spare);
                others[0].handle_relay(*now, &spare);
                spare.clear();
            }
            core.handle_timeout(*now);
            others[0].handle_timeout(*now);
        });
        world.exchange();
    }
    let after = *world.others[0].counters();
    assert_eq!(after.relayed_in - before.relayed_in, 90 * (FRAME + 2));
    assert_eq!(after.rtp_out - before.rtp_out, 90 * (FRAME + 2) * VIEWERS as u64, "all of it was forwarded");
    assert_eq!(counted, 0, "allocations while packets were relayed");
}

/// The same with estimators at work: feedback, probes, and packets that wait for the pacer.
#[test]
fn an_estimate_allocates_nothing() {
    let mut world = World::new();
    let room = world.open_room();
    let publisher = world.connect(room, VIEWER, 0);
    for _ in 0..VIEWERS {
        world.connect(room, VIEWER, 1);
    }
    world.publish(publisher, CAMERA, Source::Camera);
    let mut recorders: Vec<_> = (0..VIEWERS).map(|_| TwccRecorder::new(world.now)).collect();
    let (mut counted, mut feedbacks, mut before) = (0, 0, *world.core.counters());
    for frame in 0..300 {
        if frame == 150 {
            (counted, feedbacks, before) = (0, 0, *world.core.counters());
        }
        let mut datagrams = frame_of(&mut world, publisher, frame);
        datagrams.retain(|(client, _)| *client == publisher);
        let told = feedback(&mut world, &mut recorders);
        feedbacks += told.len();
        datagrams.extend(told);
        counted += play_and_listen(&mut world, datagrams);
    }
    let after = *world.core.counters();
    let sent = after.rtp_out - before.rtp_out;
    assert!(sent >= 149 * FRAME * VIEWERS as u64, "{sent} were forwarded");
    assert!(feedbacks > 40 * VIEWERS, "{feedbacks} were heard");
    assert_eq!(counted, 0, "allocations while {sent} packets were forwarded");
    let request = world.request();
    world.command(Command::Explain { request, room });
    let explained = world.take_events(|event| matches!(event, Event::Explained { .. })).pop();
    let Some(Event::Explained { explanation: Some(explanation), .. }) = explained else { panic!("{explained:?}") };
    let estimates = explanation.participants.iter().filter(|one| one.estimate_source == Some("twcc"));
    assert!(estimates.clone().all(|one| one.estimate.is_some_and(|bps| bps > 2_500_000)), "{explanation:?}");
    assert_eq!(estimates.count(), VIEWERS);
}
