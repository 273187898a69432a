//! A core with clients that are handed their datagrams in virtual time, without sockets.
//!
//! Shared by the tests and the benchmark, none of which uses all of it.
#![allow(dead_code, unreachable_pub)]

pub mod offer;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use sfu_core::config::{CodecPolicy, CoreConfig, DataLimits, MediaLimits};
use sfu_core::control::{
    Command, Event, MayPublish, Negotiation, ParticipantSettings, RequestId, SlotLines, SlotRole, Source,
};
use sfu_core::id::{Mid, ParticipantId, RoomId, TrackId};
use sfu_core::rtp::{HeaderOut, MAX_HEADER, write_header};
use sfu_core::sdp::{Answer, Candidate, IceCredentials};
use sfu_core::transport::client::{Received, TestClient};
use sfu_core::transport::{Certificate, Channel, Path, Protocol};
use sfu_core::unit::SeqNo;
use sfu_core::{ClockAnchor, Core};

use offer::Line;

/// The MIDs on which every client sends.
pub const MICROPHONE: &str = "mic";
pub const CAMERA: &str = "cam";

/// Everything is shown, and the client confirms nothing.
pub const VIEWER: ParticipantSettings = ParticipantSettings {
    can_subscribe: true,
    can_publish: MayPublish::ALL,
    can_publish_data: true,
    auto_subscribe: true,
    confirms_slots: false,
};

/// A core, perhaps further ones, and their clients.
pub struct World {
    pub core: Core,
    /// The cores of further workers, which have parts of the first one's rooms.
    pub others: Vec<Core>,
    /// The worker on which clients join.
    pub worker: usize,
    /// Workers take nothing from each other.
    pub are_cut: bool,
    /// Relayed packets, of which a copy of each is kept.
    pub relayed: Vec<Vec<u8>>,
    config: CoreConfig,
    pub now: Instant,
    pub clients: Vec<Client>,
    /// What the control plane was told and no test has taken yet.
    pub events: Vec<Event>,
    /// What the cameras of clients that join send in.
    pub rids: &'static [&'static str],
    /// Whether clients that join give transport-wide feedback.
    pub transport_cc: bool,
    /// Whether they know VP9.
    pub vp9: bool,
    /// What is on its way to clients that are `remote`.
    pub underway: Vec<(usize, Vec<u8>)>,
    rng: StdRng,
    certificate: Certificate,
    requests: u64,
}

/// A client and what it received.
pub struct Client {
    pub id: ParticipantId,
    pub room: RoomId,
    pub worker: usize,
    pub rtc: TestClient,
    pub path: Path,
    pub answer: Answer,
    pub ice: IceCredentials,
    pub lines: Vec<Line>,
    pub slots: Vec<SlotLines>,
    pub rtp: Vec<Vec<u8>>,
    pub rtcp: Vec<Vec<u8>>,
    pub data: Vec<(Channel, bytes::Bytes)>,
    pub checks: Vec<bool>,
    pub is_gone: bool,
    /// Somebody else hands it what the server sends.
    pub remote: bool,
}

/// A packet that a client sends.
pub struct Packet<'a> {
    pub payload_type: u8,
    pub ssrc: u32,
    pub seq: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub extensions: &'a [(u8, &'a [u8])],
    pub payload: &'a [u8],
}

impl World {
    /// An empty core.
    pub fn new() -> Self {
        let now = Instant::now();
        let certificate = Certificate::generate().expect("keys can be made");
        let candidate = Candidate { protocol: Protocol::Udp, address: server_address() };
        let config = CoreConfig {
            certificate: certificate.clone(),
            candidates: vec![candidate],
            codecs: CodecPolicy::default(),
            consent_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(20),
            interruption_timeout: Duration::from_secs(30),
            max_tcp_paths: 8,
            retransmission_window: Duration::from_secs(1),
            media_limits: MediaLimits::default(),
            loudest: Some(6),
            data: DataLimits::default(),
        };
        let clock = ClockAnchor { instant: now, unix: Duration::from_secs(1_700_000_000) };
        Self {
            core: Core::new(config.clone(), 0, clock, [7; 32]),
            others: Vec::new(),
            worker: 0,
            are_cut: false,
            relayed: Vec::new(),
            config,
            now,
            clients: Vec::new(),
            events: Vec::new(),
            rids: &[],
            transport_cc: true,
            vp9: true,
            underway: Vec::new(),
            rng: StdRng::seed_from_u64(1),
            certificate,
            requests: 0,
        }
    }

