//! A room: who is in it, what is published, and the way of a packet from one member to the others.
//!
//! Invariants, checked by the simulation:
//! - A publication's subscribers are exactly the lines that are subscribed to it.
//! - Nobody is in two slots of one member for the same thing, and nobody sees itself.
//! - A line forwards nothing of a track before the client confirmed the removal of the one before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use rand::Rng;
use rand::rngs::StdRng;
use slab::Slab;

use crate::ClockAnchor;
use crate::config::MediaLimits;
use crate::control::{
    ControlError, Event, MediaLimit, ParticipantSettings, SlotIndex, Source, TrackKind, UnavailableReason,
};
use crate::id::{Mid, ParticipantId, RoomId, TrackId};
use crate::prefetch::Distance;
use crate::relay::News;
use crate::rtp::RtpPacket;
use crate::stream::RingIndex;
use crate::unit::SeqNo;

use super::allocation::Allocating;
use super::downlink::Moment;
use super::line::Forwarded;
use super::member::Member;
use super::packet::{MediaPacket, Outbox};
use super::part::Part;
use super::publication::{CodecUse, Publication, Subscriber};
use super::receiver::{Content, EncodingKey, Received, Receiver};
use super::speakers::Speakers;
use super::{MemberIndex, PeerIndex, PublicationIndex, admission};

/// The most packets that are sent again after the first packet of a keyframe that they overtook.
const MAX_REPLAYED: usize = 512;

/// Members that are asked for at once: what is needed of them takes a few KiB of the first-level cache.
const ASKED_FOR: usize = 8;

/// Places that a room makes for members at least, when it has none.
const FEW: usize = 4;

/// A room.
#[derive(Debug)]
pub struct Room {
    pub id: RoomId,
    pub(super) members: Slab<Member>,
    pub(super) publications: Slab<Publication>,
    pub(super) clock: ClockAnchor,
    /// RTCP is written here before it is sent.
    pub(super) scratch: Vec<u8>,
    by_id: HashMap<ParticipantId, MemberIndex>,
    pub(super) by_track: HashMap<TrackId, PublicationIndex>,
    /// In order of their joining.
    pub(super) arrivals: Vec<MemberIndex>,
    /// Those for whose pacer something waits, and when the next of it leaves.
    pub(super) pacing: Vec<MemberIndex>,
    pub(super) release_at: Option<Instant>,
    pub(super) speakers: Speakers,
    pub(super) allocating: Allocating,
    /// Whose turn it is at this tick.
    pub(super) turn: usize,
    pub part: Part,
    /// When connections are looked at next.
    pub(super) look_due: Option<Instant>,
    window: Duration,
    limits: MediaLimits,
}

impl Room {
    /// An empty room. Packets are kept for retransmission for `window`.
    pub fn new(id: RoomId, clock: ClockAnchor, window: Duration) -> Self {
        Self {
            id,
            members: Slab::new(),
            publications: Slab::new(),
            clock,
            scratch: Vec::with_capacity(1500),
            by_id: HashMap::new(),
            by_track: HashMap::new(),
            arrivals: Vec::new(),
            pacing: Vec::new(),
            release_at: None,
            speakers: Speakers::default(),
            allocating: Allocating::default(),
            turn: 0,
            part: Part::default(),
            look_due: None,
            window,
            limits: MediaLimits::default(),
        }
    }

    /// The same with at most so many microphones forwarded at a time, the loudest; `None`: all.
    pub fn with_loudest(mut self, limit: Option<usize>) -> Self {
        self.speakers = Speakers::new(limit);
        self
    }

