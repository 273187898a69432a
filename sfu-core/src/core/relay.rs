//! The core's side of rooms that have parts on several workers (see [`relay`](crate::relay)).
//!
//! Beyond the contract of [`Core`]: after each round, [`Core::relays`] and [`Core::poll_notice`] give what is for other
//! workers; [`Core::handle_relay`] and [`Core::handle_notice`] take what they sent. Notices are to be handed on after
//! the events of the same round: the control plane must have heard of a track before another worker speaks of it.

use std::time::Instant;

use crate::control::WorkerIndex;
use crate::relay::{Batch, Kind, News, Notice, Relayed};
use crate::router::receiver::EncodingKey;
use crate::router::{MemberIndex, PublicationIndex};
use crate::rtcp;
use crate::rtp::RtpPacket;

use super::egress::Egress;
use super::{Core, earlier};

impl Core {
    /// Packets for other workers. Whoever hands a batch on leaves an empty one in its place.
    pub fn relays(&mut self) -> impl Iterator<Item = (WorkerIndex, &mut Batch)> {
        (0..=WorkerIndex::MAX).zip(&mut self.relays).filter(|(_, batch)| !batch.is_empty())
    }

    /// What another worker must know next.
    pub fn poll_notice(&mut self) -> Option<(WorkerIndex, Notice)> {
        let Self { spread, rooms, farewells, .. } = self;
        let told = |room: &usize| {
            let room = &mut rooms[*room];
            let (to, news) = room.part.poll_news()?;
            Some((to, Notice { room: room.id, news }))
        };
        // Of a room that was opened again, what came before comes first.
        farewells.pop_front().or_else(|| spread.iter().find_map(told))
    }

    /// Forwards what another worker relayed.
    pub fn handle_relay(&mut self, now: Instant, batch: &Batch) {
        self.counters.relayed_in += batch.len() as u64;
        let mut out = Egress::new(&mut self.peers, &mut self.trains, &mut self.counters, &self.clock, now);
        for Relayed { room, participant, kind, packet } in batch.iter() {
            let Some(room) = self.by_room.get(&room).map(|room| &mut self.rooms[*room]) else { continue };
            let Some(member) = room.stand_in(participant) else { continue };
            match kind {
                Kind::Rtp => {
                    let Ok(packet) = RtpPacket::parse(packet) else { continue };
                    room.handle_rtp(now, member, &packet, &mut out, &mut self.events);
                    self.next_release = earlier(self.next_release, room.next_release());
                }
                Kind::Rtcp => room.handle_relayed_report(now, member, packet),
            }
        }
    }

    /// Takes what the part of a room on another worker tells the part here. A room that was closed is told nothing.
    pub fn handle_notice(&mut self, now: Instant, from: WorkerIndex, notice: Notice) {
        let Some(place) = self.by_room.get(&notice.room).copied() else { return };
        if !self.spread.contains(&place) {
            self.spread.push(place);
        }
        match notice.news {
            News::Data { sender, channel, message } => {
                self.receive_message(now, (place, from), sender, channel, message);
            }
            News::DataTaken { channel, cost } => {
                self.rooms[place].part.on_taken(from, channel, cost);
                self.deliver_all_held(now);
            }
            news => {
                self.rooms[place].handle_news(now, from, news, &mut self.rng, &mut self.events);
                self.wake(now);
            }
        }
        if !self.rooms[place].part.is_spread() {
            self.spread.retain(|other| *other != place);
        }
    }

    /// Tells the other parts of a room that its part here is closed.
    pub(super) fn take_leave(&mut self, room: usize) {
        let room = &self.rooms[room];
        let farewell = |to: &WorkerIndex| (*to, Notice { room: room.id, news: News::Closed });
        self.farewells.extend(room.part.others().iter().map(farewell));
    }

    /// Another worker lost all its rooms: what lived in their parts there is gone.
    pub fn handle_rooms_lost(&mut self, now: Instant, by: WorkerIndex) {
        for place in self.spread.clone() {
            let room = &mut self.rooms[place];
            if room.part.others().contains(&by) {
                room.forget_part(by, &mut self.events);
            }
        }
        self.spread.retain(|place| self.rooms[*place].part.is_spread());
        if let Some(batch) = self.relays.get_mut(usize::from(by)) {
            batch.clear();
        }
        self.deliver_all_held(now);
        self.wake(now);
    }

    pub(super) fn relay_rtp(
        &mut self,
        room: usize,
        member: MemberIndex,
        publication: PublicationIndex,
        key: EncodingKey,
        packet: &[u8],
    ) {
        let Self { rooms, relays, counters, .. } = self;
        let room = &rooms[room];
        let Some(participant) = room.member(member).map(|member| member.id) else { return };
        for worker in room.takers(publication, key) {
            let relayed = Relayed { room: room.id, participant, kind: Kind::Rtp, packet };
            match batch_for(relays, worker).push(relayed) {
                true => counters.relayed_out += 1,
                false => counters.relay_dropped += 1,
            }
        }
    }

    /// Relays the clock of a participant that publishes, and that its streams end.
    pub(super) fn relay_report(&mut self, room: usize, member: MemberIndex, compound: &[u8]) {
        let Self { rooms, relays, .. } = self;
        let room = &rooms[room];
        let Some(member) = room.member(member).filter(|member| !member.publications.is_empty()) else { return };
        let concerns_others =
            |packet: rtcp::Packet<'_>| matches!(packet, rtcp::Packet::SenderReport(_) | rtcp::Packet::Bye(_));
        if rtcp::packets(compound).flatten().any(concerns_others) {
            for worker in room.part.others() {
                let relayed = Relayed { room: room.id, participant: member.id, kind: Kind::Rtcp, packet: compound };
                batch_for(relays, *worker).push(relayed);
            }
        }
    }
}

fn batch_for(relays: &mut Vec<Batch>, worker: WorkerIndex) -> &mut Batch {
    let place = usize::from(worker);
    if relays.len() <= place {
        relays.resize_with(place + 1, Batch::default);
    }
    &mut relays[place]
}
