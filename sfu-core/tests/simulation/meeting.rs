//! A room of fifty microphones of which three are forwarded, in virtual time: the right three, for everybody, soon.
//!
//! Every 3 s other people speak. From 300 ms after somebody began to speak (at their client) everybody receives them (at
//! their own), and nobody else who does not; signalling and media take 25 ms each way, and clients confirm their slots.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use sfu_core::ClockAnchor;
use sfu_core::config::CodecPolicy;
use sfu_core::control::{Event, MayPublish, ParticipantSettings, SlotContent, SlotLines, SlotRole, Source, TrackKind};
use sfu_core::id::{Mid, ParticipantId, RoomId, Ssrc, TrackId};
use sfu_core::router::{MemberIndex, PeerIndex, Room, layout};
use sfu_core::rtp::RtpPacket;
use sfu_core::sdp::{Fingerprint, IceCredentials, Negotiator};

use super::client::View;
use super::outgoing::{Checker, Sent};
use super::room::Sending;
use super::source::{Arrived, Outgoing};
use super::support::offer::{self, Line};

const PARTICIPANTS: usize = 50;
const LOUDEST: usize = 3;
const ONE_WAY: Duration = Duration::from_millis(25);
const PACKET: Duration = Duration::from_millis(20);
const PHASE: Duration = Duration::from_secs(3);
const PHASES: u32 = 12;
const SWITCHED_WITHIN: Duration = Duration::from_millis(300);

/// While a speaker moves from a lone slot to a pair, the client must confirm it.
const LONGEST_GAP: Duration = Duration::from_millis(130);

/// What happens at a time.
enum Step {
    Packet(usize),
    Up(usize, Vec<u8>),
    Down(usize, Sent),
    Slots(usize, u64, Vec<SlotContent>),
    Ack(usize, u64),
    Tick,
}

struct Attendee {
    id: ParticipantId,
    member: MemberIndex,
    microphone: Outgoing,
    /// By SSRC: the slot, and what was sent on it.
    lines: BTreeMap<u32, (u8, Checker)>,
    view: View,
    /// By CSRC: when a packet came last.
    last: BTreeMap<u32, Instant>,
    offers: u32,
}

/// One seed.
pub(crate) struct Meeting {
    rng: StdRng,
    start: Instant,
    now: Instant,
    room: Room,
    attendees: Vec<Attendee>,
    steps: BTreeMap<(Instant, u64), Step>,
    count: u64,
    events: VecDeque<Event>,
    /// Who speaks, and since when.
    speakers: BTreeSet<usize>,
    phase: Instant,
    /// Who was said to speak, at last.
    told: BTreeSet<ParticipantId>,
}

