//! Requests of receivers: NACK, PLI (RFC 4585 section 6), FIR (RFC 5104 section 4.3.1) and REMB
//! (draft-alvestrand-rmcat-remb-03).

use super::{format, packet_type, put_u32, split_feedback, ssrcs, write_feedback};
use crate::id::Ssrc;
use crate::unit::Bitrate;

/// Sequence numbers per NACK that [`write_nack`] writes: at most 1 KiB, and a length that its 16 bits can hold.
const NACK_NUMBERS: usize = 256;
const REMB_ID: [u8; 4] = *b"REMB";
/// REMB's mantissa has 18 bits.
const REMB_MANTISSA: u64 = (1 << 18) - 1;

/// Packets to send again.
#[derive(Debug, Clone, Copy)]
pub struct Nack<'a> {
    /// Who asks.
    pub sender: Ssrc,
    /// The stream.
    pub media: Ssrc,
    entries: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, media, entries) = split_feedback(body)?;
        Some(Self { sender, media, entries })
    }

    /// The sequence numbers, as asked for: a number may come twice.
    pub fn iter(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.entries.chunks_exact(4).flat_map(|entry| {
            let first = u16::from_be_bytes([entry[0], entry[1]]);
            let following = u16::from_be_bytes([entry[2], entry[3]]);
            let bits = (0..16).filter(move |bit| following & (1 << bit) != 0);
            std::iter::once(first).chain(bits.map(move |bit| first.wrapping_add(bit + 1)))
        })
    }
}

/// Asks for a keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pli {
    /// Who asks.
    pub sender: Ssrc,
    /// The stream.
    pub media: Ssrc,
}

impl Pli {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        split_feedback(body).map(|(sender, media, _)| Self { sender, media })
    }
}

/// One demand of a [`Fir`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirEntry {
    /// The stream.
    pub media: Ssrc,
    /// Rises with each new demand; a repetition keeps it.
    pub sequence: u8,
}

/// Demands keyframes.
#[derive(Debug, Clone, Copy)]
pub struct Fir<'a> {
    /// Who demands.
    pub sender: Ssrc,
    entries: &'a [u8],
}

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        split_feedback(body).map(|(sender, _, entries)| Self { sender, entries })
    }

    /// The demands.
    pub fn entries(&self) -> impl Iterator<Item = FirEntry> + use<'a> {
        let entries = self.entries.chunks_exact(8);
        entries.flat_map(|entry| ssrcs(&entry[..4]).map(|media| FirEntry { media, sequence: entry[4] }))
    }
}

/// The bitrate that a receiver believes it can take.
#[derive(Debug, Clone, Copy)]
pub struct Remb<'a> {
    /// Who says so.
    pub sender: Ssrc,
    /// For all the streams together. What exceeds 64 bits is given as their maximum.
    pub bitrate: Bitrate,
    sources: &'a [u8],
}

impl<'a> Remb<'a> {
    /// Application layer feedback is of this kind if it says so after the SSRCs.
    pub(super) fn is_remb(body: &[u8]) -> bool {
        body.get(8..12) == Some(&REMB_ID)
    }

    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, _, rest) = split_feedback(body)?;
        let ([.., count, head, middle, low], sources) = rest.split_first_chunk::<8>()?;
        let mantissa = u64::from(u32::from_be_bytes([0, head & 3, *middle, *low]));
        let exponent = u32::from(head >> 2);
        let fits = exponent <= mantissa.leading_zeros();
        let bitrate = Bitrate(if fits { mantissa.checked_shl(exponent).unwrap_or(0) } else { u64::MAX });
        let sources = sources.get(..4 * usize::from(*count))?;
        Some(Self { sender, bitrate, sources })
    }

    /// The streams.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        ssrcs(self.sources)
    }
}

/// Appends NACKs for these sequence numbers, which should ascend (across the wrap) to need few bytes. None for none.
pub fn write_nack(buf: &mut Vec<u8>, sender: Ssrc, media: Ssrc, numbers: &[u16]) {
    for numbers in numbers.chunks(NACK_NUMBERS) {
        let kind = (packet_type::TRANSPORT_FEEDBACK, format::NACK);
        write_feedback(buf, kind, (sender, media), |buf| write_nack_entries(buf, numbers));
    }
}

fn write_nack_entries(buf: &mut Vec<u8>, numbers: &[u16]) {
    let mut numbers = numbers.iter().copied().peekable();
    while let Some(first) = numbers.next() {
        let mut following = 0u16;
        let in_reach = |number: &u16| number.wrapping_sub(first) <= 16;
        while let Some(number) = numbers.next_if(in_reach) {
            let distance = number.wrapping_sub(first);
            // A repetition of the first number needs no bit.
            following |= if distance == 0 { 0 } else { 1 << (distance - 1) };
        }
        put_u32(buf, (u32::from(first) << 16) | u32::from(following));
    }
}

/// Appends a request for a keyframe.
pub fn write_pli(buf: &mut Vec<u8>, sender: Ssrc, media: Ssrc) {
    write_feedback(buf, (packet_type::PAYLOAD_FEEDBACK, format::PLI), (sender, media), |_| {});
}

/// Appends a demand for a keyframe; `sequence` rises with each new demand to this stream.
pub fn write_fir(buf: &mut Vec<u8>, sender: Ssrc, media: Ssrc, sequence: u8) {
    // RFC 5104 section 4.3.1.2: the media source of the header is not used and is 0.
    write_feedback(buf, (packet_type::PAYLOAD_FEEDBACK, format::FIR), (sender, Ssrc(0)), |buf| {
        put_u32(buf, media.0);
        buf.extend_from_slice(&[sequence, 0, 0, 0]);
    });
}

/// Appends an estimate for these streams, at most 255. The bitrate is rounded down to 18 significant bits.
pub fn write_remb(buf: &mut Vec<u8>, sender: Ssrc, bitrate: Bitrate, sources: &[Ssrc]) {
    let sources = &sources[..sources.len().min(255)];
    let excess = (u64::BITS - bitrate.0.leading_zeros()).saturating_sub(REMB_MANTISSA.count_ones());
    let mantissa = (bitrate.0 >> excess) as u32;
    let kind = (packet_type::PAYLOAD_FEEDBACK, format::APPLICATION);
    write_feedback(buf, kind, (sender, Ssrc(0)), |buf| {
        buf.extend_from_slice(&REMB_ID);
        put_u32(buf, ((sources.len() as u32) << 24) | (excess << 18) | mantissa);
        sources.iter().for_each(|ssrc| put_u32(buf, ssrc.0));
    });
}
