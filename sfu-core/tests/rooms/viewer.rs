//! A browser that watches: it puts frames together, asks again for what is missing and for keyframes, and tells when
//! packets arrived. Timing follows libwebrtc M128 (modules/video_coding/nack_requester.cc, video/video_receive_stream2.cc).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sfu_core::id::Ssrc;
use sfu_core::rtcp::{self, Packet as Rtcp, ReportBlock};
use sfu_core::rtp::RtpPacket;
use sfu_core::stream::TwccRecorder;
use sfu_core::transport::client::Received;
use sfu_core::unit::SeqNo;

use super::publisher::Tag;
use super::remb::Remb;
use super::support::World;
use super::support::offer::{ABS_SEND_TIME, TRANSPORT_CC, VP8_RTX};

/// Missing packets are looked at so often.
const NACK_TICK: Duration = Duration::from_millis(20);
/// Asked for again after a round trip: one that only receives does not measure it and assumes this.
const NACK_AGAIN: Duration = Duration::from_millis(100);
const NACK_TRIES: u8 = 10;
/// Older ones are given up, in packets.
const NACK_WINDOW: u64 = 10_000;
/// Without a frame for so long a keyframe is asked for; the first sooner.
const STALLED: Duration = Duration::from_secs(3);
const FIRST: Duration = Duration::from_millis(200);
const REPORT: Duration = Duration::from_secs(1);

/// What a viewer tells beside receiver reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feedback {
    Transport,
    Remb,
    Nothing,
}

/// A frame as it arrives.
#[derive(Debug, Default)]
struct Assembly {
    parts: Vec<bool>,
    keyframe: bool,
    complete: Option<Instant>,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fate {
    /// All of it was there.
    pub complete: Option<Instant>,
    /// And all that it refers to.
    pub decodable: Option<Instant>,
    pub encoding: u8,
}

/// What comes from one publisher.
pub struct Stream {
    pub ssrc: Option<Ssrc>,
    highest: Option<u64>,
    received: u64,
    first: u64,
    /// What the last report said: expected, received.
    reported: (u64, u64),
    last_report: Option<(u32, Instant)>,
    missing: BTreeMap<u64, (Instant, u8)>,
    /// By frame and encoding.
    frames: BTreeMap<(u32, u8), Assembly>,
    /// By frame.
    pub fates: BTreeMap<u32, Fate>,
    /// Of each encoding: the last frame that can be decoded.
    decoded: [Option<(u32, Instant)>; 3],
    pub last_decoded: Option<Instant>,
    asked: Option<Instant>,
    pub plis: u32,
}

/// See the module's text.
pub struct Viewer {
    pub client: usize,
    recorder: TwccRecorder,
    remb: Option<Remb>,
    /// By CSRC.
    pub streams: BTreeMap<u32, Stream>,
    /// Media SSRC by the source they carry, to find the one that a report is about.
    next_nack: Instant,
    next_report: Instant,
    pub bytes: u64,
    joined: Instant,
}

impl Stream {
    fn new() -> Self {
        Self {
            ssrc: None,
            highest: None,
            received: 0,
            first: 0,
            reported: (0, 0),
            last_report: None,
            missing: BTreeMap::new(),
            frames: BTreeMap::new(),
            fates: BTreeMap::new(),
            decoded: [None; 3],
            last_decoded: None,
            asked: None,
            plis: 0,
        }
    }

    fn on_number(&mut self, now: Instant, wire: u16) {
        let Some(highest) = self.highest else {
            let first = 0x1_0000 + u64::from(wire);
            (self.highest, self.first, self.received) = (Some(first), first, 1);
            return;
        };
        let seq = SeqNo(highest).nearest(wire).0;
        self.received += 1;
        self.missing.remove(&seq);
        self.missing.extend((highest + 1..seq).map(|missing| (missing, (now, 0))));
        self.highest = Some(highest.max(seq));
    }

    fn on_part(&mut self, now: Instant, tag: Tag) {
        let assembly = self.frames.entry((tag.frame, tag.encoding)).or_default();
        assembly.parts.resize(usize::from(tag.parts), false);
        assembly.parts[usize::from(tag.part)] = true;
        assembly.keyframe = tag.keyframe;
        self.fates.entry(tag.frame).or_default().encoding = tag.encoding;
        if assembly.complete.is_none() && assembly.parts.iter().all(|part| *part) {
            assembly.complete = Some(now);
            let fate = self.fates.entry(tag.frame).or_default();
            fate.complete = fate.complete.or(Some(now));
            self.decode(now, tag.frame, tag.encoding);
        }
    }

    /// Decodes a frame and all that waited for it.
    fn decode(&mut self, now: Instant, mut frame: u32, encoding: u8) {
        let decoded = &mut self.decoded[usize::from(encoding)];
        while let Some(assembly) = self.frames.get(&(frame, encoding)).filter(|a| a.complete.is_some()) {
            let follows = decoded.is_some_and(|(last, _)| last + 1 == frame);
            if !assembly.keyframe && !follows || decoded.is_some_and(|(last, _)| last >= frame) {
                return;
            }
            *decoded = Some((frame, now));
            let fate = self.fates.entry(frame).or_default();
            fate.decodable = fate.decodable.or(Some(now));
            self.last_decoded = Some(now);
            frame += 1;
        }
    }

