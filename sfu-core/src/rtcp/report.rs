//! Sender and receiver reports, names and farewells (RFC 3550 section 6.4 to 6.6).

use super::{packet_type, put_u32, split_ssrc, ssrcs, write_packet};
use crate::id::Ssrc;

/// The most report blocks of one packet: its count has five bits.
pub const MAX_BLOCKS: usize = 31;
/// A report block's length in bytes.
pub const BLOCK_LEN: usize = 24;
const CNAME: u8 = 1;

/// What a receiver says of one source (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: Ssrc,
    /// The share of packets lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the start, negative with duplicates: 24 bits.
    pub cumulative_lost: i32,
    /// The highest sequence number, with the wraps in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in timestamp ticks.
    pub jitter: u32,
    /// The middle 32 bits of the last sender report's NTP timestamp; 0: none yet.
    pub last_sr: u32,
    /// Since that report arrived, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    fn parse(bytes: &[u8; BLOCK_LEN]) -> Self {
        let [_, lost @ ..] = word(bytes, 4).to_be_bytes();
        Self {
            ssrc: Ssrc(word(bytes, 0)),
            fraction_lost: bytes[4],
            // Shifted up and back down to extend the sign.
            cumulative_lost: i32::from_be_bytes([lost[0], lost[1], lost[2], 0]) >> 8,
            highest_sequence: word(bytes, 8),
            jitter: word(bytes, 12),
            last_sr: word(bytes, 16),
            delay_since_last_sr: word(bytes, 20),
        }
    }

    fn write(&self, buf: &mut Vec<u8>) {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0x00ff_ffff;
        let words = [
            self.ssrc.0,
            (u32::from(self.fraction_lost) << 24) | lost,
            self.highest_sequence,
            self.jitter,
            self.last_sr,
            self.delay_since_last_sr,
        ];
        words.into_iter().for_each(|word| put_u32(buf, word));
    }
}

fn word(bytes: &[u8; BLOCK_LEN], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The blocks of a report.
#[derive(Debug, Clone, Copy)]
pub struct ReportBlocks<'a> {
    bytes: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    /// Profile-specific extensions may follow the blocks.
    fn parse(count: u8, bytes: &'a [u8]) -> Option<Self> {
        bytes.get(..usize::from(count) * BLOCK_LEN).map(|bytes| Self { bytes })
    }

    /// The blocks in their order, at most 31.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        self.bytes.chunks_exact(BLOCK_LEN).map_while(|chunk| chunk.first_chunk().map(ReportBlock::parse))
    }
}

/// What a sender says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// The sender.
    pub ssrc: Ssrc,
    /// Wall clock, 32.32 seconds since 1900.
    pub ntp: u64,
    /// The same instant as a media timestamp.
    pub rtp_timestamp: u32,
    /// Packets sent since the start, modulo 2^32.
    pub packets: u32,
    /// Payload bytes sent since the start, modulo 2^32.
    pub octets: u32,
}

/// SR: a sender's clock and counters, and what it received.
#[derive(Debug, Clone, Copy)]
pub struct SenderReport<'a> {
    /// The sender.
    pub ssrc: Ssrc,
    /// Wall clock, 32.32 seconds since 1900.
    pub ntp: u64,
    /// The same instant as a media timestamp.
    pub rtp_timestamp: u32,
    /// Packets sent since the start, modulo 2^32.
    pub packets: u32,
    /// Payload bytes sent since the start, modulo 2^32.
    pub octets: u32,
    /// What the sender received.
    pub reports: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (ssrc, rest) = split_ssrc(body)?;
        let (ntp, rest) = rest.split_first_chunk()?;
        let (rtp_timestamp, rest) = rest.split_first_chunk()?;
        let (packets, rest) = rest.split_first_chunk()?;
        let (octets, rest) = rest.split_first_chunk()?;
        Some(Self {
            ssrc,
            ntp: u64::from_be_bytes(*ntp),
            rtp_timestamp: u32::from_be_bytes(*rtp_timestamp),
            packets: u32::from_be_bytes(*packets),
            octets: u32::from_be_bytes(*octets),
            reports: ReportBlocks::parse(count, rest)?,
        })
    }
}

/// RR: what a participant received.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverReport<'a> {
    /// The receiver.
    pub ssrc: Ssrc,
    /// One block per source.
    pub reports: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (ssrc, rest) = split_ssrc(body)?;
        Some(Self { ssrc, reports: ReportBlocks::parse(count, rest)? })
    }
}

/// SDES: names of sources.
#[derive(Debug, Clone, Copy)]
pub struct SourceDescription<'a> {
    count: u8,
    chunks: &'a [u8],
}

