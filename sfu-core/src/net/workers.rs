//! All workers of a process: binding their sockets, starting their threads, and talking to them.
//!
//! Three steps, since an engine must know its worker's port before it runs: [`Sockets::bind`], then
//! [`Sockets::udp_addresses`] for the candidates, then [`Sockets::start`].

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::Waker;
use socket2::{Domain, Socket, Type};
use tokio::sync::mpsc;

use super::counters::{Shared, Snapshot};
use super::engine::Engine;
use super::health::Health;
use super::lanes::Lanes;
use super::tcp::{Handover, Listener, ListenerCounters, Route, TcpLimits};
use super::udp::{BoundUdp, Buffers, Udp, UdpMode};
use super::worker::{Inbox, Worker};
use crate::control::{Command, Event, WorkerIndex};

/// A worker's index has two hexadecimal digits in an ufrag.
pub const MAX_WORKERS: usize = 256;

/// A worker that has not finished a turn for so long is stuck. Idle ones finish one a second.
const STUCK: Duration = Duration::from_secs(10);

/// Connections on their way to a worker: a worker that takes 30 ms for a turn gets 8,000 a second.
const HANDOVER: usize = 256;

/// What the workers listen on.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// The address to bind; `::` takes IPv4 as well.
    pub bind: IpAddr,
    /// Worker n has port `udp_port + n`; 0: any free ports.
    pub udp_port: u16,
    /// The port of ICE-TCP; 0: any free one; `None`: no ICE-TCP.
    pub tcp_port: Option<u16>,
    /// How many; [`available_workers`] is a good number.
    pub workers: usize,
    /// Sizes of the UDP sockets' buffers.
    pub buffers: Buffers,
    /// Commands that may wait for a worker before it is [`Busy`].
    pub mailbox: usize,
    /// How UDP is read and written.
    pub udp_mode: UdpMode,
    /// What ICE-TCP connections may cost.
    pub tcp: TcpLimits,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            bind: Ipv6Addr::UNSPECIFIED.into(),
            udp_port: 7882,
            tcp_port: Some(7881),
            workers: available_workers(),
            buffers: Buffers::default(),
            mailbox: 1024,
            udp_mode: UdpMode::Fast,
            tcp: TcpLimits::default(),
        }
    }
}

/// As many workers as the process has processors: the affinity mask and the cgroup's CPU quota both count, which the
/// standard library reads on Linux (`sched_getaffinity`, `cpu.max`).
pub fn available_workers() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_WORKERS)
}

/// Bound sockets whose workers do not run yet.
#[derive(Debug)]
pub struct Sockets {
    udp: Vec<BoundUdp>,
    tcp: Option<TcpListener>,
    config: NetConfig,
}

impl Sockets {
    /// Binds everything. The error names the address that could not be had.
    pub fn bind(config: NetConfig) -> io::Result<Self> {
        let workers = config.workers.clamp(1, MAX_WORKERS);
        let mut udp = Vec::with_capacity(workers);
        for index in 0..workers {
            let port = worker_port(config.udp_port, index)?;
            let bound = BoundUdp::bind(config.bind, port, config.buffers);
            udp.push(bound.map_err(|error| named(&error, "UDP", config.bind, port))?);
        }
        let tcp =
            config.tcp_port.map(|port| listen(config.bind, port).map_err(|e| named(&e, "TCP", config.bind, port)));
        Ok(Self { udp, tcp: tcp.transpose()?, config })
    }

