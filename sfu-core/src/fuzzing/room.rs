//! What members do and send, in any order, to one room.
//!
//! The bytes are a list of operations (`Session::step`). The outbox writes every packet as the core's does, and checks what
//! SRTP depends on: no number of a stream is ever given to two packets.

use std::collections::{BTreeSet, VecDeque};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Input;
use crate::ClockAnchor;
use crate::config::CodecPolicy;
use crate::control::{Event, MayPublish, ParticipantSettings, SlotLines, SlotRole, Source};
use crate::id::{Mid, ParticipantId, RoomId, Ssrc, TrackId};
use crate::router::{Class, MemberIndex, OutPacket, Outbox, PeerIndex, Room, layout};
use crate::rtp::{self, Extension, RtpPacket};
use crate::sdp::{Direction, Fingerprint, IceCredentials, MediaKind, Negotiator, Offer, OfferLimits};

const OFFERS: [&str; 6] = [
    include_str!("../../tests/fixtures/sdp/chromium-session-1.sdp"),
    include_str!("../../tests/fixtures/sdp/chromium-session-2.sdp"),
    include_str!("../../tests/fixtures/sdp/chromium-session-3.sdp"),
    include_str!("../../tests/fixtures/sdp/firefox-session-1.sdp"),
    include_str!("../../tests/fixtures/sdp/aiortc-whep.sdp"),
    include_str!("../../tests/fixtures/sdp/chromium-paused.sdp"),
];
const SOURCES: [Source; 4] = [Source::Camera, Source::Microphone, Source::Screen, Source::ScreenAudio];
const MAX_MEMBERS: usize = 5;
const MAX_STEPS: usize = 400;

/// A session of a few members.
pub fn room(data: &[u8]) {
    let mut session = Session::new();
    session.run(data);
    for index in (0..session.members.len()).rev() {
        session.leave(index);
    }
    assert_eq!((session.room.participants().count(), session.room.publications().count()), (0, 0), "nothing is left");
}

struct Client {
    id: ParticipantId,
    index: MemberIndex,
    negotiator: Negotiator,
    tracks: Vec<TrackId>,
}

struct Session {
    room: Room,
    now: Instant,
    rng: StdRng,
    members: Vec<Client>,
    events: VecDeque<Event>,
    out: Checked,
}

impl Session {
    fn new() -> Self {
        let (now, mut rng) = (super::start(), StdRng::seed_from_u64(1));
        let clock = ClockAnchor { instant: now, unix: Duration::from_secs(1_700_000_000) };
        let room = Room::new(RoomId::random(&mut rng), clock, Duration::from_secs(1));
        Self { room, now, rng, members: Vec::new(), events: VecDeque::new(), out: Checked::default() }
    }

    fn run(&mut self, data: &[u8]) {
        let mut input = Input::new(data);
        for _ in 0..MAX_STEPS {
            if input.is_empty() {
                break;
            }
            self.step(&mut input);
            self.events.clear();
            self.check_subscribers();
        }
    }

    /// One operation: which, whose, and what it needs.
    fn step(&mut self, input: &mut Input<'_>) {
        let (operation, member) = (input.byte() % 16, usize::from(input.byte()));
        if operation == 0 || self.members.is_empty() {
            return self.join(input);
        }
        let member = member % self.members.len();
        let index = self.members[member].index;
        match operation {
            1 => self.leave(member),
            2 => self.publish(member, input),
            3 => self.on_track(input, |room, index, track, events, _| room.unpublish(index, &track, events)),
            4 => self.on_track(input, |room, index, track, _, bits| room.mute(index, &track, bits & 1 == 1)),
            5 => {
                let tracks: Vec<_> = self.members.iter().flat_map(|member| member.tracks.iter().copied()).collect();
                let from = usize::from(input.byte()).min(tracks.len());
                self.room.subscribe(index, &tracks[from..], input.byte() & 1 == 1, &mut self.events);
            }
            6 => {
                let pins = self.members.iter().take(3).map(|member| (input.byte(), member.id)).collect();
                self.room.pin(index, pins, &mut self.events);
            }
            7 => self.room.confirm_slots(index, u64::from(input.byte())),
            8 => self.negotiate(member, input),
            9 => self.room.connected(index),
            10 => self.rtp(index, input.long_slice()),
            11 => self.room.handle_rtcp(self.now, index, input.long_slice(), &mut self.out),
            12 => self.nack(index, input),
            13 => drop(self.room.stats(index)),
            14 => {
                self.now += Duration::from_millis(u64::from(input.byte()).pow(2) / 16);
                self.room.tick(self.now, &mut self.out, &mut self.events);
            }
            _ => {
                let packet = packet(input);
                self.rtp(index, &packet);
            }
        }
    }

