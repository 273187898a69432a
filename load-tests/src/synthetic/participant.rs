//! One synthetic participant: its socket, connection, and both sides of its media.

use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use sfu_core::sdp::IceCredentials;
use sfu_core::transport::{Class, SrtpProfile, classify};
use tokio::sync::watch;

use super::link::{Link, Profile};
use super::outgoing::Out;
use super::receiver::{Receiver, Shared};
use super::sdp::{PayloadTypes, Remote, SendLine};
use super::sender::{Moment, Sender, Speech};
use super::session::{Identity, Peer, Session, State};
use super::totals::Sequences;
use crate::publisher::Media;
use crate::stamp::Kind;

/// How far a participant has come, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// ICE and DTLS are done.
    pub connected: Option<Instant>,
    /// What DTLS agreed on.
    pub profile: Option<SrtpProfile>,
    /// The first authenticated packet.
    pub first_packet: Option<Instant>,
    /// The first complete keyframe.
    pub first_keyframe: Option<Instant>,
    /// Why it is over.
    pub failed: Option<String>,
}

/// What it sends.
pub struct Sending {
    /// Its number in stamps.
    pub publisher: u16,
    /// The m-lines.
    pub lines: Vec<SendLine>,
    /// What flows on them.
    pub media: Media,
    /// When it speaks.
    pub speech: Speech,
    /// Delay of its clock, so that publishers do not tick alike.
    pub phase: Duration,
}

/// What it receives.
pub struct Receiving {
    /// As negotiated.
    pub payload_types: PayloadTypes,
    /// The id of the transport-wide number.
    pub transport_cc: Option<u8>,
    /// RTX to media, where the server said so.
    pub repairs: Vec<(u32, u32)>,
}

impl Receiving {
    /// By the numbers of a server that chose them itself.
    pub fn of(remote: &Remote) -> Self {
        Self {
            payload_types: remote.payload_types(),
            transport_cc: remote.transport_cc(),
            repairs: remote.repairs.clone(),
        }
    }
}

/// What signalling found out.
pub struct Setup {
    /// Bound, not connected.
    pub socket: std::net::UdpSocket,
    /// The server's end.
    pub peer: Peer,
    /// Ours and the server's.
    pub ice: (IceCredentials, IceCredentials),
    /// What it sends, if anything.
    pub sending: Option<Sending>,
    /// What it receives.
    pub receiving: Receiving,
    /// Its last mile.
    pub link: Profile,
    /// Who wants to know how far it is.
    pub progress: watch::Sender<Progress>,
}

/// A participant.
pub(super) struct Participant {
    pub(super) socket: UdpSocket,
    session: Session,
    sender: Option<Sender>,
    pending: Option<Sending>,
    receiver: Receiver,
    link: Option<Link>,
    transport_sequence: u16,
    progress: watch::Sender<Progress>,
    /// Its thread counts it among those that join.
    pub(super) joining: bool,
    /// The earliest of its entries among the thread's timers.
    pub(super) due: Option<Instant>,
}

/// Scratch space of a thread.
pub(super) type Scratch = Vec<u8>;

impl Participant {
    /// Connects the socket and starts the clock.
    pub(super) fn new(setup: Setup, identity: &Identity, seed: u64, now: Instant) -> std::io::Result<Self> {
        setup.socket.connect(setup.peer.address)?;
        let Receiving { payload_types, transport_cc, repairs } = setup.receiving;
        Ok(Self {
            socket: UdpSocket::from_std(setup.socket),
            session: Session::new(identity, setup.ice, setup.peer, now),
            sender: None,
            pending: setup.sending,
            receiver: Receiver::new(payload_types, transport_cc, &repairs, now),
            link: (!setup.link.is_clear()).then(|| Link::new(setup.link, seed)),
            transport_sequence: rand::random(),
            progress: setup.progress,
            joining: true,
            due: None,
        })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.session.srtp.is_some()
    }

    /// Whether its connection is up, or will never be.
    pub(super) fn has_joined(&self) -> bool {
        !matches!(self.session.state(), State::Checking | State::Shaking)
    }

    /// What its receiver knows by sequence numbers.
    pub(super) fn sequences(&self) -> [Sequences; 2] {
        self.receiver.sequences()
    }

    /// How many streams it receives.
    pub(super) fn streams(&self) -> usize {
        self.receiver.streams()
    }

