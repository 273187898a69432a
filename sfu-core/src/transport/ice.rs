//! The lite end of ICE (RFC 8445 section 2.5): it answers checks, follows nominations, and watches consent (RFC 7675).
//!
//! Invariants:
//! - Nothing changes by a check that is not authentic under our password, or whose user names are not this session's.
//! - The selected path moves only to a path that an authentic check with USE-CANDIDATE has nominated; before the first
//!   nomination the first path that was checked serves, since a full agent may send on any valid pair
//!   (RFC 8445 section 12.1).
//! - During an ICE restart checks under the old credentials keep the old path alive, until one under the new ones
//!   nominates a path (RFC 8445 section 9).

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use smallvec::SmallVec;

use super::stun::{self, Kind, Message, Writer};
use super::{Path, Protocol};
use crate::prefetch::prefetch;
use crate::sdp::IceCredentials;

/// Paths that are remembered at once. Browsers check a few pairs; the one unchecked for longest makes room.
const MAX_PAIRS: usize = 16;
/// An agent that nominates aggressively nominates its TCP pair too: it does not displace a UDP path checked so recently.
const UDP_PREFERENCE: Duration = Duration::from_secs(3);
/// When the selected path went unchecked for so long, another nominated path that is checked takes over. Agents that
/// nominate aggressively check in the end only the pair that they chose, without nominating it again.
const SELECTED_STALE: Duration = Duration::from_secs(10);

/// What an authentic check did.
pub(super) struct Checked {
    /// The response, to be sent on the path of the check.
    pub(super) response: stun::Bytes,
    /// False for error responses, which change nothing.
    pub(super) accepted: bool,
    /// The selected path is another now.
    pub(super) moved: bool,
}

struct Session {
    /// What USERNAME says in a check to us: `ours:theirs`.
    username: String,
    /// Of our password: it signs checks and our responses.
    key: hmac::Key,
}

impl Session {
    fn new(local: &IceCredentials, remote: &IceCredentials) -> Self {
        Self { username: format!("{}:{}", local.ufrag, remote.ufrag), key: stun::key(&local.password) }
    }

    fn is_author_of(&self, message: &Message<'_>) -> bool {
        message.username() == Some(&self.username) && message.is_authentic(&self.key)
    }
}

struct Pair {
    path: Path,
    checked: Instant,
    nominated: bool,
}

/// The ICE state of one participant.
pub(super) struct IceLite {
    session: Session,
    /// The session before an ICE restart, until the new one nominates a path.
    previous: Option<Box<Session>>,
    pairs: SmallVec<[Pair; 2]>,
    selected: Option<Path>,
}

impl IceLite {
    pub(super) fn new(local: &IceCredentials, remote: &IceCredentials) -> Self {
        Self { session: Session::new(local, remote), previous: None, pairs: SmallVec::new(), selected: None }
    }

    pub(super) fn restart(&mut self, local: &IceCredentials, remote: &IceCredentials) {
        let session = Session::new(local, remote);
        if session.username != self.session.username {
            let old = std::mem::replace(&mut self.session, session);
            // A restart during a restart: what carries media is still the oldest session.
            self.previous.get_or_insert_with(|| Box::new(old));
        }
    }

    /// Where [`Self::selected`] is.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(&self.selected);
    }

    pub(super) fn selected(&self) -> Option<Path> {
        self.selected
    }

    /// Whether an authentic check came from this path.
    pub(super) fn is_valid(&self, path: Path) -> bool {
        self.pairs.iter().any(|pair| pair.path == path)
    }

    /// When the selected path was checked last.
    pub(super) fn last_check(&self) -> Option<Instant> {
        self.pairs.iter().find(|pair| Some(pair.path) == self.selected).map(|pair| pair.checked)
    }

    /// Forgets a path whose TCP connection ended. Returns whether it was the selected one; then the nominated path
    /// that was checked last takes over, if there is one.
    pub(super) fn close_path(&mut self, path: Path) -> bool {
        self.pairs.retain(|pair| pair.path != path);
        let was_selected = self.selected == Some(path);
        if was_selected {
            let best = self.pairs.iter().filter(|pair| pair.nominated).max_by_key(|pair| pair.checked);
            self.selected = best.map(|pair| pair.path);
        }
        was_selected
    }

    /// Answers a check. `None`: not a check, or not authentic; to be ignored.
    pub(super) fn handle(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Option<Checked> {
        let message = Message::parse(datagram).ok().filter(|message| message.kind() == Kind::Request)?;
        let is_current = self.session.is_author_of(&message);
        let author = if is_current { Some(&self.session) } else { self.previous.as_deref() };
        let author = author.filter(|author| is_current || author.is_author_of(&message))?;
        if !message.has_valid_fingerprint() {
            return None;
        }
        let writer = |kind| Writer::new(kind, &message.transaction());
        let refuse = |code, reason| {
            let response = writer(Kind::Error).error_code(code, reason).finish(&author.key);
            Some(Checked { response, accepted: false, moved: false })
        };
        if message.unknown_required().is_some() {
            return refuse(420, "Unknown Attribute");
        }
        if message.is_controlled() {
            // We never control: the peer must (RFC 8445 section 7.3.1.1).
            return refuse(487, "Role Conflict");
        }
        if !message.is_controlling() || !message.has_priority() {
            return refuse(400, "Bad Request");
        }
        let response = writer(Kind::Success).mapped_address(path.remote).finish(&author.key);
        let moved = self.accept(now, path, message.use_candidate(), is_current);
        Some(Checked { response, accepted: true, moved })
    }

    fn accept(&mut self, now: Instant, path: Path, nominates: bool, is_current: bool) -> bool {
        let nominates = nominates && (is_current || self.previous.is_none());
        let nominated = self.note(now, path, nominates);
        if nominates && is_current {
            self.previous = None;
        }
        let moves = match self.selected {
            None => true,
            Some(selected) if selected == path => false,
            Some(selected) => {
                let idle = self.last_check().map_or(Duration::MAX, |checked| now.saturating_duration_since(checked));
                let prefers_udp = selected.protocol == Protocol::Udp && path.protocol == Protocol::Tcp;
                let waits_for = if prefers_udp { UDP_PREFERENCE } else { Duration::ZERO };
                (nominates && idle >= waits_for) || (nominated && idle >= SELECTED_STALE)
            }
        };
        if moves {
            self.selected = Some(path);
        }
        moves
    }

    /// Remembers a check; returns whether its path was ever nominated.
    fn note(&mut self, now: Instant, path: Path, nominates: bool) -> bool {
        if let Some(pair) = self.pairs.iter_mut().find(|pair| pair.path == path) {
            pair.checked = now;
            pair.nominated |= nominates;
            return pair.nominated;
        }
        if self.pairs.len() == MAX_PAIRS {
            let others = self.pairs.iter().enumerate().filter(|(_, pair)| Some(pair.path) != self.selected);
            let oldest = others.min_by_key(|(_, pair)| pair.checked).map(|(index, _)| index);
            self.pairs.swap_remove(oldest.expect("only one of many pairs is selected"));
        }
        self.pairs.push(Pair { path, checked: now, nominated: nominates });
        nominates
    }
}
