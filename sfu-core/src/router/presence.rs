//! Whether media of those who publish comes in.
//!
//! A publisher of whom nothing comes (never, or not any more) is shown after those of whom something does, and not at all to
//! viewers who are shown one thing and have no say in which ([`super::assignment`]). One that has vanished is told to the room
//! as `lost` ([`super::connection_quality`]); whether and when it is removed is for the control plane to say.
//!
//! Silence counts only where something is expected: a muted track may be silent, and so may a video that nobody takes. RTCP is a
//! sign of life, too: it tells a still picture and discontinuous transmission from a publisher that is gone.

use std::time::{Duration, Instant};

use crate::control::TrackKind;

use super::member::Member;
use super::{MemberIndex, Room};

/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(250);

/// A publisher of video that sends nothing for so long is gone. Who sends video sends a report in each second or two
/// (RFC 3550 section 6.2), and somebody who was paused needs about one to begin again.
const VIDEO_SILENT: Duration = Duration::from_secs(4);

/// A publisher of sound alone, who need not send any in silence, reports at least every 7.5 s (RFC 3550 section 6.3.1).
const AUDIO_SILENT: Duration = Duration::from_secs(10);

/// Whether media comes of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Nothing came yet.
    #[default]
    Awaited,
    Flows,
    /// It came, and does not any more.
    Gone,
}

/// What is known of a member's media.
#[derive(Debug, Default)]
pub struct Presence {
    state: State,
    /// RTP packets, and RTCP packets.
    heard: (u64, u64),
    /// Since when nothing new was heard although it was expected.
    silent: Option<Instant>,
    next: Option<Instant>,
}

impl Presence {
    /// Whether media comes.
    pub fn flows(&self) -> bool {
        self.state == State::Flows
    }

    /// Whether it came and does not any more.
    pub fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// Nothing can come: the transport was interrupted. True if something came until now.
    pub fn interrupt(&mut self) -> bool {
        let flowed = self.flows();
        if flowed {
            self.state = State::Gone;
        }
        flowed
    }

    fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|at| at <= now)
    }

    /// Takes over what was heard in all. `patience`: how long silence may last; `None`: for ever. True if it begins or ceases to flow.
    fn look(&mut self, now: Instant, heard: (u64, u64), patience: Option<Duration>) -> bool {
        self.next = Some(now + INTERVAL);
        let before = std::mem::replace(&mut self.heard, heard);
        let is_news = match self.state {
            State::Awaited => heard.0 > 0,
            State::Flows | State::Gone => heard != before,
        };
        let flowed = self.flows();
        if is_news {
            self.state = State::Flows;
        }
        match patience.filter(|_| !is_news) {
            None => self.silent = None,
            Some(patience) => {
                let since = *self.silent.get_or_insert(now);
                if flowed && now.saturating_duration_since(since) >= patience {
                    self.state = State::Gone;
                }
            }
        }
        self.flows() != flowed
    }
}

impl Room {
    /// Whether media of a member comes in.
    pub(super) fn flows(&self, member: MemberIndex) -> bool {
        self.members[member.0 as usize].presence.flows()
    }

    /// Looks whether media of a member that publishes comes, if it is time.
    pub(super) fn look_for_media(&mut self, now: Instant, index: MemberIndex) {
        let member = &self.members[index.0 as usize];
        if member.publications.is_empty() || !member.presence.is_due(now) {
            return;
        }
        let patience = self.patience(member);
        let member = &mut self.members[index.0 as usize];
        let encodings = member.receiver.lines.iter().flat_map(|line| &line.encodings);
        let packets = encodings.map(|encoding| encoding.stats.packets()).sum();
        if member.presence.look(now, (packets, member.health.reports()), patience) {
            let flows = member.presence.flows();
            self.concern_flow(index, flows);
        }
    }

    /// How long a member may be silent; `None`: nothing is expected of it.
    fn patience(&self, member: &Member) -> Option<Duration> {
        let publications = member.publications.iter().map(|index| &self.publications[index.0 as usize]);
        let expected =
            publications.filter(|publication| !publication.muted).filter_map(|publication| {
                match publication.source.kind() {
                    TrackKind::Audio => Some(AUDIO_SILENT),
                    TrackKind::Video => {
                        let line = member.receiver.lines.iter().find(|line| line.mid == publication.mid)?;
                        publication.demand.is_wanted(line.encodings.len()).then_some(VIDEO_SILENT)
                    }
                }
            });
        expected.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Option<Duration> = Some(VIDEO_SILENT);

    struct Looks {
        start: Instant,
        presence: Presence,
    }

    impl Looks {
        fn new() -> Self {
            Self { start: Instant::now(), presence: Presence::default() }
        }

        fn at(&mut self, millis: u64, heard: (u64, u64), patience: Option<Duration>) -> (bool, State) {
            let changed = self.presence.look(self.start + Duration::from_millis(millis), heard, patience);
            (changed, self.presence.state)
        }
    }

    #[test]
    fn only_media_makes_it_flow_and_only_silence_ends_it() {
        let mut looks = Looks::new();
        assert_eq!(looks.at(0, (0, 0), PATIENCE), (false, State::Awaited));
        assert_eq!(looks.at(9_000, (0, 3), PATIENCE), (false, State::Awaited), "RTCP is no media");
        assert_eq!(looks.at(9_250, (1, 3), PATIENCE), (true, State::Flows));
        assert_eq!(looks.at(9_500, (1, 3), PATIENCE), (false, State::Flows));
        assert_eq!(looks.at(12_000, (1, 4), PATIENCE), (false, State::Flows), "a still picture");
        assert_eq!(looks.at(12_250, (1, 4), PATIENCE), (false, State::Flows));
        assert_eq!(looks.at(16_249, (1, 4), PATIENCE), (false, State::Flows));
        assert_eq!(looks.at(16_250, (1, 4), PATIENCE), (true, State::Gone));
        assert_eq!(looks.at(20_000, (1, 4), PATIENCE), (false, State::Gone));
        assert_eq!(looks.at(20_250, (2, 4), PATIENCE), (true, State::Flows), "it is back");
    }

    #[test]
    fn silence_counts_from_when_something_is_expected() {
        let mut looks = Looks::new();
        looks.at(0, (1, 0), PATIENCE);
        assert_eq!(looks.at(60_000, (1, 0), None), (false, State::Flows), "muted");
        assert_eq!(looks.at(60_250, (1, 0), PATIENCE), (false, State::Flows));
        assert_eq!(looks.at(64_250, (1, 0), PATIENCE), (true, State::Gone));
    }

    #[test]
    fn an_interruption_ends_it_at_once() {
        let mut looks = Looks::new();
        assert!(!looks.presence.interrupt(), "nothing flowed");
        looks.at(0, (1, 0), PATIENCE);
        assert!(looks.presence.interrupt() && looks.presence.is_gone());
    }
}
