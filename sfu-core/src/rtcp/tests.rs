use super::*;
use crate::unit::Bitrate;
use proptest::prelude::*;

const A: Ssrc = Ssrc(0x0a0a_0a0a);
const B: Ssrc = Ssrc(0x0b0b_0b0b);

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut buf = Vec::new();
    write(&mut buf);
    buf
}

fn only(bytes: &[u8]) -> Packet<'_> {
    let mut packets = packets(bytes);
    let packet = packets.next().expect("a packet").expect("a good one");
    assert!(packets.next().is_none());
    packet
}

fn block(ssrc: u32, cumulative_lost: i32) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(ssrc),
        fraction_lost: 64,
        cumulative_lost,
        highest_sequence: 0x0001_fffe,
        jitter: 7,
        last_sr: 0x1234_5678,
        delay_since_last_sr: 0x0001_0000,
    }
}

#[test]
fn a_receiver_report_is_laid_out_as_rfc_3550_says() {
    let bytes = written(|buf| write_receiver_report(buf, A, &[block(0x0b0b_0b0b, -2)], "ab"));
    let expected = [
        0x81, 201, 0, 7, 0x0a, 0x0a, 0x0a, 0x0a, 0x0b, 0x0b, 0x0b, 0x0b, 64, 0xff, 0xff, 0xfe, 0, 1, 0xff,
        0xfe, // RR
        0, 0, 0, 7, 0x12, 0x34, 0x56, 0x78, 0, 1, 0, 0, //
        0x81, 202, 0, 3, 0x0a, 0x0a, 0x0a, 0x0a, 1, 2, b'a', b'b', 0, 0, 0, 0, // SDES
    ];
    assert_eq!(bytes, expected);
    let mut read = packets(&bytes);
    let Some(Ok(Packet::ReceiverReport(report))) = read.next() else { panic!() };
    assert_eq!(report.ssrc, A);
    assert_eq!(report.reports.iter().collect::<Vec<_>>(), [block(0x0b0b_0b0b, -2)]);
    let Some(Ok(Packet::SourceDescription(names))) = read.next() else { panic!() };
    assert_eq!(names.cnames().collect::<Vec<_>>(), [(A, &b"ab"[..])]);
}

#[test]
fn a_sender_report_overflows_into_receiver_reports() {
    let info = SenderInfo { ssrc: A, ntp: 0x0102_0304_0506_0708, rtp_timestamp: 9, packets: 10, octets: 11 };
    let blocks: Vec<_> = (0..40).map(|ssrc| block(ssrc, 1)).collect();
    let bytes = written(|buf| write_sender_report(buf, &info, &blocks, ""));
    let mut read = packets(&bytes);
    let Some(Ok(Packet::SenderReport(report))) = read.next() else { panic!() };
    assert_eq!(
        (report.ssrc, report.ntp, report.rtp_timestamp, report.packets, report.octets),
        (info.ssrc, info.ntp, 9, 10, 11)
    );
    let Some(Ok(Packet::ReceiverReport(more))) = read.next() else { panic!() };
    assert_eq!(report.reports.iter().chain(more.reports.iter()).collect::<Vec<_>>(), blocks);
    assert!(read.next().is_none());
}

#[test]
fn names_are_found_behind_other_items() {
    // Chunk 1: a NAME item, no CNAME. Chunk 2: NAME and CNAME. Chunk 3 is cut short.
    let bytes = [
        0x83, 202, 0, 7, 0, 0, 0, 1, 2, 1, b'n', 0, 0, 0, 0, 2, 2, 0, 1, 3, b'c', b'n', b'm', 0, 0, 0, 0, 3, 1, 9,
        b'x', b'y',
    ];
    let Packet::SourceDescription(names) = only(&bytes) else { panic!() };
    assert_eq!(names.cnames().collect::<Vec<_>>(), [(Ssrc(2), &b"cnm"[..])]);
}

#[test]
fn nack_bits_follow_the_first_number() {
    let bytes = written(|buf| write_nack(buf, A, B, &[0xfffe, 0xffff, 14, 15]));
    let expected =
        [0x81, 205, 0, 4, 0x0a, 0x0a, 0x0a, 0x0a, 0x0b, 0x0b, 0x0b, 0x0b, 0xff, 0xfe, 0x80, 0x01, 0, 15, 0, 0];
    assert_eq!(bytes, expected);
    let Packet::Nack(nack) = only(&bytes) else { panic!() };
    assert_eq!((nack.sender, nack.media), (A, B));
    assert_eq!(nack.iter().collect::<Vec<_>>(), [0xfffe, 0xffff, 14, 15]);
}

#[test]
fn keyframe_requests_are_laid_out_as_the_rfcs_say() {
    let pli = written(|buf| write_pli(buf, A, B));
    assert_eq!(pli, [0x81, 206, 0, 2, 0x0a, 0x0a, 0x0a, 0x0a, 0x0b, 0x0b, 0x0b, 0x0b]);
    assert!(matches!(only(&pli), Packet::Pli(Pli { sender: A, media: B })));
    let fir = written(|buf| write_fir(buf, A, B, 7));
    assert_eq!(fir, [0x84, 206, 0, 4, 0x0a, 0x0a, 0x0a, 0x0a, 0, 0, 0, 0, 0x0b, 0x0b, 0x0b, 0x0b, 7, 0, 0, 0]);
    let Packet::Fir(fir) = only(&fir) else { panic!() };
    assert_eq!(fir.entries().collect::<Vec<_>>(), [FirEntry { media: B, sequence: 7 }]);
}

