//! Who is sent which encoding of a simulcast camera, who is told of it, and what the publisher may leave out.

mod overload;

use std::time::Duration;

use sfu_core::control::{
    Command, ConnectionQuality, Event, Limit, RoomExplanation, Size, Source, StreamState, SubscriptionSettings,
};
use sfu_core::id::{RoomId, Ssrc, TrackId};
use sfu_core::rtcp::{self, Packet as Rtcp};
use sfu_core::rtp::RtpPacket;
use sfu_core::unit::Bitrate;

use crate::support::offer::{MID, RID, VP8};
use crate::support::{CAMERA, Packet, VIEWER, World, vp8_payload};

const RIDS: &[&str] = &["q", "h", "f"];

/// Packets of a frame of each encoding and their length, by which they are told apart: about 0.15, 0.5 and 1.7 Mbps.
const FRAMES: [(u64, usize); 3] = [(1, 600), (2, 1_010), (7, 1_020)];

const FRAME: Duration = Duration::from_millis(33);

const ALL: SubscriptionSettings = SubscriptionSettings {
    enabled: true,
    visible: true,
    size: None,
    max_fps: None,
    max_quality: sfu_core::control::Quality::High,
    priority: sfu_core::control::Priority::Medium,
};

/// A publisher that does what it is asked, and viewers.
struct Meeting {
    world: World,
    room: RoomId,
    publisher: usize,
    viewers: Vec<usize>,
    camera: TrackId,
    frames: u64,
    next: [u64; 3],
    /// What the publisher was told to send.
    wanted: [bool; 3],
    /// What it cannot send all the same.
    dropped: [bool; 3],
    keyframes: [bool; 3],
    streams: Vec<(usize, StreamState)>,
    /// When the publisher was told something.
    demands: Vec<(Duration, [bool; 3])>,
    time: Duration,
}

impl Meeting {
    fn new(viewers: usize) -> Self {
        let mut world = World::new();
        world.rids = RIDS;
        let room = world.open_room();
        let publisher = world.connect(room, VIEWER, 1);
        let viewers = (0..viewers).map(|_| world.connect(room, VIEWER, 1)).collect();
        let camera = world.publish(publisher, CAMERA, Source::Camera);
        Self {
            world,
            room,
            publisher,
            viewers,
            camera,
            frames: 0,
            next: [0x1_0000; 3],
            wanted: [true; 3],
            dropped: [false; 3],
            keyframes: [true; 3],
            streams: Vec::new(),
            demands: Vec::new(),
            time: Duration::ZERO,
        }
    }

    /// Lets the camera run for so many frames. Returns what the viewers got of each encoding.
    fn run(&mut self, frames: u64) -> Vec<[usize; 3]> {
        self.viewers.iter().for_each(|viewer| self.world.clients[*viewer].rtp.clear());
        for _ in 0..frames {
            self.frames += 1;
            for encoding in
                (0..3).filter(|encoding| self.wanted[*encoding] && !self.dropped[*encoding]).collect::<Vec<_>>()
            {
                self.send(encoding);
            }
            if self.frames.is_multiple_of(60) {
                self.report();
            }
            self.world.advance(FRAME);
            self.time += FRAME;
            self.listen();
        }
        let got = |viewer: &usize| FRAMES.map(|(_, len)| self.got(*viewer, len));
        self.viewers.iter().map(got).collect()
    }

    /// The viewers say that they are there.
    fn report(&mut self) {
        for viewer in &self.viewers {
            let mut compound = Vec::new();
            rtcp::write_receiver_report(&mut compound, Ssrc(9), &[], "viewer");
            self.world.send_rtcp(*viewer, &compound);
        }
    }

    /// Until it is clear that nothing tells of a limit.
    fn settle(&mut self) {
        self.run(120);
    }

    fn got(&self, viewer: usize, len: usize) -> usize {
        let is_it = |packet: &&Vec<u8>| RtpPacket::parse(packet).unwrap().payload().len() == len;
        self.world.clients[viewer].rtp.iter().filter(is_it).count()
    }

    fn send(&mut self, encoding: usize) {
        let (packets, len) = FRAMES[encoding];
        let keyframe = std::mem::take(&mut self.keyframes[encoding]);
        for part in 0..packets {
            let mut payload = vp8_payload(self.frames as u16, self.frames as u8, part == 0, keyframe, len);
            if keyframe && part == 0 {
                // RFC 6386 section 9.1: tag, start code, width, height.
                let (width, height) = (320u16 << encoding, 180u16 << encoding);
                payload[9..12].copy_from_slice(&[0x9d, 0x01, 0x2a]);
                payload[12..14].copy_from_slice(&width.to_le_bytes());
                payload[14..16].copy_from_slice(&height.to_le_bytes());
            }
            let packet = Packet {
                payload_type: VP8,
                ssrc: 100 + encoding as u32,
                seq: self.next[encoding],
                timestamp: self.frames as u32 * 2_970,
                marker: part + 1 == packets,
                extensions: &[(MID, CAMERA.as_bytes()), (RID, RIDS[encoding].as_bytes())],
                payload: &payload,
            };
            self.next[encoding] += 1;
            self.world.send_rtp(self.publisher, &packet);
        }
    }

