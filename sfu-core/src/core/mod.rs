//! One worker's rooms, and the way of every datagram through them.
//!
//! [`Core`] only sorts: datagrams to their participant's transport, what comes out of it to the participant's room, what
//! the room sends ([`egress`]) into trains. Commands are in [`command`], data channels in [`message`].

mod claims;
mod command;
mod contested;
mod egress;
mod message;
mod peer;
mod relay;
mod shed;
mod train;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use rand::SeedableRng;
use rand::rngs::StdRng;
use slab::Slab;

use crate::config::CoreConfig;
use crate::control::{ConnectionState, Event, WorkerIndex};
use crate::id::{ParticipantId, RoomId};
use crate::relay::{Batch, Notice};
use crate::router::{PeerIndex, Room};
use crate::rtp::RtpPacket;
use crate::transport::{self, Channel, Class, Path, SrtpProfile, TransportEvent};

use claims::{Claims, remote_of};
use egress::Egress;
use peer::Peer;
use shed::Shedding;
use train::Trains;

/// How often periodic work is looked for: half of the 10 ms in which a gap must be NACKed.
const TICK: Duration = Duration::from_millis(5);

/// How often transports are asked whether something is due. Their shortest timers repeat what was lost of a handshake, and once that is
/// done nearly none has one: to ask them with every tick was the largest part of it.
const TRANSPORT_TICK: Duration = Duration::from_millis(50);

/// A point in time on both clocks, so that NTP times are written without reading a clock.
#[derive(Debug, Clone, Copy)]
pub struct ClockAnchor {
    /// On the monotonic clock.
    pub instant: Instant,
    /// The same moment, since the Unix epoch.
    pub unix: Duration,
}

/// A train: datagrams of `segment` bytes each (the last may be shorter) for one path.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// Where it goes, and from which address.
    pub path: Path,
    /// The datagrams, back to back; never empty.
    pub data: &'a [u8],
    /// The length of each datagram but the last.
    pub segment: usize,
}

/// What a worker counts. All values only rise.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    /// Datagrams that arrived.
    pub datagrams_in: u64,
    /// Bytes of them.
    pub bytes_in: u64,
    /// Datagrams of no known kind, or of nobody here.
    pub stray: u64,
    /// SRTP and SRTCP packets that did not authenticate or were replayed.
    pub rejected: u64,
    /// Video packets dropped unopened because the worker lagged behind.
    pub discarded: u64,
    /// RTP packets that were opened.
    pub rtp_in: u64,
    /// RTP packets that were sealed, retransmissions included.
    pub rtp_out: u64,
    /// Bytes of them.
    pub rtp_bytes_out: u64,
    /// RTP packets sent again.
    pub retransmitted: u64,
    /// RTP packets that had no path to leave on.
    pub unsent: u64,
    /// RTP packets beyond a publisher's limits, dropped before they were kept or forwarded.
    pub limited: u64,
    /// RTP packets that were too large to be kept, or for a datagram that paths carry.
    pub oversized: u64,
    /// RTP packets of participants that may not send any, dropped unopened.
    pub unwanted: u64,
    /// RTCP beyond a participant's limits: datagrams that were not read, and NACKs that were not answered.
    pub reports_limited: u64,
    /// Packets in RTCP that were read.
    pub rtcp_in: u64,
    /// Messages on data channels that arrived.
    pub data_in: u64,
    /// Messages on data channels that were sent.
    pub data_out: u64,
    /// Messages that a full channel or a missing permission stopped.
    pub data_dropped: u64,
    /// Lossy messages beyond their senders' limits, which were dropped.
    pub data_limited: u64,
    /// Lossy messages that were dropped because the worker was past its limit.
    pub data_shed: u64,
    /// How often a sender of reliable messages had to wait for its limits.
    pub data_held: u64,
    /// How often a receiver of reliable messages read too little to be waited for.
    pub data_stalled: u64,
    /// DTLS handshakes that finished.
    pub handshakes: u64,
    /// Those of them that agreed on AES-256-GCM for SRTP.
    pub srtp_gcm_256: u64,
    /// On AES-128-GCM.
    pub srtp_gcm_128: u64,
    /// On AES-128 in counter mode with HMAC-SHA1.
    pub srtp_cm_sha1: u64,
    /// Transports that failed.
    pub failures: u64,
    /// Packets that came from other workers.
    pub relayed_in: u64,
    /// Packets that went to other workers, each counted for each.
    pub relayed_out: u64,
    /// Packets for workers that did not keep up.
    pub relay_dropped: u64,
}