    /// The same with other limits of data channels.
    pub fn with_limits(data: DataLimits) -> Self {
        let mut world = Self::new();
        world.config.data = data;
        let clock = ClockAnchor { instant: world.now, unix: Duration::from_secs(1_700_000_000) };
        world.core = Core::new(world.config.clone(), 0, clock, [7; 32]);
        world
    }

    /// A room.
    pub fn open_room(&mut self) -> RoomId {
        let room = RoomId::random(&mut self.rng);
        self.core.handle_command(self.now, Command::OpenRoom { room });
        room
    }

    /// Opens a part of a room, which has parts on all workers, on one more.
    pub fn open_part(&mut self, room: RoomId) -> usize {
        self.open_part_beside(room, (0..=self.others.len() as u8).collect())
    }

    /// Opens a part of a room that has parts on these workers on one more.
    pub fn open_part_beside(&mut self, room: RoomId, others: Vec<u8>) -> usize {
        let worker = self.others.len() + 1;
        let clock = ClockAnchor { instant: self.now, unix: Duration::from_secs(1_700_000_000) };
        self.others.push(Core::new(self.config.clone(), worker as u8, clock, [7 + worker as u8; 32]));
        let request = self.request();
        self.core_mut(worker).handle_command(clock.instant, Command::OpenPart { request, room, others });
        self.exchange();
        let opened = self.take_events(|event| matches!(event, Event::PartOpened { request: r } if *r == request));
        assert_eq!(opened.len(), 1);
        worker
    }

    /// A worker loses all its rooms, as after a panic.
    pub fn lose_rooms(&mut self, worker: usize) {
        let clock = ClockAnchor { instant: self.now, unix: Duration::from_secs(1_700_000_000) };
        *self.core_mut(worker) = Core::new(self.config.clone(), worker as u8, clock, [77; 32]);
        let now = self.now;
        for other in (0..=self.others.len()).filter(|other| *other != worker) {
            self.core_mut(other).handle_rooms_lost(now, worker as u8);
        }
        self.exchange();
    }

    /// The core of a worker.
    pub fn core_mut(&mut self, worker: usize) -> &mut Core {
        if worker == 0 { &mut self.core } else { &mut self.others[worker - 1] }
    }

    /// The number for the next command that has an answer.
    pub fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    /// The command that lets a client join, with so many pairs of slots; its credentials, lines and slots.
    pub fn join_command(
        &mut self,
        room: RoomId,
        settings: ParticipantSettings,
        pairs: usize,
    ) -> (Command, IceCredentials, Vec<Line>, Vec<SlotLines>) {
        let participant = ParticipantId::random(&mut self.rng);
        let ice = credentials(self.clients.len(), 0);
        let (mut lines, slots) = lines(pairs);
        for line in &mut lines {
            if let Line::Video { mid, rids, .. } = line
                && mid == CAMERA
            {
                *rids = self.rids;
            }
        }
        let fingerprint = self.certificate.fingerprint();
        let offer = match self.transport_cc {
            _ if !self.vp9 => offer::without_vp9(&ice, &fingerprint, &lines),
            true => offer::parsed(&ice, &fingerprint, &lines),
            false => offer::without_transport_cc(&ice, &fingerprint, &lines),
        };
        let negotiation = Negotiation { offer, slots: slots.clone() };
        let request = self.request();
        (Command::Join { request, room, participant, settings, negotiation }, ice, lines, slots)
    }

    /// A client that has joined, with so many pairs of slots, but has sent nothing yet.
    pub fn join(&mut self, room: RoomId, settings: ParticipantSettings, pairs: usize) -> usize {
        let index = self.clients.len();
        let (join, ice, lines, slots) = self.join_command(room, settings, pairs);
        let Command::Join { request, participant: id, .. } = join else { unreachable!("it joins") };
        let (now, worker) = (self.now, self.worker);
        self.core_mut(worker).handle_command(now, join);
        let answer = self.answer(request);
        let rtc = TestClient::new(self.certificate.clone(), ice.clone(), answer.ice.clone(), self.now);
        let remote = SocketAddr::from(([10, 0, (index >> 8) as u8, index as u8], 5000));
        let path = Path { protocol: Protocol::Udp, local: server_address(), remote };
        self.clients.push(Client {
            id,
            room,
            worker,
            rtc,
            path,
            answer,
            ice,
            lines,
            slots,
            rtp: Vec::new(),
            rtcp: Vec::new(),
            data: Vec::new(),
            checks: Vec::new(),
            is_gone: false,
            remote: false,
        });
        index
    }

