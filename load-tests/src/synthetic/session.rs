//! A client's end of one connection: it checks as a full ICE agent (RFC 8445), shakes hands as the DTLS client unless the
//! server wants to be that, and derives the SRTP keys. Sans-IO: it is told the time, and what it sends is handed to a function.
//!
//! One pair is enough: servers of media listen on one address. Checks nominate at once, as browsers do towards ICE-lite
//! servers, and go on as consent (RFC 7675). Checks of the server are answered, for servers that are full agents.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::{digest, hmac};
use dimpl::{Dtls, DtlsCertificate, Output};
use sfu_core::sdp::{Fingerprint, IceCredentials};
use sfu_core::transport::srtp::{self, Open, Role, Seal};
use sfu_core::transport::stun::{self, Kind, Message, TransactionId, Writer};
use sfu_core::transport::{Class, SrtpProfile, classify};

/// Checks before the first answer are this far apart at first; the distance doubles up to [`SLOWEST_CHECK`].
const FIRST_CHECK: Duration = Duration::from_millis(20);
const SLOWEST_CHECK: Duration = Duration::from_millis(500);
/// Between checks of consent: what Chromium does on a good connection.
const CONSENT: Duration = Duration::from_millis(2_500);
/// A connection that is not up by then has failed.
const TIMEOUT: Duration = Duration::from_secs(20);
const MTU: usize = 1_200;
/// What `dimpl` gives out in one piece: the peer's certificate is the largest.
const OUTPUT: usize = 8_192;

/// The certificate and the DTLS configuration that all participants of a process share: making keys is no part of what
/// is measured.
#[derive(Clone)]
pub struct Identity {
    certificate: DtlsCertificate,
    config: Arc<dimpl::Config>,
    /// What offers say.
    pub fingerprint: Fingerprint,
}

impl Identity {
    /// Makes a certificate.
    pub fn generate() -> anyhow::Result<Self> {
        let certificate = dimpl::certificate::generate_self_signed_certificate()?;
        let fingerprint = fingerprint(&certificate.certificate);
        let config = dimpl::Config::builder().mtu(MTU).flight_start_rto(Duration::from_millis(250)).build()?;
        Ok(Self { certificate, config: Arc::new(config), fingerprint })
    }
}

fn fingerprint(der: &[u8]) -> Fingerprint {
    let hash = digest::digest(&digest::SHA256, der);
    Fingerprint(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// The server's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its media address.
    pub address: SocketAddr,
    /// Of its certificate.
    pub fingerprint: Fingerprint,
    /// It starts the DTLS handshake.
    pub starts_dtls: bool,
}

/// How far a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No check was answered yet.
    Checking,
    /// DTLS is under way.
    Shaking,
    /// Packets can be sealed and opened.
    Connected(SrtpProfile),
    /// It is over, and why.
    Failed(String),
}

/// One connection.
pub struct Session {
    local: IceCredentials,
    remote: IceCredentials,
    local_key: hmac::Key,
    remote_key: hmac::Key,
    server: SocketAddr,
    expected: Fingerprint,
    dtls: Dtls,
    role: Role,
    verified: bool,
    state: State,
    /// Both directions, once DTLS is done.
    pub srtp: Option<(Seal, Open)>,
    started: Instant,
    transaction: u64,
    check_at: Instant,
    interval: Duration,
    dtls_at: Option<Instant>,
    buffer: Vec<u8>,
}

impl Session {
    /// A connection to a server, to be started by [`Self::handle_timeout`].
    pub fn new(identity: &Identity, ice: (IceCredentials, IceCredentials), peer: Peer, now: Instant) -> Self {
        let (local, remote) = ice;
        let Peer { address: server, fingerprint: expected, starts_dtls } = peer;
        let mut dtls = Dtls::new_12(Arc::clone(&identity.config), identity.certificate.clone(), now);
        dtls.set_active(!starts_dtls);
        Self {
            local_key: stun::key(&local.password),
            remote_key: stun::key(&remote.password),
            local,
            remote,
            server,
            expected,
            dtls,
            role: if starts_dtls { Role::Server } else { Role::Client },
            verified: false,
            state: State::Checking,
            srtp: None,
            started: now,
            transaction: rand::random(),
            check_at: now,
            interval: FIRST_CHECK,
            dtls_at: None,
            buffer: Vec::new(),
        }
    }

    /// How far it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes a STUN or DTLS datagram.
    pub fn handle(&mut self, now: Instant, datagram: &[u8], send: &mut dyn FnMut(&[u8])) {
        match classify(datagram) {
            Class::Stun => self.handle_stun(now, datagram, send),
            Class::Dtls if !matches!(self.state, State::Failed(_)) => {
                let result = self.dtls.handle_timeout(now).and_then(|()| self.dtls.handle_packet(datagram));
                if let Err(error) = result {
                    return self.state = State::Failed(format!("DTLS: {error}"));
                }
                self.drain(send);
            }
            _ => {}
        }
    }

