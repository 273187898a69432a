//! Redundant audio (RED): forwarded to who negotiated it, unwrapped for the others, never across a switch.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu_core::ClockAnchor;
use sfu_core::config::CodecPolicy;
use sfu_core::control::{MayPublish, ParticipantSettings, SlotLines, SlotRole, Source};
use sfu_core::id::{Mid, ParticipantId, RoomId, Ssrc, TrackId};
use sfu_core::router::{Class, MemberIndex, OutPacket, Outbox, PeerIndex, Room, layout};
use sfu_core::rtp::red::{self, Redundancy};
use sfu_core::rtp::{HeaderOut, MAX_HEADER, RtpPacket, write_header};
use sfu_core::sdp::{Fingerprint, IceCredentials, Negotiator};

use super::support::offer::{self, Line, OPUS};

/// What publishers call Opus and RED.
const THEIRS: (u8, u8) = (100, 101);

/// What the receiver calls them.
const OURS: (u8, u8) = (109, 63);

/// By peer: payload types and payloads.
#[derive(Default)]
struct Sent(Vec<(u32, u8, Vec<u8>)>);

impl Outbox for Sent {
    fn send_rtp(&mut self, _now: Instant, peer: PeerIndex, _class: Class, packet: &OutPacket<'_>) {
        let mut payload = packet.payload.to_vec();
        packet.rewrite_payload(&mut payload);
        self.0.push((peer.0, packet.header.payload_type, payload));
    }

    fn send_rtcp(&mut self, _now: Instant, _peer: PeerIndex, _packet: &[u8]) {}
}

struct World {
    rng: StdRng,
    now: Instant,
    room: Room,
    sent: Sent,
}

impl World {
    fn new() -> Self {
        let (now, mut rng) = (Instant::now(), StdRng::seed_from_u64(1));
        let clock = ClockAnchor { instant: now, unix: Duration::from_secs(1_700_000_000) };
        let room = Room::new(RoomId::random(&mut rng), clock, Duration::from_secs(1));
        Self { rng, now, room, sent: Sent::default() }
    }

    fn join(&mut self, line: Line, slots: &[SlotLines]) -> (ParticipantId, MemberIndex) {
        let settings = ParticipantSettings {
            can_subscribe: !slots.is_empty(),
            can_publish: MayPublish::ALL,
            can_publish_data: false,
            auto_subscribe: true,
            confirms_slots: false,
        };
        let id = ParticipantId::random(&mut self.rng);
        let peer = PeerIndex(self.room.participants().count() as u32);
        let member = self.room.join(self.now, id, peer, settings, &mut self.rng);
        let ice = |name: &str| IceCredentials { ufrag: format!("{name}ice"), password: "p".repeat(24) };
        let offer = offer::parsed(&ice("their"), &Fingerprint([2; 32]), &[line]);
        let layout = layout::check(&offer, slots, &[]).unwrap();
        let planned = layout::plan(&layout, 0, || Ssrc(self.rng.next_u32()));
        let send = |mid: &Mid, _| planned.iter().find(|line| line.mid == *mid).map(|line| line.stream.clone());
        let mut negotiator = Negotiator::new(1, Fingerprint([1; 32]), Vec::new());
        let answer = negotiator.answer(&offer, &ice("our"), &CodecPolicy::default(), send).unwrap();
        let state = self.room.member_mut(member).unwrap();
        state.negotiate(&answer, &layout, &planned, self.now, || self.rng.next_u32());
        self.room.renegotiated(member, Vec::new(), &mut VecDeque::new());
        (id, member)
    }

    fn publisher(&mut self) -> (ParticipantId, MemberIndex, TrackId) {
        let (opus, red) = THEIRS;
        let (id, member) = self.join(Line::Redundant { mid: "mic".into(), direction: "sendonly", opus, red }, &[]);
        let (track, mid) = (TrackId::random(&mut self.rng), Mid::new("mic").unwrap());
        self.room.publish(member, track, mid, Source::Microphone, false, &mut VecDeque::new()).unwrap();
        (id, member, track)
    }