    fn join(&mut self, input: &mut Input<'_>) {
        if self.members.len() == MAX_MEMBERS {
            return;
        }
        let (id, peer) = (ParticipantId::random(&mut self.rng), PeerIndex(self.rng.next_u32()));
        let index = self.room.join(self.now, id, peer, settings(input.byte()), &mut self.rng);
        let negotiator = Negotiator::new(1, Fingerprint([1; 32]), Vec::new());
        self.members.push(Client { id, index, negotiator, tracks: Vec::new() });
        self.negotiate(self.members.len() - 1, input);
    }

    fn leave(&mut self, member: usize) {
        let gone = self.members.remove(member);
        self.room.leave(gone.index, &mut self.events);
    }

    /// As the core does it. An offer that does not fit the session changes nothing.
    fn negotiate(&mut self, member: usize, input: &mut Input<'_>) {
        static PARSED: LazyLock<Vec<Offer>> = LazyLock::new(|| {
            let parse = |text: &&str| Offer::parse(text, &OfferLimits::default()).expect("a captured offer");
            OFFERS.iter().map(parse).collect()
        });
        let offer = &PARSED[usize::from(input.byte()) % OFFERS.len()];
        let client = &mut self.members[member];
        let state = self.room.member_mut(client.index).expect("it has joined");
        let current = state.layout();
        let Ok(slots) = layout::check(offer, &grown(offer, &current, input.byte()), &current) else { return };
        let mut planned = state.planned();
        let added = layout::plan(&slots, current.len(), || Ssrc(self.rng.next_u32()));
        planned.extend(added.iter().cloned());
        let ice = IceCredentials { ufrag: "00fuzz".into(), password: "p".repeat(24) };
        let send = |mid: &Mid, _| planned.iter().find(|line| line.mid == *mid).map(|line| line.stream.clone());
        let Ok(answer) = client.negotiator.answer(offer, &ice, &CodecPolicy::default(), send) else { return };
        let orphans = state.negotiate(&answer, &slots, &added, self.now, || self.rng.next_u32());
        self.room.renegotiated(client.index, orphans, &mut self.events);
    }

    fn publish(&mut self, member: usize, input: &mut Input<'_>) {
        let (mid, bits) = (input.byte() % 8, input.byte());
        let mid = Mid::from_bytes(&[b'0' + mid]).expect("a digit");
        let (track, source) = (TrackId::random(&mut self.rng), SOURCES[usize::from(bits) % 4]);
        let client = &mut self.members[member];
        let published = self.room.publish(client.index, track, mid, source, bits & 0x80 != 0, &mut self.events);
        if published.is_ok() {
            client.tracks.push(track);
        }
    }

    /// Any member with any track, its own or not.
    fn on_track(
        &mut self,
        input: &mut Input<'_>,
        act: impl FnOnce(&mut Room, MemberIndex, TrackId, &mut VecDeque<Event>, u8),
    ) {
        let (place, bits) = (usize::from(input.byte()), input.byte());
        let owned = self.members.iter().flat_map(|member| member.tracks.iter().map(|track| (member.index, *track)));
        let owned: Vec<_> = owned.collect();
        let Some((owner, track)) = owned.get(place % owned.len().max(1)).copied() else { return };
        let member = if bits & 2 == 0 { owner } else { self.members[0].index };
        act(&mut self.room, member, track, &mut self.events, bits);
    }

    fn rtp(&mut self, member: MemberIndex, bytes: &[u8]) {
        if let Ok(packet) = RtpPacket::parse(bytes) {
            self.room.handle_rtp(self.now, member, &packet, &mut self.out, &mut self.events);
        }
    }

    /// Asks for what was sent on a line of the member, or for what was not.
    fn nack(&mut self, member: MemberIndex, input: &mut Input<'_>) {
        let lines = self.room.member(member).map_or(&[][..], |member| &member.lines);
        let Some(line) = lines.get(usize::from(input.byte()) % lines.len().max(1)) else { return };
        let media = line.ssrc();
        let last = self.out.last.filter(|(ssrc, _)| *ssrc == media).map_or(0, |(_, number)| number);
        let numbers: Vec<u16> = (0..input.byte() % 8).map(|_| last.wrapping_sub(u16::from(input.byte()))).collect();
        let mut compound = Vec::new();
        crate::rtcp::write_nack(&mut compound, Ssrc(1), Ssrc(media), &numbers);
        crate::rtcp::write_pli(&mut compound, Ssrc(1), Ssrc(media));
        self.room.handle_rtcp(self.now, member, &compound, &mut self.out);
    }

