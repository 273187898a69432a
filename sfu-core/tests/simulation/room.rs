//! A room with its clients and their network, in virtual time.

mod heard;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use sfu_core::ClockAnchor;
use sfu_core::config::CodecPolicy;
use sfu_core::control::{Event, MayPublish, ParticipantSettings, SlotContent, SlotLines, SlotRole, Source, TrackKind};
use sfu_core::id::{Mid, ParticipantId, RoomId, Ssrc, TrackId};
use sfu_core::layers::Layer;
use sfu_core::router::{Class, OutPacket, Outbox, PeerIndex, Room, layout};
use sfu_core::rtcp::{self, Packet};
use sfu_core::rtp::RtpPacket;
use sfu_core::sdp::{Codec, Fingerprint, IceCredentials, Negotiator};

use super::client::{Client, ReceivedLine, View};
use super::outgoing::Sent;
use super::source::{Arrived, Outgoing, Tag};
use super::support::offer::{self, Line, OPUS, VP8_RTX};

const PARTICIPANTS: usize = 20;
const CHURN: Duration = Duration::from_secs(8);
const CALM: Duration = Duration::from_secs(6);
const RIDS: &[&str] = &["q", "h", "f"];

/// What happens at a time.
#[derive(Debug)]
enum Step {
    Up(usize, Vec<u8>),
    UpRtcp(usize, Vec<u8>),
    Down(usize, Box<Sent>, u64),
    DownRtcp(usize, Vec<u8>),
    Slots(usize, u64, Vec<SlotContent>),
    Snapshot(usize, Box<View>),
    Resume(usize),
    Ack(usize, u64),
    Audio(usize),
    Video(usize),
    Nacks(usize),
    Tick,
    Churn,
}

/// What the room sends during one call.
#[derive(Default)]
pub(super) struct Sending {
    pub media: Vec<(PeerIndex, Sent)>,
    rtcp: Vec<(PeerIndex, Vec<u8>)>,
}

impl Outbox for Sending {
    fn send_rtp(&mut self, _now: Instant, peer: PeerIndex, _class: Class, packet: &OutPacket<'_>) {
        let is_vp8 = packet.rewrite.is_some_and(|(codec, _)| codec == Codec::Vp8);
        let sent = Sent {
            ssrc: packet.header.ssrc,
            seq: packet.seq.0,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            csrc: packet.header.csrc.expect("the track is always named"),
            osn: packet.osn,
            vp8: packet.rewrite.filter(|_| is_vp8).map(|(_, vp8)| (vp8.picture_id, vp8.tl0)),
            tag: Tag::parse(packet.payload, is_vp8),
        };
        self.media.push((peer, sent));
    }

    fn send_rtcp(&mut self, _now: Instant, peer: PeerIndex, packet: &[u8]) {
        self.rtcp.push((peer, packet.to_vec()));
    }
}

/// One seed.
pub(crate) struct Simulation {
    rng: StdRng,
    start: Instant,
    now: Instant,
    room: Room,
    events: VecDeque<Event>,
    clients: Vec<Client>,
    steps: BinaryHeap<Reverse<(Instant, u64)>>,
    bodies: BTreeMap<u64, Step>,
    count: u64,
    /// By CSRC: who publishes it, and whether it is muted.
    tracks: BTreeMap<u32, (usize, TrackId, bool)>,
    unwanted: BTreeSet<(usize, TrackId)>,
    /// By SSRC.
    arrived: BTreeMap<u32, Arrived>,
    sent: u64,
    /// So many microphones are forwarded at a time.
    loudest: Option<usize>,
    /// The only one who speaks when it is calm.
    talker: Option<TrackId>,
}

