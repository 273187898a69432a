//! Workers with real loopback sockets around a small engine.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::worker::BACKLOG;
use super::*;
use crate::control::{Command, ConnectionState, Event, WorkerIndex};
use crate::id::{ParticipantId, RoomId};
use crate::transport::{Path, Protocol};
use crate::{Counters, Transmit};

/// What the engine saw, for the test to look at.
#[derive(Default)]
struct Seen {
    paths: Vec<Path>,
    datagrams: Vec<Vec<u8>>,
    closed: Vec<Path>,
    /// Paths of participants that are gone.
    left: Vec<Path>,
    commands: usize,
    levels: Vec<u16>,
    engines: usize,
    lost: Vec<WorkerIndex>,
}

/// Echoes. `?` is not authentic. `t` is answered by a train, `d` is echoed later, `!` by nothing; `z` takes time, `p` panics. Every
/// command makes `events` events.
struct Echo {
    seen: Arc<Mutex<Seen>>,
    out: Vec<(Path, Vec<u8>, usize)>,
    later: Option<(Instant, Path)>,
    events: VecDeque<Event>,
    events_per_command: usize,
    counters: Counters,
    behind: bool,
}

const SEGMENT: usize = 1200;
const TRAIN: usize = 10 * SEGMENT + 300;

impl Engine for Echo {
    fn handle_datagram(&mut self, now: Instant, path: Path, data: &mut [u8]) -> bool {
        let mut seen = self.seen.lock().unwrap();
        seen.paths.push(path);
        seen.datagrams.push(data.to_vec());
        match data.first() {
            Some(b't') => self.out.push((path, (0..TRAIN).map(|i| (i / SEGMENT) as u8).collect(), SEGMENT)),
            Some(b'd') => self.later = Some((now + Duration::from_millis(20), path)),
            Some(b'!') => {}
            Some(b'p') => {
                drop(seen);
                panic!("as the test wants it");
            }
            Some(b'z') if self.behind => self.counters.discarded += 1,
            Some(b'z') => {
                drop(seen);
                // Only what a worker computes is its load.
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(5) {}
            }
            Some(b'?') => return false,
            _ => self.out.push((path, data.to_vec(), data.len())),
        }
        true
    }

    fn owns_path(&self, path: Path) -> bool {
        !self.seen.lock().unwrap().left.contains(&path)
    }

    fn handle_command(&mut self, _: Instant, _: Command) {
        self.seen.lock().unwrap().commands += 1;
        let participant = ParticipantId::from_bytes([0; 12]);
        let event = || Event::Connection { participant, state: ConnectionState::Connected };
        self.events.extend((0..self.events_per_command).map(|_| event()));
    }

    fn handle_timeout(&mut self, now: Instant) {
        let (at, path) = self.later.take().expect("asked for");
        assert!(at <= now);
        self.out.push((path, b"later".to_vec(), 5));
    }

    fn handle_path_closed(&mut self, _: Instant, path: Path) {
        self.seen.lock().unwrap().closed.push(path);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.later.map(|(at, _)| at)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn transmits(&self) -> impl Iterator<Item = Transmit<'_>> {
        self.out.iter().map(|(path, data, segment)| Transmit { path: *path, data, segment: *segment })
    }

    fn expects_more(&self) -> bool {
        self.out.last().is_some_and(|(_, data, _)| data.first() == Some(&b'h'))
    }

    fn set_shed_level(&mut self, _: Instant, level: u16) {
        self.seen.lock().unwrap().levels.push(level);
    }

    fn set_behind(&mut self, behind: bool) {
        self.behind = behind;
    }

    fn clear_transmits(&mut self) {
        self.out.clear();
    }