#[test]
fn remb_is_laid_out_as_the_draft_says() {
    // 2^18 needs one more bit than the mantissa has.
    let bytes = written(|buf| write_remb(buf, A, Bitrate(1 << 18), &[B]));
    assert_eq!(bytes[12..], [b'R', b'E', b'M', b'B', 1, 0x06, 0, 0, 0x0b, 0x0b, 0x0b, 0x0b]);
    let Packet::Remb(remb) = only(&bytes) else { panic!() };
    assert_eq!((remb.bitrate, remb.ssrcs().collect::<Vec<_>>()), (Bitrate(1 << 18), vec![B]));
    let mut huge = bytes.clone();
    huge[17] = 0xff;
    let Packet::Remb(remb) = only(&huge) else { panic!() };
    assert_eq!(remb.bitrate, Bitrate(u64::MAX));
    huge[17] = 0xfc;
    let Packet::Remb(remb) = only(&huge) else { panic!() };
    assert_eq!(remb.bitrate, Bitrate(0), "a large exponent of nothing");
    huge[16] = 2;
    assert_eq!(packets(&huge).next().unwrap().unwrap_err(), RtcpError::Malformed { packet_type: 206 });
}

#[test]
fn a_farewell_names_its_sources() {
    let bytes = written(|buf| write_bye(buf, &[A, B]));
    assert_eq!(bytes, [0x82, 203, 0, 2, 0x0a, 0x0a, 0x0a, 0x0a, 0x0b, 0x0b, 0x0b, 0x0b]);
    let Packet::Bye(bye) = only(&bytes) else { panic!() };
    assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [A, B]);
}

#[test]
fn wrong_contents_do_not_hide_what_follows() {
    let bytes = [&[0x85, 203, 0, 0][..], &[0x81, 207, 0, 0], &[0x81, 206, 0, 9, 0]].concat();
    let read: Vec<_> = packets(&bytes).collect();
    assert!(matches!(read[0], Err(RtcpError::Malformed { packet_type: 203 })));
    assert!(matches!(read[1], Ok(Packet::Unknown { packet_type: 207, count: 1 })));
    assert!(matches!(read[2], Err(RtcpError::Truncated)));
    assert_eq!(read.len(), 3);
    assert!(matches!(packets(&[0x40, 200, 0, 0]).next(), Some(Err(RtcpError::Version(1)))));
}

#[test]
fn padding_is_no_content() {
    let padded = |count| [0xa1, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0, 0, 0, 0, 0, count];
    let bytes = padded(4);
    let Packet::Nack(nack) = only(&bytes) else { panic!() };
    assert_eq!(nack.iter().collect::<Vec<_>>(), [5]);
    for wrong in [0, 17] {
        let bytes = padded(wrong);
        assert!(matches!(packets(&bytes).next(), Some(Err(RtcpError::Malformed { packet_type: 205 }))));
    }
}

/// Reads everything that can be read.
fn read_all(bytes: &[u8]) -> usize {
    let read = |packet: Packet<'_>| match packet {
        Packet::SenderReport(report) => report.reports.iter().count(),
        Packet::ReceiverReport(report) => report.reports.iter().count(),
        Packet::SourceDescription(names) => names.cnames().count(),
        Packet::Bye(bye) => bye.ssrcs().count(),
        Packet::Nack(nack) => nack.iter().count(),
        Packet::Fir(fir) => fir.entries().count(),
        Packet::TransportFeedback(feedback) => feedback.arrivals().count(),
        Packet::Remb(remb) => remb.ssrcs().count(),
        Packet::Pli(_) | Packet::Unknown { .. } => 0,
    };
    packets(bytes).filter_map(Result::ok).map(read).sum()
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    #[test]
    fn any_contents_are_read(
        parts in proptest::collection::vec((0u8..64, 199u8..208, proptest::collection::vec(any::<[u8; 4]>(), 0..20)), 1..6),
    ) {
        let bytes = written(|buf| for (flags, packet_type, body) in parts {
            let body = body.concat();
            buf.extend_from_slice(&[0x80 | flags, packet_type, 0, (body.len() / 4) as u8]);
            buf.extend_from_slice(&body);
        });
        prop_assert!(read_all(&bytes) <= 17 * bytes.len());
    }

    #[test]
    fn nacks_ask_for_what_was_missing(
        start: u16, steps in proptest::collection::vec(prop_oneof![4 => 1u16..20, 1 => 20u16..60], 1..600),
    ) {
        let numbers: Vec<_> = steps.iter().scan(start, |at, step| { *at = at.wrapping_add(*step); Some(*at) }).collect();
        let bytes = written(|buf| write_nack(buf, A, B, &numbers));
        let asked: Vec<_> = packets(&bytes).flat_map(|packet| match packet {
            Ok(Packet::Nack(nack)) => nack.iter().collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(asked, numbers);
    }

    #[test]
    fn remb_loses_less_than_one_part_in_2_to_the_17(bits in 0u32..64, bitrate: u64) {
        let bitrate = bitrate >> bits;
        let bytes = written(|buf| write_remb(buf, A, Bitrate(bitrate), &[]));
        let Packet::Remb(remb) = only(&bytes) else { panic!() };
        prop_assert!(remb.bitrate.0 <= bitrate && bitrate - remb.bitrate.0 <= bitrate >> 17);
    }

    #[test]
    fn names_of_any_length_are_read(cname in "[a-z]{1,300}") {
        let bytes = written(|buf| write_receiver_report(buf, A, &[], &cname));
        let Some(Ok(Packet::SourceDescription(names))) = packets(&bytes).nth(1) else { panic!() };
        prop_assert_eq!(names.cnames().collect::<Vec<_>>(), [(A, &cname.as_bytes()[..cname.len().min(255)])]);
    }
}
