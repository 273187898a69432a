//! The transforms: AES-GCM (RFC 7714) and AES counter mode with HMAC-SHA1 (RFC 3711 section 4), and the derivation of
//! session keys from master keys (RFC 3711 section 4.3, RFC 7714 section 11; the key derivation rate is 0).

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac};

use super::{ENCRYPTED, RTCP_HEADER, RTCP_TRAILER, SrtpError, SrtpProfile};

const GCM_TAG: usize = 16;
const SHA1_TAG: usize = 10;
const SHA1_KEY: usize = 20;

/// What keys are derived for (RFC 3711 section 4.3.1); the SRTCP labels follow the SRTP ones by three.
#[derive(Clone, Copy)]
enum Label {
    Encryption = 0,
    Authentication = 1,
    Salt = 2,
}

const SRTCP_LABELS: u8 = 3;

/// The session keys of one direction.
pub(super) struct Direction {
    pub(super) rtp: Cipher,
    pub(super) rtcp: Cipher,
}

impl Direction {
    pub(super) fn derive(profile: SrtpProfile, master_key: &[u8], master_salt: &[u8]) -> Option<Self> {
        Some(Self {
            rtp: Cipher::derive(profile, master_key, master_salt, 0)?,
            rtcp: Cipher::derive(profile, master_key, master_salt, SRTCP_LABELS)?,
        })
    }
}

/// The session key and salt for SRTP or for SRTCP in one direction.
pub(super) enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    CounterSha1(Box<CounterSha1>),
}

/// Boxed, since its expanded keys are several times the size of the other variant.
pub(super) struct CounterSha1 {
    key: EncryptingKey,
    salt: [u8; 14],
    auth: hmac::Key,
}

impl Cipher {
    fn derive(profile: SrtpProfile, master_key: &[u8], master_salt: &[u8], first_label: u8) -> Option<Self> {
        let mut bytes = [0; 32];
        let key = &mut bytes[..profile.key_len()];
        let derive = |label: Label, out: &mut [u8]| derive(master_key, master_salt, first_label + label as u8, out);
        derive(Label::Encryption, key)?;
        let mut salt = [0; 14];
        derive(Label::Salt, &mut salt[..profile.salt_len()])?;
        let mut auth = [0; SHA1_KEY];
        derive(Label::Authentication, &mut auth)?;
        Self::new(profile, key, &salt[..profile.salt_len()], &auth)
    }

