//! Whole handshakes in memory, over links that lose and reorder, and what hostile peers may try.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::sync::LazyLock;

mod paths;

use super::client::{Received, TestClient};
use super::*;
use crate::config::DataLimits;

static SERVER: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().unwrap());
static CLIENT: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().unwrap());

const STEP: Duration = Duration::from_millis(10);

fn path(port: u16) -> Path {
    Path {
        protocol: Protocol::Udp,
        local: "192.0.2.1:7882".parse().unwrap(),
        remote: SocketAddr::from(([198, 51, 100, 7], port)),
    }
}

fn tcp_path() -> Path {
    Path { protocol: Protocol::Tcp, ..path(9) }
}

fn config() -> TransportConfig {
    TransportConfig {
        certificate: SERVER.clone(),
        consent_timeout: Duration::from_secs(30),
        handshake_timeout: Duration::from_secs(20),
        interruption_timeout: Duration::from_secs(60),
        data_buffer: DataLimits::DEFAULT.in_flight_bytes(),
        max_tcp_paths: 8,
    }
}

/// A server and a client on a link that may lose and reorder, in virtual time.
struct Link {
    now: Instant,
    rng: StdRng,
    loss: f64,
    path: Path,
    server: Transport,
    client: TestClient,
    events: Vec<TransportEvent>,
    received: Vec<Received>,
}

impl Link {
    fn new(seed: u64, loss: f64) -> Self {
        Self::with_fingerprint(seed, loss, CLIENT.fingerprint())
    }

    fn with_fingerprint(seed: u64, loss: f64, expected: Fingerprint) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = Instant::now();
        let local = IceCredentials::generate(3, &mut rng);
        let remote = IceCredentials::generate(0, &mut rng);
        let server = Transport::new(&config(), &local, &remote, expected, now);
        let client = TestClient::new(CLIENT.clone(), remote, local, now);
        Self { now, rng, loss, path: path(1000), server, client, events: Vec::new(), received: Vec::new() }
    }

    /// A client that waits for the server's ClientHello.
    fn passive(seed: u64, loss: f64) -> Self {
        let mut link = Self::new(seed, loss);
        link.server = link.server.with_setup(Setup::Active);
        link.client = link.client.passive();
        link
    }

    fn connected() -> Self {
        let mut link = Self::new(1, 0.0);
        link.connect();
        link
    }

    fn connect(&mut self) {
        self.check(true);
        self.client.start_dtls(self.now);
        self.run_until(|link| link.client.is_connected() && link.server.is_connected());
    }

    fn with_channels() -> Self {
        let mut link = Self::connected();
        link.open_channels();
        link
    }

    fn open_channels(&mut self) {
        self.client.open_channels(self.now);
        self.run_until(|link| link.client.is_open(Channel::Reliable) && link.client.is_open(Channel::Lossy));
    }

    fn check(&mut self, nominate: bool) {
        let check = self.client.check(nominate);
        self.server.handle_stun(self.now, self.path, &check);
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        for step in 0..9_000 {
            if done(self) {
                return;
            }
            if step % 200 == 199 {
                self.check(true);
            }
            self.step();
        }
        panic!("not done within 90 s: {:?} after {} events", self.server, self.events.len());
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        let mut up: Vec<_> = std::iter::from_fn(|| self.client.poll_transmit()).collect();
        let mut down: Vec<_> = std::iter::from_fn(|| self.server.poll_transmit()).collect();
        if self.loss > 0.0 {
            up.shuffle(&mut self.rng);
            down.shuffle(&mut self.rng);
        }
        for datagram in up {
            assert!(datagram.len() <= 1200);
            if !self.rng.random_bool(self.loss) {
                self.server.handle_dtls(self.now, self.path, &datagram);
            }
        }
        for (path, datagram) in down {
            assert!(datagram.len() <= 1200);
            if path == self.path && !self.rng.random_bool(self.loss) {
                let received = self.client.handle(self.now, &datagram);
                self.received.push(received);
            }
        }
        if self.server.poll_timeout().is_some_and(|at| self.now >= at) {
            self.server.handle_timeout(self.now);
        }
        if self.client.poll_timeout().is_some_and(|at| self.now >= at) {
            self.client.handle_timeout(self.now);
        }
        self.events.extend(std::iter::from_fn(|| self.server.poll_event()));
    }

    fn messages(&self) -> Vec<(Channel, Bytes)> {
        let data = self.events.iter().filter_map(|event| match event {
            TransportEvent::Data { channel, message } => Some((*channel, message.clone())),
            _ => None,
        });
        data.collect()
    }

    fn failure(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match event {
            TransportEvent::Failed(reason) => Some(reason.as_str()),
            _ => None,
        })
    }
}