    fn handle_rooms_lost(&mut self, _: Instant, by: WorkerIndex) {
        self.seen.lock().unwrap().lost.push(by);
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}

struct Server {
    workers: Workers,
    udp: Vec<u16>,
    tcp: u16,
    seen: Arc<Mutex<Seen>>,
    events: mpsc::Receiver<Event>,
}

fn server(config: NetConfig, events_per_command: usize) -> Server {
    let sockets = Sockets::bind(NetConfig { udp_port: 0, tcp_port: Some(0), ..config }).unwrap();
    let udp = sockets.udp_addresses().map(|address| address.port()).collect();
    let tcp = sockets.tcp_address().unwrap().port();
    let (sender, events) = mpsc::channel(1);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let log = Arc::clone(&seen);
    let engine = move |_: WorkerIndex| {
        log.lock().unwrap().engines += 1;
        Echo {
            seen: Arc::clone(&log),
            out: Vec::new(),
            later: None,
            events: VecDeque::new(),
            events_per_command,
            counters: Counters::default(),
            behind: false,
        }
    };
    let route: Route = |frame| {
        let frame = frame.strip_prefix(b"?").unwrap_or(frame);
        frame.strip_prefix(b"worker").and_then(|rest| Some(rest.first()? - b'0'))
    };
    let workers = sockets.start(engine, &sender, route).unwrap();
    Server { workers, udp, tcp, seen, events }
}

fn one_worker() -> NetConfig {
    NetConfig { workers: 1, ..NetConfig::default() }
}

fn modes() -> [NetConfig; 2] {
    [UdpMode::Fast, UdpMode::Portable].map(|udp_mode| NetConfig { udp_mode, ..one_worker() })
}

fn client(ip: impl Into<IpAddr>, port: u16) -> UdpSocket {
    let ip = ip.into();
    let any = if ip.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.connect((ip, port)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let len = socket.recv(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn both_implementations_echo_over_both_families() {
    for config in modes() {
        let server = server(config, 0);
        for ip in [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()] {
            if ip.is_ipv6() && UdpSocket::bind((ip, 0)).is_err() {
                continue;
            }
            let client = client(ip, server.udp[0]);
            client.send(b"hello").unwrap();
            assert_eq!(receive(&client), b"hello");
            let path = *server.seen.lock().unwrap().paths.last().unwrap();
            assert_eq!(path.remote, client.local_addr().unwrap(), "not a mapped address");
            assert_eq!(path.local.port(), server.udp[0]);
        }
    }
}

/// Red if answers leave from the address that the routing table likes best: a connected client does not see them.
#[test]
#[cfg(target_os = "linux")]
fn answers_leave_from_the_address_that_was_asked() {
    for bind in [IpAddr::V6(Ipv6Addr::UNSPECIFIED), Ipv4Addr::UNSPECIFIED.into()] {
        let server = server(NetConfig { bind, ..one_worker() }, 0);
        let client = client([127, 0, 0, 2], server.udp[0]);
        client.send(b"hello").unwrap();
        assert_eq!(receive(&client), b"hello");
        let path = server.seen.lock().unwrap().paths[0];
        assert_eq!(path.local, SocketAddr::from(([127, 0, 0, 2], server.udp[0])));
    }
}

/// Red if the worker waits for a rest that never comes.
#[test]
fn an_unfinished_frame_leaves_soon() {
    for config in modes() {
        let server = server(config, 0);
        let client = client([127, 0, 0, 1], server.udp[0]);
        for frame in [&b"half"[..], b"h", b"heap"] {
            client.send(frame).unwrap();
            assert_eq!(receive(&client), frame);
        }
    }
}

#[test]
fn a_train_arrives_as_its_datagrams() {
    for config in modes() {
        let server = server(config.clone(), 0);
        let client = client([127, 0, 0, 1], server.udp[0]);
        client.send(b"t").unwrap();
        for index in 0..10 {
            assert_eq!(receive(&client), [index; SEGMENT]);
        }
        assert_eq!(receive(&client), [10; 300]);
        let handle = &server.workers.handles()[0];
        wait_until("counted", || handle.snapshot().net.udp_out == 11);
        let fast = cfg!(target_os = "linux") && config.udp_mode == UdpMode::Fast;
        assert_eq!(handle.snapshot().net.udp_trains, u64::from(fast), "one message for all where there is GSO");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_gro_merged_is_split_again() {
    use nix::sys::socket::{setsockopt, sockopt};
    let server = server(one_worker(), 0);
    let client = client([127, 0, 0, 1], server.udp[0]);
    setsockopt(&client, sockopt::UdpGsoSegment, &500).unwrap();
    let sent: Vec<u8> = (0..1700).map(|i| b'A' + (i / 500) as u8).collect();
    client.send(&sent).unwrap();
    wait_until("all datagrams", || server.seen.lock().unwrap().datagrams.len() == 4);
    let seen = server.seen.lock().unwrap().datagrams.clone();
    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 500, 200]);
    assert_eq!(seen.concat(), sent);
    wait_until("counted", || server.workers.handles()[0].snapshot().net.udp_in == 4);
    assert_eq!(server.workers.handles()[0].snapshot().net.udp_reads, 1, "one message");
}

#[test]
fn a_timeout_comes_without_traffic() {
    let server = server(one_worker(), 0);
    let client = client([127, 0, 0, 1], server.udp[0]);
    let start = Instant::now();
    client.send(b"d").unwrap();
    assert_eq!(receive(&client), b"later");
    assert!(start.elapsed() < Duration::from_millis(900), "not by the heartbeat");
}

fn tcp_client(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u16).to_be_bytes(), frame].concat()
}

#[test]
fn a_tcp_connection_goes_to_its_worker_however_it_is_cut() {
    let server = server(NetConfig { workers: 2, ..NetConfig::default() }, 0);
    let mut stream = tcp_client(server.tcp);
    let sent = [framed(b"worker1"), framed(b"second"), framed(&[b'x'; 60_000])].concat();
    for part in [&sent[..1], &sent[1..5], &sent[5..14], &sent[14..]] {
        stream.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut echoed = vec![0; sent.len()];
    stream.read_exact(&mut echoed).unwrap();
    assert!(echoed == sent, "the same frames in the same order");
    let path = server.seen.lock().unwrap().paths[0];
    assert_eq!((path.protocol, path.remote), (Protocol::Tcp, stream.local_addr().unwrap()));
    let connections = |index: usize| server.workers.handles()[index].snapshot().net.tcp_connections;
    wait_until("on worker 1", || connections(1) == 1);
    drop(stream);
    wait_until("told of the end", || server.seen.lock().unwrap().closed == [path]);
    wait_until("removed", || connections(1) == 0);
}

#[test]
fn strangers_on_tcp_are_turned_away() {
    let server = server(one_worker(), 0);
    for first in [framed(b"GET / HTTP/1.1"), framed(b"worker7"), vec![0xff, 0xff, 1, 2, 3]] {
        let mut stream = tcp_client(server.tcp);
        stream.write_all(&first).unwrap();
        assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)), "closed");
    }
    assert!(server.seen.lock().unwrap().datagrams.is_empty());
}

