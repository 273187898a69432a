//! Slots of a room, event after event: serving those whom an event concerns gives what assigning everybody's slots anew gives.
//!
//! The model knows nothing of who is concerned: after each event it assigns the slots of all members, over all members. A small
//! room must agree with it at once; one with a crowd, which is served in turns, after some ticks.

mod support;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu_core::ClockAnchor;
use sfu_core::config::CodecPolicy;
use sfu_core::control::{Event, MayPublish, ParticipantSettings, SlotIndex, SlotLines, SlotRole, Source};
use sfu_core::id::{Mid, ParticipantId, RoomId, Ssrc, TrackId};
use sfu_core::router::assignment::{self, Audience, Occupant, Offers, Part};
use sfu_core::router::{Class, MemberIndex, OutPacket, Outbox, PeerIndex, Room, layout};
use sfu_core::sdp::{Fingerprint, IceCredentials, Negotiator};

use support::offer::{self, Line};

const SOURCES: [(&str, Source); 4] =
    [("mic", Source::Microphone), ("cam", Source::Camera), ("scr", Source::Screen), ("snd", Source::ScreenAudio)];

/// More than are served at once.
const CROWD: usize = 150;

/// What happens; members are named modulo how many there are.
#[derive(Debug, Clone)]
enum Step {
    Join { roles: Vec<SlotRole>, subscribes: bool, auto: bool, confirms: bool },
    Grow { member: usize, role: SlotRole },
    Leave { member: usize },
    Publish { member: usize, source: usize },
    Unpublish { member: usize, track: usize },
    Wish { member: usize, of: usize, track: usize, wanted: bool },
    Pin { member: usize, pins: Vec<(SlotIndex, usize)> },
}

/// A member, in the room and in the model.
struct Attendee {
    id: ParticipantId,
    member: MemberIndex,
    negotiator: Negotiator,
    offered: Vec<Line>,
    layout: Vec<SlotLines>,
    settings: ParticipantSettings,
    tracks: Vec<(Source, TrackId)>,
    exceptions: BTreeSet<TrackId>,
    pins: Vec<(SlotIndex, ParticipantId)>,
    /// As the model assigned them: attendees by their numbers.
    slots: Vec<Option<Occupant>>,
    /// As events told them.
    told: Vec<Option<ParticipantId>>,
    revision: u64,
    gone: bool,
}

struct Nowhere;

impl Outbox for Nowhere {
    fn send_rtp(&mut self, _: Instant, _: PeerIndex, _: Class, _: &OutPacket<'_>) {}
    fn send_rtcp(&mut self, _: Instant, _: PeerIndex, _: &[u8]) {}
}

struct Both {
    room: Room,
    rng: StdRng,
    now: Instant,
    attendees: Vec<Attendee>,
    events: VecDeque<Event>,
}

/// All others, as one attendee sees them.
struct Everybody<'a> {
    attendees: &'a [Attendee],
    viewer: usize,
}

impl Offers for Everybody<'_> {
    fn offers(&self, member: MemberIndex, part: Part) -> bool {
        let (viewer, other) = (&self.attendees[self.viewer], &self.attendees[member.0 as usize]);
        let wants = |track: &TrackId| {
            viewer.settings.can_subscribe && viewer.settings.auto_subscribe != viewer.exceptions.contains(track)
        };
        let has = |source| other.tracks.iter().any(|(of, track)| *of == source && wants(track));
        member.0 as usize != self.viewer
            && match part {
                Part::Person => has(Source::Camera) || has(Source::Microphone),
                Part::Screen => has(Source::Screen),
                Part::Voice => has(Source::Microphone),
            }
    }

    fn flows(&self, _: MemberIndex) -> bool {
        false
    }
}

impl Audience for Everybody<'_> {
    fn is_at_our_choice(&self) -> bool {
        let viewer = &self.attendees[self.viewer];
        !viewer.settings.confirms_slots && viewer.pins.is_empty()
    }

    fn ranked(&self) -> impl Iterator<Item = MemberIndex> {
        (0..self.attendees.len() as u32).map(MemberIndex)
    }
}

