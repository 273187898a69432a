//! The m-lines on which a member sends to us: which stream a packet belongs to, and what is kept of it.
//!
//! A stream is found by SSRC; a new SSRC by its MID and RID header extensions (RFC 8843 section 9.2, RFC 8852), by the
//! offer's `a=ssrc` lines, or by a payload type that only one m-line uses, in this order. The encodings of a simulcast without
//! RIDs are those of `a=ssrc-group:SIM`, in its order.
//!
//! Invariants: a member has at most one primary SSRC and one RTX SSRC per encoding; a new one takes the old one's place
//! and starts a new [`EncodingKey`], since its numbers have nothing to do with the old ones.
//!
//! An encoding belongs to the SSRC that sends on it. Another takes it over once that one has been silent for [`TAKEOVER`], or at
//! once if the offer declares the other one and no longer the owner. Otherwise two that both send would take it from each other with
//! every packet, and no viewer would see a picture.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use hashbrown::HashMap;

use crate::config::MediaLimits;
use crate::control::{MediaLimit, TrackKind};
use crate::id::{Mid, Rid, Ssrc};
use crate::layers::{Arrived, Flows, FrameReader, Layer, LayerOffer, MAX_ENCODINGS, MAX_SPATIAL, MAX_TEMPORAL};
use crate::rtp::dependency_descriptor::Targets;
use crate::rtp::red::Redundancy;
use crate::rtp::{self, Extension, ExtensionMap, RtpPacket};
use crate::sdp::{AnswerMedia, Codec, Feedback, MAX_CODECS, MediaKind};
use crate::stream::{PacketMeta, RingIndex, SourceClock, TwccRecorder};
use crate::unit::SeqNo;

pub use super::encoding::{Encoding, EncodingKey};

use super::admission::{Admission, Gate};
use super::munger::Incoming;
use super::packet::{ForwardedExtensions, MAX_FORWARDED};
use super::{PublicationIndex, admission};

/// The most layers that are offered of an m-line.
pub const MAX_OFFERS: usize = MAX_ENCODINGS * MAX_SPATIAL * MAX_TEMPORAL;

/// How long the owner of an encoding is silent before another SSRC takes it over: longer than the pictures of a slow screen share
/// are apart, shorter than a viewer takes for an end.
pub const TAKEOVER: Duration = Duration::from_millis(500);

/// A codec of an m-line that we receive.
#[derive(Debug, Clone, Copy)]
struct ReceivedCodec {
    codec: Codec,
    payload_type: u8,
    rtx: Option<u8>,
    red: Option<u8>,
    feedback: Feedback,
}

impl ReceivedCodec {
    /// Whether media of this codec comes with this payload type, plain or as RED.
    fn is_sent_as(&self, payload_type: u8) -> bool {
        self.payload_type == payload_type || self.red == Some(payload_type)
    }
}

/// An m-line on which the member sends.
#[derive(Debug)]
pub struct ReceivingLine {
    pub mid: Mid,
    pub kind: TrackKind,
    pub extensions: ExtensionMap,
    pub publication: Option<PublicationIndex>,
    pub encodings: ArrayVec<Encoding, MAX_ENCODINGS>,
    gate: Option<Gate>,
    codecs: ArrayVec<ReceivedCodec, MAX_CODECS>,
    ssrcs: Vec<(Ssrc, Option<Ssrc>)>,
    /// How many of `ssrcs` are the encodings; 0: encodings have RIDs, or there is one.
    ssrc_encodings: usize,
    generations: u32,
}

#[derive(Debug, Clone, Copy)]
struct StreamRef {
    line: u16,
    encoding: u8,
    rtx: bool,
}

/// A retransmission repairs what is missing below the highest number, or, as a probe, overtakes what it repeats by so much.
const MAX_AHEAD: u64 = 256;

/// What a packet turned out to be.
#[derive(Debug)]
pub struct Received<'a> {
    pub line: usize,
    pub key: EncodingKey,
    pub content: Content<'a>,
    /// The limit that the packet met, if it did.
    pub limit: Option<MediaLimit>,
}

/// Media, or a packet without any.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack: a box would be an allocation per packet")]
pub enum Content<'a> {
    /// To be forwarded.
    Media {
        codec: Codec,
        numbers: Incoming,
        extensions: ForwardedExtensions<'a>,
        targets: Option<Targets>,
        payload: &'a [u8],
        redundancy: Option<Redundancy>,
        stored: RingIndex,
    },
    /// Padding (a probe), or RED that is not: its number is to be left out.
    Padding(SeqNo),
    /// Beyond a limit: the same, and nothing of it goes on.
    Refused(SeqNo),
}

