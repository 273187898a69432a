//! The configuration as a whole: the sample, errors, and that what passes the check starts.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use sfu_signal::Server;
use sfu_signal::config::{DEV_KEY, DEV_SECRET};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::load::{Loaded, merge};
use super::*;
use crate::media::Media;

fn told(value: Value) -> String {
    Loaded::from_value(value).unwrap_err().to_string()
}

#[test]
fn the_sample_file_is_right_and_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../madang.sample.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut sample = Loaded::from_value(serde_yaml_ng::from_str(&text).unwrap()).unwrap().config;
    assert!(!sample.keys.0.is_empty());
    sample.keys = Keys::default();
    assert_eq!(serde_json::to_value(&sample).unwrap(), serde_json::to_value(Config::default()).unwrap());
}

#[test]
fn the_defaults_have_no_fault() {
    let mut defaults = serde_json::to_value(Config::default()).unwrap();
    defaults["keys"] = json!({ "a": "0123456789abcdef0123456789abcdef" });
    let loaded = Loaded::from_value(defaults).unwrap();
    assert!(rules::warnings(&loaded.config).is_empty());
}

#[test]
fn errors_name_the_source_the_key_and_what_to_write() {
    for (value, expected) in [
        (json!({ "ports": { "htpp": 1 } }), ["file.yaml: ports.htpp", "no such key", "did you mean `http`?"]),
        (json!({ "ports": { "http": "x" } }), ["file.yaml: ports.http", "a text", "a whole number from 0 to 65535"]),
        (json!({ "rooms": { "empty_timeout": 5 } }), ["rooms.empty_timeout", "the number 5", "from 1s to 24h"]),
        (json!({ "media": { "codecs": ["vp7"] } }), ["file.yaml: media.codecs", "vp7", "one of vp8"]),
        (json!({ "keys": { "a": "short" } }), ["file.yaml: keys.a", "5 bytes", "32 to"]),
        (json!({ "ports": { "tcp": 7880 } }), ["ports.tcp", "ports.http", "different"]),
        (json!({ "operator": "localhost" }), ["operator", "socket address", "such as 127.0.0.1:7879"]),
        (json!({ "sessions": { "ping_interval": "0s" } }), ["ping_interval", "0s is too short", "1s to 5m"]),
    ] {
        let error = told(value);
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn secrets_are_in_no_output() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let server = json!({ "urls": ["turn:a"], "username": "u", "credential": SECRET });
    let config = Loaded::from_value(json!({ "keys": { "a": SECRET }, "ice_servers": [server] })).unwrap().config;
    assert!(!format!("{config:?}").contains(SECRET));
    for wrong in [
        json!({ "keys": SECRET }),
        json!({ "keys": [SECRET] }),
        json!({ "keys": { "a": [SECRET] } }),
        json!({ "ice_servers": SECRET }),
        json!({ "ice_servers": [SECRET] }),
        json!({ "ice_servers": [{ "urls": ["turn:a"], "credential": [SECRET] }] }),
        json!({ "ice_servers": [{ "urls": ["turn:a"], "credential": SECRET.repeat(99) }] }),
    ] {
        let error = told(wrong);
        assert!(!error.contains(SECRET), "{error}");
    }
}

/// Values within the ranges, often at their ends.
fn leaf(schema: &Value) -> BoxedStrategy<Value> {
    let ends = |min: i64, max: i64| select(vec![min, min + 1, max - 1, max]);
    if let (Some(min), Some(max)) = (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        return prop_oneof![min..=max, ends(min, max)].prop_map(Value::from).boxed();
    }
    if let (Some(min), Some(max)) = (schema["x-minimum"].as_str(), schema["x-maximum"].as_str()) {
        let millis = |text| sfu_signal::duration::parse(text).unwrap().as_millis() as i64;
        let (min, max) = (millis(min), millis(max));
        return prop_oneof![min..=max, ends(min, max)].prop_map(|millis| json!(format!("{millis}ms"))).boxed();
    }
    match schema["type"].as_str() {
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        _ => Just(Value::Null).boxed(),
    }
}

/// Some of the keys of one section, each with any value.
fn section(name: &'static str) -> BoxedStrategy<Value> {
    let schema = schema();
    let reference = schema["properties"][name]["$ref"].as_str().expect("a section has a type of its own");
    let section = &schema.pointer(&reference[1..]).expect("it is defined")["properties"];
    let keys: Vec<_> = section
        .as_object()
        .expect("it has keys")
        .iter()
        .map(|(key, schema)| {
            let key = key.clone();
            option::of(leaf(schema)).prop_map(move |value| (key.clone(), value.unwrap_or(Value::Null)))
        })
        .collect();
    keys.prop_map(move |keys| {
        let map: serde_json::Map<_, _> = keys.into_iter().collect();
        json!({ name: map })
    })
    .boxed()
}

/// Texts with a grammar, right and wrong.
fn texts() -> impl Strategy<Value = Value> {
    let origins = ["*", "null", "https://a.example", "https://a.example/", "http://b:80", "x", "", "https://[::1]:9"];
    let filters =
        ["info", "off", "", "info,sfu_signal=dbug", "sfu_core[span{field=1}]=trace", "=", "[", "a=b=c", "warn,"];
    let ips = ["203.0.113.7", "2001:db8::1", "0.0.0.0", "::", "255.255.255.255", "fe80::1", "x", "::ffff:1.2.3.4"];
    let urls = ["stun:a", "turn:b:1?transport=udp", "turn:b:0", "turn://b", "turns:[::1]:5349", "", "turn:"];
    let codecs = ["vp8", "vp9", "h264", "av1", "vp7"];
    (
        vec(select(origins.to_vec()), 0..3),
        select(filters.to_vec()),
        vec(select(ips.to_vec()), 0..3),
        vec(select(urls.to_vec()), 0..3),
        option::of(vec(select(codecs.to_vec()), 0..5)),
        any::<bool>(),
    )
        .prop_map(|(origins, filter, ips, urls, codecs, credentials)| {
            let credentials = if credentials { json!("some") } else { Value::Null };
            json!({
                "http": { "allowed_origins": origins },
                "log": { "filter": filter },
                "media": { "external_ips": ips, "codecs": codecs },
                "ice_servers": [{ "urls": urls, "username": credentials, "credential": credentials }],
            })
        })
}

fn one_of_the_parts() -> impl Strategy<Value = Value> {
    let parts = ["rooms", "sessions", "limits", "media", "http"].map(|name| option::weighted(0.4, section(name)));
    let parts = (parts.to_vec(), option::weighted(0.3, texts()));
    parts.prop_map(|(sections, texts)| {
        let mut whole = json!({});
        sections.into_iter().flatten().chain(texts).for_each(|part| merge(&mut whole, part));
        whole
    })
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Starts all parts on ports that are free, opens a WebSocket and has a message answered.
async fn start(mut config: Config) {
    config.keys.0.insert(DEV_KEY.to_owned(), DEV_SECRET.to_owned());
    (config.bind, config.ports) = (Ipv4Addr::LOCALHOST.into(), Ports { http: 0, tcp: 0, udp: 0 });
    config.media.workers = config.media.workers.clamp(1, 2);
    tracing_subscriber::EnvFilter::try_new(&config.log.filter).expect("the filter is one");
    let (media, events) = Media::start(&config, true).expect("media starts");
    let server = Server::new(config.signal(true, false), Arc::new(media.clone()));
    let running = tokio::spawn(Arc::clone(&server).run(events));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = crate::demo::mount(server.router(), &config.http);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move { axum::serve(listener, service).await });

    let answer = tokio::time::timeout(Duration::from_secs(10), ask(address)).await;
    let (head, frame) = answer.expect("an answer within 10 s");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(frame.contains("\"error\""), "{frame}");

    serving.abort();
    running.abort();
    tokio::task::spawn_blocking(move || media.0.shutdown()).await.expect("media ends");
}

/// A WebSocket's handshake, an empty message, and the error that comes back.
async fn ask(address: SocketAddr) -> (String, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let token = dev_token(&mut stream).await;
    let request = format!(
        "GET /v1/rtc?access_token={token} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await;
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'{', b'}']).await.unwrap();
    (head, read_until(&mut stream, "}").await)
}

