//! The clocks of a publisher, so that its subscribers can keep its audio and video in step (RFC 3550 section 6.4.1).
//!
//! A publisher's sender reports tie the RTP clock of each of its streams to its own NTP clock. Subscribers get reports
//! in our NTP time: the publisher's plus one offset, the same for all of its streams. Times of arrival are no
//! substitute: they differ by the delay of each encoder and of the path.

use super::ntp::{self, Ntp};

/// Units of 2^-32 s in a second.
const SECOND: i64 = 1 << 32;

/// One stream's RTP clock against its publisher's NTP clock: its last sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceClock {
    /// The publisher's NTP time.
    pub ntp: Ntp,
    /// The RTP timestamp of the same moment.
    pub timestamp: u32,
    /// RTP ticks per second.
    pub clock_rate: u32,
}

impl SourceClock {
    /// The RTP timestamp, as the publisher numbers them, of a moment on the publisher's NTP clock.
    pub const fn timestamp_at(&self, theirs: Ntp) -> u32 {
        self.timestamp.wrapping_add(ntp::ticks(theirs.since(self.ntp), self.clock_rate) as u32)
    }
}

/// How far a publisher's NTP clock is from ours. One per publisher.
#[derive(Debug, Clone, Copy, Default)]
pub struct PublisherOffset {
    /// Ours minus theirs.
    units: Option<i64>,
}

impl PublisherOffset {
    /// Notes a sender report of any stream of the publisher, `theirs`, which arrived at `ours`. The first one sets the
    /// offset, and so does one that is off by more than a second: the publisher's clock was set.
    pub fn on_sender_report(&mut self, ours: Ntp, theirs: Ntp) {
        let units = ours.since(theirs);
        if self.units.is_none_or(|known| units.wrapping_sub(known).unsigned_abs() > SECOND as u64) {
            self.units = Some(units);
        }
    }

    /// A moment on our clock, on the publisher's. `None` before its first sender report.
    pub fn theirs(&self, ours: Ntp) -> Option<Ntp> {
        self.units.map(|units| ours.offset(units.wrapping_neg()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ntp(millis: i64) -> Ntp {
        Ntp(1 << 40).offset(millis * SECOND / 1_000)
    }

    #[test]
    fn timestamps_follow_the_clock_both_ways() {
        let clock = SourceClock { ntp: ntp(10_000), timestamp: 90, clock_rate: 90_000 };
        assert_eq!(clock.timestamp_at(ntp(10_500)), 45_090);
        assert_eq!(clock.timestamp_at(ntp(9_999)), 0);
        assert_eq!(clock.timestamp_at(ntp(9_998)), 0_u32.wrapping_sub(90));
    }

    /// Reports of two streams take different times to arrive; the offset must not follow, or lip sync is lost.
    #[test]
    fn audio_and_video_share_the_offset() {
        let mut offset = PublisherOffset::default();
        assert_eq!(offset.theirs(ntp(0)), None);
        offset.on_sender_report(ntp(5_020), ntp(1_000));
        offset.on_sender_report(ntp(5_350), ntp(1_200));
        assert_eq!(offset.theirs(ntp(6_020)), Some(ntp(2_000)));
    }

    #[test]
    fn a_clock_that_was_set_is_followed() {
        let mut offset = PublisherOffset::default();
        offset.on_sender_report(ntp(5_000), ntp(1_000));
        offset.on_sender_report(ntp(6_000), ntp(90_000));
        assert_eq!(offset.theirs(ntp(7_000)), Some(ntp(91_000)));
        offset.on_sender_report(Ntp(0), Ntp(u64::MAX / 2));
        offset.on_sender_report(Ntp(u64::MAX / 2 + 2), Ntp(0));
    }
}
