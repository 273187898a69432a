//! Data channels: one SCTP association over DTLS (RFC 8831) and the channel establishment protocol (RFC 8832).
//!
//! The client opens two channels, labelled `reliable` and `lossy`; streams with another label are reset.
//!
//! Invariants: at most one association lives, however often INIT is retransmitted (the library would make one for
//! each: a repeated INIT of a pending association gets the same INIT ACK again); what waits to be sent is bounded; a
//! peer that opens streams beyond [`MAX_STREAMS`] loses its association.

#[cfg(any(test, feature = "test-support"))]
mod fuzzing;
mod guard;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::sctp::{
    Association, AssociationHandle, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier as Ppi, ReliabilityType, ServerConfig, StreamEvent, StreamId, TimerConfig,
    TransportConfig, max_payload_size_for_mtu,
};
use rtc::shared::TransportProtocol;

use super::dcep;
use crate::data;
#[cfg(any(test, feature = "test-support"))]
pub use fuzzing::fuzz;
use guard::{Guard, Verdict};

/// The largest message, which our answers state as `a=max-message-size`.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Bytes that wait for a participant on its lossy channel. A full one drops messages: what waits longer is stale.
const MAX_BUFFERED_LOSSY: usize = 64 * 1024;
/// What a peer may have in flight to us.
const RECEIVE_WINDOW: u32 = 256 * 1024;
const MAX_STREAMS: u16 = 64;
/// A DTLS 1.2 record of AES-GCM adds 37 bytes to an SCTP packet.
const SCTP_MTU: u32 = super::dtls::MTU as u32 - 37;
/// The library gives up after 5; an interruption of the path may last longer, and the transport decides its end.
const DATA_RETRANSMISSIONS: usize = 30;

/// A participant's data channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Ordered and reliable.
    Reliable,
    /// Neither.
    Lossy,
}

impl Channel {
    /// The label that opens it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Lossy => "lossy",
        }
    }

    fn of_label(label: &[u8]) -> Option<Self> {
        [Self::Reliable, Self::Lossy].into_iter().find(|channel| channel.label().as_bytes() == label)
    }
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The participant has not opened the channel, or closed it.
    #[error("the data channel is not open")]
    NotOpen,
    /// Too much waits already.
    #[error("the data channel's buffer is full")]
    BufferFull,
    /// Larger than [`MAX_MESSAGE`].
    #[error("the message is too large")]
    TooLarge,
}

/// What the association has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SctpEvent {
    Open(Channel),
    Closed(Channel),
    Message(Channel, Bytes),
}

/// The messages of a channel that the library holds. It tells their bytes alone, and small ones take more than that.
#[derive(Debug, Default)]
struct Held {
    lengths: VecDeque<usize>,
    bytes: usize,
}

impl Held {
    fn push(&mut self, len: usize) {
        self.lengths.push_back(len);
        self.bytes += len;
    }

    /// What they count, when `buffered` of their bytes are left.
    fn cost(&mut self, buffered: usize) -> usize {
        while let Some(first) = self.lengths.front()
            && self.bytes - first >= buffered
        {
            self.bytes -= first;
            self.lengths.pop_front();
        }
        buffered + self.lengths.len() * data::cost(0)
    }
}

/// The association of one participant, made when its first SCTP packet arrives.
pub(super) struct Sctp {
    endpoint: Endpoint,
    association: Option<Pending>,
    guard: Guard,
    /// Stream ids by channel.
    streams: [Option<StreamId>; 2],
    /// What waits by channel, and what may.
    held: [Held; 2],
    bounds: [usize; 2],
    events: VecDeque<SctpEvent>,
    outgoing: VecDeque<Bytes>,
    refused: u64,
    dropped: u64,
    /// Messages of the reliable channel stay with the peer: its window closes, and it stops sending.
    is_paused: bool,
}

struct Pending {
    handle: AssociationHandle,
    association: Association,
    /// Of the INIT that made it.
    initiate_tag: u32,
    /// What answered the INIT, until the association is established.
    init_ack: Vec<Bytes>,
}

