//! The STUN fuzz target; `crate::fuzzing` says what targets are.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::fuzzing::{Input, start};
use crate::sdp::IceCredentials;

use super::ice::IceLite;
use super::stun::{self, Message, Writer};
use super::{Class, Path, Protocol, classify, stun_username, worker_of_ufrag};

/// A datagram as it came; then its attributes with the integrity and the fingerprint that a member can give them.
pub fn stun(data: &[u8]) {
    let credentials = |name: &str| IceCredentials { ufrag: format!("00{name}"), password: name.repeat(8) };
    let (ours, theirs) = (credentials("server"), credentials("client"));
    let key = stun::key(&ours.password);
    let signed = Writer::new(stun::Kind::Request, &[7; 12]).raw(data.get(20..).unwrap_or_default()).finish(&key);
    let mut now = start();
    let mut ice = IceLite::new(&ours, &theirs, 8, now);
    for (number, datagram) in [data, &signed].into_iter().enumerate() {
        read(datagram, &key);
        let local = (Ipv4Addr::LOCALHOST, 1).into();
        let remote = if number == 0 { (Ipv4Addr::LOCALHOST, 2).into() } else { (Ipv6Addr::LOCALHOST, 3).into() };
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            now += Duration::from_secs(u64::from(Input::new(data).byte()));
            let path = Path { protocol, local, remote };
            if let Some(checked) = ice.handle(now, path, datagram) {
                let response = Message::parse(&checked.response).expect("we read what we write");
                assert!(response.is_authentic(&key) && response.has_valid_fingerprint());
                assert!(!checked.accepted || response.error_code().is_none(), "what is refused changes nothing");
                assert!(!checked.accepted || response.mapped_address() == Some(remote));
                assert!(!checked.accepted || ice.is_valid(path));
            }
        }
    }
}

fn read(datagram: &[u8], key: &aws_lc_rs::hmac::Key) {
    if let Some(ufrag) = stun_username(datagram) {
        let _ = worker_of_ufrag(ufrag);
    }
    let Ok(message) = Message::parse(datagram) else { return };
    assert!(classify(datagram) == Class::Stun);
    let _ = (message.kind(), message.transaction(), message.unknown_required(), message.mapped_address());
    let _ = (message.error_code(), message.is_authentic(key), message.has_valid_fingerprint());
}