    /// The same, connected.
    pub fn connect(&mut self, room: RoomId, settings: ParticipantSettings, pairs: usize) -> usize {
        let client = self.join(room, settings, pairs);
        self.check(client);
        let now = self.now;
        self.clients[client].rtc.start_dtls(now);
        for _ in 0..200 {
            if self.clients[client].rtc.is_connected() {
                break;
            }
            self.advance(Duration::from_millis(10));
        }
        assert!(self.clients[client].rtc.is_connected(), "the handshake ended");
        client
    }

    /// Lets a client nominate its path, as it does every few seconds.
    pub fn check(&mut self, client: usize) {
        let check = self.clients[client].rtc.check(true);
        self.hand_to_core(client, &check);
        self.exchange();
    }

    /// Publishes what arrives on `mid`.
    pub fn publish(&mut self, client: usize, mid: &str, source: Source) -> TrackId {
        let (track, request) = (TrackId::random(&mut self.rng), self.request());
        let (participant, mid) = (self.clients[client].id, Mid::new(mid).unwrap());
        let command = Command::Publish { request, participant, track, mid, source, muted: false };
        let (now, worker) = (self.now, self.clients[client].worker);
        self.core_mut(worker).handle_command(now, command);
        self.exchange();
        let published = self.take_events(|event| matches!(event, Event::Published { request: r, .. } if *r == request));
        assert!(matches!(published[..], [Event::Published { result: Ok(()), .. }]), "{published:?}");
        track
    }

    /// Lets the first worker carry out a command.
    pub fn command(&mut self, command: Command) {
        self.command_on(0, command);
    }

    /// Lets a worker carry out a command.
    pub fn command_on(&mut self, worker: usize, command: Command) {
        let now = self.now;
        self.core_mut(worker).handle_command(now, command);
        self.exchange();
    }

