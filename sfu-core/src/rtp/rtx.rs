//! Retransmissions in a stream of their own (RFC 4588 section 4): the payload begins with the original sequence number.

/// Bytes that an RTX payload is longer than the original.
pub const OSN_LEN: usize = 2;

/// Splits an RTX payload into the original sequence number and the original payload. `None` for padding, which probes
/// send with no payload at all.
pub fn split(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (osn, original) = payload.split_first_chunk()?;
    Some((u16::from_be_bytes(*osn), original))
}

/// Writes an RTX payload into `buf` and returns its length.
///
/// # Panics
///
/// If `buf` is shorter than the payload and [`OSN_LEN`].
pub fn write(buf: &mut [u8], original_sequence_number: u16, payload: &[u8]) -> usize {
    let len = OSN_LEN + payload.len();
    buf[..OSN_LEN].copy_from_slice(&original_sequence_number.to_be_bytes());
    buf[OSN_LEN..len].copy_from_slice(payload);
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_is_split() {
        let mut buf = [0; 8];
        assert_eq!(write(&mut buf, 0xfffe, &[1, 2, 3]), 5);
        assert_eq!(buf[..5], [0xff, 0xfe, 1, 2, 3]);
        assert_eq!(split(&buf[..5]), Some((0xfffe, &[1, 2, 3][..])));
        assert_eq!(split(&[7]), None);
    }
}