    /// From session keys; `auth` is not used by the AEAD profiles.
    pub(super) fn new(profile: SrtpProfile, key: &[u8], salt: &[u8], auth: &[u8]) -> Option<Self> {
        let algorithm = match profile {
            SrtpProfile::AeadAes256Gcm => &AES_256_GCM,
            SrtpProfile::AeadAes128Gcm => &AES_128_GCM,
            SrtpProfile::Aes128CmHmacSha1_80 => {
                let key = EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, key).ok()?).ok()?;
                let auth = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, auth);
                return Some(Self::CounterSha1(Box::new(CounterSha1 { key, salt: salt.try_into().ok()?, auth })));
            }
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
        Some(Self::Gcm { key, salt: salt.try_into().ok()? })
    }

    /// Seals `buf[..len]`; `index` is the 48-bit packet index.
    pub(super) fn seal_rtp(&self, buf: &mut [u8], len: usize, header_len: usize, index: u64, ssrc: u32) -> usize {
        match self {
            Self::Gcm { key, salt } => {
                let (header, rest) = buf.split_at_mut(header_len);
                let (payload, rest) = rest.split_at_mut(len - header_len);
                seal(key, rtp_nonce(salt, ssrc, index), header, payload, rest);
                len + GCM_TAG
            }
            Self::CounterSha1(cipher) => {
                cipher.crypt(&mut buf[header_len..len], ssrc, index);
                cipher.append_tag(buf, len, (index >> 16) as u32)
            }
        }
    }

    /// Opens a packet and returns the length of its plaintext.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        index: u64,
        ssrc: u32,
    ) -> Result<usize, SrtpError> {
        match self {
            Self::Gcm { key, salt } => {
                let len = packet.len().checked_sub(GCM_TAG).filter(|len| *len >= header_len);
                let len = len.ok_or(SrtpError::Malformed)?;
                let (header, sealed) = packet.split_at_mut(header_len);
                let nonce = rtp_nonce(salt, ssrc, index);
                key.open_in_place(nonce, Aad::from(header), sealed).map_err(|_| SrtpError::Authentication)?;
                Ok(len)
            }
            Self::CounterSha1(cipher) => {
                let len = packet.len().checked_sub(SHA1_TAG).filter(|len| *len >= header_len);
                let len = len.ok_or(SrtpError::Malformed)?;
                cipher.check_tag(packet, len, (index >> 16) as u32)?;
                cipher.crypt(&mut packet[header_len..len], ssrc, index);
                Ok(len)
            }
        }
    }

    /// Seals the RTCP packet `buf[..len]`.
    pub(super) fn seal_rtcp(&self, buf: &mut [u8], len: usize, index: u32, ssrc: u32) -> usize {
        let word = (index | ENCRYPTED).to_be_bytes();
        match self {
            Self::Gcm { key, salt } => {
                let (header, rest) = buf.split_at_mut(RTCP_HEADER);
                let (payload, rest) = rest.split_at_mut(len - RTCP_HEADER);
                seal(key, rtcp_nonce(salt, ssrc, index), &rtcp_aad(header, word), payload, rest);
                rest[GCM_TAG..GCM_TAG + RTCP_TRAILER].copy_from_slice(&word);
                len + GCM_TAG + RTCP_TRAILER
            }
            Self::CounterSha1(cipher) => {
                cipher.crypt(&mut buf[RTCP_HEADER..len], ssrc, u64::from(index));
                buf[len..len + RTCP_TRAILER].copy_from_slice(&word);
                let signed = len + RTCP_TRAILER;
                let tag = hmac::sign(&cipher.auth, &buf[..signed]);
                buf[signed..signed + SHA1_TAG].copy_from_slice(&tag.as_ref()[..SHA1_TAG]);
                signed + SHA1_TAG
            }
        }
    }

    /// Where the index stands in an SRTCP packet of this length, or `None` if it is too short for a header, an index
    /// and a tag.
    pub(super) fn trailer_offset(&self, packet_len: usize) -> Option<usize> {
        let (after_index, before_index) = match self {
            Self::Gcm { .. } => (RTCP_TRAILER, GCM_TAG),
            Self::CounterSha1(_) => (RTCP_TRAILER + SHA1_TAG, 0),
        };
        packet_len.checked_sub(after_index).filter(|offset| *offset >= RTCP_HEADER + before_index)
    }

    /// Opens an SRTCP packet whose index stands at `trailer`, from [`Self::trailer_offset`].
    pub(super) fn open_rtcp(&self, packet: &mut [u8], trailer: usize, ssrc: u32) -> Result<usize, SrtpError> {
        let word: [u8; RTCP_TRAILER] = *packet[trailer..].first_chunk().ok_or(SrtpError::Malformed)?;
        let index = u32::from_be_bytes(word) & !ENCRYPTED;
        match self {
            Self::Gcm { key, salt } => {
                let (header, sealed) = packet[..trailer].split_at_mut(RTCP_HEADER);
                let nonce = rtcp_nonce(salt, ssrc, index);
                let opened = key.open_in_place(nonce, Aad::from(rtcp_aad(header, word)), sealed);
                opened.map_err(|_| SrtpError::Authentication)?;
                Ok(trailer - GCM_TAG)
            }
            Self::CounterSha1(cipher) => {
                let (signed, tag) = packet.split_at(trailer + RTCP_TRAILER);
                cipher.verify(signed, tag)?;
                cipher.crypt(&mut packet[RTCP_HEADER..trailer], ssrc, u64::from(index));
                Ok(trailer)
            }
        }
    }
}

