//! Which path is the selected one: the rules of `ice.rs`, and those who would like to break them.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn tcp(port: u16) -> Path {
    Path { protocol: Protocol::Tcp, ..path(port) }
}

impl Link {
    /// A check of the client's arrives by `on`.
    fn check_on(&mut self, on: Path, nominate: bool) -> Vec<u8> {
        let check = self.client.check(nominate);
        self.server.handle_stun(self.now, on, &check);
        check
    }

    /// A packet of the client's, not yet sent.
    fn packet(&mut self) -> Vec<u8> {
        let seq = self.rng.random_range(0..30_000);
        self.client.protect_rtp(&rtp(seq), 12, SeqNo::first(seq))
    }

    /// A report of the client's arrives by `on`.
    fn speak_on(&mut self, on: Path) -> Vec<u8> {
        let wire = self.client.protect_rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 42]);
        self.server.open_rtcp(self.now, &on, &mut wire.clone()).unwrap();
        wire
    }

    fn changes(&mut self) -> Vec<Path> {
        let events = std::iter::from_fn(|| self.server.poll_event());
        let changed = events.filter_map(|event| match event {
            TransportEvent::PathChanged(path) => Some(path),
            _ => None,
        });
        changed.collect()
    }
}

#[test]
fn a_nomination_is_followed_with_the_first_packet_of_whatever_kind() {
    for kind in 0..3 {
        let mut link = Link::with_channels();
        let new = path(2000);
        link.check_on(new, true);
        assert_eq!(link.server.path(), Some(path(1000)), "a check alone moves nothing");
        match kind {
            0 => {
                let mut packet = link.packet();
                link.server.open_rtp(link.now, &new, &mut packet).unwrap();
            }
            1 => drop(link.speak_on(new)),
            _ => {
                link.client.send_data(link.now, Channel::Lossy, b"x");
                let record = link.client.poll_transmit().unwrap();
                assert!(link.server.handle_dtls(link.now, new, &record));
            }
        }
        assert_eq!(link.server.path(), Some(new), "kind {kind}");
        assert_eq!(link.changes(), [new]);
        // Checks on the old path, and packets that were under way there, do not take it back.
        link.check_on(path(1000), false);
        link.speak_on(path(1000));
        assert_eq!(link.server.path(), Some(new));
    }
}

#[test]
fn what_does_not_authenticate_moves_nothing() {
    let mut link = Link::connected();
    link.check_on(path(2000), true);
    let mut forged = link.packet();
    *forged.last_mut().unwrap() ^= 1;
    assert!(link.server.open_rtp(link.now, &path(2000), &mut forged).is_err());
    let replayed = link.speak_on(path(1000));
    assert!(link.server.open_rtcp(link.now, &path(2000), &mut replayed.clone()).is_err());
    assert!(!link.server.handle_dtls(link.now, path(2000), &[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 0]));
    assert_eq!(link.server.path(), Some(path(1000)));
}

#[test]
fn a_check_counts_once() {
    let mut link = Link::connected();
    while link.server.poll_transmit().is_some() {}
    let check = link.check_on(path(1000), true);
    let (thief, before) = (path(6666), link.server.poll_transmit().unwrap().1);
    link.now += 20 * SECOND;
    let outcome = link.server.handle_stun(link.now, thief, &check);
    assert!(outcome.is_authentic && !link.server.is_valid(thief));
    let (to, response) = link.server.poll_transmit().unwrap();
    assert_eq!(to, thief);
    assert_ne!(response, before, "it is told its own address");
    // Nor is consent renewed by it on the path that it is of.
    link.server.handle_stun(link.now, path(1000), &check);
    link.run(11 * SECOND);
    assert!(!link.server.may_send());
}

#[test]
fn a_forwarder_of_checks_gets_nothing_while_the_client_is_heard() {
    let mut link = Link::connected();
    let thief = path(6666);
    for _ in 0..60 {
        link.now += SECOND / 2;
        // The copy arrives first, so that it is the one that counts.
        let check = link.check_on(thief, true);
        link.server.handle_stun(link.now, path(1000), &check);
        link.speak_on(path(1000));
        assert_eq!(link.server.path(), Some(path(1000)));
    }
}

