use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use sfu_core::control::SlotTrack;
use sfu_core::id::Mid;
use sfu_core::limiter::{Limit, Limiter};

use super::*;
use crate::participant::{Door, OwnTrack};
use crate::protocol::{PublishTrack, TrackSource};
use crate::session::{Bounds, Outgoing, Session, with_seq};
use crate::tokens::Claims;

fn id(number: u8) -> ParticipantId {
    ParticipantId::from_bytes([number; 12])
}

fn member(number: u8, identity: &str) -> Member {
    let bounds = Bounds { messages: 100, bytes: 1 << 20 };
    let session = Session::new(bounds, &mut StdRng::seed_from_u64(number.into()));
    let claims = Claims { sub: identity.to_owned(), ..Claims::default() };
    let changes = Limiter::new(Limit::per_second(1, 1), Instant::now());
    let mut member = Member::new(id(number), claims, Door::WebSocket, f64::from(number), session, changes);
    member.listening = true;
    member
}

fn room() -> Room {
    Room::new(RoomId::from_bytes([0; 12]), "demo", 0, Instant::now())
}

fn enter(state: &mut RoomState, number: u8, identity: &str) {
    state.reserve(member(number, identity), 100, 100).unwrap();
    state.activate(id(number), Instant::now());
}

fn events(state: &RoomState, number: u8) -> Vec<Value> {
    let missed = state.members[&id(number)].session.missed(0).unwrap();
    let read = |outgoing: &Outgoing| match outgoing {
        Outgoing::Event { seq, event } => serde_json::from_str(&with_seq(*seq, event)).unwrap(),
        other => panic!("{other:?}"),
    };
    missed.iter().map(read).collect()
}

fn publish(state: &mut RoomState, number: u8, track: u8) -> TrackId {
    let track = TrackId::from_bytes([track; 12]);
    let request = PublishTrack { mid: "1".into(), source: TrackSource::Camera, name: String::new(), muted: false };
    let own = OwnTrack::new(track, Mid::new("1").unwrap(), &request);
    state.member_mut(id(number)).unwrap().tracks.push(own);
    state.own(track, id(number));
    track
}

#[test]
fn nobody_sees_who_is_still_joining() {
    let room = room();
    let mut state = room.state.lock();
    enter(&mut state, 1, "ann");
    state.reserve(member(2, "bob"), 100, 100).unwrap();
    assert!(room.snapshot(&state, &state.members[&id(1)]).participants.is_empty());
    state.remove(id(2), LeaveReason::Left, Instant::now());
    assert!(events(&state, 1).is_empty(), "who never came does not leave");
}

#[test]
fn a_track_is_public_once_it_was_taken() {
    let room = room();
    let mut state = room.state.lock();
    enter(&mut state, 1, "ann");
    enter(&mut state, 2, "bob");
    let track = publish(&mut state, 2, 9);
    assert!(room.snapshot(&state, &state.members[&id(1)]).participants[0].tracks.is_empty());
    let now = Instant::now();
    state.update_track(id(2), track, |own| own.codec = Some("VP8"), now);
    state.publish(id(2), track, now);
    let seen = events(&state, 1);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1]["track"]["codec"], "VP8", "what was learnt before is told with it");
}

#[test]
fn the_full_room_takes_a_replacement() {
    let room = room();
    let mut state = room.state.lock();
    state.reserve(member(1, "ann"), 1, 100).unwrap();
    assert_eq!(state.reserve(member(2, "bob"), 1, 100).unwrap_err().code, ErrorCode::RoomFull);
    state.activate(id(1), Instant::now());
    state.reserve(member(3, "ann"), 1, 100).unwrap();
    assert_eq!(state.activate(id(3), Instant::now()), Some(id(1)));
}

/// Red if parallel joins of one identity enter a room past its limit.
#[test]
fn one_replacement_at_a_time_enters_a_full_room() {
    let room = room();
    let mut state = room.state.lock();
    let mut come = |number, identity| state.reserve(member(number, identity), 2, 100).map_err(|error| error.code);
    let full = Err(ErrorCode::RoomFull);
    assert_eq!((come(1, "ann"), come(2, "ann"), come(3, "ann")), (Ok(()), Ok(()), full));
    let now = Instant::now();
    assert_eq!((state.activate(id(1), now), state.activate(id(2), now)), (None, Some(id(1))));
    state.remove(id(1), LeaveReason::DuplicateIdentity, now);
    enter(&mut state, 4, "bob");
    let mut come = |number, identity| state.reserve(member(number, identity), 2, 100).map_err(|error| error.code);
    assert_eq!((come(5, "ann"), come(6, "ann"), come(7, "bob"), come(8, "bob")), (Ok(()), full, Ok(()), full));
    assert_eq!(state.members.len(), 4, "two, and one replacement of each");
}