    fn nacks(&mut self, now: Instant) -> Vec<u16> {
        let oldest = self.highest.unwrap_or(0).saturating_sub(NACK_WINDOW);
        self.missing.retain(|seq, (_, tries)| *seq >= oldest && *tries < NACK_TRIES);
        let due = self.missing.iter_mut().filter(|(_, (at, _))| *at <= now);
        due.map(|(seq, (at, tries))| {
            (*at, *tries) = (now + NACK_AGAIN, *tries + 1);
            *seq as u16
        })
        .collect()
    }

    /// Whether a keyframe is to be asked for.
    fn stalls(&mut self, now: Instant, joined: Instant) -> bool {
        let patience = if self.last_decoded.is_some() { STALLED } else { FIRST };
        let since = self.last_decoded.max(self.asked).unwrap_or(joined);
        let stalls = now - since >= patience;
        if stalls {
            self.asked = Some(now);
            self.plis += 1;
        }
        stalls
    }

    fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        let (highest, ssrc) = (self.highest?, self.ssrc?);
        let expected = highest + 1 - self.first;
        let (before, received) = std::mem::replace(&mut self.reported, (expected, self.received));
        let (expected_now, received_now) = (expected - before, self.received - received);
        let lost = expected_now.saturating_sub(received_now) * 256 / expected_now.max(1);
        let delay = self.last_report.map_or(0, |(_, at)| (now - at).as_micros() as u64 * 65_536 / 1_000_000);
        Some(ReportBlock {
            ssrc,
            fraction_lost: lost.min(255) as u8,
            cumulative_lost: expected.saturating_sub(self.received) as i32,
            highest_sequence: highest as u32,
            jitter: 0,
            last_sr: self.last_report.map_or(0, |(ntp, _)| ntp),
            delay_since_last_sr: delay as u32,
        })
    }
}

impl Viewer {
    pub fn new(client: usize, now: Instant, feedback: Feedback) -> Self {
        Self {
            client,
            recorder: TwccRecorder::new(now),
            remb: (feedback == Feedback::Remb).then(|| Remb::new(now)),
            streams: BTreeMap::new(),
            next_nack: now,
            next_report: now + REPORT,
            bytes: 0,
            joined: now,
        }
    }

    /// A datagram of the server arrives.
    pub fn receive(&mut self, world: &mut World, at: Instant, datagram: &[u8]) {
        match world.clients[self.client].rtc.handle(at, datagram) {
            Received::Rtp(packet) => {
                self.bytes += datagram.len() as u64;
                self.on_rtp(at, &RtpPacket::parse(&packet).expect("the server's packets can be read"));
            }
            Received::Rtcp(compound) => self.on_rtcp(at, &compound),
            Received::Checked { .. } | Received::Nothing => {}
            Received::Refused(error) => panic!("a packet from the server is refused: {error}"),
        }
    }

    fn on_rtp(&mut self, at: Instant, packet: &RtpPacket<'_>) {
        if let Some([high, low]) = packet.extension(TRANSPORT_CC) {
            self.recorder.record(u16::from_be_bytes([*high, *low]), at);
        }
        if let Some(remb) = &mut self.remb
            && let Some(&[a, b, c]) = packet.extension(ABS_SEND_TIME)
        {
            remb.on_packet(at, u32::from_be_bytes([0, a, b, c]), packet.payload().len());
        }
        let Some(csrc) = packet.csrcs().next().filter(|_| !packet.payload().is_empty()) else { return };
        let stream = self.streams.entry(csrc).or_insert_with(Stream::new);
        let (number, payload) = if packet.payload_type() == VP8_RTX {
            let (number, payload) = packet.payload().split_at(2);
            (u16::from_be_bytes([number[0], number[1]]), payload)
        } else {
            stream.ssrc = Some(packet.ssrc());
            (packet.sequence_number(), packet.payload())
        };
        stream.on_number(at, number);
        stream.on_part(at, Tag::parse(payload));
    }

    fn on_rtcp(&mut self, at: Instant, compound: &[u8]) {
        for packet in rtcp::packets(compound).flatten() {
            if let Rtcp::SenderReport(report) = packet
                && let Some(stream) = self.streams.values_mut().find(|stream| stream.ssrc == Some(report.ssrc))
            {
                stream.last_report = Some(((report.ntp >> 16) as u32, at));
            }
        }
    }

    /// What it says now.
    pub fn run(&mut self, now: Instant) -> Vec<Vec<u8>> {
        const OWN: Ssrc = Ssrc(1);
        let mut said = Vec::new();
        let mut message = Vec::new();
        while self.recorder.poll(now, OWN, Ssrc(2), &mut message) {
            said.push(std::mem::take(&mut message));
        }
        if let Some(bitrate) = self.remb.as_mut().and_then(|remb| remb.poll(now)) {
            rtcp::write_remb(&mut message, OWN, bitrate, &[]);
        }
        if now >= self.next_nack {
            self.next_nack = now + NACK_TICK;
            for stream in self.streams.values_mut() {
                let Some(ssrc) = stream.ssrc else { continue };
                let numbers = stream.nacks(now);
                if !numbers.is_empty() {
                    rtcp::write_nack(&mut message, OWN, ssrc, &numbers);
                }
                if stream.stalls(now, self.joined) {
                    rtcp::write_pli(&mut message, OWN, ssrc);
                }
            }
        }
        if now >= self.next_report {
            self.next_report = now + REPORT;
            let blocks = self.streams.values_mut().filter_map(|stream| stream.report(now)).collect::<Vec<_>>();
            rtcp::write_receiver_report(&mut message, OWN, &blocks, "viewer");
        }
        said.push(message);
        said.retain(|message| !message.is_empty());
        said
    }
}
