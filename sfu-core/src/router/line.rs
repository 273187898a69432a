//! An m-line that sends: one SSRC for life, and the track that is behind it for now.
//!
//! Invariants:
//! - Between two tracks nothing is sent until the client confirmed that the first one's elements are gone
//!   ([`Line::assign`]), even if nothing of the first one was ever sent: the client was told its name.
//! - Video starts, and changes its encoding, at a keyframe only; which packets it takes of an encoding is the
//!   [`Selector`]'s matter.
//! - Retransmissions leave on the RTX SSRC (RFC 4588), or not at all: the same SRTP index is never sealed twice.

use std::time::{Duration, Instant};

use crate::control::{SlotIndex, SlotTrack, TrackKind};
use crate::id::{Mid, Ssrc, TrackId};
use crate::layers::{Choice, Flows, Layer, Selector};
use crate::prefetch::{Distance, prefetch};
use crate::rtp::dependency_descriptor::Layers;
use crate::rtp::{Extension, ExtensionMap, HeaderOut};
use crate::sdp::{AnswerMedia, Codec, MAX_CODECS, NegotiatedCodec, SendStream};
use crate::stream::{SendHistory, SendStats};
use crate::unit::SeqNo;

use super::PublicationIndex;
use super::downlink::{Class, Delivery};
use super::keyframe::Asker;
use super::layout::PlannedLine;
use super::munger::{Munger, Refusal};
use super::packet::{MediaPacket, OutPacket, Outbox};
use super::receiver::EncodingKey;
use super::redundancy::RedundancyGate;
use super::resend::Resends;
use super::sent::Sources;

mod repair;

pub use repair::Repair;

/// A codec that the receiver knows.
#[derive(Debug, Clone, Copy)]
struct LineCodec {
    codec: Codec,
    payload_type: u8,
    is_lenient: bool,
    rtx: Option<u8>,
    red: Option<u8>,
}

/// The track that an m-line was given.
#[derive(Debug, Clone, Copy)]
pub struct Assigned {
    pub track: TrackId,
    pub publication: PublicationIndex,
    /// See [`SlotTrack::after`].
    after: Option<u32>,
}

/// What flows on the m-line.
#[derive(Debug, Clone, Copy)]
struct Subscription {
    publication: PublicationIndex,
    csrc: u32,
    /// The encoding that flows; `None`: waiting for a keyframe, or for the first packet.
    flowing: Option<EncodingKey>,
    /// The publication's codec, and what the receiver calls it.
    codec: Option<(Codec, LineCodec)>,
    /// The last codec that the receiver has not, so that it is reported once.
    refused: Option<Codec>,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// It was sent.
    Sent,
    /// It was sent as the first of its encoding; packets that overtook it were [`Self::NeedsKeyframe`].
    Started,
    /// It is of another encoding, of no layer that is taken, or too old.
    Skipped,
    /// The line waits for a keyframe of this packet's encoding; see [`Line::awaits`].
    NeedsKeyframe,
    /// The receiver has no such codec; said once per codec.
    CodecRefused,
}

/// An m-line that sends.
#[derive(Debug)]
pub struct Line {
    pub mid: Mid,
    pub slot: SlotIndex,
    pub kind: TrackKind,
    pub stats: SendStats,
    ssrc: u32,
    rtx_ssrc: Option<u32>,
    cname: String,
    codecs: Box<[LineCodec]>,
    extensions: ExtensionMap,
    selector: Selector,
    munger: Munger,
    history: SendHistory,
    sources: Sources,
    redundancy: RedundancyGate,
    /// What it has keyframes asked for.
    pub asker: Asker,
    rtx_seq: SeqNo,
    resends: Resends,
    /// How many subscriptions there were.
    subscriptions: u32,
    assigned: Option<Assigned>,
    subscription: Option<Subscription>,
    /// The slot revision that must be confirmed before media flows again.
    requires: u64,
}