fn rtp(seq: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 111, 0, 0, 0, 0, 0, 1, 0, 0, 0, 42];
    packet[2..4].copy_from_slice(&seq.to_be_bytes());
    packet.extend([7; 100]);
    packet
}

#[test]
fn connects_and_carries_media_both_ways() {
    let mut link = Link::connected();
    assert_eq!(link.events[..2], [TransportEvent::PathChanged(path(1000)), TransportEvent::Connected]);
    assert_eq!(link.server.srtp_profile(), Some(SrtpProfile::AeadAes256Gcm));
    assert_eq!(link.client.srtp_profile(), link.server.srtp_profile());
    assert_eq!(link.client.server_fingerprint(), Some(SERVER.fingerprint()));
    assert!(link.server.may_send() && link.server.rtt().is_some());
    assert!(link.received.contains(&Received::Checked { success: true }));

    let plain = rtp(5);
    let mut wire = link.client.protect_rtp(&plain, 12, SeqNo::first(5));
    let (now, path) = (link.now, link.path);
    assert_eq!(link.server.open_rtp(now, &path, &mut wire.clone()), Ok(plain.len()));
    assert_eq!(link.server.open_rtp(now, &path, &mut wire), Err(SrtpError::Replayed));

    let mut buf = plain.clone();
    buf.resize(plain.len() + link.server.overhead(), 0);
    let len = link.server.seal_rtp(&mut buf, plain.len(), 12, SeqNo::first(5), 42);
    assert_eq!(link.client.handle(link.now, &buf[..len]), Received::Rtp(plain));

    let report = [0x80, 201, 0, 1, 0, 0, 0, 42].to_vec();
    let mut wire = link.client.protect_rtcp(&report);
    assert_eq!(link.server.open_rtcp(now, &path, &mut wire), Ok(report.len()));
    let mut buf = report.clone();
    buf.resize(report.len() + MAX_OVERHEAD, 0);
    let len = link.server.seal_rtcp(&mut buf, report.len());
    assert_eq!(link.client.handle(link.now, &buf[..len]), Received::Rtcp(report));
}

#[test]
fn handshakes_and_channels_survive_loss_and_reordering() {
    for seed in 0..12 {
        let mut link = Link::new(seed, 0.15);
        link.connect();
        link.open_channels();
        for index in 0..20u8 {
            link.client.send_data(link.now, Channel::Reliable, &[index; 3000]);
        }
        link.run_until(|link| link.messages().len() == 20);
        let expected: Vec<_> = (0..20u8).map(|i| (Channel::Reliable, Bytes::from(vec![i; 3000]))).collect();
        assert!(link.messages() == expected, "seed {seed}");
    }
}

#[test]
fn a_wrong_certificate_fails() {
    let mut link = Link::with_fingerprint(1, 0.0, Fingerprint([9; 32]));
    link.check(true);
    link.client.start_dtls(link.now);
    link.run(Duration::from_secs(1));
    assert!(link.failure().unwrap().contains("certificate"));
    assert!(!link.server.is_connected() && !link.client.is_connected());
    assert_eq!(link.server.poll_timeout(), None);
}

/// Red if a client has to wait for its own timeout to learn that its handshake failed.
#[test]
fn a_handshake_that_fails_ends_with_a_fatal_alert() {
    let mut link = Link::with_fingerprint(1, 0.0, Fingerprint([9; 32]));
    link.check(true);
    link.client.start_dtls(link.now);
    for _ in 0..20 {
        link.now += STEP;
        let up: Vec<_> = std::iter::from_fn(|| link.client.poll_transmit()).collect();
        for datagram in up {
            link.server.handle_dtls(link.now, link.path, &datagram);
        }
        let down: Vec<_> = std::iter::from_fn(|| link.server.poll_transmit()).map(|(_, datagram)| datagram).collect();
        if let Some(alert) = down.iter().find(|datagram| datagram[0] == 21) {
            assert_eq!(alert[13..], [2, 42], "fatal, bad_certificate");
            return;
        }
        for datagram in down {
            link.client.handle(link.now, &datagram);
        }
    }
    panic!("no alert came");
}

