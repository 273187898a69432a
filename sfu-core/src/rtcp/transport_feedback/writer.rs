//! Writes transport-wide feedback: the longest chunk that fits the statuses that come next.

use arrayvec::ArrayVec;

use super::{MAX_ARRIVALS, MAX_DISTANCE, REFERENCE_TICKS, Symbol, TICK_MICROS, format, packet_type, write_feedback};
use crate::id::Ssrc;
use crate::rtcp::put_u32;

const MAX_RUN: usize = 0x1fff;
const NARROW: usize = 14;
const WIDE: usize = 7;

/// A packet that arrived.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    /// From the base sequence number.
    distance: u16,
    /// In ticks since the arrival before, or since the reference time.
    delta: i16,
}

impl Arrival {
    const fn symbol(self) -> Symbol {
        if self.delta < 0 || self.delta > 255 { Symbol::LargeDelta } else { Symbol::SmallDelta }
    }
}

/// What one message can say.
struct Selection {
    arrivals: ArrayVec<Arrival, MAX_ARRIVALS>,
    /// In units of 64 ms.
    reference: u64,
    /// Statuses, from the base on.
    count: u16,
    /// Entries of the input that are dealt with.
    consumed: usize,
}

/// Appends a message on the packets from `base` on, and returns how many entries of `arrivals` it deals with.
///
/// `arrivals` has sequence numbers that ascend from `base` across the wrap, with the time of arrival in microseconds on
/// any clock that does not jump. Packets between two entries, and those without a time, are reported as lost. Entries
/// that do not ascend are passed over.
///
/// What does not fit (180 arrivals, 2^15 packets, or two neighbours more than 8 s apart) is left to another message, with
/// the next feedback count and the first entry left as its base. At least one entry is dealt with. If none has a time,
/// nothing is appended: such a message would have no reference time.
pub fn write_transport_feedback(
    buf: &mut Vec<u8>,
    sender: Ssrc,
    media: Ssrc,
    feedback_count: u8,
    base: u16,
    arrivals: &[(u16, Option<u64>)],
) -> usize {
    let selection = select(base, arrivals);
    if selection.arrivals.is_empty() {
        return selection.consumed;
    }
    let start = buf.len();
    let mut padding = 0;
    let kind = (packet_type::TRANSPORT_FEEDBACK, format::TRANSPORT_CC);
    write_feedback(buf, kind, (sender, media), |buf| {
        put_u32(buf, (u32::from(base) << 16) | u32::from(selection.count));
        put_u32(buf, ((selection.reference as u32) << 8) | u32::from(feedback_count));
        write_chunks(buf, &selection);
        write_deltas(buf, &selection.arrivals);
        padding = (buf.len() - start).next_multiple_of(4) - (buf.len() - start);
        buf.extend_from_slice([&[][..], &[1], &[0, 2], &[0, 0, 3]][padding]);
    });
    if padding != 0 {
        buf[start] |= 0x20;
    }
    selection.consumed
}

fn select(base: u16, input: &[(u16, Option<u64>)]) -> Selection {
    let mut selection = Selection { arrivals: ArrayVec::new(), reference: 0, count: 0, consumed: 0 };
    let mut last = None;
    for &(sequence, at) in input {
        // From the first packet without a status yet, so that what does not ascend is far away.
        let step = sequence.wrapping_sub(base.wrapping_add(selection.count));
        if step <= MAX_DISTANCE {
            let distance = selection.count + step;
            if distance > MAX_DISTANCE {
                break;
            }
            if let Some(tick) = at.map(|micros| micros / TICK_MICROS) {
                let before = *last.get_or_insert(tick / REFERENCE_TICKS * REFERENCE_TICKS);
                let Ok(delta) = i16::try_from(tick.wrapping_sub(before) as i64) else { break };
                if selection.arrivals.try_push(Arrival { distance, delta }).is_err() {
                    break;
                }
                if selection.arrivals.len() == 1 {
                    selection.reference = tick / REFERENCE_TICKS;
                }
                last = Some(tick);
            }
            selection.count = distance + 1;
        }
        selection.consumed += 1;
    }
    selection
}

/// The symbols from some packet on.
#[derive(Clone)]
struct Symbols<'a> {
    arrivals: &'a [Arrival],
    next: u16,
    end: u16,
}

impl Iterator for Symbols<'_> {
    type Item = Symbol;

    fn next(&mut self) -> Option<Symbol> {
        let distance = self.next;
        if distance == self.end {
            return None;
        }
        self.next += 1;
        match self.arrivals.split_first() {
            Some((arrival, rest)) if arrival.distance == distance => {
                self.arrivals = rest;
                Some(arrival.symbol())
            }
            _ => Some(Symbol::NotReceived),
        }
    }
}

fn write_chunks(buf: &mut Vec<u8>, selection: &Selection) {
    let mut symbols = Symbols { arrivals: &selection.arrivals, next: 0, end: selection.count };
    while let Some(first) = symbols.clone().next() {
        let run = symbols.clone().take(MAX_RUN).take_while(|&symbol| symbol == first).count();
        let left = usize::from(symbols.end - symbols.next);
        let narrow = symbols.clone().take(NARROW).all(|symbol| symbol != Symbol::LargeDelta);
        let (bits, len) = if run == left || run >= NARROW || (run >= WIDE && !narrow) {
            (((first as u16) << 13) | run as u16, run)
        } else if narrow {
            (0x8000 | vector(symbols.clone(), NARROW, 1), NARROW)
        } else {
            (0xc000 | vector(symbols.clone(), WIDE, 2), WIDE)
        };
        buf.extend_from_slice(&bits.to_be_bytes());
        // Steps over what the chunk says; it may say more than there is.
        symbols.nth(len - 1);
    }
}

/// The next `len` symbols of `width` bits, the first on top; beyond the last packet zeros.
fn vector(symbols: Symbols<'_>, len: usize, width: u32) -> u16 {
    let padded = symbols.map(|symbol| symbol as u16).chain(std::iter::repeat(0));
    padded.take(len).fold(0, |bits, symbol| (bits << width) | symbol)
}

fn write_deltas(buf: &mut Vec<u8>, arrivals: &[Arrival]) {
    for arrival in arrivals {
        match u8::try_from(arrival.delta) {
            Ok(small) => buf.push(small),
            Err(_) => buf.extend_from_slice(&arrival.delta.to_be_bytes()),
        }
    }
}