    /// The same with other limits of what members may send.
    pub const fn with_media_limits(mut self, limits: MediaLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The member with this id.
    pub fn member_of(&self, participant: &ParticipantId) -> Option<MemberIndex> {
        self.by_id.get(participant).copied()
    }

    /// A member.
    pub fn member(&self, index: MemberIndex) -> Option<&Member> {
        self.members.get(index.0 as usize)
    }

    /// A member, to be changed.
    pub fn member_mut(&mut self, index: MemberIndex) -> Option<&mut Member> {
        self.members.get_mut(index.0 as usize)
    }

    /// The publications of a room.
    pub fn publications(&self) -> impl Iterator<Item = (PublicationIndex, &Publication)> {
        self.publications.iter().map(|(index, publication)| (PublicationIndex(index as u32), publication))
    }

    /// The public ids of all members, in order of arrival, without stand-ins.
    pub fn participants(&self) -> impl Iterator<Item = (ParticipantId, PeerIndex)> {
        self.members_here().map(|member| (member.id, member.peer))
    }

    /// All members in order of arrival, without stand-ins.
    pub(super) fn members_here(&self) -> impl Iterator<Item = &Member> {
        self.arrivals.iter().filter_map(|index| self.member(*index)).filter(|member| member.away.is_none())
    }

    /// Adds a member, who has no m-lines yet.
    pub fn join(
        &mut self,
        now: Instant,
        id: ParticipantId,
        peer: PeerIndex,
        settings: ParticipantSettings,
        rng: &mut StdRng,
    ) -> MemberIndex {
        let limits = (peer != PeerIndex::NONE).then_some(self.limits);
        let receiver = Receiver::new(self.window, limits, now);
        let member = Member::new(id, peer, settings, rng.next_u32(), receiver, (self.clock.instant, now));
        if self.members.len() == self.members.capacity() {
            // Members are large, and most rooms small: doubling would leave half of the room empty.
            self.members.reserve_exact((self.members.len() / 4).max(FEW));
        }
        let index = MemberIndex(self.members.insert(member) as u32);
        self.by_id.insert(id, index);
        self.arrivals.push(index);
        index
    }

    /// Removes a member, what it published, and it from all slots.
    pub fn leave(&mut self, member: MemberIndex, events: &mut VecDeque<Event>) {
        let Some(mut gone) = self.members.try_remove(member.0 as usize) else { return };
        self.by_id.remove(&gone.id);
        self.arrivals.retain(|other| *other != member);
        self.pacing.retain(|other| *other != member);
        for (place, line) in gone.lines.iter().enumerate() {
            if let Some(publication) = line.publication() {
                let subscriber = Subscriber { member, line: place as u16 };
                self.publications[publication.0 as usize].unsubscribe(subscriber);
            }
        }
        if gone.away.is_none() && !gone.publications.is_empty() {
            self.part.tell_all(&News::Left { participant: gone.id });
        }
        for publication in gone.publications.drain(..) {
            self.end(publication);
        }
        self.fill_all_slots(events);
    }

    /// Lets what arrives on `mid` be `track`.
    pub fn publish(
        &mut self,
        member: MemberIndex,
        track: TrackId,
        mid: Mid,
        source: Source,
        muted: bool,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ControlError> {
        let publisher = self.members.get_mut(member.0 as usize).ok_or(ControlError::Gone)?;
        let line = publisher.receiver.line_of(&mid).filter(|line| line.publication.is_none());
        let line = line.ok_or(ControlError::NoSuchMid(mid))?;
        if line.kind != source.kind() {
            return Err(ControlError::KindMismatch(mid));
        }
        let publication = Publication::new(track, member, mid, source, muted);
        let index = PublicationIndex(self.publications.insert(publication) as u32);
        line.publication = Some(index);
        publisher.publications.push(index);
        self.by_track.insert(track, index);
        self.tell_published(index);
        self.seat(index);
        self.fill_all_slots(events);
        Ok(())
    }

    /// Ends a publication of `member`.
    pub fn unpublish(&mut self, member: MemberIndex, track: &TrackId, events: &mut VecDeque<Event>) {
        let Some(index) = self.publication_of(member, track) else { return };
        if self.is_here(member) {
            self.part.tell_all(&News::Unpublished { track: *track });
        }
        self.detach(index);
        self.end(index);
        self.fill_all_slots(events);
    }

    /// Mutes or unmutes a publication of `member`.
    pub fn mute(&mut self, member: MemberIndex, track: &TrackId, muted: bool) {
        let Some(index) = self.publication_of(member, track) else { return };
        let publication = &mut self.publications[index.0 as usize];
        if std::mem::replace(&mut publication.muted, muted) == muted {
            return;
        }
        if self.is_here(member) {
            self.part.tell_all(&News::Muted { track: *track, muted });
        }
        self.pause_lines(index);
        for subscriber in &self.publications[index.0 as usize].subscribers {
            self.members[subscriber.member.0 as usize].adaptation.invalidate();
        }
        self.seat(index);
    }

    /// A member's transport is up, or up again: what was sent to it before went nowhere, so that its video starts anew.
    pub fn connected(&mut self, member: MemberIndex) {
        let Some(state) = self.members.get_mut(member.0 as usize) else { return };
        state.lines.iter_mut().for_each(|line| line.pause());
        state.health.set_connected(true);
    }

    /// Notes that a member wants, or no longer wants, tracks.
    pub fn subscribe(&mut self, member: MemberIndex, tracks: &[TrackId], wanted: bool, events: &mut VecDeque<Event>) {
        let known: Vec<TrackId> = tracks.iter().filter(|track| self.by_track.contains_key(*track)).copied().collect();
        if let Some(subscriber) = self.member_mut(member) {
            known.into_iter().for_each(|track| subscriber.set_wanted(track, wanted));
            self.fill_slots(member, events);
        }
    }

    /// Replaces a member's wishes of who is in which slot.
    pub fn pin(&mut self, member: MemberIndex, pins: Vec<(SlotIndex, ParticipantId)>, events: &mut VecDeque<Event>) {
        if let Some(found) = self.member_mut(member) {
            found.pins = pins;
            found.pins.truncate(usize::from(SlotIndex::MAX));
            found.adaptation.invalidate();
            self.fill_slots(member, events);
        }
    }

    /// Notes that a member applied all slot events up to `revision`, and starts what waited for it.
    pub fn confirm_slots(&mut self, member: MemberIndex, revision: u64) {
        if let Some(found) = self.member_mut(member) {
            found.confirmed = found.confirmed.max(revision.min(found.revision));
            self.start_lines(member);
        }
    }

    /// Drops publications whose m-line is gone after a negotiation, and fills the member's new slots.
    pub fn renegotiated(&mut self, member: MemberIndex, orphans: Vec<PublicationIndex>, events: &mut VecDeque<Event>) {
        self.tell_renegotiated(member);
        let lost_some = !orphans.is_empty();
        for orphan in orphans {
            self.detach(orphan);
            self.end(orphan);
        }
        if lost_some {
            self.fill_all_slots(events);
        } else {
            self.fill_slots(member, events);
        }
    }

    /// Forwards an RTP packet that `member` sent. Returns what it is a packet of, unless it is of no use to anybody.
    pub fn handle_rtp(
        &mut self,
        now: Instant,
        member: MemberIndex,
        packet: &RtpPacket<'_>,
        out: &mut impl Outbox,
        events: &mut VecDeque<Event>,
    ) -> Option<(PublicationIndex, EncodingKey)> {
        let publisher = self.members.get_mut(member.0 as usize)?;
        let (participant, is_here) = (publisher.id, publisher.away.is_none());
        let received = publisher.receiver.receive(now, packet)?;
        if let Some(limit) = received.limit {
            self.on_limit(now, member, &received, limit, out, events);
            if matches!(received.content, Content::Refused(_)) {
                return None;
            }
        }
        let line = &self.members[member.0 as usize].receiver.lines[received.line];
        let index = line.publication?;
        let of = Some((index, received.key));
        let publication = &mut self.publications[index.0 as usize];
        let Received { key, content, .. } = received;
        if let Content::Padding(seq) = content {
            for subscriber in &publication.subscribers {
                let lines = &mut self.members[subscriber.member.0 as usize].lines;
                lines[usize::from(subscriber.line)].leave_out(key, seq);
            }
        }
        let Content::Media { codec, numbers, extensions, targets, payload, redundancy, stored } = content else {
            return of;
        };
        match publication.on_codec(now, codec) {
            CodecUse::Known => {}
            CodecUse::New if is_here => {
                events.push_back(Event::TrackStarted { participant, track: publication.track, codec });
            }
            CodecUse::New => {}
            CodecUse::TooSoon => return of,
        }
        let primary = redundancy.map_or(0, |redundancy| redundancy.primary);
        if !publication.admits(now, extensions.audio_level(), payload.len() - primary) {
            return of;
        }
        let media = MediaPacket {
            csrc: publication.track.csrc(),
            codec,
            encoding: key,
            marker: packet.marker(),
            numbers,
            extensions,
            targets,
            payload,
            redundancy,
            stored,
        };
        let video = publication.source.kind() == TrackKind::Video;
        let moment = Moment::new(self.clock.instant, now);
        let (mut started, mut waits) = (false, false);
        for (place, subscriber) in publication.subscribers.iter().enumerate() {
            prefetch_ahead(&self.members, &publication.subscribers, place, out);
            let to = &mut self.members[subscriber.member.0 as usize];
            if video && !to.downlink.pacer.passes(now) {
                waits |= to.queue(now, subscriber.line, &media);
                continue;
            }
            let mut delivery = to.downlink.delivery(moment, to.peer, out);
            match to.lines[usize::from(subscriber.line)].forward(now, &media, &mut delivery) {
                Forwarded::Sent | Forwarded::Skipped | Forwarded::NeedsKeyframe => {}
                Forwarded::Started => started = true,
                Forwarded::CodecRefused => events.push_back(Event::TrackUnavailable {
                    participant: to.id,
                    track: publication.track,
                    reason: UnavailableReason::Codec,
                }),
            }
        }
        if started && video {
            self.replay_overtakers(now, index, key, (numbers.seq, stored), out);
        }
        if waits {
            self.wait_for_subscribers(index);
        }
        of
    }

    /// A packet met a limit: it is counted, its publisher is told, and if it was dropped, its place closes up.
    #[cold]
    fn on_limit(
        &mut self,
        now: Instant,
        member: MemberIndex,
        received: &Received<'_>,
        limit: MediaLimit,
        out: &mut impl Outbox,
        events: &mut VecDeque<Event>,
    ) {
        let publisher = &mut self.members[member.0 as usize];
        let refused = match received.content {
            Content::Refused(seq) => Some(seq),
            _ => None,
        };
        if refused.is_some() {
            out.on_refused(admission::counts_as(limit));
        }
        let told = publisher.receiver.admission.on_limit(now, limit, refused.is_some());
        let Some(index) = publisher.receiver.lines[received.line].publication else { return };
        let (participant, publication) = (publisher.id, &self.publications[index.0 as usize]);
        if let Some(dropped) = told {
            events.push_back(Event::MediaLimited { participant, track: publication.track, limit, dropped });
        }
        for subscriber in publication.subscribers.iter().filter(|_| refused.is_some()) {
            let lines = &mut self.members[subscriber.member.0 as usize].lines;
            refused.into_iter().for_each(|seq| lines[usize::from(subscriber.line)].leave_out(received.key, seq));
        }
    }

    /// Sends what overtook `first`, the first packet of a keyframe, to the lines that waited for it: had it come in time,
    /// they would have got it. What came after it waits for the pacer like it, and leaves by itself.
    pub(super) fn replay_overtakers(
        &mut self,
        now: Instant,
        index: PublicationIndex,
        key: EncodingKey,
        (first, first_at): (SeqNo, RingIndex),
        out: &mut impl Outbox,
    ) {
        let moment = Moment::new(self.clock.instant, now);
        let publication = &self.publications[index.0 as usize];
        let (publisher, csrc) = (publication.publisher.0 as usize, publication.track.csrc());
        for subscriber in &publication.subscribers {
            // Nobody is in its own slots, so that these are two members.
            let Some((publisher, to)) = self.members.get2_mut(publisher, subscriber.member.0 as usize) else {
                continue;
            };
            let Some(from) = publisher.receiver.line_of(&publication.mid) else { return };
            let Some((encoding, codec)) = from.encoding(key).and_then(|found| Some((found, found.codec?))) else {
                return;
            };
            let highest = encoding.stats.highest().map_or(0, |highest| highest.0);
            let line = &mut to.lines[usize::from(subscriber.line)];
            if highest <= first.0 || !line.has_just_started(key, first) {
                continue;
            }
            for seq in (first.0 + 1..=highest).take(MAX_REPLAYED) {
                let overtook = |at: &RingIndex| (first_at.0.wrapping_sub(at.0) as i32) > 0;
                let found = encoding.ring.lookup(SeqNo(seq)).filter(overtook);
                let Some((at, stored)) = found.and_then(|at| Some((at, encoding.ring.get(at)?))) else { continue };
                let packet = MediaPacket::stored(csrc, codec, key, encoding.targets(), at, &stored, &from.extensions);
                line.forward(now, &packet, &mut to.downlink.delivery(moment, to.peer, out));
            }
        }
    }

    fn publication_of(&self, member: MemberIndex, track: &TrackId) -> Option<PublicationIndex> {
        let index = self.by_track.get(track).copied()?;
        (self.publications[index.0 as usize].publisher == member).then_some(index)
    }

    /// The lines of a publication wait for its media anew.
    pub(super) fn pause_lines(&mut self, index: PublicationIndex) {
        for subscriber in &self.publications[index.0 as usize].subscribers {
            self.members[subscriber.member.0 as usize].lines[usize::from(subscriber.line)].pause();
        }
    }

    /// Takes a publication away from its publisher, who stays.
    fn detach(&mut self, index: PublicationIndex) {
        let Publication { publisher, mid, .. } = self.publications[index.0 as usize];
        let publisher = &mut self.members[publisher.0 as usize];
        publisher.publications.retain(|other| *other != index);
        if let Some(line) = publisher.receiver.line_of(&mid) {
            line.publication = None;
        }
    }

    /// Ends a publication: its lines are free, its slots are not yet filled anew.
    fn end(&mut self, index: PublicationIndex) {
        let ended = self.publications.remove(index.0 as usize);
        self.by_track.remove(&ended.track);
        for (_, member) in &mut self.members {
            member.forget(&ended.track);
            // Off the lines now: the index may belong to another publication when slots are filled.
            let next = member.revision + 1;
            for line in &mut member.lines {
                if line.assigned().is_some_and(|assigned| assigned.publication == index) {
                    line.end_track(next, member.settings.confirms_slots);
                }
            }
        }
    }
}

/// Asks for what packets to the subscribers after the one at `place` will touch; see [`prefetch`](crate::prefetch). A packet takes
/// a few times as long as a cache miss, so that one step per subscriber is enough: a member three ahead at the latest, its line
/// and its transport two ahead, what these point to one ahead. Whether there is a member in a place is read there and then;
/// so several are asked for at once, whose misses go side by side.
#[inline]
fn prefetch_ahead(members: &Slab<Member>, subscribers: &[Subscriber], place: usize, out: &impl Outbox) {
    let of = |subscriber: &Subscriber| {
        members.get(subscriber.member.0 as usize).map(|member| (member, usize::from(subscriber.line)))
    };
    if place.is_multiple_of(ASKED_FOR) {
        let asked_for = subscribers.iter().skip(place + 3).take(ASKED_FOR);
        asked_for.filter_map(of).for_each(|(member, _)| member.prefetch());
    }
    if let Some((member, line)) = subscribers.get(place + 2).and_then(of) {
        member.lines[line].prefetch(Distance::Far);
        out.prefetch(member.peer, Distance::Far);
    }
    if let Some((member, line)) = subscribers.get(place + 1).and_then(of) {
        member.lines[line].prefetch(Distance::Near);
        member.downlink.prefetch(Distance::Near);
        out.prefetch(member.peer, Distance::Near);
    }
}
