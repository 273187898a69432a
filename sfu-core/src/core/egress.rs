//! The last step of a packet: header, payload and seal, written once, in place, in the destination's train.

use std::time::Instant;

use arrayvec::ArrayVec;
use slab::Slab;

use crate::ClockAnchor;
use crate::prefetch::{Distance, prefetch};
use crate::router::{Class, OutPacket, Outbox, PeerIndex, Refused};
use crate::rtp::values::{AbsSendTime, TransportCc};
use crate::rtp::{self, Extension};
use crate::stream::Ntp;

use crate::transport::{MAX_DATAGRAM, MAX_OVERHEAD, Protocol};

use super::Counters;
use super::peer::Peer;
use super::train::Trains;

/// A compound packet with its seal; rooms write less than an MTU.
const RTCP_BYTES: usize = 2_048;

/// Sends for the rooms.
pub(super) struct Egress<'a> {
    peers: &'a mut Slab<Peer>,
    trains: &'a mut Trains,
    counters: &'a mut Counters,
    abs_send_time: [u8; 3],
    /// For the header that is being written: zeroed once, not per packet.
    header: [u8; rtp::MAX_HEADER],
}

impl<'a> Egress<'a> {
    pub(super) fn new(
        peers: &'a mut Slab<Peer>,
        trains: &'a mut Trains,
        counters: &'a mut Counters,
        clock: &ClockAnchor,
        now: Instant,
    ) -> Self {
        let abs_send_time = AbsSendTime::from_ntp(Ntp::at(clock, now).0).to_bytes();
        Self { peers, trains, counters, abs_send_time, header: [0; rtp::MAX_HEADER] }
    }
}

impl Outbox for Egress<'_> {
    fn send_rtp(&mut self, _now: Instant, peer: PeerIndex, class: Class, packet: &OutPacket<'_>) {
        let Some(peer) = self.peers.get_mut(peer.0 as usize) else { return };
        let Some(path) = peer.sending_path() else {
            self.counters.unsent += 1;
            return;
        };
        let number = packet.number.map(|number| TransportCc(number).to_bytes());
        let mut own: ArrayVec<(u8, &[u8]), 2> = ArrayVec::new();
        if let Some(id) = packet.map.id(Extension::AbsSendTime) {
            own.push((id, &self.abs_send_time));
        }
        if let Some((id, number)) = packet.map.id(Extension::TransportCc).zip(number.as_ref()) {
            own.push((id, number));
        }
        let header_len = packet.write_header(&mut self.header, &own);
        let osn_len = if packet.osn.is_some() { rtp::rtx::OSN_LEN } else { 0 };
        let padding_at = header_len + osn_len + packet.payload.len();
        let evened = class == Class::Video && packet.padding == 0 && !packet.header.marker;
        let (least, overhead) = (padding_at + usize::from(packet.padding), peer.transport.overhead());
        if least + overhead > MAX_DATAGRAM && path.protocol == Protocol::Udp {
            // Its publisher was told: see `router::admission`.
            self.counters.oversized += 1;
            return;
        }
        let buffer = match evened {
            true => self.trains.push_even(&mut peer.open_train, path, least + overhead),
            false => self.trains.push(&mut peer.open_train, path, least + overhead),
        };
        let len = buffer.len() - overhead;
        buffer[..header_len].copy_from_slice(&self.header[..header_len]);
        if let Some(osn) = packet.osn {
            buffer[header_len..header_len + osn_len].copy_from_slice(&osn.to_be_bytes());
            self.counters.retransmitted += 1;
        }
        buffer[header_len + osn_len..padding_at].copy_from_slice(packet.payload);
        if len > padding_at {
            buffer[0] |= rtp::PADDING_BIT;
            buffer[padding_at..len].fill(0);
            buffer[len - 1] = (len - padding_at) as u8;
        }
        packet.rewrite_payload(&mut buffer[header_len + osn_len..padding_at]);
        peer.transport.seal_rtp(buffer, len, header_len, packet.seq, packet.header.ssrc);
        if class == Class::Video {
            self.trains.set_unfinished(!packet.header.marker);
        }
        self.counters.rtp_out += 1;
        self.counters.rtp_bytes_out += len as u64;
    }

    fn on_refused(&mut self, what: Refused) {
        match what {
            Refused::Media => self.counters.limited += 1,
            Refused::Oversized => self.counters.oversized += 1,
            Refused::Report => self.counters.reports_limited += 1,
        }
    }

    fn prefetch(&self, peer: PeerIndex, distance: Distance) {
        let Some(peer) = self.peers.get(peer.0 as usize) else { return };
        if distance == Distance::Far {
            prefetch(&peer.open_train);
        }
        peer.transport.prefetch(distance);
    }

    fn send_rtcp(&mut self, _now: Instant, peer: PeerIndex, packet: &[u8]) {
        let Some(peer) = self.peers.get_mut(peer.0 as usize) else { return };
        let Some(path) = peer.sending_path() else { return };
        let mut buffer = [0; RTCP_BYTES];
        if packet.len() + MAX_OVERHEAD > buffer.len() {
            return;
        }
        buffer[..packet.len()].copy_from_slice(packet);
        let sealed = peer.transport.seal_rtcp(&mut buffer, packet.len());
        if sealed > 0 {
            self.trains.push(&mut peer.open_train, path, sealed).copy_from_slice(&buffer[..sealed]);
        }
    }
}
