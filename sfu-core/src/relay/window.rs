//! How much of messages on data channels is on its way to another part of a room, and how much may be.
//!
//! The other part says what it has taken, so that all queues in between are bounded, wherever the messages wait.

use std::time::{Duration, Instant};

use crate::data;
use crate::transport::Channel;

/// What reliable messages that were not taken yet may count. Beyond it they wait with their senders.
const RELIABLE: usize = 256 * 1024;

/// What lossy ones may. Beyond it they are dropped.
const LOSSY: usize = 128 * 1024;

/// A part that takes nothing for so long is not waited for, until it has taken half: its worker is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Window {
    /// By channel.
    underway: [usize; 2],
    /// Since when a reliable message waits and nothing was taken.
    waiting: Option<Instant>,
    is_given_up: bool,
}

impl Window {
    /// Whether a reliable message of `len` bytes need not wait.
    pub fn has_room(&mut self, now: Instant, len: usize) -> bool {
        if self.is_given_up || self.fits(Channel::Reliable, len) {
            return true;
        }
        let since = *self.waiting.get_or_insert(now);
        self.is_given_up = now.saturating_duration_since(since) >= PATIENCE;
        self.is_given_up
    }

    /// Notes a message that is sent; false: it must not be.
    pub fn admit(&mut self, channel: Channel, len: usize) -> bool {
        let admitted = self.fits(channel, len) && !(self.is_given_up && channel == Channel::Reliable);
        if admitted {
            self.underway[channel as usize] += data::cost(len);
        }
        admitted
    }

    /// The other part has taken what counts so much.
    pub fn on_taken(&mut self, channel: Channel, cost: usize) {
        let underway = &mut self.underway[channel as usize];
        *underway = underway.saturating_sub(cost);
        if channel == Channel::Reliable {
            self.waiting = None;
            self.is_given_up &= *underway > RELIABLE / 2;
        }
    }

    const fn fits(&self, channel: Channel, len: usize) -> bool {
        let bound = match channel {
            Channel::Reliable => RELIABLE,
            Channel::Lossy => LOSSY,
        };
        let underway = self.underway[channel as usize];
        underway == 0 || underway + data::cost(len) <= bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_has_its_bound() {
        let now = Instant::now();
        let mut window = Window::default();
        let lossy = (0..10_000).filter(|_| window.admit(Channel::Lossy, 30)).count();
        assert_eq!(lossy, LOSSY / data::cost(30));
        assert!(window.has_room(now, 60_000) && window.admit(Channel::Reliable, 60_000), "it has its own");
        window.on_taken(Channel::Lossy, data::cost(30));
        assert!(window.admit(Channel::Lossy, 30) && !window.admit(Channel::Lossy, 30));
    }

    #[test]
    fn a_part_that_takes_nothing_is_given_up_until_it_has_taken_half() {
        let start = Instant::now();
        let mut window = Window::default();
        while window.has_room(start, 30_000) {
            assert!(window.admit(Channel::Reliable, 30_000));
        }
        assert!(!window.has_room(start + PATIENCE / 2, 30_000));
        window.on_taken(Channel::Reliable, 1);
        assert!(!window.has_room(start + PATIENCE, 30_000), "it takes something");
        assert!(!window.has_room(start + PATIENCE * 2 - Duration::from_millis(1), 30_000));
        assert!(window.has_room(start + PATIENCE * 2, 30_000), "given up");
        assert!(!window.admit(Channel::Reliable, 30_000), "and so it misses messages");
        for _ in 0..4 {
            window.on_taken(Channel::Reliable, data::cost(30_000));
            assert_eq!(window.is_given_up, window.underway[0] > RELIABLE / 2);
        }
        assert!(window.has_room(start + PATIENCE * 2, 30_000) && window.admit(Channel::Reliable, 30_000));
    }
}
