use super::*;
use crate::rtcp::{Packet, packets};
use proptest::prelude::*;

const SENDER: Ssrc = Ssrc(1);
const MEDIA: Ssrc = Ssrc(2);

fn write(base: u16, arrivals: &[(u16, Option<u64>)]) -> (Vec<u8>, usize) {
    let mut buf = Vec::new();
    let consumed = write_transport_feedback(&mut buf, SENDER, MEDIA, 9, base, arrivals);
    (buf, consumed)
}

fn read(bytes: &[u8]) -> TransportFeedback<'_> {
    match packets(bytes).next() {
        Some(Ok(Packet::TransportFeedback(feedback))) => feedback,
        other => panic!("not feedback: {other:?}"),
    }
}

/// The contents of a message: base, count, reference time 3, feedback count 9, then `body`.
fn message(base: u16, count: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x8f, 205, 0, (4 + body.len() / 4) as u8, 0, 0, 0, 1, 0, 0, 0, 2];
    bytes.extend_from_slice(&base.to_be_bytes());
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 3, 9]);
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn the_drafts_chunks_are_read() {
    // A run of 2 small deltas; the draft's one-bit vector "0 1 1 1 1 1 0 0 0 1 1 1 0 0"; a two-bit vector of
    // "lost, large, small" and padding.
    let body = [0x20, 2, 0x9f, 0x1c, 0xc9, 0x00, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 0xff, 0xfe, 4, 0];
    let bytes = message(65534, 2 + 14 + 3, &body);
    let feedback = read(&bytes);
    assert_eq!((feedback.reference_time, feedback.feedback_count, feedback.media), (3, 9, MEDIA));
    let ticks: Vec<_> = feedback.iter().map(|(_, ticks)| ticks).collect();
    let vector = [None, Some(4), Some(5), Some(6), Some(7), Some(8), None, None, None, Some(9), Some(10), Some(11)];
    let expected = [&[Some(1), Some(3)][..], &vector, &[None, None], &[None, Some(9), Some(13)]].concat();
    assert_eq!(ticks, expected);
    assert_eq!(feedback.iter().map(|(sequence, _)| sequence).take(3).collect::<Vec<_>>(), [65534, 65535, 0]);
}

#[test]
fn the_reference_time_is_signed() {
    let mut bytes = message(0, 0, &[]);
    bytes[16..19].fill(0xff);
    assert_eq!(read(&bytes).reference_time, -1);
}

#[test]
fn a_cut_message_ends_early() {
    let bytes = message(0, 100, &[0x20, 100, 1, 1]);
    assert_eq!(read(&bytes).iter().count(), 2, "two deltas for a hundred arrivals");
    let bytes = message(0, 100, &[0x00, 3, 0x00, 2]);
    assert_eq!(read(&bytes).iter().count(), 5, "chunks for five statuses");
}

#[test]
fn a_message_is_laid_out_as_the_draft_says() {
    // 200 ms: reference 3 (192 ms), then 32 ticks; 75 ms later a large delta; one packet in between is lost.
    let (bytes, consumed) = write(0xffff, &[(0xffff, Some(200_000)), (1, Some(275_000))]);
    assert_eq!(consumed, 2);
    let body = [0xd2, 0x00, 32, 0x01, 0x2c, 0, 0, 3];
    let mut expected = message(0xffff, 3, &body);
    expected[0] |= 0x20;
    assert_eq!(bytes, expected);
}

#[test]
fn a_long_gap_takes_few_bytes() {
    let (bytes, consumed) = write(0, &[(0, Some(0)), (20_000, Some(1))]);
    assert_eq!(consumed, 2);
    assert!(bytes.len() <= 20 + 5 * 2 + 2 + 3, "{}", bytes.len());
    assert_eq!(read(&bytes).arrivals().collect::<Vec<_>>(), [(0, 0), (20_000, 0)]);
}

