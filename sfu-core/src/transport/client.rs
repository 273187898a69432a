//! A sans-IO WebRTC client for tests and benchmarks: it checks, shakes hands as DTLS client, seals and opens packets,
//! and opens data channels. It is written against the libraries, not against the server's code, where both differ.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use dimpl::{Dtls, Output};
use rtc::sctp::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, Event, PayloadProtocolIdentifier as Ppi,
    ReliabilityType, StreamEvent,
};

use super::certificate::fingerprint;
use super::dcep::{self, Reliability};
use super::dtls::own_profile;
use super::sctp::{endpoint, packets, peer_address, transport_config};
use super::srtp::{self, Open, Role, Seal, SrtpError};
use super::stun::{self, Kind, Message, TransactionId, Writer};
use super::{Certificate, Channel, Class, MAX_OVERHEAD, SrtpProfile, classify};
use crate::sdp::{Fingerprint, IceCredentials};
use crate::unit::SeqNo;

/// What a datagram from the server brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Nothing for the application.
    Nothing,
    /// A response to a check.
    Checked {
        /// Success, not an error response.
        success: bool,
    },
    /// An RTP packet in plaintext.
    Rtp(Vec<u8>),
    /// An RTCP packet in plaintext.
    Rtcp(Vec<u8>),
    /// SRTP that could not be opened.
    Refused(SrtpError),
}

/// One client. Its datagrams go out by [`TestClient::poll_transmit`] and the return value of [`TestClient::check`].
pub struct TestClient {
    certificate: Certificate,
    local: IceCredentials,
    remote: IceCredentials,
    next_transaction: u64,
    dtls: Dtls,
    role: Role,
    server_fingerprint: Option<Fingerprint>,
    srtp: Option<(Seal, Open)>,
    is_connected: bool,
    timeout: Option<Instant>,
    sctp: Option<ClientSctp>,
    transmits: VecDeque<Vec<u8>>,
    messages: VecDeque<(Channel, Bytes)>,
}

struct ClientSctp {
    endpoint: Endpoint,
    handle: AssociationHandle,
    association: Association,
    acknowledged: [bool; 2],
    /// What arrives stays where it is: the window closes.
    is_deaf: bool,
}

impl TestClient {
    /// A client with its own certificate and credentials, for a server with these credentials.
    pub fn new(certificate: Certificate, local: IceCredentials, remote: IceCredentials, now: Instant) -> Self {
        let mut dtls = Dtls::new_12(certificate.config(), certificate.dtls(), now);
        dtls.set_active(true);
        Self {
            certificate,
            local,
            remote,
            next_transaction: 1,
            dtls,
            role: Role::Client,
            server_fingerprint: None,
            srtp: None,
            is_connected: false,
            timeout: None,
            sctp: None,
            transmits: VecDeque::new(),
            messages: VecDeque::new(),
        }
    }

    /// The same client as DTLS server: its offer says `a=setup:passive`.
    pub fn passive(mut self) -> Self {
        self.dtls.set_active(false);
        self.role = Role::Server;
        self
    }