    /// Where each worker listens, in the order of their indexes.
    pub fn udp_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.udp.iter().map(BoundUdp::address)
    }

    /// Where ICE-TCP listens.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref()?.local_addr().ok()
    }

    /// Starts the threads. `engine` makes an empty engine, on its worker's own thread: once, and again after each panic. All workers' events go to `events`; `route`
    /// reads the worker out of a TCP connection's first frame.
    pub fn start<E: Engine>(
        self,
        engine: impl Fn(WorkerIndex) -> E + Clone + Send + 'static,
        events: &mpsc::Sender<Event>,
        route: Route,
    ) -> io::Result<Workers> {
        let mut workers = Workers {
            handles: Vec::new(),
            threads: Mutex::default(),
            stop: Arc::default(),
            listener: None,
            listener_counters: Arc::default(),
        };
        let mut handovers = Vec::new();
        let lanes = Lanes::between(self.udp.len());
        for ((index, bound), lanes) in (0..=WorkerIndex::MAX).zip(self.udp).zip(lanes) {
            let udp = Udp::new(bound, self.config.udp_mode)?;
            let start = Start { index, udp, lanes, mailbox: self.config.mailbox, tcp: self.config.tcp };
            handovers.push(workers.start_one(start, engine.clone(), events.clone())?);
        }
        if let Some(tcp) = self.tcp {
            let counters = Arc::clone(&workers.listener_counters);
            let (listener, waker) =
                Listener::new(tcp, self.config.tcp, handovers, route, workers.stop.clone(), counters)?;
            let thread =
                thread::Builder::new().name("madang-tcp".into()).spawn(move || listener.run_again_and_again())?;
            workers.add_thread(thread);
            workers.listener = Some(waker);
        }
        Ok(workers)
    }
}

fn worker_port(first: u16, index: usize) -> io::Result<u16> {
    if first == 0 {
        return Ok(0);
    }
    u16::try_from(usize::from(first) + index)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the UDP ports of all workers must be below 65536"))
}

fn named(error: &io::Error, protocol: &str, ip: IpAddr, port: u16) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {protocol} {}: {error}", SocketAddr::new(ip, port)))
}

fn listen(ip: IpAddr, port: u16) -> io::Result<TcpListener> {
    let listen = |ip: IpAddr| {
        let address = SocketAddr::new(ip, port);
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if ip == Ipv6Addr::UNSPECIFIED {
            socket.set_only_v6(false)?;
        }
        if cfg!(unix) {
            socket.set_reuse_address(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        Ok(socket.into())
    };
    match listen(ip) {
        Err(_) if ip == Ipv6Addr::UNSPECIFIED => listen(Ipv4Addr::UNSPECIFIED.into()),
        other => other,
    }
}

/// The worker takes no more commands now. The caller gets the command back by making it again: nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the media worker is busy")]
pub struct Busy;

/// Talks to one worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerHandle {
    index: WorkerIndex,
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
    shared: Shared,
    rooms: Arc<AtomicUsize>,
    health: Health,
}

impl WorkerHandle {
    /// The worker's index, as in [`Workers::handles`].
    pub fn index(&self) -> WorkerIndex {
        self.index
    }

    /// Puts a command into the worker's mailbox; never waits. Commands of one sender keep their order.
    pub fn send(&self, command: Command) -> Result<(), Busy> {
        let rooms = match command {
            Command::OpenRoom { .. } | Command::OpenPart { .. } => 1,
            Command::CloseRoom { .. } => -1,
            _ => 0,
        };
        self.commands.try_send(command).map_err(|_| Busy)?;
        // An eventfd's counter cannot overflow by this, and a worker that is gone needs no waking.
        let _ = self.waker.wake();
        match rooms {
            1 => drop(self.rooms.fetch_add(1, Ordering::Relaxed)),
            -1 => drop(self.rooms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |rooms| rooms.checked_sub(1))),
            _ => {}
        }
        Ok(())
    }

    /// Rooms that were opened by this handle or a clone of it, and not closed.
    pub fn rooms(&self) -> usize {
        self.rooms.load(Ordering::Relaxed)
    }

    /// How often the worker panicked and went on with an empty engine.
    pub fn restarts(&self) -> u64 {
        self.health.restarts()
    }

    /// False once the worker panicked too often: it has no rooms and takes none.
    pub fn is_in_service(&self) -> bool {
        self.health.is_in_service()
    }

    /// Whether the worker has not finished a turn for so long that it will not.
    fn is_stuck(&self) -> bool {
        self.shared.age() >= STUCK
    }

    /// The counters as of the worker's last turn, at most about a second old. Those of the core begin anew with its engine.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.read()
    }
}

