//! A room: who is in it, what is published, and the way of a packet from one member to the others.
//!
//! Invariants, checked by the simulation:
//! - A publication's subscribers are exactly the lines that are subscribed to it.
//! - Nobody is in two slots of one member for the same thing, and nobody sees itself.
//! - A line forwards nothing of a track before the client confirmed the removal of the one before.

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
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
use super::concerns::Concerns;
use super::downlink::Moment;
use super::line::Forwarded;
use super::member::Member;
use super::member_set::MemberSet;
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
    /// Members in order of their joining, by its number.
    arrivals: BTreeMap<u64, MemberIndex>,
    next_arrival: u64,
    /// Those for whose pacer something waits, and when the next of it leaves.
    pub(super) pacing: MemberSet,
    pub(super) release_at: Option<Instant>,
    pub(super) speakers: Speakers,
    pub(super) concerns: Concerns,
    /// Who is shown first, reckoned when it is needed (see [`super::slots`]).
    pub(super) ranked: OnceCell<Vec<MemberIndex>>,
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
            arrivals: BTreeMap::new(),
            next_arrival: 0,
            pacing: MemberSet::default(),
            release_at: None,
            speakers: Speakers::default(),
            concerns: Concerns::default(),
            ranked: OnceCell::new(),
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

    /// How many there are.
    pub fn publication_count(&self) -> usize {
        self.publications.len()
    }

    /// The public ids of all members, in order of arrival, without stand-ins.
    pub fn participants(&self) -> impl Iterator<Item = (ParticipantId, PeerIndex)> {
        self.members_here().map(|member| (member.id, member.peer))
    }

    /// All members in order of arrival, without stand-ins.
    pub(super) fn members_here(&self) -> impl Iterator<Item = &Member> {
        self.arrivals.values().filter_map(|index| self.member(*index)).filter(|member| member.away.is_none())
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
        let mut member = Member::new(id, peer, settings, rng.next_u32(), receiver, (self.clock.instant, now));
        member.arrival = self.next_arrival;
        self.next_arrival += 1;
        if self.members.len() == self.members.capacity() {
            // Members are large, and most rooms small: doubling would leave half of the room empty.
            self.members.reserve_exact((self.members.len() / 4).max(FEW));
        }
        let arrival = member.arrival;
        let index = MemberIndex(self.members.insert(member) as u32);
        self.by_id.insert(id, index);
        self.arrivals.insert(arrival, index);
        index
    }

    /// Removes a member, what it published, and it from all slots. One that only receives takes work in proportion to its slots.
    pub fn leave(&mut self, member: MemberIndex, events: &mut VecDeque<Event>) {
        let Some(gone) = self.members.try_remove(member.0 as usize) else { return };
        self.by_id.remove(&gone.id);
        self.arrivals.remove(&gone.arrival);
        self.pacing.remove(member);
        self.concerns.forget(member, &gone);
        for (place, line) in gone.lines.iter().enumerate() {
            if let Some(publication) = line.publication() {
                let subscriber = Subscriber { member, line: place as u16 };
                self.publications[publication.0 as usize].unsubscribe(subscriber);
            }
        }
        for (shown, part) in gone.slots.iter().filter_map(|slot| slot.occupant) {
            self.members[shown.0 as usize].shown[part as usize].remove(member);
        }
        if gone.publications.is_empty() {
            return;
        }
        self.ranked.take();
        if gone.away.is_none() {
            self.part.tell_all(&News::Left { participant: gone.id });
        }
        self.vacate(member, &gone.shown);
        for publication in &gone.publications {
            self.end(*publication);
        }
        self.serve_at_once(events);
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
        self.speakers.count(false, self.publications[index.0 as usize].is_heard());
        self.ranked.take();
        let flows = self.flows(member);
        self.concerns.publishing.insert(member);
        self.concerns.silent.set(member, !flows);
        self.tell_published(index);
        self.seat(index);
        self.concern_published(index);
        self.serve_at_once(events);
        Ok(())
    }

    /// Ends a publication of `member`.
    pub fn unpublish(&mut self, member: MemberIndex, track: &TrackId, events: &mut VecDeque<Event>) {
        let Some(index) = self.publication_of(member, track) else { return };
        if self.is_here(member) {
            self.part.tell_all(&News::Unpublished { track: *track });
        }
        self.end_of_present(index);
        self.serve_at_once(events);
    }

    /// Mutes or unmutes a publication of `member`.
    pub fn mute(&mut self, member: MemberIndex, track: &TrackId, muted: bool) {
        let Some(index) = self.publication_of(member, track) else { return };
        let publication = &mut self.publications[index.0 as usize];
        let was_heard = publication.is_heard();
        if std::mem::replace(&mut publication.muted, muted) == muted {
            return;
        }
        self.speakers.count(was_heard, publication.is_heard());
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

    /// What is sent to a member takes another path, or one that had been lost.
    pub fn path_changed(&mut self, now: Instant, member: MemberIndex) {
        let Some(state) = self.members.get_mut(member.0 as usize) else { return };
        state.downlink.restart(self.clock.instant, now);
        state.adaptation.invalidate();
    }

    /// Notes that a member wants, or no longer wants, tracks.
    pub fn subscribe(&mut self, member: MemberIndex, tracks: &[TrackId], wanted: bool, events: &mut VecDeque<Event>) {
        let Self { members, publications, by_track, .. } = self;
        let Some(subscriber) = members.get_mut(member.0 as usize) else { return };
        for track in tracks {
            let Some(publication) = by_track.get(track) else { continue };
            publications[publication.0 as usize].noted_by.insert(member);
            subscriber.set_wanted(*track, wanted);
        }
        self.fill_slots(member, events);
    }

    /// Replaces a member's wishes of who is in which slot.
    pub fn pin(&mut self, member: MemberIndex, pins: Vec<(SlotIndex, ParticipantId)>, events: &mut VecDeque<Event>) {
        let Some(found) = self.members.get_mut(member.0 as usize) else { return };
        let before = std::mem::replace(&mut found.pins, pins);
        found.pins.truncate(usize::from(SlotIndex::MAX));
        found.adaptation.invalidate();
        let ids = |pins: &[(SlotIndex, ParticipantId)]| pins.iter().map(|(_, id)| *id).collect::<Vec<_>>();
        self.concerns.note_pins(member, &ids(&before), &ids(&found.pins));
        self.fill_slots(member, events);
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
        for orphan in orphans {
            self.end_of_present(orphan);
        }
        self.serve_at_once(events);
        self.fill_slots(member, events);
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

    /// Ends a publication of a member that stays: its lines are free, its slots are not yet filled anew.
    fn end_of_present(&mut self, index: PublicationIndex) {
        let ended = self.end(index);
        self.take_off_lines(index, &ended);
        let publisher = &mut self.members[ended.publisher.0 as usize];
        publisher.publications.retain(|other| *other != index);
        if let Some(line) = publisher.receiver.line_of(&ended.mid) {
            line.publication = None;
        }
        if publisher.publications.is_empty() {
            self.concerns.publishing.remove(ended.publisher);
            self.concerns.silent.remove(ended.publisher);
        }
        self.ranked.take();
    }

    /// Ends a publication; its lines still name it.
    fn end(&mut self, index: PublicationIndex) -> Publication {
        let ended = self.publications.remove(index.0 as usize);
        self.by_track.remove(&ended.track);
        self.speakers.count(ended.is_heard(), false);
        for member in ended.noted_by.iter() {
            if let Some(member) = self.member_mut(member) {
                member.forget(&ended.track);
            }
        }
        ended
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