async fn dev_token(stream: &mut tokio::net::TcpStream) -> String {
    let request = b"GET /dev/token?room=demo&identity=ann HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let answer = read_until(stream, "}").await;
    answer.split_once("\"token\":\"").and_then(|(_, rest)| rest.split_once('"')).expect("a token").0.to_owned()
}

async fn read_until(stream: &mut tokio::net::TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(end) {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or_default() == 0 {
            break;
        }
        read.push(byte[0]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Red if a value that the check lets through panics somewhere, as an interval of no time did, or keeps a WebSocket from
    /// being answered.
    #[test]
    fn what_passes_the_check_starts(value in one_of_the_parts()) {
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let told = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                PANICS.fetch_add(1, Ordering::Relaxed);
                told(panic);
            }));
        });
        if let Ok(loaded) = Loaded::from_value(value) {
            let before = PANICS.load(Ordering::Relaxed);
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(start(loaded.config));
            runtime.shutdown_timeout(Duration::from_secs(5));
            prop_assert_eq!(PANICS.load(Ordering::Relaxed), before);
        }
    }

    /// Any JSON at all is read or refused.
    #[test]
    fn no_value_makes_the_check_panic(key in select(vec!["bind", "ports", "tls", "keys", "media", "operator", "ice_servers", "x"]), text in ".{0,12}", number in any::<i64>(), inner in ".{0,6}") {
        for value in [json!(text), json!(number), json!(0.5), json!([text]), json!({ &*inner: text }), json!([{ &*inner: number }]), json!(true)] {
            let _ = Loaded::from_value(json!({ key: value }));
        }
    }
}
