//! A participant inside its room: what it sends, what it receives, and who is in its slots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashSet;

use crate::control::{ParticipantSettings, SlotContent, SlotIndex, SlotLines, TrackKind, WorkerIndex};
use crate::id::{ParticipantId, TrackId};
use crate::pacer::Queued;
use crate::prefetch::{Distance, prefetch};
use crate::rtp::Extension;
use crate::sdp::{Answer, AnswerMedia, MediaKind};

use super::allocation::Adaptation;
use super::assignment::{Occupant, Part};
use super::connection_quality::Health;
use super::downlink::Downlink;
use super::feedback::Reporting;
use super::layout::PlannedLine;
use super::line::Line;
use super::member_set::MemberSet;
use super::packet::MediaPacket;
use super::presence::Presence;
use super::receiver::{EncodingKey, Receiver};
use super::{PeerIndex, PublicationIndex};

/// The round-trip time that is assumed until one was measured.
const DEFAULT_RTT: Duration = Duration::from_millis(100);

/// A slot with its m-lines' places among [`Member::lines`].
#[derive(Debug)]
pub struct Slot {
    pub lines: SlotLines,
    pub audio: Option<u16>,
    pub video: Option<u16>,
    pub occupant: Option<Occupant>,
    /// Its content changed, and no slot event told of it yet.
    pub untold: bool,
}

/// Whose slots show a member, by part.
pub type Shown = [MemberSet; Part::ALL.len()];

/// A participant inside its room.
#[derive(Debug)]
pub struct Member {
    pub id: ParticipantId,
    pub peer: PeerIndex,
    /// The worker of the participant that this is a stand-in for.
    pub away: Option<WorkerIndex>,
    /// Ascends in order of arrival.
    pub arrival: u64,
    pub settings: ParticipantSettings,
    pub receiver: Receiver,
    pub downlink: Downlink,
    pub adaptation: Adaptation,
    pub health: Health,
    pub lines: Vec<Line>,
    pub slots: Vec<Slot>,
    pub publications: Vec<PublicationIndex>,
    /// Whose slots show it.
    pub shown: Shown,
    /// Whether media of what it publishes comes.
    pub presence: Presence,
    /// The m-lines on which it sends, as other parts of the room must know them; `None`: none.
    pub sends: Option<Arc<[AnswerMedia]>>,
    pub pins: Vec<(SlotIndex, ParticipantId)>,
    /// When a speaker took a pair from somebody.
    pub shown_at: Option<Instant>,
    /// The revision of the last slot event.
    pub revision: u64,
    /// The revision up to which the client has applied slot events.
    pub confirmed: u64,
    /// The sender SSRC of our RTCP to this member.
    pub rtcp_ssrc: u32,
    pub rtt: Option<Duration>,
    pub next_report: Instant,
    /// What its RTCP may cost.
    pub reporting: Reporting,
    /// Exceptions from `settings.auto_subscribe`: tracks that are not wanted if it is set, wanted ones if not.
    exceptions: HashSet<TrackId>,
}

impl Member {
    /// A member without m-lines.
    pub fn new(
        id: ParticipantId,
        peer: PeerIndex,
        settings: ParticipantSettings,
        rtcp_ssrc: u32,
        receiver: Receiver,
        (epoch, now): (Instant, Instant),
    ) -> Self {
        Self {
            id,
            peer,
            away: None,
            arrival: 0,
            settings,
            receiver,
            downlink: Downlink::new(epoch, now),
            adaptation: Adaptation::default(),
            health: Health::default(),
            lines: Vec::new(),
            slots: Vec::new(),
            publications: Vec::new(),
            shown: Shown::default(),
            presence: Presence::default(),
            sends: None,
            pins: Vec::new(),
            shown_at: None,
            revision: 0,
            confirmed: 0,
            rtcp_ssrc,
            rtt: None,
            next_report: now,
            reporting: Reporting::new(now),
            exceptions: HashSet::new(),
        }
    }