#[test]
fn what_does_not_fit_is_left() {
    assert_eq!(write(0, &[(0, Some(0)), (1, Some(8_000_000)), (2, Some(17_000_000))]).1, 2, "9 s between two");
    assert_eq!(write(0, &[(0, Some(0)), (30_000, Some(0)), (60_000, Some(0)), (1, Some(0))]).1, 2, "a span of 2^15");
    let many: Vec<_> = (0..500).map(|sequence| (sequence, Some(u64::from(sequence) * 100_000))).collect();
    assert_eq!(write(0, &many).1, MAX_ARRIVALS);
    let worst: Vec<_> = (0..500).map(|index| (index * 16, Some(u64::from(index) * 100_000))).collect();
    assert!(write(0, &worst).0.len() <= 1200);
}

#[test]
fn nothing_received_is_nothing_to_say() {
    assert_eq!(write(5, &[(5, None), (6, None)]), (Vec::new(), 2));
    assert_eq!(write(5, &[]), (Vec::new(), 0));
}

#[test]
fn entries_out_of_order_are_passed_over() {
    let (bytes, consumed) = write(5, &[(4, Some(0)), (6, Some(0)), (6, Some(1000)), (5, Some(0)), (7, Some(500))]);
    assert_eq!(consumed, 5);
    assert_eq!(read(&bytes).iter().collect::<Vec<_>>(), [(5, None), (6, Some(0)), (7, Some(2))]);
}

/// Steps to the next sequence number and the next arrival, if it arrives.
fn steps() -> impl Strategy<Value = Vec<(u16, Option<i64>)>> {
    let gap = prop_oneof![8 => Just(1u16), 2 => 2u16..30, 1 => 30u16..9000];
    let time = prop_oneof![
        8 => (0i64..60_000).prop_map(Some),
        2 => Just(None),
        1 => (-50_000i64..0).prop_map(Some),
        1 => (60_000i64..12_000_000).prop_map(Some),
    ];
    proptest::collection::vec((gap, time), 1..400)
}

proptest! {
    /// Model: what was recorded, as a plain list of statuses, rounded down to ticks.
    #[test]
    fn messages_say_what_was_recorded(base: u16, start in 0u64..1 << 40, steps in steps()) {
        let (mut sequence, mut clock) = (base, start);
        let arrivals: Vec<_> = steps.iter().enumerate().map(|(index, &(gap, time))| {
            sequence = if index == 0 { base } else { sequence.wrapping_add(gap) };
            clock = time.map_or(clock, |time| clock.saturating_add_signed(time));
            (sequence, time.map(|_| clock))
        }).collect();
        let (mut rest, mut decoded) = (&arrivals[..], Vec::new());
        while let Some(&(base, _)) = rest.first() {
            let (bytes, consumed) = write(base, rest);
            prop_assert!(consumed > 0 && bytes.len() <= 1200 && bytes.len() % 4 == 0);
            if !bytes.is_empty() {
                let feedback = read(&bytes);
                let said: Vec<_> = feedback.iter().collect();
                prop_assert_eq!(said.len(), usize::from(feedback.packet_count));
                let received: Vec<_> = said.iter().filter_map(|&(sequence, at)| Some((sequence, at?))).collect();
                prop_assert_eq!(feedback.arrivals().collect::<Vec<_>>(), received.clone());
                prop_assert!(said.iter().zip(0..).all(|(status, index)| status.0 == base.wrapping_add(index)));
                prop_assert_eq!(said.last().map(|last| last.0), Some(rest[consumed - 1].0));
                let reference = i64::from(feedback.reference_time) & 0xff_ffff;
                decoded.extend(received.into_iter().map(|(sequence, at)| (sequence, (reference * 256 + at) & 0xffff_ffff)));
            }
            rest = &rest[consumed..];
        }
        let expected: Vec<_> = arrivals.iter().filter_map(|&(sequence, at)| Some((sequence, (at? / TICK_MICROS) as i64 & 0xffff_ffff))).collect();
        prop_assert_eq!(decoded, expected);
    }

    #[test]
    fn any_body_is_read(base: u16, count: u16, body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let bytes = message(base, count, &body[..body.len() / 4 * 4]);
        let feedback = read(&bytes);
        prop_assert!(feedback.iter().count() <= usize::from(count));
        prop_assert!(feedback.arrivals().count() <= body.len());
    }
}
