//! Row 11, handshakes per CPU second: what a check, a DTLS handshake and the keys cost the server, without sockets and
//! signalling. Many connections go through it step by step together, so that the server's steps can be timed as one, in
//! CPU time of this thread.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use indicatif::ProgressBar;
use nix::time::{ClockId, clock_gettime};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sfu_core::config::DataLimits;
use sfu_core::sdp::IceCredentials;
use sfu_core::transport::{Certificate, Class, Path, Protocol, Transport, TransportConfig, classify};

use super::Figure;
use crate::synthetic::Identity;
use crate::synthetic::session::{Peer, Session, State};

const CONNECTIONS: usize = 500;
/// Flights of ICE and DTLS; a handshake that takes more has lost its way.
const MAX_FLIGHTS: usize = 20;

struct Pair {
    client: Session,
    server: Transport,
    path: Path,
    /// Under way to the server, and to the client.
    up: Vec<Vec<u8>>,
    down: Vec<Vec<u8>>,
}

/// Many handshakes.
pub(super) fn measure(bar: &ProgressBar) -> anyhow::Result<Figure> {
    bar.set_message("handshakes");
    let used = handshakes(CONNECTIONS)?;
    let each = used.as_secs_f64() * 1e6 / CONNECTIONS as f64;
    let note = format!("{each:.0} µs each: ICE check, DTLS 1.2 and SRTP keys, without sockets and signalling");
    Ok(Figure::new(11, "handshakes per CPU second", 1e6 / each, "").at_least(3_500.0).note(note))
}

/// CPU time of the server's side.
fn handshakes(count: usize) -> anyhow::Result<Duration> {
    let (certificate, identity, now) = (Certificate::generate()?, Identity::generate()?, Instant::now());
    let mut pairs: Vec<Pair> = (0..count).map(|number| Pair::new(&certificate, &identity, number, now)).collect();
    let mut used = Duration::ZERO;
    for _ in 0..MAX_FLIGHTS {
        pairs.iter_mut().for_each(|pair| pair.client_turn(now));
        let start = cpu()?;
        pairs.iter_mut().for_each(|pair| pair.server_turn(now));
        used += cpu()?.saturating_sub(start);
        if pairs.iter().all(Pair::is_done) {
            return Ok(used);
        }
    }
    let done = pairs.iter().filter(|pair| pair.is_done()).count();
    ensure!(done == count, "{done} of {count} handshakes came to their end");
    Ok(used)
}

fn cpu() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("this thread's CPU time")?.into())
}

impl Pair {
    fn new(certificate: &Certificate, identity: &Identity, number: usize, now: Instant) -> Self {
        let mut random = StdRng::seed_from_u64(number as u64);
        let [ours, theirs] = [0, 1].map(|worker| IceCredentials::generate(worker, &mut random));
        let config = TransportConfig {
            certificate: certificate.clone(),
            consent_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(20),
            interruption_timeout: Duration::from_secs(60),
            data_buffer: DataLimits::DEFAULT.in_flight_bytes(),
            max_tcp_paths: 8,
        };
        let local = SocketAddr::from(([127, 0, 0, 1], 7_882));
        let remote = SocketAddr::from(([127, 0, 0, 1], 10_000 + number as u16));
        let peer = Peer { address: local, fingerprint: certificate.fingerprint(), starts_dtls: false };
        Self {
            server: Transport::new(&config, &ours, &theirs, identity.fingerprint, now),
            client: Session::new(identity, (theirs, ours), peer, now),
            path: Path { protocol: Protocol::Udp, local, remote },
            up: Vec::new(),
            down: Vec::new(),
        }
    }

    fn client_turn(&mut self, now: Instant) {
        let mut send = |datagram: &[u8]| self.up.push(datagram.to_vec());
        if *self.client.state() == State::Checking && self.down.is_empty() {
            self.client.handle_timeout(now, &mut send);
        }
        for datagram in self.down.drain(..) {
            self.client.handle(now, &datagram, &mut send);
        }
    }

    fn server_turn(&mut self, now: Instant) {
        for datagram in self.up.drain(..) {
            match classify(&datagram) {
                Class::Stun => {
                    self.server.handle_stun(now, self.path, &datagram);
                }
                _ => {
                    self.server.handle_dtls(now, self.path, &datagram);
                }
            }
        }
        while let Some((_, datagram)) = self.server.poll_transmit() {
            self.down.push(datagram);
        }
        while self.server.poll_event().is_some() {}
    }

    fn is_done(&self) -> bool {
        self.server.is_connected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_come_to_their_end_and_take_time() {
        let used = handshakes(5).unwrap();
        assert!(used > Duration::from_micros(5 * 20) && used < Duration::from_secs(5), "{used:?}");
    }
}
