//! The floor: what remains of a forwarder when it decides nothing. Each packet of a publisher is opened once; for each
//! viewer it is copied into a train, sealed there, and sent by `sfu-core`'s own worker loop. Packets leave as they came,
//! header and all; feedback is opened and thrown away; nothing is ever sent again.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sfu_core::config::DataLimits;
use sfu_core::control::{Command, Event};
use sfu_core::id::Ssrc;
use sfu_core::net::{Engine, NetConfig, NetCounters, Sockets, UdpMode, WorkerHandle, Workers};
use sfu_core::rtcp::write_pli;
use sfu_core::rtp::header_len;
use sfu_core::sdp::IceCredentials;
use sfu_core::transport::{
    Certificate, Class, MAX_OVERHEAD, Path, Transport, TransportConfig, TransportEvent, classify, stun_username,
    worker_of_ufrag,
};
use sfu_core::unit::SeqNo;
use sfu_core::{Counters, Transmit};
use tokio::sync::mpsc;

use super::Server;
use crate::synthetic::sdp::Remote;

/// The longest train, as Madang's.
const MAX_DATAGRAMS: usize = 10;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(50);

/// What HTTP hands to the worker.
enum Change {
    Start(u64, Box<Peer>),
    End(u64),
}

type Changes = Arc<Mutex<Vec<Change>>>;

/// The control plane of the floor.
pub struct Floor {
    certificate: Certificate,
    address: SocketAddr,
    changes: Changes,
    next: AtomicU64,
    /// They stop when it is dropped.
    workers: Workers,
    _events: mpsc::Receiver<Event>,
}

impl Floor {
    /// Starts one worker.
    pub fn start(ip: IpAddr, udp_mode: UdpMode) -> anyhow::Result<Self> {
        let config = NetConfig { bind: ip, udp_port: 0, tcp_port: None, workers: 1, udp_mode, ..NetConfig::default() };
        let sockets = Sockets::bind(config)?;
        let address = sockets.udp_addresses().next().context("no worker")?;
        let changes = Changes::default();
        let (events, receiver) = mpsc::channel(1);
        let (theirs, route) = (Arc::clone(&changes), |frame: &[u8]| worker_of_ufrag(stun_username(frame)?));
        let workers = sockets.start(move |_| Worker::new(Arc::clone(&theirs)), &events, route)?;
        let certificate = Certificate::generate()?;
        Ok(Self { certificate, address, changes, next: AtomicU64::new(0), workers, _events: receiver })
    }

    fn change(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
}

#[async_trait]
impl Server for Floor {
    async fn answer(&self, offer: String, publishes: bool) -> anyhow::Result<(u64, String)> {
        let remote = Remote::parse(&offer)?;
        let local = IceCredentials::generate(0, &mut StdRng::from_rng(&mut rand::rng()));
        let config = TransportConfig {
            certificate: self.certificate.clone(),
            consent_timeout: Duration::from_secs(30),
            handshake_timeout: HANDSHAKE_TIMEOUT,
            interruption_timeout: Duration::from_secs(60),
            data_buffer: DataLimits::DEFAULT.in_flight_bytes(),
            max_tcp_paths: 8,
        };
        let transport = Transport::new(&config, &local, &remote.ice, remote.fingerprint, Instant::now());
        let peer = Peer { ufrag: local.ufrag.clone(), transport, publishes, train: None, sources: HashMap::new() };
        let session = self.next.fetch_add(1, Ordering::Relaxed);
        self.change(Change::Start(session, Box::new(peer)));
        Ok((session, remote.serve_all(&local, self.certificate.fingerprint(), self.address)))
    }

    async fn end(&self, session: u64) {
        self.change(Change::End(session));
    }

    fn metrics(&self) -> String {
        let net = |handle: &WorkerHandle| handle.snapshot().net;
        let counters: Vec<_> = self.workers.handles().iter().map(net).collect();
        let sum = |of: fn(&NetCounters) -> u64| counters.iter().map(of).sum::<u64>();
        let (datagrams, trains) = (sum(|net| net.udp_out), sum(|net| net.udp_trains));
        format!("madang_udp_sent_datagrams_total {datagrams}\nmadang_udp_sent_trains_total {trains}\n")
    }
}

struct Peer {
    ufrag: String,
    transport: Transport,
    publishes: bool,
    /// The train that is open for it.
    train: Option<usize>,
    /// A publisher's SSRCs and their highest number.
    sources: HashMap<u32, SeqNo>,
}

#[derive(Default)]
struct Train {
    path: Option<Path>,
    buffer: Vec<u8>,
    segment: usize,
    datagrams: usize,
    closed: bool,
}

/// The media plane of the floor.
struct Worker {
    changes: Changes,
    peers: HashMap<u64, Peer>,
    by_remote: HashMap<SocketAddr, u64>,
    trains: Vec<Train>,
    used: usize,
    counters: Counters,
    tick_at: Instant,
}

impl Worker {
    fn new(changes: Changes) -> Self {
        Self {
            changes,
            peers: HashMap::new(),
            by_remote: HashMap::new(),
            trains: Vec::new(),
            used: 0,
            counters: Counters::default(),
            tick_at: Instant::now() + TICK,
        }
    }

    fn take_changes(&mut self) {
        let changes = std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        for change in changes {
            match change {
                Change::Start(session, peer) => drop(self.peers.insert(session, *peer)),
                Change::End(session) => {
                    self.peers.remove(&session);
                    self.by_remote.retain(|_, owner| *owner != session);
                }
            }
        }
    }

