//! How much media a member may send. What is beyond goes no further than its sequence number: it is neither kept nor forwarded,
//! its place closes up for subscribers, and it is not told to the publisher as having arrived, so that an honest one sends less.
//!
//! A publication has a limit by its kind, and all that a member sends together has one. Both count bytes and packets. A packet of
//! RED ([RFC 2198](https://www.rfc-editor.org/rfc/rfc2198)) counts for a [`RED_SHARE`]th of its bytes: it repeats up to two earlier
//! ones.
//!
//! Invariant: the publisher is told of each kind of limit at most once in [`TELL_AGAIN`].

use std::time::{Duration, Instant};

use crate::config::{FlowLimit, MediaLimits};
use crate::control::{MediaLimit, TrackKind};
use crate::limiter::{Limit, Limiter};
use crate::transport::MAX_DATAGRAM;

use super::downlink::OVERHEAD;
use super::packet::Refused;

/// A packet of RED carries so many packets at most: that of its time, and two before it.
const RED_SHARE: usize = 3;

/// A clock that runs fast by a percent breaks no limit.
const TOLERANCE: u64 = 100;

/// A limit may be saved up for so many seconds: what waited in a network that stood still comes at once.
const BURST: u32 = 2;

/// A publisher is told again of what it was told so long ago.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// UDP and IPv4, which [`OVERHEAD`] counts and [`MAX_DATAGRAM`] does not.
const BELOW: usize = 28;

/// The limit of one flow of packets.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    bytes: Limiter,
    packets: Limiter,
}

impl Gate {
    /// Nothing came yet.
    fn new(limit: FlowLimit, now: Instant) -> Self {
        let FlowLimit { bitrate, packets_per_second } = limit;
        let bytes = bitrate.0 / 8;
        let bytes = u32::try_from(bytes + bytes / TOLERANCE).unwrap_or(u32::MAX);
        let limiter = |per_second: u32| {
            let limit = Limit::per_second(per_second, per_second.saturating_mul(BURST));
            Limiter::new(limit, now)
        };
        Self { bytes: limiter(bytes), packets: limiter(packets_per_second) }
    }

    /// Counts a packet; what it exceeds, if it does.
    #[inline]
    fn admit(&mut self, now: Instant, bytes: usize) -> Result<(), Excess> {
        if !self.packets.admit(now, 1) {
            return Err(Excess::Packets);
        }
        if self.bytes.admit(now, bytes as u32) { Ok(()) } else { Err(Excess::Bytes) }
    }
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Excess {
    Bytes,
    Packets,
}

/// The limits of one member, and what was dropped because of them.
#[derive(Debug)]
pub struct Admission {
    /// `None`: a stand-in, whose packets were judged where they arrived.
    limits: Option<MediaLimits>,
    all: Option<Gate>,
    /// When each kind of limit was told last, and what was dropped since then.
    told: [(Option<Instant>, u64); MediaLimit::ALL.len()],
    /// Packets that were dropped.
    pub dropped: u64,
}

impl Admission {
    /// With these limits; `None`: none.
    pub fn new(limits: Option<MediaLimits>, now: Instant) -> Self {
        let all = limits.map(|limits| Gate::new(limits.publisher, now));
        Self { limits, all, told: Default::default(), dropped: 0 }
    }

    /// The limit of a publication.
    pub fn gate(&self, kind: TrackKind, now: Instant) -> Option<Gate> {
        let limits = self.limits.as_ref()?;
        Some(Gate::new(if kind == TrackKind::Audio { limits.audio } else { limits.video }, now))
    }

    /// Whether a packet of `bytes` may go on, of a publication with this gate. `redundant`: it is RED.
    #[inline]
    pub fn admit(
        &mut self,
        now: Instant,
        of: &mut Option<Gate>,
        bytes: usize,
        redundant: bool,
    ) -> Result<(), MediaLimit> {
        let Some((own, all)) = of.as_mut().zip(self.all.as_mut()) else { return Ok(()) };
        let counted = if redundant { bytes.div_ceil(RED_SHARE) } else { bytes };
        own.admit(now, counted).map_err(|excess| match excess {
            Excess::Bytes => MediaLimit::TrackBitrate,
            Excess::Packets => MediaLimit::TrackPackets,
        })?;
        all.admit(now, bytes).map_err(|excess| match excess {
            Excess::Bytes => MediaLimit::PublisherBitrate,
            Excess::Packets => MediaLimit::PublisherPackets,
        })
    }

