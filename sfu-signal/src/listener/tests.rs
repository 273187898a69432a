//! A listener with real sockets and short times.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use axum::routing::get;

use super::*;

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

fn settings() -> Settings {
    let limits = Limits { connections: 16, per_address: 16, strangers: 8, strangers_per_address: 8 };
    let timeouts = Timeouts {
        header: Duration::from_millis(300),
        request: Duration::from_millis(600),
        idle: Duration::from_millis(900),
    };
    Settings { limits, timeouts, streams: 4, requests_per_second: 5, proxies: Proxies::default(), uses_spares: false }
}

/// `/` answers, `/token` is shown a token, `/whoami` tells the client's address, `/never` never answers.
fn start(settings: Settings) -> Listener {
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/token", get(|client: Client| async move { client.authenticated() }))
        .route(
            "/whoami",
            get(|client: Client| async move { client.address().map(|a| a.to_string()).unwrap_or_default() }),
        )
        .route("/never", get(std::future::pending::<()>));
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Listener::start(vec![socket], router, None, settings).unwrap()
}

fn connect(listener: &Listener) -> TcpStream {
    let stream = TcpStream::connect(listener.addresses()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A request on a connection that stays, and what came back.
fn ask(stream: &mut TcpStream, path: &str, more: &str) -> String {
    // A head that is too long may be refused before all of it was sent.
    let _ = stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n").as_bytes());
    let mut response = Vec::new();
    let mut byte = [0];
    while !response.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        response.push(byte[0]);
    }
    let head = String::from_utf8(response).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

/// How long it takes until the server ends a connection.
fn until_closed(stream: &mut TcpStream) -> Duration {
    let started = Instant::now();
    let mut rest = Vec::new();
    // A reset is an end as well.
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "it was closed at all");
    }
    started.elapsed()
}

fn count(rows: &[(&'static str, u64)], name: &str) -> u64 {
    rows.iter().find(|(row, _)| *row == name).unwrap().1
}

async fn eventually(what: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !what() {
        assert!(Instant::now() < deadline, "it never came so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_does_not_come_in_time_ends_the_connection() {
    let listener = start(settings());
    for (sent, kind) in [
        ("", "headers"),
        ("GET / HTTP/1.1\r\nHost: x\r\nX-Half: ", "headers"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "headers"),
        ("GET /never HTTP/1.1\r\nHost: x\r\n\r\n", "request"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "idle"),
    ] {
        let before = count(&listener.counters().overdue, kind);
        let mut stream = connect(&listener);
        stream.write_all(sent.as_bytes()).unwrap();
        let took = tokio::task::block_in_place(|| until_closed(&mut stream));
        assert!(took < Duration::from_secs(5), "{sent:?} lived for {took:?}");
        eventually(|| count(&listener.counters().overdue, kind) == before + 1).await;
    }
    let mut stream = connect(&listener);
    ask(&mut stream, "/", "");
    stream.write_all(b"GET / HT").unwrap();
    tokio::task::block_in_place(|| until_closed(&mut stream));
    eventually(|| count(&listener.counters().overdue, "headers") == 4).await;
    eventually(|| listener.counters().connections.iter().all(|(_, open)| *open == 0)).await;
    assert!(listener.gate.connections.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_has_no_more_time_than_one_that_does_not_come() {
    let listener = start(settings());
    let mut stream = connect(&listener);
    let ended = tokio::task::block_in_place(|| {
        let started = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        while started.elapsed() < PATIENCE && stream.write_all(b"X: y\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        started.elapsed()
    });
    assert!(ended < Duration::from_secs(5), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sockets_make_room_and_those_with_a_token_stay() {
    let mut settings = settings();
    settings.timeouts = Timeouts { header: PATIENCE, request: PATIENCE, idle: PATIENCE };
    let listener = start(settings);
    let mut member = connect(&listener);
    assert!(ask(&mut member, "/token", "").starts_with("HTTP/1.1 200"));
    let idle: Vec<_> = (0..40).map(|_| connect(&listener)).collect();
    for _ in 0..5 {
        assert!(ask(&mut connect(&listener), "/", "").ends_with("hello"));
    }
    assert!(ask(&mut member, "/", "").ends_with("hello"), "it was never in the way");
    let counters = listener.counters();
    assert!(counters.evicted >= 32, "{counters:?}");
    assert_eq!((count(&counters.connections, "guest"), counters.refused.map(|(_, n)| n)), (1, [0; 3]));
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_asks_too_often_is_told() {
    let listener = start(settings());
    let mut stream = connect(&listener);
    let answers: Vec<_> = (0..30).map(|_| ask(&mut stream, "/", "")).collect();
    let limited = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 429")).count();
    assert!(limited > 0 && answers[..10].iter().all(|answer| answer.ends_with("hello")), "{limited}");
    assert!(answers.last().unwrap().contains("rate_limited"), "{answers:?}");
    assert_eq!(listener.counters().rate_limited, limited as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_client_is_counted_for_itself() {
    let mut settings = settings();
    settings.limits.per_address = 2;
    settings.timeouts.request = PATIENCE;
    settings.proxies = Proxies(vec!["127.0.0.0/8".parse().unwrap()]);
    let listener = start(settings);
    let from = |address: &str| format!("X-Forwarded-For: 6.6.6.6, {address}\r\n");
    assert!(ask(&mut connect(&listener), "/whoami", &from("192.0.2.1")).ends_with("192.0.2.1"));
    let mut busy: Vec<_> = (0..2).map(|_| connect(&listener)).collect();
    for stream in &mut busy {
        write!(stream, "GET /never HTTP/1.1\r\nHost: x\r\n{}\r\n", from("192.0.2.1")).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while !ask(&mut connect(&listener), "/", &from("192.0.2.1")).contains("too_many_connections") {
        assert!(Instant::now() < deadline);
    }
    assert!(ask(&mut connect(&listener), "/", &from("192.0.2.2")).ends_with("hello"));
    drop(busy);
    eventually(|| ask(&mut connect(&listener), "/", &from("192.0.2.1")).ends_with("hello")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_behind_many_proxies_are_read_and_endless_ones_are_not() {
    let listener = start(settings());
    let lines = |count: usize, bytes: usize| format!("X-Proxy: {}\r\n", "p".repeat(bytes)).repeat(count);
    assert!(ask(&mut connect(&listener), "/", &lines(200, 20)).ends_with("hello"));
    for (count, bytes) in [(300, 20), (10, 8000)] {
        let answer = ask(&mut connect(&listener), "/", &lines(count, bytes));
        // The reset of a connection that still sends may overtake the answer.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{count} of {bytes}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_ends_with_what_is_under_way() {
    let mut settings = settings();
    settings.timeouts = Timeouts { header: PATIENCE, request: PATIENCE, idle: PATIENCE };
    let listener = start(settings);
    let mut idle = connect(&listener);
    ask(&mut idle, "/", "");
    let mut busy = connect(&listener);
    busy.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    listener.close(Duration::from_millis(200));
    tokio::task::block_in_place(|| {
        assert!(until_closed(&mut idle) < PATIENCE && until_closed(&mut busy) < PATIENCE);
    });
    eventually(|| TcpStream::connect(listener.addresses()[0]).is_err()).await;
}