/// All m-lines on which a member sends.
#[derive(Debug)]
pub struct Receiver {
    pub lines: Vec<ReceivingLine>,
    pub admission: Admission,
    pub twcc: TwccRecorder,
    streams: HashMap<u32, StreamRef>,
    /// Header extension ids hold for the whole bundle (RFC 8843 section 9).
    extensions: ExtensionMap,
    window: Duration,
    /// Packets of no known stream.
    pub unknown: u64,
}

impl Receiver {
    /// No m-lines yet. Packets are kept for `window`. `limits` are of what may be sent; `None`: none.
    pub fn new(window: Duration, limits: Option<MediaLimits>, now: Instant) -> Self {
        Self {
            lines: Vec::new(),
            admission: Admission::new(limits, now),
            twcc: TwccRecorder::new(now),
            streams: HashMap::new(),
            extensions: ExtensionMap::default(),
            window,
            unknown: 0,
        }
    }

    /// How long packets are kept.
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// Takes over an answer's m-lines on which we receive. M-lines that are gone take their streams with them; their
    /// publications are returned.
    pub fn negotiate(&mut self, media: &[AnswerMedia], now: Instant) -> Vec<PublicationIndex> {
        let receives = |m: &&AnswerMedia| m.accepted && m.direction.receives() && m.kind != MediaKind::Data;
        let mut orphans = Vec::new();
        // Exact: a line is large.
        let mut kept: Vec<ReceivingLine> = Vec::with_capacity(media.iter().filter(receives).count());
        let mut old: Vec<ReceivingLine> = std::mem::take(&mut self.lines);
        for media in media.iter().filter(receives) {
            let known = old.iter().position(|line| line.mid == media.mid);
            let mut line = match known {
                Some(place) => old.swap_remove(place),
                None => ReceivingLine::new(media, self.window, &self.admission, now),
            };
            line.negotiate(media, self.window, now);
            for (extension, id) in line.extensions.iter() {
                self.extensions.set(extension, id);
            }
            kept.push(line);
        }
        // A line that was merely paused by the client keeps its place and its publication.
        for line in old {
            if media.iter().any(|media| media.mid == line.mid && media.accepted) {
                kept.push(line);
            } else {
                orphans.extend(line.publication);
            }
        }
        self.lines = kept;
        self.rebuild_streams();
        orphans
    }

    fn rebuild_streams(&mut self) {
        self.streams.clear();
        for (line, encoding, ssrc, rtx) in self.lines.iter().enumerate().flat_map(|(line, l)| {
            l.encodings.iter().enumerate().flat_map(move |(encoding, e)| {
                let refs = [(e.ssrc, false), (e.rtx_ssrc, true)];
                refs.into_iter().filter_map(move |(ssrc, rtx)| Some((line, encoding, ssrc?, rtx)))
            })
        }) {
            self.streams.insert(ssrc.0, StreamRef { line: line as u16, encoding: encoding as u8, rtx });
        }
    }

    /// The m-line with this MID.
    pub fn line_of(&mut self, mid: &Mid) -> Option<&mut ReceivingLine> {
        self.lines.iter_mut().find(|line| line.mid == *mid)
    }

    /// The encoding that sends as `ssrc`, for sender reports.
    pub fn encoding_of(&mut self, ssrc: Ssrc) -> Option<&mut Encoding> {
        let stream = *self.streams.get(&ssrc.0).filter(|stream| !stream.rtx)?;
        self.lines.get_mut(usize::from(stream.line))?.encodings.get_mut(usize::from(stream.encoding))
    }

    /// The clocks of all streams that reported.
    pub fn clocks(&self) -> impl Iterator<Item = SourceClock> {
        self.lines.iter().flat_map(|line| &line.encodings).filter_map(|encoding| encoding.stats.source_clock())
    }

    /// Gives back what the rings no longer need.
    pub fn shrink(&mut self, now: Instant) {
        self.lines.iter_mut().flat_map(|line| &mut line.encodings).for_each(|encoding| encoding.ring.shrink(now));
    }

    /// Whether a known stream of video sends as `ssrc`.
    pub fn is_video(&self, ssrc: Ssrc) -> bool {
        let line = self.streams.get(&ssrc.0).and_then(|stream| self.lines.get(usize::from(stream.line)));
        line.is_some_and(|line| line.kind == TrackKind::Video)
    }

