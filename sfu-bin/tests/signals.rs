//! Signals and what the process stands in, against the binary as its users run it.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
const FLAGS: [&str; 10] =
    ["serve", "--dev", "--bind", "127.0.0.1", "--http-port", "0", "--udp-port", "0", "--tcp-port", "0"];

/// Ends the server with the test, however that ends.
struct Server {
    child: Child,
    log: Arc<Mutex<String>>,
    http: u16,
    operator: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(more: &[&str]) -> Command {
    command_with_operator(0, more)
}

fn command_with_operator(port: u16, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_madang"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MADANG_") {
            command.env_remove(name);
        }
    }
    command
        .args(FLAGS)
        .args(["--workers", "1", "--operator", &format!("127.0.0.1:{port}")])
        .args(more)
        .stdout(Stdio::null());
    command
}

/// The number behind the last colon of the word after `label`.
fn port_after(text: &str, label: &str) -> Option<u16> {
    text.split_once(label)?.1.split_whitespace().next()?.rsplit(':').next()?.parse().ok()
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, written) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *written.lock().unwrap() += &format!("{line}\n");
            }
        });
        let mut server = Self { child, log, http: 0, operator: 0 };
        let line = server.logged("listening");
        let port = |label| port_after(&line, label).expect("a port in the log");
        (server.http, server.operator) = (port(" address="), port("operator="));
        server
    }

    /// Waits for a line.
    fn logged(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log.lock().unwrap().clone();
            if let Some(line) = log.lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "{part:?} is not in the log:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    fn ended(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still there after {within:?}:\n{}", self.log.lock().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_ready(&self) -> bool {
        get(self.operator, "/readyz").starts_with("HTTP/1.1 200")
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn get(port: u16, path: &str) -> String {
    let mut stream = connect(port);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// A WebSocket that is open and over which nobody joined yet.
fn websocket(port: u16) -> TcpStream {
    let answer = get(port, "/dev/token?room=demo&identity=ann");
    let token = answer.split_once("\"token\":\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    let mut stream = connect(port);
    write!(
        stream,
        "GET /v1/rtc?access_token={token} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let mut status = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut status).unwrap();
    assert!(status.contains("101"), "{status}");
    stream
}

#[test]
fn sighup_without_anything_to_read_again_is_a_line_in_the_log() {
    let server = Server::start(command(&[]));
    server.signal("HUP");
    server.logged("SIGHUP: there is nothing to read again");
    assert!(server.is_ready());
}

/// Red if a handler is in place only after the start: the signal would end the process without a word.
#[test]
fn sighup_ends_nothing_from_the_first_line_of_the_log_on() {
    let mut child = command(&[]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let pid = child.id().to_string();
    let heard = lines.by_ref().map_while(Result::ok).find(|line| line.contains("advertised"));
    assert!(heard.is_some() && Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let served = lines.by_ref().map_while(Result::ok).any(|line| line.contains("listening"));
    let _ = child.kill();
    let _ = child.wait();
    assert!(served, "it ended");
}

#[test]
fn sighup_reads_certificate_and_filter_again_and_names_what_must_wait() {
    let folder = std::env::temp_dir().join(format!("madang-sighup-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let certify = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    };
    let configure = |more: &str| {
        let text = format!("tls: {{cert: {}, key: {}}}\n{more}\n", path("cert.pem"), path("key.pem"));
        std::fs::write(path("madang.yaml"), text).unwrap();
    };
    certify();
    configure("");
    let server = Server::start(command(&["--config", &path("madang.yaml")]));
    server.signal("HUP");
    server.logged("reloaded=[\"tls\"]");
    configure("log: {filter: 'info,sfu_signal=debug'}\nrooms: {participants_per_worker: 7}");
    server.signal("HUP");
    let waiting = server.logged("take effect after a restart");
    assert!(waiting.contains("rooms.participants_per_worker") && !waiting.contains("log.filter"), "{waiting}");
    server.logged("reloaded=[\"tls\", \"log.filter\"]");
    configure("sessions: {ping_interval: 0s}");
    server.signal("HUP");
    assert!(server.logged("the old one stays").contains("sessions.ping_interval"));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(server.is_ready());
}

/// Connections in every state of a join: nothing sent, half a request, half a body, an open WebSocket, half a frame.
#[test]
fn sigterm_during_joins_is_clean() {
    let mut server = Server::start(command(&[]));
    let nothing = connect(server.http);
    let mut half_a_request = connect(server.http);
    half_a_request.write_all(b"GET /v1/rtc?access_token=x HTTP/1.1\r\nHost: local").unwrap();
    let mut half_a_body = connect(server.http);
    half_a_body
        .write_all(b"POST /whip/demo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: 999\r\n\r\nv=0")
        .unwrap();
    let mut open = websocket(server.http);
    let mut half_a_frame = websocket(server.http);
    half_a_frame.write_all(&[0x81, 0xfe, 0x10]).unwrap();
    server.signal("TERM");
    let status = server.ended(PATIENCE);
    assert!(status.success(), "{status}: {}", server.log.lock().unwrap());
    server.logged("signal=\"SIGTERM\"");
    assert!(!server.log.lock().unwrap().contains("panicked"));
    let mut rest = Vec::new();
    let _ = open.read_to_end(&mut rest);
    drop((nothing, half_a_request, half_a_body));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(command(&[]));
    // Keeps the shutdown waiting: its client answers to nothing.
    let _open = websocket(server.http);
    server.signal("STOP");
    server.signal("INT");
    server.signal("TERM");
    server.signal("CONT");
    server.ended(Duration::from_secs(3));
}

#[test]
fn nobody_waits_for_a_log_that_is_full_or_not_read() {
    // ENOSPC for every line.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let port = free_port();
    let mut child = command_with_operator(port, &["--log-filter", "trace"]).stderr(full).spawn().unwrap();
    let served = wait_ready(port);
    let _ = child.kill();
    let _ = child.wait();
    assert!(served, "it does not serve with its log on a full disk");

    // A pipe that is never read: it takes 64 KiB.
    let port = free_port();
    let mut child = command_with_operator(port, &["--log-filter", "trace"]).stderr(Stdio::piped()).spawn().unwrap();
    let served = wait_ready(port) && (0..300).all(|_| get(port, "/metrics").starts_with("HTTP/1.1 200"));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = child.try_wait().unwrap();
    let _ = child.kill();
    let _ = child.wait();
    assert!(served, "it does not serve while nobody reads its log");
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_ready(port: u16) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() && get(port, "/readyz").starts_with("HTTP/1.1 200") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    // `config schema` is larger than a pipe's buffer would have to be; its reader is gone at once.
    let mut child = Command::new(env!("CARGO_BIN_EXE_madang"))
        .args(["config", "schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A Service named `madang-http` or `madang-media` in the same namespace, the load generator's secret, a slip of the pen.
#[test]
fn a_foreign_environment_stops_nothing() {
    let mut foreign = command(&[]);
    foreign.envs([
        ("MADANG_HTTP_SERVICE_HOST", "10.96.0.7"),
        ("MADANG_HTTP_PORT", "tcp://10.96.0.7:80"),
        ("MADANG_MEDIA_PORT_30881_TCP", "tcp://10.96.0.8:30881"),
        ("MADANG_MEDIA_SERVICE_PORT_MEDIA_UDP_0", "30882"),
        ("MADANG_LOAD_SECRET", "do-not-show"),
        ("MADANG_PORTS_UDP", "1"),
    ]);
    foreign.env("MADANG_ODD", std::ffi::OsStr::new("caf\u{e9}")).arg0("madang");
    let server = Server::start(foreign);
    server.logged("MADANG_PORTS__UDP?");
    assert!(server.logged("MADANG_LOAD_SECRET").contains("ignored"));
    let log = server.log.lock().unwrap().clone();
    assert!(!log.contains("do-not-show") && !log.contains("SERVICE"), "{log}");
    assert!(server.is_ready());
}

#[test]
fn the_demo_can_be_switched_off() {
    let mut without = command(&[]);
    without.env("MADANG_HTTP__DEMO", "false");
    let server = Server::start(without);
    assert!(get(server.http, "/").starts_with("HTTP/1.1 404"));
    assert!(get(server.http, "/healthz").starts_with("HTTP/1.1 200"));
}
