//! An m-line's RTX stream (RFC 4588): what was lost, sent again, and padding.
//!
//! Invariants:
//! - Every packet here has a sequence number of its own, whatever it repeats.
//! - Of a picture that is larger than what is sent now, if anything is, nothing is repeated: where a path got narrow, it would take what the smaller
//!   one needs to begin. A receiver that misses a part of such a picture, of an encoding that flows on, cannot go on before
//!   a keyframe: libwebrtc decodes no layer of a picture before all are there that were sent, and waits for 3 s.

use std::time::{Duration, Instant};

use crate::control::TrackKind;
use crate::router::downlink::{Class, Delivery};
use crate::router::packet::{ForwardedExtensions, OutPacket, Outbox};
use crate::router::receiver::{EncodingKey, ReceivingLine};
use crate::router::sent;
use crate::rtp::HeaderOut;
use crate::unit::SeqNo;

use super::Line;

/// What became of a NACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// The packet was sent again.
    Sent,
    /// It was not.
    Refused,
    /// It never will be, and its receiver needs a keyframe of this encoding that arrived after this.
    Abandoned(EncodingKey, Instant),
}

impl Line {
    /// Answers a NACK for `wire`, of a receiver as far as `rtt`, with what was sent then. `from` is the m-line that the
    /// track comes on.
    pub fn retransmit(
        &mut self,
        now: Instant,
        wire: u16,
        rtt: Duration,
        from: &ReceivingLine,
        to: &mut Delivery<'_, impl Outbox>,
    ) -> Repair {
        let Some((subscription, ssrc)) = self.subscription.zip(self.rtx_ssrc) else { return Repair::Refused };
        let Some((seq, sent)) = self.history.lookup(wire) else { return Repair::Refused };
        let Some(source) = self.sources.of(&sent) else { return Repair::Refused };
        let Some(payload_type) = source.rtx else { return Repair::Refused };
        let stored = from.encoding(source.encoding).and_then(|encoding| encoding.ring.get(sent.packet));
        let Some(stored) = stored else { return Repair::Refused };
        if self.kind == TrackKind::Video {
            let Some(sends) = self.sending() else { return Repair::Refused };
            if sends.encoding == source.encoding.index && sends.spatial < stored.meta.frame.spatial {
                return Repair::Abandoned(source.encoding, stored.arrival);
            }
            if sends.encoding < source.encoding.index {
                return Repair::Refused;
            }
        }
        if !self.resends.admit(now, wire, rtt) {
            return Repair::Refused;
        }
        let extensions = ForwardedExtensions::pick(stored.extensions, &from.extensions);
        let rtx_seq = take_next(&mut self.rtx_seq);
        self.stats.on_retransmission();
        to.send(
            Class::Resend,
            OutPacket {
                header: HeaderOut {
                    marker: sent::marker(&sent),
                    payload_type,
                    sequence_number: rtx_seq.wire(),
                    timestamp: source.offsets.timestamp(stored.meta.timestamp),
                    ssrc,
                    csrc: Some(subscription.csrc),
                },
                seq: rtx_seq,
                map: &self.extensions,
                extensions,
                descriptor: source.descriptor(extensions.descriptor, &stored.meta.frame, sent::layers(&sent)),
                osn: Some(seq.wire()),
                payload: stored.payload,
                blocks: None,
                rewrite: Some((source.codec, source.payload_numbers(&sent, &stored.meta))),
                padding: 0,
                number: None,
            },
        );
        Repair::Sent
    }

    /// Sends a packet of nothing but padding on the RTX stream, which may carry it at any time, also before any media:
    /// where a path is thought too narrow for a picture, padding alone can tell that it is not. False if there is none.
    pub fn pad(&mut self, to: &mut Delivery<'_, impl Outbox>) -> bool {
        let current = self.subscription.and_then(|subscription| subscription.codec?.1.rtx);
        let rtx = current.or_else(|| self.codecs.iter().find_map(|codec| codec.rtx));
        let Some((payload_type, ssrc)) = rtx.zip(self.rtx_ssrc) else { return false };
        let timestamp = self.munger.last_timestamp().unwrap_or_default();
        let seq = take_next(&mut self.rtx_seq);
        to.send(
            Class::Filler,
            OutPacket {
                header: HeaderOut {
                    marker: false,
                    payload_type,
                    sequence_number: seq.wire(),
                    timestamp,
                    ssrc,
                    csrc: None,
                },
                seq,
                map: &self.extensions,
                extensions: ForwardedExtensions::default(),
                descriptor: None,
                osn: None,
                payload: &[],
                blocks: None,
                rewrite: None,
                padding: u8::MAX,
                number: None,
            },
        );
        true
    }
}

/// The sequence number of the next packet of a stream.
const fn take_next(next: &mut SeqNo) -> SeqNo {
    let seq = *next;
    *next = SeqNo(seq.0 + 1);
    seq
}