    /// The answer to a negotiation.
    pub fn answer(&mut self, request: RequestId) -> Answer {
        self.exchange();
        let mut events =
            self.take_events(|event| matches!(event, Event::Negotiated { request: r, .. } if *r == request));
        match events.pop() {
            Some(Event::Negotiated { result: Ok(answer), .. }) => *answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    /// Takes the events that `wanted` picks.
    pub fn take_events(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let (taken, left) = std::mem::take(&mut self.events).into_iter().partition(wanted);
        self.events = left;
        taken
    }

    /// Seals a packet as its client does.
    pub fn seal(&mut self, client: usize, packet: &Packet<'_>) -> Vec<u8> {
        let (plain, header_len) = packet.to_bytes();
        self.clients[client].rtc.protect_rtp(&plain, header_len, SeqNo(packet.seq))
    }

    /// A client sends a packet.
    pub fn send_rtp(&mut self, client: usize, packet: &Packet<'_>) {
        let sealed = self.seal(client, packet);
        self.hand_to_core(client, &sealed);
        self.exchange();
    }

    /// A client sends RTCP.
    pub fn send_rtcp(&mut self, client: usize, compound: &[u8]) {
        let sealed = self.clients[client].rtc.protect_rtcp(compound);
        self.hand_to_core(client, &sealed);
        self.exchange();
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        self.exchange();
        loop {
            let clients = self.clients.iter().filter_map(|client| client.rtc.poll_timeout());
            let cores = std::iter::once(&self.core).chain(&self.others).filter_map(Core::poll_timeout);
            let next = clients.chain(cores).min().filter(|next| *next <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            for client in &mut self.clients {
                if client.rtc.poll_timeout().is_some_and(|due| due <= self.now) {
                    client.rtc.handle_timeout(self.now);
                }
            }
            for core in std::iter::once(&mut self.core).chain(&mut self.others) {
                if core.poll_timeout().is_some_and(|due| due <= self.now) {
                    core.handle_timeout(self.now);
                }
            }
            self.exchange();
            if self.now == end {
                // Timers that are due again and again at the end are for the next call.
                break;
            }
        }
        self.now = end;
    }

    /// Hands a datagram of a client to the core.
    pub fn hand_to_core(&mut self, client: usize, datagram: &[u8]) {
        let mut data = datagram.to_vec();
        let (now, path, worker) = (self.now, self.clients[client].path, self.clients[client].worker);
        self.core_mut(worker).handle_datagram(now, path, &mut data);
    }

    /// Carries datagrams both ways until nobody has any.
    pub fn exchange(&mut self) {
        loop {
            let mut quiet = true;
            for worker in 0..=self.others.len() {
                while let Some(event) = self.core_mut(worker).poll_event() {
                    self.events.push(event);
                }
                quiet &= !self.hand_to_others(worker);
                self.hand_to_clients(worker);
            }
            for client in 0..self.clients.len() {
                while let Some(datagram) = self.clients[client].rtc.poll_transmit() {
                    self.hand_to_core(client, &datagram);
                    quiet = false;
                }
            }
            let idle = |core: &Core| core.transmits().next().is_none();
            if quiet && idle(&self.core) && self.others.iter().all(idle) {
                return;
            }
        }
    }

    /// Carries packets and notices from a worker to the others; true if there were any.
    fn hand_to_others(&mut self, from: usize) -> bool {
        if self.are_cut {
            return false;
        }
        let now = self.now;
        let core = self.core_mut(from);
        let batches: Vec<_> = core.relays().map(|(to, batch)| (to, std::mem::take(batch))).collect();
        let notices: Vec<_> = std::iter::from_fn(|| core.poll_notice()).collect();
        let any = !batches.is_empty() || !notices.is_empty();
        for (to, batch) in batches {
            self.relayed.extend(batch.iter().map(|relayed| relayed.packet.to_vec()));
            self.core_mut(to.into()).handle_relay(now, &batch);
        }
        for (to, notice) in notices {
            self.core_mut(to.into()).handle_notice(now, from as u8, notice);
        }
        any
    }

    fn hand_to_clients(&mut self, worker: usize) {
        let core = if worker == 0 { &mut self.core } else { &mut self.others[worker - 1] };
        for transmit in core.transmits() {
            let by_path = |(_, client): &(usize, &mut Client)| client.path == transmit.path && !client.is_gone;
            let Some((index, client)) = self.clients.iter_mut().enumerate().find(by_path) else { continue };
            if client.remote {
                self.underway.extend(transmit.data.chunks(transmit.segment).map(|datagram| (index, datagram.to_vec())));
                continue;
            }
            for datagram in transmit.data.chunks(transmit.segment) {
                match client.rtc.handle(self.now, datagram) {
                    Received::Rtp(packet) => client.rtp.push(packet),
                    Received::Rtcp(packet) => client.rtcp.push(packet),
                    Received::Checked { success } => client.checks.push(success),
                    Received::Nothing => {}
                    Received::Refused(error) => panic!("a packet from the server is refused: {error}"),
                }
                client.data.extend(std::iter::from_fn(|| client.rtc.poll_data()));
            }
        }
        core.clear_transmits();
    }
}

impl Packet<'_> {
    /// The plaintext, and how much of it is header.
    pub fn to_bytes(&self) -> (Vec<u8>, usize) {
        let header = HeaderOut {
            marker: self.marker,
            payload_type: self.payload_type,
            sequence_number: self.seq as u16,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            csrc: None,
        };
        let mut bytes = vec![0; MAX_HEADER];
        let len = write_header(&mut bytes, &header, self.extensions);
        bytes.truncate(len);
        bytes.extend_from_slice(self.payload);
        (bytes, len)
    }
}

/// A VP8 payload of `len` bytes: a descriptor with a 15-bit picture id and TL0PICIDX, then the frame.
pub fn vp8_payload(picture: u16, tl0: u8, start: bool, keyframe: bool, len: usize) -> Vec<u8> {
    let mut payload =
        vec![0x80 | if start { 0x10 } else { 0 }, 0xe0, 0x80 | (picture >> 8) as u8, picture as u8, tl0, 0];
    payload.push(u8::from(!keyframe));
    payload.resize(len.max(payload.len()), 0xaa);
    payload
}

/// Where the server is.
pub fn server_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 7882))
}

/// A client's ICE credentials.
pub fn credentials(client: usize, restart: usize) -> IceCredentials {
    IceCredentials { ufrag: format!("c{client:04}r{restart}"), password: format!("{client:030}") }
}

/// What every client offers: a microphone, a camera, data, and pairs of slots.
pub fn lines(pairs: usize) -> (Vec<Line>, Vec<SlotLines>) {
    let mut lines = vec![
        Line::Audio { mid: MICROPHONE.into(), direction: "sendonly" },
        Line::Video { mid: CAMERA.into(), direction: "sendonly", rids: &[] },
        Line::Data { mid: "data".into() },
    ];
    let mut slots = Vec::new();
    for pair in 0..pairs {
        let (audio, video) = (format!("a{pair}"), format!("v{pair}"));
        slots.push(SlotLines { role: SlotRole::Pair, audio: Mid::new(&audio), video: Mid::new(&video) });
        lines.push(Line::Audio { mid: audio, direction: "recvonly" });
        lines.push(Line::Video { mid: video, direction: "recvonly", rids: &[] });
    }
    (lines, slots)
}
