//! A media plane that answers as the core does, and moves no media: everybody who subscribes sees each publisher in the
//! first free slot.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::Value;
use sfu_core::config::CodecPolicy;
use sfu_core::control::*;
use sfu_core::id::{Mid, ParticipantId, RoomId, TrackId};
use sfu_core::sdp::{Answer, Codec, Fingerprint, IceCredentials, MediaKind, Negotiator};
use sfu_signal::{Busy, MediaPlane};
use tokio::sync::mpsc;

pub(crate) struct FakeMedia {
    events: mpsc::Sender<Event>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: HashMap<ParticipantId, Member>,
    commands: Vec<String>,
    busy: bool,
    deaf: bool,
    wishes: HashMap<(ParticipantId, TrackId), SubscriptionSettings>,
    explanation: Option<Box<RoomExplanation>>,
    workers: HashMap<ParticipantId, WorkerIndex>,
}

/// How many workers there are.
const WORKERS: WorkerIndex = 2;

struct Member {
    room: RoomId,
    settings: ParticipantSettings,
    negotiator: Negotiator,
    sends: Vec<(Mid, MediaKind)>,
    tracks: HashMap<TrackId, Source>,
    slots: Vec<SlotContent>,
    revision: u64,
}

impl FakeMedia {
    pub(crate) fn new() -> (std::sync::Arc<Self>, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(4096);
        (std::sync::Arc::new(Self { events, state: Mutex::default() }), receiver)
    }

    /// The names of all commands so far.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.state.lock().commands.clone()
    }

    /// On which worker a participant joined.
    pub(crate) fn worker_of(&self, participant: &Value) -> WorkerIndex {
        self.state.lock().workers[&participant.as_str().unwrap().parse().unwrap()]
    }

    pub(crate) fn set_busy(&self, busy: bool) {
        self.state.lock().busy = busy;
    }

    /// Commands are taken from now on, or again not, without an answer.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.state.lock().deaf = deaf;
    }

    /// The participant's media path is up.
    pub(crate) fn connect(&self, participant: &str) {
        let participant = participant.parse().unwrap();
        self.emit(Event::Connection { participant, state: ConnectionState::Connected });
    }

    pub(crate) fn fail(&self, participant: &str, why: &str) {
        let participant = participant.parse().unwrap();
        self.emit(Event::Connection { participant, state: ConnectionState::Failed(why.to_owned()) });
    }

    pub(crate) fn start_track(&self, participant: &str, track: &str) {
        let (participant, track) = (participant.parse().unwrap(), track.parse().unwrap());
        self.emit(Event::TrackStarted { participant, track, codec: Codec::Vp8 });
    }

    /// Says what a real media plane would when it sees fit.
    pub(crate) fn say(&self, event: Event) {
        self.emit(event);
    }

    /// The same, waiting until the server takes it.
    pub(crate) async fn say_patiently(&self, event: Event) {
        self.events.send(event).await.unwrap();
    }

    /// How a participant wants a track.
    pub(crate) fn wish(&self, participant: &Value, track: &Value) -> Option<SubscriptionSettings> {
        let id = |value: &Value| value.as_str().unwrap().to_owned();
        let key = (id(participant).parse().unwrap(), id(track).parse().unwrap());
        self.state.lock().wishes.get(&key).copied()
    }

    /// What rooms are explained by from now on.
    pub(crate) fn explain(&self, explanation: RoomExplanation) {
        self.state.lock().explanation = Some(Box::new(explanation));
    }

    fn emit(&self, event: Event) {
        self.events.try_send(event).unwrap();
    }

    fn show(
        &self,
        member: &mut Member,
        id: ParticipantId,
        publisher: ParticipantId,
        tracks: &HashMap<TrackId, Source>,
    ) {
        let at = member.slots.iter().position(|slot| slot.participant == Some(publisher));
        if at.is_none() && tracks.is_empty() {
            return;
        }
        let at = at.or_else(|| member.slots.iter().position(|slot| slot.participant.is_none())).unwrap_or_else(|| {
            let slot = member.slots.len() as u8;
            member.slots.push(SlotContent { slot, participant: None, audio: None, video: None });
            member.slots.len() - 1
        });
        let of = |wanted| {
            let mut found = tracks.iter().filter(|(_, source)| **source == wanted);
            found.next().map(|(track, _)| SlotTrack { track: *track, after: None })
        };
        let slot = &mut member.slots[at];
        slot.participant = (!tracks.is_empty()).then_some(publisher);
        slot.audio = of(Source::Microphone);
        slot.video = of(Source::Camera);
        member.revision += 1;
        self.emit(Event::Slots { participant: id, revision: member.revision, slots: vec![*slot] });
    }

    fn show_all(&self, state: &mut State, publisher: ParticipantId, room: RoomId) {
        let tracks = state.members.get(&publisher).map(|member| member.tracks.clone()).unwrap_or_default();
        let watching = |(id, member): &(&ParticipantId, &mut Member)| {
            **id != publisher && member.room == room && member.settings.can_subscribe
        };
        for (id, member) in state.members.iter_mut().filter(watching) {
            self.show(member, *id, publisher, &tracks);
        }
    }

    fn join(
        &self,
        state: &mut State,
        room: RoomId,
        participant: ParticipantId,
        settings: ParticipantSettings,
        negotiation: &Negotiation,
    ) -> Result<Box<Answer>, ControlError> {
        let mut negotiator = Negotiator::new(1, Fingerprint([7; 32]), Vec::new());
        let answer = answer(&mut negotiator, negotiation)?;
        let mut member = Member {
            room,
            settings,
            negotiator,
            sends: sends(&answer),
            tracks: HashMap::new(),
            slots: Vec::new(),
            revision: 0,
        };
        let others: Vec<_> =
            state.members.iter().filter(|(_, other)| other.room == room && !other.tracks.is_empty()).collect();
        let others: Vec<_> = others.into_iter().map(|(id, other)| (*id, other.tracks.clone())).collect();
        for (publisher, tracks) in others.iter().filter(|_| settings.can_subscribe) {
            self.show(&mut member, participant, *publisher, tracks);
        }
        state.members.insert(participant, member);
        Ok(answer)
    }
}