/// What a worker holds now: nothing of it may be left behind when everybody has gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Open rooms.
    pub rooms: u64,
    /// Participants in them.
    pub participants: u64,
    /// Tracks that they publish.
    pub publications: u64,
}

/// One worker's rooms.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    worker: WorkerIndex,
    clock: ClockAnchor,
    rng: StdRng,
    peers: Slab<Peer>,
    by_participant: HashMap<ParticipantId, PeerIndex>,
    by_ufrag: HashMap<String, PeerIndex>,
    claims: Claims,
    rooms: Slab<Room>,
    by_room: HashMap<RoomId, usize>,
    trains: Trains,
    events: VecDeque<Event>,
    counters: Counters,
    shedding: Shedding,
    next_tick: Option<Instant>,
    next_transport_tick: Option<Instant>,
    /// When a pacer wants to release something.
    next_release: Option<Instant>,
    /// Packets for other workers, by their index.
    relays: Vec<Batch>,
    /// The rooms that have parts elsewhere.
    spread: Vec<usize>,
    /// Participants with messages that wait for room at somebody's; some may have left.
    holding: Vec<PeerIndex>,
    /// Participants with messages in their mailboxes; some may have left.
    feeding: Vec<PeerIndex>,
    /// When participants are told next what their limits cost them.
    next_telling: Option<Instant>,
    /// What the other parts of closed rooms must know.
    farewells: VecDeque<(WorkerIndex, Notice)>,
}

