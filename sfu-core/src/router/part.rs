//! A room as one of several parts, each on a worker of its own (see [`relay`](crate::relay)).
//!
//! Invariants: a stand-in has at least one publication, has no slots, and is sent nothing; only the part in which a
//! participant lives tells others about it.

use std::collections::VecDeque;
use std::time::Instant;

use arrayvec::ArrayVec;
use bytes::Bytes;
use rand::rngs::StdRng;
use smallvec::SmallVec;

use crate::control::{Event, MayPublish, ParticipantSettings, TrackKind, WorkerIndex};
use crate::data;
use crate::id::ParticipantId;
use crate::relay::{News, Window};
use crate::stream::MAX_NACKS;
use crate::transport::Channel;

use super::encoding::EncodingKey;
use super::feedback::REPORT_INTERVAL;
use super::member::Member;
use super::{MemberIndex, PeerIndex, PublicationIndex, Room};

/// A stand-in takes part in nothing.
const STAND_IN: ParticipantSettings = ParticipantSettings {
    can_subscribe: false,
    can_publish: MayPublish::ALL,
    can_publish_data: false,
    auto_subscribe: false,
    confirms_slots: false,
};

/// A room's relation to its other parts.
#[derive(Debug, Default)]
pub struct Part {
    others: SmallVec<[WorkerIndex; 4]>,
    /// The workers of those others that were opened before this part. The first part speaks for the room.
    earlier: SmallVec<[WorkerIndex; 4]>,
    news: VecDeque<(WorkerIndex, News)>,
    /// What of data channels is on its way to each of the others.
    windows: SmallVec<[Window; 4]>,
    /// Messages of other parts that wait for room in the channels of members.
    pub arrived: VecDeque<Arrived>,
}

/// A message on the reliable channel, from another part.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// The worker of its sender.
    pub from: WorkerIndex,
    /// Who sent it.
    pub sender: ParticipantId,
    /// The message in its envelope.
    pub message: Bytes,
}

impl Part {
    /// The workers that have the other parts.
    pub fn others(&self) -> &[WorkerIndex] {
        &self.others
    }

    /// Whether there are others.
    pub fn is_spread(&self) -> bool {
        !self.others.is_empty()
    }

    /// Whether this part speaks for the room.
    pub fn tells(&self) -> bool {
        self.earlier.is_empty()
    }

    /// Lets another part know something.
    pub fn tell(&mut self, to: WorkerIndex, news: News) {
        self.news.push_back((to, news));
    }

    /// Lets all others know something.
    pub fn tell_all(&mut self, news: &News) {
        self.news.extend(self.others.iter().map(|to| (*to, news.clone())));
    }

    /// The next thing to tell.
    pub fn poll_news(&mut self) -> Option<(WorkerIndex, News)> {
        self.news.pop_front()
    }

    /// Whether a reliable message need not wait for one of the others.
    pub fn has_room(&mut self, now: Instant, len: usize) -> bool {
        let mut has_room = true;
        for window in &mut self.windows {
            has_room &= window.has_room(now, len);
        }
        has_room
    }

    /// Sends a message to all others that have room for it. Returns how many had none.
    pub fn send(&mut self, sender: ParticipantId, channel: Channel, message: &Bytes) -> u64 {
        let mut missed = 0;
        for (to, window) in self.others.iter().zip(&mut self.windows) {
            if window.admit(channel, message.len()) {
                self.news.push_back((*to, News::Data { sender, channel, message: message.clone() }));
            } else {
                missed += 1;
            }
        }
        missed
    }

    /// Another part has taken what counts so much.
    pub fn on_taken(&mut self, from: WorkerIndex, channel: Channel, cost: usize) {
        if let Some(place) = self.others.iter().position(|other| *other == from) {
            self.windows[place].on_taken(channel, cost);
        }
    }

    /// Lets another part know that its message was taken.
    pub fn tell_taken(&mut self, to: WorkerIndex, channel: Channel, len: usize) {
        if self.others.contains(&to) {
            self.tell(to, News::DataTaken { channel, cost: data::cost(len) });
        }
    }

