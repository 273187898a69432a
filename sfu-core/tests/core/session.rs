//! Joining and leaving, data channels, ICE restarts and silence.

use std::net::SocketAddr;
use std::time::Duration;

use sfu_core::control::{Command, ConnectionState, Event, Negotiation, ParticipantSettings};
use sfu_core::id::ParticipantId;
use sfu_core::transport::Channel;

use crate::media::Call;
use crate::support::{VIEWER, World, credentials, offer};

fn states(world: &mut World, participant: ParticipantId) -> Vec<ConnectionState> {
    let events =
        world.take_events(|event| matches!(event, Event::Connection { participant: of, .. } if *of == participant));
    let state = |event| match event {
        Event::Connection { state, .. } => state,
        other => panic!("{other:?}"),
    };
    events.into_iter().map(state).collect()
}

pub(crate) fn envelope(destinations: &[ParticipantId], payload: &[u8]) -> Vec<u8> {
    let mut message = vec![1, 1, 0, 0];
    message.extend([0; 12]);
    message.extend([4]);
    message.extend(b"chat");
    message.push(destinations.len() as u8);
    destinations.iter().for_each(|id| message.extend(id.as_bytes()));
    message.extend([0; 8]);
    message.extend(payload);
    message
}

pub(crate) fn open_channels(world: &mut World, client: usize) {
    let now = world.now;
    world.clients[client].rtc.open_channels(now);
    for _ in 0..50 {
        world.advance(Duration::from_millis(20));
        if world.clients[client].rtc.is_open(Channel::Reliable) && world.clients[client].rtc.is_open(Channel::Lossy) {
            return;
        }
    }
    panic!("the channels did not open");
}

#[test]
fn messages_carry_their_sender_to_their_destinations() {
    let mut world = World::new();
    let room = world.open_room();
    let silent = ParticipantSettings { can_publish_data: false, ..VIEWER };
    let members = [world.connect(room, VIEWER, 0), world.connect(room, VIEWER, 0), world.connect(room, silent, 0)];
    let other_room = world.open_room();
    let stranger = world.connect(other_room, VIEWER, 0);
    for client in [0, 1, 2, stranger] {
        open_channels(&mut world, client);
    }
    let third = world.clients[members[2]].id;
    let messages = [(Channel::Reliable, envelope(&[], b"to all")), (Channel::Lossy, envelope(&[third], b"to one"))];
    for (channel, message) in &messages {
        let now = world.now;
        world.clients[members[0]].rtc.send_data(now, *channel, message);
        world.clients[members[2]].rtc.send_data(now, *channel, message);
        world.advance(Duration::from_millis(50));
    }
    let sender = *world.clients[members[0]].id.as_bytes();
    let got = |world: &World, client: usize| -> Vec<(Channel, Vec<u8>)> {
        let data = world.clients[client].data.iter();
        data.map(|(channel, message)| {
            assert_eq!(message[4..16], sender);
            (*channel, message[message.len() - 6..].to_vec())
        })
        .collect()
    };
    assert_eq!(got(&world, members[1]), [(Channel::Reliable, b"to all".to_vec())]);
    assert_eq!(
        got(&world, members[2]),
        [(Channel::Reliable, b"to all".to_vec()), (Channel::Lossy, b"to one".to_vec())]
    );
    assert!(got(&world, members[0]).is_empty(), "who may not publish data does not");
    assert!(got(&world, stranger).is_empty());
}