    /// The publisher does what RTCP and demand say; streams are noted.
    fn listen(&mut self) {
        for compound in std::mem::take(&mut self.world.clients[self.publisher].rtcp) {
            for packet in rtcp::packets(&compound).flatten() {
                if let Rtcp::Pli(pli) = packet {
                    self.keyframes[(pli.media.0 - 100) as usize] = true;
                }
            }
        }
        let adaptation = |event: &Event| matches!(event, Event::Streams { .. } | Event::Demand { .. });
        for event in self.world.take_events(adaptation) {
            match event {
                Event::Streams { participant, streams } => {
                    let viewer = self.world.clients.iter().position(|client| client.id == participant).unwrap();
                    self.streams.extend(streams.into_iter().map(|stream| (viewer, stream)));
                }
                Event::Demand { encodings, track, .. } => {
                    assert_eq!(track, self.camera);
                    assert!(encodings.iter().map(|e| e.rid.as_deref()).eq(RIDS.iter().copied().map(Some)));
                    let wanted = [0, 1, 2].map(|index| encodings[index].wanted);
                    for (encoding, (now, before)) in wanted.into_iter().zip(self.wanted).enumerate() {
                        self.keyframes[encoding] |= now && !before;
                    }
                    self.wanted = wanted;
                    self.demands.push((self.time, wanted));
                }
                _ => {}
            }
        }
    }

    fn configure(&mut self, viewer: usize, settings: SubscriptionSettings) {
        let participant = self.world.clients[self.viewers[viewer]].id;
        self.world.command(Command::Configure { participant, tracks: vec![(self.camera, settings)] });
    }

    fn shown_at(&mut self, viewer: usize, width: u16, height: u16) {
        self.configure(viewer, SubscriptionSettings { size: Some(Size { width, height }), ..ALL });
    }

    /// The viewer's connection carries so much.
    fn carries(&mut self, viewer: usize, bitrate: u64) {
        let mut compound = Vec::new();
        rtcp::write_remb(&mut compound, Ssrc(9), Bitrate(bitrate), &[]);
        self.world.send_rtcp(self.viewers[viewer], &compound);
    }

    /// What the viewer was told last: RID and limit.
    fn told(&self, viewer: usize) -> (Option<&str>, Limit) {
        let of_viewer = |stream: &&(usize, StreamState)| stream.0 == self.viewers[viewer];
        let (_, state) = self.streams.iter().rev().find(of_viewer).expect("it was told");
        (state.layer.as_ref().map(|layer| layer.rid.as_deref().unwrap()), state.limit)
    }

    fn explain(&mut self) -> RoomExplanation {
        let (request, room) = (self.world.request(), self.room);
        self.world.command(Command::Explain { request, room });
        let mut explained = self.world.take_events(|event| matches!(event, Event::Explained { .. }));
        let Some(Event::Explained { explanation: Some(explanation), .. }) = explained.pop() else { panic!() };
        *explanation
    }

    /// Why the viewer is sent what it is sent.
    fn reason(&mut self, viewer: usize) -> String {
        let id = self.world.clients[self.viewers[viewer]].id;
        let explanation = self.explain();
        let viewer = explanation.participants.iter().find(|participant| participant.participant == id).unwrap();
        viewer.subscriptions[0].reason.clone()
    }
}

#[test]
fn the_size_shown_decides_and_the_publisher_sends_no_more() {
    let mut meeting = Meeting::new(1);
    meeting.settle();
    assert_eq!(meeting.told(0), (Some("f"), Limit::None));
    assert_eq!(meeting.reason(0), "720p: the best that is sent");
    assert!(meeting.run(5)[0][2] >= 30);
    meeting.shown_at(0, 320, 180);
    meeting.run(15);
    assert_eq!(meeting.told(0), (Some("q"), Limit::Size));
    assert_eq!(meeting.reason(0), "180p: shown at 320x180");
    let [[q, h, f]] = meeting.run(10)[..] else { panic!() };
    assert!(q == 10 && h == 0 && f == 0, "{q} {h} {f}");

    let asked = meeting.time;
    meeting.run(50);
    let (at, wanted) = *meeting.demands.last().expect("nobody takes the larger ones");
    assert_eq!(wanted, [true, false, false]);
    assert!(at - asked < Duration::from_secs(2));

    meeting.shown_at(0, 1_280, 720);
    meeting.run(1);
    assert_eq!(meeting.wanted, [true, false, true], "at once");
    assert_eq!(meeting.told(0), (Some("q"), Limit::Publisher), "on its way");
    meeting.run(25);
    assert_eq!(meeting.told(0), (Some("f"), Limit::None));
    assert!(meeting.run(5)[0][2] >= 30);
}