    /// Digests a packet. `None`: not of a known stream, a duplicate, or not to be believed yet.
    pub fn receive<'a>(&mut self, now: Instant, packet: &RtpPacket<'a>) -> Option<Received<'a>> {
        let ssrc = packet.ssrc();
        let stream = match self.streams.get(&ssrc.0) {
            Some(stream) => Some(*stream),
            None => self.locate(now, packet),
        };
        let Some(stream) = stream else {
            self.note_arrival(now, packet);
            return None;
        };
        let line = &mut self.lines[usize::from(stream.line)];
        let bytes = packet.payload().len() + packet.padding_len();
        let redundant = is_red(&line.codecs, packet.payload_type());
        let admitted = self.admission.admit(now, &mut line.gate, bytes, redundant);
        if admitted.is_ok() {
            self.note_arrival(now, packet);
        }
        let line = &mut self.lines[usize::from(stream.line)];
        let (key, content) = line.receive(now, packet, stream, admitted.is_ok())?;
        let limit = match content {
            Content::Refused(_) => Some(admitted.err().unwrap_or(MediaLimit::PacketSize)),
            Content::Media { payload, .. } if admission::is_oversized(payload.len()) => Some(MediaLimit::PacketSize),
            _ => None,
        };
        Some(Received { line: usize::from(stream.line), key, content, limit })
    }

    /// Notes when a packet came, for the bandwidth estimation of its sender.
    #[inline]
    fn note_arrival(&mut self, now: Instant, packet: &RtpPacket<'_>) {
        if let Some(number) = self.extensions.id(Extension::TransportCc).and_then(|id| packet.extension(id))
            && let Some(number) = rtp::values::TransportCc::parse(number)
        {
            self.twcc.record(number.0, now);
        }
    }

    #[cold]
    fn locate(&mut self, now: Instant, packet: &RtpPacket<'_>) -> Option<StreamRef> {
        let found = self.find_line(packet).and_then(|line| {
            let rid = self.token(packet, Extension::Rid);
            let repaired = self.token(packet, Extension::RepairedRid);
            let (encoding, rtx) = self.lines[line].find_encoding(packet, rid, repaired)?;
            self.lines[line].may_take_over(encoding, rtx, packet.ssrc(), now).then_some(())?;
            Some(StreamRef { line: line as u16, encoding: encoding as u8, rtx })
        });
        let Some(stream) = found else {
            self.unknown += 1;
            return None;
        };
        let line = &mut self.lines[usize::from(stream.line)];
        let fresh = Encoding::new(None, line.kind, self.window, now, line.generations);
        line.generations += 1;
        if let Some(old) = line.encodings[usize::from(stream.encoding)].take_ssrc(packet.ssrc(), stream.rtx, fresh) {
            self.streams.remove(&old.0);
        }
        self.streams.insert(packet.ssrc().0, stream);
        Some(stream)
    }

    fn token(&self, packet: &RtpPacket<'_>, extension: Extension) -> Option<Rid> {
        Rid::from_bytes(packet.extension(self.extensions.id(extension)?)?)
    }

    fn find_line(&self, packet: &RtpPacket<'_>) -> Option<usize> {
        if let Some(mid) = self.token(packet, Extension::Mid) {
            return self.lines.iter().position(|line| line.mid == mid);
        }
        let ssrc = packet.ssrc();
        let declared =
            |line: &ReceivingLine| line.ssrcs.iter().any(|(media, rtx)| *media == ssrc || *rtx == Some(ssrc));
        if let Some(line) = self.lines.iter().position(declared) {
            return Some(line);
        }
        let mut users = (0..self.lines.len()).filter(|line| self.lines[*line].knows(packet.payload_type()));
        let line = users.next()?;
        users.next().is_none().then_some(line)
    }
}

impl ReceivingLine {
    fn new(media: &AnswerMedia, window: Duration, admission: &Admission, now: Instant) -> Self {
        let kind = if media.kind == MediaKind::Audio { TrackKind::Audio } else { TrackKind::Video };
        let mut line = Self {
            mid: media.mid,
            kind,
            extensions: media.extensions,
            publication: None,
            encodings: ArrayVec::new(),
            gate: admission.gate(kind, now),
            codecs: ArrayVec::new(),
            ssrcs: Vec::new(),
            ssrc_encodings: 0,
            generations: 0,
        };
        line.negotiate(media, window, now);
        line
    }