impl Both {
    fn new() -> Self {
        let (now, mut rng) = (Instant::now(), StdRng::seed_from_u64(1));
        let clock = ClockAnchor { instant: now, unix: Duration::from_secs(1_700_000_000) };
        let room = Room::new(RoomId::random(&mut rng), clock, Duration::from_secs(1));
        Self { room, rng, now, attendees: Vec::new(), events: VecDeque::new() }
    }

    fn run(&mut self, steps: &[Step], ticks: u32) {
        for step in steps {
            self.step(step);
            self.pass(ticks);
            self.assign_all();
            self.check(step);
        }
    }

    fn pass(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.now += Duration::from_millis(5);
            self.room.tick(self.now, &mut Nowhere, &mut self.events);
        }
    }

    fn present(&self, member: usize) -> Option<usize> {
        let there: Vec<usize> = (0..self.attendees.len()).filter(|index| !self.attendees[*index].gone).collect();
        (!there.is_empty()).then(|| there[member % there.len()])
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Join { roles, subscribes, auto, confirms } => {
                let settings = ParticipantSettings {
                    can_publish: MayPublish::ALL,
                    can_subscribe: *subscribes,
                    can_publish_data: false,
                    auto_subscribe: *auto,
                    confirms_slots: *confirms,
                };
                self.join(roles, settings);
            }
            Step::Grow { member, role } => {
                let Some(member) = self.present(*member) else { return };
                self.negotiate(member, &[*role]);
            }
            Step::Leave { member } => {
                let Some(member) = self.present(*member) else { return };
                self.room.leave(self.attendees[member].member, &mut self.events);
                self.attendees[member].gone = true;
                self.attendees[member].tracks.clear();
            }
            Step::Publish { member, source } => {
                let Some(member) = self.present(*member) else { return };
                let ((mid, source), track) = (SOURCES[*source], TrackId::random(&mut self.rng));
                let index = self.attendees[member].member;
                let mid = Mid::new(mid).expect("a MID");
                if self.room.publish(index, track, mid, source, false, &mut self.events).is_ok() {
                    self.attendees[member].tracks.push((source, track));
                }
            }
            Step::Unpublish { member, track } => {
                let Some(member) = self.present(*member) else { return };
                let attendee = &mut self.attendees[member];
                if !attendee.tracks.is_empty() {
                    let place = track % attendee.tracks.len();
                    let (_, track) = attendee.tracks.remove(place);
                    self.room.unpublish(attendee.member, &track, &mut self.events);
                }
            }
            Step::Wish { member, of, track, wanted } => {
                let (Some(member), Some(of)) = (self.present(*member), self.present(*of)) else { return };
                let tracks = &self.attendees[of].tracks;
                if tracks.is_empty() {
                    return;
                }
                let (_, track) = tracks[track % tracks.len()];
                let attendee = &mut self.attendees[member];
                match attendee.settings.auto_subscribe == *wanted {
                    true => attendee.exceptions.remove(&track),
                    false => attendee.exceptions.insert(track),
                };
                self.room.subscribe(attendee.member, &[track], *wanted, &mut self.events);
            }
            Step::Pin { member, pins } => {
                let Some(member) = self.present(*member) else { return };
                // Those who left can be pinned as well.
                let id = |of: &usize| self.attendees[of % self.attendees.len()].id;
                let pins: Vec<_> = pins.iter().map(|(slot, of)| (*slot, id(of))).collect();
                self.attendees[member].pins.clone_from(&pins);
                self.room.pin(self.attendees[member].member, pins, &mut self.events);
            }
        }
    }

    fn join(&mut self, roles: &[SlotRole], settings: ParticipantSettings) {
        let id = ParticipantId::random(&mut self.rng);
        let peer = PeerIndex(self.attendees.len() as u32);
        let member = self.room.join(self.now, id, peer, settings, &mut self.rng);
        let offered = SOURCES.map(|(mid, source)| match source {
            Source::Camera | Source::Screen => Line::Video { mid: mid.into(), direction: "sendonly", rids: &[] },
            Source::Microphone | Source::ScreenAudio => Line::Audio { mid: mid.into(), direction: "sendonly" },
        });
        self.attendees.push(Attendee {
            id,
            member,
            negotiator: Negotiator::new(1, Fingerprint([1; 32]), Vec::new()),
            offered: offered.to_vec(),
            layout: Vec::new(),
            settings,
            tracks: Vec::new(),
            exceptions: BTreeSet::new(),
            pins: Vec::new(),
            slots: Vec::new(),
            told: Vec::new(),
            revision: 0,
            gone: false,
        });
        self.negotiate(self.attendees.len() - 1, roles);
    }

    /// Offers slots with these roles beside those that there are.
    fn negotiate(&mut self, attendee: usize, roles: &[SlotRole]) {
        let attendee = &mut self.attendees[attendee];
        let current = attendee.layout.clone();
        for role in roles {
            let slot = attendee.layout.len();
            let (audio, video) = (format!("a{slot}"), format!("v{slot}"));
            attendee.offered.push(Line::Audio { mid: audio.clone(), direction: "recvonly" });
            let has_video = *role != SlotRole::Audio;
            if has_video {
                attendee.offered.push(Line::Video { mid: video.clone(), direction: "recvonly", rids: &[] });
            }
            let video = if has_video { Mid::new(&video) } else { None };
            attendee.layout.push(SlotLines { role: *role, audio: Mid::new(&audio), video });
        }
        attendee.slots.resize(attendee.layout.len(), None);
        attendee.told.resize(attendee.layout.len(), None);
        let credentials = |name: &str| IceCredentials { ufrag: format!("{name}ice"), password: "p".repeat(24) };
        let offer = offer::parsed(&credentials("their"), &Fingerprint([2; 32]), &attendee.offered);
        let slots = layout::check(&offer, &attendee.layout, &current).expect("the layout grows");
        let member = self.room.member_mut(attendee.member).expect("a member");
        let mut planned = member.planned();
        let added = layout::plan(&slots, current.len(), || Ssrc(self.rng.next_u32()));
        planned.extend(added.iter().cloned());
        let send = |mid: &Mid, _| planned.iter().find(|line| line.mid == *mid).map(|line| line.stream.clone());
        let answer = attendee.negotiator.answer(&offer, &credentials("our"), &CodecPolicy::default(), send);
        let answer = answer.expect("the offer is good");
        let orphans = member.negotiate(&answer, &slots, &added, self.now, || self.rng.next_u32());
        self.room.renegotiated(attendee.member, orphans, &mut self.events);
    }

    /// The model's whole work.
    fn assign_all(&mut self) {
        for viewer in 0..self.attendees.len() {
            let attendee = &self.attendees[viewer];
            if attendee.gone {
                continue;
            }
            let number = |id: &ParticipantId| {
                let there = |other: &Attendee| other.id == *id && !other.gone;
                self.attendees.iter().position(there).map(|number| MemberIndex(number as u32))
            };
            let pins: Vec<_> = attendee.pins.iter().filter_map(|(slot, id)| Some((*slot, number(id)?))).collect();
            let roles: Vec<_> = attendee.layout.iter().map(|slot| slot.role).collect();
            let audience = Everybody { attendees: &self.attendees, viewer };
            let slots = assignment::assign(&roles, &attendee.slots, &pins, &audience).to_vec();
            self.attendees[viewer].slots = slots;
        }
    }

    /// The room shows what the model says, and has told it.
    fn check(&mut self, step: &Step) {
        while let Some(event) = self.events.pop_front() {
            let Event::Slots { participant, revision, slots } = event else { continue };
            let to = self.attendees.iter_mut().find(|attendee| attendee.id == participant).expect("a member");
            to.revision += 1;
            assert_eq!(revision, to.revision, "revisions rise by one");
            for slot in slots {
                to.told[usize::from(slot.slot)] = slot.participant;
            }
        }
        for attendee in self.attendees.iter().filter(|attendee| !attendee.gone) {
            let id = |(member, part): Occupant| (self.attendees[member.0 as usize].id, part);
            let modelled: Vec<_> = attendee.slots.iter().map(|slot| slot.map(id)).collect();
            let member = self.room.member(attendee.member).expect("a member");
            let id = |(member, part): Occupant| (self.room.member(member).expect("who is shown is there").id, part);
            let shown: Vec<_> = member.slots.iter().map(|slot| slot.occupant.map(id)).collect();
            assert_eq!(shown, modelled, "after {step:?}");
            let told: Vec<_> = modelled.iter().map(|slot| slot.map(|(id, _)| id)).collect();
            assert_eq!(attendee.told, told, "it was told, after {step:?}");
            self.check_lines(attendee);
        }
    }

    /// Lines carry what is published of those in their slots.
    fn check_lines(&self, attendee: &Attendee) {
        let member = self.room.member(attendee.member).expect("a member");
        for slot in &member.slots {
            let sources = match slot.occupant.map(|(_, part)| part) {
                None => [None, None],
                Some(Part::Person) => [Some(Source::Microphone), Some(Source::Camera)],
                Some(Part::Screen) => [Some(Source::ScreenAudio), Some(Source::Screen)],
                Some(Part::Voice) => [Some(Source::Microphone), None],
            };
            for (line, source) in [slot.audio, slot.video].into_iter().zip(sources) {
                let Some(line) = line.map(|line| &member.lines[usize::from(line)]) else { continue };
                let of =
                    slot.occupant.and_then(|(shown, _)| self.attendees.iter().find(|a| a.member == shown && !a.gone));
                let tracks = of.into_iter().flat_map(|of| &of.tracks);
                let track =
                    tracks.filter(|(of, track)| Some(*of) == source && member.wants(track)).map(|(_, track)| *track);
                assert_eq!(line.assigned().map(|assigned| assigned.track), track.min_by_key(|_| 0), "{source:?}");
            }
        }
    }
}

