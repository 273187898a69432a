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
