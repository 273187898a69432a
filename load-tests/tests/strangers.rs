//! Strangers who only want to be in the way, all at once, against the real server with 1,024 open files at most: the probes
//! answer, people join, a call goes on, and memory stays.

#![cfg(unix)]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::future::join_all;
use load_tests::cli::{Cli, Command};
use load_tests::report::Report;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::Madang;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// All of the test, the start of the server included.
const WHOLE: Duration = Duration::from_secs(60);
/// A probe's answer.
const PROBE: Duration = Duration::from_secs(1);
/// A join, from the first request to the first keyframe, in milliseconds.
const JOIN_MS: &str = "3000";
/// What all strangers together may cost, in KiB.
const MEMORY: u64 = 64 << 10;

const IDLE: usize = 2_000;
const HALF: usize = 300;
const HTTP2: usize = 20;
const STREAMS: u32 = 100;
const ICE_TCP: usize = 500;

/// The server, and where it is reached.
struct Server {
    madang: Madang,
    operator: SocketAddr,
    ice_tcp: SocketAddr,
}

/// An address on loopback that nobody listens on now.
fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("loopback has free ports")
}

/// Connections that stay open.
struct Flood(#[expect(dead_code, reason = "held, not read")] Vec<TcpStream>);

impl Flood {
    /// `count` connections at once, each of which says `words` and then nothing.
    async fn of(address: SocketAddr, count: usize, words: impl Fn(usize) -> Vec<u8>) -> Self {
        let connections = (0..count).map(|number| {
            let words = words(number);
            async move {
                let mut stream = TcpStream::connect(address).await.ok()?;
                // The server may have closed it before all was said.
                let _ = stream.write_all(&words).await;
                Some(stream)
            }
        });
        Self(join_all(connections).await.into_iter().flatten().collect())
    }
}

/// Half of a request: a head without its end, or nearly all of a body without a token.
fn half_request(number: usize) -> Vec<u8> {
    if number.is_multiple_of(2) {
        return b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half: ".to_vec();
    }
    let head = "POST /whip/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 262144\r\n\r\n";
    [head.as_bytes(), &vec![b'a'; 262_143]].concat()
}

/// HTTP/2 without TLS (RFC 9113 section 3.3): the preface, and the heads of many requests whose bodies do not come.
fn http2(streams: u32) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes()[..], payload].concat()
    };
    let mut head = Vec::new();
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/whip/x"), (":authority", "x")];
    for (name, value) in fields {
        // A literal field without indexing (RFC 7541 section 6.2.2); both are shorter than 127 bytes.
        head.extend([0, name.len() as u8]);
        head.extend(name.as_bytes());
        head.push(value.len() as u8);
        head.extend(value.as_bytes());
    }
    let mut words = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    words.extend(frame(4, 0, 0, &[]));
    for stream in 0..streams {
        words.extend(frame(1, 4, 2 * stream + 1, &head));
        words.extend(frame(0, 0, 2 * stream + 1, &[b'a'; 500]));
    }
    words
}

/// A STUN request of nobody, framed as RFC 4571 says.
fn fake_ice_tcp(number: usize) -> Vec<u8> {
    let user = format!("00nobody{number:04}:x");
    let padded = user.len().next_multiple_of(4);
    let mut attribute = [&[0, 6, 0, user.len() as u8], user.as_bytes()].concat();
    attribute.resize(4 + padded, 0);
    let transaction = [(number % 251) as u8; 12];
    let head = [0, 1, 0, attribute.len() as u8, 0x21, 0x12, 0xA4, 0x42];
    let message = [&head[..], &transaction, &attribute].concat();
    [&[0, message.len() as u8], &message[..]].concat()
}

/// A GET on a connection of its own; the answer whole, and how long it took.
async fn get(address: SocketAddr, path: &str) -> (String, Duration) {
    let started = Instant::now();
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(10 * PROBE, answer).await.map_err(|_| std::io::ErrorKind::TimedOut.into());
    (answer.flatten().unwrap_or_else(|error| error.to_string()), started.elapsed())
}

/// A metric without labels, or with exactly these.
async fn metric(server: &Server, name: &str) -> u64 {
    let (text, _) = get(server.operator, "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

async fn until(server: &Server, name: &str, wanted: impl Fn(u64) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let now = metric(server, name).await;
        if wanted(now) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} is still {now}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn call(server: &Server, flags: &[&str]) -> Report {
    let fixed = ["madang-load", "run", "--quiet", "--url", &server.madang.url, "--video-bitrate", "300k"];
    let Command::Run(args) = Cli::parse_from([&fixed[..], flags].concat()).command else { panic!("it is a run") };
    load_tests::run::run(&args).await.unwrap()
}

/// Resident memory, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

async fn assert_probes_answer(server: &Server, public: SocketAddr) {
    for (address, path) in [(public, "/healthz"), (server.operator, "/livez"), (server.operator, "/readyz")] {
        let (answer, took) = get(address, path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && took < PROBE, "{path} after {took:?}: {answer}");
    }
}

async fn flooded(server: &Server) {
    let public: SocketAddr = server.madang.url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let running = call(server, &["--room", "before", "--publishers", "1", "--viewers", "2", "--duration", "8s"]);
    let strangers = async {
        until(server, "madang_participants", |count| count == 3).await;
        let before = resident(server.madang.pid());
        let began = Instant::now();
        let flood = tokio::join!(
            Flood::of(public, IDLE, |_| Vec::new()),
            Flood::of(public, HALF, half_request),
            Flood::of(public, HTTP2, |_| http2(STREAMS)),
            Flood::of(server.ice_tcp, ICE_TCP, fake_ice_tcp),
        );
        assert_probes_answer(server, public).await;
        let newcomers = ["--room", "during", "--publishers", "1", "--viewers", "1", "--duration", "1s"];
        let report = call(server, &[&newcomers[..], &["--max-join", JOIN_MS]].concat()).await;
        assert_eq!((report.measured.joins.failed, report.measured.starved), (0, 0), "{}", report.table());
        assert!(report.verdict.broken.is_empty(), "{}", report.table());
        assert_probes_answer(server, public).await;
        let after = resident(server.madang.pid());
        assert!(after.saturating_sub(before) <= MEMORY, "{before} KiB, then {after}");
        assert!(metric(server, "madang_http_evicted_total").await > 1_000, "the strangers did come");
        eprintln!("{} KiB more, after {:?}", after.saturating_sub(before), began.elapsed());
        drop(flood);
        until(server, "madang_http_connections{state=\"stranger\"}", |count| count < 10).await;
    };
    let (report, ()) = tokio::join!(running, strangers);
    assert_eq!((report.measured.starved, report.measured.joins.failed), (0, 0), "{}", report.table());
    // This machine carries the strangers, the server and the call: on a busy one a packet may be late, none is missing for long.
    assert!(report.measured.loss_percent < 1.0, "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_in_nobodys_way() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    assert!(hard > 4_000, "this test needs as many open files; the hard limit is {hard}");
    let (operator, ice_tcp) = (free_address(), free_address());
    let madang = Madang::with_open_files(1_024, &operator.to_string(), &ice_tcp.port().to_string());
    let server = Server { madang, operator, ice_tcp };
    tokio::time::timeout(WHOLE, flooded(&server)).await.expect("all of it in time");
}