    fn negotiate(&mut self, media: &AnswerMedia, window: Duration, now: Instant) {
        let codec = |c: &crate::sdp::NegotiatedCodec| ReceivedCodec {
            codec: c.codec,
            payload_type: c.payload_type,
            rtx: c.rtx,
            red: c.red.map(|red| red.payload_type),
            feedback: c.feedback,
        };
        self.codecs = media.codecs.iter().map(codec).take(MAX_CODECS).collect();
        self.extensions = media.extensions;
        self.ssrcs = media.ssrcs.clone();
        self.ssrc_encodings = if media.rids.is_empty() { media.ssrc_encodings.min(MAX_ENCODINGS) } else { 0 };
        let rids: ArrayVec<Option<Rid>, MAX_ENCODINGS> = match media.rids.len() {
            0 => std::iter::repeat_n(None, self.ssrc_encodings.max(1)).collect(),
            _ => media.rids.iter().copied().map(Some).take(MAX_ENCODINGS).collect(),
        };
        if !self.encodings.iter().map(|encoding| encoding.rid).eq(rids.iter().copied()) {
            let encoding = |rid| Encoding::new(rid, self.kind, window, now, self.generations);
            self.encodings = rids.into_iter().map(encoding).collect();
            self.generations += 1;
        }
    }

    /// Whether lost packets can be asked for again.
    pub fn nacks(&self) -> bool {
        self.codecs.iter().any(|codec| codec.feedback.nack)
    }

    /// Whether keyframes are asked for by FIR because PLI was not offered.
    pub fn only_fir(&self) -> bool {
        !self.codecs.iter().any(|codec| codec.feedback.pli) && self.codecs.iter().any(|codec| codec.feedback.fir)
    }

    /// The encoding with this key, if it is still the same stream.
    pub fn encoding(&self, key: EncodingKey) -> Option<&Encoding> {
        self.encodings.get(usize::from(key.index)).filter(|encoding| encoding.generation == key.generation)
    }

    /// The same, to change.
    pub fn encoding_mut(&mut self, key: EncodingKey) -> Option<&mut Encoding> {
        let encoding = self.encodings.get_mut(usize::from(key.index))?;
        (encoding.generation == key.generation).then_some(encoding)
    }

    /// The encoding at this place.
    pub fn encoding_at(&self, index: u8) -> Option<(EncodingKey, &Encoding)> {
        let encoding = self.encodings.get(usize::from(index))?;
        Some((EncodingKey { index, generation: encoding.generation }, encoding))
    }

    /// Which encodings flow, and their highest layers.
    pub fn flows(&self, now: Instant) -> Flows {
        Flows::new(self.encodings.iter().map(|encoding| encoding.flows(now).then(|| encoding.meter.highest())))
    }

    /// The layers that there are to choose from, from the lowest, measured over the last second.
    pub fn offers(&mut self, now: Instant) -> ArrayVec<LayerOffer, MAX_OFFERS> {
        let mut offers = ArrayVec::new();
        for (index, encoding) in self.encodings.iter_mut().enumerate() {
            let flows = encoding.flows(now);
            let meter = &mut encoding.meter;
            let layers: ArrayVec<(u8, u8, bool), { MAX_SPATIAL * MAX_TEMPORAL }> = meter.layers().collect();
            for (spatial, temporal, current) in layers {
                let (bitrate, fps) = meter.figures(now, spatial, temporal);
                let layer = Layer { encoding: index as u8, spatial, temporal };
                let offer = LayerOffer { layer, bitrate, size: meter.size(spatial), fps, flows: flows && current };
                if offers.try_push(offer).is_err() {
                    return offers;
                }
            }
        }
        offers
    }

    fn knows(&self, payload_type: u8) -> bool {
        self.codecs.iter().any(|codec| codec.is_sent_as(payload_type) || codec.rtx == Some(payload_type))
    }

    fn find_encoding(&self, packet: &RtpPacket<'_>, rid: Option<Rid>, repaired: Option<Rid>) -> Option<(usize, bool)> {
        let of_rid = |rid| self.encodings.iter().position(|encoding| encoding.rid == Some(rid));
        if let Some(repaired) = repaired {
            return of_rid(repaired).map(|encoding| (encoding, true));
        }
        if let Some(rid) = rid {
            return of_rid(rid).map(|encoding| (encoding, false));
        }
        if self.ssrc_encodings > 0 {
            let ssrc = packet.ssrc();
            return self.ssrcs.iter().take(self.ssrc_encodings).enumerate().find_map(
                |(index, (media, rtx))| match *rtx {
                    Some(rtx) if rtx == ssrc => Some((index, true)),
                    _ => (*media == ssrc).then_some((index, false)),
                },
            );
        }
        let rtx = self.codecs.iter().any(|codec| codec.rtx == Some(packet.payload_type()));
        let simulcast = self.encodings.first().is_some_and(|encoding| encoding.rid.is_some());
        (!simulcast && self.knows(packet.payload_type())).then_some((0, rtx))
    }