#[test]
fn a_full_mailbox_is_busy_and_a_worker_that_catches_up_is_not() {
    let server = server(NetConfig { mailbox: 2, ..one_worker() }, 0);
    let handle = &server.workers.handles()[0];
    let command = || Command::OpenRoom { room: RoomId::from_bytes([0; 12]) };
    let guard = server.seen.lock().unwrap();
    let accepted = (0..10).take_while(|_| handle.send(command()).is_ok()).count();
    assert!((2..=3).contains(&accepted), "two wait, one may be in the engine's hands");
    assert_eq!(handle.send(command()), Err(Busy));
    drop(guard);
    wait_until("free again", || handle.send(command()).is_ok());
    wait_until("all taken", || server.seen.lock().unwrap().commands == accepted + 1);
    assert_eq!(handle.rooms(), accepted + 1);
}

/// Red if a control plane that does not read its events stalls media, loses events, or makes the worker hoard them.
#[test]
fn unread_events_hold_back_commands_and_not_media() {
    let per_command = BACKLOG / 2;
    let mut server = server(NetConfig { mailbox: 4, ..one_worker() }, per_command);
    let handle = server.workers.handles()[0].clone();
    let command = || Command::CloseRoom { room: RoomId::from_bytes([0; 12]) };
    let mut sent = 0;
    wait_until("busy for good", || {
        while handle.send(command()).is_ok() {
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
        handle.send(command()).inspect(|()| sent += 1).is_err()
    });
    let taken = server.seen.lock().unwrap().commands;
    assert!(taken * per_command < 3 * BACKLOG, "{taken} commands");
    let client = client([127, 0, 0, 1], server.udp[0]);
    client.send(b"hello").unwrap();
    assert_eq!(receive(&client), b"hello");
    let mut received = 0;
    while received < sent * per_command {
        let event = server.events.blocking_recv();
        received += usize::from(event.is_some());
    }
    assert!(server.events.try_recv().is_err(), "each event once");
}

#[test]
fn shutdown_takes_what_waits_and_ends() {
    let server = server(NetConfig { workers: 2, ..NetConfig::default() }, 0);
    for handle in server.workers.handles() {
        for _ in 0..100 {
            handle.send(Command::OpenRoom { room: RoomId::from_bytes([0; 12]) }).unwrap();
        }
    }
    assert!(server.workers.is_alive());
    server.workers.shutdown();
    assert_eq!(server.seen.lock().unwrap().commands, 200);
    server.workers.shutdown();
}

/// Red if a worker that cannot keep up goes on as before, or reads its queue in order to the end however late it is.
#[test]
fn a_worker_past_its_limit_says_so_and_keeps_its_queue_short() {
    for config in modes() {
        let server = server(config, 0);
        let client = client([127, 0, 0, 1], server.udp[0]);
        let handle = &server.workers.handles()[0];
        wait_until("past its limit", || {
            (0..10).for_each(|_| drop(client.send(b"z")));
            std::thread::sleep(Duration::from_millis(10));
            !server.seen.lock().unwrap().levels.is_empty() && handle.snapshot().core.discarded > 0
        });
        wait_until("counted", || handle.snapshot().net.shed_ns > 0);
        let net = handle.snapshot().net;
        assert_eq!(net.shed_level, u64::from(*server.seen.lock().unwrap().levels.last().unwrap()));
    }
}

#[test]
fn rooms_go_to_the_worker_with_the_fewest() {
    let server = server(NetConfig { workers: 2, ..NetConfig::default() }, 0);
    let picks: Vec<_> = (0..4)
        .map(|_| {
            let index = server.workers.least_loaded(&[]).unwrap();
            let room = Command::OpenRoom { room: RoomId::from_bytes([0; 12]) };
            server.workers.handles()[usize::from(index)].send(room).unwrap();
            index
        })
        .collect();
    assert_eq!(picks, [0, 1, 0, 1]);
    assert_eq!(server.workers.least_loaded(&[0]), Some(1));
    assert_eq!(server.workers.least_loaded(&[0, 1]), None);
}

/// Red if a panic takes the socket, another worker, or the process' health with it, or if nobody is told.
#[test]
fn a_worker_that_panics_goes_on_with_an_empty_engine() {
    for config in modes() {
        let mut server = server(NetConfig { workers: 2, ..config }, 0);
        let mut tcp = tcp_client(server.tcp);
        tcp.write_all(&framed(b"worker0")).unwrap();
        tcp.read_exact(&mut [0; 9]).unwrap();
        let [first, second] = [0, 1].map(|index| client([127, 0, 0, 1], server.udp[index]));
        first.send(b"p").unwrap();
        let event = server.events.blocking_recv();
        assert!(matches!(event, Some(Event::RoomsLost { worker: 0 })), "{event:?}");
        for client in [&first, &second] {
            client.send(b"hello").unwrap();
            assert_eq!(receive(client), b"hello");
        }
        wait_until("worker 1 is told", || server.seen.lock().unwrap().lost == [0]);
        assert!(matches!(tcp.read(&mut [0; 16]), Ok(0) | Err(_)), "connections end with the rooms");
        let handles = server.workers.handles();
        assert_eq!([0, 1].map(|index: usize| handles[index].restarts()), [1, 0]);
        assert!(server.workers.is_alive());
        assert_eq!(server.seen.lock().unwrap().engines, 3);
        for _ in 0..3 {
            handles[1].send(Command::OpenRoom { room: RoomId::from_bytes([0; 12]) }).unwrap();
        }
        assert_eq!(server.workers.least_loaded(&[]), Some(1), "the last choice, although it has no room");
        assert_eq!(server.workers.least_loaded(&[1]), Some(0), "but one");
    }
}

#[test]
fn a_worker_that_panics_again_and_again_is_out_of_service() {
    let mut server = server(NetConfig { workers: 2, ..NetConfig::default() }, 0);
    let clients = [0, 1].map(|index| client([127, 0, 0, 1], server.udp[index]));
    let mut retire = |index: usize| {
        for _ in 0..3 {
            clients[index].send(b"p").unwrap();
            let event = server.events.blocking_recv();
            assert!(matches!(event, Some(Event::RoomsLost { worker }) if usize::from(worker) == index), "{event:?}");
        }
    };
    retire(0);
    let handle = &server.workers.handles()[0];
    assert!(!handle.is_in_service() && handle.restarts() == 2);
    assert_eq!((server.workers.least_loaded(&[]), server.workers.least_loaded(&[1])), (Some(1), None));
    assert!(server.workers.is_alive(), "the rooms of the other go on");
    let mut sent = 0;
    wait_until("what is sent to it does not pile up", || {
        while sent < 3 * 1024 && handle.send(Command::CloseRoom { room: RoomId::from_bytes([0; 12]) }).is_ok() {
            sent += 1;
        }
        sent == 3 * 1024
    });
    clients[1].send(b"hello").unwrap();
    assert_eq!(receive(&clients[1]), b"hello");
    retire(1);
    assert!(!server.workers.is_alive(), "no worker is left");
    server.workers.shutdown();
}

#[test]
fn a_taken_port_is_named() {
    let taken = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let udp_port = taken.local_addr().unwrap().port();
    let bind = Ipv4Addr::UNSPECIFIED.into();
    let error = Sockets::bind(NetConfig { bind, udp_port, tcp_port: None, ..one_worker() }).unwrap_err();
    assert!(error.to_string().contains(&format!("UDP 0.0.0.0:{udp_port}")), "{error}");
}

/// The same client for whom strangers must make room, from the address that floods.
fn joins_by_tcp(server: &Server) -> Duration {
    let began = Instant::now();
    let mut stream = tcp_client(server.tcp);
    stream.write_all(&framed(b"worker0")).unwrap();
    let mut echoed = [0; 9];
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(echoed[2..], *b"worker0");
    began.elapsed()
}

/// Red if strangers wait in line ahead of a client, or if those that a worker refuses take anybody's place.
#[test]
fn five_hundred_strangers_keep_nobody_out() {
    let server = server(one_worker(), 0);
    let firsts: [&[u8]; 4] = [b"", &[0, 40], &[0, 8, b'?'], &[0, 9, b'w', b'o', b'r']];
    let idle: Vec<_> = (0..500)
        .map(|number| {
            let mut stream = tcp_client(server.tcp);
            stream.write_all(firsts[number % firsts.len()]).unwrap();
            stream
        })
        .collect();
    assert!(joins_by_tcp(&server) < Duration::from_secs(3));
    let counters = server.workers.listener();
    let limits = TcpLimits::default();
    let evicted = || counters.evicted.load(Ordering::Relaxed) as usize;
    wait_until("the oldest made room", || evicted() >= idle.len() - limits.strangers_per_address);
    // The newest are still there, the oldest are not.
    assert_eq!((&idle[0]).read(&mut [0; 1]).unwrap_or(0), 0);
    idle[499].set_nonblocking(true).unwrap();
    let still_there = (&idle[499]).read(&mut [0; 1]).unwrap_err();
    assert_eq!(still_there.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_first_frame_that_is_not_authentic_ends_its_connection() {
    let server = server(one_worker(), 0);
    for _ in 0..500 {
        let mut stream = tcp_client(server.tcp);
        stream.write_all(&framed(b"?worker0")).unwrap();
        assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)), "closed");
    }
    let handle = &server.workers.handles()[0];
    wait_until("refused", || handle.snapshot().net.tcp_refused == 500);
    assert_eq!(handle.snapshot().net.tcp_connections, 0);
    assert!(joins_by_tcp(&server) < Duration::from_secs(3));
}

