//! The receiving side of a participant: opens packets, counts them, and tells the sender what a browser would tell:
//! transport-wide feedback every 50 to 100 ms, receiver reports every second, NACKs for gaps, a PLI when nothing can be
//! shown.
//!
//! Packets are opened, which authenticates them, or only one in N where a generator could not keep up; those not opened
//! count by their sequence numbers, and their stamps stay unread. Sequence tracking and feedback are `sfu-core`'s.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use hashbrown::HashMap;
use sfu_core::id::Ssrc;
use sfu_core::rtcp::{Packet, packets, write_nack, write_pli, write_receiver_report};
use sfu_core::rtp::{RtpPacket, header_len, rtx};
use sfu_core::stream::{MAX_NACKS, NackTracker, Ntp, Offset, ReceiveStats, TwccRecorder};
use sfu_core::transport::srtp::Open;
use sfu_core::unit::SeqNo;

use super::frames::Frames;
use super::sdp::PayloadTypes;
use super::totals::{Sequences, Totals};
use crate::media::{AUDIO_CLOCK, VIDEO_CLOCK};
use crate::stamp::{Kind, Stamp};

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Requests for retransmission whose answers are timed.
const TIMED_REQUESTS: usize = 256;
/// Assumed until it is known; retries are spaced by it.
const RTT: Duration = Duration::from_millis(50);

/// What all receivers of a thread share.
pub struct Shared<'a> {
    /// Where it is counted.
    pub totals: &'a mut Totals,
    /// Time zero of stamps.
    pub epoch: Instant,
    /// One packet in so many is opened.
    pub open_every: u16,
    /// Whether the window is open, for packets that are not opened.
    pub measuring: bool,
}

/// What a receiver has seen of its join.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Firsts {
    /// The first authenticated packet.
    pub packet: Option<Instant>,
    /// The first keyframe that was complete.
    pub keyframe: Option<Instant>,
}

struct Stream {
    ssrc: u32,
    kind: Kind,
    stats: ReceiveStats,
    nack: NackTracker,
    frames: Option<Box<Frames>>,
    /// Distinct packets, and the number before the first of them.
    distinct: u64,
    base: u64,
    highest: u64,
    asked: Vec<(u16, Instant)>,
    pli: bool,
}

/// One participant's receiving side.
pub struct Receiver {
    own_ssrc: Ssrc,
    payload_types: PayloadTypes,
    transport_cc: Option<u8>,
    repairs: HashMap<u32, u32>,
    twcc: TwccRecorder,
    streams: Vec<Stream>,
    by_ssrc: HashMap<u32, usize>,
    report_at: Instant,
    /// What came first.
    pub firsts: Firsts,
}

impl Receiver {
    /// Nothing came yet.
    pub fn new(types: PayloadTypes, transport_cc: Option<u8>, repairs: &[(u32, u32)], now: Instant) -> Self {
        Self {
            own_ssrc: Ssrc(rand::random()),
            payload_types: types,
            transport_cc,
            repairs: repairs.iter().copied().collect(),
            twcc: TwccRecorder::new(now),
            streams: Vec::new(),
            by_ssrc: HashMap::new(),
            report_at: now + REPORT_INTERVAL,
            firsts: Firsts::default(),
        }
    }

    /// How many streams came.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Takes an SRTP packet that came at `at`, and opens it in place.
    pub fn on_rtp(&mut self, at: Instant, packet: &mut [u8], open: &mut Open, shared: &mut Shared<'_>) {
        if packet.len() < 12 || header_len(packet).is_err() {
            return;
        }
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let is_opened = shared.open_every <= 1 || sequence.is_multiple_of(shared.open_every);
        let len = match is_opened.then(|| open.rtp(packet)) {
            None => {
                shared.totals.unopened += 1;
                packet.len()
            }
            Some(Ok(len)) => len,
            Some(Err(_)) => return shared.totals.refused += 1,
        };
        shared.totals.opened += u64::from(is_opened);
        // What was not opened has only a header to read: its padding would be ciphertext.
        let view = if is_opened { &packet[..len] } else { &packet[..len.min(header_len(packet).unwrap_or(len))] };
        let bytes = len;
        if !is_opened {
            return self.on_unopened(at, view, bytes, shared);
        }
        let Ok(rtp) = RtpPacket::parse(view) else { return };
        self.record_transport(at, &rtp);
        let payload = rtp.payload();
        if rtp.payload_type() == self.payload_types.rtx {
            return self.on_repair(at, &rtp, shared);
        }
        let Some(kind) = self.kind_of(rtp.payload_type()) else { return shared.totals.foreign += 1 };
        let index = self.stream(at, rtp.ssrc().0, kind, rtp.sequence_number());
        let stream = &mut self.streams[index];
        let arrival = stream.stats.on_packet(at, rtp.sequence_number(), rtp.timestamp(), payload.len());
        let Some(arrival) = arrival else { return };
        if !stream.note(arrival.seq, at) {
            return shared.totals.duplicates += 1;
        }
        self.on_payload(at, index, payload, shared);
    }

