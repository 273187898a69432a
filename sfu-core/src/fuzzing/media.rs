//! Packets after SRTP, and what lies in them.

use crate::data::Envelope;
use crate::id::{Mid, ParticipantId};
use crate::rtcp::{self, Packet};
use crate::rtp::values::{AbsCaptureTime, AbsSendTime, AudioLevel, PlayoutDelay, TransportCc, VideoOrientation};
use crate::rtp::{
    self, HeaderOut, RtpPacket, av1::Av1Descriptor, dependency_descriptor::DependencyDescriptor, h264::H264Descriptor,
    vp8, vp8::Vp8Descriptor, vp9::Vp9Descriptor, write_header,
};
use crate::sdp::{Codec, H264Profile};

const H264: Codec = Codec::H264(H264Profile { profile: 0x42e0, packetization_mode: 1 });
const CODECS: [Codec; 5] = [Codec::Opus, Codec::Vp8, Codec::Vp9, H264, Codec::Av1];

/// An RTP packet, its extensions, and its payload as that of every codec.
pub fn rtp(data: &[u8]) {
    let header_len = rtp::header_len(data);
    let Ok(packet) = RtpPacket::parse(data) else { return };
    assert_eq!(header_len, Ok(packet.header_len()));
    assert_eq!(packet.header_len() + packet.payload().len() + packet.padding_len(), data.len());
    let found: Vec<_> = packet.extensions().collect();
    for (id, value) in &found {
        extension_value(value);
        assert!(packet.extension(*id).is_some());
    }
    let csrc = packet.csrcs().next();
    rewrite_header(&packet, &found, csrc);
    descriptors(packet.payload());
    if let Some((osn, payload)) = rtp::rtx::split(packet.payload()) {
        let mut again = vec![0; payload.len() + 2];
        let len = rtp::rtx::write(&mut again, osn, payload);
        assert_eq!(&again[..len], packet.payload());
    }
}

/// What is read can be written, and is then read alike.
fn rewrite_header(packet: &RtpPacket<'_>, extensions: &[(u8, &[u8])], csrc: Option<u32>) {
    let header = HeaderOut {
        marker: packet.marker(),
        payload_type: packet.payload_type(),
        sequence_number: packet.sequence_number(),
        timestamp: packet.timestamp(),
        ssrc: packet.ssrc().0,
        csrc,
    };
    // The two-byte form at its largest: twice the length of the one-byte form.
    let mut buf = vec![0; 2 * packet.header_len() + 32];
    let len = write_header(&mut buf, &header, extensions);
    let again = RtpPacket::parse(&buf[..len]).expect("we read what we write");
    assert_eq!(again.header_len(), len);
    assert!(again.extensions().eq(extensions.iter().copied().filter(|(id, _)| *id != 0)), "the same extensions");
    assert_eq!((again.ssrc(), again.sequence_number()), (packet.ssrc(), packet.sequence_number()));
}

/// The value of a header extension, read as each of those that there are.
pub fn extensions(data: &[u8]) {
    extension_value(data);
    for profile in [0xbede, 0x1000, 0x100f] {
        let held: usize = rtp::Extensions::of(profile, data).map(|(_, value)| 1 + value.len()).sum();
        assert!(held <= data.len() * 2);
    }
}

fn extension_value(value: &[u8]) {
    if let Some(level) = AudioLevel::parse(value) {
        assert_eq!(AudioLevel::parse(&level.to_bytes()), Some(level));
    }
    if let Some(time) = AbsCaptureTime::parse(value) {
        assert_eq!(AbsCaptureTime::parse(&time.to_bytes()), Some(time));
    }
    if let Some(time) = AbsSendTime::parse(value) {
        assert_eq!(AbsSendTime::parse(&time.to_bytes()), Some(time));
    }
    if let Some(number) = TransportCc::parse(value) {
        assert_eq!(number.to_bytes(), value[..2]);
    }
    let _ = (VideoOrientation::parse(value), PlayoutDelay::parse(value), Mid::from_bytes(value));
    if let Some(descriptor) = DependencyDescriptor::parse(value)
        && let Some(structure) = descriptor.structure
    {
        let max = structure.max_layers();
        for template in 0..=u8::MAX {
            if let Some(layers) = structure.layers(template) {
                assert!(layers.spatial <= max.spatial && layers.temporal <= max.temporal);
            }
            for target in [0, 1, 31, 32, u8::MAX] {
                let _ = structure.indication(template, target);
            }
        }
        assert!(structure.resolutions().len() <= usize::from(max.spatial) + 1);
    }
}