impl Line {
    /// A line as it was planned; `first` are random numbers to start from: sequence, RTX sequence and timestamp.
    pub fn new(planned: &PlannedLine, window: Duration, now: Instant, first: (u16, u16, u32)) -> Self {
        let clock_rate = match planned.kind {
            TrackKind::Audio => 48_000,
            TrackKind::Video => 90_000,
        };
        Self {
            mid: planned.mid,
            slot: planned.slot,
            kind: planned.kind,
            stats: SendStats::new(clock_rate),
            ssrc: planned.stream.ssrc.0,
            rtx_ssrc: planned.stream.rtx.map(|ssrc| ssrc.0),
            cname: planned.stream.cname.clone(),
            codecs: Box::default(),
            extensions: ExtensionMap::default(),
            selector: Selector::new(),
            munger: Munger::new(clock_rate, first.0, first.2),
            history: SendHistory::new(window, now),
            sources: Sources::default(),
            redundancy: RedundancyGate::default(),
            asker: Asker::new(now),
            rtx_seq: SeqNo::first(first.1 & 0x7fff),
            resends: Resends::new(now),
            subscriptions: 0,
            assigned: None,
            subscription: None,
            requires: 0,
        }
    }

    /// The line as it was planned, which it stays for life.
    pub fn planned(&self) -> PlannedLine {
        let (ssrc, rtx, cname) = (Ssrc(self.ssrc), self.rtx_ssrc.map(Ssrc), self.cname.clone());
        let stream = SendStream { ssrc, rtx, stream_id: cname.clone(), cname };
        PlannedLine { mid: self.mid, kind: self.kind, slot: self.slot, stream }
    }

    /// Takes over what was negotiated for the m-line; `None`: it is gone, and nothing can be sent on it. `mixed`: header
    /// extensions of both forms may alternate on all m-lines (RFC 8285 section 4.1.2).
    pub fn negotiate(&mut self, media: Option<&AnswerMedia>, mixed: bool) {
        let codec = |c: &NegotiatedCodec| LineCodec {
            codec: c.codec,
            payload_type: c.payload_type,
            is_lenient: c.is_lenient,
            rtx: c.rtx,
            red: c.red.map(|red| red.payload_type),
        };
        let sends = media.filter(|media| media.accepted && media.send.is_some());
        self.codecs = sends.into_iter().flat_map(|media| &media.codecs).map(codec).take(MAX_CODECS).collect();
        self.extensions = sends.map_or_else(ExtensionMap::default, |media| media.extensions);
        if !mixed && !sends.is_some_and(|media| media.wire.allow_mixed) {
            // Its structures are longer than the one-byte form can carry.
            self.extensions.remove(Extension::DependencyDescriptor);
        }
        if let Some(subscription) = &mut self.subscription {
            subscription.codec = None;
            subscription.refused = None;
        }
    }

    /// The SSRC of the media.
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The canonical name (RFC 3550 section 6.5.1).
    pub fn cname(&self) -> &str {
        &self.cname
    }

    /// The publication that flows, or will at its next keyframe.
    pub fn publication(&self) -> Option<PublicationIndex> {
        self.subscription.map(|subscription| subscription.publication)
    }

    /// Tells one subscription from the next on the same m-line, modulo 2^32.
    pub fn subscription_id(&self) -> Option<u32> {
        self.subscription.map(|_| self.subscriptions)
    }

    /// The track that the m-line was given, flowing or not.
    pub fn assigned(&self) -> Option<Assigned> {
        self.assigned
    }

    /// The track for a slot event.
    pub fn slot_track(&self) -> Option<SlotTrack> {
        self.assigned.map(|assigned| SlotTrack { track: assigned.track, after: assigned.after })
    }

    /// Gives the m-line another track, or none, by the slot event of `revision`. The old one stops at once. Returns
    /// whether anything changed.
    pub fn assign(&mut self, track: Option<(TrackId, PublicationIndex)>, revision: u64, confirms: bool) -> bool {
        if self.assigned.map(|assigned| (assigned.track, assigned.publication)) == track {
            return false;
        }
        if self.assigned.is_some() && confirms {
            self.requires = revision;
        }
        self.subscription = None;
        self.sources.forget();
        let after = self.munger.last_timestamp();
        self.assigned = track.map(|(track, publication)| Assigned { track, publication, after });
        true
    }

    /// Starts the assigned track if the client has confirmed the revision that it waits for. Returns the publication
    /// that has a new subscriber.
    pub fn start(&mut self, confirmed: u64) -> Option<PublicationIndex> {
        let assigned = self.assigned.filter(|_| self.subscription.is_none() && self.requires <= confirmed)?;
        self.subscriptions = self.subscriptions.wrapping_add(1);
        self.selector = Selector::new();
        self.subscription = Some(Subscription {
            publication: assigned.publication,
            csrc: assigned.track.csrc(),
            flowing: None,
            codec: None,
            refused: None,
        });
        Some(assigned.publication)
    }