fn role() -> impl Strategy<Value = SlotRole> {
    prop::sample::select(vec![SlotRole::Pair, SlotRole::Pair, SlotRole::Screen, SlotRole::Audio])
}

fn step() -> impl Strategy<Value = Step> {
    let member = 0usize..64;
    let mostly = || prop::bool::weighted(0.9);
    prop_oneof![
        3 => (prop::collection::vec(role(), 0..5), mostly(), mostly(), any::<bool>())
            .prop_map(|(roles, subscribes, auto, confirms)| Step::Join { roles, subscribes, auto, confirms }),
        1 => (member.clone(), role()).prop_map(|(member, role)| Step::Grow { member, role }),
        2 => member.clone().prop_map(|member| Step::Leave { member }),
        6 => (member.clone(), 0usize..4).prop_map(|(member, source)| Step::Publish { member, source }),
        3 => (member.clone(), 0usize..4).prop_map(|(member, track)| Step::Unpublish { member, track }),
        3 => (member.clone(), member.clone(), 0usize..4, any::<bool>())
            .prop_map(|(member, of, track, wanted)| Step::Wish { member, of, track, wanted }),
        2 => (member.clone(), prop::collection::vec((0u8..6, member), 0..4))
            .prop_map(|(member, pins)| Step::Pin { member, pins }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_small_room_agrees_with_the_model_at_once(steps in prop::collection::vec(step(), 1..60)) {
        Both::new().run(&steps, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_crowd_agrees_with_the_model_after_its_turns(steps in prop::collection::vec(step(), 1..25)) {
        let mut both = Both::new();
        let settings = support::VIEWER;
        for viewer in 0..CROWD {
            let roles = [SlotRole::Pair, SlotRole::Pair, SlotRole::Audio, SlotRole::Screen];
            both.join(&roles[viewer % 2..], ParticipantSettings { confirms_slots: viewer % 3 > 0, ..settings });
        }
        both.run(&steps, 3);
    }
}
