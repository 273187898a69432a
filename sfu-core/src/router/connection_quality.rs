//! How everybody's connection is, in one word that people understand.
//!
//! The worst of four counts: packets lost on the way here and there, the round trip, what it cannot be given for want of
//! bandwidth, and whether anything is heard of it at all, in particular of what it publishes. One bad moment changes nothing: it takes [`WORSE_AFTER`] looks
//! in a row to get worse and [`BETTER_AFTER`] to get better. Only `lost` is said at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::control::{ConnectionQuality, Event, Limit};

use super::member::Member;
use super::{MemberIndex, Room};

/// How often connections are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// Looks in a row that must be worse.
const WORSE_AFTER: u8 = 2;

/// Looks in a row that must be better.
const BETTER_AFTER: u8 = 3;

/// Up to this part of packets may be lost; ITU-T G.1010 table I.1 asks it of video.
const EXCELLENT_LOSS: f64 = 0.01;

/// Up to here retransmissions hide it; G.1010 wants less than 3 % of voice lost, which is not sent again.
const GOOD_LOSS: f64 = 0.05;

/// Twice the one-way delay that ITU-T G.114 calls fine for conversation.
const EXCELLENT_RTT: Duration = Duration::from_millis(300);

/// Twice the one-way delay that G.114 calls unacceptable.
const GOOD_RTT: Duration = Duration::from_millis(800);

/// A client that is sent media reports at least every 7.5 s (RFC 3550 section 6.3.1: 5 s, randomized); one that tells
/// nothing for so long is gone, even if its STUN checks still arrive.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// What is known of a member's connection.
#[derive(Debug, Default)]
pub struct Health {
    quality: Option<ConnectionQuality>,
    /// Its transport is up; `None`: not yet.
    connected: Option<bool>,
    /// RTCP packets that came from it.
    reports: u64,
    last: Totals,
    /// Since when it is sent media and says nothing.
    silent: Option<Instant>,
    /// Looks in a row that were on the same side of `quality`, and the one of them that was nearest to it.
    streak: Option<(ConnectionQuality, u8)>,
}

/// What had come and gone at the last look.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    received: u64,
    lost: i64,
    sent: u64,
    reports: u64,
}

/// What a look sees.
#[derive(Debug, Clone, Copy)]
struct Look {
    reachable: bool,
    /// The greater of both ways, 0 to 1.
    loss: f64,
    rtt: Option<Duration>,
    /// Some video is smaller than wanted for want of bandwidth.
    limited: bool,
    /// Some video is not sent at all for want of bandwidth.
    paused: bool,
}

impl Look {
    fn quality(&self) -> ConnectionQuality {
        let over = |loss, rtt| self.loss > loss || self.rtt.is_some_and(|measured| measured > rtt);
        if !self.reachable {
            ConnectionQuality::Lost
        } else if self.paused || over(GOOD_LOSS, GOOD_RTT) {
            ConnectionQuality::Poor
        } else if self.limited || over(EXCELLENT_LOSS, EXCELLENT_RTT) {
            ConnectionQuality::Good
        } else {
            ConnectionQuality::Excellent
        }
    }
}

impl Health {
    /// How the connection is; `None` before it was up.
    pub const fn quality(&self) -> Option<ConnectionQuality> {
        self.quality
    }

    /// The member's transport came up, or was interrupted.
    pub const fn set_connected(&mut self, connected: bool) {
        self.connected = Some(connected);
    }

    /// RTCP packets that came.
    pub const fn reports(&self) -> u64 {
        self.reports
    }

    /// An RTCP packet came.
    pub const fn on_report(&mut self) {
        self.reports += 1;
    }

    /// Takes a look into account. Returns the quality if it changed.
    fn settle(&mut self, seen: ConnectionQuality) -> Option<ConnectionQuality> {
        let Some(quality) = self.quality.filter(|quality| *quality != ConnectionQuality::Lost) else {
            return self.change(seen);
        };
        if seen == ConnectionQuality::Lost {
            return self.change(seen);
        }
        let (nearest, count) = match self.streak {
            _ if seen == quality => {
                self.streak = None;
                return None;
            }
            Some((nearest, count)) if (nearest < quality) == (seen < quality) => {
                (if seen < quality { nearest.max(seen) } else { nearest.min(seen) }, count + 1)
            }
            _ => (seen, 1),
        };
        self.streak = Some((nearest, count));
        let enough = if nearest < quality { WORSE_AFTER } else { BETTER_AFTER };
        if count >= enough { self.change(nearest) } else { None }
    }

    fn change(&mut self, quality: ConnectionQuality) -> Option<ConnectionQuality> {
        self.streak = None;
        (self.quality.replace(quality) != Some(quality)).then_some(quality)
    }

    /// Whether the member is still heard of.
    fn hears(&mut self, now: Instant, totals: &Totals) -> bool {
        let speaks = totals.received > self.last.received || totals.reports > self.last.reports;
        if speaks || totals.sent == self.last.sent {
            self.silent = None;
            return true;
        }
        now.saturating_duration_since(*self.silent.get_or_insert(now)) < SILENT_FOR
    }
}

