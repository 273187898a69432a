//! Statistics of one outgoing stream: what its sender reports say, and what its receiver's report blocks tell
//! (RFC 3550 section 6.4).

use std::time::{Duration, Instant};

use super::ntp::{self, Ntp};
use crate::id::Ssrc;
use crate::rtcp::{ReportBlock, SenderInfo};

/// A longer round trip comes from a receiver that fills LSR or DLSR wrongly.
const MAX_RTT: Duration = Duration::from_secs(30);

/// The statistics.
#[derive(Debug)]
pub struct SendStats {
    clock_rate: u32,
    packets: u64,
    bytes: u64,
    retransmitted: u64,
    last: Option<(u32, Instant)>,
    rtt: Option<Duration>,
    fraction_lost: u8,
    lost: i32,
    jitter: u32,
}

impl SendStats {
    /// Statistics of a stream whose RTP clock ticks at `clock_rate` hertz.
    pub const fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            packets: 0,
            bytes: 0,
            retransmitted: 0,
            last: None,
            rtt: None,
            fraction_lost: 0,
            lost: 0,
            jitter: 0,
        }
    }

    /// Counts a packet with `bytes` of payload, sent for the first time.
    #[inline]
    pub const fn on_packet(&mut self, now: Instant, timestamp: u32, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
        self.last = Some((timestamp, now));
    }

    /// Counts a packet that was sent again by RTX.
    pub const fn on_retransmission(&mut self) {
        self.retransmitted += 1;
    }

    /// The values of a sender report of `ssrc`, `None` before the first packet. `ntp` is `now` on our clock. `timestamp` is `ntp`
    /// on the stream's RTP clock as the publisher's own reports tell (see [`SourceClock`](super::SourceClock)); without
    /// them it is counted on from the last packet.
    pub fn sender_info(&self, now: Instant, ntp: Ntp, ssrc: Ssrc, timestamp: Option<u32>) -> Option<SenderInfo> {
        let (last, sent) = self.last?;
        let rtp_timestamp = timestamp.unwrap_or_else(|| {
            let elapsed = now.saturating_duration_since(sent).as_micros() * u128::from(self.clock_rate) / 1_000_000;
            last.wrapping_add(elapsed as u32)
        });
        Some(SenderInfo { ssrc, ntp: ntp.0, rtp_timestamp, packets: self.packets as u32, octets: self.bytes as u32 })
    }

    /// Notes a report block about this stream that arrived at `ntp` on our clock. Returns the round-trip time that it
    /// tells, if it does.
    pub fn on_report_block(&mut self, ntp: Ntp, block: &ReportBlock) -> Option<Duration> {
        self.fraction_lost = block.fraction_lost;
        self.lost = block.cumulative_lost;
        self.jitter = block.jitter;
        let rtt = round_trip(ntp, block)?;
        // The smoothing of RFC 6298: one eighth of the new value.
        self.rtt = Some(self.rtt.map_or(rtt, |smooth| (smooth * 7 + rtt) / 8));
        Some(rtt)
    }

    /// Packets without retransmissions.
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of payload without retransmissions.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Retransmitted packets.
    pub const fn retransmitted(&self) -> u64 {
        self.retransmitted
    }

    /// The timestamp of the last packet and when it was sent.
    pub const fn last(&self) -> Option<(u32, Instant)> {
        self.last
    }

    /// The smoothed round-trip time.
    pub const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// The loss that was reported last, 0 to 1.
    pub fn fraction_lost(&self) -> f64 {
        f64::from(self.fraction_lost) / 256.0
    }

    /// The packets lost in all as reported last.
    pub const fn lost(&self) -> i32 {
        self.lost
    }

    /// The jitter that was reported last, in seconds.
    pub fn jitter(&self) -> f64 {
        f64::from(self.jitter) / f64::from(self.clock_rate)
    }
}

/// A - LSR - DLSR (RFC 3550 section 6.4.1). Slightly below zero, as rounding makes it on a short path, reads as zero.
fn round_trip(ntp: Ntp, block: &ReportBlock) -> Option<Duration> {
    if block.last_sr == 0 {
        return None;
    }
    let units = ntp.middle().wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr) as i32;
    if units < -66 {
        return None; // more than 1 ms below zero
    }
    Some(ntp::from_short(units.max(0) as u32)).filter(|rtt| *rtt <= MAX_RTT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(last_sr: u32, delay_since_last_sr: u32) -> ReportBlock {
        ReportBlock {
            ssrc: Ssrc(1),
            fraction_lost: 64,
            cumulative_lost: -3,
            highest_sequence: 0,
            jitter: 900,
            last_sr,
            delay_since_last_sr,
        }
    }

    /// RFC 3550 figure 2: a block that arrives at 0xb710:8000, LSR 0xb705:2000, DLSR 0x0005:4000, is 6.125 s old.
    #[test]
    fn round_trip_of_the_rfc() {
        let mut stats = SendStats::new(90_000);
        let at = Ntp(0xb44d_b710_8000_0000);
        let rtt = stats.on_report_block(at, &block(0xb705_2000, 0x0005_4000));
        assert_eq!(rtt, Some(Duration::from_millis(6_125)));
        assert_eq!(stats.rtt(), rtt);
        assert_eq!((stats.fraction_lost(), stats.lost(), stats.jitter()), (0.25, -3, 0.01));
    }

    #[test]
    fn round_trips_that_cannot_be_are_ignored() {
        let mut stats = SendStats::new(90_000);
        let at = Ntp(0xb44d_b710_8000_0000);
        assert_eq!(stats.on_report_block(at, &block(0, 0)), None);
        assert_eq!(stats.on_report_block(at, &block(0xb710_7000, 0x0005_4000)), None);
        assert_eq!(stats.on_report_block(at, &block(0xb610_8000, 0)), None);
        assert_eq!(stats.on_report_block(at, &block(0xb710_8000, 40)), Some(Duration::ZERO));
        assert_eq!(stats.rtt(), Some(Duration::ZERO));
    }

    #[test]
    fn round_trips_are_smoothed() {
        let mut stats = SendStats::new(90_000);
        let at = Ntp(0xb44d_b710_8000_0000);
        stats.on_report_block(at, &block(0xb70f_8000, 0));
        stats.on_report_block(at, &block(0xb707_8000, 0));
        assert_eq!(stats.rtt(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn reports_count_on_from_the_last_packet() {
        let now = Instant::now();
        let mut stats = SendStats::new(48_000);
        assert!(stats.sender_info(now, Ntp(9), Ssrc(5), None).is_none());
        stats.on_packet(now, u32::MAX, 100);
        stats.on_packet(now, 959, 50);
        stats.on_retransmission();
        let later = now + Duration::from_millis(500);
        let info = stats.sender_info(later, Ntp(9), Ssrc(5), None).unwrap();
        assert_eq!((info.ssrc, info.ntp, info.rtp_timestamp), (Ssrc(5), 9, 24_959));
        assert_eq!((info.packets, info.octets), (2, 150));
        assert_eq!(stats.sender_info(later, Ntp(9), Ssrc(5), Some(7)).unwrap().rtp_timestamp, 7);
    }
}