    fn remove(&mut self, worker: WorkerIndex) {
        if let Some(place) = self.others.iter().position(|other| *other == worker) {
            self.others.remove(place);
            self.windows.remove(place);
        }
        self.earlier.retain(|other| *other != worker);
        self.news.retain(|(to, _)| *to != worker);
    }

    fn add(&mut self, worker: WorkerIndex) {
        if !self.others.contains(&worker) {
            self.others.push(worker);
            self.windows.push(Window::default());
        }
    }
}

impl Room {
    /// The same as a further part of a room that has others, which are greeted.
    pub fn as_further_part(mut self, others: &[WorkerIndex]) -> Self {
        self.part.earlier = others.into();
        for other in others {
            self.part.add(*other);
            self.part.tell(*other, News::Hello);
        }
        self
    }

    /// The other parts that want packets of an encoding.
    pub fn takers(&self, index: PublicationIndex, key: EncodingKey) -> impl Iterator<Item = WorkerIndex> {
        let publication = self.publications.get(index.0 as usize).filter(|publication| !publication.muted);
        let takes = move |worker: &WorkerIndex| {
            publication.is_some_and(|publication| {
                publication.source.kind() == TrackKind::Audio
                    || publication.taken_by(*worker).relayed.get(usize::from(key.index)).is_some_and(|level| *level > 0)
            })
        };
        self.part.others.iter().copied().filter(takes)
    }

    /// Takes what another part tells. Messages on data channels are not for rooms.
    pub fn handle_news(
        &mut self,
        now: Instant,
        from: WorkerIndex,
        news: News,
        rng: &mut StdRng,
        events: &mut VecDeque<Event>,
    ) {
        match news {
            News::Hello => self.greet(from),
            News::Published { participant, media, track, mid, source, muted } => {
                let member = self.stand_in(participant).unwrap_or_else(|| {
                    let member = self.join(now, participant, PeerIndex::NONE, STAND_IN, rng);
                    self.members[member.0 as usize].away = Some(from);
                    self.members[member.0 as usize].receiver.negotiate(&media, now);
                    member
                });
                if self.publish(member, track, mid, source, muted, events).is_err() {
                    self.dismiss(member, events);
                }
            }
            News::Renegotiated { participant, media } => {
                let Some(member) = self.stand_in(participant) else { return };
                let orphans = self.members[member.0 as usize].receiver.negotiate(&media, now);
                self.renegotiated(member, orphans, events);
                self.dismiss(member, events);
            }
            News::Unpublished { track } => {
                let Some(member) = self.by_track.get(&track).map(|index| self.publications[index.0 as usize].publisher)
                else {
                    return;
                };
                self.unpublish(member, &track, events);
                self.dismiss(member, events);
            }
            News::Muted { track, muted } => {
                let Some(index) = self.by_track.get(&track) else { return };
                self.mute(self.publications[index.0 as usize].publisher, &track, muted);
            }
            News::Left { participant } => {
                if let Some(member) = self.stand_in(participant) {
                    self.leave(member, events);
                }
            }
            News::KeyframeWanted { track, encoding } => {
                let Some(index) = self.by_track.get(&track) else { return };
                let publication = &self.publications[index.0 as usize];
                let publisher = &mut self.members[publication.publisher.0 as usize];
                let line = publisher.receiver.line_of(&publication.mid).filter(|_| !publication.muted);
                if let Some(encoding) = line.and_then(|line| line.encodings.get_mut(usize::from(encoding))) {
                    // Who may have it asked for was judged there.
                    encoding.keyframes.request_first();
                }
            }
            News::Taken { track, taken } => {
                let Some(index) = self.by_track.get(&track) else { return };
                self.publications[index.0 as usize].set_taken(from, taken);
                self.allocating.ask_soon();
            }
            News::Closed => self.forget_part(from, events),
            News::Data { .. } | News::DataTaken { .. } => {}
        }
    }

