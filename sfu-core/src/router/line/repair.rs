//! An m-line's RTX stream (RFC 4588): what was lost, sent again, and padding.
//!
//! Invariants:
//! - Every packet here has a sequence number of its own, whatever it repeats.
//! - Of a larger picture that is no longer sent nothing is repeated.

use std::time::{Duration, Instant};

use crate::router::downlink::{Class, Delivery};
use crate::router::packet::{ForwardedExtensions, OutPacket, Outbox};
use crate::router::receiver::ReceivingLine;
use crate::router::sent;
use crate::rtp::HeaderOut;
use crate::unit::SeqNo;

use super::Line;

impl Line {
    /// Answers a NACK for `wire`, of a receiver as far as `rtt`, with what was sent then. `from` is the m-line that the
    /// track comes on. Returns whether it was sent.
    pub fn retransmit(
        &mut self,
        now: Instant,
        wire: u16,
        rtt: Duration,
        from: &ReceivingLine,
        to: &mut Delivery<'_, impl Outbox>,
    ) -> bool {
        let Some((subscription, ssrc)) = self.subscription.zip(self.rtx_ssrc) else { return false };
        let Some((seq, sent)) = self.history.lookup(wire) else { return false };
        let Some(source) = self.sources.of(&sent) else { return false };
        let Some(payload_type) = source.rtx else { return false };
        let stored = from.encoding(source.encoding).and_then(|encoding| encoding.ring.get(sent.packet));
        // Where a path got narrow, what was lost of the larger picture would take what the smaller one needs to begin.
        let sends = self.sending().map(|layer| (layer.encoding, layer.spatial));
        let is_left = |larger: (u8, u8)| sends.is_some_and(|sends| sends < larger);
        let stored = stored.filter(|stored| !is_left((source.encoding.index, stored.meta.frame.spatial)));
        let Some(stored) = stored.filter(|_| self.resends.admit(now, wire, rtt)) else { return false };
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
        true
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
