//! One participant's connection: ICE-lite, DTLS, SRTP and SCTP over one bundled 5-tuple (RFC 8834, RFC 8835).
//!
//! [`classify`] sorts a datagram; the owner of many [`Transport`]s finds the right one ([`stun_username`] for STUN,
//! the path for the rest) and calls `handle_stun`, `handle_dtls`, `open_rtp` or `open_rtcp`. After `handle_*` calls and
//! `send_data`, it drains `poll_transmit` and `poll_event`, and asks `poll_timeout` when to call `handle_timeout`.
//!
//! Invariants:
//! - A transport holds no sockets and is told the time.
//! - Where we send follows from authentic STUN checks and from what the client encrypted; `ice.rs` has the rules.
//! - Keys exist only once the peer's certificate matched its offer; see `dtls.rs`.
//! - Everything that a peer makes us keep is bounded. What fails ends in one [`TransportEvent::Failed`], after which
//!   the transport ignores all input.
//! - [`Transport::seal_rtp`] and [`Transport::open_rtp`] neither allocate nor lock.

pub mod certificate;
#[cfg(any(test, feature = "test-support"))]
pub mod client;
mod credentials;
mod dcep;
mod demux;
mod dtls;
#[cfg(any(test, feature = "test-support"))]
mod fuzzing;
mod ice;
mod sctp;
pub mod srtp;
pub mod stun;

pub use certificate::{Certificate, CertificateError};
pub use credentials::{stun_username, worker_of_ufrag};
pub use demux::{Class, classify};
#[cfg(any(test, feature = "test-support"))]
pub use fuzzing::stun as fuzz_stun;
#[cfg(any(test, feature = "test-support"))]
pub use sctp::fuzz as fuzz_sctp;
pub use sctp::{Channel, DataError, MAX_MESSAGE};
pub use srtp::{MAX_OVERHEAD, SrtpError, SrtpProfile};

/// The longest datagram that crosses an Ethernet whole: 1,500 bytes less IPv4 and UDP. What is longer is not sent, since most paths
/// drop it.
pub const MAX_DATAGRAM: usize = 1_472;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::prefetch::{Distance, prefetch};
use crate::sdp::{Fingerprint, IceCredentials, Setup};
use crate::unit::SeqNo;
use dtls::{DtlsAssociation, DtlsError, DtlsOutput};
use ice::IceLite;
use sctp::{Sctp, SctpEvent};
use srtp::{Open, Seal};

/// The content type of DTLS handshake records (RFC 6347 section 4.1).
const HANDSHAKE: u8 = 22;

/// What carries the datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP with the framing of RFC 4571.
    Tcp,
}

/// A 5-tuple. `local` is the address that the datagram was sent to, not a wildcard; answers leave from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// What carries the datagrams.
    pub protocol: Protocol,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
}

/// What all transports of a process share.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// The process's DTLS certificate.
    pub certificate: Certificate,
    /// Without an authentic STUN check for so long, nothing more is sent (RFC 7675 section 5.1: 30 s).
    pub consent_timeout: Duration,
    /// A transport whose DTLS handshake is not done by then has failed.
    pub handshake_timeout: Duration,
    /// A transport that was interrupted for so long has failed.
    pub interruption_timeout: Duration,
    /// Bytes that may wait on the reliable data channel.
    pub data_buffer: usize,
    /// TCP paths that are valid at once; a further one replaces the one that was checked longest ago. At least 2.
    pub max_tcp_paths: usize,
}

/// What a STUN message did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StunOutcome {
    /// It is a check of this session, and was answered.
    pub is_authentic: bool,
    /// A path that is valid no more, since this one needed its place.
    pub forgotten: Option<Path>,
}

/// What the owner of a transport must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportEvent {
    /// DTLS is done: packets may be sealed and opened.
    Connected,
    /// Consent ran out: nothing may be sent until [`TransportEvent::Resumed`].
    Interrupted,
    /// A check came after an interruption.
    Resumed,
    /// Datagrams go to another path from now on. The first path is told so, too.
    PathChanged(Path),
    /// The transport is over. The text says why, for people.
    Failed(String),
    /// The client opened a data channel.
    ChannelOpen(Channel),
    /// The client closed a data channel, or lost its association.
    ChannelClosed(Channel),
    /// A message from the client.
    Data {
        /// Where it came.
        channel: Channel,
        /// Up to [`MAX_MESSAGE`] bytes.
        message: Bytes,
    },
}