    /// What the client's offer says.
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }

    /// Of the certificate that the server showed.
    pub fn server_fingerprint(&self) -> Option<Fingerprint> {
        self.server_fingerprint
    }

    /// Whether DTLS is done.
    pub fn is_connected(&self) -> bool {
        self.is_connected && self.srtp.is_some()
    }

    /// What DTLS agreed on.
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        self.srtp.as_ref().map(|(seal, _)| seal.profile())
    }

    /// Uses other credentials from now on: an ICE restart.
    pub fn restart_ice(&mut self, local: IceCredentials, remote: IceCredentials) {
        (self.local, self.remote) = (local, remote);
    }

    /// A connectivity check, with USE-CANDIDATE if it nominates.
    pub fn check(&mut self, nominate: bool) -> Vec<u8> {
        self.check_as(nominate, true)
    }

    /// A check by an agent that claims to control or to be controlled.
    pub fn check_as(&mut self, nominate: bool, controlling: bool) -> Vec<u8> {
        let mut transaction = TransactionId::default();
        transaction[4..].copy_from_slice(&self.next_transaction.to_be_bytes());
        self.next_transaction += 1;
        let username = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        let writer = Writer::new(Kind::Request, &transaction).check(&username, controlling, nominate);
        writer.finish(&stun::key(&self.remote.password)).to_vec()
    }

    /// Begins the DTLS handshake.
    pub fn start_dtls(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    /// Takes a datagram from the server.
    pub fn handle(&mut self, now: Instant, datagram: &[u8]) -> Received {
        match classify(datagram) {
            Class::Stun => self.handle_stun(datagram),
            Class::Dtls => {
                // Errors show in tests as handshakes that never end.
                let _ = self.dtls.handle_timeout(now).and_then(|()| self.dtls.handle_packet(datagram));
                self.drain(now);
                Received::Nothing
            }
            Class::Rtp => self.open(datagram, Open::rtp).map_or_else(Received::Refused, Received::Rtp),
            Class::Rtcp => self.open(datagram, Open::rtcp).map_or_else(Received::Refused, Received::Rtcp),
            Class::Unknown => Received::Nothing,
        }
    }

    /// To be called when [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = self.dtls.handle_timeout(now);
        if let Some(sctp) = &mut self.sctp {
            sctp.association.handle_timeout(now);
        }
        self.drain(now);
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sctp = self.sctp.as_ref().and_then(|sctp| sctp.association.poll_timeout());
        [self.timeout, sctp].into_iter().flatten().min()
    }

    /// The next datagram for the server.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// Seals an RTP packet with a header of `header_len` bytes.
    ///
    /// # Panics
    /// Before [`Self::is_connected`].
    pub fn protect_rtp(&mut self, packet: &[u8], header_len: usize, seq: SeqNo) -> Vec<u8> {
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let (seal, _) = self.srtp.as_ref().expect("the test waited for the handshake");
        let mut buf = packet.to_vec();
        buf.resize(packet.len() + MAX_OVERHEAD, 0);
        let len = seal.rtp(&mut buf, packet.len(), header_len, seq, ssrc);
        buf.truncate(len);
        buf
    }

    /// Seals an RTCP packet.
    ///
    /// # Panics
    /// Before [`Self::is_connected`].
    pub fn protect_rtcp(&mut self, packet: &[u8]) -> Vec<u8> {
        let (seal, _) = self.srtp.as_mut().expect("the test waited for the handshake");
        let mut buf = packet.to_vec();
        buf.resize(packet.len() + MAX_OVERHEAD, 0);
        let len = seal.rtcp(&mut buf, packet.len()).expect("a test uses few indices");
        buf.truncate(len);
        buf
    }

    /// Begins the SCTP association; the two channels open once it stands.
    pub fn open_channels(&mut self, now: Instant) {
        let mut endpoint = endpoint();
        let config = ClientConfig::new(transport_config());
        let (handle, association) =
            endpoint.connect(now, config, peer_address()).expect("a new endpoint takes an association");
        self.sctp = Some(ClientSctp { endpoint, handle, association, acknowledged: [false; 2], is_deaf: false });
        self.drain(now);
    }

    /// Whether the server acknowledged the channel.
    pub fn is_open(&self, channel: Channel) -> bool {
        self.sctp.as_ref().is_some_and(|sctp| sctp.acknowledged[channel as usize])
    }

    /// Opens a stream with any label on any id.
    pub fn open_stream(&mut self, now: Instant, id: u16, label: &[u8], lossy: bool) {
        let Some(sctp) = &mut self.sctp else { return };
        let reliability = if lossy { Reliability::Retransmissions(0) } else { Reliability::Reliable };
        let open = dcep::Open { label, unordered: lossy, reliability };
        if let Ok(mut stream) = sctp.association.open_stream(id, Ppi::Binary) {
            let _ = stream.write_with_ppi(now, &open.to_bytes(), Ppi::Dcep);
            let kind = if lossy { ReliabilityType::Rexmit } else { ReliabilityType::Reliable };
            let _ = stream.set_reliability_params(lossy, kind, 0);
        }
        self.drain(now);
    }

    /// Resets a channel's stream.
    pub fn close_channel(&mut self, now: Instant, channel: Channel) {
        if let Some(sctp) = &mut self.sctp
            && let Ok(mut stream) = sctp.association.stream(stream_id(channel))
        {
            let _ = stream.close(now);
        }
        self.drain(now);
    }

    /// Sends a message.
    pub fn send_data(&mut self, now: Instant, channel: Channel, message: &[u8]) {
        if let Some(sctp) = &mut self.sctp
            && let Ok(mut stream) = sctp.association.stream(stream_id(channel))
        {
            let _ = stream.write_with_ppi(now, message, Ppi::Binary);
        }
        self.drain(now);
    }

    /// Reads no messages from now on, or does again.
    pub fn set_deaf(&mut self, now: Instant, deaf: bool) {
        if let Some(sctp) = &mut self.sctp {
            sctp.is_deaf = deaf;
            [Channel::Reliable, Channel::Lossy]
                .into_iter()
                .for_each(|channel| sctp.read(stream_id(channel), &mut self.messages));
        }
        self.drain(now);
    }

    /// Ends DTLS with close_notify.
    pub fn close(&mut self, now: Instant) {
        let _ = self.dtls.close();
        self.drain(now);
    }

    /// The next message from the server.
    pub fn poll_data(&mut self) -> Option<(Channel, Bytes)> {
        self.messages.pop_front()
    }

    fn handle_stun(&self, datagram: &[u8]) -> Received {
        let key = stun::key(&self.remote.password);
        match Message::parse(datagram) {
            Ok(message) if message.is_authentic(&key) && message.has_valid_fingerprint() => {
                Received::Checked { success: message.kind() == Kind::Success }
            }
            _ => Received::Nothing,
        }
    }

    fn open(
        &mut self,
        datagram: &[u8],
        open: fn(&mut Open, &mut [u8]) -> Result<usize, SrtpError>,
    ) -> Result<Vec<u8>, SrtpError> {
        let mut packet = datagram.to_vec();
        let (_, keys) = self.srtp.as_mut().ok_or(SrtpError::NoKeys)?;
        let len = open(keys, &mut packet)?;
        packet.truncate(len);
        Ok(packet)
    }

    fn drain(&mut self, now: Instant) {
        self.drain_dtls(now);
        while let Some(sctp) = &mut self.sctp {
            let opened = sctp.advance(&mut self.messages);
            let outgoing = packets(&mut sctp.association, now);
            let is_idle = outgoing.is_empty();
            for packet in outgoing {
                let _ = self.dtls.send_application_data(&packet);
                self.drain_dtls(now);
            }
            if opened {
                self.open_stream(now, stream_id(Channel::Reliable), b"reliable", false);
                self.open_stream(now, stream_id(Channel::Lossy), b"lossy", true);
            } else if is_idle {
                break;
            }
        }
    }

    fn drain_dtls(&mut self, now: Instant) {
        let mut buffer = vec![0; 65_536];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => self.transmits.push_back(packet.to_vec()),
                Output::PeerCert(der) => self.server_fingerprint = Some(fingerprint(der)),
                Output::KeyingMaterial(material, profile) => {
                    let profile = own_profile(profile).expect("the library has no other profiles");
                    self.srtp = srtp::sessions(profile, self.role, &material);
                }
                Output::Connected => self.is_connected = true,
                Output::ApplicationData(data) => {
                    if let Some(sctp) = &mut self.sctp {
                        sctp.handle(now, Bytes::copy_from_slice(data));
                    }
                }
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    break;
                }
                _ => {}
            }
        }
    }
}