    /// Takes a datagram from the socket.
    pub(super) fn on_datagram(&mut self, at: Instant, datagram: &mut [u8], shared: &mut Shared<'_>) {
        match &mut self.link {
            Some(link) if self.session.srtp.is_some() => link.enter(at, datagram),
            _ => self.handle(at, datagram, shared),
        }
    }

    fn handle(&mut self, at: Instant, datagram: &mut [u8], shared: &mut Shared<'_>) {
        match (classify(datagram), &mut self.session.srtp) {
            (Class::Rtp, Some((_, open))) => {
                let before = self.receiver.firsts;
                self.receiver.on_rtp(at, datagram, open, shared);
                if self.receiver.firsts != before {
                    self.tell_firsts();
                }
            }
            (Class::Rtcp, Some((seal, open))) => {
                let Ok(len) = open.rtcp(datagram) else { return shared.totals.refused += 1 };
                self.receiver.on_rtcp(at, &datagram[..len]);
                if let Some(sender) = &mut self.sender {
                    let (socket, totals) = (&self.socket, &mut shared.totals.sent);
                    let transport_sequence = &mut self.transport_sequence;
                    sender.on_rtcp(&datagram[..len], &mut Out { seal, socket, transport_sequence, totals });
                }
            }
            (Class::Stun | Class::Dtls, _) => {
                let socket = &self.socket;
                // A full socket buffer is a loss like any other on the way.
                self.session.handle(at, datagram, &mut |bytes| drop(socket.send(bytes)));
                self.tell_state(at);
            }
            _ => {}
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, moment: Moment, scratch: &mut Scratch, shared: &mut Shared<'_>) {
        let socket = &self.socket;
        if self.session.poll_timeout().is_some_and(|at| at <= moment.now) {
            self.session.handle_timeout(moment.now, &mut |bytes| drop(socket.send(bytes)));
            self.tell_state(moment.now);
        }
        while let Some((at, mut datagram)) = self.link.as_mut().and_then(|link| link.leave(moment.now)) {
            self.handle(at, &mut datagram, shared);
        }
        let Some((seal, _)) = &mut self.session.srtp else { return };
        if self.receiver.streams() > 0 && self.receiver.poll_timeout() <= moment.now {
            let (socket, transport_sequence) = (&self.socket, &mut self.transport_sequence);
            let mut unused = super::totals::SentTotals::default();
            let mut out = Out { seal, socket, transport_sequence, totals: &mut unused };
            self.receiver.handle_timeout(moment.now, scratch, shared.totals, &mut |compound| out.rtcp(compound));
            shared.totals.sent.refused += unused.refused;
        }
        if let Some(sender) = &mut self.sender {
            let (socket, totals) = (&self.socket, &mut shared.totals.sent);
            let transport_sequence = &mut self.transport_sequence;
            sender.handle_timeout(moment, &mut Out { seal, socket, transport_sequence, totals }, scratch);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next; `None`: never.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let is_connected = self.is_connected();
        let receiver = (is_connected && self.receiver.streams() > 0).then(|| self.receiver.poll_timeout());
        let sender = self.sender.as_ref().filter(|_| is_connected).map(Sender::poll_timeout);
        let link = self.link.as_ref().and_then(Link::poll_timeout);
        [self.session.poll_timeout(), receiver, sender, link].into_iter().flatten().min()
    }

    pub(super) fn set_muted(&mut self, kind: Kind, muted: bool) {
        self.sender.iter_mut().for_each(|sender| sender.set_muted(kind, muted));
    }

    pub(super) fn close(&mut self) {
        let socket = &self.socket;
        self.session.close(&mut |bytes| drop(socket.send(bytes)));
    }

    fn tell_state(&mut self, now: Instant) {
        let known = self.progress.borrow().clone();
        match self.session.state() {
            State::Connected(profile) if known.connected.is_none() => {
                let profile = *profile;
                self.progress.send_modify(|progress| {
                    (progress.connected, progress.profile) = (Some(now), Some(profile));
                });
                self.sender = self.pending.take().map(|sending| {
                    let start = now + sending.phase;
                    Sender::new(sending.publisher, &sending.lines, &sending.media, sending.speech, start)
                });
            }
            State::Failed(reason) if known.failed.is_none() => {
                let reason = reason.clone();
                self.progress.send_modify(|progress| progress.failed = Some(reason));
            }
            _ => {}
        }
    }

    fn tell_firsts(&self) {
        let firsts = self.receiver.firsts;
        self.progress.send_modify(|progress| {
            (progress.first_packet, progress.first_keyframe) = (firsts.packet, firsts.keyframe);
        });
    }
}
