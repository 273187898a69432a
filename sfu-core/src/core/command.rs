//! What the control plane asks of a worker.

use std::time::Instant;

use rand::Rng;

use crate::config::CoreConfig;
use crate::control::{
    Command, ControlError, Event, InboundStats, Negotiation, OutboundStats, ParticipantSettings, ParticipantStats,
    SlotLines, WorkerIndex,
};
use crate::id::{Mid, ParticipantId, RoomId, Ssrc};
use crate::router::{PeerIndex, PlannedLine, Room, layout};
use crate::sdp::{Answer, IceCredentials, MediaKind, Negotiator, Offer};
use crate::transport::{Protocol, Transport, TransportConfig};

use super::claims::remote_of;
use super::message::{Mailbox, Quota};
use super::peer::Peer;
use super::train::OpenTrain;
use super::{Core, TICK};

impl Core {
    /// Carries out a command; answers are events. That of a negotiation goes ahead of the slot events that it causes.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::OpenRoom { room } => self.open_room(room, &[]),
            Command::OpenPart { request, room, others } => {
                self.open_room(room, &others);
                self.next_tick.get_or_insert(now + TICK);
                self.events.push_back(Event::PartOpened { request });
            }
            Command::CloseRoom { room } => self.close_room(room),
            Command::Join { request, room, participant, settings, negotiation } => {
                let place = self.events.len();
                let result = self.join(now, room, participant, settings, negotiation).map(Box::new);
                self.events.insert(place, Event::Negotiated { request, participant, result });
            }
            Command::Negotiate { request, participant, negotiation } => {
                let place = self.events.len();
                let result = self.negotiate(now, participant, negotiation).map(Box::new);
                self.events.insert(place, Event::Negotiated { request, participant, result });
            }
            Command::Leave { participant } => self.leave(participant),
            Command::Publish { request, participant, track, mid, source, muted } => {
                let result = match self.by_participant.get(&participant) {
                    Some(peer) => {
                        let peer = &self.peers[peer.0 as usize];
                        self.rooms[peer.room].publish(peer.member, track, mid, source, muted, &mut self.events)
                    }
                    None => Err(ControlError::Gone),
                };
                self.events.push_back(Event::Published { request, participant, track, result });
                self.wake(now);
            }
            Command::Stats { request, participant } => {
                let stats = self.stats(participant).map(Box::new);
                self.events.push_back(Event::Stats { request, participant, stats });
            }
            Command::Explain { request, room } => {
                let room = self.by_room.get(&room).map(|room| &self.rooms[*room]);
                let explanation = room.map(|room| Box::new(room.explain(now)));
                self.events.push_back(Event::Explained { request, explanation });
            }
            #[cfg(debug_assertions)]
            Command::Panic => panic!("a test asked for it"),
            Command::Unpublish { participant, .. }
            | Command::Configure { participant, .. }
            | Command::Mute { participant, .. }
            | Command::Subscribe { participant, .. }
            | Command::PinSlots { participant, .. }
            | Command::AckSlots { participant, .. } => {
                self.in_room(participant, command);
                self.wake(now);
            }
        }
    }

    /// The commands that only a room must know.
    fn in_room(&mut self, participant: ParticipantId, command: Command) {
        let Some(peer) = self.by_participant.get(&participant) else { return };
        let Peer { room, member, .. } = self.peers[peer.0 as usize];
        let (room, events) = (&mut self.rooms[room], &mut self.events);
        match command {
            Command::Unpublish { track, .. } => room.unpublish(member, &track, events),
            Command::Mute { track, muted, .. } => room.mute(member, &track, muted),
            Command::Configure { tracks, .. } => room.configure(member, tracks),
            Command::Subscribe { tracks, wanted, .. } => room.subscribe(member, &tracks, wanted, events),
            Command::PinSlots { pins, .. } => room.pin(member, pins, events),
            Command::AckSlots { revision, .. } => room.confirm_slots(member, revision),
            _ => {}
        }
    }

    /// Lets periodic work be looked for at once: a keyframe may have to be asked for.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.next_tick.is_some() {
            self.next_tick = Some(now);
        }
    }

    fn open_room(&mut self, id: RoomId, others: &[WorkerIndex]) {
        if self.by_room.contains_key(&id) {
            return;
        }
        let mut room = Room::new(id, self.clock, self.config.retransmission_window)
            .with_loudest(self.config.loudest)
            .with_media_limits(self.config.media_limits);
        room.set_shed(self.shedding.shed);
        if !others.is_empty() {
            room = room.as_further_part(others);
        }
        let place = self.rooms.insert(room);
        self.by_room.insert(id, place);
        if !others.is_empty() {
            self.spread.push(place);
        }
    }

    fn close_room(&mut self, id: RoomId) {
        let Some(room) = self.by_room.get(&id).copied() else { return };
        let participants: Vec<_> = self.rooms[room].participants().map(|(participant, _)| participant).collect();
        for participant in participants {
            self.leave(participant);
        }
        self.take_leave(room);
        self.by_room.remove(&id);
        self.spread.retain(|other| *other != room);
        self.rooms.remove(room);
    }

    fn join(
        &mut self,
        now: Instant,
        room: RoomId,
        participant: ParticipantId,
        settings: ParticipantSettings,
        negotiation: Negotiation,
    ) -> Result<Answer, ControlError> {
        let room = *self.by_room.get(&room).ok_or(ControlError::Gone)?;
        if self.by_participant.contains_key(&participant) {
            return Err(ControlError::AlreadyJoined);
        }
        if self.shedding.is_full() {
            return Err(ControlError::Overloaded);
        }
        let offer = &negotiation.offer;
        let slots = layout::check(offer, &negotiation.slots, &[])?;
        let planned = layout::plan(&slots, 0, || Ssrc(self.rng.next_u32()));
        let ice = IceCredentials::generate(self.worker, &mut self.rng);
        let mut negotiator = Negotiator::new(
            self.rng.next_u64() >> 2,
            self.config.certificate.fingerprint(),
            self.config.candidates.clone(),
        )
        .with_may_publish(settings.can_publish);
        let answer = answer(&self.config, &mut negotiator, offer, &ice, &planned)?;

        let remote_ice = offer.ice().clone();
        let config = transport_config(&self.config);
        let transport = Transport::new(&config, &ice, &remote_ice, offer.fingerprint(), now).with_setup(answer.setup);
        let entry = self.peers.vacant_entry();
        let index = PeerIndex(entry.key() as u32);
        let member = self.rooms[room].join(now, participant, index, settings, &mut self.rng);
        entry.insert(Peer {
            id: participant,
            room,
            member,
            transport,
            negotiator,
            ufrags: [ice.ufrag.clone()].into_iter().collect(),
            open_train: OpenTrain::default(),
            can_publish_data: settings.can_publish_data,
            quota: Quota::new(&self.config.data, now),
            mailbox: Mailbox::default(),
            sends_media: false,
            remote_ice,
            ice: ice.clone(),
        });
        self.by_participant.insert(participant, index);
        self.by_ufrag.insert(ice.ufrag, index);
        self.apply(now, index, &answer, &slots, &planned);
        self.next_tick.get_or_insert(now + TICK);
        Ok(answer)
    }

    fn negotiate(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        negotiation: Negotiation,
    ) -> Result<Answer, ControlError> {
        let index = *self.by_participant.get(&participant).ok_or(ControlError::Gone)?;
        let peer = &mut self.peers[index.0 as usize];
        let member = self.rooms[peer.room].member(peer.member).ok_or(ControlError::Gone)?;
        let current = member.layout();
        let offer = &negotiation.offer;
        let slots = layout::check(offer, &negotiation.slots, &current)?;
        let mut planned = member.planned();
        let added = layout::plan(&slots, current.len(), || Ssrc(self.rng.next_u32()));
        planned.extend(added.iter().cloned());
        let restarts = *offer.ice() != peer.remote_ice;
        let ice = if restarts { IceCredentials::generate(self.worker, &mut self.rng) } else { peer.ice.clone() };
        let answer = answer(&self.config, &mut peer.negotiator, offer, &ice, &planned)?;
        if restarts {
            peer.transport.restart_ice(&ice, offer.ice());
            peer.remote_ice = offer.ice().clone();
            let Peer { ufrags, transport, .. } = peer;
            ufrags.retain(|ufrag| transport.has_ufrag(ufrag) || self.by_ufrag.remove(ufrag).is_none());
            ufrags.push(ice.ufrag.clone());
            peer.ice = ice.clone();
            self.by_ufrag.insert(ice.ufrag, index);
        }
        self.apply(now, index, &answer, &slots, &added);
        Ok(answer)
    }

    fn apply(&mut self, now: Instant, index: PeerIndex, answer: &Answer, slots: &[SlotLines], added: &[PlannedLine]) {
        let peer = &mut self.peers[index.0 as usize];
        if answer.media.iter().any(|media| media.accepted && media.kind == MediaKind::Data) {
            peer.mailbox.expect(now);
        }
        let Peer { room, member: at, .. } = *peer;
        let room = &mut self.rooms[room];
        let Some(member) = room.member_mut(at) else { return };
        let orphans = member.negotiate(answer, slots, added, now, || self.rng.next_u32());
        peer.sends_media = !member.receiver.lines.is_empty();
        room.renegotiated(at, orphans, &mut self.events);
    }

    fn leave(&mut self, participant: ParticipantId) {
        let Some(index) = self.by_participant.remove(&participant) else { return };
        let peer = self.peers.remove(index.0 as usize);
        for ufrag in &peer.ufrags {
            self.by_ufrag.remove(ufrag);
        }
        for path in peer.transport.paths() {
            self.claims.release(index, remote_of(&path));
        }
        self.rooms[peer.room].leave(peer.member, &mut self.events);
        self.events.retain(|event| event.participant() != Some(participant) || event.is_reply());
    }

    fn stats(&self, participant: ParticipantId) -> Option<ParticipantStats> {
        let peer = &self.peers[self.by_participant.get(&participant)?.0 as usize];
        let room = &self.rooms[peer.room];
        let (inbound, outbound): (Vec<InboundStats>, Vec<OutboundStats>) = room.stats(peer.member);
        let rtt = room.member(peer.member).and_then(|member| member.rtt).or(peer.transport.rtt());
        Some(ParticipantStats {
            srtp_profile: peer.transport.srtp_profile().map(|profile| profile.name()),
            protocol: peer.transport.path().map(|path| match path.protocol {
                Protocol::Udp => "udp",
                Protocol::Tcp => "tcp",
            }),
            rtt_ms: rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
            limited: room.member(peer.member).map_or(0, |member| member.receiver.admission.dropped),
            inbound,
            outbound,
        })
    }
}

fn transport_config(config: &CoreConfig) -> TransportConfig {
    TransportConfig {
        certificate: config.certificate.clone(),
        consent_timeout: config.consent_timeout,
        handshake_timeout: config.handshake_timeout,
        interruption_timeout: config.interruption_timeout,
        data_buffer: config.data.in_flight_bytes(),
        max_tcp_paths: config.max_tcp_paths,
    }
}

fn answer(
    config: &CoreConfig,
    negotiator: &mut Negotiator,
    offer: &Offer,
    ice: &IceCredentials,
    planned: &[PlannedLine],
) -> Result<Answer, ControlError> {
    let send = |mid: &Mid, _| planned.iter().find(|line| line.mid == *mid).map(|line| line.stream.clone());
    Ok(negotiator.answer(offer, ice, &config.codecs, send)?)
}