/// What a transport ignored. All values only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransportCounters {
    /// STUN messages that were not authentic checks of this session.
    pub stun_ignored: u64,
    /// DTLS datagrams from paths that ICE has not validated.
    pub dtls_ignored: u64,
    /// Data channels that were refused for their label.
    pub channels_refused: u64,
    /// Messages that a full data channel dropped or refused.
    pub messages_dropped: u64,
}

/// One participant's connection.
pub struct Transport {
    config: TransportConfig,
    fingerprint: Fingerprint,
    created: Instant,
    ice: IceLite,
    /// Our DTLS role.
    setup: Setup,
    /// Made by the first DTLS datagram, or, if we are the client, by the first path.
    dtls: Option<Box<DtlsAssociation>>,
    srtp: Option<Box<(Seal, Open)>>,
    /// Made by the first SCTP packet.
    sctp: Option<Box<Sctp>>,
    /// Since when consent is missing.
    interrupted: Option<Instant>,
    has_failed: bool,
    transmits: VecDeque<(Path, Vec<u8>)>,
    events: VecDeque<TransportEvent>,
    stun_ignored: u64,
    dtls_ignored: u64,
}

impl Transport {
    /// A transport that waits for the checks of a peer with these credentials and this certificate.
    pub fn new(
        config: &TransportConfig,
        local: &IceCredentials,
        remote: &IceCredentials,
        peer_fingerprint: Fingerprint,
        now: Instant,
    ) -> Self {
        Self {
            config: config.clone(),
            fingerprint: peer_fingerprint,
            created: now,
            ice: IceLite::new(local, remote, config.max_tcp_paths, now),
            setup: Setup::Passive,
            dtls: None,
            srtp: None,
            sctp: None,
            interrupted: None,
            has_failed: false,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            stun_ignored: 0,
            dtls_ignored: 0,
        }
    }

    /// The same with this DTLS role. Active, the handshake begins as soon as a path is selected.
    pub const fn with_setup(mut self, setup: Setup) -> Self {
        self.setup = setup;
        self
    }

    /// Whether DTLS is done and the transport has not failed.
    pub fn is_connected(&self) -> bool {
        self.srtp.is_some() && !self.has_failed
    }

    /// Where datagrams go.
    pub fn path(&self) -> Option<Path> {
        self.ice.selected()
    }

    /// Whether RTP and RTCP may leave: connected, with a path whose peer consents.
    pub fn may_send(&self) -> bool {
        self.is_connected() && self.interrupted.is_none() && self.ice.selected().is_some()
    }

    /// See [`prefetch`](crate::prefetch): what sealing and sending a packet touches.
    #[inline]
    pub(crate) fn prefetch(&self, distance: Distance) {
        match distance {
            Distance::Far => {
                self.ice.prefetch();
                prefetch(&self.srtp);
                prefetch(&self.interrupted);
            }
            Distance::Near => self.srtp.iter().for_each(|srtp| prefetch(&srtp.0)),
        }
    }

    /// The round-trip time as SCTP measures it, else as the DTLS handshake did. A lite agent sends no checks.
    pub fn rtt(&self) -> Option<Duration> {
        let sctp = self.sctp.as_ref().and_then(|sctp| sctp.rtt());
        sctp.or_else(|| self.dtls.as_ref().and_then(|dtls| dtls.rtt()))
    }

