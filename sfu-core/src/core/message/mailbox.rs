//! Reliable messages that wait for one participant.
//!
//! The mailbox is the receiver's own bounded queue in front of its SCTP association. A message is kept once for all mailboxes
//! that hold it.
//!
//! Invariants:
//! - Messages leave in the order in which they were put in, each once.
//! - What waits counts at most [`DataLimits::waiting_bytes`], or is one message.
//! - Senders wait for a full mailbox only while its participant reads at [`LEAST_RATE`] or more, measured over
//!   [`DataLimits::stall`]. Otherwise the mailbox is *stalled*: it loses messages, and holds nobody
//!   up until half of it was read. So a participant that reads and stops by turns holds others up for one such span per half a
//!   mailbox.
//! - Senders do not wait for a channel that is not open. For [`OPENING`] after it was negotiated the mailbox keeps messages, of
//!   those the newest; then nothing until the channel opens.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::DataLimits;
use crate::data;

/// How long messages are kept for a participant whose channel is not open yet.
pub(super) const OPENING: Duration = Duration::from_secs(10);

/// A participant that reads fewer bytes a second than this does not hold up others: 128 kbit/s.
const LEAST_RATE: f64 = 16.0 * 1024.0;

/// See the [module](self).
#[derive(Debug, Default)]
pub(in crate::core) struct Mailbox {
    queue: VecDeque<Bytes>,
    /// What the queue counts.
    cost: usize,
    state: State,
    /// Messages that were lost since the participant was last told.
    lost: u64,
    /// Whether the core looks at it with every tick.
    pub(super) is_listed: bool,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// There is no channel, and none is to come.
    #[default]
    Absent,
    Opening {
        until: Instant,
    },
    Open,
    /// The mailbox is more than half full since it was full at `since`; `taken` was read since.
    Full {
        since: Instant,
        taken: usize,
    },
    Stalled,
}

/// What became of a message that was put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Kept,
    /// So many were lost: this one of a stalled mailbox, or the oldest of one whose channel is not open yet.
    Lost(u64),
    /// There is no channel.
    Absent,
}

impl Mailbox {
    /// The client negotiated data channels, and will open them.
    pub(in crate::core) fn expect(&mut self, now: Instant) {
        if matches!(self.state, State::Absent) {
            self.state = State::Opening { until: now + OPENING };
        }
    }

    /// The reliable channel is open.
    pub(in crate::core) fn open(&mut self, now: Instant) {
        self.expire(now);
        self.state = State::Open;
    }

    /// The reliable channel was closed. What waits is lost with it.
    pub(in crate::core) fn close(&mut self) {
        *self = Self { lost: self.lost, is_listed: self.is_listed, ..Self::default() };
    }

    /// Forgets what waits for a channel that did not open in time.
    pub(super) fn expire(&mut self, now: Instant) {
        if matches!(self.state, State::Opening { until } if until <= now) {
            self.close();
        }
    }

    /// Whether a sender must wait before a message of `len` bytes is put in. Notes when a mailbox becomes stalled; `stalled` is
    /// then called.
    pub(super) fn is_blocking(
        &mut self,
        now: Instant,
        len: usize,
        limits: &DataLimits,
        stalled: impl FnOnce(),
    ) -> bool {
        let has_room = self.has_room(len, limits);
        match self.state {
            State::Absent | State::Opening { .. } | State::Stalled => false,
            State::Open if has_room => false,
            State::Open => {
                self.state = State::Full { since: now, taken: 0 };
                true
            }
            State::Full { since, taken } => {
                let waited = now.saturating_duration_since(since);
                if waited < limits.stall {
                    return !has_room;
                }
                if (taken as f64) <= LEAST_RATE * waited.as_secs_f64() && !has_room {
                    self.state = State::Stalled;
                    stalled();
                    return false;
                }
                self.state = State::Full { since: now, taken: 0 };
                !has_room
            }
        }
    }

    /// Puts a message in.
    pub(super) fn put(&mut self, now: Instant, message: Bytes, limits: &DataLimits) -> Put {
        self.expire(now);
        match self.state {
            State::Absent => return Put::Absent,
            State::Stalled => {
                self.lost += 1;
                return Put::Lost(1);
            }
            State::Opening { .. } | State::Open | State::Full { .. } => {}
        }
        let mut lost = 0;
        while !self.has_room(message.len(), limits) {
            self.pop();
            lost += 1;
        }
        self.cost += data::cost(message.len());
        self.queue.push_back(message);
        if lost > 0 { Put::Lost(lost) } else { Put::Kept }
    }

    /// The next message for the channel.
    pub(super) fn first(&self) -> Option<&Bytes> {
        self.queue.front()
    }

