//! When to ask a publisher for a keyframe, and how often at most. A keyframe takes five to ten times the bits of another frame,
//! and all subscribers of the encoding pay for it.
//!
//! The rule, per encoding:
//! - One request is on its way at a time, however many subscribers wait; none is sent within [`AFTER_KEYFRAME`].
//! - In the long run the keyframes that were asked for take at most one [`SHARE`]th of the encoding's bytes. One is lent, so that
//!   whoever comes, switches or misses something is served at once where nobody else was just before.
//! - Whoever has no picture yet, or waits for another encoding, waits no longer than [`FIRST_WAITS`] for that share; whoever has to
//!   repair one, no longer than [`REPAIR_WAITS`]. So large ones come once a second at most, however many people come and go.
//!
//! The rule, per requester ([`Asker`], one for each m-line that sends): what it causes is limited too, so that one viewer that
//! asks ten times a second, or switches to and fro, leaves the share to the others. What joins a request that is wanted
//! anyway costs it nothing. A request that was sent before the last keyframe can have reached it is not counted at all.

use std::time::{Duration, Instant};

use crate::limiter::{Limit, Limiter};

/// libwebrtc ignores a PLI that comes sooner than this after a keyframe.
const AFTER_KEYFRAME: Duration = Duration::from_millis(300);

/// A request that was not answered in this time, or in two round trips if that is longer, is repeated.
const RETRY: Duration = Duration::from_millis(400);

/// Of so many bytes of an encoding, one may be of a keyframe that was asked for.
const SHARE: u64 = 10;

/// The longest that a first picture, or that of another encoding, waits for the share.
const FIRST_WAITS: Duration = Duration::from_secs(1);

/// The longest that a repair waits for it.
const REPAIR_WAITS: Duration = Duration::from_secs(3);

/// A requester's tokens: one grows each [`TOKEN`], and [`TOKENS`] are there at once. A start costs one, so that whoever leafs
/// through many pictures waits for none; a repair costs [`REPAIR_COST`]: three at once, then one in four seconds.
const TOKEN: Duration = Duration::from_secs(1);
const TOKENS: u32 = 12;
const REPAIR_COST: u32 = 4;

/// What somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Want {
    #[default]
    Nothing,
    Repair,
    First,
}

/// The keyframe requests of one encoding.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyframeRequests {
    /// A keyframe was asked for and did not come yet.
    wanted: Want,
    /// Subscriptions wait for one now.
    awaited: bool,
    asked: Option<Instant>,
    keyframe: Option<Instant>,
    spent: Spent,
    /// How many were sent.
    pub sent: u64,
}

/// What requested keyframes took of an encoding's bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    /// Bytes that are not yet paid for by others.
    debt: u64,
    /// The size of the last keyframe that was asked for.
    last: u64,
    /// Bytes of the encoding that have paid.
    paid: u64,
    /// The keyframe that is arriving: its timestamp, the bytes before it, and whether it was asked for.
    arriving: Option<(u32, u64, bool)>,
}

impl KeyframeRequests {
    /// A subscriber has to repair its picture: the next keyframe is wanted.
    pub fn request(&mut self) {
        self.wanted = self.wanted.max(Want::Repair);
    }

    /// The same, for somebody who has no picture.
    pub const fn request_first(&mut self) {
        self.wanted = Want::First;
    }

    /// Whether no keyframe came after this time: what arrived then and is missing for good needs one.
    pub fn is_missing_since(&self, missing: Instant) -> bool {
        self.keyframe.is_none_or(|keyframe| keyframe <= missing)
    }

    /// Whether one is wanted, so that another request changes nothing.
    pub fn is_wanted(&self) -> bool {
        self.wanted != Want::Nothing
    }

    /// Tells whether subscriptions wait for a keyframe now.
    pub const fn set_awaited(&mut self, awaited: bool) {
        self.awaited = awaited;
    }

    /// A packet arrived, the first of a keyframe or another; `bytes` are those of the encoding, this packet's included.
    #[inline]
    pub fn on_packet(&mut self, now: Instant, keyframe: bool, end: bool, timestamp: u32, (len, bytes): (u64, u64)) {
        if keyframe || self.spent.arriving.is_some() {
            self.on_keyframe(now, keyframe, end, timestamp, (len, bytes));
        }
    }