    /// What DTLS agreed on.
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        self.srtp.as_ref().map(|srtp| srtp.0.profile())
    }

    /// How many bytes sealing adds to an RTP packet; 0 before there are keys.
    pub fn overhead(&self) -> usize {
        self.srtp_profile().map_or(0, SrtpProfile::overhead)
    }

    /// What was ignored so far.
    pub fn counters(&self) -> TransportCounters {
        let sctp = self.sctp.as_ref();
        TransportCounters {
            stun_ignored: self.stun_ignored,
            dtls_ignored: self.dtls_ignored,
            channels_refused: sctp.map_or(0, |sctp| sctp.refused()),
            messages_dropped: sctp.map_or(0, |sctp| sctp.dropped()),
        }
    }

    /// New credentials on both sides (RFC 8445 section 9). DTLS and SRTP go on; the old path serves until a check
    /// under the new credentials nominates one. With the credentials it has, this does nothing.
    pub fn restart_ice(&mut self, local: &IceCredentials, remote: &IceCredentials) {
        self.ice.restart(local, remote);
    }

    /// Whether checks to this user fragment of ours are answered: the current one, and that of before an ICE restart which
    /// no nomination has ended yet.
    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        self.ice.has_ufrag(ufrag)
    }

    /// Takes a STUN message.
    pub fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) -> StunOutcome {
        let checked = if self.has_failed { None } else { self.ice.handle(now, path, datagram) };
        let Some(checked) = checked else {
            self.stun_ignored += 1;
            return StunOutcome { is_authentic: false, forgotten: None };
        };
        self.transmits.push_back((path, checked.response.to_vec()));
        if checked.moved {
            self.events.push_back(TransportEvent::PathChanged(path));
            self.open_dtls(now);
        }
        if checked.accepted {
            self.resume(now);
        }
        StunOutcome { is_authentic: true, forgotten: checked.forgotten }
    }

    /// Whether an authentic check came on this path: its packets are the peer's.
    pub fn is_valid(&self, path: Path) -> bool {
        self.ice.is_valid(path)
    }

    /// The paths on which authentic checks came.
    pub fn paths(&self) -> impl Iterator<Item = Path> {
        self.ice.paths()
    }

    /// Takes a DTLS datagram, and says whether it was the peer's, as far as that can be told: during the handshake from any
    /// valid path, afterwards what authenticates. From a path that ICE has not validated it is ignored.
    pub fn handle_dtls(&mut self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        if self.has_failed {
            return false;
        }
        if !self.ice.is_valid(path) {
            self.dtls_ignored += 1;
            return false;
        }
        let shakes_hands = self.srtp.is_none();
        if shakes_hands && self.ice.hear_handshake(now, &path) {
            self.on_moved(now);
        }
        let result = self.dtls_association(now).handle(now, datagram);
        let is_authentic = result.as_ref().is_ok_and(|output| !output.data.is_empty());
        if is_authentic {
            self.hear(now, &path);
        }
        // A flight is repeated where its answer was looked for in vain.
        let answers_to = if datagram.first() == Some(&HANDSHAKE) { Some(path) } else { self.ice.selected() };
        self.on_dtls(now, answers_to, result);
        is_authentic || shakes_hands
    }

    fn dtls_association(&mut self, now: Instant) -> &mut DtlsAssociation {
        let (certificate, setup) = (&self.config.certificate, self.setup);
        self.dtls.get_or_insert_with(|| Box::new(DtlsAssociation::new(certificate, self.fingerprint, setup, now)))
    }

    /// Begins the handshake if that is ours to do and has not been done.
    fn open_dtls(&mut self, now: Instant) {
        if self.setup == Setup::Active && self.dtls.is_none() {
            let result = self.dtls_association(now).open(now);
            self.on_dtls(now, self.ice.selected(), result);
        }
    }

    /// Opens an SRTP packet in place and returns the length of the RTP packet at its start. After an error its bytes
    /// are unspecified. One that opens shows that the client uses `path`, which may change where we send: see
    /// [`Self::has_event`].
    #[inline]
    pub fn open_rtp(&mut self, now: Instant, path: &Path, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let len = self.srtp.as_mut().ok_or(SrtpError::NoKeys)?.1.rtp(packet)?;
        self.hear(now, path);
        Ok(len)
    }

    /// Opens an SRTCP packet in place, likewise.
    #[inline]
    pub fn open_rtcp(&mut self, now: Instant, path: &Path, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let len = self.srtp.as_mut().ok_or(SrtpError::NoKeys)?.1.rtcp(packet)?;
        self.hear(now, path);
        Ok(len)
    }

    /// Whether [`Self::poll_event`] has something.
    #[inline]
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// Seals the RTP packet `buf[..len]`, whose header takes `header_len` bytes, in place, and returns its new length.
    /// `buf` has room for [`Self::overhead`] more. `seq` counts from [`SeqNo::first`], and its low 16 bits are what the
    /// header says; a `seq` is never used again for other bytes of the same `ssrc`. 0: no keys yet, send nothing.
    pub fn seal_rtp(&self, buf: &mut [u8], len: usize, header_len: usize, seq: SeqNo, ssrc: u32) -> usize {
        self.srtp.as_ref().map_or(0, |srtp| srtp.0.rtp(buf, len, header_len, seq, ssrc))
    }

    /// Seals the RTCP packet `buf[..len]` in place and returns its new length. `buf` has room for [`MAX_OVERHEAD`]
    /// more. 0: no keys yet, or all used up; send nothing.
    pub fn seal_rtcp(&mut self, buf: &mut [u8], len: usize) -> usize {
        self.srtp.as_mut().and_then(|srtp| srtp.0.rtcp(buf, len)).unwrap_or(0)
    }

    /// Queues a message for the client. A full lossy channel drops it, which is no error.
    pub fn send_data(&mut self, now: Instant, channel: Channel, message: &[u8]) -> Result<(), DataError> {
        let sctp = self.sctp.as_mut().filter(|_| !self.has_failed).ok_or(DataError::NotOpen)?;
        sctp.send(now, channel, message)?;
        self.flush_sctp(now);
        Ok(())
    }

    /// Whether [`Self::send_data`] would take a message of `len` bytes now; `None`: the channel is not open.
    pub fn has_room(&mut self, channel: Channel, len: usize) -> Option<bool> {
        self.sctp.as_mut().filter(|_| !self.has_failed)?.has_room(channel, len)
    }

    /// Leaves the messages of the reliable channel with the client, whose own buffer then fills, or goes on taking them.
    /// Messages that were taken before still come as events.
    pub fn pause_data(&mut self, now: Instant, paused: bool) {
        if let Some(sctp) = &mut self.sctp {
            sctp.set_paused(now, paused);
            self.flush_sctp(now);
        }
    }

    /// A TCP connection ended. If it was the selected path and no other is nominated, the transport is interrupted.
    pub fn handle_path_closed(&mut self, now: Instant, path: Path) {
        if self.has_failed || !self.ice.close_path(now, path) {
            return;
        }
        match self.ice.selected() {
            Some(other) => self.events.push_back(TransportEvent::PathChanged(other)),
            None => self.interrupt(now),
        }
    }

    /// To be called when [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.has_failed {
            return;
        }
        if let Some(reason) = self.expiry(now) {
            return self.fail(reason.to_owned());
        }
        if self.consent_end().is_some_and(|end| now >= end) {
            self.interrupt(now);
        }
        if let Some(dtls) = self.dtls.as_mut().filter(|dtls| dtls.poll_timeout().is_some_and(|at| now >= at)) {
            let result = dtls.handle_timeout(now);
            self.on_dtls(now, self.ice.selected(), result);
        }
        if let Some(sctp) = self.sctp.as_mut().filter(|sctp| sctp.poll_timeout().is_some_and(|at| now >= at)) {
            sctp.handle_timeout(now);
            self.flush_sctp(now);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.has_failed {
            return None;
        }
        let protocols = [
            self.dtls.as_ref().and_then(|dtls| dtls.poll_timeout()),
            self.sctp.as_ref().and_then(|sctp| sctp.poll_timeout()),
        ];
        [self.handshake_end(), self.interruption_end(), self.consent_end()].into_iter().chain(protocols).flatten().min()
    }

    /// The next datagram to send: a STUN answer or DTLS.
    pub fn poll_transmit(&mut self) -> Option<(Path, Vec<u8>)> {
        self.transmits.pop_front()
    }

    /// What happened since.
    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    fn handshake_end(&self) -> Option<Instant> {
        self.srtp.is_none().then(|| self.created + self.config.handshake_timeout)
    }

    fn interruption_end(&self) -> Option<Instant> {
        self.interrupted.map(|since| since + self.config.interruption_timeout)
    }

    /// Before there are keys the handshake's deadline rules.
    fn consent_end(&self) -> Option<Instant> {
        let watches = self.srtp.is_some() && self.interrupted.is_none();
        self.ice.last_check().filter(|_| watches).map(|checked| checked + self.config.consent_timeout)
    }

    fn expiry(&self, now: Instant) -> Option<&'static str> {
        if self.handshake_end().is_some_and(|end| now >= end) {
            let checked = self.ice.selected().is_some();
            return Some(if checked { "the DTLS handshake timed out" } else { "no ICE check arrived in time" });
        }
        self.interruption_end().filter(|end| now >= *end).map(|_| "the peer was gone for too long")
    }

    #[inline]
    fn hear(&mut self, now: Instant, path: &Path) {
        if self.ice.hear(now, path) {
            self.on_moved(now);
        }
    }

    #[cold]
    fn on_moved(&mut self, now: Instant) {
        self.events.extend(self.ice.selected().map(TransportEvent::PathChanged));
        self.resume(now);
    }

    /// Ends an interruption if the selected path has consent again.
    fn resume(&mut self, now: Instant) {
        let has_consent = self.ice.last_check().is_some_and(|checked| now < checked + self.config.consent_timeout);
        if has_consent && self.interrupted.take().is_some() {
            self.events.push_back(TransportEvent::Resumed);
        }
    }

    fn interrupt(&mut self, now: Instant) {
        if self.srtp.is_some() && self.interrupted.is_none() {
            self.interrupted = Some(now);
            self.events.push_back(TransportEvent::Interrupted);
        }
    }

    fn fail(&mut self, reason: String) {
        self.has_failed = true;
        self.events.push_back(TransportEvent::Failed(reason));
        (self.dtls, self.sctp) = (None, None);
    }

    fn on_dtls(&mut self, now: Instant, answers_to: Option<Path>, result: Result<DtlsOutput, DtlsError>) {
        let output = match result {
            Ok(output) => output,
            Err(error) => {
                self.send_packets(answers_to, error.alert().into_iter().collect());
                return self.fail(error.to_string());
            }
        };
        self.send_packets(answers_to, output.packets);
        if let Some(sessions) = output.sessions {
            self.srtp = Some(Box::new(sessions));
            self.events.push_back(TransportEvent::Connected);
        }
        if output.data.is_empty() {
            return;
        }
        let sctp = self.sctp.get_or_insert_with(|| Box::new(Sctp::new(self.config.data_buffer)));
        output.data.into_iter().for_each(|packet| sctp.handle(now, packet));
        self.flush_sctp(now);
    }

    /// Without consent nothing leaves; DTLS and SCTP send it again later.
    fn send_packets(&mut self, path: Option<Path>, packets: Vec<Vec<u8>>) {
        if let Some(path) = path.filter(|_| self.interrupted.is_none()) {
            self.transmits.extend(packets.into_iter().map(|packet| (path, packet)));
        }
    }

    fn flush_sctp(&mut self, now: Instant) {
        while let (Some(sctp), Some(dtls)) = (&mut self.sctp, &mut self.dtls) {
            let Some(packet) = sctp.poll_transmit(now) else { break };
            match dtls.send(now, &packet) {
                Ok(output) => self.send_packets(self.ice.selected(), output.packets),
                Err(error) => return self.fail(error.to_string()),
            }
        }
        while let Some(event) = self.sctp.as_mut().and_then(|sctp| sctp.poll_event()) {
            self.events.push_back(match event {
                SctpEvent::Open(channel) => TransportEvent::ChannelOpen(channel),
                SctpEvent::Closed(channel) => TransportEvent::ChannelClosed(channel),
                SctpEvent::Message(channel, message) => TransportEvent::Data { channel, message },
            });
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("path", &self.path())
            .field("profile", &self.srtp_profile())
            .field("interrupted", &self.interrupted.is_some())
            .field("failed", &self.has_failed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