    /// Notes that a packet met a limit, and was dropped or was not. Returns how many were dropped since the publisher was told, if
    /// it is to be told now.
    #[cold]
    pub fn on_limit(&mut self, now: Instant, limit: MediaLimit, dropped: bool) -> Option<u64> {
        let (told, since) = &mut self.told[limit as usize];
        *since += u64::from(dropped);
        self.dropped += u64::from(dropped);
        if told.is_some_and(|at| now.saturating_duration_since(at) < TELL_AGAIN) {
            return None;
        }
        *told = Some(now);
        Some(std::mem::take(since))
    }
}

/// Whether a payload makes a datagram that paths of the usual MTU do not carry. It is forwarded: over TCP it arrives.
#[inline]
pub(super) const fn is_oversized(payload: usize) -> bool {
    payload + OVERHEAD > MAX_DATAGRAM + BELOW
}

/// What a packet that met `limit` and was dropped counts as.
pub(super) const fn counts_as(limit: MediaLimit) -> Refused {
    match limit {
        MediaLimit::PacketSize => Refused::Oversized,
        _ => Refused::Media,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Packets of `bytes` each `gap` microseconds for ten seconds; how many bytes of them a second went on in the second half, and
    /// what the others met.
    fn run(kind: TrackKind, bytes: usize, gap: u64, redundant: bool) -> (usize, Option<MediaLimit>) {
        let start = Instant::now();
        let mut admission = Admission::new(Some(MediaLimits::default()), start);
        let mut gate = admission.gate(kind, start);
        let (mut passed, mut met) = (0, None);
        for at in (0..10_000_000).step_by(gap as usize) {
            let result = admission.admit(start + Duration::from_micros(at), &mut gate, bytes, redundant);
            passed += if at >= 5_000_000 && result.is_ok() { bytes } else { 0 };
            met = result.err().or(met);
        }
        (passed / 5, met)
    }

    #[test]
    fn what_codecs_send_at_most_goes_on() {
        for (bytes, gap, redundant) in [(1_275, 20_000, false), (3 * 1_275, 20_000, true), (320, 5_000, false)] {
            assert_eq!(run(TrackKind::Audio, bytes, gap, redundant).1, None, "{bytes} bytes each {gap} us");
        }
        assert_eq!(run(TrackKind::Audio, 1_275, 19_900, false).1, None, "by a clock that runs fast");
        assert_eq!(run(TrackKind::Video, 1_200, 320, false).1, None, "30 Mbps");
    }

    /// The row of the review: 20 Mbps of "Opus".
    #[test]
    fn what_no_codec_sends_is_cut_to_its_limit() {
        let (rate, met) = run(TrackKind::Audio, 1_200, 480, false);
        assert!(rate <= 64_400, "{rate} bytes a second");
        assert!(rate >= 60_000, "the limit is still had");
        assert!(matches!(met, Some(MediaLimit::TrackBitrate | MediaLimit::TrackPackets)));
        let (rate, met) = run(TrackKind::Audio, 20, 100, false);
        assert_eq!((rate, met), (4_000, Some(MediaLimit::TrackPackets)), "packets cost more than their bytes");
        let (rate, _) = run(TrackKind::Video, 1_200, 80, false);
        assert!(rate <= 41_000_000 / 8, "120 Mbps of video: {rate}");
    }

    #[test]
    fn a_member_has_one_limit_for_all_that_it_sends() {
        let start = Instant::now();
        let mut admission = Admission::new(Some(MediaLimits::default()), start);
        let mut gates: Vec<_> = (0..4).map(|_| admission.gate(TrackKind::Video, start)).collect();
        let (mut passed, mut met) = (0, None);
        for at in (0..10_000_000).step_by(100) {
            let gate = &mut gates[at as usize / 100 % 4];
            match admission.admit(start + Duration::from_micros(at), gate, 1_200, false) {
                Ok(()) => passed += 1_200 * 8,
                Err(limit) => met = Some(limit),
            }
        }
        assert_eq!(met, Some(MediaLimit::PublisherBitrate));
        assert!(passed <= 51_000_000 * 12, "50 Mbps for ten seconds, and two saved up: {passed}");
    }

    #[test]
    fn a_publisher_is_told_once_in_a_while_and_by_kind() {
        let start = Instant::now();
        let mut admission = Admission::new(Some(MediaLimits::default()), start);
        let mut at = |millis, limit| admission.on_limit(start + MILLISECOND * millis, limit, true);
        assert_eq!(at(0, MediaLimit::TrackBitrate), Some(1));
        assert!((1..5_000).all(|millis| at(millis, MediaLimit::TrackBitrate).is_none()));
        assert_eq!(at(4_999, MediaLimit::PacketSize), Some(1));
        assert_eq!(at(5_000, MediaLimit::TrackBitrate), Some(5_000));
        assert_eq!(admission.dropped, 5_002);
    }

    #[test]
    fn sizes_that_paths_carry() {
        assert!(!is_oversized(1_388), "GStreamer's payloaders, by default");
        assert!(is_oversized(1_490));
    }
}
