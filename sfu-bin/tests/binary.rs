//! The binary as its users run it.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn madang(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_madang"));
    command.args(arguments).env_remove("MADANG_KEYS").env_remove("MADANG_CONFIG");
    command
}

/// Ends the server with the test, however that ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// The number behind the last colon of the first word that follows `label`.
fn port_after(line: &str, label: &str) -> Option<u16> {
    let word = line.split_once(label)?.1.split_whitespace().next()?;
    word.trim_end_matches(['/', '"', ',']).rsplit(':').next()?.parse().ok()
}

#[test]
fn dev_mode_serves_and_ends_at_sigterm() {
    let flags =
        ["serve", "--dev", "--http-port", "0", "--udp-port", "0", "--tcp-port", "0", "--operator", "127.0.0.1:0"];
    let child = madang(&flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut server = Server(child);
    let lines = BufReader::new(server.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let operator = lines.into_iter().find_map(|line| port_after(&line, "operator=")).expect("operator's port");
    let lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let http = lines.into_iter().find_map(|line| port_after(&line, "ready: ")).expect("a URL");

    assert!(get(http, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(http, "/").contains("<html"));
    assert!(get(http, "/dev/token?room=demo&identity=ann").contains("\"token\""));
    assert!(get(operator, "/livez").starts_with("HTTP/1.1 200"));
    assert!(get(operator, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(get(operator, "/metrics").contains("madang_worker_turns_total{worker=\"0\"}"));

    let started = Instant::now();
    let pid = server.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(server.0.wait().unwrap().success());
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_token_is_alone_on_stdout() {
    let output = madang(&["token", "--room", "demo", "--identity", "ann"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert_eq!(text.lines().count(), 1);
    assert_eq!(text.trim().split('.').count(), 3, "a JWT: {text}");
}

#[test]
fn a_server_without_keys_says_how_to_set_them() {
    let output = madang(&["serve"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("MADANG_KEYS"));
}

/// The lines that a server logs until it ends, and how it ends.
fn log_of(mut command: Command) -> (Vec<serde_json::Value>, Option<i32>) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (text.lines().map(line).collect(), output.status.code())
}

/// Red if a server that cannot start says so in another format than the log's.
#[test]
fn a_fatal_error_is_a_line_of_the_log() {
    for (flags, word) in [(&[][..], "MADANG_KEYS"), (&["--keys", "prod:short"][..], "keys.prod")] {
        let (lines, code) = log_of(madang(&[&["serve", "--log-format", "json"], flags].concat()));
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((&line["level"], code), (&"ERROR".into(), Some(1)));
        assert!(line["message"].as_str().unwrap().contains(word), "{line}");
    }
}

/// Red if a server goes on without its control plane, or does not say why it ends.
#[test]
#[cfg(debug_assertions)]
fn the_end_of_the_control_plane_ends_the_process_with_a_reason() {
    let ports = ["--http-port", "0", "--udp-port", "0", "--tcp-port", "0", "--operator", "127.0.0.1:0"];
    let flags = ["serve", "--dev", "--test-commands", "--log-format", "json", "--workers", "1"];
    let child = madang(&[&flags[..], &ports[..]].concat()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut server = Server(child.unwrap());
    let mut lines = BufReader::new(server.0.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
    let listening = lines.find(|line| line["message"] == "listening").unwrap();
    let operator = listening["operator"].as_str().unwrap();
    let mut stream = TcpStream::connect(operator).unwrap();
    write!(stream, "POST /test/panic/control HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").unwrap();
    let rest: Vec<_> = lines.collect();
    let said = |text: &str| {
        let is = |line: &&serde_json::Value| line["level"] == "ERROR" && line["message"].as_str() == Some(text);
        rest.iter().filter(is).count()
    };
    assert_eq!(said("panic: a test asked for it"), 1, "{rest:?}");
    assert_eq!(said("the control plane ended: it panicked"), 1, "{rest:?}");
    assert_eq!(server.0.wait().unwrap().code(), Some(1));
}

/// Red if tests could break a server that people use.
#[test]
fn nobody_breaks_a_server_that_was_not_started_for_it() {
    let flags =
        ["serve", "--dev", "--http-port", "0", "--udp-port", "0", "--tcp-port", "0", "--operator", "127.0.0.1:0"];
    let child = madang(&flags).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut server = Server(child);
    let lines = BufReader::new(server.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let operator = lines.into_iter().find_map(|line| port_after(&line, "operator=")).expect("operator's port");
    for part in ["0", "control"] {
        assert!(get(operator, &format!("/test/panic/{part}")).starts_with("HTTP/1.1 404"));
    }
}
