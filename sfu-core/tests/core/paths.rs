//! Whose packets come from where, and where media goes when networks change.

use std::net::SocketAddr;
use std::time::Duration;

use sfu_core::control::{Command, Negotiation};
use sfu_core::sdp::Answer;
use sfu_core::transport::{Path, Protocol};

use crate::media::Call;
use crate::support::{VIEWER, credentials, offer};

const SECOND: Duration = Duration::from_secs(1);

fn elsewhere(of: Path, port: u16) -> Path {
    Path { remote: SocketAddr::from(([10, 9, 9, 9], port)), ..of }
}

/// An empty receiver report (RFC 3550 section 6.4.2).
const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 42];

/// Frames that arrive at the viewer.
fn frames(call: &mut Call, indexes: std::ops::Range<u64>) -> usize {
    indexes.for_each(|index| call.send(index));
    let ssrc = call.ssrcs("v0").0;
    call.take(ssrc).len()
}

#[test]
fn a_viewer_that_moves_is_followed_with_its_first_report() {
    let mut call = Call::new();
    assert_eq!(frames(&mut call, 0..3), 3);
    let (viewer, old) = (call.viewer, call.world.clients[call.viewer].path);
    call.world.clients[viewer].path = elsewhere(old, 1);
    call.world.check(viewer);
    assert_eq!(frames(&mut call, 3..6), 0, "a nomination alone moves nothing");
    call.world.send_rtcp(viewer, &REPORT);
    assert_eq!(frames(&mut call, 6..9), 3);
}

#[test]
fn two_restarts_in_a_row_do_not_evict_the_session_that_carries_media() {
    let mut call = Call::new();
    assert_eq!(frames(&mut call, 0..3), 3);
    let viewer = call.viewer;
    let first = call.world.clients[viewer].answer.ice.ufrag.clone();
    let mut restart = |generation| -> Answer {
        let client = &call.world.clients[viewer];
        let ice = credentials(viewer, generation);
        let negotiation = Negotiation {
            offer: offer::parsed(&ice, &client.rtc.fingerprint(), &client.lines),
            slots: client.slots.clone(),
        };
        let (participant, request) = (client.id, call.world.request());
        call.world.core.handle_command(call.world.now, Command::Negotiate { request, participant, negotiation });
        call.world.answer(request)
    };
    let answers = [restart(1), restart(2), restart(3)];
    assert!(answers.iter().all(|answer| answer.ice.ufrag != first));
    for _ in 0..12 {
        call.world.check(viewer);
        call.world.check(call.publisher);
        call.world.advance(5 * SECOND);
    }
    assert_eq!(frames(&mut call, 3..6), 3, "the checks of the first session renew consent");
    call.world.clients[viewer].rtc.restart_ice(credentials(viewer, 3), answers[2].ice.clone());
    let old = call.world.clients[viewer].path;
    call.world.clients[viewer].path = elsewhere(old, 1);
    call.world.check(viewer);
    assert_eq!(frames(&mut call, 6..9), 3);
}

/// A client that goes on to another session on the same socket, without a word to the first one.
#[test]
fn a_second_session_on_one_socket_shakes_hands_at_once() {
    let mut call = Call::new();
    assert_eq!(frames(&mut call, 0..3), 3);
    let room = call.world.open_room();
    let shared = call.world.clients[call.viewer].path;
    let second = call.world.join(room, VIEWER, 0);
    call.world.clients[second].path = shared;
    call.world.clients[call.viewer].is_gone = true;
    call.world.check(second);
    let now = call.world.now;
    call.world.clients[second].rtc.start_dtls(now);
    call.world.advance(SECOND / 10);
    assert!(call.world.clients[second].rtc.is_connected());
    // Both live: what each encrypts is its own.
    let rejected = call.world.core.counters().rejected;
    let read = call.world.core.counters().rtcp_in;
    for client in [second, call.viewer] {
        call.world.send_rtcp(client, &REPORT);
    }
    assert_eq!(call.world.core.counters().rtcp_in, read + 2);
    assert_eq!(call.world.core.counters().rejected, rejected + 1, "tried with the keys of the holder first");
    // When one leaves, the other keeps the address.
    call.world.command(Command::Leave { participant: call.world.clients[second].id });
    call.world.send_rtcp(call.viewer, &REPORT);
    assert_eq!(call.world.core.counters().rtcp_in, read + 3);
    call.world.command(Command::Leave { participant: call.world.clients[call.viewer].id });
    assert!(!call.world.core.owns_path(shared));
}

/// A member that forges the address of another takes nothing from it, for as long as it goes on.
#[test]
fn a_claim_without_a_handshake_takes_nothing_from_the_holder() {
    let mut call = Call::new();
    let other = call.world.open_room();
    let attacker = call.world.connect(other, VIEWER, 1);
    let victim = call.world.clients[call.publisher].path;
    for frame in 0..5 {
        let mut check = call.world.clients[attacker].rtc.check(true);
        assert!(call.world.core.handle_datagram(call.world.now, victim, &mut check));
        call.world.exchange();
        assert_eq!(frames(&mut call, frame * 3..frame * 3 + 3), 3);
    }
}

#[test]
fn a_tcp_path_is_owned_while_its_participant_is_here() {
    let mut call = Call::new();
    let room = call.world.open_room();
    let client = call.world.join(room, VIEWER, 0);
    let path = Path { protocol: Protocol::Tcp, ..call.world.clients[client].path };
    let mut forged = call.world.clients[client].rtc.check(true);
    let at = forged.len() - 20;
    forged[at] ^= 1;
    assert!(!call.world.core.handle_datagram(call.world.now, path, &mut forged));
    assert!(!call.world.core.owns_path(path));
    let mut check = call.world.clients[client].rtc.check(true);
    assert!(call.world.core.handle_datagram(call.world.now, path, &mut check));
    assert!(call.world.core.owns_path(path));
    assert!(!call.world.core.handle_datagram(call.world.now, path, &mut [0x80; 40]), "not authentic");
    call.world.command(Command::Leave { participant: call.world.clients[client].id });
    assert!(!call.world.core.owns_path(path));
}