#[test]
fn dtls_from_an_unchecked_path_is_ignored() {
    let mut link = Link::new(1, 0.0);
    link.client.start_dtls(link.now);
    let hello = link.client.poll_transmit().unwrap();
    link.server.handle_dtls(link.now, path(1000), &hello);
    link.check(true);
    link.server.handle_dtls(link.now, path(2000), &hello);
    assert_eq!(link.server.counters().dtls_ignored, 2);
    assert!(link.server.dtls.is_none());
}

#[test]
fn forged_checks_are_ignored() {
    let mut link = Link::new(1, 0.0);
    let check = link.client.check(true);
    for at in 0..check.len() {
        let mut forged = check.clone();
        forged[at] ^= 0x10;
        link.server.handle_stun(link.now, path(1000), &forged);
    }
    assert_eq!(link.server.counters().stun_ignored, check.len() as u64);
    assert!(link.server.path().is_none() && link.server.poll_transmit().is_none());

    let mut rng = StdRng::seed_from_u64(9);
    let (stranger, other) = (IceCredentials::generate(0, &mut rng), IceCredentials::generate(3, &mut rng));
    let mut foreign = TestClient::new(CLIENT.clone(), stranger, other, link.now);
    link.server.handle_stun(link.now, path(1000), &foreign.check(true));
    assert!(link.server.path().is_none());
}

#[test]
fn role_conflicts_are_answered() {
    let mut link = Link::new(1, 0.0);
    let check = link.client.check_as(true, false);
    link.server.handle_stun(link.now, path(1000), &check);
    let (_, response) = link.server.poll_transmit().unwrap();
    assert_eq!(stun::Message::parse(&response).unwrap().error_code(), Some(487));
    assert!(link.server.path().is_none());
}

#[test]
fn one_byte_fragments_stay_bounded() {
    let mut link = Link::new(1, 0.0);
    link.check(true);
    link.client.start_dtls(link.now);
    let hello = link.client.poll_transmit().unwrap();
    let body = &hello[13 + 12..];
    let began = Instant::now();
    for index in 0..30_000usize {
        let at = 1 + index % (body.len() - 1);
        let mut fragment = hello[..13 + 12].to_vec();
        fragment[5..11].copy_from_slice(&(index as u64).to_be_bytes()[2..]);
        fragment[11..13].copy_from_slice(&13u16.to_be_bytes());
        fragment[19..22].copy_from_slice(&(at as u32).to_be_bytes()[1..]);
        fragment[22..25].copy_from_slice(&[0, 0, 1]);
        fragment.push(body[at]);
        link.server.handle_dtls(link.now, path(1000), &fragment);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(link.server.transmits.len() < 10);
    link.step();
    assert!(link.failure().is_some());
}

#[test]
fn a_silent_peer_fails_in_time() {
    let mut link = Link::new(1, 0.0);
    assert_eq!(link.server.poll_timeout(), Some(link.now + config().handshake_timeout));
    link.run(Duration::from_secs(21));
    assert!(link.failure().unwrap().contains("ICE"));
}

#[test]
fn consent_runs_out_and_comes_back() {
    let mut link = Link::connected();
    link.run(Duration::from_secs(29));
    assert!(link.server.may_send());
    link.run(Duration::from_secs(2));
    assert!(!link.server.may_send() && link.server.is_connected());
    assert!(link.events.contains(&TransportEvent::Interrupted));
    link.check(false);
    link.step();
    assert!(link.server.may_send());
    assert!(link.events.contains(&TransportEvent::Resumed));
    link.run(Duration::from_secs(92));
    assert!(link.failure().unwrap().contains("gone"));
}

#[test]
fn a_closed_tcp_connection_interrupts() {
    let mut link = Link::new(1, 0.0);
    link.path = tcp_path();
    link.connect();
    link.server.handle_path_closed(link.now, tcp_path());
    link.step();
    assert!(!link.server.may_send());
    assert_eq!(link.events.last(), Some(&TransportEvent::Interrupted));
    link.path = Path { protocol: Protocol::Tcp, ..path(10) };
    link.check(true);
    link.step();
    assert!(link.server.may_send());
    assert_eq!(link.events.last(), Some(&TransportEvent::Resumed));
}

#[test]
fn channels_carry_messages_of_every_size_both_ways() {
    let mut link = Link::with_channels();
    assert!(link.events.contains(&TransportEvent::ChannelOpen(Channel::Reliable)));
    assert!(link.events.contains(&TransportEvent::ChannelOpen(Channel::Lossy)));
    let sizes = [0, 1, 1200, 15_000, MAX_MESSAGE];
    for size in sizes {
        link.server.send_data(link.now, Channel::Reliable, &vec![5; size]).unwrap();
    }
    link.client.send_data(link.now, Channel::Lossy, b"fleeting");
    link.run(Duration::from_secs(2));
    let received: Vec<_> = std::iter::from_fn(|| link.client.poll_data()).map(|(_, message)| message.len()).collect();
    assert_eq!(received, sizes);
    assert_eq!(link.messages(), [(Channel::Lossy, Bytes::from_static(b"fleeting"))]);
    let too_large = link.server.send_data(link.now, Channel::Reliable, &vec![0; MAX_MESSAGE + 1]);
    assert_eq!(too_large, Err(DataError::TooLarge));
}

#[test]
fn a_client_that_does_not_read_fills_a_bounded_buffer() {
    let mut link = Link::with_channels();
    let message = vec![1; 60_000];
    let results: Vec<_> = (0..40).map(|_| link.server.send_data(link.now, Channel::Reliable, &message)).collect();
    let taken = config().data_buffer / crate::data::cost(message.len());
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), taken);
    assert_eq!(results.last(), Some(&Err(DataError::BufferFull)));
    for _ in 0..40 {
        assert_eq!(link.server.send_data(link.now, Channel::Lossy, &message), Ok(()));
    }
    assert!(link.server.counters().messages_dropped > 40);
}

