//! A member of a simulated room: what it publishes, what it believes to see, and what it misses.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sfu_core::control::{SlotContent, SlotLines, SlotTrack, TrackKind};
use sfu_core::id::{Mid, ParticipantId, Ssrc, TrackId};
use sfu_core::router::MemberIndex;
use sfu_core::rtcp;
use sfu_core::sdp::Negotiator;

use super::outgoing::{Checker, Sent};
use super::source::Outgoing;
use super::support::offer::Line;

/// An m-line of a slot.
pub(crate) type LineKey = (u8, TrackKindKey);

/// `TrackKind`, in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TrackKindKey {
    Audio,
    Video,
}

impl From<TrackKind> for TrackKindKey {
    fn from(kind: TrackKind) -> Self {
        match kind {
            TrackKind::Audio => Self::Audio,
            TrackKind::Video => Self::Video,
        }
    }
}

/// What is in all slots, by m-line and by slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub revision: u64,
    pub tracks: BTreeMap<LineKey, (TrackId, Option<u32>)>,
    pub shown: BTreeMap<u8, ParticipantId>,
}

impl View {
    /// Takes over the whole new content of some slots.
    pub(crate) fn apply(&mut self, revision: u64, slots: &[SlotContent]) {
        self.revision = revision;
        for slot in slots {
            match slot.participant {
                Some(participant) => self.shown.insert(slot.slot, participant),
                None => self.shown.remove(&slot.slot),
            };
            for (kind, track) in [(TrackKindKey::Audio, slot.audio), (TrackKindKey::Video, slot.video)] {
                match track {
                    Some(SlotTrack { track, after }) => self.tracks.insert((slot.slot, kind), (track, after)),
                    None => self.tracks.remove(&(slot.slot, kind)),
                };
            }
        }
    }
}

/// What a client received on an m-line.
#[derive(Debug, Default)]
struct Arrivals {
    highest: Option<u64>,
    /// When to ask next, and how often it was asked.
    missing: BTreeMap<u64, (Instant, u8)>,
    /// Of each track: when the last packet came.
    last: BTreeMap<u32, Instant>,
}

/// An m-line that the client receives on.
#[derive(Debug)]
pub(crate) struct ReceivedLine {
    pub key: LineKey,
    pub rtx: Option<u32>,
    pub checker: Checker,
    /// The revision that must be confirmed before the line's track may be sent.
    pub requires: u64,
    arrivals: Arrivals,
}

/// A member.
#[derive(Debug)]
pub(crate) struct Client {
    pub id: ParticipantId,
    pub member: MemberIndex,
    pub alive: bool,
    pub confirms: bool,
    pub negotiator: Negotiator,
    pub offered: Vec<Line>,
    pub layout: Vec<SlotLines>,
    /// By SSRC.
    pub lines: BTreeMap<u32, ReceivedLine>,
    pub outgoing: Vec<Outgoing>,
    /// As the control plane knows it from events.
    pub server_view: View,
    /// As the client knows it.
    pub view: View,
    /// The acks that the server has seen.
    pub acked: u64,
    /// Signalling keeps its order.
    pub signalled: Instant,
    /// Events are lost meanwhile.
    pub offline: bool,
    /// It names who is in a slot.
    pub pins: bool,
    pub last_pli: BTreeMap<u32, Instant>,
}

impl ReceivedLine {
    pub(crate) fn new(slot: u8, kind: TrackKind, rtx: Option<u32>) -> Self {
        let checker = Checker::new(kind == TrackKind::Video);
        Self { key: (slot, kind.into()), rtx, checker, requires: 0, arrivals: Arrivals::default() }
    }

    /// The newest packet of a track came so long ago.
    pub(crate) fn silence(&self, now: Instant, csrc: u32) -> Option<Duration> {
        self.arrivals.last.get(&csrc).map(|at| now.duration_since(*at))
    }
}

impl Client {
    /// The m-line that an SSRC belongs to, and whether it is that of retransmissions.
    pub(crate) fn line_of(&self, ssrc: u32) -> (u32, bool) {
        match self.lines.contains_key(&ssrc) {
            true => (ssrc, false),
            false => {
                let media =
                    self.lines.iter().find(|(_, line)| line.rtx == Some(ssrc)).expect("only own SSRCs are sent");
                (*media.0, true)
            }
        }
    }

    /// A media packet arrives: nobody may be shown under another's name.
    pub(crate) fn on_media(&mut self, now: Instant, sent: &Sent, seq: u64) {
        let (ssrc, _) = self.line_of(sent.ssrc);
        let line = self.lines.get_mut(&ssrc).expect("the line was found");
        if let Some((track, after)) = self.view.tracks.get(&line.key).filter(|_| self.confirms) {
            let is_new = after.is_none_or(|after| (sent.timestamp.wrapping_sub(after) as i32) > 0);
            assert!(
                !is_new || track.csrc() == sent.csrc,
                "{sent:?} is shown as {track} since {after:?} on {:?}",
                line.key
            );
        }
        let arrivals = &mut line.arrivals;
        arrivals.last.insert(sent.csrc, now);
        arrivals.missing.remove(&seq);
        if let Some(highest) = arrivals.highest.filter(|highest| *highest < seq) {
            let ask = now + Duration::from_millis(20);
            arrivals.missing.extend((highest + 1..seq).map(|missing| (missing, (ask, 0))));
        }
        arrivals.highest = arrivals.highest.max(Some(seq));
    }

    /// The NACKs that are due, and what they ask for, by SSRC.
    pub(crate) fn nacks(&mut self, now: Instant) -> Vec<u8> {
        let mut compound = Vec::new();
        for (ssrc, line) in self.lines.iter_mut().filter(|(_, line)| line.rtx.is_some()) {
            line.arrivals.missing.retain(|_, (_, asked)| *asked < 6);
            let mut numbers = Vec::new();
            for (seq, (at, asked)) in line.arrivals.missing.iter_mut().filter(|(_, (at, _))| *at <= now).take(100) {
                numbers.push(*seq as u16);
                (*at, *asked) = (now + Duration::from_millis(120), *asked + 1);
            }
            if !numbers.is_empty() {
                rtcp::write_nack(&mut compound, Ssrc(1), Ssrc(*ssrc), &numbers);
            }
        }
        compound
    }

    /// The MID of its next pair of slots.
    pub(crate) fn next_pair(&self) -> (Mid, Mid) {
        let pair = self.layout.len();
        (Mid::new(&format!("a{pair}")).unwrap(), Mid::new(&format!("v{pair}")).unwrap())
    }
}