    /// To be called when [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant, send: &mut dyn FnMut(&[u8])) {
        if self.poll_timeout().is_none() {
            return;
        }
        if self.srtp.is_none() && now.saturating_duration_since(self.started) > TIMEOUT {
            let what = if self.state == State::Checking { "no ICE check was answered" } else { "DTLS timed out" };
            return self.state = State::Failed(what.to_owned());
        }
        if now >= self.check_at {
            send(&self.check());
            self.check_at = now + self.interval;
            if self.state == State::Checking {
                self.interval = (self.interval * 2).min(SLOWEST_CHECK);
            }
        }
        if self.dtls_at.is_some_and(|at| now >= at) {
            if let Err(error) = self.dtls.handle_timeout(now) {
                return self.state = State::Failed(format!("DTLS: {error}"));
            }
            self.drain(send);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next; `None`: never, since the connection is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let dtls_at = self.dtls_at.filter(|_| self.srtp.is_none());
        let is_over = matches!(self.state, State::Failed(_));
        (!is_over).then(|| dtls_at.map_or(self.check_at, |at| at.min(self.check_at)))
    }

    /// Says farewell.
    pub fn close(&mut self, send: &mut dyn FnMut(&[u8])) {
        if self.dtls.close().is_ok() {
            self.drain(send);
        }
    }

    fn check(&mut self) -> stun::Bytes {
        self.transaction = self.transaction.wrapping_add(1);
        let mut transaction = TransactionId::default();
        transaction[4..].copy_from_slice(&self.transaction.to_be_bytes());
        let username = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        Writer::new(Kind::Request, &transaction).check(&username, true, true).finish(&self.remote_key)
    }

    fn handle_stun(&mut self, now: Instant, datagram: &[u8], send: &mut dyn FnMut(&[u8])) {
        let Ok(message) = Message::parse(datagram) else { return };
        match message.kind() {
            Kind::Request if message.is_authentic(&self.local_key) => {
                let response = Writer::new(Kind::Success, &message.transaction()).mapped_address(self.server);
                send(&response.finish(&self.local_key));
            }
            Kind::Success if message.is_authentic(&self.remote_key) && self.state == State::Checking => {
                self.state = State::Shaking;
                self.interval = CONSENT;
                self.check_at = now + CONSENT;
                // The first call after the start makes the ClientHello, if that is ours to send.
                let _ = self.dtls.handle_timeout(now);
                self.drain(send);
            }
            _ => {}
        }
    }

    fn drain(&mut self, send: &mut dyn FnMut(&[u8])) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(OUTPUT.max(buffer.len()), 0);
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => send(packet),
                Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
                Output::PeerCert(der) => {
                    self.verified = fingerprint(der) == self.expected;
                    if !self.verified {
                        self.state = State::Failed("the server's certificate is not that of its SDP".to_owned());
                    }
                }
                Output::KeyingMaterial(material, profile) if self.verified => {
                    let sessions = own_profile(profile)
                        .and_then(|profile| Some((profile, srtp::sessions(profile, self.role, &material)?)));
                    match sessions {
                        Some((profile, sessions)) => {
                            self.srtp = Some(sessions);
                            self.state = State::Connected(profile);
                        }
                        None => self.state = State::Failed("DTLS agreed on no SRTP profile".to_owned()),
                    }
                }
                Output::CloseNotify => self.state = State::Failed("the server closed the connection".to_owned()),
                Output::Timeout(at) => {
                    self.dtls_at = Some(at);
                    break;
                }
                _ => {}
            }
        }
        // After the handshake a connection of ours has no more DTLS to speak of: its buffer is given back.
        if self.srtp.is_none() {
            self.buffer = buffer;
        }
    }
}

fn own_profile(profile: dimpl::SrtpProfile) -> Option<SrtpProfile> {
    match profile {
        dimpl::SrtpProfile::AEAD_AES_256_GCM => Some(SrtpProfile::AeadAes256Gcm),
        dimpl::SrtpProfile::AEAD_AES_128_GCM => Some(SrtpProfile::AeadAes128Gcm),
        dimpl::SrtpProfile::AES128_CM_SHA1_80 => Some(SrtpProfile::Aes128CmHmacSha1_80),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red if a connection that is over asks to be called at once, again and again: its thread would serve nobody else.
    #[test]
    fn a_connection_that_failed_wants_nothing_more() {
        let (identity, start) = (Identity::generate().unwrap(), Instant::now());
        let ice = || IceCredentials { ufrag: "abcd".to_owned(), password: "x".repeat(22) };
        let peer = Peer { address: ([127, 0, 0, 1], 9).into(), fingerprint: identity.fingerprint, starts_dtls: false };
        let mut session = Session::new(&identity, (ice(), ice()), peer, start);
        let mut sent = 0;
        while let Some(at) = session.poll_timeout() {
            session.handle_timeout(at, &mut |_| sent += 1);
            assert!(session.poll_timeout().is_none_or(|next| next > at), "time stands still");
        }
        assert!(matches!(session.state(), State::Failed(_)));
        assert!((40..60).contains(&sent), "{sent} checks");
    }
}