/// Red if small messages are counted by their bytes alone: the library keeps far more than that of each.
#[test]
fn many_small_messages_count_for_more_than_their_bytes() {
    let mut link = Link::with_channels();
    let send = |link: &mut Link| link.server.send_data(link.now, Channel::Reliable, b"x").is_ok();
    let taken = (0..10_000).filter(|_| send(&mut link)).count();
    assert!((1_000..1_100).contains(&taken), "{taken}");
    link.run(Duration::from_secs(2));
    assert!((0..500).all(|_| send(&mut link)), "what was acknowledged makes room");
}

#[test]
fn unknown_labels_are_refused_and_closed_channels_reported() {
    let mut link = Link::with_channels();
    link.client.open_stream(link.now, 10, b"chat", false);
    link.run(Duration::from_secs(1));
    assert_eq!(link.server.counters().channels_refused, 1);
    link.client.close_channel(link.now, Channel::Lossy);
    link.run(Duration::from_secs(1));
    assert!(link.events.contains(&TransportEvent::ChannelClosed(Channel::Lossy)));
    assert_eq!(link.server.send_data(link.now, Channel::Lossy, b"x"), Err(DataError::NotOpen));
    assert_eq!(link.server.send_data(link.now, Channel::Reliable, b"x"), Ok(()));
}

#[test]
fn a_repeated_init_makes_no_second_association() {
    let mut link = Link::connected();
    link.client.open_channels(link.now);
    let init = link.client.poll_transmit().unwrap();
    link.server.handle_dtls(link.now, link.path, &init);
    let first = link.server.poll_transmit().unwrap();
    assert!(link.server.poll_transmit().is_none());
    // The INIT ACK is lost; after 3 s at most the client sends its INIT again.
    drop(first);
    link.run_until(|link| link.client.is_open(Channel::Reliable) && link.client.is_open(Channel::Lossy));
}

/// A timer that is always due would keep the worker busy for nobody.
#[test]
fn an_idle_transport_wakes_rarely() {
    let mut link = Link::with_channels();
    let mut wakes = 0;
    for _ in 0..20 {
        link.check(false);
        for _ in 0..100 {
            wakes += u32::from(link.server.poll_timeout().is_some_and(|at| link.now + STEP >= at));
            link.step();
        }
    }
    assert!(wakes < 10, "{wakes} wakes in 20 s");
    assert!(link.server.poll_timeout().unwrap() > link.now + Duration::from_secs(5));
}

#[test]
fn a_closed_channel_may_be_opened_again() {
    let mut link = Link::with_channels();
    link.client.close_channel(link.now, Channel::Lossy);
    link.run(Duration::from_secs(1));
    link.client.open_stream(link.now, 4, b"lossy", true);
    link.run(Duration::from_secs(1));
    let last = link.events.iter().rev().find(|event| !matches!(event, TransportEvent::Data { .. }));
    assert_eq!(last, Some(&TransportEvent::ChannelOpen(Channel::Lossy)));
    assert_eq!(link.server.send_data(link.now, Channel::Lossy, b"x"), Ok(()));
}