#[test]
fn a_forwarder_of_packets_holds_the_path_for_a_second_at_most() {
    let mut link = Link::connected();
    let thief = path(6666);
    link.check_on(thief, true);
    link.speak_on(thief);
    assert_eq!(link.server.path(), Some(thief));
    link.now += SECOND;
    link.speak_on(path(1000));
    assert_eq!(link.server.path(), Some(path(1000)));
    link.check_on(thief, true);
    link.speak_on(thief);
    link.check_on(path(1000), true);
    link.speak_on(path(1000));
    assert_eq!(link.server.path(), Some(path(1000)), "by its own nomination at once");
}

#[test]
fn a_rebound_client_that_nominates_nothing_is_followed_once_its_old_path_is_silent() {
    let mut link = Link::connected();
    link.speak_on(path(1000));
    let new = path(2000);
    link.check_on(new, false);
    link.now += SECOND / 2;
    link.speak_on(new);
    assert_eq!(link.server.path(), Some(path(1000)), "the old one may be in use yet");
    link.now += SECOND / 2;
    link.speak_on(new);
    assert_eq!(link.server.path(), Some(new));
}

/// A client that waits for us, as one without media does, has nothing to encrypt.
#[test]
fn checks_alone_are_followed_when_the_old_path_is_silent() {
    for (nominates, silence) in [(true, SECOND), (false, Duration::from_millis(6_500))] {
        let mut link = Link::connected();
        let new = path(2000);
        link.speak_on(path(1000));
        link.check_on(new, nominates);
        link.now += silence - STEP;
        for _ in 0..3 {
            link.check_on(new, nominates);
            assert_eq!(link.server.path(), Some(path(1000)));
        }
        link.now += STEP;
        let last = link.check_on(new, nominates);
        link.server.handle_stun(link.now, new, &last);
        if nominates {
            assert_eq!(link.server.path(), Some(path(1000)), "the same check twice is one");
            link.check_on(new, nominates);
        }
        assert_eq!(link.server.path(), Some(new));
    }
}

#[test]
fn old_checks_do_not_follow_a_client_that_went_away() {
    let mut link = Link::connected();
    let seen: Vec<_> = (0..20).map(|_| link.check_on(path(1000), true)).collect();
    for check in seen.iter().cycle().take(200) {
        link.now += SECOND / 10;
        link.server.handle_stun(link.now, path(6666), check);
    }
    assert_eq!(link.server.path(), Some(path(1000)));
    assert!(!link.server.is_valid(path(6666)));
}

/// A receive-only client in a quiet room: reports each 5 s, consent each 2.5 s, and a spare pair that is checked more often.
#[test]
fn a_spare_pair_that_is_checked_does_not_take_over_a_quiet_one() {
    let mut link = Link::connected();
    for tenth in 0..600 {
        link.now += SECOND / 10;
        if tenth % 25 == 0 {
            link.check_on(path(1000), true);
        }
        if tenth % 50 == 0 {
            link.speak_on(path(1000));
        }
        if tenth % 5 == 0 {
            link.check_on(tcp(9), false);
        }
        assert_eq!(link.server.path(), Some(path(1000)));
    }
}

/// UDP is dropped towards the client: its checks arrive and are repeated, the answers do not, and TCP works. Firefox nominates both.
#[test]
fn the_handshake_stays_where_the_client_shakes_hands() {
    for nominates in [true, false] {
        let mut link = Link::new(1, 0.0);
        link.path = tcp(9);
        link.check_on(tcp(9), true);
        let repeated = link.check_on(path(1000), nominates);
        link.client.start_dtls(link.now);
        let began = link.now;
        while !link.server.is_connected() || !link.client.is_connected() {
            link.server.handle_stun(link.now, path(1000), &repeated);
            link.check_on(path(1000), nominates);
            link.step();
            assert!(link.now < began + SECOND, "every flight goes by TCP");
        }
        assert_eq!(link.server.path(), Some(tcp(9)));
        // In mid-call, too: the old path is checked, the new one carries packets.
        for _ in 0..20 {
            link.now += SECOND / 4;
            link.check_on(path(1000), false);
            link.speak_on(tcp(9));
            assert_eq!(link.server.path(), Some(tcp(9)));
        }
    }
}

