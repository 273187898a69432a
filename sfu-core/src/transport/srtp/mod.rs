//! SRTP and SRTCP (RFC 3711, RFC 7714), keyed by DTLS (RFC 5764), in place and without allocation.
//!
//! [`Seal`] and [`Open`] are the two directions. The sender's roll-over counter comes from the caller's [`SeqNo`], so
//! that sealing needs no table; the receiver's is estimated per SSRC beside a replay window of 128 packets.
//!
//! Invariants: no two packets are sealed with the same SSRC and index (the caller never reuses a [`SeqNo`] of a
//! stream for other bytes); receive state changes only by packets that authenticate, so forged ones cost a hash and
//! nothing else. SRTCP is always encrypted: packets without the E flag are refused, as in every WebRTC endpoint.

mod cipher;
mod replay;

use crate::unit::SeqNo;
use cipher::{Cipher, Direction};
use replay::ReplayTable;

/// The most bytes that sealing adds: an SRTCP packet of an AEAD profile.
pub const MAX_OVERHEAD: usize = 20;

const RTP_HEADER: usize = 12;
/// The part of an RTCP packet that stays readable: its header and the sender's SSRC.
const RTCP_HEADER: usize = 8;
/// The E flag and the SRTCP index.
const RTCP_TRAILER: usize = 4;
const ENCRYPTED: u32 = 1 << 31;

