//! What goes to one member: transport-wide numbers, what its path carries, and when packets leave.
//!
//! The router numbers packets (draft-holmer-rmcat-transport-wide-cc-extensions-01) and not the transport, since whoever
//! decides when a packet leaves must know it when feedback names it. Packets are numbered as they are handed to the
//! outbox, so that numbers leave in order.

use std::time::{Duration, Instant};

use crate::bwe::{self, Estimator, EstimatorConfig, Probe, ProbeId};
use crate::pacer::{Pacer, ProbeTask};
use crate::prefetch::{Distance, prefetch};
use crate::rtp::Extension;
use crate::unit::Bitrate;

use super::PeerIndex;
use super::packet::{OutPacket, Outbox};

/// What a packet takes on the wire besides its payload, roughly: header with extensions, SRTP tag, UDP and IPv4.
pub const OVERHEAD: usize = 40 + 16 + 28;

/// Rates are averaged over so long.
const RATE_WINDOW: Duration = Duration::from_millis(500);

/// A time, reckoned once for all members that a packet goes to.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    at: Instant,
    micros: i64,
}

impl Moment {
    /// `now` as µs since an epoch.
    pub fn new(epoch: Instant, now: Instant) -> Self {
        Self { at: now, micros: bwe::micros(epoch, now) }
    }
}

/// What a packet is to the one that it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Audio,
    Video,
    Resend,
    Filler,
}

/// What goes to one member.
#[derive(Debug)]
pub struct Downlink {
    /// When the estimator was made, in µs since the epoch.
    began: i64,
    pub estimator: Estimator,
    pub pacer: Pacer,
    next_number: u16,
    audio: RateMeter,
    resent: RateMeter,
    /// The receiver told of its path since the last [`Self::tick`].
    heard: bool,
}

impl Downlink {
    /// Nothing was sent yet. `epoch` is that of the room's [`Moment`]s.
    pub fn new(epoch: Instant, now: Instant) -> Self {
        Self {
            began: bwe::micros(epoch, now),
            estimator: Estimator::new(now, EstimatorConfig::default()),
            pacer: Pacer::new(now),
            next_number: 0,
            audio: RateMeter::new(now),
            resent: RateMeter::new(now),
            heard: false,
        }
    }

    /// Packets take another path from now on, or the old one again after it was lost: what was known of it says nothing. Numbers
    /// go on, so that feedback on what went before is about nobody; what waits leaves, and the first feedback is followed
    /// by a probe, as after a join. `epoch` is that of [`Self::new`].
    pub fn restart(&mut self, epoch: Instant, now: Instant) {
        let demand = self.estimator.demand();
        self.began = bwe::micros(epoch, now);
        self.estimator = Estimator::new(now, EstimatorConfig::default());
        self.estimator.set_demand(demand);
        self.pacer.set_estimate(now, None);
        self.pacer.abandon_probe();
    }

    /// What the receiver tells of its path, for its estimator.
    pub const fn hear(&mut self) -> &mut Estimator {
        self.heard = true;
        &mut self.estimator
    }

    /// Whether the receiver told of its path, and [`Self::tick`] has to follow.
    pub const fn has_heard(&self) -> bool {
        self.heard
    }

    /// See [`prefetch`](crate::prefetch).
    #[inline]
    pub fn prefetch(&self, distance: Distance) {
        if distance == Distance::Far {
            prefetch(&self.pacer);
            prefetch(&self.began);
            prefetch(&self.next_number);
        }
        self.estimator.prefetch(distance);
    }

    /// What leaves for the member through `out`.
    pub fn delivery<'a, O: Outbox>(&'a mut self, now: Moment, peer: PeerIndex, out: &'a mut O) -> Delivery<'a, O> {
        Delivery { now: now.at, micros: now.micros - self.began, peer, downlink: self, out }
    }

    /// Bits per second of audio, and of retransmissions.
    pub fn reserved(&self) -> (Bitrate, Bitrate) {
        (self.audio.rate, self.resent.rate)
    }

