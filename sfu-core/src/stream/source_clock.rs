//! The clocks of a publisher, so that its subscribers can keep its audio and video in step (RFC 3550 section 6.4.1).
//!
//! A publisher's sender reports tie the RTP clock of each of its streams to its own NTP clock. Subscribers get reports
//! in our NTP time: the publisher's plus an [`Offset`], the same for all of its streams. Times of arrival are no
//! substitute: they differ by the delay of each encoder and of the path.
//!
//! Some publishers stamp audio and video by different clocks. Those streams have an offset each, which stays: what one reports
//! never moves what another is shown at.

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
    /// How far the publisher's NTP clock is from ours.
    pub offset: Offset,
}

impl SourceClock {
    /// The RTP timestamp, as the publisher numbers them, of a moment on our clock.
    pub const fn timestamp_at(&self, ours: Ntp) -> u32 {
        let theirs = ours.offset(self.offset.0.wrapping_neg());
        self.timestamp.wrapping_add(ntp::ticks(theirs.since(self.ntp), self.clock_rate) as u32)
    }
}

/// How far an NTP clock of a publisher is from ours: ours minus theirs, in units of 2^-32 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset(i64);

impl Offset {
    /// The offset of a stream whose sender report of `theirs` arrived at `ours`: of those that the publisher's streams are known
    /// by, its own included, the nearest, if it is within a second, which is more than reports differ in their delay. Otherwise
    /// the clock is another one, or was set.
    pub fn of(ours: Ntp, theirs: Ntp, known: impl Iterator<Item = Self>) -> Self {
        let units = ours.since(theirs);
        let distance = |known: &Self| known.0.wrapping_sub(units).unsigned_abs();
        known.min_by_key(distance).filter(|known| distance(known) <= SECOND as u64).unwrap_or(Self(units))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ntp(millis: i64) -> Ntp {
        Ntp(1 << 40).offset(millis * SECOND / 1_000)
    }

    /// Of streams that reported at (ours, theirs), one after the other, as a room keeps them.
    fn offsets(reports: &[(usize, i64, i64)]) -> Vec<Vec<i64>> {
        let mut streams = [None::<Offset>; 2];
        let report = |(stream, ours, theirs): &(usize, i64, i64)| {
            let known: Vec<Offset> = streams.iter().flatten().copied().collect();
            streams[*stream] = Some(Offset::of(ntp(*ours), ntp(*theirs), known.into_iter()));
            streams.iter().flatten().map(|offset| (offset.0 * 1_000 + SECOND / 2) / SECOND).collect()
        };
        reports.iter().map(report).collect()
    }

    #[test]
    fn timestamps_follow_the_clock_both_ways() {
        let offset = Offset::of(ntp(20_000), ntp(10_000), std::iter::empty());
        let clock = SourceClock { ntp: ntp(10_000), timestamp: 90, clock_rate: 90_000, offset };
        assert_eq!(clock.timestamp_at(ntp(20_500)), 45_090);
        assert_eq!(clock.timestamp_at(ntp(19_999)), 0);
        assert_eq!(clock.timestamp_at(ntp(19_998)), 0_u32.wrapping_sub(90));
    }

    /// Reports of two streams take different times to arrive; the offset must not follow, or lip sync is lost.
    #[test]
    fn audio_and_video_share_the_offset() {
        assert_eq!(offsets(&[(0, 5_020, 1_000), (1, 5_350, 1_200)])[1], [4_020, 4_020]);
    }

    /// Red if the picture jumps with every report.
    #[test]
    fn clocks_that_differ_have_an_offset_each_which_stays() {
        let reports: Vec<_> = (1..20)
            .flat_map(|second| {
                let (at, late) = (second * 1_000, second % 3 * 40);
                [(0, at + late, at - 500_000), (1, at + 30, at + 700_000)]
            })
            .collect();
        let told = offsets(&reports);
        assert!(told[1..].iter().all(|offsets| *offsets == told[1]), "{told:?}");
    }

    #[test]
    fn a_clock_that_was_set_is_followed_by_all_streams() {
        let told = offsets(&[(0, 5_000, 1_000), (1, 5_100, 1_100), (0, 6_000, 90_000), (1, 6_200, 90_150)]);
        assert_eq!(told[1], [4_000, 4_000]);
        assert_eq!(told[2][1], 4_000, "until it reports");
        assert_eq!((told[3][0], told[3][1]), (told[2][0], told[2][0]));
        assert!((-84_001..=-83_999).contains(&told[3][0]));
        Offset::of(Ntp(0), Ntp(u64::MAX / 2), [Offset(i64::MIN), Offset(i64::MAX)].into_iter());
    }
}
