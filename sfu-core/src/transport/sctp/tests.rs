//! A member's SCTP may be anything: packets of a real association are damaged and given a right checksum again.

use proptest::prelude::*;
use rtc::sctp::ClientConfig;

use super::*;
use crate::config::DataLimits;

/// What happens to one packet of the client.
#[derive(Debug, Clone)]
enum Damage {
    None,
    Lose,
    Repeat,
    Set(usize, u8),
    Cut(usize),
    Append(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        3 => Just(Damage::None),
        1 => Just(Damage::Lose),
        1 => Just(Damage::Repeat),
        4 => (12usize..80, any::<u8>()).prop_map(|(at, value)| Damage::Set(at, value)),
        1 => (12usize..60).prop_map(Damage::Cut),
        1 => proptest::collection::vec(any::<u8>(), 4..40).prop_map(Damage::Append),
    ]
}

impl Damage {
    fn apply(&self, packet: &Bytes) -> Vec<Bytes> {
        let mut bytes = packet.to_vec();
        match self {
            Self::None => {}
            Self::Lose => return Vec::new(),
            Self::Repeat => return vec![packet.clone(), packet.clone()],
            Self::Set(at, value) if *at < bytes.len() => bytes[*at] = *value,
            Self::Set(..) => {}
            Self::Cut(at) => bytes.truncate(*at),
            Self::Append(more) => bytes.extend(more),
        }
        fuzzing::checksum(&mut bytes);
        vec![Bytes::from(bytes)]
    }
}

/// Runs a client that opens a channel, sends and closes, against our end, with its packets damaged.
fn run(damages: &[Damage], undamaged: usize) -> Sctp {
    let mut now = Instant::now();
    let mut server = Sctp::new(DataLimits::DEFAULT.in_flight_bytes());
    let mut client_end = endpoint();
    let (_, mut client) = client_end.connect(now, ClientConfig::new(transport_config()), peer_address()).unwrap();
    let mut damages = std::iter::repeat_n(&Damage::None, undamaged).chain(damages);
    for round in 0..40 {
        now += Duration::from_millis(300);
        if round == 4 {
            let open = dcep::Open { label: b"reliable", unordered: false, reliability: dcep::Reliability::Reliable };
            if let Ok(mut stream) = client.open_stream(0, Ppi::Binary) {
                let _ = stream.write_with_ppi(now, &open.to_bytes(), Ppi::Dcep);
                let _ = stream.write_with_ppi(now, &[1; 5000], Ppi::Binary);
            }
        }
        if round == 20
            && let Ok(mut stream) = client.stream(0)
        {
            let _ = stream.close(now);
        }
        for packet in packets(&mut client, now) {
            for packet in damages.next().unwrap_or(&Damage::None).apply(&packet) {
                server.handle(now, packet);
            }
        }
        let _ = server.send(now, Channel::Reliable, &[2; 3000]);
        server.handle_timeout(now);
        while let Some(packet) = server.poll_transmit(now) {
            if let Some((_, DatagramEvent::AssociationEvent(event))) =
                client_end.handle(now, peer_address(), None, packet)
            {
                client.handle_event(event);
            }
        }
        while client.poll().is_some() {}
        client.handle_timeout(now);
    }
    server
}

#[test]
fn an_undamaged_run_opens_carries_and_closes() {
    let mut server = run(&[], 0);
    assert_eq!(server.poll_event(), Some(SctpEvent::Open(Channel::Reliable)));
    assert_eq!(server.poll_event(), Some(SctpEvent::Message(Channel::Reliable, Bytes::from(vec![1; 5000]))));
    assert_eq!(server.poll_event(), Some(SctpEvent::Closed(Channel::Reliable)));
}

/// The library would walk over two thousand million TSNs one by one.
#[test]
fn a_forward_tsn_that_skips_too_far_is_refused() {
    let packet = |tsn: u32| [&[0; 12][..], &[192, 0, 0, 8], &tsn.to_be_bytes()].concat();
    let mut init = [&[0; 12][..], &[1, 0, 0, 20], &[0; 16]].concat();
    init[28..32].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut guard = Guard::default();
    assert_eq!(guard.judge(&packet(5)), Verdict::Refuse, "there is no association yet");
    assert_eq!(guard.judge(&init), Verdict::Pass);
    guard = Guard::of_init(&init);
    assert_eq!(guard.judge(&packet(5)), Verdict::Pass);
    assert_eq!(guard.judge(&packet(1 << 30)), Verdict::Refuse);
    assert_eq!(guard.judge(&packet(10_000)), Verdict::Pass);
    assert_eq!(guard.judge(&packet(20_000)), Verdict::Pass);
}

#[test]
fn error_causes_never_reach_the_library() {
    let mut guard = Guard::default();
    let abort = [&[0; 12][..], &[6, 0, 0, 8, 0, 1, 0xff, 0xff]].concat();
    let error = [&[0; 12][..], &[9, 0, 0, 8, 0, 1, 0xff, 0xff]].concat();
    assert_eq!(guard.judge(&abort), Verdict::Abort);
    assert_eq!(guard.judge(&error), Verdict::Refuse);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_packets_never_panic(damages in proptest::collection::vec(damage(), 1..30), undamaged in 0usize..6) {
        run(&damages, undamaged);
    }
}
