//! How much later than its sender spaced them do packets arrive? Packets that were sent within 5 ms are one group, and so
//! are those that a link held up and then delivered at once.
//!
//! Follows libwebrtc `modules/congestion_controller/goog_cc/inter_arrival_delta.cc` (M128).

/// Packets sent within so many µs of a group's first are of the group.
const GROUP_US: i64 = 5_000;
/// Packets that arrive so close together, closer than they were sent, are one burst.
const BURST_GAP_US: i64 = 5_000;
/// A burst is no longer.
const MAX_BURST_US: i64 = 100_000;
/// The receiver's clock has jumped if it gained so much on ours.
const MAX_CLOCK_GAIN_US: i64 = 3_000_000;
/// So many groups that ended before the last one mean a clock that jumped back.
const MAX_BACKWARDS: u8 = 3;

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    first_arrival: i64,
    last_arrival: i64,
    /// When feedback on it came, on our clock.
    told: i64,
}

/// From one group to the next, in µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deltas {
    pub sent: i64,
    pub arrived: i64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct InterArrival {
    current: Option<Group>,
    previous: Option<Group>,
    backwards: u8,
}

impl InterArrival {
    /// A packet that arrived; times in µs, `arrived` on the receiver's clock. The deltas between the last two groups if this
    /// packet begins a new one.
    pub(super) fn on_packet(&mut self, sent: i64, arrived: i64, now: i64) -> Option<Deltas> {
        let fresh =
            Group { first_sent: sent, last_sent: sent, first_arrival: arrived, last_arrival: arrived, told: now };
        let Some(current) = &mut self.current else {
            self.current = Some(fresh);
            return None;
        };
        if sent < current.first_sent {
            return None;
        }
        if !begins_group(current, sent, arrived) {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrival = arrived;
            current.told = now;
            return None;
        }
        let ended = *current;
        let deltas = match self.previous.map(|previous| between(&previous, &ended)) {
            None => None,
            Some(Step::Ahead(deltas)) => {
                self.backwards = 0;
                Some(deltas)
            }
            Some(Step::Backwards) if self.backwards + 1 < MAX_BACKWARDS => {
                // The group is passed over: from the one before it to the next is a delta again.
                self.backwards += 1;
                self.current = Some(fresh);
                return None;
            }
            Some(Step::Backwards | Step::Jumped) => {
                *self = Self::default();
                return None;
            }
        };
        (self.previous, self.current) = (Some(ended), Some(fresh));
        deltas
    }
}

enum Step {
    Ahead(Deltas),
    Backwards,
    Jumped,
}

const fn between(previous: &Group, ended: &Group) -> Step {
    let arrived = ended.last_arrival - previous.last_arrival;
    if arrived - (ended.told - previous.told) >= MAX_CLOCK_GAIN_US {
        Step::Jumped
    } else if arrived < 0 {
        Step::Backwards
    } else {
        Step::Ahead(Deltas { sent: ended.last_sent - previous.last_sent, arrived })
    }
}

const fn begins_group(current: &Group, sent: i64, arrived: i64) -> bool {
    let since_sent = sent - current.last_sent;
    let since_arrival = arrived - current.last_arrival;
    let burst = since_sent == 0
        || (since_arrival >= 0
            && since_arrival < since_sent
            && since_arrival <= BURST_GAP_US
            && arrived - current.first_arrival < MAX_BURST_US);
    !burst && sent - current.first_sent > GROUP_US
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times in ms.
    fn feed(packets: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let mut inter_arrival = InterArrival::default();
        let packets = packets.iter().map(|&(sent, arrived)| (sent * 1_000, arrived * 1_000));
        packets
            .filter_map(|(sent, arrived)| inter_arrival.on_packet(sent, arrived, sent + 100_000))
            .map(|deltas| (deltas.sent / 1_000, deltas.arrived / 1_000))
            .collect()
    }

    #[test]
    fn compares_the_ends_of_groups() {
        let deltas = feed(&[(0, 100), (4, 104), (20, 120), (24, 130), (40, 150), (60, 170)]);
        assert_eq!(deltas, [(20, 26), (16, 20)]);
    }

    #[test]
    fn what_arrives_at_once_is_one_group() {
        // Sent 20 ms apart, held up and delivered 1 ms apart.
        let deltas = feed(&[(0, 100), (20, 120), (40, 180), (60, 181), (80, 182), (100, 200), (120, 220)]);
        assert_eq!(deltas, [(20, 20), (60, 62), (20, 18)]);
    }

    #[test]
    fn a_clock_that_jumps_starts_anew() {
        let deltas = feed(&[(0, 0), (10, 10), (20, 9_000), (30, 9_010), (40, 9_020), (50, 9_030), (60, 9_040)]);
        assert_eq!(deltas, [(10, 10), (10, 10)], "the jump itself is no delta: {deltas:?}");
        let back = [(0, 900), (10, 910), (20, 0), (30, 10), (40, 20), (50, 30), (60, 40), (70, 50), (80, 60), (90, 70)];
        assert_eq!(feed(&back), [(10, 10), (10, 10), (10, 10)]);
    }

    #[test]
    fn a_group_out_of_order_is_passed_over() {
        assert_eq!(feed(&[(0, 100), (10, 110), (20, 105), (30, 130), (40, 140)]), [(10, 10), (20, 20)]);
    }
}