#[test]
fn a_goodbye_ends_the_transport() {
    let mut link = Link::connected();
    link.client.close(link.now);
    link.run(Duration::from_secs(1));
    assert!(link.failure().unwrap().contains("closed"));
}

#[test]
fn an_idle_transport_is_small() {
    assert!(std::mem::size_of::<Transport>() < 3072, "{}", std::mem::size_of::<Transport>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_datagrams_never_panic(datagrams in proptest::collection::vec((0u8..4, any::<Vec<u8>>()), 1..40)) {
        let mut link = Link::new(1, 0.0);
        link.check(true);
        for (first, mut datagram) in datagrams {
            // A plausible first byte leads beyond the first test of each parser.
            if let Some(byte) = datagram.first_mut() {
                *byte = [*byte, 0, 22, 0x80][usize::from(first)];
            }
            link.server.handle_stun(link.now, link.path, &datagram);
            link.server.handle_dtls(link.now, link.path, &datagram);
            let _ = link.server.open_rtp(link.now, &link.path, &mut datagram.clone());
            let _ = link.server.open_rtcp(link.now, &link.path, &mut datagram);
            link.now += STEP;
            link.server.handle_timeout(link.now);
        }
    }

    /// Behind DTLS, where the peer is a member: its SCTP may be anything.
    #[test]
    fn random_sctp_never_panics(packets in proptest::collection::vec(any::<Vec<u8>>(), 1..20), ports: bool) {
        let mut sctp = Sctp::new(DataLimits::DEFAULT.in_flight_bytes());
        let now = Instant::now();
        for mut packet in packets {
            if ports && packet.len() > 12 {
                packet[..8].copy_from_slice(&[0x13, 0x88, 0x13, 0x88, 0, 0, 0, 0]);
                packet[12] %= 16;
            }
            let _ = stun_username(&packet);
            sctp.handle(now, Bytes::from(packet));
            while sctp.poll_transmit(now).is_some() {}
        }
    }

    #[test]
    fn flipped_bits_in_a_handshake_never_panic(seed in 0u64..1 << 32) {
        let mut link = Link::new(seed, 0.0);
        link.check(true);
        link.client.start_dtls(link.now);
        for _ in 0..30 {
            link.now += STEP;
            while let Some(mut datagram) = link.client.poll_transmit() {
                let at = link.rng.random_range(0..datagram.len());
                datagram[at] ^= 1 << link.rng.random_range(0..8);
                link.server.handle_dtls(link.now, link.path, &datagram);
            }
            while let Some((_, datagram)) = link.server.poll_transmit() {
                link.client.handle(link.now, &datagram);
            }
            link.server.handle_timeout(link.now);
            link.client.handle_timeout(link.now);
        }
    }
}

/// Red if the handshake does not begin by itself once there is a path, if a lost flight is not sent again, or if each side
/// takes the other's keys.
#[test]
fn a_passive_client_is_called() {
    for (seed, loss) in [(1, 0.0), (2, 0.1), (3, 0.3)] {
        let mut link = Link::passive(seed, loss);
        link.check(true);
        link.run_until(|link| link.client.is_connected() && link.server.is_connected());
        link.loss = 0.0;
        link.open_channels();
        let mut packet = [0; 64];
        packet[..12].copy_from_slice(&[0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7]);
        let sealed = link.server.seal_rtp(&mut packet, 20, 12, SeqNo::first(1), 7);
        assert!(matches!(link.client.handle(link.now, &packet[..sealed]), Received::Rtp(plain) if plain.len() == 20));
    }
}

/// Before there is a path nothing is sent, and a passive client with another certificate gets no keys.
#[test]
fn a_passive_client_is_checked_as_any_other() {
    let mut link = Link::passive(1, 0.0);
    link.run(Duration::from_secs(1));
    assert!(link.server.poll_transmit().is_none());
    let mut link = Link::passive(1, 0.0);
    link.server.fingerprint = SERVER.fingerprint();
    link.check(true);
    link.run(Duration::from_secs(2));
    assert!(!link.server.is_connected());
    assert!(link.events.iter().any(|event| matches!(event, TransportEvent::Failed(_))));
}
