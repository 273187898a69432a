//! The way to the receiver and back: the round-trip time, and how much of it is a queue.
//!
//! GCC looks at how the delay changes alone, and a rate a few percent above the link fills its queue too slowly to be seen
//! for seconds. libwebrtc bounds that queue by a congestion window (`UpdateCongestionWindowSize` in
//! `modules/congestion_controller/goog_cc/goog_cc_network_control.cc`, M128); an SFU cannot hold back what others encode, so
//! here a queue lowers the rate while it drains, and one that stays counts as overuse. Where that does not help, the
//! queue is of others, and asked again the more seldom the longer it lasts.

/// Of the exponential filter on the round-trip time.
const SMOOTHING: f64 = 0.8;
/// The lowest round trip counts for this long, in two halves, µs: a route that got longer is believed after that.
const HALF_WINDOW_US: i64 = 15_000_000;
/// A round trip trembles by so many µs without a queue.
const NO_QUEUE_US: i64 = 10_000;
/// A queue of so many µs drains by itself.
const SMALL_QUEUE_US: i64 = 50_000;
/// A larger one is to drain within this time, µs.
const DRAIN_US: f64 = 1_000_000.0;
/// The least of the rate that is kept meanwhile.
const LEAST_SHARE: f64 = 0.6;

/// A queue that exceeds this, µs, for longer than a patience that doubles from the first to the last, stays.
const LARGE_QUEUE_US: i64 = 60_000;
const PATIENCE_US: (i64, i64) = (400_000, 12_800_000);

/// Bursts queue no longer than this, µs.
const BURST_US: i64 = 120_000;
/// Nobody can talk to each other over a queue of so many µs.
const FLOOD_US: i64 = 150_000;

/// See the module's text. Times in µs.
#[derive(Debug)]
pub(super) struct Path {
    smoothed: Option<f64>,
    latest: i64,
    /// The lowest of this half of the window and of the one before, and when this half began.
    lowest: Option<(i64, i64)>,
    began: i64,
    /// Since when the queue is large, or was last complained of.
    large: Option<i64>,
    patience: i64,
}

impl Default for Path {
    fn default() -> Self {
        Self { smoothed: None, latest: 0, lowest: None, began: 0, large: None, patience: PATIENCE_US.0 }
    }
}

impl Path {
    /// A round trip: from sending a packet to feedback on it, less the time that the receiver kept it.
    pub(super) fn on_round_trip(&mut self, now: i64, rtt: i64) {
        let rtt = rtt.max(0);
        self.latest = rtt;
        let smoothed = self.smoothed.map_or(rtt as f64, |old| SMOOTHING * old + (1.0 - SMOOTHING) * rtt as f64);
        self.smoothed = Some(smoothed);
        let (current, before) = self.lowest.unwrap_or((rtt, rtt));
        self.lowest = if now - self.began > HALF_WINDOW_US {
            self.began = now;
            Some((rtt, current))
        } else {
            Some((current.min(rtt), before))
        };
        match self.queue() {
            large if large >= LARGE_QUEUE_US => {
                self.large.get_or_insert(now);
            }
            queue => {
                self.large = None;
                if queue < SMALL_QUEUE_US {
                    self.patience = PATIENCE_US.0;
                }
            }
        }
    }

    /// Whether a queue has been large for too long. To be asked once after each round trip.
    pub(super) fn complains(&mut self, now: i64) -> bool {
        let complains = self.large.is_some_and(|since| now - since >= self.patience);
        if complains {
            self.large = Some(now);
            self.patience = (2 * self.patience).min(PATIENCE_US.1);
        }
        complains
    }

    /// Whether there is next to no queue.
    pub(super) fn is_empty(&self) -> bool {
        self.queue() < NO_QUEUE_US
    }

    /// Whether there is more than a small queue.
    pub(super) fn is_queued(&self) -> bool {
        self.queue() > SMALL_QUEUE_US
    }

    /// Whether the queue is too large to stay.
    pub(super) fn is_large(&self) -> bool {
        self.queue() >= LARGE_QUEUE_US
    }

    /// Whether the queue is longer than that of a burst.
    pub(super) fn is_long(&self) -> bool {
        self.queue() > BURST_US
    }

    /// Whether the queue is so long that what is sent, however little, is too much.
    pub(super) fn is_flooded(&self) -> bool {
        self.queue() > FLOOD_US
    }

    pub(super) fn rtt(&self) -> Option<i64> {
        self.smoothed.map(|rtt| rtt as i64)
    }

    /// The part of the last round trip that was not there at the best of times.
    pub(super) fn queue(&self) -> i64 {
        self.lowest.map_or(0, |(current, before)| self.latest - current.min(before))
    }

    /// The share of the rate that drains the queue in good time.
    pub(super) fn draining_share(&self) -> f64 {
        let excess = (self.queue() - SMALL_QUEUE_US).max(0) as f64;
        (1.0 - excess / DRAIN_US).max(LEAST_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_what_exceeds_the_lowest_round_trip() {
        let mut path = Path::default();
        assert_eq!((path.rtt(), path.queue()), (None, 0));
        path.on_round_trip(0, 50_000);
        path.on_round_trip(1, 250_000);
        assert_eq!((path.rtt().map(|rtt| (rtt + 5) / 10), path.queue()), (Some(9_000), 200_000));
        assert_eq!(path.draining_share(), 0.85);
        path.on_round_trip(2, 3_000_000);
        assert_eq!(path.draining_share(), LEAST_SHARE);
    }

    #[test]
    fn a_queue_that_stays_is_complained_of_less_and_less() {
        let mut path = Path::default();
        path.on_round_trip(0, 50_000);
        let complaints = (1..100).filter(|tenth| {
            path.on_round_trip(tenth * 100_000, 150_000);
            path.complains(tenth * 100_000)
        });
        assert_eq!(complaints.collect::<Vec<_>>(), [5, 13, 29, 61]);
        path.on_round_trip(10_000_000, 60_000);
        path.on_round_trip(10_100_000, 150_000);
        assert!(!path.complains(10_400_000));
        assert!(path.complains(10_500_000));
    }

    #[test]
    fn a_longer_route_is_believed_after_a_while() {
        let mut path = Path::default();
        path.on_round_trip(0, 50_000);
        for second in 0..40 {
            path.on_round_trip(second * 1_000_000, 150_000);
        }
        assert_eq!(path.queue(), 0);
    }
}
