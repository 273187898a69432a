//! Configurations that cannot work. `madang config check` refuses each, by the key, the reason and the remedy, and so does
//! the start; none panics or hangs.

#![cfg(unix)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The file, and what is told of it: the key, the reason, the remedy.
type Case = (&'static str, [&'static str; 3]);

const KEYS: &str = "keys: {prod: a-secret-of-at-least-32-bytes-0123456789}\n";

/// Wrong everywhere.
const REFUSED: &[Case] = &[
    // Times
    ("sessions: {ping_interval: 0s}", ["sessions.ping_interval", "0s is too short", "from 1s to 5m"]),
    ("sessions: {ping_interval: 1h}", ["sessions.ping_interval", "1h is too long", "from 1s to 5m"]),
    ("sessions: {join_timeout: 0s}", ["sessions.join_timeout", "too short", "from 1s"]),
    ("sessions: {resume_grace: 24h}", ["sessions.resume_grace", "too long", "to 10m"]),
    ("rooms: {empty_timeout: 0ms}", ["rooms.empty_timeout", "too short", "from 1s"]),
    ("rooms: {empty_timeout: 300}", ["rooms.empty_timeout", "the number 300", "with its unit"]),
    ("rooms: {empty_timeout: 5d}", ["rooms.empty_timeout", "no duration", "ms, s, m or h"]),
    ("rooms: {empty_timeout: 18446744073709551615h}", ["rooms.empty_timeout", "no duration", "24h"]),
    ("media: {consent_timeout: 0s}", ["media.consent_timeout", "too short", "from 5s"]),
    ("media: {handshake_timeout: 0s}", ["media.handshake_timeout", "too short", "from 5s"]),
    ("media: {interruption_timeout: 1ms}", ["media.interruption_timeout", "too short", "from 5s"]),
    ("media: {retransmission_window: 10m}", ["media.retransmission_window", "too long", "to 10s"]),
    ("shutdown_timeout: 0s", ["shutdown_timeout", "too short", "from 2s"]),
    // Numbers
    ("limits: {participants_per_room: 0}", ["limits.participants_per_room", "0 is too few", "from 1"]),
    ("limits: {messages_per_second: 0}", ["limits.messages_per_second", "too few", "from 1"]),
    ("limits: {tracks_per_participant: 0}", ["limits.tracks_per_participant", "too few", "from 1"]),
    ("limits: {media_per_offer: 100000}", ["limits.media_per_offer", "too many", "to 256"]),
    ("limits: {message_bytes: 1}", ["limits.message_bytes", "too few", "from 16384"]),
    ("limits: {sdp_bytes: 0}", ["limits.sdp_bytes", "too few", "from 4096"]),
    ("limits: {data_message_bytes: 1000000}", ["limits.data_message_bytes", "too many", "to 65536"]),
    ("limits: {http_body_bytes: -1}", ["limits.http_body_bytes", "too few", "from 4096"]),
    ("limits: {metadata_bytes: 1.5}", ["limits.metadata_bytes", "the number 1.5", "a whole number"]),
    ("sessions: {queue_messages: 0}", ["sessions.queue_messages", "too few", "from 16"]),
    ("sessions: {replay_events: 18446744073709551615}", ["sessions.replay_events", "", "to 65536"]),
    ("rooms: {participants_per_worker: 0}", ["rooms.participants_per_worker", "too few", "from 1"]),
    ("media: {workers: 100000}", ["media.workers", "too many", "to 256"]),
    ("media: {receive_buffer: 0}", ["media.receive_buffer", "too few", "from 65536"]),
    ("media: {send_buffer: 99999999999}", ["media.send_buffer", "too many", "to 1073741824"]),
    ("media: {loudest_speakers: -1}", ["media.loudest_speakers", "too few", "from 0"]),
    // Ports and addresses
    ("ports: {http: 70000}", ["ports.http", "70000 is too many", "to 65535"]),
    ("ports: {http: 7881}", ["ports.tcp", "listener of ports.http", "different ports"]),
    ("operator: 127.0.0.1:7880", ["operator", "listener of ports.http", "different ports"]),
    ("operator: '[::]:7881'", ["operator", "listener of ports.tcp", "different ports"]),
    ("operator: localhost:7879", ["operator", "socket address", "127.0.0.1:7879"]),
    ("ports: {udp: 65530}\nmedia: {workers: 16}", ["ports.udp", "65535 is the last", "at most 65520"]),
    ("bind: all", ["bind", "IP address", "0.0.0.0"]),
    ("bind: 224.0.0.1", ["bind", "multicast", "write ::"]),
    ("media: {external_ips: [0.0.0.0]}", ["media.external_ips", "0.0.0.0 stands for all", "that clients reach"]),
    ("media: {external_ips: ['::']}", ["media.external_ips", ":: stands for all", "that clients reach"]),
    ("media: {external_ips: [255.255.255.255]}", ["media.external_ips", "broadcast", "that clients reach"]),
    ("media: {external_ips: ['fe80::1']}", ["media.external_ips", "link-local", "that clients reach"]),
    ("media: {external_ips: [sfu.example.com]}", ["media.external_ips", "no IP address", "203.0.113.7"]),
    ("media: {external_ips: 203.0.113.7}", ["media.external_ips", "a text", "a list"]),
    ("media: {external_ips: [203.0.113.7, 203.0.113.7]}", ["media.external_ips", "twice", "each once"]),
    ("media: {interfaces: ['']}", ["media.interfaces", "0 bytes", "1 to 15"]),
    // Lists and texts
    ("media: {codecs: []}", ["media.codecs", "too few", "vp8, vp9, h264, av1"]),
    ("media: {codecs: [vp8, h265]}", ["media.codecs", "h265", "one of vp8"]),
    ("media: {codecs: [vp8, vp8]}", ["media.codecs", "twice", "each once"]),
    ("log: {filter: 'info,sfu_signal=dbug'}", ["log.filter", "dbug", "error, warn, info"]),
    ("log: {filter: ''}", ["log.filter", "0 bytes", "1 to"]),
    ("log: {format: xml}", ["log.format", "xml", "text, json"]),
    ("http: {allowed_origins: []}", ["http.allowed_origins", "too few", "at least 1"]),
    ("http: {allowed_origins: [meet.example.com]}", ["http.allowed_origins", "no scheme", "https://meet.example.com"]),
    (
        "http: {allowed_origins: ['https://meet.example.com/']}",
        ["http.allowed_origins", "no slash at its end", "write *"],
    ),
    ("http: {allowed_origins: ['https://*.example.com']}", ["http.allowed_origins", "list each origin", "write *"]),
    ("ice_servers: [{urls: [stun.example.com]}]", ["ice_servers", "stun.example.com", "stun:HOST:PORT"]),
    (
        "ice_servers: [{urls: ['turn://a:3478'], username: u, credential: c}]",
        ["ice_servers", "no slashes", "turn:HOST"],
    ),
    ("ice_servers: [{urls: ['turn:a:3478']}]", ["ice_servers", "without username", "set username and credential"]),
    ("ice_servers: [{urls: []}]", ["ice_servers.urls", "too few", "at least 1"]),
    ("ice_servers: [{url: 'stun:a'}]", ["ice_servers.url", "no such key", "did you mean `urls`?"]),
    // Keys, files, structure
    ("keys: {dev: short}", ["keys.dev", "5 bytes", "32 to"]),
    ("keys: {dev: 12345678901234567890123456789012345}", ["keys.dev", "number", "in quotes"]),
    ("keys: a-secret-of-at-least-32-bytes-0123456789", ["keys", "a text", "ID: SECRET"]),
    ("keys: {'': a-secret-of-at-least-32-bytes-0123456789}", ["keys", "an id is empty", "give each secret an id"]),
    ("tls: {cert: /etc/madang/cert.pem}", ["tls", "only one of the two", "both tls.cert and tls.key"]),
    ("tls: {cert: '', key: ''}", ["tls.cert", "0 bytes", "write text"]),
    ("port: {http: 8080}", ["port", "no such key", "did you mean `ports`?"]),
    ("ports: 7880", ["ports", "the number 7880", "http, tcp, udp"]),
    ("- ports", ["", "no keys with values", "madang.sample.yaml"]),
    ("ports: {http: 1\n", ["", "", "madang.sample.yaml"]),
    ("log: {format: json}\nlog: {filter: info}", ["", "duplicate", "madang.sample.yaml"]),
];