    /// The rule of who sends on an encoding. Unknown retransmissions may be those of an SSRC that waits for it: the owner's
    /// numbers are not theirs.
    fn may_take_over(&mut self, encoding: usize, rtx: bool, ssrc: Ssrc, now: Instant) -> bool {
        let declared = |ssrc| self.ssrcs.iter().any(|(media, _)| *media == ssrc);
        let encoding = &mut self.encodings[encoding];
        let is_past = |at: Option<Instant>| at.is_none_or(|at| now.saturating_duration_since(at) >= TAKEOVER);
        if rtx {
            return is_past(encoding.contested);
        }
        let Some(owner) = encoding.ssrc else { return true };
        let may = is_past(encoding.last_packet) || (declared(ssrc) && !declared(owner));
        if !may {
            encoding.contested = Some(now);
        }
        may
    }

    fn receive<'a>(
        &mut self,
        now: Instant,
        packet: &RtpPacket<'a>,
        stream: StreamRef,
        admitted: bool,
    ) -> Option<(EncodingKey, Content<'a>)> {
        let encoding = &mut self.encodings[usize::from(stream.encoding)];
        let payload_type = packet.payload_type();
        let (seq, codec, payload) = if stream.rtx {
            let codec = self.codecs.iter().find(|codec| codec.rtx == Some(payload_type))?;
            let (osn, payload) = rtp::rtx::split(packet.payload())?;
            let (seq, highest) = (encoding.stats.extend(osn)?, encoding.stats.highest()?);
            if seq.0 > highest.0 + MAX_AHEAD {
                // Of a stream under a new SSRC, of which nothing else came yet: it repairs nothing here.
                return None;
            }
            (seq, codec.codec, payload)
        } else {
            let codec = self.codecs.iter().find(|codec| codec.is_sent_as(payload_type))?;
            let arrival =
                encoding.stats.on_packet(now, packet.sequence_number(), packet.timestamp(), packet.payload().len())?;
            if arrival.restarted {
                encoding.nack.reset();
                encoding.frames = FrameReader::default();
                encoding.generation = self.generations;
                self.generations += 1;
            }
            encoding.last_packet = Some(now);
            (encoding.missed, encoding.skipped) = (0, 0);
            (arrival.seq, codec.codec, packet.payload())
        };
        let key = EncodingKey { index: stream.encoding, generation: encoding.generation };
        if !encoding.nack.on_packet(seq, now) {
            return None;
        }
        if !admitted {
            return Some((key, Content::Refused(seq)));
        }
        let is_red = is_red(&self.codecs, payload_type);
        let redundancy = if is_red { Redundancy::parse(payload) } else { None };
        if payload.is_empty() || (is_red && redundancy.is_none()) {
            return Some((key, Content::Padding(seq)));
        }
        let extensions = ForwardedExtensions::pick(packet.extensions(), &self.extensions);
        let arrived = Arrived {
            codec,
            seq,
            timestamp: packet.timestamp(),
            marker: packet.marker(),
            payload,
            descriptor: extensions.descriptor,
        };
        let frame = encoding.digest(now, self.kind, &arrived, packet.header_len() + payload.len());
        let Arrived { timestamp, marker, .. } = arrived;
        let meta = PacketMeta { seq, timestamp, marker, payload_type, frame };
        let kept: ArrayVec<(u8, &[u8]), MAX_FORWARDED> = extensions.all(&self.extensions).collect();
        let Some(stored) = encoding.ring.insert(now, meta, &kept, payload) else {
            return Some((key, Content::Refused(seq)));
        };
        let targets = encoding.targets();
        if marker && self.kind == TrackKind::Video {
            self.count_frame(stream.encoding);
        }
        let numbers = Incoming { seq, timestamp, frame, closes_pictures: codec == Codec::Vp8 };
        Some((key, Content::Media { codec, numbers, extensions, targets, payload, redundancy, stored }))
    }

    fn count_frame(&mut self, of: u8) {
        let (smaller, larger) = self.encodings.split_at_mut(usize::from(of));
        smaller.iter_mut().for_each(|encoding| encoding.skipped = encoding.skipped.saturating_add(1));
        larger.iter_mut().skip(1).for_each(|encoding| encoding.missed = encoding.missed.saturating_add(1));
    }
}

/// Whether a payload type is that of RED.
#[inline]
fn is_red(codecs: &[ReceivedCodec], payload_type: u8) -> bool {
    codecs.iter().any(|codec| codec.red == Some(payload_type))
}

#[cfg(test)]
mod tests;