impl Core {
    /// A worker without rooms. `seed` must be secret and fresh outside tests: ICE passwords come from it.
    pub fn new(config: CoreConfig, worker: WorkerIndex, clock: ClockAnchor, seed: [u8; 32]) -> Self {
        Self {
            config,
            worker,
            clock,
            rng: StdRng::from_seed(seed),
            peers: Slab::new(),
            by_participant: HashMap::new(),
            by_ufrag: HashMap::new(),
            claims: Claims::default(),
            rooms: Slab::new(),
            by_room: HashMap::new(),
            trains: Trains::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            shedding: Shedding::default(),
            next_tick: None,
            next_transport_tick: None,
            next_release: None,
            relays: Vec::new(),
            spread: Vec::new(),
            holding: Vec::new(),
            feeding: Vec::new(),
            next_telling: None,
            farewells: VecDeque::new(),
        }
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What there is.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            rooms: self.rooms.len() as u64,
            participants: self.peers.len() as u64,
            publications: self.rooms.iter().map(|(_, room)| room.publication_count() as u64).sum(),
        }
    }

    /// Digests one datagram, or one frame of a TCP connection. `data` is decrypted in place. Returns whether it was authentic:
    /// only then is it a participant's.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, data: &mut [u8]) -> bool {
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += data.len() as u64;
        let class = transport::classify(data);
        if class == Class::Stun {
            return self.handle_stun(now, path, data);
        }
        let Some(claim) = self.claims.of(&remote_of(&path)) else {
            self.counters.stray += 1;
            return false;
        };
        match claim.other {
            None => self.handle_packet(now, &path, class, claim.holder, data),
            Some(other) => self.handle_contested(now, &path, class, (claim.holder, other), data),
        }
    }

    /// A packet of `peer`'s, or what claims to be one.
    fn handle_packet(&mut self, now: Instant, path: &Path, class: Class, peer: PeerIndex, data: &mut [u8]) -> bool {
        match class {
            Class::Rtp if self.shedding.behind && self.is_video(peer, data) => {
                self.counters.discarded += 1;
                false
            }
            Class::Rtp => self.handle_rtp(now, path, peer, data),
            Class::Rtcp => self.handle_rtcp(now, path, peer, data),
            Class::Dtls => {
                let is_authentic = self.peers[peer.0 as usize].transport.handle_dtls(now, *path, data);
                self.drain_transport(now, peer);
                self.feed(now, peer);
                is_authentic
            }
            Class::Stun | Class::Unknown => {
                self.counters.stray += 1;
                false
            }
        }
    }

    /// Whether a participant uses this path.
    pub fn owns_path(&self, path: Path) -> bool {
        let is_valid = |peer: PeerIndex| self.peers[peer.0 as usize].transport.is_valid(path);
        let claim = self.claims.of(&remote_of(&path));
        claim.is_some_and(|claim| is_valid(claim.holder) || claim.other.is_some_and(is_valid))
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        if self.next_release.is_some_and(|due| due <= now) {
            let mut out = Egress::new(&mut self.peers, &mut self.trains, &mut self.counters, &self.clock, now);
            let release = |(_, room): (usize, &mut Room)| room.release(now, &mut out, &mut self.events);
            self.next_release = self.rooms.iter_mut().filter_map(release).min();
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.next_tick.is_none_or(|due| due > now) {
            return;
        }
        self.next_tick = (!self.peers.is_empty() || !self.spread.is_empty()).then_some(now + TICK);
        if self.next_transport_tick.is_none_or(|due| due <= now) {
            self.next_transport_tick = Some(now + TRANSPORT_TICK);
            self.tick_transports(now);
        }
        self.tick_messages(now);
        let mut out = Egress::new(&mut self.peers, &mut self.trains, &mut self.counters, &self.clock, now);
        for (_, room) in &mut self.rooms {
            room.tick(now, &mut out, &mut self.events);
            self.next_release = earlier(self.next_release, room.next_release());
        }
    }

    fn tick_transports(&mut self, now: Instant) {
        let due = |(index, peer): (usize, &mut Peer)| {
            peer.transport.poll_timeout().is_some_and(|due| due <= now).then_some(PeerIndex(index as u32))
        };
        let due: smallvec::SmallVec<[PeerIndex; 16]> = self.peers.iter_mut().filter_map(due).collect();
        for peer in due {
            self.peers[peer.0 as usize].transport.handle_timeout(now);
            self.drain_transport(now, peer);
        }
    }

    /// A TCP connection ended.
    pub fn handle_path_closed(&mut self, now: Instant, path: Path) {
        let Some(claim) = self.claims.of(&remote_of(&path)) else { return };
        for peer in [Some(claim.holder), claim.other].into_iter().flatten() {
            self.peers[peer.0 as usize].transport.handle_path_closed(now, path);
            self.release(peer, path);
            self.drain_transport(now, peer);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.next_tick, self.next_release)
    }

    /// What the control plane must know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The trains to send, in order.
    pub fn transmits(&self) -> impl Iterator<Item = Transmit<'_>> {
        self.trains.iter()
    }

    /// The last packet that was forwarded is video and not the last of its frame: more of it may be on its way.
    pub const fn expects_more(&self) -> bool {
        self.trains.is_unfinished()
    }

    /// Forgets the trains, after they were sent.
    pub fn clear_transmits(&mut self) {
        self.trains.clear();
    }

    fn handle_stun(&mut self, now: Instant, path: Path, data: &[u8]) -> bool {
        let ufrag = transport::stun_username(data);
        let Some(&peer) = ufrag.and_then(|ufrag| self.by_ufrag.get(ufrag)) else {
            self.counters.stray += 1;
            return false;
        };
        let state = &mut self.peers[peer.0 as usize];
        let outcome = state.transport.handle_stun(now, path, data);
        let is_valid = state.transport.is_valid(path);
        if let Some(forgotten) = outcome.forgotten {
            self.release(peer, forgotten);
        }
        if outcome.is_authentic && is_valid {
            let peers = &self.peers;
            let remote = remote_of(&path);
            let is_sent_media = |holder: &Peer| holder.sending_path().is_some_and(|path| remote_of(&path) == remote);
            self.claims.claim(peer, remote, |holder| peers.get(holder.0 as usize).is_some_and(is_sent_media));
        }
        self.drain_transport(now, peer);
        outcome.is_authentic
    }

    /// A participant does not use a path any more. Another one of its paths may have the same remote end.
    fn release(&mut self, peer: PeerIndex, path: Path) {
        let remote = remote_of(&path);
        if !self.peers[peer.0 as usize].transport.paths().any(|other| remote_of(&other) == remote) {
            self.claims.release(peer, remote);
        }
    }

    fn handle_rtp(&mut self, now: Instant, path: &Path, peer: PeerIndex, data: &mut [u8]) -> bool {
        let state = &mut self.peers[peer.0 as usize];
        if !state.sends_media {
            self.counters.unwanted += 1;
            return false;
        }
        let Ok(len) = state.transport.open_rtp(now, path, data) else {
            self.counters.rejected += 1;
            return false;
        };
        let (room, member) = (state.room, state.member);
        if state.transport.has_event() {
            self.drain_transport(now, peer);
        }
        self.counters.rtp_in += 1;
        let Ok(packet) = RtpPacket::parse(&data[..len]) else { return true };
        let mut out = Egress::new(&mut self.peers, &mut self.trains, &mut self.counters, &self.clock, now);
        let place = room;
        let room = &mut self.rooms[place];
        let of = room.handle_rtp(now, member, &packet, &mut out, &mut self.events);
        self.next_release = earlier(self.next_release, room.next_release());
        if room.part.is_spread()
            && let Some((publication, key)) = of
        {
            self.relay_rtp(place, member, publication, key, &data[..len]);
        }
        true
    }

    fn handle_rtcp(&mut self, now: Instant, path: &Path, peer: PeerIndex, data: &mut [u8]) -> bool {
        let state = &mut self.peers[peer.0 as usize];
        let Ok(len) = state.transport.open_rtcp(now, path, data) else {
            self.counters.rejected += 1;
            return false;
        };
        let (room, member) = (state.room, state.member);
        if state.transport.has_event() {
            self.drain_transport(now, peer);
        }
        self.counters.rtcp_in += 1;
        let mut out = Egress::new(&mut self.peers, &mut self.trains, &mut self.counters, &self.clock, now);
        let place = room;
        let room = &mut self.rooms[place];
        room.handle_rtcp(now, member, &data[..len], &mut out);
        self.next_release = earlier(self.next_release, room.next_release());
        if room.part.is_spread() {
            self.relay_report(place, member, &data[..len]);
        }
        true
    }

    /// Takes what a transport wants to send and to say.
    fn drain_transport(&mut self, now: Instant, peer: PeerIndex) {
        loop {
            self.send_datagrams(peer);
            let state = &mut self.peers[peer.0 as usize];
            let participant = state.id;
            let Some(event) = state.transport.poll_event() else { return };
            let connection = match event {
                TransportEvent::Connected => {
                    self.counters.handshakes += 1;
                    match state.transport.srtp_profile() {
                        Some(SrtpProfile::AeadAes256Gcm) => self.counters.srtp_gcm_256 += 1,
                        Some(SrtpProfile::AeadAes128Gcm) => self.counters.srtp_gcm_128 += 1,
                        Some(SrtpProfile::Aes128CmHmacSha1_80) => self.counters.srtp_cm_sha1 += 1,
                        None => {}
                    }
                    self.rooms[state.room].connected(state.member);
                    if let Some(path) = state.transport.path() {
                        self.claims.prove(peer, remote_of(&path));
                    }
                    ConnectionState::Connected
                }
                TransportEvent::Interrupted => {
                    self.rooms[state.room].interrupted(state.member);
                    ConnectionState::Interrupted
                }
                TransportEvent::Resumed => {
                    self.rooms[state.room].connected(state.member);
                    self.rooms[state.room].path_changed(now, state.member);
                    ConnectionState::Resumed
                }
                TransportEvent::Failed(reason) => {
                    self.counters.failures += 1;
                    ConnectionState::Failed(reason)
                }
                TransportEvent::Data { channel, message } => {
                    self.forward_message(now, peer, channel, message);
                    continue;
                }
                TransportEvent::ChannelOpen(Channel::Reliable) => {
                    state.mailbox.open(now);
                    continue;
                }
                TransportEvent::ChannelClosed(Channel::Reliable) => {
                    state.mailbox.close();
                    continue;
                }
                TransportEvent::PathChanged(_) if state.transport.is_connected() => {
                    self.rooms[state.room].path_changed(now, state.member);
                    continue;
                }
                TransportEvent::PathChanged(_)
                | TransportEvent::ChannelOpen(Channel::Lossy)
                | TransportEvent::ChannelClosed(Channel::Lossy) => continue,
            };
            self.events.push_back(Event::Connection { participant, state: connection });
        }
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
