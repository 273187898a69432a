//! RTCP of a room: what members tell us, and what we tell them (RFC 3550 section 6, RFC 4585, RFC 5104).
//!
//! A publisher gets transport-wide feedback, NACKs within 10 ms of a gap, keyframe requests and receiver reports; a
//! subscriber gets sender reports in our NTP time (the publisher's clock plus one offset for all its streams, so that lip
//! sync holds) and retransmissions.
//!
//! What a member's reports cost us is bounded: in datagrams per second ([`Reporting`]), and in what one datagram may ask for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::bwe::Estimator;
use crate::control::{Event, InboundStats, OutboundStats, TrackKind};
use crate::id::Ssrc;
use crate::limiter::{Limit, Limiter};
use crate::pacer::Resend;
use crate::rtcp::{self, MAX_BLOCKS, Packet, ReportBlock};
use crate::stream::{MAX_NACKS, Ntp, Offset};

use super::downlink::Downlink;
use super::member::Member;
use super::packet::{Outbox, Refused};
use super::{MemberIndex, PeerIndex, Room};

/// Reports are this far apart. RFC 3550 section 6.2 allows it at these rates, and browsers do the same.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// So many ticks make a round in which each member has its turn: 20 ms. What is in
/// more of a hurry comes with what the member tells.
const TURNS: usize = 4;

/// A compound packet of so many bytes is sent; the next report starts another, so that all stay below an MTU.
const COMPOUND_BYTES: usize = 1_000;

/// Sequence numbers that the NACKs of one datagram are answered for; browsers ask for far fewer.
const MAX_RETRANSMITTED: usize = 256;

/// Messages of transport-wide feedback that are read of one datagram; browsers send one.
const MAX_FEEDBACK: usize = 8;

/// Datagrams of RTCP that are read of one member: feedback comes twenty times a second, reports once for each stream, and NACKs and
/// keyframe requests when something is lost.
const REPORTS_PER_SECOND: u32 = 500;

/// Sequence numbers that one member's NACKs are answered for: of 20 Mbps that lose a tenth, each five times.
const NACKS_PER_SECOND: u32 = 1_000;

/// What one member's RTCP may cost.
#[derive(Debug)]
pub struct Reporting {
    datagrams: Limiter,
    nacked: Limiter,
}

impl Reporting {
    /// Nothing came yet.
    pub fn new(now: Instant) -> Self {
        let limiter = |per_second| Limiter::new(Limit::per_second(per_second, 2 * per_second), now);
        Self { datagrams: limiter(REPORTS_PER_SECOND), nacked: limiter(NACKS_PER_SECOND) }
    }
}

impl Room {
    /// Digests a compound RTCP packet that `member` sent.
    pub fn handle_rtcp(&mut self, now: Instant, member: MemberIndex, compound: &[u8], out: &mut impl Outbox) {
        let ours = Ntp::at(&self.clock, now);
        if let Some(member) = self.member_mut(member) {
            if !member.reporting.datagrams.admit(now, 1) {
                out.on_refused(Refused::Report);
                return;
            }
            member.health.on_report();
        }
        let (mut feedback_left, mut nacks_left) = (MAX_FEEDBACK, MAX_RETRANSMITTED);
        for packet in rtcp::packets(compound).flatten() {
            match packet {
                Packet::SenderReport(report) => {
                    if let Some(member) = self.member_mut(member) {
                        on_sender_report(member, now, ours, &report);
                    }
                    self.on_report_blocks(now, member, ours, report.reports.iter());
                }
                Packet::ReceiverReport(report) => self.on_report_blocks(now, member, ours, report.reports.iter()),
                Packet::Bye(bye) => self.on_bye(now, member, &bye),
                Packet::TransportFeedback(feedback) if feedback_left > 0 => {
                    feedback_left -= 1;
                    self.adapt(member, |path| path.on_feedback(now, &feedback));
                }
                Packet::Remb(remb) => self.adapt(member, |path| path.on_remb(now, remb.bitrate)),
                Packet::Nack(nack) => self.retransmit(
                    now,
                    member,
                    nack.media,
                    nack.iter().take(nacks_left).inspect(|_| nacks_left -= 1),
                    out,
                ),
                Packet::Pli(pli) => self.on_keyframe_request(now, member, pli.media),
                Packet::Fir(fir) => fir.entries().for_each(|entry| self.on_keyframe_request(now, member, entry.media)),
                _ => {}
            }
        }
    }

    /// Streams that end (RFC 3550 section 6.6) no longer flow, from now on. One that goes on all the same flows again.
    fn on_bye(&mut self, now: Instant, member: MemberIndex, bye: &rtcp::Bye<'_>) {
        let Some(member) = self.member_mut(member) else { return };
        for ssrc in bye.ssrcs() {
            if let Some(encoding) = member.receiver.encoding_of(ssrc) {
                encoding.end(now);
            }
        }
    }

