//! RTCP: a borrowing parser of compound packets, and writers (RFC 3550 section 6, RFC 4585, RFC 5104).
//!
//! [`packets`] walks a decrypted datagram, compound or of reduced size (RFC 5506), and yields views that read on demand:
//! nothing is copied or allocated. The `write_` functions append one packet each to a buffer that the caller keeps, so
//! that a compound is written by calling several.
//!
//! Invariants: any bytes are read without panicking; what follows a packet whose length is wrong is not read, what
//! follows a packet whose contents are wrong is. The work is in proportion to the bytes, but for
//! [`TransportFeedback::iter`], which see.

mod feedback;
mod report;
mod transport_feedback;

pub use feedback::{Fir, FirEntry, Nack, Pli, Remb, write_fir, write_nack, write_pli, write_remb};
pub use report::{
    BLOCK_LEN, Bye, MAX_BLOCKS, ReceiverReport, ReportBlock, ReportBlocks, SenderInfo, SenderReport, SourceDescription,
    write_bye, write_receiver_report, write_sender_report,
};
pub use transport_feedback::{TICK_MICROS, TransportFeedback, write_transport_feedback};

use crate::id::Ssrc;

/// The packet types of RFC 3550 section 12.1 and RFC 4585 section 6.1.
mod packet_type {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// The feedback message types within transport and payload feedback.
mod format {
    pub(super) const NACK: u8 = 1;
    pub(super) const TRANSPORT_CC: u8 = 15;
    pub(super) const PLI: u8 = 1;
    pub(super) const FIR: u8 = 4;
    pub(super) const APPLICATION: u8 = 15;
}

/// Why a packet cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtcpError {
    /// The header or the length it gives does not fit into the datagram; nothing more is read of it.
    #[error("the packet is longer than the datagram")]
    Truncated,
    /// The version is not 2; nothing more is read of the datagram.
    #[error("the version is {0}, not 2")]
    Version(u8),
    /// The contents are shorter than the packet's type and count demand, or the padding is wrong.
    #[error("a packet of type {packet_type} is too short for its contents")]
    Malformed {
        /// The packet's type.
        packet_type: u8,
    },
}