    /// A publication's subscribers are the lines that are subscribed to it.
    fn check_subscribers(&self) {
        let mut lines = BTreeSet::new();
        for client in &self.members {
            let member = self.room.member(client.index).expect("it has not left");
            for (place, line) in member.lines.iter().enumerate() {
                lines.extend(line.publication().map(|publication| (publication, client.index, place as u16)));
            }
        }
        let mut subscribers = BTreeSet::new();
        for (index, publication) in self.room.publications() {
            for subscriber in &publication.subscribers {
                assert_ne!(subscriber.member, publication.publisher, "nobody sees itself");
                assert!(subscribers.insert((index, subscriber.member, subscriber.line)), "subscribed twice");
            }
        }
        assert_eq!(lines, subscribers);
    }
}

fn settings(bits: u8) -> ParticipantSettings {
    ParticipantSettings {
        can_subscribe: bits & 1 == 0,
        can_publish: MayPublish::ALL,
        can_publish_data: true,
        auto_subscribe: bits & 2 == 0,
        confirms_slots: bits & 4 != 0,
    }
}

/// The layout with a slot more of this kind, if the offer has m-lines for it.
fn grown(offer: &Offer, current: &[SlotLines], kind: u8) -> Vec<SlotLines> {
    let role = match kind % 4 {
        0 => return current.to_vec(),
        1 => SlotRole::Pair,
        2 => SlotRole::Screen,
        _ => SlotRole::Audio,
    };
    let free = |kind| {
        let used = |mid: Mid| current.iter().any(|slot| slot.audio == Some(mid) || slot.video == Some(mid));
        let mut lines = offer.media().iter().filter(|media| media.kind == kind);
        lines.find(|media| media.direction == Direction::RecvOnly && !used(media.mid)).map(|media| media.mid)
    };
    let video = free(MediaKind::Video).filter(|_| role != SlotRole::Audio);
    let mut layout = current.to_vec();
    layout.push(SlotLines { role, audio: free(MediaKind::Audio), video });
    layout
}

/// A packet with a right header: SSRC of a few, a time near its number's, extension elements and payload as they come.
fn packet(input: &mut Input<'_>) -> Vec<u8> {
    let (flags, marker_and_type, number, ssrc) = (input.byte(), input.byte(), input.u16(), input.byte() % 8);
    let (extensions, payload) = (input.slice(), input.slice());
    let mut bytes = vec![0x80 | if extensions.is_empty() { 0 } else { 0x10 }, marker_and_type];
    bytes.extend(number.to_be_bytes());
    bytes.extend((u32::from(number) * 960).to_be_bytes());
    bytes.extend([0, 0, 0, ssrc]);
    if !extensions.is_empty() {
        bytes.extend(if flags & 1 == 0 { [0xbe, 0xde] } else { [0x10, 0] });
        // Some are as long as no one byte can say.
        let repeated = extensions.repeat(if flags & 2 == 0 { 1 } else { 8 });
        bytes.extend((repeated.len().div_ceil(4) as u16).to_be_bytes());
        bytes.extend(&repeated);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes.extend(payload.repeat(if flags & 4 == 0 { 1 } else { 6 }));
    bytes
}

/// Writes what it is given as the core's outbox does.
#[derive(Default)]
struct Checked {
    given: BTreeSet<(PeerIndex, u32, u64)>,
    last: Option<(u32, u16)>,
}

impl Outbox for Checked {
    fn send_rtp(&mut self, _now: Instant, peer: PeerIndex, _class: Class, packet: &OutPacket<'_>) {
        let mut own: ArrayVec<(u8, &[u8]), 2> = ArrayVec::new();
        own.extend(packet.map.id(Extension::AbsSendTime).map(|id| (id, &[0; 3][..])));
        own.extend(packet.map.id(Extension::TransportCc).map(|id| (id, &[0; 2][..])));
        let mut header = [0; rtp::MAX_HEADER];
        let len = packet.write_header(&mut header, &own);
        let mut bytes = [&header[..len], packet.payload].concat();
        packet.rewrite_payload(&mut bytes[len..]);
        let written = RtpPacket::parse(&bytes).expect("we read what we write");
        assert_eq!(written.sequence_number(), packet.seq.0 as u16, "SRTP counts what the header says");
        assert!(self.given.insert((peer, packet.header.ssrc, packet.seq.0)), "a number is given once");
        if packet.osn.is_none() {
            self.last = Some((packet.header.ssrc, packet.header.sequence_number));
        }
    }

    fn send_rtcp(&mut self, _now: Instant, _peer: PeerIndex, packet: &[u8]) {
        assert!(packet.len() < 1500 && crate::rtcp::packets(packet).all(|packet| packet.is_ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red if the target stops doing what it is for, whatever the reason.
    #[test]
    fn the_corpus_reaches_the_forwarding_of_media() {
        let mut session = Session::new();
        session.run(include_bytes!("../../../fuzz/corpus/room/two-see-each-other"));
        let streams: BTreeSet<_> = session.out.given.iter().map(|(peer, ssrc, _)| (peer, ssrc)).collect();
        assert_eq!(streams.len(), 4, "two people's audio and video");
    }
}