/// The protection profiles that we speak, in our order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SrtpProfile {
    /// `SRTP_AEAD_AES_256_GCM` (RFC 7714).
    AeadAes256Gcm,
    /// `SRTP_AEAD_AES_128_GCM` (RFC 7714).
    AeadAes128Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80` (RFC 5764).
    Aes128CmHmacSha1_80,
}

impl SrtpProfile {
    /// The name that RFC 5764 and RFC 7714 give it, which is also what `getStats()` calls `srtpCipher` in browsers
    /// but for the prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::Aes128CmHmacSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
        }
    }

    /// How many bytes sealing adds to an RTP packet. SRTCP packets grow by four more.
    pub const fn overhead(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 16,
            Self::Aes128CmHmacSha1_80 => 10,
        }
    }

    const fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            Self::AeadAes128Gcm | Self::Aes128CmHmacSha1_80 => 16,
        }
    }

    const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 12,
            Self::Aes128CmHmacSha1_80 => 14,
        }
    }

    /// How much keying material DTLS must export (RFC 5764 section 4.2).
    pub const fn keying_material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }
}

/// Why a packet was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// DTLS is not done.
    #[error("no keys yet")]
    NoKeys,
    /// Not an RTP or RTCP packet, or too short to be sealed.
    #[error("malformed packet")]
    Malformed,
    /// The packet was opened before, or is too old to know.
    #[error("replayed packet")]
    Replayed,
    /// The authentication tag is wrong.
    #[error("authentication failed")]
    Authentication,
}

/// Which end of the DTLS association we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The DTLS client: the SFU's peer, unless its offer says `a=setup:passive`.
    Client,
    /// The DTLS server.
    Server,
}

/// The session keys of both directions from DTLS keying material, or `None` if its length is not the profile's.
pub fn sessions(profile: SrtpProfile, role: Role, material: &[u8]) -> Option<(Seal, Open)> {
    if material.len() != profile.keying_material_len() {
        return None;
    }
    let (keys, salts) = material.split_at(2 * profile.key_len());
    let (client_key, server_key) = keys.split_at(profile.key_len());
    let (client_salt, server_salt) = salts.split_at(profile.salt_len());
    let client = Direction::derive(profile, client_key, client_salt)?;
    let server = Direction::derive(profile, server_key, server_salt)?;
    let (ours, theirs) = match role {
        Role::Client => (client, server),
        Role::Server => (server, client),
    };
    Some((Seal::new(profile, ours), Open::new(theirs)))
}

/// The sending direction.
pub struct Seal {
    profile: SrtpProfile,
    rtp: Cipher,
    rtcp: Cipher,
    /// The index of the next SRTCP packet. One counter serves all SSRCs; it starts at 1 because some receivers'
    /// windows take 0 for a replay.
    next_rtcp: u32,
}

impl Seal {
    fn new(profile: SrtpProfile, keys: Direction) -> Self {
        Self { profile, rtp: keys.rtp, rtcp: keys.rtcp, next_rtcp: 1 }
    }

    /// The negotiated profile.
    pub fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Seals the RTP packet `buf[..len]`, whose header is `header_len` bytes, and returns its new length. `buf` must
    /// have room for [`SrtpProfile::overhead`] more.
    ///
    /// The roll-over counter is what `seq` counted since [`SeqNo::first`].
    pub fn rtp(&self, buf: &mut [u8], len: usize, header_len: usize, seq: SeqNo, ssrc: u32) -> usize {
        debug_assert!(seq.0 >= 0x1_0000, "a stream starts at SeqNo::first");
        debug_assert!(header_len <= len && len + self.profile.overhead() <= buf.len());
        let index = seq.0.wrapping_sub(0x1_0000) & 0xffff_ffff_ffff;
        self.rtp.seal_rtp(buf, len, header_len, index, ssrc)
    }

    /// Seals the RTCP packet `buf[..len]` and returns its new length, or `None` once all 2^31 indices are used or if
    /// the packet is shorter than its header. `buf` must have room for [`MAX_OVERHEAD`] more.
    pub fn rtcp(&mut self, buf: &mut [u8], len: usize) -> Option<usize> {
        let index = Some(self.next_rtcp).filter(|index| index & ENCRYPTED == 0)?;
        let ssrc = u32_at(&buf[..len], 4)?;
        self.next_rtcp += 1;
        Some(self.rtcp.seal_rtcp(buf, len, index, ssrc))
    }
}

/// The receiving direction.
pub struct Open {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_seen: ReplayTable,
    rtcp_seen: ReplayTable,
}

impl Open {
    fn new(keys: Direction) -> Self {
        Self { rtp: keys.rtp, rtcp: keys.rtcp, rtp_seen: ReplayTable::default(), rtcp_seen: ReplayTable::default() }
    }

    /// Opens an SRTP packet and returns the length of the RTP packet at its start. After an error the bytes are
    /// unspecified.
    pub fn rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header_len = rtp_header_len(packet).ok_or(SrtpError::Malformed)?;
        let ssrc = u32_at(packet, 8).ok_or(SrtpError::Malformed)?;
        let seq = u16::from_be_bytes([packet[2], packet[3]]);
        let index = self.rtp_seen.extend(ssrc, seq);
        if self.rtp_seen.is_replay(ssrc, index) {
            return Err(SrtpError::Replayed);
        }
        let len = self.rtp.open_rtp(packet, header_len, index, ssrc)?;
        self.rtp_seen.record(ssrc, index);
        Ok(len)
    }

    /// Opens an SRTCP packet and returns the length of the RTCP packet at its start.
    pub fn rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = u32_at(packet, 4).ok_or(SrtpError::Malformed)?;
        let trailer = self.rtcp.trailer_offset(packet.len()).ok_or(SrtpError::Malformed)?;
        let word = u32_at(packet, trailer).ok_or(SrtpError::Malformed)?;
        if word & ENCRYPTED == 0 {
            return Err(SrtpError::Malformed);
        }
        let index = u64::from(word & !ENCRYPTED);
        if self.rtcp_seen.is_replay(ssrc, index) {
            return Err(SrtpError::Replayed);
        }
        let len = self.rtcp.open_rtcp(packet, trailer, ssrc)?;
        self.rtcp_seen.record(ssrc, index);
        Ok(len)
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").finish_non_exhaustive()
    }
}

/// The length of an RTP header with its CSRCs and extension (RFC 3550 section 5.1), which stays readable in SRTP.
fn rtp_header_len(packet: &[u8]) -> Option<usize> {
    let first = *packet.first().filter(|first| **first >> 6 == 2)?;
    let mut len = RTP_HEADER + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let words = packet.get(len + 2..len + 4)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (packet.len() >= len).then_some(len)
}

fn u32_at(packet: &[u8], offset: usize) -> Option<u32> {
    packet.get(offset..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