    fn receiver(&mut self, line: Line) -> MemberIndex {
        let slots = [SlotLines { role: SlotRole::Pair, audio: Mid::new("a"), video: None }];
        self.join(line, &slots).1
    }

    /// A packet whose primary block is `(name, number)`, after copies of the two before. What it became, by peer.
    fn packet(&mut self, from: MemberIndex, name: u8, number: u8) -> Vec<(u32, u8, Vec<u8>)> {
        let earlier: Vec<[u8; 2]> = (1..=2).rev().map(|back| [name, number.wrapping_sub(back)]).collect();
        let payload = red::write(THEIRS.0, &[(1_920, &earlier[0]), (960, &earlier[1])], &[name, number]);
        self.now += Duration::from_millis(20);
        let header = HeaderOut {
            marker: false,
            payload_type: THEIRS.1,
            sequence_number: u16::from(number),
            timestamp: u32::from(number) * 960,
            ssrc: u32::from(name),
            csrc: None,
        };
        let mut bytes = vec![0; MAX_HEADER];
        let len = write_header(&mut bytes, &header, &[(offer::MID, b"mic")]);
        bytes.truncate(len);
        bytes.extend(payload);
        let packet = RtpPacket::parse(&bytes).unwrap();
        self.room.handle_rtp(self.now, from, &packet, &mut self.sent, &mut VecDeque::new());
        std::mem::take(&mut self.sent.0)
    }
}

/// All blocks of a payload.
fn blocks(payload_type: u8, payload: &[u8]) -> Vec<Vec<u8>> {
    match payload_type == OURS.1 {
        false => vec![payload.to_vec()],
        true => {
            let primary = Redundancy::parse(payload).unwrap().primary;
            assert!(payload[..9].iter().step_by(4).all(|first| first & 0x7f == OURS.0), "blocks have our names");
            assert_eq!((primary, payload.len()), (13, 15), "three blocks of two bytes");
            payload[9..].chunks(2).map(Vec::from).collect()
        }
    }
}

#[test]
fn redundancy_is_kept_where_it_is_known_and_never_crosses_a_switch() {
    let mut world = World::new();
    let (_, first, _) = world.publisher();
    let (second_id, second, second_track) = world.publisher();
    let (opus, red) = OURS;
    let knowing = world.receiver(Line::Redundant { mid: "a".into(), direction: "recvonly", opus, red });
    world.receiver(Line::Audio { mid: "a".into(), direction: "recvonly" });

    let mut forms = Vec::new();
    let mut expect = |world: &mut World, from, name, number, since: u8, unknowing: bool| {
        let sent = world.packet(from, name, number);
        let plain = sent.iter().find(|(peer, ..)| *peer == 3);
        assert_eq!(plain, unknowing.then(|| (3, OPUS, vec![name, number])).as_ref(), "unwrapped");
        let (_, payload_type, payload) = sent.iter().find(|(peer, ..)| *peer == 2).expect("forwarded");
        let blocks = blocks(*payload_type, payload);
        assert_eq!(blocks.last().unwrap(), &[name, number]);
        assert!(blocks.iter().all(|block| block[0] == name && block[1] >= since), "{blocks:?} since {since}");
        forms.push((*payload_type, blocks.len()));
    };
    (10..14).for_each(|number| expect(&mut world, first, b'a', number, 10, true));
    world.room.pin(knowing, vec![(0, second_id)], &mut VecDeque::new());
    (50..54).for_each(|number| expect(&mut world, second, b'b', number, 50, false));
    world.room.pin(knowing, Vec::new(), &mut VecDeque::new());
    world.room.mute(second, &second_track, true);
    assert!(world.packet(second, b'b', 54).is_empty(), "muted");
    world.room.mute(second, &second_track, false);
    (55..59).for_each(|number| expect(&mut world, second, b'b', number, 55, false));
    assert_eq!(forms, [(opus, 1), (opus, 1), (red, 3), (red, 3)].repeat(3));
}
