//! Who of a room is heard, who speaks, and whose slots follow them.
//!
//! Looked at every [`INTERVAL`], for O(publications); members' slots only when somebody starts or goes on to speak, and then
//! those of the members that do not see or hear them yet, in turns ([`super::concerns`]).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::audio::loudest::{self, Contender};
use crate::control::{Event, Source, Speaker};

use super::stage::Speaking;
use super::{MemberIndex, PublicationIndex, Room};

/// How often is listened: as often as Opus packets come.
const INTERVAL: Duration = Duration::from_millis(20);

/// Who speaks is told at most so often.
const TOLD_AFTER: Duration = Duration::from_millis(200);

/// How loud they are alone, at most so often: every member of the room is sent it.
const LEVELS_TOLD_AFTER: Duration = Duration::from_millis(600);

/// A change of loudness that is worth telling: 9 dB.
const NOTICEABLE: f32 = 0.15;

/// Somebody who has spoken for so long is worth a pair; who only says yes is not.
const ESTABLISHED: Duration = Duration::from_secs(1);

/// Slots that could not follow at once (see [`Room::follow`]) are looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The ear of a room.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    /// The most microphones that are forwarded; `None`: all.
    limit: Option<usize>,
    due: Option<Instant>,
    /// Of the publications: kept for its memory.
    contenders: Vec<Contender<PublicationIndex>>,
    /// The loudest first.
    now: Vec<(MemberIndex, Speaker)>,
    told: Vec<Speaker>,
    told_at: Option<Instant>,
    /// Microphones that are heard.
    heard: usize,
    /// Whom slots followed when they were looked at last.
    followed: Vec<Speaking>,
    look_again: Option<Instant>,
}

impl Speakers {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// A microphone was or was not heard, and now is or is not.
    pub(super) const fn count(&mut self, before: bool, now: bool) {
        self.heard = self.heard + now as usize - before as usize;
    }

    /// Whom slots follow.
    pub(super) fn followed(&self) -> &[Speaking] {
        &self.followed
    }

    /// Whether the members of the room should be told.
    fn is_news(&self, now: Instant) -> bool {
        let passed = |pause| self.told_at.is_none_or(|at| now.saturating_duration_since(at) >= pause);
        let level_before = |speaker: &Speaker| {
            self.told.iter().find(|told| told.participant == speaker.participant).map(|told| told.level)
        };
        let others =
            self.told.len() != self.now.len() || self.now.iter().any(|(_, speaker)| level_before(speaker).is_none());
        let changed = |speaker: &Speaker| {
            level_before(speaker).is_some_and(|before| (before - speaker.level).abs() >= NOTICEABLE)
        };
        (others && passed(TOLD_AFTER))
            || (passed(LEVELS_TOLD_AFTER) && self.now.iter().any(|(_, speaker)| changed(speaker)))
    }
}

impl Room {
    /// Lets a microphone that appears be heard at once where there is a free place; others wait until they are loud.
    pub(super) fn seat(&mut self, index: PublicationIndex) {
        let publication = &mut self.publications[index.0 as usize];
        if publication.source != Source::Microphone {
            return;
        }
        self.speakers.count(publication.is_heard(), false);
        publication.voice.mute();
        let has_place = self.speakers.limit.is_none_or(|limit| self.speakers.heard < limit);
        publication.audible = !publication.muted && has_place;
        publication.audible_since = None;
        self.speakers.count(false, publication.is_heard());
    }

    /// Listens: chooses who is forwarded, tells who speaks, and lets slots follow.
    pub(super) fn hear(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        if self.speakers.due.is_some_and(|due| now < due) {
            return;
        }
        self.speakers.due = Some(now + INTERVAL);
        self.ranked.take();
        let mut contenders = std::mem::take(&mut self.speakers.contenders);
        contenders.clear();
        contenders.extend(self.publications().filter(|(_, publication)| publication.is_voice()).map(
            |(index, publication)| {
                Contender::new(now, index, &publication.voice, publication.audible, publication.audible_since)
            },
        ));
        loudest::choose(now, self.speakers.limit.unwrap_or(usize::MAX), &mut contenders);
        for chosen in &contenders {
            let publication = &mut self.publications[chosen.key.0 as usize];
            publication.audible_since = chosen.since;
            self.speakers.count(publication.audible, chosen.heard);
            if std::mem::replace(&mut publication.audible, chosen.heard) && !chosen.heard {
                self.pause_lines(chosen.key);
            }
        }
        self.note_speakers(&contenders);
        self.speakers.contenders = contenders;
        self.tell_speakers(now, events);
        self.look_after_slots(now);
    }

    fn note_speakers(&mut self, contenders: &[Contender<PublicationIndex>]) {
        let mut speakers = std::mem::take(&mut self.speakers.now);
        speakers.clear();
        for speaking in contenders.iter().filter(|contender| contender.is_heard_speaking()) {
            let member = self.publications[speaking.key.0 as usize].publisher;
            let level = speaking.level().to_unit();
            match speakers.iter_mut().find(|(other, _)| *other == member) {
                Some((_, speaker)) => speaker.level = speaker.level.max(level),
                None => {
                    let participant = self.members[member.0 as usize].id;
                    speakers.push((member, Speaker { participant, level }));
                }
            }
        }
        speakers.sort_unstable_by(|(_, a), (_, b)| b.level.total_cmp(&a.level));
        self.speakers.now = speakers;
    }

    fn tell_speakers(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        let state = &mut self.speakers;
        if state.is_news(now) {
            state.told.clear();
            state.told.extend(state.now.iter().map(|(_, speaker)| *speaker));
            state.told_at = Some(now);
            if self.part.tells() {
                events.push_back(Event::Speakers { room: self.id, speakers: state.told.clone() });
            }
        }
    }

    /// Lets slots follow who speaks, if that is somebody else than before, or somebody could not be followed then.
    fn look_after_slots(&mut self, now: Instant) {
        if self.speakers.now.is_empty() && self.speakers.followed.is_empty() {
            return;
        }
        let established =
            |member| self.turn(now, member).is_some_and(|since| now.saturating_duration_since(since) >= ESTABLISHED);
        let speaking = |(member, _): &(MemberIndex, _)| Speaking { member: *member, established: established(*member) };
        let unchanged = self.speakers.now.len() == self.speakers.followed.len()
            && self.speakers.now.iter().all(|speaker| self.speakers.followed.contains(&speaking(speaker)));
        if unchanged && self.speakers.look_again.is_some_and(|at| now < at) {
            return;
        }
        let speakers: Vec<Speaking> = self.speakers.now.iter().map(speaking).collect();
        self.concern_speakers(&speakers);
        self.speakers.followed = speakers;
        self.speakers.look_again = Some(now + LOOK_AGAIN);
    }

    /// Since when a member speaks.
    fn turn(&self, now: Instant, member: MemberIndex) -> Option<Instant> {
        self.voices(member).filter_map(|voice| voice.speaking_since(now)).min()
    }

    /// When a member spoke last.
    pub(super) fn spoke(&self, member: MemberIndex) -> Option<Instant> {
        self.voices(member).filter_map(|voice| voice.spoke()).max()
    }

    fn voices(&self, member: MemberIndex) -> impl Iterator<Item = &crate::audio::Voice> {
        let publications = self.member(member).into_iter().flat_map(|member| &member.publications);
        let of = |index: &PublicationIndex| &self.publications[index.0 as usize];
        publications.map(of).filter(|publication| publication.source == Source::Microphone).map(|p| &p.voice)
    }
}