    /// Digests a compound packet with a sender report, or a farewell, that was relayed. What it reports of our streams is for its
    /// own part.
    pub fn handle_relayed_report(&mut self, now: Instant, member: MemberIndex, compound: &[u8]) {
        let ours = Ntp::at(&self.clock, now);
        for packet in rtcp::packets(compound).flatten() {
            match packet {
                Packet::SenderReport(report) => {
                    if let Some(member) = self.member_mut(member) {
                        member.health.on_report();
                        on_sender_report(member, now, ours, &report);
                    }
                }
                Packet::Bye(bye) => self.on_bye(now, member, &bye),
                _ => {}
            }
        }
    }

    /// Does what is due for all members. Those who publish are looked at each time, since gaps do not wait; those who only
    /// receive after they were heard of, and otherwise in turn.
    pub fn tick(&mut self, now: Instant, out: &mut impl Outbox, events: &mut VecDeque<Event>) {
        self.turn = (self.turn + 1) % TURNS;
        self.hear(now, events);
        self.serve_in_turn(now, events);
        self.allocate(now, events);
        self.look_at_connections(now, events);
        let ours = Ntp::at(&self.clock, now);
        self.follow_flows(now);
        let mut buffer = std::mem::take(&mut self.scratch);
        for index in 0..self.members.capacity() {
            let Some(member) = self.members.get_mut(index) else { continue };
            if let Some(home) = member.away {
                self.ask_home(now, index, home);
                self.look_for_media(now, MemberIndex(index as u32));
                continue;
            }
            let is_due = is_due(self.turn, index, &member.downlink);
            if !is_due && member.receiver.lines.is_empty() {
                continue;
            }
            if is_due && member.downlink.tick(now) {
                self.wait_for(MemberIndex(index as u32));
            }
            self.look_for_media(now, MemberIndex(index as u32));
            let Some(member) = self.members.get_mut(index) else { continue };
            buffer.clear();
            let (sender, peer) = (Ssrc(member.rtcp_ssrc), member.peer);
            if let Some(media) = write_feedback(member, now, &mut buffer, out) {
                flush(&mut buffer, now, peer, out);
                while member.receiver.twcc.poll(now, sender, media, &mut buffer) {
                    flush(&mut buffer, now, peer, out);
                }
            }
            if member.next_report <= now {
                member.next_report = now + REPORT_INTERVAL;
                member.receiver.shrink(now);
                write_receiver_reports(member, now, &mut buffer, out);
                self.send_sender_reports(index, now, ours, &mut buffer, out);
            }
            flush(&mut buffer, now, peer, out);
        }
        self.scratch = buffer;
    }

    /// The statistics of a member's streams.
    pub fn stats(&self, member: MemberIndex) -> (Vec<InboundStats>, Vec<OutboundStats>) {
        let Some(member) = self.member(member) else { return Default::default() };
        let inbound = member.receiver.lines.iter().filter_map(|line| Some((line, line.publication?)));
        let inbound = inbound.flat_map(|(line, publication)| {
            let track = self.publications[publication.0 as usize].track;
            line.encodings.iter().filter(|encoding| encoding.ssrc.is_some()).map(move |encoding| InboundStats {
                track,
                rid: encoding.rid.map(|rid| rid.to_string()),
                codec: encoding.codec.map_or("", |codec| codec.name()),
                packets: encoding.stats.packets(),
                bytes: encoding.stats.bytes(),
                lost: encoding.stats.lost(),
                jitter_ms: encoding.stats.jitter() * 1e3,
                nacks: encoding.nack.asked(),
                plis: encoding.keyframes.sent,
            })
        });
        let outbound = member.lines.iter().filter(|line| line.stats.packets() > 0).map(|line| OutboundStats {
            slot: line.slot,
            track: line.assigned().map(|assigned| assigned.track),
            packets: line.stats.packets(),
            bytes: line.stats.bytes(),
            retransmitted: line.stats.retransmitted(),
            fraction_lost: line.stats.fraction_lost(),
        });
        (inbound.collect(), outbound.collect())
    }

    fn on_report_blocks(
        &mut self,
        now: Instant,
        member: MemberIndex,
        ours: Ntp,
        blocks: impl Iterator<Item = ReportBlock>,
    ) {
        let Some(member) = self.member_mut(member) else { return };
        let (mut worst, mut shortest): (Option<f64>, Option<Duration>) = (None, None);
        for block in blocks {
            let Some(line) = member.lines.iter_mut().find(|line| line.ssrc() == block.ssrc.0) else { continue };
            let rtt = line.stats.on_report_block(ours, &block);
            worst = Some(line.stats.fraction_lost().max(worst.unwrap_or(0.0)));
            if let Some(rtt) = rtt {
                member.on_rtt(rtt);
                shortest = Some(shortest.map_or(rtt, |shortest| shortest.min(rtt)));
            }
        }
        if let Some(loss) = worst {
            member.downlink.hear().on_reports(now, loss, shortest);
        }
    }

    fn adapt(&mut self, member: MemberIndex, change: impl FnOnce(&mut Estimator)) {
        if let Some(member) = self.member_mut(member) {
            change(member.downlink.hear());
        }
    }