impl CounterSha1 {
    /// Encrypts or decrypts, which is the same in counter mode (RFC 3711 section 4.1.1).
    fn crypt(&self, data: &mut [u8], ssrc: u32, index: u64) {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        apply_keystream(&self.key, iv, data).expect("AES-CTR takes data of any length");
    }

    /// The authenticated portion of SRTP is the packet followed by the roll-over counter, which is not sent
    /// (RFC 3711 section 4.2). It is written where the tag goes and then overwritten.
    fn append_tag(&self, buf: &mut [u8], len: usize, roc: u32) -> usize {
        buf[len..len + 4].copy_from_slice(&roc.to_be_bytes());
        let tag = hmac::sign(&self.auth, &buf[..len + 4]);
        buf[len..len + SHA1_TAG].copy_from_slice(&tag.as_ref()[..SHA1_TAG]);
        len + SHA1_TAG
    }

    fn check_tag(&self, packet: &mut [u8], len: usize, roc: u32) -> Result<(), SrtpError> {
        let tag: [u8; SHA1_TAG] = *packet[len..].first_chunk().ok_or(SrtpError::Malformed)?;
        packet[len..len + 4].copy_from_slice(&roc.to_be_bytes());
        self.verify(&packet[..len + 4], &tag)
    }

    fn verify(&self, signed: &[u8], tag: &[u8]) -> Result<(), SrtpError> {
        let expected = hmac::sign(&self.auth, signed);
        constant_time::verify_slices_are_equal(&expected.as_ref()[..SHA1_TAG], tag)
            .map_err(|_| SrtpError::Authentication)
    }
}

fn seal(key: &LessSafeKey, nonce: Nonce, aad: &[u8], payload: &mut [u8], after: &mut [u8]) {
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), payload);
    let tag = tag.expect("AES-GCM seals anything that fits in a datagram");
    after[..GCM_TAG].copy_from_slice(tag.as_ref());
}

/// RFC 7714 section 8.1.
fn rtp_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[6..12], &index.to_be_bytes()[2..]);
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 section 9.1.
fn rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> Nonce {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[8..12], &index.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 section 9.2: the readable header and the word with the index.
fn rtcp_aad(header: &[u8], word: [u8; RTCP_TRAILER]) -> [u8; RTCP_HEADER + RTCP_TRAILER] {
    let mut aad = [0; RTCP_HEADER + RTCP_TRAILER];
    aad[..RTCP_HEADER].copy_from_slice(&header[..RTCP_HEADER]);
    aad[RTCP_HEADER..].copy_from_slice(&word);
    aad
}

/// RFC 3711 section 4.3.3: the key stream of AES counter mode under the master key, from `(label xor salt) * 2^16`.
pub(super) fn derive(master_key: &[u8], master_salt: &[u8], label: u8, out: &mut [u8]) -> Option<()> {
    let algorithm = match master_key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return None,
    };
    let mut iv = [0; 16];
    iv.get_mut(..master_salt.len())?.copy_from_slice(master_salt);
    iv[7] ^= label;
    out.fill(0);
    let key = EncryptingKey::ctr(UnboundCipherKey::new(algorithm, master_key).ok()?).ok()?;
    apply_keystream(&key, iv, out)
}

fn apply_keystream(key: &EncryptingKey, iv: [u8; 16], data: &mut [u8]) -> Option<()> {
    key.less_safe_encrypt(data, EncryptionContext::Iv128(FixedLength::from(iv))).ok().map(|_| ())
}

fn xor(target: &mut [u8], with: &[u8]) {
    target.iter_mut().zip(with).for_each(|(byte, with)| *byte ^= with);
}
