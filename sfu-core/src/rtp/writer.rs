//! Writes the header of an outgoing packet (RFC 3550 section 5.1, RFC 8285 section 4).

/// Room for any header that [`write_header`] is asked for: fixed header, one CSRC, and every extension once, in the
/// two-byte form and at its largest (three tokens of 16 bytes, audio level, transport-wide number, send time, capture
/// time, a dependency descriptor of 255 bytes, orientation, playout delay), padded to words.
pub const MAX_HEADER: usize = 12 + 4 + 4 + (10 * 2 + 3 * 16 + 1 + 2 + 3 + 16 + 255 + 1 + 3usize).next_multiple_of(4);

/// Of the first byte: the packet ends with padding.
pub const PADDING_BIT: u8 = 0x20;

/// The fields of an outgoing header. Version is 2; padding is added by whoever has some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderOut {
    /// The marker bit.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// As it travels.
    pub sequence_number: u16,
    /// In ticks of the codec's clock.
    pub timestamp: u32,
    /// The stream's synchronization source.
    pub ssrc: u32,
    /// The one contributing source: the track that is shown.
    pub csrc: Option<u32>,
}

/// Writes the header and returns its length, a multiple of four bytes and, for at most one element per [extension],
/// at most [`MAX_HEADER`].
///
/// The one-byte form is used unless an element has an id above 14, or is empty or longer than 16 bytes. Elements that no
/// form can carry (id 0, more than 255 bytes) are left out.
///
/// [extension]: super::Extension
///
/// # Panics
///
/// If `buf` is shorter than the header, or than 16 bytes: the caller gives [`MAX_HEADER`] bytes, or knows what it writes.
pub fn write_header(buf: &mut [u8], header: &HeaderOut, extensions: &[(u8, &[u8])]) -> usize {
    write_header_with(buf, header, extensions.iter().copied())
}

/// The same of elements that need not lie side by side. Nearly always all of them fit the one-byte form, and are read once.
#[inline]
pub fn write_header_with<'a>(
    buf: &mut [u8],
    header: &HeaderOut,
    extensions: impl Iterator<Item = (u8, &'a [u8])> + Clone,
) -> usize {
    let fixed = &mut buf[..16];
    fixed[0] = 0x80 | u8::from(header.csrc.is_some());
    fixed[1] = (u8::from(header.marker) << 7) | (header.payload_type & 0x7f);
    fixed[2..4].copy_from_slice(&header.sequence_number.to_be_bytes());
    fixed[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
    fixed[8..12].copy_from_slice(&header.ssrc.to_be_bytes());
    let mut len = 12;
    if let Some(csrc) = header.csrc {
        fixed[12..16].copy_from_slice(&csrc.to_be_bytes());
        len = 16;
    }
    if extensions.clone().next().is_none() {
        return len;
    }
    buf[0] |= 0x10;
    let buf = &mut buf[len..];
    len + match write_short(buf, extensions.clone()) {
        Some(end) => finish(buf, end, 0xbede),
        None => {
            let end = write_long(buf, extensions);
            finish(buf, end, 0x1000)
        }
    }
}

/// The one-byte form, whose first element begins at 4; `None` if an element needs the other. Returns where the last one ends.
#[inline]
fn write_short<'a>(buf: &mut [u8], extensions: impl Iterator<Item = (u8, &'a [u8])>) -> Option<usize> {
    let mut len = 4;
    for (id, value) in extensions {
        if id > 14 || !(1..=16).contains(&value.len()) {
            return None;
        }
        if id != 0 {
            let (head, rest) = buf[len..].split_first_mut()?;
            *head = (id << 4) | (value.len() as u8 - 1);
            write_value(&mut rest[..value.len()], value);
            len += 1 + value.len();
        }
    }
    Some(len)
}

fn write_long<'a>(buf: &mut [u8], extensions: impl Iterator<Item = (u8, &'a [u8])>) -> usize {
    let mut len = 4;
    for (id, value) in extensions {
        let Some(size) = u8::try_from(value.len()).ok().filter(|_| id != 0) else { continue };
        buf[len..len + 2].copy_from_slice(&[id, size]);
        buf[len + 2..len + 2 + value.len()].copy_from_slice(value);
        len += 2 + value.len();
    }
    len
}