    /// Takes an RTCP packet that was opened: sender reports are what reports back need.
    pub fn on_rtcp(&mut self, at: Instant, packet: &[u8]) {
        for packet in packets(packet).flatten() {
            if let Packet::SenderReport(report) = packet
                && let Some(index) = self.by_ssrc.get(&report.ssrc.0)
            {
                let theirs = Ntp(report.ntp);
                // The clocks of both ends are one: whose time it is does not matter here.
                let offset = Offset::of(theirs, theirs, std::iter::empty());
                self.streams[*index].stats.on_sender_report(at, theirs, report.rtp_timestamp, offset);
            }
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Instant {
        let nacks = self.streams.iter().filter_map(|stream| stream.nack.poll_timeout());
        nacks.chain(self.twcc.poll_timeout()).fold(self.report_at, Instant::min)
    }

    /// Hands feedback that is due to `send`, each compound in plain text.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        buffer: &mut Vec<u8>,
        totals: &mut Totals,
        send: &mut dyn FnMut(&[u8]),
    ) {
        let media = self.streams.first().map_or(Ssrc(0), |stream| Ssrc(stream.ssrc));
        loop {
            buffer.clear();
            if !self.twcc.poll(now, self.own_ssrc, media, buffer) {
                break;
            }
            send(buffer);
        }
        for stream in &mut self.streams {
            buffer.clear();
            stream.write_requests(now, self.own_ssrc, buffer, totals);
            if !buffer.is_empty() {
                send(buffer);
            }
        }
        if now >= self.report_at {
            self.report_at = now + REPORT_INTERVAL;
            let blocks: Vec<_> = self
                .streams
                .iter_mut()
                .filter_map(|stream| stream.stats.report_block(now, Ssrc(stream.ssrc)))
                .collect();
            buffer.clear();
            write_receiver_report(buffer, self.own_ssrc, &blocks, "load");
            send(buffer);
        }
    }

    /// What sequence numbers say: of audio, and of video.
    pub fn sequences(&self) -> [Sequences; 2] {
        let mut sums = [Sequences::default(); 2];
        for stream in &self.streams {
            let sequences = Sequences { expected: stream.highest - stream.base, distinct: stream.distinct };
            sums[usize::from(stream.kind == Kind::Video)].merge(sequences);
        }
        sums
    }

    fn kind_of(&self, payload_type: u8) -> Option<Kind> {
        match payload_type {
            known if known == self.payload_types.video => Some(Kind::Video),
            known if known == self.payload_types.audio => Some(Kind::Audio),
            _ => None,
        }
    }

    fn stream(&mut self, at: Instant, ssrc: u32, kind: Kind, sequence: u16) -> usize {
        if let Some(index) = self.by_ssrc.get(&ssrc) {
            return *index;
        }
        let clock = if kind == Kind::Video { VIDEO_CLOCK } else { AUDIO_CLOCK };
        let before = SeqNo::first(sequence).0 - 1;
        self.streams.push(Stream {
            ssrc,
            kind,
            stats: ReceiveStats::new(clock, at),
            nack: NackTracker::new(),
            frames: (kind == Kind::Video).then(Box::default),
            distinct: 0,
            base: before,
            highest: before,
            asked: Vec::new(),
            pli: false,
        });
        self.by_ssrc.insert(ssrc, self.streams.len() - 1);
        self.streams.len() - 1
    }

    fn record_transport(&mut self, at: Instant, rtp: &RtpPacket<'_>) {
        let number = self.transport_cc.and_then(|id| rtp.extension(id)).and_then(|value| value.first_chunk::<2>());
        if let Some(number) = number {
            self.twcc.record(u16::from_be_bytes(*number), at);
        }
    }

    /// `header` ends where the ciphertext begins.
    fn on_unopened(&mut self, at: Instant, header: &[u8], bytes: usize, shared: &mut Shared<'_>) {
        let mut plain: ArrayVec<u8, 256> = header.iter().copied().take(256).collect();
        // The padding bit speaks of bytes that stay sealed.
        plain[0] &= !0x20;
        let Ok(rtp) = RtpPacket::parse(&plain) else { return };
        self.record_transport(at, &rtp);
        let Some(kind) = self.kind_of(rtp.payload_type()) else { return };
        let index = self.stream(at, rtp.ssrc().0, kind, rtp.sequence_number());
        let stream = &mut self.streams[index];
        let payload = bytes.saturating_sub(header.len());
        let Some(arrival) = stream.stats.on_packet(at, rtp.sequence_number(), rtp.timestamp(), payload) else { return };
        if !stream.note(arrival.seq, at) {
            return shared.totals.duplicates += 1;
        }
        if shared.measuring {
            shared.totals.count(kind, payload);
        }
    }

    fn on_repair(&mut self, at: Instant, rtp: &RtpPacket<'_>, shared: &mut Shared<'_>) {
        let Some((original, payload)) = rtx::split(rtp.payload()) else { return };
        let named = self.repairs.get(&rtp.ssrc().0).and_then(|media| self.by_ssrc.get(media)).copied();
        let index = named.or_else(|| self.streams.iter().position(|stream| stream.has_asked(original)));
        let Some(index) = index else { return shared.totals.foreign += 1 };
        shared.totals.repairs += 1;
        let stream = &mut self.streams[index];
        if let Some(asked) = stream.answered(original) {
            shared.totals.repair_time.record(at.saturating_duration_since(asked));
        }
        let Some(seq) = stream.stats.extend(original) else { return };
        if !stream.note(seq, at) {
            return shared.totals.duplicates += 1;
        }
        self.on_payload(at, index, payload, shared);
    }

    /// A distinct packet, in plain text.
    fn on_payload(&mut self, at: Instant, index: usize, payload: &[u8], shared: &mut Shared<'_>) {
        let stream = &mut self.streams[index];
        let Some(stamp) = Stamp::read(payload) else { return shared.totals.foreign += 1 };
        self.firsts.packet.get_or_insert(at);
        let is_counted = if shared.open_every > 1 { shared.measuring } else { stamp.measured };
        if is_counted {
            shared.totals.count(stream.kind, payload.len());
            shared.totals.latency.record(stamp.age(shared.epoch, at));
        }
        // Frames can only be put together if every packet is read.
        let Some(frames) = stream.frames.as_mut().filter(|_| shared.open_every <= 1) else {
            if stamp.keyframe {
                self.firsts.keyframe.get_or_insert(at);
            }
            return;
        };
        let shown = frames.on_packet(at, &stamp);
        if shown.keyframe {
            self.firsts.keyframe.get_or_insert(at);
        }
        if is_counted {
            shared.totals.frames += u64::from(shown.frames);
            if let Some(freeze) = shown.freeze {
                shared.totals.freezes += 1;
                shared.totals.frozen += freeze;
            }
        }
        stream.pli |= frames.take_request(at);
    }
}

impl Stream {
    /// Whether the packet is new.
    fn note(&mut self, seq: SeqNo, at: Instant) -> bool {
        let is_new = self.nack.on_packet(seq, at);
        self.distinct += u64::from(is_new);
        self.highest = self.highest.max(seq.0);
        is_new
    }