impl Sctp {
    /// `reliable` bytes may wait on the reliable channel.
    pub(super) fn new(reliable: usize) -> Self {
        Self {
            endpoint: endpoint(),
            association: None,
            guard: Guard::default(),
            streams: [None; 2],
            held: Default::default(),
            bounds: [reliable, MAX_BUFFERED_LOSSY],
            events: VecDeque::new(),
            outgoing: VecDeque::new(),
            refused: 0,
            dropped: 0,
            is_paused: false,
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<SctpEvent> {
        self.events.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref().and_then(|pending| pending.association.poll_timeout())
    }

    /// Streams that were reset for their label.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Messages that were dropped because the buffer was full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        let pending = self.association.as_ref().filter(|pending| !pending.association.is_handshaking())?;
        Some(pending.association.rtt()).filter(|rtt| !rtt.is_zero())
    }

    /// Takes an SCTP packet.
    pub(super) fn handle(&mut self, now: Instant, packet: Bytes) {
        match self.guard.judge(&packet) {
            Verdict::Pass => self.pass(now, packet),
            Verdict::Abort => self.restart(),
            Verdict::Refuse => {}
        }
    }

    fn pass(&mut self, now: Instant, packet: Bytes) {
        if let Some(tag) = initiate_tag(&packet) {
            match &self.association {
                // The peer did not get our INIT ACK.
                Some(pending) if pending.initiate_tag == tag && pending.association.is_handshaking() => {
                    return self.outgoing.extend(pending.init_ack.iter().cloned());
                }
                Some(pending) if !pending.association.is_handshaking() => return,
                // Another INIT: the old one is given up, and its endpoint with it.
                _ => self.restart(),
            }
        }
        let (init_tag, init_guard) = (initiate_tag(&packet), Guard::of_init(&packet));
        match self.endpoint.handle(now, peer_address(), None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                let initiate_tag = init_tag.unwrap_or_default();
                self.guard = init_guard;
                let mut pending = Pending { handle, association, initiate_tag, init_ack: Vec::new() };
                pending.init_ack = packets(&mut pending.association, now);
                self.outgoing.extend(pending.init_ack.iter().cloned());
                self.association = Some(pending);
            }
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some(pending) = self.association.as_mut().filter(|pending| pending.handle == handle) {
                    pending.association.handle_event(event);
                }
            }
            _ => {}
        }
        self.advance(now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(pending) = &mut self.association {
            pending.association.handle_timeout(now);
        }
        self.advance(now);
    }

    /// The next SCTP packet to send.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if self.outgoing.is_empty()
            && let Some(pending) = &mut self.association
        {
            self.outgoing.extend(packets(&mut pending.association, now));
        }
        self.outgoing.pop_front()
    }

    /// Stops, or goes on with, reading the reliable channel.
    pub(super) fn set_paused(&mut self, now: Instant, paused: bool) {
        self.is_paused = paused;
        if let Some(id) = self.streams[Channel::Reliable as usize].filter(|_| !paused) {
            self.read(now, id);
        }
    }

    /// Whether a message of `len` bytes may be queued; `None`: the channel is not open. One may always be, however large.
    pub(super) fn has_room(&mut self, channel: Channel, len: usize) -> Option<bool> {
        let id = self.streams[channel as usize]?;
        let buffered = self.association.as_mut()?.association.stream(id).ok()?.buffered_amount().ok()?;
        let cost = self.held[channel as usize].cost(buffered);
        Some(cost == 0 || cost + data::cost(len) <= self.bounds[channel as usize])
    }

    /// Queues a message. A full lossy channel drops it, which is no error.
    pub(super) fn send(&mut self, now: Instant, channel: Channel, message: &[u8]) -> Result<(), DataError> {
        if message.len() > MAX_MESSAGE {
            return Err(DataError::TooLarge);
        }
        let has_room = self.has_room(channel, message.len()).ok_or(DataError::NotOpen)?;
        if !has_room {
            self.dropped += 1;
            return if channel == Channel::Lossy { Ok(()) } else { Err(DataError::BufferFull) };
        }
        let id = self.streams[channel as usize].ok_or(DataError::NotOpen)?;
        let pending = self.association.as_mut().ok_or(DataError::NotOpen)?;
        let mut stream = pending.association.stream(id).map_err(|_| DataError::NotOpen)?;
        // An empty SCTP message cannot be sent; its place takes one byte (RFC 8831 section 6.6).
        let (ppi, bytes) = if message.is_empty() { (Ppi::BinaryEmpty, &[0][..]) } else { (Ppi::Binary, message) };
        stream.write_with_ppi(now, bytes, ppi).map_err(|_| DataError::NotOpen)?;
        self.held[channel as usize].push(bytes.len());
        Ok(())
    }

    fn restart(&mut self) {
        self.endpoint = endpoint();
        self.association = None;
        self.guard = Guard::default();
        self.outgoing.clear();
        for channel in [Channel::Reliable, Channel::Lossy] {
            self.close_channel(channel);
        }
    }

    fn advance(&mut self, now: Instant) {
        while let Some(event) = self.association.as_mut().and_then(|pending| pending.association.poll()) {
            match event {
                Event::Stream(StreamEvent::Opened { id }) => self.on_opened(now, id),
                Event::Stream(StreamEvent::Readable { id }) => self.read(now, id),
                Event::AssociationLost { id, .. } => self.on_lost(id),
                _ => {}
            }
        }
        // An end that waits for COOKIE ECHO is in state CLOSED, too (RFC 9260 section 4).
        let has_ended = |association: &Association| !association.is_handshaking() && association.is_closed();
        if self.association.as_ref().is_some_and(|pending| has_ended(&pending.association)) {
            self.restart();
        }
    }

    fn on_opened(&mut self, now: Instant, id: StreamId) {
        let Some(pending) = &mut self.association else { return };
        let _ = pending.association.accept_stream();
        if id >= MAX_STREAMS {
            self.refused += 1;
            self.restart();
        } else {
            self.read(now, id);
        }
    }

    fn on_lost(&mut self, id: StreamId) {
        for channel in [Channel::Reliable, Channel::Lossy] {
            if self.streams[channel as usize] == Some(id) {
                self.close_channel(channel);
            }
        }
    }

    fn close_channel(&mut self, channel: Channel) {
        self.held[channel as usize] = Held::default();
        if self.streams[channel as usize].take().is_some() {
            self.events.push_back(SctpEvent::Closed(channel));
        }
    }

    fn read(&mut self, now: Instant, id: StreamId) {
        while !(self.is_paused && self.streams[Channel::Reliable as usize] == Some(id))
            && let Some((ppi, message)) = self.read_message(id)
        {
            match ppi {
                Ppi::Dcep => self.on_dcep(now, id, &message),
                Ppi::Binary | Ppi::String => self.on_message(id, message),
                Ppi::BinaryEmpty | Ppi::StringEmpty => self.on_message(id, Bytes::new()),
                _ => {}
            }
        }
    }

    fn read_message(&mut self, id: StreamId) -> Option<(Ppi, Bytes)> {
        let pending = self.association.as_mut()?;
        let chunks = pending.association.stream(id).ok()?.read_sctp().ok()??;
        // A message over the limit that our answer states is dropped.
        let message = chunks.to_payload(MAX_MESSAGE).map(|bytes| (chunks.ppi, bytes.freeze()));
        Some(message.unwrap_or((Ppi::Unknown, Bytes::new())))
    }

    fn on_message(&mut self, id: StreamId, message: Bytes) {
        let channel = [Channel::Reliable, Channel::Lossy].into_iter().find(|c| self.streams[*c as usize] == Some(id));
        if let Some(channel) = channel {
            self.events.push_back(SctpEvent::Message(channel, message));
        }
    }

    fn on_dcep(&mut self, now: Instant, id: StreamId, message: &[u8]) {
        let Some(open) = dcep::Open::parse(message) else { return };
        let Some(pending) = &mut self.association else { return };
        let Ok(mut stream) = pending.association.stream(id) else { return };
        let channel = Channel::of_label(open.label).filter(|channel| self.streams[*channel as usize].is_none());
        let Some(channel) = channel else {
            self.refused += 1;
            let _ = stream.close(now);
            return;
        };
        let (kind, value) = match open.reliability {
            dcep::Reliability::Reliable => (ReliabilityType::Reliable, 0),
            dcep::Reliability::Retransmissions(count) => (ReliabilityType::Rexmit, count),
            dcep::Reliability::Lifetime(milliseconds) => (ReliabilityType::Timed, milliseconds),
        };
        // The stream exists, so neither can fail.
        let _ = stream.set_reliability_params(open.unordered, kind, value);
        let _ = stream.write_with_ppi(now, &dcep::ACK, Ppi::Dcep);
        self.streams[channel as usize] = Some(id);
        self.events.push_back(SctpEvent::Open(channel));
    }
}