impl ClientSctp {
    fn handle(&mut self, now: Instant, packet: Bytes) {
        if let Some((handle, DatagramEvent::AssociationEvent(event))) =
            self.endpoint.handle(now, peer_address(), None, packet)
            && handle == self.handle
        {
            self.association.handle_event(event);
        }
    }

    /// Returns whether the association was established by this.
    fn advance(&mut self, messages: &mut VecDeque<(Channel, Bytes)>) -> bool {
        let mut established = false;
        while let Some(event) = self.association.poll() {
            match event {
                Event::Connected => established = true,
                Event::Stream(StreamEvent::Readable { id }) => self.read(id, messages),
                _ => {}
            }
        }
        established
    }

    fn read(&mut self, id: u16, messages: &mut VecDeque<(Channel, Bytes)>) {
        let Some(channel) = [Channel::Reliable, Channel::Lossy].into_iter().find(|c| stream_id(*c) == id) else {
            return;
        };
        while !self.is_deaf
            && let Ok(Some(chunks)) = self.association.stream(id).and_then(|mut stream| stream.read_sctp())
        {
            let message = chunks.to_payload(usize::MAX).map(|bytes| bytes.freeze()).unwrap_or_default();
            match chunks.ppi {
                Ppi::Dcep => self.acknowledged[channel as usize] = message == dcep::ACK[..],
                Ppi::BinaryEmpty => messages.push_back((channel, Bytes::new())),
                _ => messages.push_back((channel, message)),
            }
        }
    }
}

/// A DTLS client uses even ids (RFC 8832 section 6).
fn stream_id(channel: Channel) -> u16 {
    2 * channel as u16
}

impl std::fmt::Debug for TestClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestClient").field("connected", &self.is_connected()).finish_non_exhaustive()
    }
}