#[test]
fn slots_do_not_show_who_has_left() {
    let room = room();
    let mut state = room.state.lock();
    enter(&mut state, 1, "ann");
    enter(&mut state, 2, "bob");
    let track = SlotTrack { track: publish(&mut state, 2, 9), after: None };
    let slot = SlotContent { slot: 0, participant: Some(id(2)), audio: None, video: Some(track) };
    state.apply_slots(id(1), 1, vec![slot], Instant::now());
    assert_eq!(room.snapshot(&state, &state.members[&id(1)]).slots.len(), 1);
    state.remove(id(2), LeaveReason::Left, Instant::now());
    // The media plane sent this before it heard of the leave.
    state.apply_slots(id(1), 2, vec![slot], Instant::now());
    let last = events(&state, 1).pop().unwrap();
    assert_eq!((&last["slots"][0]["participant"], &last["slots"][0]["video"]), (&Value::Null, &Value::Null));
    let snapshot = room.snapshot(&state, &state.members[&id(1)]);
    assert_eq!((snapshot.slots.len(), snapshot.slots_revision), (0, 2));
}

/// Red if a flood of updates becomes a flood of events, or if its last is not told.
#[test]
fn updates_are_told_once_a_second_and_the_last_wins() {
    let room = room();
    let mut state = room.state.lock();
    enter(&mut state, 1, "ann");
    enter(&mut state, 2, "bob");
    let start = Instant::now();
    let mut told = |millis: u64, change: Option<&str>| {
        let now = start + Duration::from_millis(millis);
        match change {
            Some(metadata) => {
                state.member_mut(id(2)).unwrap().metadata = metadata.to_owned();
                state.on_updated(id(2), now);
            }
            None => state.tell_updated(now),
        }
        let updates = events(&state, 1).into_iter().filter(|event| event["type"] == "participant_updated");
        updates.map(|event| event["participant"]["metadata"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(0, Some("a")), ["a"], "at once");
    assert_eq!(told(500, Some("b")), ["a"]);
    assert_eq!(told(900, Some("c")), ["a"]);
    assert_eq!(told(999, None), ["a"]);
    assert_eq!(told(1_000, None), ["a", "c"]);
    assert_eq!(told(9_000, None), ["a", "c"], "once");
    assert_eq!(told(9_001, Some("d")), ["a", "c", "d"]);
}

proptest! {
    /// Whatever happens, applying the events to an empty room gives the snapshot: a resume by replay and one by
    /// snapshot leave a client in the same state.
    #[test]
    fn events_and_snapshots_agree(steps in prop::collection::vec((0u8..4, 2u8..6), 0..60)) {
        let room = room();
        let mut state = room.state.lock();
        enter(&mut state, 1, "ann");
        let now = Instant::now();
        for (what, who) in steps {
            let track = TrackId::from_bytes([who; 12]);
            match (what, state.members.contains_key(&id(who))) {
                (0, false) => enter(&mut state, who, &format!("user {who}")),
                (1, true) => { state.remove(id(who), LeaveReason::Left, now); }
                (2, true) if state.owner(track).is_none() => {
                    publish(&mut state, who, who);
                    state.publish(id(who), track, now);
                }
                (3, true) => { state.unpublish(id(who), track, now); }
                _ => {}
            }
        }
        let mut people: std::collections::BTreeMap<String, Vec<String>> = Default::default();
        for event in events(&state, 1) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let of = text(&event["participant"]);
            match event["type"].as_str().unwrap() {
                "participant_joined" => { people.insert(text(&event["participant"]["id"]), vec![]); }
                "participant_left" => { people.remove(&of); }
                "track_published" => people.get_mut(&of).unwrap().push(text(&event["track"]["id"])),
                "track_unpublished" => people.get_mut(&of).unwrap().retain(|track| *track != text(&event["track"])),
                other => panic!("{other}"),
            }
        }
        let snapshot = room.snapshot(&state, &state.members[&id(1)]);
        let wanted = snapshot.participants.into_iter();
        let wanted = wanted.map(|person| (person.id, person.tracks.into_iter().map(|track| track.id).collect())).collect();
        prop_assert_eq!(people, wanted);
    }
}
