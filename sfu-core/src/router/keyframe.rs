//! When to ask a publisher for a keyframe: at most one request on its way, however many subscribers wait.

use std::time::{Duration, Instant};

/// libwebrtc ignores a PLI that comes sooner than this after a keyframe.
const AFTER_KEYFRAME: Duration = Duration::from_millis(300);

/// A request that was not answered in this time, or in two round trips if that is longer, is repeated.
const RETRY: Duration = Duration::from_millis(400);

/// The keyframe requests of one encoding.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyframeRequests {
    /// A keyframe was asked for and did not come yet.
    wanted: bool,
    /// Subscriptions wait for one now.
    awaited: bool,
    asked: Option<Instant>,
    keyframe: Option<Instant>,
    /// How many were sent.
    pub sent: u64,
}

impl KeyframeRequests {
    /// The next keyframe is wanted, whoever asked for it.
    pub fn request(&mut self) {
        self.wanted = true;
    }

    /// What arrived at this time is missing for good: a keyframe is wanted, unless one came later.
    pub fn request_after(&mut self, missing: Instant) {
        self.wanted |= self.keyframe.is_none_or(|keyframe| keyframe <= missing);
    }

    /// Tells whether subscriptions wait for a keyframe now.
    pub fn set_awaited(&mut self, awaited: bool) {
        self.awaited = awaited;
    }

    /// A keyframe began to arrive: it is what was asked for.
    pub fn on_keyframe(&mut self, now: Instant) {
        self.wanted = false;
        self.awaited = false;
        self.asked = None;
        self.keyframe = Some(now);
    }

    /// When a wanted request may be sent; `None`: at once, or nobody waits.
    fn due(&self, rtt: Duration) -> Option<Instant> {
        let after_keyframe = self.keyframe.map(|at| at + AFTER_KEYFRAME);
        let retry = self.asked.map(|at| at + RETRY.max(2 * rtt));
        after_keyframe.max(retry)
    }

    /// Whether a request must be sent now; it counts as sent.
    pub fn poll(&mut self, now: Instant, rtt: Duration) -> bool {
        let due = (self.wanted || self.awaited) && self.due(rtt).is_none_or(|due| due <= now);
        if due {
            self.asked = Some(now);
            self.sent += 1;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(20);

    #[test]
    fn requests_are_coalesced_and_repeated() {
        let start = Instant::now();
        let mut requests = KeyframeRequests::default();
        assert!(!requests.poll(start, RTT), "nobody waits");
        requests.request();
        requests.request();
        assert!(requests.poll(start, RTT));
        requests.request();
        assert!(!requests.poll(start + Duration::from_millis(399), RTT), "one is on its way");
        assert!(requests.poll(start + Duration::from_millis(400), RTT), "it got lost");
        assert!(!requests.poll(start + Duration::from_millis(900), Duration::from_secs(1)), "a long way takes longer");
        requests.on_keyframe(start + Duration::from_secs(1));
        assert!(!requests.poll(start + Duration::from_secs(9), RTT), "answered");
        assert_eq!(requests.sent, 2);
    }

    #[test]
    fn who_no_longer_waits_is_not_asked_for() {
        let start = Instant::now();
        let mut requests = KeyframeRequests::default();
        requests.set_awaited(true);
        assert!(requests.poll(start, RTT));
        requests.set_awaited(false);
        assert!(!requests.poll(start + Duration::from_secs(1), RTT));
    }

    #[test]
    fn what_was_missing_before_a_keyframe_is_no_reason_for_another() {
        let start = Instant::now();
        let mut requests = KeyframeRequests::default();
        requests.on_keyframe(start);
        requests.request_after(start - Duration::from_millis(1));
        assert!(!requests.poll(start + Duration::from_secs(1), RTT));
        requests.request_after(start);
        assert!(requests.poll(start + Duration::from_secs(1), RTT), "it may be a part of the keyframe");
    }

    #[test]
    fn no_request_is_wasted_right_after_a_keyframe() {
        let start = Instant::now();
        let mut requests = KeyframeRequests::default();
        requests.on_keyframe(start);
        requests.request();
        assert!(!requests.poll(start + Duration::from_millis(299), RTT));
        assert!(requests.poll(start + Duration::from_millis(300), RTT));
    }
}