impl MediaPlane for FakeMedia {
    fn pick_worker(&self, except: &[WorkerIndex]) -> Option<WorkerIndex> {
        (0..WORKERS).find(|worker| !except.contains(worker))
    }

    fn send(&self, worker: WorkerIndex, command: Command) -> Result<(), Busy> {
        let state = &mut *self.state.lock();
        if state.busy {
            return Err(Busy);
        }
        let text = format!("{command:?}");
        state.commands.push(text.split([' ', '{']).next().unwrap_or_default().to_owned());
        if state.deaf {
            return Ok(());
        }
        match command {
            Command::OpenPart { request, .. } => self.emit(Event::PartOpened { request }),
            Command::Join { request, room, participant, settings, negotiation } => {
                state.workers.insert(participant, worker);
                let result = self.join(state, room, participant, settings, &negotiation);
                self.emit(Event::Negotiated { request, participant, result });
            }
            Command::Negotiate { request, participant, negotiation } => {
                let member = state.members.get_mut(&participant).unwrap();
                let result = answer(&mut member.negotiator, &negotiation);
                member.sends = result.as_ref().map_or_else(|_| Vec::new(), |answer| sends(answer));
                self.emit(Event::Negotiated { request, participant, result });
            }
            Command::Publish { request, participant, track, mid, source, .. } => {
                let result = publish(state, participant, track, mid, source);
                let shown = result.as_ref().ok().copied();
                self.emit(Event::Published { request, participant, track, result: result.map(drop) });
                if let Some(room) = shown {
                    self.show_all(state, participant, room);
                }
            }
            Command::Unpublish { participant, track } => {
                if let Some(member) = state.members.get_mut(&participant) {
                    member.tracks.remove(&track);
                    let room = member.room;
                    self.show_all(state, participant, room);
                }
            }
            Command::Leave { participant } => {
                if let Some(member) = state.members.remove(&participant) {
                    self.show_all(state, participant, member.room);
                }
            }
            Command::Configure { participant, tracks } => {
                let wishes = tracks.into_iter().map(|(track, settings)| ((participant, track), settings));
                state.wishes.extend(wishes);
            }
            Command::Explain { request, .. } => {
                self.emit(Event::Explained { request, explanation: state.explanation.clone() });
            }
            Command::Stats { request, participant } => {
                let stats = Some(Box::new(ParticipantStats { rtt_ms: Some(1.5), ..ParticipantStats::default() }));
                self.emit(Event::Stats { request, participant, stats });
            }
            _ => {}
        }
        Ok(())
    }
}

fn publish(
    state: &mut State,
    participant: ParticipantId,
    track: TrackId,
    mid: Mid,
    source: Source,
) -> Result<RoomId, ControlError> {
    let member = state.members.get_mut(&participant).ok_or(ControlError::Gone)?;
    let (_, kind) = member.sends.iter().find(|(sends, _)| *sends == mid).ok_or(ControlError::NoSuchMid(mid))?;
    if (*kind == MediaKind::Video) != (source.kind() == TrackKind::Video) {
        return Err(ControlError::KindMismatch(mid));
    }
    member.tracks.insert(track, source);
    Ok(member.room)
}

/// The m-lines on which the client sends: those that the answer receives on.
fn sends(answer: &Answer) -> Vec<(Mid, MediaKind)> {
    let receives = answer.media.iter().filter(|media| media.accepted && media.direction.receives());
    receives.map(|media| (media.mid, media.kind)).collect()
}

fn answer(negotiator: &mut Negotiator, negotiation: &Negotiation) -> Result<Box<Answer>, ControlError> {
    let ice = IceCredentials { ufrag: "00abcdef".into(), password: "abcdefghijklmnopqrstuvwx".into() };
    Ok(Box::new(negotiator.answer(&negotiation.offer, &ice, &CodecPolicy::default(), |_, _| None)?))
}