    /// See [`prefetch`](crate::prefetch); its lines are elsewhere.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(&self.lines);
        prefetch(&self.peer);
        self.downlink.prefetch(Distance::Far);
    }

    /// The layout of its slots.
    pub fn layout(&self) -> Vec<SlotLines> {
        self.slots.iter().map(|slot| slot.lines).collect()
    }

    /// What its m-lines send, for the next answer.
    pub fn planned(&self) -> Vec<PlannedLine> {
        self.lines.iter().map(Line::planned).collect()
    }

    /// Takes over an answer: `layout` extends the slots by `planned` lines. Returns publications whose m-line is gone.
    /// `draw` gives random numbers.
    pub fn negotiate(
        &mut self,
        answer: &Answer,
        layout: &[SlotLines],
        planned: &[PlannedLine],
        now: Instant,
        mut draw: impl FnMut() -> u32,
    ) -> Vec<PublicationIndex> {
        // Lines live as long as the member, and few members ask for more of them: no room for others.
        self.lines.reserve_exact(planned.len());
        self.slots.reserve_exact(layout.len() - self.slots.len());
        for lines in &layout[self.slots.len()..] {
            self.slots.push(Slot { lines: *lines, audio: None, video: None, occupant: None, untold: false });
        }
        for line in planned {
            let place = self.lines.len() as u16;
            let slot = &mut self.slots[usize::from(line.slot)];
            match line.kind {
                TrackKind::Audio => slot.audio = Some(place),
                TrackKind::Video => slot.video = Some(place),
            }
            let first = (draw() as u16, draw() as u16, draw());
            self.lines.push(Line::new(line, self.receiver.window(), now, first));
        }
        for line in &mut self.lines {
            line.negotiate(answer.media.iter().find(|media| media.mid == line.mid), answer.allow_mixed);
        }
        self.sends = sending(&answer.media);
        self.receiver.negotiate(&answer.media, now)
    }

    /// Whether this member wants a track.
    pub fn wants(&self, track: &TrackId) -> bool {
        self.settings.can_subscribe && (self.settings.auto_subscribe != self.exceptions.contains(track))
    }

    /// Notes a wish. Wishes about tracks that do not exist (any more) are forgotten with [`Self::forget`].
    pub fn set_wanted(&mut self, track: TrackId, wanted: bool) {
        if wanted == self.settings.auto_subscribe {
            self.exceptions.remove(&track);
        } else {
            self.exceptions.insert(track);
        }
    }

    /// Forgets wishes about a track that ended.
    pub fn forget(&mut self, track: &TrackId) {
        self.exceptions.remove(track);
        self.adaptation.forget(track);
    }

    /// Lets a packet for one of the m-lines wait for the pacer; false if the m-line has no use for it.
    pub fn queue(&mut self, now: Instant, line: u16, packet: &MediaPacket<'_>) -> bool {
        let to = &mut self.lines[usize::from(line)];
        let Some(subscription) = to.subscription_id() else { return false };
        if !to.may_take(packet) {
            return false;
        }
        let EncodingKey { index, .. } = packet.encoding;
        let queued = Queued::new(line, subscription, index, packet.encoding.generation(), packet.stored);
        self.downlink.pacer.queue(now, queued);
        true
    }

    /// The round-trip time to reckon with.
    pub fn rtt(&self) -> Duration {
        self.rtt.unwrap_or(DEFAULT_RTT)
    }

    /// Smooths in a measured round-trip time (RFC 6298: one eighth of the new value).
    pub fn on_rtt(&mut self, rtt: Duration) {
        self.rtt = Some(self.rtt.map_or(rtt, |smooth| (smooth * 7 + rtt) / 8));
    }

    /// What a slot shows, for its event. `occupant` is the public id of who is in it.
    pub fn slot_content(&self, slot: usize, occupant: Option<ParticipantId>) -> SlotContent {
        let track = |line: Option<u16>| line.and_then(|line| self.lines[usize::from(line)].slot_track());
        let Slot { audio, video, .. } = self.slots[slot];
        SlotContent { slot: slot as SlotIndex, participant: occupant, audio: track(audio), video: track(video) }
    }
}

/// The m-lines of an answer on which the client sends, without transport-wide numbers: feedback on those is given where
/// its transport is.
fn sending(media: &[AnswerMedia]) -> Option<Arc<[AnswerMedia]>> {
    let sends = |m: &&AnswerMedia| m.accepted && m.direction.receives() && m.kind != MediaKind::Data;
    let mut sending: Vec<AnswerMedia> = media.iter().filter(sends).cloned().collect();
    sending.iter_mut().for_each(|media| media.extensions.remove(Extension::TransportCc));
    (!sending.is_empty()).then(|| sending.into())
}