    /// The member that stands in for a participant of another part. Whoever lives here has none.
    pub fn stand_in(&self, participant: ParticipantId) -> Option<MemberIndex> {
        self.member_of(&participant).filter(|member| !self.is_here(*member))
    }

    /// Whether a member lives in this part.
    pub(super) fn is_here(&self, member: MemberIndex) -> bool {
        self.member(member).is_some_and(|member| member.away.is_none())
    }

    /// Tells the other parts of a publication, if it is of a member that lives here.
    pub(super) fn tell_published(&mut self, index: PublicationIndex) {
        if self.is_here(self.publications[index.0 as usize].publisher) {
            for other in self.part.others.clone() {
                self.tell_published_to(other, index);
            }
        }
    }

    fn tell_published_to(&mut self, to: WorkerIndex, index: PublicationIndex) {
        let publication = &self.publications[index.0 as usize];
        let publisher = &self.members[publication.publisher.0 as usize];
        let Some(media) = publisher.sends.clone() else { return };
        let news = News::Published {
            participant: publisher.id,
            media,
            track: publication.track,
            mid: publication.mid,
            source: publication.source,
            muted: publication.muted,
        };
        self.part.tell(to, news);
    }

    /// Tells the other parts of a member's m-lines, if it publishes.
    pub(super) fn tell_renegotiated(&mut self, member: MemberIndex) {
        let Some(member) = self.members.get(member.0 as usize).filter(|member| !member.publications.is_empty()) else {
            return;
        };
        if member.away.is_none() {
            let media = member.sends.clone().unwrap_or_default();
            self.part.tell_all(&News::Renegotiated { participant: member.id, media });
        }
    }

    /// Asks the part in which a publisher lives for the keyframes that are waited for here. What is missing is asked for there.
    pub(super) fn ask_home(&mut self, now: Instant, place: usize, home: WorkerIndex) {
        let member = &mut self.members[place];
        let rtt = member.rtt();
        for line in &mut member.receiver.lines {
            let publication = line.publication.map(|index| &self.publications[index.0 as usize]);
            for (index, encoding) in line.encodings.iter_mut().enumerate() {
                encoding.nack.poll(now, rtt, &mut ArrayVec::<u16, MAX_NACKS>::new());
                encoding.nack.take_keyframe_needed();
                if let Some(publication) = publication
                    && encoding.keyframes.poll(now, rtt, encoding.stats.bytes())
                {
                    let news = News::KeyframeWanted { track: publication.track, encoding: index as u8 };
                    self.part.tell(home, news);
                }
            }
        }
        if member.next_report <= now {
            member.next_report = now + REPORT_INTERVAL;
            member.receiver.shrink(now);
        }
    }

    /// A part was opened: it learns what is published by members that live here.
    fn greet(&mut self, part: WorkerIndex) {
        self.part.add(part);
        let here = |index: &PublicationIndex| self.is_here(self.publications[index.0 as usize].publisher);
        let published: Vec<_> = self.publications().map(|(index, _)| index).filter(here).collect();
        for index in published {
            self.publications[index.0 as usize].demand.stale = true;
            self.tell_published_to(part, index);
        }
    }

    /// A part was closed or lost: its participants are gone, and what it wanted. If it spoke for the room, the part that was
    /// opened next does.
    pub fn forget_part(&mut self, part: WorkerIndex, events: &mut VecDeque<Event>) {
        self.part.remove(part);
        let lived_there =
            |(index, member): (usize, &Member)| (member.away == Some(part)).then_some(MemberIndex(index as u32));
        let gone: Vec<_> = self.members.iter().filter_map(lived_there).collect();
        for member in gone {
            self.leave(member, events);
        }
        for (_, publication) in &mut self.publications {
            publication.forget_taker(part);
        }
        self.allocating.ask_soon();
    }

    /// Lets a stand-in go that publishes nothing any more.
    fn dismiss(&mut self, member: MemberIndex, events: &mut VecDeque<Event>) {
        let idle = self.member(member).is_some_and(|member| member.away.is_some() && member.publications.is_empty());
        if idle {
            self.leave(member, events);
        }
    }
}