/// Wrong where they are used: `--strict` refuses them.
const REFUSED_HERE: &[Case] = &[
    ("tls: {cert: /nowhere/cert.pem, key: /nowhere/key.pem}", ["tls", "/nowhere/cert.pem", "name a PEM file"]),
    ("tls: {cert: /dev/null, key: /dev/null}", ["tls", "/dev/null", "name a PEM file"]),
    ("media: {interfaces: [nonesuch0]}", ["media.interfaces", "no interface nonesuch0", "name one of"]),
    ("media: {external_ips: [10.0.0.5]}", ["media.external_ips", "only private", "that clients reach"]),
    ("media: {external_ips: [100.64.1.2, 'fd00::1']}", ["media.external_ips", "only private", "that clients reach"]),
    ("media: {external_ips: [127.0.0.1]}", ["media.external_ips", "this machine only", "that clients reach"]),
    ("media: {external_ips: ['2001:db8::1']}\nbind: 0.0.0.0", ["media.external_ips", "takes IPv4 only", "set bind"]),
    ("bind: 198.51.100.99", ["bind", "no address of this machine", "or :: for all"]),
    (
        "operator: 0.0.0.0:7889\nmedia: {workers: 16}",
        ["operator", "among the ports that clients need", "outside of them"],
    ),
    ("limits: {sdp_bytes: 1000000}", ["limits.sdp_bytes", "do not fit", "raise limits.message_bytes"]),
    ("http: {allowed_origins: ['*', 'https://a.example']}", ["http.allowed_origins", "* allows every", "leave out *"]),
    ("keys: {example: replace-this-by-a-secret-of-32-bytes-or-more}", ["keys.example", "public", "openssl rand"]),
    ("keys: {}", ["keys", "no API key", "MADANG_KEYS"]),
];

struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("madang-{}-{name}.yaml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The exit status and what stood on stderr. A program that does not end within 10 s is killed, and has no status.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_madang"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MADANG_") {
            command.env_remove(name);
        }
    }
    let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn with_keys(text: &str) -> String {
    let has_own = text.starts_with("keys") || text.starts_with('-');
    if has_own { text.to_owned() } else { format!("{KEYS}{text}\n") }
}

/// On one line, as an operator greps it.
fn assert_told(output: &(Option<i32>, String), text: &str, expected: [&str; 3]) {
    let (status, told) = output;
    assert_eq!(*status, Some(1), "{text}: {told}");
    assert!(!told.contains("panicked"), "{text}: {told}");
    let line = told.lines().find(|line| expected.iter().all(|part| line.contains(part)));
    assert!(line.is_some(), "{text}: {expected:?} in none of\n{told}");
}

#[test]
fn the_check_and_the_start_refuse_each_by_key_reason_and_remedy() {
    for (place, (text, expected)) in REFUSED.iter().enumerate() {
        let file = File::new(&format!("refused-{place}"), &with_keys(text));
        assert_told(&run(&["config", "check", file.path()]), text, *expected);
        assert_told(&run(&["serve", "--config", file.path()]), text, *expected);
    }
}

#[test]
fn the_strict_check_refuses_what_does_not_fit_this_machine() {
    for (place, (text, expected)) in REFUSED_HERE.iter().enumerate() {
        let file = File::new(&format!("here-{place}"), &with_keys(text));
        assert_told(&run(&["config", "check", "--strict", file.path()]), text, *expected);
        let lenient = run(&["config", "check", file.path()]);
        assert_eq!(lenient.0, Some(0), "without --strict it is at most a warning: {text}: {}", lenient.1);
    }
}

#[test]
fn faults_of_several_keys_are_told_together() {
    let file = File::new("several", &with_keys("ports: {htpp: 1}\nsessions: {ping_interval: 0s}\nmedia: {codecs: []}"));
    let (status, told) = run(&["config", "check", file.path()]);
    assert_eq!(status, Some(1));
    for key in ["ports.htpp", "sessions.ping_interval", "media.codecs"] {
        assert!(told.contains(key), "{told}");
    }
}

#[test]
fn a_certificate_with_the_key_of_another_is_refused() {
    let [one, other] = [(); 2].map(|()| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
    let cert = File::new("cert", &one.cert.pem());
    for (name, key, fits) in [("own", &one, true), ("other", &other, false)] {
        let key = File::new(name, &key.signing_key.serialize_pem());
        let text = format!("tls: {{cert: {}, key: {}}}", cert.path(), key.path());
        let file = File::new(&format!("tls-{name}"), &with_keys(&text));
        let (_, told) = run(&["config", "check", "--strict", file.path()]);
        assert_eq!(!told.contains("error: tls:"), fits, "{told}");
    }
}