/// One packet of a compound.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// A sender's clock and counters, and what it received.
    SenderReport(SenderReport<'a>),
    /// What a participant received.
    ReceiverReport(ReceiverReport<'a>),
    /// Names of sources.
    SourceDescription(SourceDescription<'a>),
    /// Sources that end.
    Bye(Bye<'a>),
    /// Packets to send again.
    Nack(Nack<'a>),
    /// Asks for a keyframe.
    Pli(Pli),
    /// Demands keyframes.
    Fir(Fir<'a>),
    /// When the packets of a transport arrived.
    TransportFeedback(TransportFeedback<'a>),
    /// The bitrate that a receiver believes it can take.
    Remb(Remb<'a>),
    /// A type that is not read here.
    Unknown {
        /// The packet's type.
        packet_type: u8,
        /// The five bits beside the version: a count or a feedback message type.
        count: u8,
    },
}

/// The packets of a datagram, in their order.
pub fn packets(datagram: &[u8]) -> Packets<'_> {
    Packets { rest: datagram }
}

/// See [`packets`].
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        // Taken, so that an error ends the iteration.
        let rest = std::mem::take(&mut self.rest);
        Some(split_packet(rest).and_then(|(packet, rest)| {
            self.rest = rest;
            parse(packet)
        }))
    }
}

fn split_packet(bytes: &[u8]) -> Result<(&[u8], &[u8]), RtcpError> {
    let header = bytes.first_chunk::<4>().ok_or(RtcpError::Truncated)?;
    if header[0] >> 6 != 2 {
        return Err(RtcpError::Version(header[0] >> 6));
    }
    let words = usize::from(u16::from_be_bytes([header[2], header[3]]));
    bytes.split_at_checked(4 * (words + 1)).ok_or(RtcpError::Truncated)
}

/// `packet` has at least its header.
fn parse(packet: &[u8]) -> Result<Packet<'_>, RtcpError> {
    let (count, packet_type) = (packet[0] & 0x1f, packet[1]);
    let body = without_padding(packet).and_then(|body| parse_body(packet_type, count, body));
    body.ok_or(RtcpError::Malformed { packet_type })
}

fn without_padding(packet: &[u8]) -> Option<&[u8]> {
    let body = &packet[4..];
    if packet[0] & 0x20 == 0 {
        return Some(body);
    }
    let padding = usize::from(*body.last()?);
    body.get(..body.len().checked_sub(padding)?).filter(|_| padding != 0)
}

fn parse_body(packet_type: u8, count: u8, body: &[u8]) -> Option<Packet<'_>> {
    match (packet_type, count) {
        (packet_type::SENDER_REPORT, _) => SenderReport::parse(count, body).map(Packet::SenderReport),
        (packet_type::RECEIVER_REPORT, _) => ReceiverReport::parse(count, body).map(Packet::ReceiverReport),
        (packet_type::SOURCE_DESCRIPTION, _) => Some(Packet::SourceDescription(SourceDescription::parse(count, body))),
        (packet_type::BYE, _) => Bye::parse(count, body).map(Packet::Bye),
        (packet_type::TRANSPORT_FEEDBACK, format::NACK) => Nack::parse(body).map(Packet::Nack),
        (packet_type::TRANSPORT_FEEDBACK, format::TRANSPORT_CC) => {
            TransportFeedback::parse(body).map(Packet::TransportFeedback)
        }
        (packet_type::PAYLOAD_FEEDBACK, format::PLI) => Pli::parse(body).map(Packet::Pli),
        (packet_type::PAYLOAD_FEEDBACK, format::FIR) => Fir::parse(body).map(Packet::Fir),
        (packet_type::PAYLOAD_FEEDBACK, format::APPLICATION) if Remb::is_remb(body) => {
            Remb::parse(body).map(Packet::Remb)
        }
        _ => Some(Packet::Unknown { packet_type, count }),
    }
}

/// Splits the first SSRC off.
fn split_ssrc(bytes: &[u8]) -> Option<(Ssrc, &[u8])> {
    bytes.split_first_chunk().map(|(ssrc, rest)| (Ssrc(u32::from_be_bytes(*ssrc)), rest))
}

/// Splits off the SSRCs of the feedback's sender and of the media that it is about.
fn split_feedback(body: &[u8]) -> Option<(Ssrc, Ssrc, &[u8])> {
    let (sender, rest) = split_ssrc(body)?;
    let (media, rest) = split_ssrc(rest)?;
    Some((sender, media, rest))
}

/// A list of SSRCs.
fn ssrcs(bytes: &[u8]) -> impl Iterator<Item = Ssrc> {
    bytes.chunks_exact(4).map_while(|word| split_ssrc(word).map(|(ssrc, _)| ssrc))
}

/// Appends a packet whose contents `body` appends, and fills in its length. The contents must be whole words.
fn write_packet(buf: &mut Vec<u8>, packet_type: u8, count: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = buf.len();
    buf.extend_from_slice(&[0x80 | (count & 0x1f), packet_type, 0, 0]);
    body(buf);
    let words = (buf.len() - start) / 4 - 1;
    buf[start + 2..start + 4].copy_from_slice(&(words as u16).to_be_bytes());
}

/// The same for a feedback message, whose contents begin with two SSRCs.
fn write_feedback(buf: &mut Vec<u8>, kind: (u8, u8), ssrcs: (Ssrc, Ssrc), body: impl FnOnce(&mut Vec<u8>)) {
    let (packet_type, format) = kind;
    write_packet(buf, packet_type, format, |buf| {
        put_u32(buf, ssrcs.0.0);
        put_u32(buf, ssrcs.1.0);
        body(buf);
    });
}

fn put_u32(buf: &mut Vec<u8>, value: u32) {
    buf.extend_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests;