    /// The track's media stopped for a while (mute): what comes next is a new start, and nothing of before is sent again.
    pub fn pause(&mut self) {
        self.sources.forget();
        if let Some(subscription) = &mut self.subscription {
            subscription.flowing = None;
            self.selector.stop();
        }
    }

    /// What shall flow; `None`: nothing. A new subscription takes the best until it is told.
    pub fn set_target(&mut self, target: Option<Layer>) {
        self.selector.set_target(target);
    }

    /// What shall flow.
    pub fn target(&self) -> Option<Layer> {
        self.selector.target()
    }

    /// What flows. Without an allocator's target it is the best that the publication sends.
    pub fn sending(&self) -> Option<Layer> {
        self.flowing().and_then(|_| self.selector.sending())
    }

    /// Whether the receiver has no such codec.
    pub fn refuses(&self, codec: Codec) -> bool {
        codec_for(&self.codecs, codec).is_none()
    }

    /// Follows what the publication sends; to be called with every tick.
    pub fn follow(&mut self, flows: &Flows) {
        self.selector.follow(flows);
    }

    /// The encoding whose keyframe is to be asked for: the line waits for it, can take the publication's codec, and has not
    /// asked too often.
    pub fn asks(&mut self, now: Instant, codec: Option<Codec>) -> Option<u8> {
        let awaited = self.subscription.and_then(|_| self.selector.awaits());
        if awaited.is_none() && !self.asker.is_waiting() {
            return None;
        }
        let awaited = awaited.filter(|_| codec.is_some_and(|codec| !self.refuses(codec)));
        self.asker.awaits(now, awaited)
    }

    /// Whether `first` is all that was sent of this encoding, so that later packets of it may be missing here.
    pub fn has_just_started(&self, encoding: EncodingKey, first: SeqNo) -> bool {
        self.flowing() == Some(encoding) && self.munger.has_only_sent(first)
    }

    /// See [`prefetch`](crate::prefetch).
    #[inline]
    pub fn prefetch(&self, distance: Distance) {
        match distance {
            Distance::Far => prefetch(self),
            Distance::Near => {
                self.history.prefetch_next();
                self.sources.newest().into_iter().for_each(prefetch);
            }
        }
    }

    /// Whether a packet is of an encoding that flows here, or could.
    pub fn may_take(&mut self, packet: &MediaPacket<'_>) -> bool {
        self.selector.may_take(packet.encoding.index, &packet.numbers.frame)
    }

    /// Sends a packet of the publication that the line is subscribed to.
    pub fn forward(&mut self, now: Instant, packet: &MediaPacket<'_>, to: &mut Delivery<'_, impl Outbox>) -> Forwarded {
        let codec = match self.codec_of(packet) {
            Ok(codec) => codec,
            Err(refusal) => return refusal,
        };
        let (starts, ends) = match self.choose(packet) {
            Choice::Take { starts, ends } => (starts, ends),
            Choice::Leave => {
                self.munger.leave_out_frame(&packet.numbers);
                return Forwarded::Skipped;
            }
            Choice::Skip => return Forwarded::Skipped,
            Choice::Wait => return Forwarded::NeedsKeyframe,
        };
        if starts {
            self.munger.switch_source(now, &packet.numbers);
            self.redundancy.begin(packet.numbers.timestamp);
        }
        let frame = packet.numbers.frame;
        if starts || (frame.keyframe && frame.number.is_some()) {
            let offsets = self.munger.offsets();
            self.sources.begin(packet.encoding, packet.codec, codec.rtx, offsets, packet.targets);
        }
        let numbers = match self.munger.munge(now, &packet.numbers) {
            Ok(numbers) => numbers,
            Err(Refusal::Late) => return Forwarded::Skipped,
            Err(Refusal::Gap) => return self.begin_anew(now, packet, to),
        };
        let marker = packet.marker || ends || (starts && self.kind == TrackKind::Audio);
        let (spatial, temporal) = self.selector.taken().unwrap_or_default();
        let layers = Layers { spatial, temporal };
        if self.rtx_ssrc.is_some() {
            self.history.insert(now, numbers.seq, self.sources.describe(packet.stored, &numbers, marker, layers));
            self.resends.on_sent();
        }
        let wrapped = self.redundancy.wrap(packet, codec.payload_type, codec.red);
        self.stats.on_packet(now, numbers.timestamp, wrapped.payload.len());
        let class = if self.kind == TrackKind::Audio { Class::Audio } else { Class::Video };
        let told = packet.extensions.descriptor;
        to.send(
            class,
            OutPacket {
                header: HeaderOut {
                    marker,
                    payload_type: wrapped.payload_type,
                    sequence_number: numbers.seq.wire(),
                    timestamp: numbers.timestamp,
                    ssrc: self.ssrc,
                    csrc: Some(packet.csrc),
                },
                seq: numbers.seq,
                map: &self.extensions,
                extensions: packet.extensions,
                descriptor: told.and_then(|_| self.sources.newest()?.descriptor(told, &frame, layers)),
                osn: None,
                payload: wrapped.payload,
                blocks: wrapped.blocks,
                rewrite: Some((packet.codec, numbers.payload)),
                padding: 0,
                number: None,
            },
        );
        if starts { Forwarded::Started } else { Forwarded::Sent }
    }