#[test]
fn in_mid_call_a_nominated_path_is_followed_whatever_is_checked_on_the_old_one() {
    let mut link = Link::connected();
    link.speak_on(path(1000));
    link.check_on(path(1000), true);
    link.check_on(tcp(9), true);
    link.check_on(path(1000), false);
    link.speak_on(tcp(9));
    assert_eq!(link.server.path(), Some(tcp(9)));
}

/// The client's last flight is answered where it was sent from, also after ours was lost.
#[test]
fn a_repeated_flight_is_answered_where_it_came_from() {
    let mut link = Link::new(1, 0.0);
    link.check(true);
    link.client.start_dtls(link.now);
    while !link.server.is_connected() {
        link.step();
    }
    while link.server.poll_transmit().is_some() {}
    link.check_on(tcp(9), true);
    while link.server.poll_transmit().is_some() {}
    link.path = tcp(9);
    link.run_until(|link| link.client.is_connected());
}

#[test]
fn moves_are_limited() {
    let mut link = Link::connected();
    link.changes();
    let mut moves = 0;
    for turn in 0..1_000 {
        link.now += SECOND / 100;
        let on = path(1000 + turn % 2);
        link.check_on(on, true);
        link.speak_on(on);
        moves += link.changes().len();
    }
    assert!((20..=25).contains(&moves), "{moves} in 10 s");
}

#[test]
fn tcp_paths_are_limited_and_the_selected_one_stays() {
    let mut link = Link::new(1, 0.0);
    link.path = tcp(1);
    link.connect();
    let mut forgotten = Vec::new();
    for port in 2..=20 {
        link.now += STEP;
        let check = link.client.check(false);
        forgotten.extend(link.server.handle_stun(link.now, tcp(port), &check).forgotten);
    }
    assert_eq!(forgotten, (2..=13).map(tcp).collect::<Vec<_>>());
    assert_eq!(link.server.paths().count(), config().max_tcp_paths);
    assert!(link.server.is_valid(tcp(1)) && link.server.is_valid(tcp(20)));
    link.check_on(path(1000), false);
    assert!(link.server.is_valid(path(1000)), "UDP has places of its own");
}

#[test]
fn a_closed_path_yields_to_the_one_that_was_nominated_last() {
    let mut link = Link::new(1, 0.0);
    link.path = tcp(9);
    link.check_on(path(1000), true);
    link.connect();
    link.check_on(path(2000), false);
    link.server.handle_path_closed(link.now, tcp(9));
    assert_eq!(link.server.path(), Some(path(1000)));
}

