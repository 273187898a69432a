//! What waited for the pacer leaves: the same steps as for a packet that just arrived, from the ring that keeps it.
//!
//! Everything is decided anew here. A packet whose line shows another track by now, whose encoding began anew, or whose
//! layer is no longer wanted is dropped before it has a number, so that nothing is missing at the receiver.

use std::collections::VecDeque;
use std::time::Instant;

use crate::control::{Event, UnavailableReason};
use crate::pacer::{Queued, Release, Resend};

use super::downlink::Moment;
use super::line::{Forwarded, Repair};
use super::packet::{MediaPacket, Outbox};
use super::{MemberIndex, PublicationIndex, Room};

impl Room {
    /// When [`Self::release`] wants to be called.
    pub const fn next_release(&self) -> Option<Instant> {
        self.release_at
    }

    /// Lets what waited leave. Returns when there is more.
    pub fn release(&mut self, now: Instant, out: &mut impl Outbox, events: &mut VecDeque<Event>) -> Option<Instant> {
        if self.release_at.is_some_and(|due| due <= now) {
            self.release_at = None;
            let mut next = self.pacing.first_from(MemberIndex(0));
            while let Some(index) = next {
                match self.release_to(index, now, out, events) {
                    Some(due) => self.release_at = Some(self.release_at.map_or(due, |at| at.min(due))),
                    None => {
                        self.pacing.remove(index);
                    }
                }
                next = self.pacing.first_from(MemberIndex(index.0 + 1));
            }
        }
        self.release_at
    }

    /// Notes that something waits for a member's pacer.
    pub(super) fn wait_for(&mut self, index: MemberIndex) {
        let Some(due) = self.members[index.0 as usize].downlink.pacer.due() else { return };
        self.pacing.insert(index);
        self.release_at = Some(self.release_at.map_or(due, |at| at.min(due)));
    }

    /// The same for all that a publication goes to.
    pub(super) fn wait_for_subscribers(&mut self, index: PublicationIndex) {
        for place in 0..self.publications[index.0 as usize].subscribers.len() {
            self.wait_for(self.publications[index.0 as usize].subscribers[place].member);
        }
    }

    /// Returns when there is more.
    fn release_to(
        &mut self,
        index: MemberIndex,
        now: Instant,
        out: &mut impl Outbox,
        events: &mut VecDeque<Event>,
    ) -> Option<Instant> {
        let place = index.0 as usize;
        let member = self.members.get_mut(place)?;
        if member.downlink.pacer.begin(now) {
            while let Some(release) = self.members[place].downlink.pacer.release() {
                match release {
                    Release::Resend(resend) => self.resend(now, index, resend, out),
                    Release::Video(queued) => self.release_video(now, index, queued, out, events),
                    Release::Filler => self.fill(now, index, out),
                }
            }
        }
        self.members[place].downlink.pacer.due()
    }

    fn release_video(
        &mut self,
        now: Instant,
        index: MemberIndex,
        queued: Queued,
        out: &mut impl Outbox,
        events: &mut VecDeque<Event>,
    ) {
        let line = self.members[index.0 as usize].lines.get(queued.line());
        let Some((publication, subscription)) = line.and_then(|line| line.publication().zip(line.subscription_id()))
        else {
            return;
        };
        let found = &self.publications[publication.0 as usize];
        let publisher = found.publisher;
        // Nobody is in its own slots, so that these are two members.
        let Some((to, from)) = self.members.get2_mut(index.0 as usize, publisher.0 as usize) else { return };
        let Some(source) = from.receiver.line_of(&found.mid) else { return };
        let Some((key, encoding)) = source.encoding_at(queued.encoding()) else { return };
        let stored = encoding.ring.get(queued.packet).zip(encoding.codec);
        let Some((stored, codec)) = stored.filter(|_| queued.is_of(subscription, key.generation())) else { return };
        let extensions = &source.extensions;
        let media =
            MediaPacket::stored(found.track.csrc(), codec, key, encoding.targets(), queued.packet, &stored, extensions);
        let mut delivery = to.downlink.delivery(Moment::new(self.clock.instant, now), to.peer, out);
        match to.lines[queued.line()].forward(now, &media, &mut delivery) {
            Forwarded::Sent | Forwarded::Skipped | Forwarded::NeedsKeyframe => {}
            Forwarded::Started => {
                let first = (media.numbers.seq, queued.packet);
                self.replay_overtakers(now, publication, key, first, out);
            }
            Forwarded::CodecRefused => events.push_back(Event::TrackUnavailable {
                participant: to.id,
                track: found.track,
                reason: UnavailableReason::Codec,
            }),
        }
    }

    /// Answers a NACK, by a keyframe where nothing else helps.
    pub(super) fn resend(&mut self, now: Instant, index: MemberIndex, resend: Resend, out: &mut impl Outbox) {
        let line = usize::from(resend.line);
        let publication = self.members[index.0 as usize].lines.get(line).and_then(|line| line.publication());
        let Some(publication) = publication.and_then(|publication| self.publications.get(publication.0 as usize))
        else {
            return;
        };
        let (subscriber, publisher) = (index.0 as usize, publication.publisher.0 as usize);
        let Some((to, from)) = self.members.get2_mut(subscriber, publisher) else { return };
        let Some(from) = from.receiver.line_of(&publication.mid) else { return };
        let rtt = to.rtt();
        let mut delivery = to.downlink.delivery(Moment::new(self.clock.instant, now), to.peer, out);
        let repair = to.lines[line].retransmit(now, resend.wire, rtt, from, &mut delivery);
        if let Repair::Abandoned(key, at) = repair
            && let Some(encoding) = from.encoding_mut(key).filter(|encoding| !encoding.keyframes.is_wanted())
            && encoding.keyframes.is_missing_since(at)
            && to.lines[line].asker.may_repair(now)
        {
            encoding.keyframes.request();
        }
    }

    /// Sends a packet of padding for a probe, or ends the probe if no line can carry one.
    fn fill(&mut self, now: Instant, index: MemberIndex, out: &mut impl Outbox) {
        let member = &mut self.members[index.0 as usize];
        let mut delivery = member.downlink.delivery(Moment::new(self.clock.instant, now), member.peer, out);
        if !member.lines.iter_mut().any(|line| line.pad(&mut delivery)) {
            member.downlink.pacer.abandon_probe();
        }
    }
}