impl Room {
    /// A member's transport was interrupted: nothing reaches it.
    pub fn interrupted(&mut self, index: MemberIndex) {
        if let Some(member) = self.member_mut(index) {
            member.health.set_connected(false);
            if member.presence.interrupt() {
                self.concern_flow(index, false);
            }
        }
    }

    /// Looks at all connections if it is time, and tells of those that changed.
    pub(super) fn look_at_connections(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        if self.look_due.is_some_and(|due| due > now) {
            return;
        }
        self.look_due = Some(now + INTERVAL);
        let mut qualities = Vec::new();
        for (_, member) in &mut self.members {
            if let Some(look) = look(now, member)
                && let Some(quality) = member.health.settle(look.quality())
            {
                qualities.push((member.id, quality));
            }
        }
        if !qualities.is_empty() {
            events.push_back(Event::Qualities { room: self.id, qualities });
        }
    }
}

/// `None`: it was never connected.
fn look(now: Instant, member: &mut Member) -> Option<Look> {
    let connected = member.health.connected?;
    let encodings = member.receiver.lines.iter().flat_map(|line| &line.encodings);
    let (received, lost) = encodings
        .fold((0, 0), |(received, lost), encoding| (received + encoding.stats.packets(), lost + encoding.stats.lost()));
    let sent = member.lines.iter().map(|line| line.stats.packets()).sum();
    let totals = Totals { received, lost, sent, reports: member.health.reports };
    let heard = member.health.hears(now, &totals);
    let vanished = member.presence.is_gone() && !member.publications.is_empty();
    let last = std::mem::replace(&mut member.health.last, totals);
    let (came, missing) = (received.saturating_sub(last.received), (lost - last.lost).max(0));
    let up = if missing == 0 { 0.0 } else { missing as f64 / (came as f64 + missing as f64) };
    let bandwidth = || member.adaptation.decisions().filter(|decision| decision.limit == Limit::Bandwidth);
    Some(Look {
        reachable: connected && heard && !vanished,
        loss: up.max(member.downlink.estimator.loss()),
        rtt: member.rtt.or(member.downlink.estimator.rtt()),
        limited: bandwidth().next().is_some(),
        paused: bandwidth().any(|decision| decision.wanted.is_none()),
    })
}

#[cfg(test)]
mod tests {
    use super::ConnectionQuality::{Excellent, Good, Lost, Poor};
    use super::*;

    const FINE: Look = Look { reachable: true, loss: 0.0, rtt: None, limited: false, paused: false };

    #[test]
    fn the_worst_of_all_counts() {
        let millis = |millis| Some(Duration::from_millis(millis));
        for (look, quality) in [
            (FINE, Excellent),
            (Look { loss: 0.01, rtt: millis(300), ..FINE }, Excellent),
            (Look { loss: 0.011, ..FINE }, Good),
            (Look { loss: 0.051, ..FINE }, Poor),
            (Look { rtt: millis(301), ..FINE }, Good),
            (Look { rtt: millis(801), ..FINE }, Poor),
            (Look { limited: true, ..FINE }, Good),
            (Look { limited: true, paused: true, ..FINE }, Poor),
            (Look { reachable: false, ..FINE }, Lost),
        ] {
            assert_eq!(look.quality(), quality, "{look:?}");
        }
    }

    #[test]
    fn one_bad_moment_changes_nothing() {
        let mut health = Health::default();
        assert_eq!(health.settle(Excellent), Some(Excellent), "the first is said at once");
        let rounds = [Poor, Excellent, Poor, Good, Good, Excellent, Excellent, Good, Excellent, Excellent, Excellent];
        let said: Vec<_> = rounds.into_iter().map(|seen| health.settle(seen)).collect();
        let mut expected = vec![None; rounds.len()];
        expected[3] = Some(Good);
        expected[10] = Some(Excellent);
        assert_eq!(said, expected);
    }

    #[test]
    fn lost_and_found_at_once() {
        let mut health = Health::default();
        health.settle(Excellent);
        assert_eq!(health.settle(Lost), Some(Lost));
        assert_eq!(health.settle(Lost), None);
        assert_eq!(health.settle(Good), Some(Good));
    }

    #[test]
    fn silence_counts_only_while_it_is_sent_something() {
        let (start, mut health) = (Instant::now(), Health::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        let sent = |seconds, sent, reports, health: &mut Health| {
            let totals = Totals { sent, reports, ..Totals::default() };
            let hears = health.hears(at(seconds), &totals);
            health.last = totals;
            hears
        };
        assert!(sent(0, 100, 1, &mut health));
        assert!(sent(2, 200, 1, &mut health));
        assert!(sent(11, 300, 1, &mut health));
        assert!(!sent(12, 400, 1, &mut health));
        assert!(sent(14, 500, 2, &mut health), "a report");
        assert!(sent(60, 500, 2, &mut health) && sent(90, 500, 2, &mut health), "nothing was sent to answer to");
    }
}
