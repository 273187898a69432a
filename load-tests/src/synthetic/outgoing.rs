//! One outgoing RTP stream: its running numbers, its sender reports, and what it can send again.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mio::net::UdpSocket;
use sfu_core::id::Ssrc;
use sfu_core::rtcp::{SenderInfo, write_sender_report};
use sfu_core::rtp::{HeaderOut, MAX_HEADER, rtx, write_header};
use sfu_core::stream::Ntp;
use sfu_core::transport::MAX_OVERHEAD;
use sfu_core::transport::srtp::Seal;
use sfu_core::unit::SeqNo;

use super::sdp;
use super::totals::SentTotals;

/// Packets that are kept for retransmission: two seconds of 2.5 Mbps.
const HISTORY: usize = 512;
/// MID and RID ride on so many packets, as browsers send them until the receiver has surely learned the SSRC.
const NAMED_PACKETS: u32 = 200;
/// Longest packet with all its headers.
const MAX_PACKET: usize = 1_600;

/// Where packets go, and what rides on them.
pub struct Out<'a> {
    /// The keys.
    pub seal: &'a mut Seal,
    /// Connected to the server.
    pub socket: &'a UdpSocket,
    /// The transport-wide number of the next packet.
    pub transport_sequence: &'a mut u16,
    /// Where it is counted.
    pub totals: &'a mut SentTotals,
}

impl Out<'_> {
    /// Seals an RTCP compound and sends it.
    pub fn rtcp(&mut self, plain: &[u8]) {
        let mut buffer = [0; MAX_PACKET];
        let Some(target) = buffer.get_mut(..plain.len() + MAX_OVERHEAD) else { return };
        target[..plain.len()].copy_from_slice(plain);
        if let Some(len) = self.seal.rtcp(target, plain.len()) {
            self.send(&buffer[..len]);
        }
    }

    fn send(&mut self, datagram: &[u8]) {
        if self.socket.send(datagram).is_err() {
            self.totals.refused += 1;
        }
    }
}

#[derive(Debug, Clone)]
struct Kept {
    sequence: u16,
    marker: bool,
    timestamp: u32,
    payload: Bytes,
}

/// One SSRC.
#[derive(Debug)]
pub struct Stream {
    ssrc: u32,
    payload_type: u8,
    mid: String,
    rid: Option<&'static str>,
    next: SeqNo,
    packets: u32,
    octets: u32,
    timestamp: u32,
    history: VecDeque<Kept>,
    keeps: bool,
}

impl Stream {
    /// A stream at a random number. `keeps`: for retransmission.
    pub fn new(ssrc: u32, payload_type: u8, mid: &str, rid: Option<&'static str>, keeps: bool) -> Self {
        Self {
            ssrc,
            payload_type,
            mid: mid.to_owned(),
            rid,
            next: SeqNo::first(rand::random()),
            packets: 0,
            octets: 0,
            timestamp: 0,
            history: VecDeque::new(),
            keeps,
        }
    }

    /// Its SSRC.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Sends a payload; `level` is the value of the audio level extension.
    pub fn send(&mut self, out: &mut Out<'_>, marker: bool, timestamp: u32, payload: Bytes, level: Option<u8>) {
        self.timestamp = timestamp;
        let sequence = self.next.wire();
        self.write(out, marker, timestamp, &payload, level, sdp::RID);
        if self.keeps {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(Kept { sequence, marker, timestamp, payload });
        }
    }

    /// Sends a packet of `media` again, in this stream, which is its RTX.
    pub fn send_again(&mut self, out: &mut Out<'_>, media: &Self, sequence: u16) {
        let Some(kept) = media.history.iter().rev().find(|kept| kept.sequence == sequence) else { return };
        let mut payload = vec![0; kept.payload.len() + rtx::OSN_LEN];
        rtx::write(&mut payload, sequence, &kept.payload);
        out.totals.repairs += 1;
        self.write(out, kept.marker, kept.timestamp, &payload, None, sdp::REPAIRED_RID);
    }

    /// Appends a sender report for this stream, if it has sent anything.
    pub fn write_report(&self, clock_rate: u32, last_sent: Option<Instant>, buffer: &mut Vec<u8>) {
        let Some(last_sent) = last_sent.filter(|_| self.packets > 0) else { return };
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ticks = last_sent.elapsed().as_secs_f64() * f64::from(clock_rate);
        let info = SenderInfo {
            ssrc: Ssrc(self.ssrc),
            ntp: Ntp::from_unix(unix).0,
            rtp_timestamp: self.timestamp.wrapping_add(ticks as u32),
            packets: self.packets,
            octets: self.octets,
        };
        write_sender_report(buffer, &info, &[], "load");
    }

    fn write(&mut self, out: &mut Out<'_>, marker: bool, timestamp: u32, payload: &[u8], level: Option<u8>, rid: u8) {
        let mut buffer = [0; MAX_PACKET];
        debug_assert!(MAX_HEADER + payload.len() + MAX_OVERHEAD <= MAX_PACKET + MAX_HEADER);
        let header = HeaderOut {
            marker,
            payload_type: self.payload_type,
            sequence_number: self.next.wire(),
            timestamp,
            ssrc: self.ssrc,
            csrc: None,
        };
        let transport = out.transport_sequence.to_be_bytes();
        *out.transport_sequence = out.transport_sequence.wrapping_add(1);
        let level = level.map(|level| [level]);
        let mut extensions: [(u8, &[u8]); 4] = [(sdp::TRANSPORT_CC, &transport); 4];
        let mut count = 1;
        let mut add = |id: u8, value| {
            extensions[count] = (id, value);
            count += 1;
        };
        if let Some(level) = &level {
            add(sdp::AUDIO_LEVEL, level);
        }
        if self.packets < NAMED_PACKETS {
            add(sdp::MID, self.mid.as_bytes());
            if let Some(name) = self.rid {
                add(rid, name.as_bytes());
            }
        }
        let header_len = write_header(&mut buffer, &header, &extensions[..count]);
        let len = header_len + payload.len();
        let Some(target) = buffer.get_mut(header_len..len).filter(|_| len + MAX_OVERHEAD <= MAX_PACKET) else { return };
        target.copy_from_slice(payload);
        let sealed = out.seal.rtp(&mut buffer, len, header_len, self.next, self.ssrc);
        out.send(&buffer[..sealed]);
        self.next = SeqNo(self.next.0 + 1);
        self.packets += 1;
        self.octets = self.octets.wrapping_add(payload.len() as u32);
    }
}