/// The configuration of both ends, as tests use it for the client too.
pub(super) fn transport_config() -> TransportConfig {
    TransportConfig::default()
        .with_max_receive_buffer_size(RECEIVE_WINDOW)
        .with_max_message_size(MAX_MESSAGE as u32)
        .with_max_num_inbound_streams(MAX_STREAMS)
        .with_max_num_outbound_streams(MAX_STREAMS)
        .with_timer_config(TimerConfig { max_t3_rtx_retrans: DATA_RETRANSMISSIONS, ..TimerConfig::default() })
}

pub(super) fn endpoint() -> Endpoint {
    let mut config = EndpointConfig::new();
    config.max_payload_size(max_payload_size_for_mtu(SCTP_MTU));
    let server = ServerConfig::new(transport_config());
    Endpoint::new(peer_address(), TransportProtocol::UDP, Arc::new(config), Some(Arc::new(server)))
}

/// SCTP over DTLS knows no addresses; the library wants one. Paths change under it.
pub(super) fn peer_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 5000))
}

/// All packets that the association wants to send now.
pub(super) fn packets(association: &mut Association, now: Instant) -> Vec<Bytes> {
    let mut packets = Vec::new();
    while let Some(transmit) = association.poll_transmit(now) {
        if let Payload::RawEncode(contents) = transmit.message {
            packets.extend(contents);
        }
    }
    packets
}

/// The initiate tag of an INIT, which is alone in its packet (RFC 9260 section 3.3.2).
fn initiate_tag(packet: &[u8]) -> Option<u32> {
    let verification_tag = packet.get(4..8)?;
    let is_init = verification_tag == [0; 4] && packet.get(12) == Some(&guard::INIT);
    let tag = packet.get(16..20).filter(|_| is_init)?;
    tag.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