/// RFC 8445 section 7.1: FFmpeg's checks have neither PRIORITY nor ICE-CONTROLLING.
#[test]
fn a_check_without_priority_and_role_counts() {
    let mut link = Link::new(1, 0.0);
    let (local, remote) = (IceCredentials::generate(3, &mut link.rng), IceCredentials::generate(0, &mut link.rng));
    link.server.restart_ice(&local, &remote);
    let username = format!("{}:{}", local.ufrag, remote.ufrag);
    let mut attributes = vec![0, 6, 0, username.len() as u8];
    attributes.extend(username.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    attributes.extend([0, 0x25, 0, 0]);
    let check = stun::Writer::new(stun::Kind::Request, &[9; 12]).raw(&attributes).finish(&stun::key(&local.password));
    link.server.handle_stun(link.now, path(1000), &check);
    let (_, response) = link.server.poll_transmit().unwrap();
    let response = stun::Message::parse(&response).unwrap();
    assert_eq!((response.kind(), response.error_code()), (stun::Kind::Success, None));
    assert_eq!(link.server.path(), Some(path(1000)));
}

#[test]
fn two_restarts_in_a_row_keep_the_path_and_the_session_that_carries_media() {
    let mut link = Link::connected();
    let mut fresh = || (IceCredentials::generate(3, &mut link.rng), IceCredentials::generate(0, &mut link.rng));
    let (abandoned, last) = (fresh(), fresh());
    link.server.restart_ice(&abandoned.0, &abandoned.1);
    link.server.restart_ice(&last.0, &last.1);
    assert!(!link.server.has_ufrag(&abandoned.0.ufrag) && link.server.has_ufrag(&last.0.ufrag));
    for _ in 0..10 {
        link.now += 5 * SECOND;
        link.check_on(path(1000), false);
        link.server.handle_timeout(link.now);
        assert!(link.server.may_send(), "the session that carries media is answered");
    }
    link.client.restart_ice(last.1, last.0.clone());
    link.check_on(path(3000), true);
    assert_eq!(link.server.path(), Some(path(3000)));
    assert!(link.server.has_ufrag(&last.0.ufrag));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever checks of the client's are sent again or ahead of it, from wherever and in whatever order: without a packet that only the
    /// client can make, media stays where the client is heard.
    #[test]
    fn no_replayed_or_forwarded_checks_move_media(
        acts in proptest::collection::vec((0u8..5, any::<prop::sample::Index>(), 6000u16..6020, any::<bool>(), 0u64..900), 1..150),
    ) {
        let mut link = Link::connected();
        let (mut checks, mut packets) = (vec![link.check_on(path(1000), true)], vec![link.speak_on(path(1000))]);
        let (mut heard, mut until) = (link.now, link.now);
        for (act, which, port, over_tcp, millis) in acts {
            let thief = if over_tcp { tcp(port) } else { path(port) };
            match act {
                0 => {
                    until += Duration::from_millis(millis);
                    while link.now < until {
                        link.now = until.min(heard + SECOND - STEP);
                        packets.push(link.speak_on(path(1000)));
                        heard = link.now;
                    }
                }
                1 => {
                    let check = link.client.check(port % 2 == 0);
                    link.server.handle_stun(link.now, thief, &check);
                    link.server.handle_stun(link.now, path(1000), &check);
                    checks.push(check);
                }
                2 => checks.push(link.check_on(path(1000), port % 2 == 0)),
                3 => drop(link.server.handle_stun(link.now, thief, which.get::<Vec<u8>>(&checks))),
                _ => {
                    let mut packet = which.get(&packets).clone();
                    prop_assert!(link.server.open_rtcp(link.now, &thief, &mut packet).is_err());
                }
            }
            prop_assert_eq!(link.server.path(), Some(path(1000)));
        }
    }
}
#[test]
fn an_ice_restart_keeps_the_old_path_until_the_new_is_nominated() {
    let mut link = Link::connected();
    let local = IceCredentials::generate(3, &mut link.rng);
    let remote = IceCredentials::generate(0, &mut link.rng);
    link.server.restart_ice(&local, &remote);
    link.now += Duration::from_secs(20);
    link.check(true);
    link.now += Duration::from_secs(20);
    link.server.handle_timeout(link.now);
    assert!(link.server.may_send(), "the old credentials renew consent");
    let old_check = link.client.check(true);
    link.client.restart_ice(remote, local);
    link.path = path(3000);
    link.check(false);
    assert_eq!(link.server.path(), Some(path(1000)));
    link.check(true);
    assert_eq!(link.server.path(), Some(path(3000)));
    let ignored = link.server.counters().stun_ignored;
    link.server.handle_stun(link.now, path(1000), &old_check);
    assert_eq!(link.server.counters().stun_ignored, ignored + 1);
    assert_eq!(link.server.path(), Some(path(3000)));
}