impl Simulation {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let start = Instant::now();
        let clock = ClockAnchor { instant: start, unix: Duration::from_secs(1_700_000_000) };
        let loudest = rng.random_ratio(2, 3).then(|| rng.random_range(1..9));
        Self {
            room: Room::new(RoomId::random(&mut rng), clock, Duration::from_secs(1)).with_loudest(loudest),
            rng,
            start,
            now: start,
            events: VecDeque::new(),
            clients: Vec::new(),
            steps: BinaryHeap::new(),
            bodies: BTreeMap::new(),
            count: 0,
            tracks: BTreeMap::new(),
            unwanted: BTreeSet::new(),
            arrived: BTreeMap::new(),
            sent: 0,
            loudest,
            talker: None,
        }
    }

    /// Plays a call, waits until it is calm, and lets everybody leave.
    pub(crate) fn run(mut self) {
        (0..PARTICIPANTS).for_each(|_| self.join());
        self.at(Duration::ZERO, Step::Tick);
        self.at(Duration::from_millis(50), Step::Churn);
        let end = self.start + CHURN + CALM;
        while let Some(Reverse((at, body))) = self.steps.pop().filter(|step| step.0.0 <= end) {
            self.now = at;
            if let Some(step) = self.bodies.remove(&body) {
                self.step(step);
            }
        }
        self.check_everybody_is_served();
        self.check_the_talker_is_shown();
        for client in 0..self.clients.len() {
            self.leave(client);
        }
        assert_eq!((self.room.participants().count(), self.room.publications().count()), (0, 0), "nothing is left");
    }

    fn at(&mut self, delay: Duration, step: Step) {
        self.count += 1;
        self.steps.push(Reverse((self.now + delay, self.count)));
        self.bodies.insert(self.count, step);
    }

    fn is_calm(&self) -> bool {
        self.now >= self.start + CHURN
    }

    /// A packet's way through the network: `None` if it is lost.
    fn network(&mut self) -> Option<Duration> {
        if self.is_calm() {
            return Some(Duration::from_millis(20));
        }
        let lost = self.rng.random_ratio(5, 100);
        let jitter = if self.rng.random_ratio(1, 10) { self.rng.random_range(0..40) } else { 0 };
        (!lost).then(|| Duration::from_millis(20 + jitter))
    }

    fn carry(&mut self, step: Step) {
        if let Some(delay) = self.network() {
            self.at(delay, step);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Tick => {
                let mut out = Sending::default();
                self.room.tick(self.now, &mut out, &mut self.events);
                self.carry_events();
                self.carry_out(out);
                self.at(Duration::from_millis(5), Step::Tick);
            }
            Step::Churn if self.is_calm() => self.settle(),
            Step::Churn => {
                self.churn();
                self.check_subscribers();
                self.check_loudest();
                self.at(Duration::from_millis(25), Step::Churn);
            }
            Step::Up(from, bytes) => self.on_rtp(from, &bytes),
            Step::UpRtcp(from, bytes) if self.clients[from].alive => {
                let mut out = Sending::default();
                self.room.handle_rtcp(self.now, self.clients[from].member, &bytes, &mut out);
                self.carry_out(out);
            }
            Step::Down(to, sent, seq) if self.clients[to].alive => self.clients[to].on_media(self.now, &sent, seq),
            Step::DownRtcp(to, bytes) if self.clients[to].alive => self.on_feedback(to, &bytes),
            // What comes after a gap was on its way when the connection was cut: a snapshot follows.
            Step::Slots(to, revision, slots)
                if !self.clients[to].offline && revision == self.clients[to].view.revision + 1 =>
            {
                self.clients[to].view.apply(revision, &slots);
                self.ack(to, revision);
            }
            Step::Snapshot(to, view) => {
                let revision = view.revision;
                self.clients[to].view = *view;
                self.ack(to, revision);
            }
            Step::Resume(client) => self.resume(client),
            Step::Ack(from, revision) if self.clients[from].alive => {
                let client = &mut self.clients[from];
                client.acked = client.acked.max(revision);
                self.room.confirm_slots(client.member, revision);
            }
            Step::Audio(client) if self.clients[client].alive => self.send_audio(client),
            Step::Video(client) if self.clients[client].alive => self.send_video(client),
            Step::Nacks(client) if self.clients[client].alive => {
                let compound = self.clients[client].nacks(self.now);
                if !compound.is_empty() {
                    self.carry(Step::UpRtcp(client, compound));
                }
                self.at(Duration::from_millis(25), Step::Nacks(client));
            }
            _ => {}
        }
    }

    fn signal_delay(&mut self) -> Duration {
        Duration::from_millis(self.rng.random_range(0..300))
    }

    fn ack(&mut self, client: usize, revision: u64) {
        if self.clients[client].confirms && !self.clients[client].offline {
            let delay = self.signal_delay();
            self.at(delay, Step::Ack(client, revision));
        }
    }

    /// In order with what was signalled before.
    fn signal(&mut self, client: usize, step: Step) {
        let at = (self.now + self.signal_delay()).max(self.clients[client].signalled + Duration::from_nanos(1));
        self.clients[client].signalled = at;
        self.at(at - self.now, step);
    }

    fn resume(&mut self, client: usize) {
        if std::mem::take(&mut self.clients[client].offline) {
            let view = Box::new(self.clients[client].server_view.clone());
            self.signal(client, Step::Snapshot(client, view));
        }
    }

    fn send_audio(&mut self, client: usize) {
        let calm = self.is_calm();
        for track in 0..self.clients[client].outgoing.len() {
            let outgoing = &mut self.clients[client].outgoing[track];
            // What is muted may be sent all the same; it must not be forwarded. Silence is not sent (DTX).
            let silent = !calm && self.rng.random_ratio(1, 10);
            if outgoing.source.kind() == TrackKind::Audio && !silent {
                let packet = outgoing.audio(60);
                self.carry(Step::Up(client, packet));
            }
        }
        self.at(Duration::from_millis(60), Step::Audio(client));
    }

    fn send_video(&mut self, client: usize) {
        for track in 0..self.clients[client].outgoing.len() {
            let outgoing = &mut self.clients[client].outgoing[track];
            if outgoing.source.kind() == TrackKind::Video {
                for packet in outgoing.frame(&mut self.rng) {
                    self.carry(Step::Up(client, packet));
                }
            }
        }
        self.at(Duration::from_millis(100), Step::Video(client));
    }

    fn on_rtp(&mut self, from: usize, bytes: &[u8]) {
        if !self.clients[from].alive {
            return;
        }
        let packet = RtpPacket::parse(bytes).expect("publishers send RTP");
        // An encoding that sends under a new SSRC resends what it sent under that.
        let ssrc = match packet.payload_type() {
            VP8_RTX => Tag::parse(&packet.payload()[2..], true).ssrc,
            _ => packet.ssrc().0,
        };
        let tag = self.arrived.entry(ssrc).or_default().note(self.now, &packet);
        let mut out = Sending::default();
        self.room.handle_rtp(self.now, self.clients[from].member, &packet, &mut out, &mut self.events);
        self.carry_events();
        self.carry_out(out);
        if let Some(tag) = tag.filter(|_| packet.payload_type() != OPUS) {
            self.check_whole(&tag);
        }
    }

    /// Wherever a packet's source flows, its picture is sent whole or not at all.
    fn check_whole(&self, tag: &Tag) {
        for client in self.clients.iter().filter(|client| client.alive) {
            let member = self.room.member(client.member).expect("a member");
            for line in member.lines.iter().filter(|line| line.target().is_some() && line.sending().is_some()) {
                client.lines[&line.ssrc()].checker.check_whole(tag, &self.arrived[&tag.ssrc]);
            }
        }
    }

    /// A random member takes something else of what it is shown.
    fn retarget(&mut self, client: usize) {
        let layer = Layer {
            encoding: self.rng.random_range(0..3),
            spatial: self.rng.random_range(0..2),
            temporal: self.rng.random_range(0..3),
        };
        let target = (!self.rng.random_ratio(1, 5)).then_some(layer);
        let member = self.room.member_mut(self.clients[client].member).expect("a member");
        let mut lines: Vec<_> = member.lines.iter_mut().filter(|line| line.kind == TrackKind::Video).collect();
        if !lines.is_empty() {
            let line = self.rng.random_range(0..lines.len());
            lines[line].set_target(target);
        }
    }

    /// Checks and carries what the room sent.
    fn carry_out(&mut self, out: Sending) {
        for (peer, sent) in out.media {
            let to = peer.0 as usize;
            let seq = self.check_sent(to, &sent);
            self.sent += 1;
            self.carry(Step::Down(to, Box::new(sent), seq));
        }
        for (peer, compound) in out.rtcp {
            let to = peer.0 as usize;
            self.check_requests(to, &compound);
            self.carry(Step::DownRtcp(to, compound));
        }
    }

    fn check_sent(&mut self, to: usize, sent: &Sent) -> u64 {
        let (publisher, _, muted) = *self.tracks.get(&sent.csrc).expect("the track is published");
        assert!(!muted, "a muted track is not forwarded");
        assert_ne!(publisher, to, "nobody gets its own media");
        let client = &mut self.clients[to];
        assert!(client.alive, "nobody who left is sent anything");
        let (media, is_rtx) = client.line_of(sent.ssrc);
        let line = client.lines.get_mut(&media).expect("the line was found");
        let named = client.server_view.tracks.get(&line.key).map(|(track, _)| track.csrc());
        assert_eq!(named, Some(sent.csrc), "media of the track that the slot names");
        assert!(!client.confirms || client.acked >= line.requires, "the track before is gone from the screen");
        assert_eq!(is_rtx, sent.osn.is_some());
        match sent.osn {
            Some(osn) => line.checker.on_resent(sent, osn),
            None => {
                line.checker.on_media(self.now, sent, &self.arrived[&sent.tag.ssrc]);
                sent.seq
            }
        }
    }

    fn check_requests(&mut self, to: usize, compound: &[u8]) {
        for packet in rtcp::packets(compound) {
            if let Packet::Pli(pli) = packet.expect("we write RTCP") {
                let last = self.clients[to].last_pli.insert(pli.media.0, self.now);
                let apart = last.map(|last| self.now.duration_since(last));
                assert!(apart.is_none_or(|apart| apart >= Duration::from_millis(300)), "PLIs {apart:?} apart");
            }
        }
    }

    fn on_feedback(&mut self, publisher: usize, compound: &[u8]) {
        let mut resent = Vec::new();
        for packet in rtcp::packets(compound).flatten() {
            let streams = self.clients[publisher].outgoing.iter_mut().flat_map(|outgoing| {
                let mid = outgoing.mid;
                outgoing.streams.iter_mut().map(move |stream| (mid, stream))
            });
            for (mid, stream) in streams {
                match packet {
                    Packet::Pli(pli) if pli.media.0 == stream.ssrc => stream.wants_keyframe = true,
                    Packet::Nack(nack) if nack.media.0 == stream.ssrc => {
                        resent.extend(nack.iter().filter_map(|number| stream.resend(mid, number)));
                    }
                    _ => {}
                }
            }
        }
        for packet in resent {
            self.carry(Step::Up(publisher, packet));
        }
    }

    fn carry_events(&mut self) {
        while let Some(event) = self.events.pop_front() {
            let Event::Slots { participant, revision, slots } = event else { continue };
            let to = self.clients.iter().position(|client| client.id == participant && client.alive);
            let to = to.expect("events are for members");
            let client = &mut self.clients[to];
            assert_eq!(revision, client.server_view.revision + 1, "revisions rise by one");
            let before = client.server_view.clone();
            client.server_view.apply(revision, &slots);
            for line in client.lines.values_mut() {
                let name = |view: &View| view.tracks.get(&line.key).map(|(track, _)| *track);
                if name(&before).is_some() && name(&before) != name(&client.server_view) {
                    line.requires = revision;
                }
            }
            let view = &client.server_view;
            assert!(!view.shown.values().any(|shown| *shown == participant), "nobody sees itself");
            let tracks: BTreeSet<_> = view.tracks.values().map(|(track, _)| *track).collect();
            assert_eq!(tracks.len(), view.tracks.len(), "nothing is shown or heard twice: {view:?}");
            if !client.offline {
                self.signal(to, Step::Slots(to, revision, slots));
            }
        }
    }

    /// Something random happens.
    fn churn(&mut self) {
        let present: Vec<usize> = (0..self.clients.len()).filter(|client| self.clients[*client].alive).collect();
        if present.len() < 2 {
            return self.join();
        }
        let mut any = || present[self.rng.random_range(0..present.len())];
        let (client, other) = (any(), any());
        let member = self.clients[client].member;
        match self.rng.random_range(0..22) {
            0 => self.leave(client),
            1 if present.len() < PARTICIPANTS => self.join(),
            2 | 3 => self.mute(client),
            4 => self.unpublish(client),
            5 => self.publish_something(client),
            6 | 7 => {
                let slot = self.rng.random_range(0..6);
                let pins = vec![(slot, self.clients[other].id)];
                self.room.pin(member, pins, &mut self.events);
                self.clients[client].pins = true;
            }
            8 => {
                self.room.pin(member, Vec::new(), &mut self.events);
                self.clients[client].pins = false;
            }
            9 | 10 => self.wish(client, other),
            11 => {
                self.clients[client].offline = true;
                let back = Duration::from_millis(self.rng.random_range(100..1_500));
                self.at(back, Step::Resume(client));
            }
            12 => self.grow(client),
            13 => {
                let layers = self.rng.random_range(1..=3);
                self.clients[client].outgoing.iter_mut().for_each(|o| o.active = layers.min(o.streams.len()));
            }
            14 => {
                let track = self.rng.random_range(0..3);
                if let Some(outgoing) = self.clients[client].outgoing.get_mut(track) {
                    outgoing.restart(&mut self.rng);
                }
            }
            17..=20 => self.retarget(client),
            15 | 16 => self.clients[client].outgoing.iter_mut().for_each(|outgoing| outgoing.talks = !outgoing.talks),
            _ => {
                let lines: Vec<u32> = self.clients[client].lines.keys().copied().collect();
                let mut compound = Vec::new();
                lines.into_iter().for_each(|ssrc| rtcp::write_pli(&mut compound, Ssrc(1), Ssrc(ssrc)));
                self.carry(Step::UpRtcp(client, compound));
            }
        }
        self.carry_events();
    }

    /// The last thing that happens before it is calm: everybody is back and sends all encodings, and one speaks.
    fn settle(&mut self) {
        for client in 0..self.clients.len() {
            self.resume(client);
            if let Some(member) = self.room.member_mut(self.clients[client].member) {
                member.lines.iter_mut().for_each(|line| line.set_target(Some(Layer::BEST)));
            }
            for outgoing in &mut self.clients[client].outgoing {
                (outgoing.active, outgoing.talks) = (outgoing.streams.len(), false);
            }
        }
        let microphones = self.clients.iter_mut().filter(|client| client.alive).flat_map(|c| &mut c.outgoing);
        let talker = microphones.filter(|outgoing| outgoing.source == Source::Microphone && !outgoing.muted).last();
        if let Some(talker) = talker {
            talker.talks = true;
            self.talker = Some(talker.track);
        }
    }

    fn settings(&self, confirms: bool) -> ParticipantSettings {
        ParticipantSettings {
            can_subscribe: true,
            can_publish: MayPublish::ALL,
            can_publish_data: false,
            auto_subscribe: true,
            confirms_slots: confirms,
        }
    }

    fn join(&mut self) {
        let (index, id) = (self.clients.len(), ParticipantId::random(&mut self.rng));
        let peer = PeerIndex(index as u32);
        let confirms = !self.rng.random_ratio(1, 10);
        let member = self.room.join(self.now, id, peer, self.settings(confirms), &mut self.rng);
        let rids = if self.rng.random_ratio(1, 3) { RIDS } else { &[] };
        let offered = vec![
            Line::Audio { mid: "mic".into(), direction: "sendonly" },
            Line::Video { mid: "cam".into(), direction: "sendonly", rids },
            Line::Video { mid: "scr".into(), direction: "sendonly", rids: &[] },
        ];
        self.clients.push(Client {
            id,
            member,
            alive: true,
            confirms,
            negotiator: Negotiator::new(1, Fingerprint([1; 32]), Vec::new()),
            offered,
            layout: Vec::new(),
            lines: BTreeMap::new(),
            outgoing: Vec::new(),
            server_view: View::default(),
            view: View::default(),
            acked: 0,
            signalled: self.now,
            offline: false,
            pins: false,
            last_pli: BTreeMap::new(),
        });
        let mut roles = vec![SlotRole::Pair; self.rng.random_range(1..5)];
        roles.extend(self.rng.random_ratio(1, 2).then_some(SlotRole::Screen));
        roles.extend(vec![SlotRole::Audio; self.rng.random_range(0..3)]);
        self.negotiate(index, &roles);
        self.publish(index, "mic", Source::Microphone);
        self.publish(index, "cam", Source::Camera);
        for step in [Step::Audio(index), Step::Video(index), Step::Nacks(index)] {
            let delay = Duration::from_millis(self.rng.random_range(0..60));
            self.at(delay, step);
        }
    }

    fn grow(&mut self, client: usize) {
        if self.clients[client].layout.len() < 9 {
            self.negotiate(client, &[SlotRole::Pair]);
        }
    }

    /// Offers slots with these roles beside those that there are.
    fn negotiate(&mut self, index: usize, roles: &[SlotRole]) {
        let client = &mut self.clients[index];
        let current = client.layout.clone();
        for role in roles {
            let (audio, video) = client.next_pair();
            let has_video = *role != SlotRole::Audio;
            client.offered.push(Line::Audio { mid: audio.to_string(), direction: "recvonly" });
            if has_video {
                client.offered.push(Line::Video { mid: video.to_string(), direction: "recvonly", rids: &[] });
            }
            client.layout.push(SlotLines { role: *role, audio: Some(audio), video: has_video.then_some(video) });
        }
        let credentials = |name: &str| IceCredentials { ufrag: format!("{name}ice"), password: "p".repeat(24) };
        let offer = offer::parsed(&credentials("their"), &Fingerprint([2; 32]), &client.offered);
        let layout = layout::check(&offer, &client.layout, &current).expect("the layout grows");
        let member = self.room.member_mut(client.member).expect("a member");
        let mut planned = member.planned();
        let added = layout::plan(&layout, current.len(), || Ssrc(self.rng.next_u32()));
        planned.extend(added.iter().cloned());
        let send = |mid: &Mid, _| planned.iter().find(|line| line.mid == *mid).map(|line| line.stream.clone());
        let answer = client.negotiator.answer(&offer, &credentials("our"), &CodecPolicy::default(), send);
        let answer = answer.expect("the offer is good");
        for line in &added {
            let received = ReceivedLine::new(line.slot, line.kind, line.stream.rtx.map(|rtx| rtx.0));
            client.lines.insert(line.stream.ssrc.0, received);
        }
        let orphans = member.negotiate(&answer, &layout, &added, self.now, || self.rng.next_u32());
        assert!(orphans.is_empty());
        self.room.renegotiated(client.member, orphans, &mut self.events);
        self.carry_events();
    }

    fn publish(&mut self, client: usize, mid: &'static str, source: Source) {
        let track = TrackId::random(&mut self.rng);
        let member = self.clients[client].member;
        let rids = self.clients[client].offered.iter().find_map(|line| match line {
            Line::Video { mid: of, rids, .. } if of == mid => Some(*rids),
            _ => None,
        });
        let result = self.room.publish(member, track, Mid::new(mid).unwrap(), source, false, &mut self.events);
        if result.is_ok() {
            let outgoing = Outgoing::new(track, mid, source, rids.unwrap_or(&[]), &mut self.rng);
            self.clients[client].outgoing.push(outgoing);
            self.tracks.insert(track.csrc(), (client, track, false));
        }
        self.carry_events();
    }

    fn publish_something(&mut self, client: usize) {
        let all = [("mic", Source::Microphone), ("cam", Source::Camera), ("scr", Source::Screen)];
        let (mid, source) = all[self.rng.random_range(0..3)];
        self.publish(client, mid, source);
    }

    fn random_track(&mut self, client: usize) -> Option<usize> {
        let count = self.clients[client].outgoing.len();
        (count > 0).then(|| self.rng.random_range(0..count))
    }

    fn unpublish(&mut self, client: usize) {
        let Some(track) = self.random_track(client) else { return };
        let gone = self.clients[client].outgoing.remove(track);
        self.tracks.remove(&gone.track.csrc());
        self.room.unpublish(self.clients[client].member, &gone.track, &mut self.events);
    }

    fn mute(&mut self, client: usize) {
        let Some(track) = self.random_track(client) else { return };
        let member = self.clients[client].member;
        let outgoing = &mut self.clients[client].outgoing[track];
        outgoing.muted = !outgoing.muted;
        self.tracks.insert(outgoing.track.csrc(), (client, outgoing.track, outgoing.muted));
        self.room.mute(member, &outgoing.track, outgoing.muted);
    }

    fn wish(&mut self, client: usize, other: usize) {
        let wanted = self.rng.random_ratio(1, 2);
        let tracks: Vec<TrackId> = self.clients[other].outgoing.iter().map(|outgoing| outgoing.track).collect();
        for track in &tracks {
            match wanted {
                true => self.unwanted.remove(&(client, *track)),
                false => self.unwanted.insert((client, *track)),
            };
        }
        self.room.subscribe(self.clients[client].member, &tracks, wanted, &mut self.events);
    }

    fn leave(&mut self, client: usize) {
        if std::mem::take(&mut self.clients[client].alive) {
            for outgoing in &self.clients[client].outgoing {
                self.tracks.remove(&outgoing.track.csrc());
            }
            self.room.leave(self.clients[client].member, &mut self.events);
            self.carry_events();
        }
    }

    /// A publication's subscribers are the lines that are subscribed to it.
    fn check_subscribers(&self) {
        let mut lines = BTreeSet::new();
        for (id, _) in self.room.participants() {
            let index = self.room.member_of(&id).expect("participants are members");
            for (place, line) in self.room.member(index).expect("a member").lines.iter().enumerate() {
                lines.extend(line.publication().map(|publication| (publication, index, place as u16)));
            }
        }
        let mut subscribers = BTreeSet::new();
        for (index, publication) in self.room.publications() {
            for subscriber in &publication.subscribers {
                assert!(subscribers.insert((index, subscriber.member, subscriber.line)), "subscribed twice");
            }
        }
        assert_eq!(lines, subscribers);
    }

    /// Everybody who should be shown is, and is seen and heard.
    fn check_everybody_is_served(&self) {
        assert!(self.sent > 1_000, "a room in which little happens shows little");
        for (index, client) in self.clients.iter().enumerate().filter(|(_, client)| client.alive) {
            assert_eq!(client.view, client.server_view, "the client knows who is where");
            for line in client.lines.values() {
                let Some((track, _)) = client.server_view.tracks.get(&line.key) else { continue };
                let (publisher, _, muted) = self.tracks[&track.csrc()];
                assert!(!self.unwanted.contains(&(index, *track)), "only what is wanted is shown");
                let silence = line.silence(self.now, track.csrc());
                let served = silence.is_some_and(|silence| silence < Duration::from_millis(600));
                assert!(
                    muted || served || !self.is_audible(*track),
                    "{index} gets nothing of {publisher}'s {track} on {:?}: {silence:?}",
                    line.key
                );
            }
            let pairs = client.layout.iter().filter(|slot| slot.role == SlotRole::Pair).count();
            let candidates = self.clients.iter().enumerate().filter(|(other, client)| {
                let wanted = |outgoing: &Outgoing| {
                    outgoing.source != Source::Screen && !self.unwanted.contains(&(index, outgoing.track))
                };
                *other != index && client.alive && client.outgoing.iter().any(wanted)
            });
            let shown = (0..client.layout.len() as u8).filter(|slot| {
                client.layout[usize::from(*slot)].role == SlotRole::Pair && client.server_view.shown.contains_key(slot)
            });
            assert!(shown.count() >= candidates.count().min(pairs), "free slots are filled");
        }
    }
}
