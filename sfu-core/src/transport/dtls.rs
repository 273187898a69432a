//! The DTLS side of one participant (RFC 6347, RFC 5764): a bounded wrapper of `dimpl`. The server's role is the usual one; a
//! client that offers `a=setup:passive` makes us the DTLS client.
//!
//! Invariants: no keys and no application data leave before the peer's certificate matched the fingerprint of its
//! offer; before that, input is bounded in datagram size and, by `dimpl`'s queue, in number. There is no cookie
//! exchange, because only paths that ICE has validated get here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dimpl::{Dtls, Output};

use super::certificate::{Certificate, fingerprint};
use super::srtp::{self, Open, Role, Seal, SrtpProfile};
use crate::sdp::{Fingerprint, Setup};

/// The most bytes of a UDP payload that we send in one record: what WebRTC assumes every path to carry.
pub(super) const MTU: usize = 1200;
/// Handshake datagrams over this size are refused; no path of ours carries larger ones.
const MAX_HANDSHAKE_DATAGRAM: usize = 1500;
/// Handshake datagrams that wait for others at once. A certificate in fragments of 100 bytes fits.
const MAX_HANDSHAKE_QUEUE: usize = 40;
/// What comes out in one piece before completion is the peer's certificate, which lay in the queue.
const HANDSHAKE_OUTPUT: usize = MAX_HANDSHAKE_DATAGRAM * MAX_HANDSHAKE_QUEUE;
/// After completion: a record. Larger ones make `dimpl` ask for more.
const OUTPUT: usize = 2048;
/// The transport's own handshake deadline is shorter and configurable.
const LIBRARY_TIMEOUT: Duration = Duration::from_secs(600);
/// RFC 6347 section 4.2.4.1 asks for 1 s, which WebRTC endpoints undercut since a lost flight delays the first frame.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(250);
const RETRANSMISSIONS: usize = 8;

/// Why the association ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum DtlsError {
    #[error("the DTLS certificate is not the one of the session description")]
    Fingerprint,
    #[error("DTLS agreed on no SRTP profile")]
    NoSrtpProfile,
    #[error("the peer closed the DTLS association")]
    Closed,
    #[error("DTLS handshake: {0}")]
    Handshake(dimpl::Error),
}

impl DtlsError {
    /// The fatal alert that tells the peer why its handshake ends (RFC 5246 section 7.2), as a record of epoch 0 (RFC 6347
    /// section 4.1). `dimpl` sends none. `None`: the peer ended the association, or keys are in use and it would ignore the record.
    pub(super) fn alert(&self) -> Option<Vec<u8>> {
        const ALERT: u8 = 21;
        const FATAL: u8 = 2;
        const HANDSHAKE_FAILURE: u8 = 40;
        const BAD_CERTIFICATE: u8 = 42;
        // Above those of the flights before: a number that was seen would be taken for a replay.
        const SEQUENCE: [u8; 6] = [0, 0, 0, 0x10, 0, 0];
        let description = match self {
            Self::Fingerprint => BAD_CERTIFICATE,
            Self::Handshake(_) => HANDSHAKE_FAILURE,
            Self::NoSrtpProfile | Self::Closed => return None,
        };
        let record = [&[ALERT, 0xfe, 0xfd, 0, 0][..], &SEQUENCE, &[0, 2, FATAL, description]];
        Some(record.concat())
    }
}

/// What came of an input.
#[derive(Default)]
pub(super) struct DtlsOutput {
    /// Datagrams to send.
    pub(super) packets: Vec<Vec<u8>>,
    /// SCTP packets.
    pub(super) data: Vec<Bytes>,
    /// The handshake is done.
    pub(super) sessions: Option<(Seal, Open)>,
}

/// One DTLS association, from its first datagram on.
pub(super) struct DtlsAssociation {
    dtls: Dtls,
    /// Which of the exported keys are ours (RFC 5764 section 4.2).
    role: Role,
    expected: Fingerprint,
    verified: bool,
    is_connected: bool,
    has_keys: bool,
    timeout: Option<Instant>,
    first_flight: Option<Instant>,
    retransmitted: bool,
    rtt: Option<Duration>,
}

/// The configuration that all associations of a certificate share. Making one runs self-tests of the cryptography,
/// which cost more than a handshake.
pub(super) fn config() -> Arc<dimpl::Config> {
    let config = dimpl::Config::builder()
        .mtu(MTU)
        .use_server_cookie(false)
        .require_client_certificate(true)
        .max_queue_rx(MAX_HANDSHAKE_QUEUE)
        .handshake_timeout(LIBRARY_TIMEOUT)
        .flight_start_rto(FIRST_RETRANSMISSION)
        .flight_retries(RETRANSMISSIONS)
        .build();
    Arc::new(config.expect("constants that the library accepts"))
}