/// Red if a connection outlives the participant whose path it is.
#[test]
fn a_connection_of_nobodys_ends() {
    let server = server(one_worker(), 0);
    let mut stream = tcp_client(server.tcp);
    stream.write_all(&framed(b"worker0")).unwrap();
    stream.read_exact(&mut [0; 9]).unwrap();
    let path = server.seen.lock().unwrap().paths[0];
    server.seen.lock().unwrap().left.push(path);
    assert!(matches!(stream.read(&mut [0; 1]), Ok(0)), "closed");
    let handle = &server.workers.handles()[0];
    wait_until("counted", || handle.snapshot().net.tcp_orphaned == 1);
    wait_until("the engine is told", || server.seen.lock().unwrap().closed == [path]);
}

/// Red if what a client does not read is kept without bound, or goes on waiting after it ended.
#[test]
fn what_waits_for_a_client_is_bounded() {
    let limits = TcpLimits { buffer_bytes: 64 << 10, ..TcpLimits::default() };
    let server = server(NetConfig { tcp: limits, ..one_worker() }, 0);
    let mut stream = tcp_client(server.tcp);
    stream.write_all(&framed(b"worker0")).unwrap();
    let frame = framed(&[b'x'; 60_000]);
    let handle = server.workers.handles()[0].clone();
    // The kernel's buffers fill first, then ours; then frames are dropped, and the worker goes on reading.
    wait_until("dropped", || {
        stream.write_all(&frame).unwrap();
        handle.snapshot().net.tcp_dropped > 0
    });
}