    /// Does what is due. Returns whether something waits for the pacer.
    pub fn tick(&mut self, now: Instant) -> bool {
        self.heard = false;
        self.audio.roll(now);
        self.resent.roll(now);
        if self.estimator.source().is_none() && self.pacer.waiting() == 0 {
            return false;
        }
        self.estimator.poll(now);
        self.pacer.set_estimate(now, self.estimator.estimate());
        if self.pacer.probe().is_none()
            && let Some(Probe { id, rate, bytes, min_packets }) = self.estimator.take_probe()
        {
            self.pacer
                .start_probe(now, ProbeTask { id: id.0, rate, bytes: bytes as usize, packets: u32::from(min_packets) });
        }
        self.pacer.due().is_some()
    }

    fn on_sent(&mut self, micros: i64, class: Class, bytes: usize, number: Option<u16>) {
        match number {
            Some(number) => self.estimator.on_sent_after(micros, number, bytes, self.pacer.probe().map(ProbeId)),
            None => self.estimator.on_sent_unnumbered(micros, bytes),
        }
        self.pacer.on_sent(bytes);
        match class {
            Class::Audio => self.audio.bytes += bytes as u64,
            Class::Resend => {
                self.resent.bytes += bytes as u64;
                self.pacer.on_resent(bytes);
            }
            Class::Video | Class::Filler => {}
        }
    }
}

/// The last step of packets to one member inside the router.
#[derive(Debug)]
pub struct Delivery<'a, O> {
    pub now: Instant,
    micros: i64,
    peer: PeerIndex,
    downlink: &'a mut Downlink,
    out: &'a mut O,
}

impl<O: Outbox> Delivery<'_, O> {
    /// Hands a packet to the transport, numbered if the receiver tells when it arrives.
    #[inline]
    pub fn send(&mut self, class: Class, mut packet: OutPacket<'_>) {
        if packet.map.id(Extension::TransportCc).is_some() {
            packet.number = Some(self.downlink.next_number);
            self.downlink.next_number = self.downlink.next_number.wrapping_add(1);
        }
        let bytes = packet.payload.len() + usize::from(packet.padding) + OVERHEAD;
        self.downlink.on_sent(self.micros, class, bytes, packet.number);
        self.out.send_rtp(self.now, self.peer, class, &packet);
    }
}

/// Bits per second over the last window that ended.
#[derive(Debug)]
struct RateMeter {
    since: Instant,
    bytes: u64,
    rate: Bitrate,
}

impl RateMeter {
    const fn new(now: Instant) -> Self {
        Self { since: now, bytes: 0, rate: Bitrate(0) }
    }

    fn roll(&mut self, now: Instant) {
        if self.bytes == 0 && self.rate.0 == 0 {
            self.since = now;
            return;
        }
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= RATE_WINDOW {
            self.rate = Bitrate((self.bytes * 8 * 1_000_000).checked_div(elapsed.as_micros() as u64).unwrap_or(0));
            self.bytes = 0;
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red if what was known of one path decides about another, or if numbers begin again, which feedback on the old ones would hit.
    #[test]
    fn another_path_starts_anew_and_numbers_go_on() {
        let epoch = Instant::now();
        let now = epoch + Duration::from_secs(60);
        let mut downlink = Downlink::new(epoch, epoch);
        downlink.estimator.set_demand(Bitrate(2_000_000));
        downlink.next_number = 77;
        downlink.hear().on_remb(now, Bitrate(40_000));
        downlink.tick(now);
        downlink.pacer.on_sent(20_000);
        assert!(!downlink.pacer.passes(now));
        downlink.restart(epoch, now);
        assert_eq!(downlink.estimator.source(), None);
        assert_eq!(downlink.estimator.demand(), Bitrate(2_000_000));
        assert!(downlink.estimator.is_guess(now) && downlink.pacer.passes(now));
        assert_eq!((downlink.next_number, downlink.began), (77, 60_000_000));
    }
}