    /// What comes after a gap that is too long to stay one is a new start: audio at once, video with a keyframe.
    #[cold]
    fn begin_anew(&mut self, now: Instant, packet: &MediaPacket<'_>, to: &mut Delivery<'_, impl Outbox>) -> Forwarded {
        self.pause();
        // Once more at most: what starts a stream has no gap before it.
        self.forward(now, packet, to)
    }

    /// What the receiver calls the packet's codec.
    fn codec_of(&mut self, packet: &MediaPacket<'_>) -> Result<LineCodec, Forwarded> {
        let subscription = self.subscription.as_mut().ok_or(Forwarded::Skipped)?;
        if let Some((of, codec)) = subscription.codec
            && of == packet.codec
        {
            return Ok(codec);
        }
        if let Some(codec) = codec_for(&self.codecs, packet.codec) {
            return Ok(subscription.codec.insert((packet.codec, codec)).1);
        }
        if self.codecs.is_empty() || subscription.refused == Some(packet.codec) {
            return Err(Forwarded::Skipped);
        }
        subscription.refused = Some(packet.codec);
        self.pause();
        Err(Forwarded::CodecRefused)
    }

    /// What becomes of a packet. Audio has one encoding, which may start anywhere.
    fn choose(&mut self, packet: &MediaPacket<'_>) -> Choice {
        let Some(subscription) = &mut self.subscription else { return Choice::Skip };
        let key = packet.encoding;
        if self.kind == TrackKind::Audio {
            if key.index != 0 {
                return Choice::Skip;
            }
            let starts = subscription.flowing.replace(key) != Some(key);
            return Choice::Take { starts, ends: false };
        }
        if subscription.flowing.is_some_and(|flowing| flowing.index == key.index && flowing != key) {
            // Its numbers began anew.
            self.selector.stop();
        }
        let choice = self.selector.choose(key.index, &packet.numbers.frame, packet.numbers.timestamp);
        if choice == (Choice::Skip) && self.selector.sending().is_none() {
            subscription.flowing = None;
        }
        if matches!(choice, Choice::Take { starts: true, .. }) {
            subscription.flowing = Some(key);
        }
        choice
    }

    /// A packet of the flowing encoding that is not forwarded to anybody: later ones close up.
    pub fn leave_out(&mut self, encoding: EncodingKey, seq: SeqNo) {
        if self.subscription.is_some_and(|subscription| subscription.flowing == Some(encoding)) {
            self.munger.leave_out(seq);
        }
    }

    /// The encoding that flows.
    pub fn flowing(&self) -> Option<EncodingKey> {
        self.subscription.and_then(|subscription| subscription.flowing)
    }

    /// An input timestamp of the flowing encoding as it goes out, for sender reports.
    pub fn outgoing_timestamp(&self, input: u32) -> u32 {
        self.munger.offsets().timestamp(input)
    }
}

/// What the receiver calls a codec.
fn codec_for(codecs: &[LineCodec], stream: Codec) -> Option<LineCodec> {
    stream.best_of(codecs, |known| (known.codec, known.is_lenient)).copied()
}