#[test]
fn what_is_hidden_costs_nothing() {
    let mut meeting = Meeting::new(2);
    meeting.settle();
    for viewer in 0..2 {
        meeting.configure(viewer, SubscriptionSettings { visible: false, ..ALL });
        meeting.run(1);
        assert_eq!(meeting.told(viewer), (None, Limit::Hidden));
        assert_eq!(meeting.run(60)[viewer], [0, 0, 0]);
        let sends = viewer == 0;
        assert_eq!(meeting.wanted.contains(&true), sends, "all are paused when nobody looks");
    }
    assert_eq!(meeting.reason(0), "paused: hidden");
    meeting.shown_at(1, 320, 180);
    meeting.run(1);
    assert!(meeting.wanted[0], "at once");
    let got = meeting.run(30);
    assert!(got[1][0] >= 25 && got[0] == [0, 0, 0], "{got:?}");
}

#[test]
fn the_connection_decides_and_it_comes_back_by_itself() {
    let mut meeting = Meeting::new(2);
    meeting.settle();
    meeting.carries(0, 300_000);
    meeting.run(3);
    assert_eq!(meeting.told(0), (Some("q"), Limit::Bandwidth));
    meeting.run(15);
    assert_eq!(meeting.reason(0), "180p: the connection carries 0.3 Mbps");
    let got = meeting.run(30);
    assert!(got[0][0] >= 28 && got[0][1] + got[0][2] == 0, "{got:?}");
    assert!(got[1][2] >= 200, "the other one's connection is fine: {got:?}");
    meeting.carries(0, 50_000);
    meeting.run(3);
    assert_eq!(meeting.told(0), (None, Limit::Bandwidth));
    assert_eq!(meeting.run(30)[0], [0, 0, 0]);
    assert_eq!(meeting.reason(0), "paused: the connection carries 0.1 Mbps");
    meeting.carries(0, 4_000_000);
    meeting.run(75);
    assert_eq!(meeting.told(0), (Some("f"), Limit::None));
    assert!(meeting.run(30)[0][2] >= 200);
}

#[test]
fn an_encoding_that_its_publisher_drops_is_replaced_and_still_asked_for() {
    let mut meeting = Meeting::new(1);
    meeting.settle();
    meeting.dropped[2] = true;
    meeting.run(150);
    assert_eq!(meeting.told(0), (Some("h"), Limit::Publisher));
    assert!(meeting.demands.iter().all(|(_, wanted)| wanted[2]), "{:?}", meeting.demands);
    (meeting.dropped[2], meeting.keyframes[2]) = (false, true);
    meeting.run(30);
    assert_eq!(meeting.told(0), (Some("f"), Limit::None));
}

#[test]
fn qualities_follow_what_cannot_be_given() {
    let mut meeting = Meeting::new(2);
    let qualities = |meeting: &mut Meeting| {
        let events = meeting.world.take_events(|event| matches!(event, Event::Qualities { .. }));
        let all = events.into_iter().flat_map(|event| match event {
            Event::Qualities { qualities, .. } => qualities,
            _ => unreachable!(),
        });
        all.collect::<Vec<_>>()
    };
    meeting.run(90);
    let said = qualities(&mut meeting);
    assert_eq!(said.len(), 3, "everybody once");
    assert!(said.iter().all(|(_, quality)| *quality == ConnectionQuality::Excellent), "{said:?}");
    for _ in 0..6 {
        // Every second: a receiver that falls silent is tried again.
        meeting.carries(0, 50_000);
        meeting.run(30);
    }
    let bad = meeting.world.clients[meeting.viewers[0]].id;
    assert_eq!(qualities(&mut meeting), [(bad, ConnectionQuality::Poor)]);
    meeting.carries(0, 5_000_000);
    meeting.run(300);
    assert_eq!(qualities(&mut meeting), [(bad, ConnectionQuality::Excellent)]);
}

#[test]
fn a_room_explains_itself() {
    let mut meeting = Meeting::new(1);
    meeting.settle();
    meeting.carries(0, 900_000);
    meeting.run(30);
    let (publisher, viewer) = (meeting.publisher, meeting.viewers[0]);
    let explanation = meeting.explain();
    let of = |client: usize| {
        let id = meeting.world.clients[client].id;
        explanation.participants.iter().find(|participant| participant.participant == id).unwrap()
    };
    assert!(of(publisher).subscriptions.is_empty());
    let subscriber = of(viewer);
    assert_eq!((subscriber.estimate, subscriber.estimate_source), (Some(900_000), Some("remb")));
    assert!(subscriber.budget.is_some_and(|budget| budget <= 900_000));
    let subscription = &subscriber.subscriptions[0];
    assert_eq!(subscription.publisher, meeting.world.clients[publisher].id);
    let rids: Vec<_> = subscription.available.iter().map(|layer| layer.rid.as_deref().unwrap()).collect();
    assert_eq!(rids, RIDS);
    assert_eq!(subscription.flowing.as_ref().and_then(|layer| layer.rid.as_deref()), Some("h"));
    assert_eq!(subscription.decision.limit, Limit::Bandwidth);
    assert!((700..1_200).contains(&subscription.since_ms), "{}", subscription.since_ms);
    let request = meeting.world.request();
    let room = RoomId::from_bytes([1; 12]);
    meeting.world.command(Command::Explain { request, room });
    let explained = meeting.world.take_events(|event| matches!(event, Event::Explained { .. }));
    assert!(matches!(explained[..], [Event::Explained { explanation: None, .. }]));
}