impl DtlsAssociation {
    pub(super) fn new(certificate: &Certificate, expected: Fingerprint, setup: Setup, now: Instant) -> Self {
        let mut dtls = Dtls::new_12(certificate.config(), certificate.dtls(), now);
        dtls.set_active(setup == Setup::Active);
        Self {
            dtls,
            role: if setup == Setup::Active { Role::Client } else { Role::Server },
            expected,
            verified: false,
            is_connected: false,
            has_keys: false,
            timeout: None,
            first_flight: None,
            retransmitted: false,
            rtt: None,
        }
    }

    /// Sends the first flight, as a DTLS client does.
    pub(super) fn open(&mut self, now: Instant) -> Result<DtlsOutput, DtlsError> {
        self.dtls.handle_timeout(now).map_err(DtlsError::Handshake)?;
        self.drain(now)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// How long the peer took to answer our first flight, unless something was lost.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Takes a datagram. After the handshake a bad one is ignored, since anybody can forge it.
    pub(super) fn handle(&mut self, now: Instant, datagram: &[u8]) -> Result<DtlsOutput, DtlsError> {
        if !self.is_connected && datagram.len() > MAX_HANDSHAKE_DATAGRAM {
            return Ok(DtlsOutput::default());
        }
        let result = self.dtls.handle_timeout(now).and_then(|()| self.dtls.handle_packet(datagram));
        match result {
            Err(error) if !self.is_connected => Err(DtlsError::Handshake(error)),
            _ => self.drain(now),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<DtlsOutput, DtlsError> {
        match self.dtls.handle_timeout(now) {
            Err(error) if !self.is_connected => Err(DtlsError::Handshake(error)),
            _ => {
                let output = self.drain(now)?;
                self.retransmitted |= !output.packets.is_empty();
                Ok(output)
            }
        }
    }

    /// Sends an SCTP packet.
    pub(super) fn send(&mut self, now: Instant, data: &[u8]) -> Result<DtlsOutput, DtlsError> {
        // A closed association refuses; its end is reported by what closed it.
        let _ = self.dtls.send_application_data(data);
        self.drain(now)
    }

    fn drain(&mut self, now: Instant) -> Result<DtlsOutput, DtlsError> {
        let mut output = DtlsOutput::default();
        let mut buffer = vec![0; if self.is_connected { OUTPUT } else { HANDSHAKE_OUTPUT }];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => {
                    self.first_flight.get_or_insert(now);
                    output.packets.push(packet.to_vec());
                }
                Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
                Output::PeerCert(der) if fingerprint(der) != self.expected => return Err(DtlsError::Fingerprint),
                Output::PeerCert(_) => self.verified = true,
                Output::KeyingMaterial(material, profile) if self.verified => {
                    let profile = own_profile(profile).ok_or(DtlsError::NoSrtpProfile)?;
                    output.sessions = srtp::sessions(profile, self.role, &material);
                }
                Output::ApplicationData(data) if self.verified => output.data.push(Bytes::copy_from_slice(data)),
                Output::CloseNotify => return Err(DtlsError::Closed),
                Output::Connected => self.is_connected = true,
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    break;
                }
                _ => {}
            }
        }
        self.check_completion(now, &output)?;
        Ok(output)
    }

    fn check_completion(&mut self, now: Instant, output: &DtlsOutput) -> Result<(), DtlsError> {
        self.has_keys |= output.sessions.is_some();
        if self.is_connected && !self.verified {
            return Err(DtlsError::Fingerprint);
        }
        if self.is_connected && !self.has_keys {
            return Err(DtlsError::NoSrtpProfile);
        }
        if output.sessions.is_some() {
            // A client's handshake takes two round trips or three.
            let timed = self.role == Role::Server && !self.retransmitted;
            let first_flight = self.first_flight.filter(|_| timed);
            self.rtt = first_flight.map(|at| now.saturating_duration_since(at));
        }
        Ok(())
    }
}

/// Our name for a profile of the library's.
pub(super) fn own_profile(profile: dimpl::SrtpProfile) -> Option<SrtpProfile> {
    match profile {
        dimpl::SrtpProfile::AEAD_AES_256_GCM => Some(SrtpProfile::AeadAes256Gcm),
        dimpl::SrtpProfile::AEAD_AES_128_GCM => Some(SrtpProfile::AeadAes128Gcm),
        dimpl::SrtpProfile::AES128_CM_SHA1_80 => Some(SrtpProfile::Aes128CmHmacSha1_80),
        _ => None,
    }
}