    #[cold]
    fn on_keyframe(&mut self, now: Instant, begins: bool, end: bool, timestamp: u32, (len, bytes): (u64, u64)) {
        if begins {
            // It is what was asked for.
            let asked = self.asked.take().is_some();
            (self.wanted, self.awaited, self.keyframe) = (Want::Nothing, false, Some(now));
            self.spent.begin(timestamp, bytes.saturating_sub(len), asked);
        }
        match self.spent.arriving {
            Some((arriving, ..)) if arriving != timestamp => self.spent.end(bytes.saturating_sub(len)),
            Some(_) if end => self.spent.end(bytes),
            _ => {}
        }
    }

    /// When a wanted request may be sent; `None`: at once, or nobody waits.
    fn due(&self, rtt: Duration) -> Option<Instant> {
        let after_keyframe =
            self.keyframe.map(|at| at + if self.spent.is_free() { AFTER_KEYFRAME } else { self.waits() });
        let retry = self.asked.map(|at| at + RETRY.max(2 * rtt));
        after_keyframe.max(retry)
    }

    fn waits(&self) -> Duration {
        if self.awaited || self.wanted == Want::First { FIRST_WAITS } else { REPAIR_WAITS }
    }

    /// Whether a request must be sent now, when `bytes` of the encoding have arrived; it counts as sent.
    pub fn poll(&mut self, now: Instant, rtt: Duration, bytes: u64) -> bool {
        if !self.awaited && !self.is_wanted() {
            return false;
        }
        self.spent.pay(bytes);
        let due = self.due(rtt).is_none_or(|due| due <= now);
        if due {
            self.asked = Some(now);
            self.sent += 1;
        }
        due
    }
}

impl Spent {
    const fn begin(&mut self, timestamp: u32, before: u64, asked: bool) {
        match self.arriving {
            Some((arriving, ..)) if arriving == timestamp => {}
            Some(_) => {
                self.end(before);
                self.arriving = Some((timestamp, before, asked));
            }
            None => self.arriving = Some((timestamp, before, asked)),
        }
    }

    const fn end(&mut self, bytes: u64) {
        let Some((_, before, asked)) = self.arriving.take() else { return };
        if asked {
            self.last = bytes.saturating_sub(before);
            self.debt += self.last;
        }
    }

    fn pay(&mut self, bytes: u64) {
        // The encoding's count begins anew where it sends as another SSRC.
        let shares = bytes.checked_sub(self.paid).map_or(u64::MAX, |bytes| bytes / SHARE);
        self.debt = self.debt.saturating_sub(shares);
        self.paid = if shares == u64::MAX { bytes } else { self.paid + shares * SHARE };
    }

    /// Whether no more than one keyframe is owed, and none is arriving.
    const fn is_free(&self) -> bool {
        self.debt <= self.last && self.arriving.is_none()
    }
}

/// What one m-line that sends may cause.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    limiter: Limiter,
    /// The encoding for whose keyframe it waits, and has paid.
    waits: Option<u8>,
}

impl Asker {
    /// Nothing was asked for yet.
    pub fn new(now: Instant) -> Self {
        Self { limiter: Limiter::new(Limit::every(TOKEN, TOKENS), now), waits: None }
    }

    /// Whether a keyframe may be asked for that repairs the picture.
    pub fn may_repair(&mut self, now: Instant) -> bool {
        self.limiter.admit(now, REPAIR_COST)
    }

    /// Whether it waits for a keyframe.
    pub const fn is_waiting(&self) -> bool {
        self.waits.is_some()
    }

    /// The encoding for whose keyframe the line waits, if it may have it asked for. It may start at the next one all the same.
    pub fn awaits(&mut self, now: Instant, encoding: Option<u8>) -> Option<u8> {
        if self.waits != encoding {
            self.waits = encoding.filter(|_| self.limiter.admit(now, 1));
        }
        self.waits
    }
}

#[cfg(test)]
mod tests;
