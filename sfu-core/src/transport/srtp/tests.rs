//! RFC vectors, and both directions against each other.

use proptest::prelude::*;

use super::cipher::{Cipher, derive};
use super::*;

const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::AeadAes256Gcm, SrtpProfile::AeadAes128Gcm, SrtpProfile::Aes128CmHmacSha1_80];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn pair(profile: SrtpProfile) -> (Seal, Open) {
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    let (seal, _) = sessions(profile, Role::Client, &material).unwrap();
    let (_, open) = sessions(profile, Role::Server, &material).unwrap();
    (seal, open)
}

fn packet(seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0x60, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4];
    packet[2..4].copy_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn sealed(seal: &Seal, seq: SeqNo, payload: &[u8]) -> Vec<u8> {
    let mut packet = packet(seq.wire(), payload);
    let len = packet.len();
    packet.resize(len + MAX_OVERHEAD, 0);
    let len = seal.rtp(&mut packet, len, 12, seq, 0x01020304);
    packet.truncate(len);
    packet
}

#[test]
fn rfc3711_b3_key_derivation() {
    let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
    let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
    let (mut cipher_key, mut auth_key, mut cipher_salt) = ([0; 16], [0; 94], [0; 14]);
    derive(&key, &salt, 0, &mut cipher_key).unwrap();
    derive(&key, &salt, 1, &mut auth_key).unwrap();
    derive(&key, &salt, 2, &mut cipher_salt).unwrap();
    assert_eq!(cipher_key[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(cipher_salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(auth_key[..32], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE"));
}

#[test]
fn rfc3711_b2_counter_mode_keystream() {
    let key = hex("2B7E151628AED2A6ABF7158809CF4F3C");
    let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD");
    let cipher = Cipher::new(SrtpProfile::Aes128CmHmacSha1_80, &key, &salt, &[0; 20]).unwrap();
    let mut packet = vec![0; 12 + 32 + 10];
    cipher.seal_rtp(&mut packet, 12 + 32, 12, 0, 0);
    assert_eq!(packet[12..44], hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB"));
}

/// The vector of libsrtp's validation of the default profile, which shows the whole chain at once.
#[test]
fn counter_mode_and_sha1_whole_packet() {
    let master_key = hex("e1f97a0d3e018be0d64fa32c06de4139");
    let master_salt = hex("0ec675ad498afeebb6960b3aabe6");
    let material = [&master_key[..], &master_key, &master_salt, &master_salt].concat();
    let (seal, mut open) = sessions(SrtpProfile::Aes128CmHmacSha1_80, Role::Server, &material).unwrap();
    let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
    let mut buf = plain.clone();
    buf.resize(plain.len() + 10, 0);
    assert_eq!(seal.rtp(&mut buf, plain.len(), 12, SeqNo::first(0x1234), 0xcafebabe), 38);
    assert_eq!(buf, hex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb"));
    assert_eq!(open.rtp(&mut buf), Ok(plain.len()));
    assert_eq!(buf[..plain.len()], plain);
}

#[test]
fn rfc7714_section_16_srtp() {
    let salt = hex("517569642070726f2071756f");
    let plain = hex("8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e6973206469766973\
                     6120696e207061727465732074726573");
    let cases = [
        (
            SrtpProfile::AeadAes128Gcm,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
                                      899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            SrtpProfile::AeadAes256Gcm,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b\
                                      7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ];
    for (profile, expected) in cases {
        let key: Vec<u8> = (0..profile.key_len() as u8).collect();
        let cipher = Cipher::new(profile, &key, &salt, &[]).unwrap();
        let mut buf = plain.clone();
        buf.resize(plain.len() + 16, 0);
        cipher.seal_rtp(&mut buf, plain.len(), 12, 0xf17b, 0x5501a0b2);
        assert_eq!(buf[12..], hex(expected));
        assert_eq!(cipher.open_rtp(&mut buf, 12, 0xf17b, 0x5501a0b2), Ok(plain.len()));
        assert_eq!(buf[..plain.len()], plain);
    }
}

#[test]
fn rfc7714_section_17_srtcp() {
    let plain = hex("81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61\
                     deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    let expected = hex("81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda\
                        4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4");
    let key: Vec<u8> = (0..16).collect();
    let cipher = Cipher::new(SrtpProfile::AeadAes128Gcm, &key, &hex("517569642070726f2071756f"), &[]).unwrap();
    let mut buf = plain.clone();
    buf.resize(plain.len() + MAX_OVERHEAD, 0);
    assert_eq!(cipher.seal_rtcp(&mut buf, plain.len(), 0x5d4, 0x4d617273), expected.len());
    assert_eq!(buf, expected);
    let trailer = cipher.trailer_offset(buf.len()).unwrap();
    assert_eq!(cipher.open_rtcp(&mut buf, trailer, 0x4d617273), Ok(plain.len()));
    assert_eq!(buf[..plain.len()], plain);
}

#[test]
fn replays_and_forgeries_are_refused_and_change_nothing() {
    for profile in PROFILES {
        let (seal, mut open) = pair(profile);
        let wire = sealed(&seal, SeqNo::first(7), b"payload");
        let mut forged = wire.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(open.rtp(&mut forged), Err(SrtpError::Authentication));
        assert_eq!(open.rtp(&mut wire.clone()), Ok(12 + 7));
        assert_eq!(open.rtp(&mut wire.clone()), Err(SrtpError::Replayed));
        let mut other_header = sealed(&seal, SeqNo::first(8), b"payload");
        other_header[5] ^= 1;
        assert_eq!(open.rtp(&mut other_header), Err(SrtpError::Authentication));
    }
}

#[test]
fn the_roll_over_counter_is_followed_over_two_wraps_with_reordering() {
    for profile in PROFILES {
        let (seal, mut open) = pair(profile);
        let first = SeqNo::first(0x7ff0).0;
        for step in (0..0x2_0040u64).step_by(61) {
            for seq in [first + step + 30, first + step] {
                let mut wire = sealed(&seal, SeqNo(seq), &seq.to_be_bytes());
                assert_eq!(open.rtp(&mut wire), Ok(20), "{profile:?} {seq}");
                assert_eq!(wire[12..20], seq.to_be_bytes());
            }
        }
    }
}

#[test]
fn srtcp_round_trip_replay_and_missing_encryption() {
    for profile in PROFILES {
        let (mut seal, mut open) = pair(profile);
        for _ in 0..3 {
            let mut buf = hex("80c90001 01020304 aabbccdd 00000000");
            let len = buf.len();
            buf.resize(len + MAX_OVERHEAD, 0);
            let sealed = seal.rtcp(&mut buf, len).unwrap();
            buf.truncate(sealed);
            let wire = buf.clone();
            assert_eq!(open.rtcp(&mut buf), Ok(len));
            assert_eq!(buf[8..12], hex("aabbccdd"));
            assert_eq!(open.rtcp(&mut wire.clone()), Err(SrtpError::Replayed));
            let mut clear = wire;
            let word = open.rtcp.trailer_offset(clear.len()).unwrap();
            clear[word] &= 0x7f;
            assert_eq!(open.rtcp(&mut clear), Err(SrtpError::Malformed));
        }
    }
}

proptest! {
    #[test]
    fn any_packet_survives(payload: Vec<u8>, seq in 0x1_0000u64..1 << 47, which in 0usize..3) {
        let (seal, mut open) = pair(PROFILES[which]);
        // The receiver follows only what it saw from the first cycle on; start it near.
        open.rtp_seen.record(0x01020304, seq - 0x1_0000);
        let mut wire = sealed(&seal, SeqNo(seq + 1), &payload);
        let plain = packet(SeqNo(seq + 1).wire(), &payload);
        prop_assert_eq!(open.rtp(&mut wire), Ok(plain.len()));
        prop_assert_eq!(&wire[..plain.len()], &plain[..]);
    }

    #[test]
    fn random_bytes_are_refused(mut bytes: Vec<u8>, which in 0usize..3) {
        let (mut seal, mut open) = pair(PROFILES[which]);
        prop_assert!(open.rtp(&mut bytes.clone()).is_err());
        prop_assert!(open.rtcp(&mut bytes.clone()).is_err());
        let len = bytes.len();
        bytes.resize(len + MAX_OVERHEAD, 0);
        let _ = seal.rtcp(&mut bytes, len);
    }
}