    /// The first message went to the channel.
    pub(super) fn take(&mut self, limits: &DataLimits) {
        let taken = self.pop();
        let is_half_empty = self.cost <= limits.waiting_bytes() / 2;
        match &mut self.state {
            State::Full { .. } | State::Stalled if is_half_empty => self.state = State::Open,
            State::Full { taken: sum, .. } => *sum += taken,
            _ => {}
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many messages the participant lost since it was last told.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    fn has_room(&self, len: usize, limits: &DataLimits) -> bool {
        self.queue.is_empty() || self.cost + data::cost(len) <= limits.waiting_bytes()
    }

    fn pop(&mut self) -> usize {
        let cost = self.queue.pop_front().map_or(0, |message| data::cost(message.len()));
        self.cost -= cost;
        cost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: DataLimits =
        DataLimits { buffer_bytes: 16_000, stall: Duration::from_secs(2), ..DataLimits::DEFAULT };

    fn message(number: u32) -> Bytes {
        let mut bytes = vec![0; 900];
        bytes.extend(number.to_be_bytes());
        bytes.into()
    }

    fn number(message: &[u8]) -> u32 {
        u32::from_be_bytes(*message.last_chunk().unwrap())
    }

    fn open(now: Instant) -> Mailbox {
        let mut mailbox = Mailbox::default();
        mailbox.expect(now);
        mailbox.open(now);
        mailbox
    }

    #[test]
    fn who_is_not_there_yet_gets_the_newest_of_what_was_sent() {
        let now = Instant::now();
        let mut mailbox = Mailbox::default();
        assert_eq!(mailbox.put(now, message(0), &LIMITS), Put::Absent);
        mailbox.expect(now);
        let put: Vec<_> = (0..12).map(|number| mailbox.put(now, message(number), &LIMITS)).collect();
        assert!(!mailbox.is_blocking(now, 900, &LIMITS, || panic!("nobody waits for it")));
        assert_eq!(put.iter().filter(|put| **put == Put::Lost(1)).count(), 2);
        mailbox.open(now + OPENING / 2);
        let next = || {
            let first = mailbox.first().map(|message| number(message));
            mailbox.take(&LIMITS);
            first
        };
        assert!(std::iter::from_fn(next).eq(2..12));
    }

    #[test]
    fn a_channel_that_does_not_open_keeps_nothing() {
        let now = Instant::now();
        let mut mailbox = Mailbox::default();
        mailbox.expect(now);
        assert_eq!(mailbox.put(now, message(0), &LIMITS), Put::Kept);
        mailbox.expire(now + OPENING);
        assert!(mailbox.is_empty());
        assert_eq!(mailbox.put(now + OPENING, message(1), &LIMITS), Put::Absent);
        mailbox.open(now + 2 * OPENING);
        assert_eq!(mailbox.put(now + 2 * OPENING, message(2), &LIMITS), Put::Kept);
    }

    /// Red if a participant that reads nothing, or a little at a time, holds others up for longer than the bound.
    #[test]
    fn who_reads_too_little_stalls_and_recovers_once_half_is_read() {
        let start = Instant::now();
        let mut mailbox = open(start);
        (0..10).for_each(|number| assert_eq!(mailbox.put(start, message(number), &LIMITS), Put::Kept));
        let mut at = start;
        let mut stalled = false;
        while mailbox.is_blocking(at, 1_500, &LIMITS, || stalled = true) {
            at += Duration::from_millis(100);
        }
        assert!(stalled && at - start == LIMITS.stall, "{:?}", at - start);
        assert_eq!((mailbox.put(at, message(10), &LIMITS), mailbox.take_lost()), (Put::Lost(1), 1));
        (0..4).for_each(|_| mailbox.take(&LIMITS));
        assert_eq!(mailbox.put(at, message(11), &LIMITS), Put::Lost(1), "not before half is read");
        mailbox.take(&LIMITS);
        mailbox.take(&LIMITS);
        assert_eq!(mailbox.put(at, message(12), &LIMITS), Put::Kept);
    }

    #[test]
    fn who_reads_slowly_is_waited_for() {
        let mut now = Instant::now();
        let mut mailbox = open(now);
        let mut put = 0;
        for _ in 0..100 {
            while !mailbox.is_blocking(now, 904, &LIMITS, || panic!("it reads")) {
                assert_eq!(mailbox.put(now, message(put), &LIMITS), Put::Kept);
                put += 1;
            }
            now += Duration::from_millis(50);
            mailbox.take(&LIMITS);
        }
        assert!(put > 100);
    }

    #[test]
    fn a_message_larger_than_the_bound_passes_alone() {
        let now = Instant::now();
        let mut mailbox = open(now);
        assert_eq!(mailbox.put(now, Bytes::from(vec![0; 20_000]), &LIMITS), Put::Kept);
        assert!(mailbox.is_blocking(now, 1, &LIMITS, || {}));
    }

    proptest! {
        /// Order, no duplicate, bounded, and no loss unless it is told.
        #[test]
        fn what_is_put_in_comes_out(steps in prop::collection::vec((0u8..4, 0u64..700), 1..300)) {
            let mut now = Instant::now();
            let mut mailbox = open(now);
            let (mut next, mut got, mut lost) = (0u32, Vec::new(), 0);
            for (step, wait) in steps {
                match step {
                    0 | 1 if !mailbox.is_blocking(now, 904, &LIMITS, || {}) => {
                        match mailbox.put(now, message(next), &LIMITS) {
                            Put::Lost(count) => lost += count,
                            put => prop_assert_eq!(put, Put::Kept),
                        }
                        next += 1;
                    }
                    2 => {
                        got.extend(mailbox.first().map(|message| number(message)));
                        mailbox.take(&LIMITS);
                    }
                    _ => now += Duration::from_millis(wait),
                }
                prop_assert!(mailbox.cost <= LIMITS.waiting_bytes());
            }
            while let Some(first) = mailbox.first() {
                got.push(number(first));
                mailbox.take(&LIMITS);
            }
            prop_assert!(got.is_sorted_by(|one, other| one < other));
            prop_assert_eq!(got.len() as u64 + lost, u64::from(next));
            prop_assert_eq!(mailbox.take_lost(), lost);
            prop_assert_eq!(mailbox.cost, 0);
        }
    }
}