/// What one worker starts with.
struct Start {
    index: WorkerIndex,
    udp: Udp,
    lanes: Lanes,
    mailbox: usize,
    tcp: TcpLimits,
}

/// The running workers.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<WorkerHandle>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stop: Arc<AtomicBool>,
    listener: Option<Arc<Waker>>,
    listener_counters: Arc<ListenerCounters>,
}

impl Workers {
    fn start_one<E: Engine>(
        &mut self,
        Start { index, udp, lanes, mailbox, tcp }: Start,
        engine: impl Fn(WorkerIndex) -> E + Send + 'static,
        events: mpsc::Sender<Event>,
    ) -> io::Result<Handover> {
        let (commands, command_receiver) = mpsc::channel(mailbox.max(1));
        let (connections, connection_receiver) = mpsc::channel(HANDOVER);
        let health = Health::default();
        let inbox = Inbox {
            index,
            commands: command_receiver,
            connections: connection_receiver,
            stop: Arc::clone(&self.stop),
            health: health.clone(),
        };
        let shared = Shared::new(Instant::now());
        let bell = lanes.bell();
        let (worker, waker) = Worker::new(udp, inbox, lanes, events, shared.clone(), tcp)?;
        bell.hang(Arc::clone(&waker));
        let run = move || worker.run(|| engine(index));
        self.add_thread(thread::Builder::new().name(format!("madang-{index}")).spawn(run)?);
        let rooms = Arc::default();
        let handle = WorkerHandle { index, commands, waker: Arc::clone(&waker), shared, rooms, health };
        self.handles.push(handle);
        Ok(Handover { connections, waker })
    }

    /// All workers, in the order of their indexes.
    pub fn handles(&self) -> &[WorkerHandle] {
        &self.handles
    }

    /// What the ICE-TCP listener counted.
    pub fn listener(&self) -> &ListenerCounters {
        &self.listener_counters
    }

    /// Where the next room, or the next part of one, goes: the least loaded worker, in steps of 10 %, and of those the one
    /// with the fewest rooms. One that sheds load comes after those, however much that has made room, and one that panicked a
    /// short time ago comes last. None of `except`, none that hangs, none that is out of service; `None`: there is no other.
    pub fn least_loaded(&self, except: &[WorkerIndex]) -> Option<WorkerIndex> {
        let now = Instant::now();
        let load = |handle: &&WorkerHandle| {
            let net = handle.snapshot().net;
            (handle.health.is_on_probation(now), net.shed_level, net.load_permille / 100, handle.rooms())
        };
        let is_well = |handle: &&WorkerHandle| handle.is_in_service() && !handle.is_stuck();
        let allowed = self.handles.iter().filter(|handle| !except.contains(&handle.index)).filter(is_well);
        allowed.min_by_key(load).map(WorkerHandle::index)
    }

    /// False once no worker is in service, a thread ended that should run, or one hangs: the process must be replaced. A panic
    /// that a worker survived is no reason. A thread that hangs is one, although other workers' rooms go on: it cannot be
    /// ended from within, holds its port and its rooms' members, and may take a whole processor.
    pub fn is_alive(&self) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        !threads.iter().any(JoinHandle::is_finished)
            && self.handles.iter().any(WorkerHandle::is_in_service)
            && !self.handles.iter().any(WorkerHandle::is_stuck)
    }

    /// Lets the workers take what is in their mailboxes, send what comes of it, and end; waits for them.
    pub fn shutdown(&self) {
        self.stop.store(true, Ordering::Release);
        for waker in self.handles.iter().map(|handle| &handle.waker).chain(&self.listener) {
            let _ = waker.wake();
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a media thread had panicked");
            }
        }
    }

    fn add_thread(&self, thread: JoinHandle<()>) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shutdown();
    }
}