    fn has_asked(&self, sequence: u16) -> bool {
        self.asked.iter().any(|(asked, _)| *asked == sequence)
    }

    fn answered(&mut self, sequence: u16) -> Option<Instant> {
        let index = self.asked.iter().position(|(asked, _)| *asked == sequence)?;
        Some(self.asked.swap_remove(index).1)
    }

    fn write_requests(&mut self, now: Instant, own: Ssrc, buffer: &mut Vec<u8>, totals: &mut Totals) {
        if self.kind == Kind::Audio {
            // Lost audio is concealed; polled all the same, so that the tracker forgets.
            let mut unused = ArrayVec::<u16, MAX_NACKS>::new();
            return self.nack.poll(now, RTT, &mut unused);
        }
        let mut missing = ArrayVec::<u16, MAX_NACKS>::new();
        self.nack.poll(now, RTT, &mut missing);
        if !missing.is_empty() {
            write_nack(buffer, own, Ssrc(self.ssrc), &missing);
            totals.nacks += missing.len() as u64;
            for sequence in missing {
                if self.asked.len() == TIMED_REQUESTS {
                    self.asked.remove(0);
                }
                if !self.has_asked(sequence) {
                    self.asked.push((sequence, now));
                }
            }
        }
        if std::mem::take(&mut self.pli) || self.nack.take_keyframe_needed() {
            write_pli(buffer, own, Ssrc(self.ssrc));
            totals.plis += 1;
        }
    }
}