impl<'a> SourceDescription<'a> {
    pub(super) fn parse(count: u8, chunks: &'a [u8]) -> Self {
        Self { count, chunks }
    }

    /// The canonical names, as sent. Ends early where a chunk is cut short.
    pub fn cnames(&self) -> impl Iterator<Item = (Ssrc, &'a [u8])> + use<'a> {
        let (mut left, mut rest) = (self.count, self.chunks);
        let chunks = std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let (ssrc, items) = split_ssrc(rest)?;
            let (cname, len) = read_items(items)?;
            rest = &items[len..];
            Some((ssrc, cname))
        });
        chunks.filter_map(|(ssrc, cname)| cname.map(|cname| (ssrc, cname)))
    }
}

/// Reads the items of a chunk up to the zero bytes that fill its last word: the name, if there is one, and their length.
fn read_items(items: &[u8]) -> Option<(Option<&[u8]>, usize)> {
    let (mut cname, mut at) = (None, 0);
    loop {
        let kind = *items.get(at)?;
        if kind == 0 {
            let len = (at + 1).next_multiple_of(4);
            return (len <= items.len()).then_some((cname, len));
        }
        let end = at + 2 + usize::from(*items.get(at + 1)?);
        let text = items.get(at + 2..end)?;
        cname = cname.or((kind == CNAME).then_some(text));
        at = end;
    }
}

/// BYE: sources that end.
#[derive(Debug, Clone, Copy)]
pub struct Bye<'a> {
    sources: &'a [u8],
}

impl<'a> Bye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        body.get(..4 * usize::from(count)).map(|sources| Self { sources })
    }

    /// The sources.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        ssrcs(self.sources)
    }
}

/// Appends a sender report, receiver reports for blocks beyond the 31st, and an SDES with the name, of which at most
/// 255 bytes are sent, unless it is empty.
pub fn write_sender_report(buf: &mut Vec<u8>, info: &SenderInfo, reports: &[ReportBlock], cname: &str) {
    let (first, rest) = reports.split_at(reports.len().min(MAX_BLOCKS));
    write_packet(buf, packet_type::SENDER_REPORT, first.len() as u8, |buf| {
        put_u32(buf, info.ssrc.0);
        buf.extend_from_slice(&info.ntp.to_be_bytes());
        put_u32(buf, info.rtp_timestamp);
        put_u32(buf, info.packets);
        put_u32(buf, info.octets);
        first.iter().for_each(|block| block.write(buf));
    });
    rest.chunks(MAX_BLOCKS).for_each(|blocks| write_blocks(buf, info.ssrc, blocks));
    write_cname(buf, info.ssrc, cname);
}

/// Appends a receiver report, more of them for blocks beyond the 31st, and an SDES as [`write_sender_report`] does.
pub fn write_receiver_report(buf: &mut Vec<u8>, ssrc: Ssrc, reports: &[ReportBlock], cname: &str) {
    if reports.is_empty() {
        write_blocks(buf, ssrc, &[]);
    }
    reports.chunks(MAX_BLOCKS).for_each(|blocks| write_blocks(buf, ssrc, blocks));
    write_cname(buf, ssrc, cname);
}

/// `blocks` has at most 31.
fn write_blocks(buf: &mut Vec<u8>, ssrc: Ssrc, blocks: &[ReportBlock]) {
    write_packet(buf, packet_type::RECEIVER_REPORT, blocks.len() as u8, |buf| {
        put_u32(buf, ssrc.0);
        blocks.iter().for_each(|block| block.write(buf));
    });
}

fn write_cname(buf: &mut Vec<u8>, ssrc: Ssrc, cname: &str) {
    if cname.is_empty() {
        return;
    }
    let cname = &cname.as_bytes()[..cname.len().min(255)];
    write_packet(buf, packet_type::SOURCE_DESCRIPTION, 1, |buf| {
        put_u32(buf, ssrc.0);
        buf.extend_from_slice(&[CNAME, cname.len() as u8]);
        buf.extend_from_slice(cname);
        // One to four zero bytes: the end of the items, and the rest of the word.
        let items = 2 + cname.len();
        let padding = (items + 1).next_multiple_of(4) - items;
        buf.extend_from_slice(&[0; 4][..padding]);
    });
}

/// Appends a farewell for each source, at most 31.
pub fn write_bye(buf: &mut Vec<u8>, sources: &[Ssrc]) {
    let sources = &sources[..sources.len().min(MAX_BLOCKS)];
    write_packet(buf, packet_type::BYE, sources.len() as u8, |buf| {
        sources.iter().for_each(|ssrc| put_u32(buf, ssrc.0));
    });
}