/// An RTP payload of every codec.
pub fn payload(data: &[u8]) {
    descriptors(data);
}

fn descriptors(payload: &[u8]) {
    for codec in CODECS {
        rtp::is_keyframe(codec, payload);
    }
    if let Some(old) = Vp8Descriptor::parse(payload) {
        let mut bytes = payload.to_vec();
        vp8::rewrite(&mut bytes, Some(0x7fff), Some(0xff));
        let new = Vp8Descriptor::parse(&bytes).expect("its shape is as it was");
        assert_eq!((new.len, new.tid, new.keyframe), (old.len, old.tid, old.keyframe));
        assert_eq!(bytes[new.len..], payload[old.len..], "media is left alone");
    }
    if let Some(descriptor) = Vp9Descriptor::parse(payload) {
        assert!(descriptor.len <= payload.len());
    }
    let _ = (H264Descriptor::parse(payload), Av1Descriptor::parse(payload));
}

/// A compound of RTCP packets, every list in it read to its end.
pub fn rtcp(data: &[u8]) {
    for packet in rtcp::packets(data).flatten() {
        match packet {
            Packet::SenderReport(report) => assert!(report.reports.iter().count() < 32),
            Packet::ReceiverReport(report) => assert!(report.reports.iter().count() < 32),
            Packet::SourceDescription(description) => {
                assert!(description.cnames().map(|(_, name)| 4 + name.len()).sum::<usize>() <= data.len());
            }
            Packet::Bye(bye) => assert!(bye.ssrcs().count() < 32),
            Packet::Nack(nack) => nack_again(&nack.iter().take(1_000).collect::<Vec<_>>()),
            Packet::Fir(fir) => assert!(fir.entries().count() <= data.len() / 8),
            Packet::TransportFeedback(feedback) => {
                let all = feedback.iter().filter_map(|(number, ticks)| Some((number, ticks?)));
                assert!(feedback.arrivals().eq(all), "the short way sees what the long way sees");
                assert!(feedback.iter().count() <= usize::from(u16::MAX));
            }
            Packet::Remb(remb) => assert!(remb.ssrcs().count() <= data.len() / 4),
            Packet::Pli(_) | Packet::Unknown { .. } => {}
        }
    }
}

/// Numbers that were asked for can be asked for by us.
fn nack_again(numbers: &[u16]) {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    let mut buf = Vec::new();
    rtcp::write_nack(&mut buf, crate::id::Ssrc(1), crate::id::Ssrc(2), &numbers);
    let mut again: Vec<u16> = rtcp::packets(&buf)
        .flatten()
        .flat_map(|packet| match packet {
            Packet::Nack(nack) => nack.iter().collect::<Vec<_>>(),
            _ => Vec::new(),
        })
        .collect();
    again.sort_unstable();
    assert_eq!(again, numbers);
}

/// A message of a data channel.
pub fn envelope(data: &[u8]) {
    let Ok(envelope) = Envelope::parse(data) else { return };
    let mut again = Vec::new();
    envelope.write(&mut again);
    assert_eq!(again, data, "an envelope has one form");
    let sender = ParticipantId::from_bytes([9; 12]);
    let delivered = envelope.deliver(sender);
    let delivered = Envelope::parse(&delivered).expect("no longer than what came");
    assert_eq!((delivered.sender, delivered.payload), (sender, envelope.payload));
    assert!(delivered.destinations.is_everybody());
}