/// Pads elements that end at `len` to words, and writes what stands before them.
#[inline]
fn finish(buf: &mut [u8], len: usize, form: u16) -> usize {
    let end = len.next_multiple_of(4);
    write_value(&mut buf[len..end], &[0; 3][..end - len]);
    buf[..2].copy_from_slice(&form.to_be_bytes());
    buf[2..4].copy_from_slice(&((end / 4 - 1) as u16).to_be_bytes());
    end
}

/// Copies a value. Most have one to three bytes, for which a call of `memcpy` costs more than all the rest.
#[inline]
fn write_value(to: &mut [u8], value: &[u8]) {
    match (to, value) {
        ([], []) => {}
        ([a], [x]) => *a = *x,
        ([a, b], [x, y]) => (*a, *b) = (*x, *y),
        ([a, b, c], [x, y, z]) => (*a, *b, *c) = (*x, *y, *z),
        (to, value) => to.copy_from_slice(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Ssrc;
    use crate::rtp::RtpPacket;
    use proptest::prelude::*;

    const HEADER: HeaderOut = HeaderOut {
        marker: true,
        payload_type: 111,
        sequence_number: 65535,
        timestamp: 7,
        ssrc: 0x0102_0304,
        csrc: None,
    };

    #[test]
    fn a_plain_header_is_twelve_bytes() {
        let mut buf = [0xff; MAX_HEADER];
        assert_eq!(write_header(&mut buf, &HEADER, &[]), 12);
        assert_eq!(buf[..12], [0x80, 0xef, 0xff, 0xff, 0, 0, 0, 7, 1, 2, 3, 4]);
    }

    #[test]
    fn the_short_form_is_preferred_and_padded() {
        let mut buf = [0xff; MAX_HEADER];
        let len = write_header(&mut buf, &HEADER, &[(3, &[0xaa, 0xbb]), (14, &[1])]);
        assert_eq!(buf[12..len], [0xbe, 0xde, 0, 2, 0x31, 0xaa, 0xbb, 0xe0, 1, 0, 0, 0]);
    }

    #[test]
    fn ids_and_sizes_choose_the_long_form() {
        for element in [(15, &[1u8; 1][..]), (1, &[]), (1, &[2; 17])] {
            let mut buf = [0xff; MAX_HEADER];
            let len = write_header(&mut buf, &HEADER, &[element]);
            assert_eq!(buf[12..16], [0x10, 0, 0, (2 + element.1.len()).div_ceil(4) as u8]);
            assert_eq!(RtpPacket::parse(&buf[..len]).unwrap().extensions().collect::<Vec<_>>(), [element]);
        }
    }

    #[test]
    fn the_largest_set_fits() {
        let sizes = [16, 16, 16, 1, 2, 3, 16, 255, 1, 3];
        let data = [1; 255];
        let elements: Vec<_> = sizes.iter().zip(1..).map(|(&size, id)| (id, &data[..size])).collect();
        let mut buf = [0; MAX_HEADER];
        assert_eq!(write_header(&mut buf, &HeaderOut { csrc: Some(1), ..HEADER }, &elements), MAX_HEADER);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            marker: bool, payload_type in 0u8..128, sequence_number: u16, timestamp: u32, ssrc: u32, csrc: Option<u32>,
            elements in proptest::collection::vec((1u8..=255, proptest::collection::vec(any::<u8>(), 0..30)), 0..9),
        ) {
            let header = HeaderOut { marker, payload_type, sequence_number, timestamp, ssrc, csrc };
            let elements: Vec<_> = elements.iter().map(|(id, value)| (*id, &value[..])).collect();
            let mut buf = [0xff; MAX_HEADER];
            let len = write_header(&mut buf, &header, &elements);
            buf[len] = 0x55;
            let packet = RtpPacket::parse(&buf[..len + 1]).unwrap();
            prop_assert_eq!(packet.marker(), marker);
            prop_assert_eq!(packet.payload_type(), payload_type);
            prop_assert_eq!(packet.sequence_number(), sequence_number);
            prop_assert_eq!(packet.timestamp(), timestamp);
            prop_assert_eq!(packet.ssrc(), Ssrc(ssrc));
            prop_assert_eq!(packet.csrcs().next(), csrc);
            prop_assert_eq!(packet.extensions().collect::<Vec<_>>(), elements);
            prop_assert_eq!(packet.payload(), &[0x55][..]);
        }
    }
}