    fn retransmit(
        &mut self,
        now: Instant,
        member: MemberIndex,
        media: Ssrc,
        numbers: impl Iterator<Item = u16>,
        out: &mut impl Outbox,
    ) {
        let Some(place) = self.member(member).and_then(|m| m.lines.iter().position(|line| line.ssrc() == media.0))
        else {
            return;
        };
        for wire in numbers {
            if !self.members[member.0 as usize].reporting.nacked.admit(now, 1) {
                out.on_refused(Refused::Report);
                break;
            }
            let resend = Resend { line: place as u16, wire };
            let pacer = &mut self.members[member.0 as usize].downlink.pacer;
            if pacer.passes_resend(now) {
                self.resend(now, member, resend, out);
            } else {
                pacer.queue_resend(now, resend);
            }
        }
        self.wait_for(member);
    }

    fn send_sender_reports(&self, index: usize, now: Instant, ours: Ntp, buffer: &mut Vec<u8>, out: &mut impl Outbox) {
        for line in &self.members[index].lines {
            let Some((publication, key)) = line.publication().zip(line.flowing()) else { continue };
            let publication = &self.publications[publication.0 as usize];
            let publisher = &self.members[publication.publisher.0 as usize];
            let source = publisher.receiver.lines.iter().find(|from| from.mid == publication.mid);
            let clock = source.and_then(|from| from.encoding(key)).and_then(|encoding| encoding.stats.source_clock());
            let timestamp = clock.map(|clock| line.outgoing_timestamp(clock.timestamp_at(ours)));
            let ssrc = Ssrc(line.ssrc());
            let Some(report) = line.stats.sender_info(now, ours, ssrc, timestamp) else { continue };
            rtcp::write_sender_report(buffer, &report, &[], line.cname());
            if buffer.len() > COMPOUND_BYTES {
                flush(buffer, now, self.members[index].peer, out);
            }
        }
    }
}

/// Whether what depends on a member's path is looked at: it told of it, or it is the turn of those at its `index`.
pub(super) const fn is_due(turn: usize, index: usize, path: &Downlink) -> bool {
    index % TURNS == turn || path.has_heard()
}

fn on_sender_report(member: &mut Member, now: Instant, ours: Ntp, report: &rtcp::SenderReport<'_>) {
    let theirs = Ntp(report.ntp);
    let offset = Offset::of(ours, theirs, member.receiver.clocks().map(|clock| clock.offset));
    if let Some(encoding) = member.receiver.encoding_of(report.ssrc) {
        encoding.stats.on_sender_report(now, theirs, report.rtp_timestamp, offset);
    }
}

fn flush(buffer: &mut Vec<u8>, now: Instant, peer: PeerIndex, out: &mut impl Outbox) {
    if !buffer.is_empty() {
        out.send_rtcp(now, peer, buffer);
        buffer.clear();
    }
}

/// What a publisher must know soon: gaps, and that somebody waits for a keyframe. Returns one of its SSRCs.
fn write_feedback(member: &mut Member, now: Instant, buffer: &mut Vec<u8>, out: &mut impl Outbox) -> Option<Ssrc> {
    let (sender, rtt, peer) = (Ssrc(member.rtcp_ssrc), member.rtt(), member.peer);
    let mut any = None;
    for line in &mut member.receiver.lines {
        let (nacks, fir) = (line.nacks(), line.only_fir());
        for encoding in &mut line.encodings {
            let Some(media) = encoding.ssrc else { continue };
            any = Some(media);
            let mut numbers = ArrayVec::<u16, MAX_NACKS>::new();
            encoding.nack.poll(now, rtt, &mut numbers);
            if nacks && !numbers.is_empty() {
                rtcp::write_nack(buffer, sender, media, &numbers);
            }
            if encoding.nack.take_keyframe_needed() && line.kind == TrackKind::Video {
                encoding.keyframes.request();
            }
            if encoding.keyframes.poll(now, rtt, encoding.stats.bytes()) {
                match fir {
                    true => rtcp::write_fir(buffer, sender, media, encoding.keyframes.sent as u8),
                    false => rtcp::write_pli(buffer, sender, media),
                }
            }
            if buffer.len() > COMPOUND_BYTES {
                flush(buffer, now, peer, out);
            }
        }
    }
    any
}

/// Reports of all encodings, so many to a datagram.
fn write_receiver_reports(member: &mut Member, now: Instant, buffer: &mut Vec<u8>, out: &mut impl Outbox) {
    let (sender, peer) = (Ssrc(member.rtcp_ssrc), member.peer);
    let encodings = member.receiver.lines.iter_mut().flat_map(|line| &mut line.encodings);
    let mut blocks = encodings.filter_map(|encoding| encoding.stats.report_block(now, encoding.ssrc?));
    loop {
        let some: ArrayVec<ReportBlock, MAX_BLOCKS> = blocks.by_ref().take(MAX_BLOCKS).collect();
        if some.is_empty() {
            return;
        }
        if buffer.len() + some.len() * rtcp::BLOCK_LEN > COMPOUND_BYTES {
            flush(buffer, now, peer, out);
        }
        rtcp::write_receiver_report(buffer, sender, &some, "madang");
    }
}