impl Meeting {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let start = Instant::now();
        let clock = ClockAnchor { instant: start, unix: Duration::from_secs(1_700_000_000) };
        let room = Room::new(RoomId::random(&mut rng), clock, Duration::from_secs(1)).with_loudest(Some(LOUDEST));
        let mut meeting = Self {
            rng,
            start,
            now: start,
            room,
            attendees: Vec::new(),
            steps: BTreeMap::new(),
            count: 0,
            events: VecDeque::new(),
            speakers: BTreeSet::new(),
            phase: start,
            told: BTreeSet::new(),
        };
        (0..PARTICIPANTS).for_each(|index| meeting.join(index));
        meeting
    }

    /// Lets people speak in turns.
    pub(crate) fn run(mut self) {
        self.at(Duration::ZERO, Step::Tick);
        for attendee in 0..PARTICIPANTS {
            let delay = Duration::from_micros(self.rng.random_range(0..20_000));
            self.at(delay, Step::Packet(attendee));
        }
        self.play_until(self.start + PHASE);
        for phase in 1..=PHASES {
            self.phase = self.start + PHASE * phase;
            self.change_speakers();
            self.play_until(self.phase + PHASE);
            let speakers: BTreeSet<_> = self.speakers.iter().map(|speaker| self.attendees[*speaker].id).collect();
            assert_eq!(self.told, speakers, "the room is told who speaks");
        }
        assert!(self.attendees.iter().all(|attendee| attendee.offers == 1), "negotiated once");
    }

    fn at(&mut self, delay: Duration, step: Step) {
        self.count += 1;
        self.steps.insert((self.now + delay, self.count), step);
    }

    fn play_until(&mut self, end: Instant) {
        while let Some(entry) = self.steps.first_entry().filter(|entry| entry.key().0 < end) {
            let ((at, _), step) = entry.remove_entry();
            self.now = at;
            self.step(step);
        }
    }

    /// Some of the three, or all, are others from now on.
    fn change_speakers(&mut self) {
        let mut silent: Vec<usize> = (0..PARTICIPANTS).filter(|index| !self.speakers.contains(index)).collect();
        let mut leaving: Vec<usize> = self.speakers.iter().copied().collect();
        silent.shuffle(&mut self.rng);
        leaving.shuffle(&mut self.rng);
        leaving.truncate(self.rng.random_range(1..=LOUDEST));
        self.speakers.retain(|speaker| !leaving.contains(speaker));
        self.speakers.extend(silent.into_iter().take(LOUDEST - self.speakers.len()));
    }

    fn step(&mut self, step: Step) {
        let mut out = Sending::default();
        match step {
            Step::Tick => {
                self.room.tick(self.now, &mut out, &mut self.events);
                self.check_who_is_heard();
                self.at(Duration::from_millis(5), Step::Tick);
            }
            Step::Packet(from) => {
                // Every third attendee's client sends nothing in silence (DTX).
                if let Some(level) = self.level(from).or((from % 3 > 0).then_some(88)) {
                    let packet = self.attendees[from].microphone.audio_at(level, PACKET.as_millis() as u32);
                    self.at(ONE_WAY, Step::Up(from, packet));
                }
                self.at(PACKET, Step::Packet(from));
            }
            Step::Up(from, bytes) => {
                let packet = RtpPacket::parse(&bytes).expect("publishers send RTP");
                let member = self.attendees[from].member;
                self.room.handle_rtp(self.now, member, &packet, &mut out, &mut self.events);
            }
            Step::Down(to, sent) => self.attendees[to].on_media(self.now, &sent),
            Step::Slots(to, revision, slots) => {
                self.attendees[to].view.apply(revision, &slots);
                self.at(ONE_WAY, Step::Ack(to, revision));
            }
            Step::Ack(from, revision) => self.room.confirm_slots(self.attendees[from].member, revision),
        }
        for (peer, sent) in out.media {
            let to = peer.0 as usize;
            let (_, checker) = self.attendees[to].lines.get_mut(&sent.ssrc).expect("own SSRCs only");
            checker.on_media(self.now, &sent, &Arrived::default());
            self.at(ONE_WAY, Step::Down(to, sent));
        }
        self.carry_events();
    }

    /// How loud somebody is; `None`: silent. Speakers pause between words, and others make noises.
    fn level(&mut self, index: usize) -> Option<u8> {
        let into = self.now.duration_since(self.phase).as_millis() as u64;
        let noise = index.is_multiple_of(5) && into % 1_000 < 40;
        match self.speakers.contains(&index) {
            true if into > 400 && (into + index as u64 * 37) % 600 < 100 => Some(80),
            true => Some(self.rng.random_range(20..32)),
            false => noise.then_some(15),
        }
    }

    fn carry_events(&mut self) {
        while let Some(event) = self.events.pop_front() {
            match event {
                Event::Slots { participant, revision, slots } => {
                    let to = self.attendees.iter().position(|attendee| attendee.id == participant).expect("a member");
                    self.at(ONE_WAY, Step::Slots(to, revision, slots));
                }
                Event::Speakers { speakers, .. } => {
                    self.told = speakers.iter().map(|speaker| speaker.participant).collect();
                }
                _ => {}
            }
        }
    }

    /// Everybody receives exactly the others who speak.
    fn check_who_is_heard(&self) {
        let elapsed = self.now.duration_since(self.phase);
        if self.speakers.is_empty() || elapsed < SWITCHED_WITHIN {
            return;
        }
        for (index, attendee) in self.attendees.iter().enumerate() {
            for other in (0..PARTICIPANTS).filter(|other| *other != index) {
                let last = attendee.last.get(&self.attendees[other].microphone.track.csrc());
                match self.speakers.contains(&other) {
                    true => {
                        let heard = last.is_some_and(|at| self.now.duration_since(*at) <= LONGEST_GAP);
                        let since_phase = last.is_some_and(|at| *at > self.phase);
                        assert!(heard && since_phase, "{index} does not hear {other} after {elapsed:?}");
                    }
                    false => {
                        let late = last.map_or(Duration::ZERO, |at| at.saturating_duration_since(self.phase));
                        assert!(late < SWITCHED_WITHIN, "{index} hears {other} after {late:?}");
                    }
                }
            }
        }
    }

    /// Adds an attendee with three lone audio slots, or those and two pairs.
    fn join(&mut self, index: usize) {
        let settings = ParticipantSettings {
            can_subscribe: true,
            can_publish: MayPublish::ALL,
            can_publish_data: false,
            auto_subscribe: true,
            confirms_slots: true,
        };
        let id = ParticipantId::random(&mut self.rng);
        let member = self.room.join(self.now, id, PeerIndex(index as u32), settings, &mut self.rng);
        let mut roles = vec![SlotRole::Pair; if index.is_multiple_of(2) { 0 } else { 2 }];
        roles.extend([SlotRole::Audio; LOUDEST]);
        let lines = self.negotiate(member, &roles);
        let track = TrackId::random(&mut self.rng);
        let mid = Mid::new("mic").unwrap();
        self.room.publish(member, track, mid, Source::Microphone, false, &mut self.events).expect("a free m-line");
        let microphone = Outgoing::new(track, "mic", Source::Microphone, &[], &mut self.rng);
        let (view, last) = (View::default(), BTreeMap::new());
        self.attendees.push(Attendee { id, member, microphone, lines, view, last, offers: 1 });
        self.carry_events();
    }

    fn negotiate(&mut self, member: MemberIndex, roles: &[SlotRole]) -> BTreeMap<u32, (u8, Checker)> {
        let mut offered = vec![Line::Audio { mid: "mic".into(), direction: "sendonly" }];
        let mut slots = Vec::new();
        for (slot, role) in roles.iter().enumerate() {
            let mid = Mid::new(&format!("a{slot}")).unwrap();
            offered.push(Line::Audio { mid: mid.to_string(), direction: "recvonly" });
            slots.push(SlotLines { role: *role, audio: Some(mid), video: None });
        }
        let credentials = |name: &str| IceCredentials { ufrag: format!("{name}ice"), password: "p".repeat(24) };
        let offer = offer::parsed(&credentials("their"), &Fingerprint([2; 32]), &offered);
        let layout = layout::check(&offer, &slots, &[]).expect("a layout");
        let planned = layout::plan(&layout, 0, || Ssrc(self.rng.next_u32()));
        let send = |mid: &Mid, _| planned.iter().find(|line| line.mid == *mid).map(|line| line.stream.clone());
        let answer = Negotiator::new(1, Fingerprint([1; 32]), Vec::new())
            .answer(&offer, &credentials("our"), &CodecPolicy::default(), send)
            .expect("the offer is good");
        let state = self.room.member_mut(member).expect("a member");
        state.negotiate(&answer, &layout, &planned, self.now, || self.rng.next_u32());
        self.room.renegotiated(member, Vec::new(), &mut self.events);
        let line = |line: &sfu_core::router::PlannedLine| {
            assert_eq!(line.kind, TrackKind::Audio);
            (line.stream.ssrc.0, (line.slot, Checker::new(false)))
        };
        planned.iter().map(line).collect()
    }
}

impl Attendee {
    /// A packet arrives: it is what the slot is said to be, and heard only once.
    fn on_media(&mut self, now: Instant, sent: &Sent) {
        let (slot, _) = self.lines[&sent.ssrc];
        let named = self.view.tracks.iter().find(|((of, _), _)| *of == slot).map(|(_, named)| *named);
        if let Some((track, after)) = named {
            let is_new = after.is_none_or(|after| (sent.timestamp.wrapping_sub(after) as i32) > 0);
            assert!(!is_new || track.csrc() == sent.csrc, "{sent:?} is heard as {track}");
        }
        self.last.insert(sent.csrc, now);
    }
}
