//! What of a member's SCTP reaches the library (RFC 9260 section 3).
//!
//! `rtc-sctp` 0.21 slices error causes by lengths that it has not checked, and finds the next chunk by what it
//! understood of the last one, not by its length: a packet can make it panic. It also walks one by one over all TSNs
//! that a FORWARD TSN skips, up to 2^31 of them. So only packets pass whose chunks, and the parameters in them, fill
//! their places exactly, and whose TSNs lie within [`MAX_SKIP`] of what was seen; ABORT is acted upon here, and ERROR,
//! which changes nothing, is dropped. What passes is what real stacks send.

/// How far ahead of the highest TSN that was seen a TSN may be: more chunks than a receive window holds of useful size.
const MAX_SKIP: u32 = 16_384;
/// RE-CONFIG chunks of one association: the library keeps requests that it cannot serve yet, however many they are.
/// A client resets a stream when it closes a channel, which it does twice.
const MAX_RECONFIGS: u32 = 256;
const HEADER: usize = 12;
const CHUNK_HEADER: usize = 4;

const DATA: u8 = 0;
pub(super) const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const HEARTBEAT: u8 = 4;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;
const RE_CONFIG: u8 = 130;
const FORWARD_TSN: u8 = 192;

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Hand it to the library.
    Pass,
    /// The peer has ended the association.
    Abort,
    /// Drop it.
    Refuse,
}

/// Judges the packets of one peer.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// The highest TSN of the association that was let through; none before there is an association.
    highest: Option<u32>,
    reconfigs: u32,
}

impl Guard {
    /// For the association that this INIT made.
    pub(super) fn of_init(packet: &[u8]) -> Self {
        let initial = packet.get(HEADER + CHUNK_HEADER + 12..).and_then(|rest| rest.first_chunk());
        Self { highest: initial.map(|tsn| u32::from_be_bytes(*tsn).wrapping_sub(1)), reconfigs: 0 }
    }

    pub(super) fn judge(&mut self, packet: &[u8]) -> Verdict {
        let Some(mut rest) = packet.get(HEADER..).filter(|rest| !rest.is_empty()) else { return Verdict::Refuse };
        while !rest.is_empty() {
            let Some(chunk) = rest.get(..length(rest)).filter(|chunk| chunk.len() >= CHUNK_HEADER) else {
                return Verdict::Refuse;
            };
            let (kind, value) = (chunk[0], &chunk[CHUNK_HEADER..]);
            if kind == ABORT {
                return Verdict::Abort;
            }
            self.reconfigs += u32::from(kind == RE_CONFIG);
            if self.reconfigs > MAX_RECONFIGS {
                return Verdict::Refuse;
            }
            if !is_well_formed(kind, value) || (matches!(kind, DATA | FORWARD_TSN) && !self.is_near(value)) {
                return Verdict::Refuse;
            }
            rest = rest.get(chunk.len().next_multiple_of(4)..).unwrap_or_default();
        }
        Verdict::Pass
    }

    /// Notes the TSN at the start of a chunk's value and says whether it is one to expect.
    fn is_near(&mut self, value: &[u8]) -> bool {
        let tsn = value.first_chunk().map(|tsn| u32::from_be_bytes(*tsn));
        let Some((tsn, highest)) = tsn.zip(self.highest) else { return false };
        let ahead = tsn.wrapping_sub(highest);
        if ahead <= MAX_SKIP {
            self.highest = Some(tsn);
        }
        // What lies behind is a retransmission or a duplicate.
        ahead <= MAX_SKIP || ahead > u32::MAX / 2
    }
}

fn is_well_formed(kind: u8, value: &[u8]) -> bool {
    match kind {
        DATA => value.len() > 12,
        INIT | INIT_ACK => value.len() >= 16 && parameters(&value[16..]).is_some(),
        SACK => {
            let blocks = |at: usize| value.get(at..at + 2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])));
            blocks(8).zip(blocks(10)).is_some_and(|(gaps, duplicates)| value.len() == 12 + 4 * (gaps + duplicates))
        }
        HEARTBEAT => parameters(value) == Some(1),
        RE_CONFIG => matches!(parameters(value), Some(1 | 2)),
        FORWARD_TSN => value.len() >= 4 && value.len().is_multiple_of(4),
        SHUTDOWN => value.len() == 4,
        COOKIE_ECHO => !value.is_empty(),
        SHUTDOWN_ACK | COOKIE_ACK | SHUTDOWN_COMPLETE => value.is_empty(),
        _ => false,
    }
}

/// How many parameters fill these bytes exactly, but for the padding of the last.
fn parameters(mut rest: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !rest.is_empty() {
        let parameter = rest.get(..length(rest)).filter(|parameter| parameter.len() >= 4)?;
        rest = rest.get(parameter.len().next_multiple_of(4)..).unwrap_or_default();
        count += 1;
    }
    Some(count)
}

/// The length that a chunk's or parameter's header says, which counts the header; 0 if there is no header.
fn length(bytes: &[u8]) -> usize {
    bytes.get(2..4).map_or(0, |field| usize::from(u16::from_be_bytes([field[0], field[1]])))
}
