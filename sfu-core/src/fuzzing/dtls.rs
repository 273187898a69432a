//! A transport's DTLS: raw datagrams, and a real handshake whose datagrams are damaged.

use std::time::{Duration, Instant};

use super::{Input, certificate, start};
use crate::config::DataLimits;
use crate::sdp::IceCredentials;
use crate::transport::client::TestClient;
use crate::transport::{Path, Protocol, Transport, TransportConfig, TransportEvent};

const MAX_ROUNDS: usize = 60;

/// The first byte says whether a client shakes hands, its datagrams damaged as the next bytes say, before the rest is
/// taken as datagrams, each after its length.
pub fn dtls(data: &[u8]) {
    let mut input = Input::new(data);
    let mut session = Session::new();
    if input.byte() & 1 == 1 {
        session.shake_hands(&mut input);
    }
    while !input.is_empty() {
        session.receive(input.long_slice());
        session.wait(Duration::from_millis(u64::from(input.byte())));
    }
}

struct Session {
    now: Instant,
    path: Path,
    transport: Transport,
    client: TestClient,
    has_failed: bool,
}

impl Session {
    /// After ICE.
    fn new() -> Self {
        let now = start();
        let credentials = |name: &str| IceCredentials { ufrag: format!("00{name}"), password: name.repeat(8) };
        let (ours, theirs) = (credentials("server"), credentials("client"));
        let mut client = TestClient::new(certificate().clone(), theirs.clone(), ours.clone(), now);
        let config = TransportConfig {
            certificate: certificate().clone(),
            consent_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(20),
            interruption_timeout: Duration::from_secs(30),
            data_buffer: DataLimits::DEFAULT.in_flight_bytes(),
            max_tcp_paths: 8,
        };
        let mut transport = Transport::new(&config, &ours, &theirs, client.fingerprint(), now);
        let address = |last| ([127, 0, 0, last], 9).into();
        let path = Path { protocol: Protocol::Udp, local: address(1), remote: address(2) };
        transport.handle_stun(now, path, &client.check(true));
        assert_eq!(transport.path(), Some(path));
        Self { now, path, transport, client, has_failed: false }
    }

    fn shake_hands(&mut self, input: &mut Input<'_>) {
        self.client.start_dtls(self.now);
        for _ in 0..MAX_ROUNDS {
            while let Some(datagram) = self.client.poll_transmit() {
                self.damage(datagram, input);
            }
            if self.client.is_connected() && self.transport.is_connected() || self.has_failed {
                return;
            }
            self.wait(Duration::from_millis(100));
            self.client.handle_timeout(self.now);
        }
    }

    fn damage(&mut self, mut datagram: Vec<u8>, input: &mut Input<'_>) {
        match input.byte() % 8 {
            1 => return,
            2 => self.receive(&datagram.clone()),
            3 => {
                let (at, value) = (usize::from(input.u16()) % datagram.len(), input.byte());
                datagram[at] = value;
            }
            4 => datagram.truncate(usize::from(input.u16())),
            5 => datagram.extend(input.slice()),
            6 => self.receive(input.long_slice()),
            7 => {
                let at = usize::from(input.u16()) % datagram.len();
                let tail = datagram.split_off(at);
                self.receive(&tail);
            }
            _ => {}
        }
        self.receive(&datagram);
    }

    fn receive(&mut self, datagram: &[u8]) {
        self.transport.handle_dtls(self.now, self.path, datagram);
        self.drain();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.transport.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        let mut sent = 0;
        while let Some((path, datagram)) = self.transport.poll_transmit() {
            assert!(path == self.path && datagram.len() <= 1_500);
            sent += 1;
            self.client.handle(self.now, &datagram);
        }
        assert!(sent <= 64, "a datagram is not answered by {sent}");
        while let Some(event) = self.transport.poll_event() {
            assert!(!self.has_failed, "{event:?} after the end");
            self.has_failed = matches!(event, TransportEvent::Failed(_));
        }
        assert!(!self.transport.is_connected() || self.transport.srtp_profile().is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red if the target stops doing what it is for, whatever the reason.
    #[test]
    fn the_corpus_reaches_a_connection() {
        let mut session = Session::new();
        session.shake_hands(&mut Input::new(&include_bytes!("../../../fuzz/corpus/dtls/handshake")[1..]));
        assert!(session.transport.is_connected() && session.client.is_connected());
    }
}