    fn handle_stun(&mut self, now: Instant, path: Path, data: &[u8]) {
        self.take_changes();
        let Some(ufrag) = stun_username(data) else { return };
        let Some((session, peer)) = self.peers.iter_mut().find(|(_, peer)| peer.ufrag == ufrag) else { return };
        let session = *session;
        peer.transport.handle_stun(now, path, data);
        if peer.transport.is_valid(path) {
            self.by_remote.insert(path.remote, session);
        }
        self.settle(session);
    }

    /// Sends what a transport wants to send; a viewer that is up needs a keyframe.
    fn settle(&mut self, session: u64) {
        let Some(peer) = self.peers.get_mut(&session) else { return };
        while let Some((path, datagram)) = peer.transport.poll_transmit() {
            push(&mut self.trains, &mut self.used, None, path, datagram.len()).1.copy_from_slice(&datagram);
        }
        let mut connected = false;
        while let Some(event) = peer.transport.poll_event() {
            connected |= event == TransportEvent::Connected;
        }
        if connected && !peer.publishes {
            self.ask_for_keyframes();
        }
    }

    fn ask_for_keyframes(&mut self) {
        for publisher in self.peers.values_mut().filter(|peer| peer.publishes) {
            let Some(path) = publisher.transport.path() else { continue };
            let mut plis = Vec::new();
            publisher.sources.keys().for_each(|ssrc| write_pli(&mut plis, Ssrc(1), Ssrc(*ssrc)));
            let len = plis.len();
            plis.resize(len + MAX_OVERHEAD, 0);
            let sealed = if len == 0 { 0 } else { publisher.transport.seal_rtcp(&mut plis, len) };
            if sealed > 0 {
                push(&mut self.trains, &mut self.used, None, path, sealed).1.copy_from_slice(&plis[..sealed]);
            }
        }
    }

    fn handle_rtp(&mut self, now: Instant, path: &Path, session: u64, data: &mut [u8]) {
        let Some(publisher) = self.peers.get_mut(&session) else { return };
        let (Ok(len), Ok(header)) = (publisher.transport.open_rtp(now, path, data), header_len(data)) else { return };
        let wire = u16::from_be_bytes([data[2], data[3]]);
        let ssrc = u32::from_be_bytes([data[8], data[9], data[10], data[11]]);
        let highest = publisher.sources.entry(ssrc).or_insert(SeqNo::first(wire));
        let seq = highest.nearest(wire);
        *highest = seq.max(*highest);
        for viewer in self.peers.values_mut().filter(|peer| !peer.publishes && peer.transport.may_send()) {
            let Some(path) = viewer.transport.path() else { continue };
            let total = len + viewer.transport.overhead();
            let (train, buffer) = push(&mut self.trains, &mut self.used, viewer.train, path, total);
            buffer[..len].copy_from_slice(&data[..len]);
            viewer.transport.seal_rtp(buffer, len, header, seq, ssrc);
            viewer.train = Some(train);
            self.counters.rtp_out += 1;
        }
    }
}

/// Appends to the train, or to a new one if it does not fit; gives the train and the datagram's place.
fn push<'a>(
    trains: &'a mut Vec<Train>,
    used: &mut usize,
    open: Option<usize>,
    path: Path,
    len: usize,
) -> (usize, &'a mut [u8]) {
    let fits = |index: &usize| {
        let train = &trains[*index];
        !train.closed && train.path == Some(path) && len <= train.segment && train.datagrams < MAX_DATAGRAMS
    };
    let index = open.filter(|index| index < used).filter(fits).unwrap_or(*used);
    if index == *used {
        *used += 1;
        if index == trains.len() {
            trains.push(Train::default());
        }
        let train = &mut trains[index];
        (train.path, train.segment, train.datagrams, train.closed) = (Some(path), len, 0, false);
        train.buffer.clear();
    }
    let train = &mut trains[index];
    train.datagrams += 1;
    train.closed = len < train.segment;
    let start = train.buffer.len();
    train.buffer.resize(start + len, 0);
    (index, &mut train.buffer[start..])
}

impl Engine for Worker {
    fn handle_datagram(&mut self, now: Instant, path: Path, data: &mut [u8]) -> bool {
        let class = classify(data);
        if class == Class::Stun {
            self.handle_stun(now, path, data);
        }
        let Some(&session) = self.by_remote.get(&path.remote) else { return false };
        match class {
            Class::Rtp => self.handle_rtp(now, &path, session, data),
            Class::Rtcp => {
                // Opened, because a forwarder must; what it says has no consequences here.
                let _ = self.peers.get_mut(&session).map(|peer| peer.transport.open_rtcp(now, &path, data));
            }
            Class::Dtls => {
                if let Some(peer) = self.peers.get_mut(&session) {
                    peer.transport.handle_dtls(now, path, data);
                }
                self.settle(session);
            }
            _ => {}
        }
        true
    }

    fn owns_path(&self, path: Path) -> bool {
        self.by_remote.contains_key(&path.remote)
    }

    fn handle_command(&mut self, _now: Instant, _command: Command) {}

    fn handle_timeout(&mut self, now: Instant) {
        self.tick_at = now + TICK;
        self.take_changes();
        let sessions: Vec<u64> = self.peers.keys().copied().collect();
        for session in sessions {
            if let Some(peer) = self.peers.get_mut(&session) {
                peer.transport.handle_timeout(now);
            }
            self.settle(session);
        }
    }

    fn handle_path_closed(&mut self, _now: Instant, _path: Path) {}

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.tick_at)
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn transmits(&self) -> impl Iterator<Item = Transmit<'_>> {
        self.trains[..self.used]
            .iter()
            .filter_map(|train| Some(Transmit { path: train.path?, data: &train.buffer, segment: train.segment }))
    }

    fn expects_more(&self) -> bool {
        false
    }

    fn clear_transmits(&mut self) {
        self.used = 0;
        self.peers.values_mut().for_each(|peer| peer.train = None);
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}
