//! The vectors of RFC 5769, and what is written against what is read.

use proptest::prelude::*;

use super::*;

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn rfc5769_2_1_request() {
    let mut bytes = hex("00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c 69656e74 \
                         00240004 6e0001ff 80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 59202020 \
                         00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 80280004 e57a3bcf");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.kind(), Kind::Request);
    assert_eq!(message.username(), Some("evtj:h6vY"));
    assert!(message.has_priority() && message.is_controlled() && !message.is_controlling());
    assert!(message.is_authentic(&key(PASSWORD)) && message.has_valid_fingerprint());
    assert!(!message.is_authentic(&key("VOkJxbRl1RmTxUk/WvJxBx")));
    bytes[60] ^= 1;
    let forged = Message::parse(&bytes).unwrap();
    assert!(!forged.is_authentic(&key(PASSWORD)) && !forged.has_valid_fingerprint());
}

#[test]
fn rfc5769_2_2_ipv4_response() {
    let bytes = hex("0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220 \
                     00200008 0001a147 e112a643 00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7 \
                     80280004 c07d4c96");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.kind(), Kind::Success);
    assert_eq!(message.mapped_address(), Some("192.0.2.1:32853".parse().unwrap()));
    assert!(message.is_authentic(&key(PASSWORD)) && message.has_valid_fingerprint());
}

#[test]
fn rfc5769_2_3_ipv6_response() {
    let bytes = hex("01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220 \
                     00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9 00080014 a382954e 4be67bf1 \
                     1784c97c 8292c275 bfe3ed41 80280004 c8fb0b4c");
    let message = Message::parse(&bytes).unwrap();
    let mapped = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
    assert_eq!(message.mapped_address(), Some(mapped));
    assert!(message.is_authentic(&key(PASSWORD)) && message.has_valid_fingerprint());
}

#[test]
fn attributes_after_the_integrity_are_not_believed() {
    let key = key("secret");
    let mut bytes = Writer::new(Kind::Request, &[1; 12]).check("a:b", true, false).finish(&key).to_vec();
    let fingerprint = bytes.split_off(bytes.len() - 8);
    bytes.extend([0, 0x25, 0, 0]);
    bytes.extend(fingerprint);
    let length = (bytes.len() - HEADER) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    let message = Message::parse(&bytes).unwrap();
    assert!(message.is_authentic(&key));
    assert!(!message.use_candidate());
}

proptest! {
    #[test]
    fn what_is_written_is_read(ip: IpAddr, port: u16, transaction: [u8; 12], code in 300u16..700) {
        let (key, address) = (key("password"), SocketAddr::new(ip, port));
        let bytes = Writer::new(Kind::Success, &transaction).mapped_address(address).finish(&key);
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.mapped_address(), Some(address));
        prop_assert_eq!(message.transaction(), transaction);
        prop_assert!(message.is_authentic(&key) && message.has_valid_fingerprint());
        let bytes = Writer::new(Kind::Error, &transaction).error_code(code, "why").finish(&key);
        prop_assert_eq!(Message::parse(&bytes).unwrap().error_code(), Some(code));
    }

    /// Random attributes behind a right header reach every branch; none may panic.
    #[test]
    fn reading_is_total(mut body: Vec<u8>, noise: Vec<u8>) {
        let _ = Message::parse(&noise);
        body.resize(body.len().next_multiple_of(4), 0);
        let mut bytes = vec![0, 1];
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(MAGIC);
        bytes.extend([0; 12]);
        bytes.extend(body);
        if let Ok(message) = Message::parse(&bytes) {
            message.is_authentic(&key("x"));
            message.has_valid_fingerprint();
            message.mapped_address();
        }
    }

    #[test]
    fn attribute_kinds_are_total(kind in prop_oneof![Just(6u16), Just(8), Just(9), Just(0x20), Just(0x8028)], value: Vec<u8>) {
        let mut writer = Writer::new(Kind::Request, &[0; 12]);
        writer.attribute(kind, &value);
        if let Ok(message) = Message::parse(&writer.bytes) {
            message.is_authentic(&key("x"));
            message.has_valid_fingerprint();
            message.mapped_address();
        }
    }
}