#[test]
fn an_ice_restart_moves_the_path_and_keeps_the_media() {
    let mut call = Call::new();
    (0..3).for_each(|index| call.send(index));
    let viewer = call.viewer;
    let new_ice = credentials(viewer, 1);
    let client = &call.world.clients[viewer];
    let negotiation = Negotiation {
        offer: offer::parsed(&new_ice, &client.rtc.fingerprint(), &client.lines),
        slots: client.slots.clone(),
    };
    let participant = client.id;
    let (before, slots) = (client.answer.clone(), client.slots.clone());
    assert_eq!(slots.len(), 1);
    let request = call.world.request();
    call.world.core.handle_command(call.world.now, Command::Negotiate { request, participant, negotiation });
    let answer = call.world.answer(request);
    assert_ne!(answer.ice.ufrag, before.ice.ufrag);
    let streams = |answer: &sfu_core::sdp::Answer| answer.media.iter().map(|m| m.send.clone()).collect::<Vec<_>>();
    assert_eq!(streams(&answer), streams(&before), "SSRCs are for life");
    let ssrc = call.ssrcs("v0").0;
    (3..6).for_each(|index| call.send(index));
    assert_eq!(call.take(ssrc).len(), 6, "the old path serves until a new one is nominated");

    call.world.clients[viewer].rtc.restart_ice(new_ice, answer.ice.clone());
    call.world.clients[viewer].path.remote = SocketAddr::from(([10, 9, 9, 9], 999));
    call.world.check(viewer);
    (6..9).for_each(|index| call.send(index));
    assert_eq!(call.take(ssrc).len(), 3, "on the new path, with the same keys");
}

#[test]
fn a_failed_offer_leaves_the_session_as_it_was() {
    let mut call = Call::new();
    (0..3).for_each(|index| call.send(index));
    let client = &call.world.clients[call.viewer];
    let negotiation = Negotiation {
        offer: offer::parsed(&client.ice, &client.rtc.fingerprint(), &client.lines[..2]),
        slots: client.slots.clone(),
    };
    let (request, participant) = (call.world.request(), call.world.clients[call.viewer].id);
    call.world.command(Command::Negotiate { request, participant, negotiation });
    let replies = call.world.take_events(|event| matches!(event, Event::Negotiated { .. }));
    assert!(matches!(replies[..], [Event::Negotiated { result: Err(_), .. }]), "{replies:?}");
    (3..6).for_each(|index| call.send(index));
    assert_eq!(call.take(call.ssrcs("v0").0).len(), 6);
}

#[test]
fn who_leaves_is_gone() {
    let mut call = Call::new();
    (0..3).for_each(|index| call.send(index));
    let (publisher, viewer) = (call.world.clients[call.publisher].id, call.world.clients[call.viewer].id);
    call.world.take_events(|_| true);
    call.world.command(Command::Leave { participant: publisher });
    let events = call.world.take_events(|_| true);
    let [Event::Slots { participant, slots, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*participant, slots[0].participant, slots[0].video), (viewer, None, None));
    call.send(3);
    assert_eq!(call.take(call.ssrcs("v0").0).len(), 3, "what still arrives is nobody's");
    call.world.command(Command::CloseRoom { room: call.room });
    let gauges = call.world.core.gauges();
    assert_eq!((gauges.rooms, gauges.participants, gauges.publications), (0, 0, 0));
    call.world.advance(Duration::from_millis(50));
    assert_eq!(call.world.core.poll_timeout(), None, "an empty core sleeps");
}

#[test]
fn silence_interrupts_then_ends_a_session() {
    let mut call = Call::new();
    let (publisher, viewer) = (call.world.clients[call.publisher].id, call.world.clients[call.viewer].id);
    assert_eq!(states(&mut call.world, viewer), [ConnectionState::Connected]);
    for _ in 0..8 {
        call.world.check(call.publisher);
        call.world.advance(Duration::from_secs(4));
    }
    assert_eq!(states(&mut call.world, viewer), [ConnectionState::Interrupted]);
    call.send(0);
    assert!(call.take(call.ssrcs("v0").0).is_empty(), "nothing is sent without consent");
    call.world.check(call.viewer);
    assert_eq!(states(&mut call.world, viewer), [ConnectionState::Resumed]);
    for _ in 0..16 {
        call.world.check(call.publisher);
        call.world.advance(Duration::from_secs(4));
    }
    let states_of_viewer = states(&mut call.world, viewer);
    assert!(
        matches!(states_of_viewer[..], [ConnectionState::Interrupted, ConnectionState::Failed(_)]),
        "{states_of_viewer:?}"
    );
    assert_eq!(states(&mut call.world, publisher), [ConnectionState::Connected]);
}
