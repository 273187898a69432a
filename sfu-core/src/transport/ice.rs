//! The lite end of ICE (RFC 8445 section 2.5): it answers checks, decides which path is the selected one, and watches
//! consent (RFC 7675).
//!
//! # What a check does
//!
//! A check is a binding request with the user names of this session and MESSAGE-INTEGRITY under our password.
//! - Every check is answered. PRIORITY and ICE-CONTROLLING may be missing (RFC 8445 section 7.1 asks for them, some
//!   clients leave them out): nothing here depends on them. ICE-CONTROLLED is answered by 487, since a lite agent never
//!   controls (section 7.3.1.1), and an attribute that must be understood and is not by 420.
//! - A check counts once: one whose transaction was seen before is answered and changes nothing (`transactions.rs`).
//! - A check that counts makes its path *valid* and renews its consent. USE-CANDIDATE makes the path *nominated*, and the
//!   latest nomination is the one that the client means (section 8.1.1).
//!
//! # Which path is selected
//!
//! At first there is nothing to protect: the first valid path is selected, since a full agent may send on any valid pair
//! (section 12.1). A nomination moves the selection until the first DTLS datagram came. During the handshake the path of the
//! client's latest DTLS datagram is the selected one, for there its answers are awaited. Afterwards a path is heard by what
//! the client encrypted and we authenticated: SRTP, SRTCP, DTLS records. The selection moves to another valid path
//!
//! 1. with a packet on it, if its nomination is later than that of the selected path, whatever is still checked there;
//! 2. with a packet on it, if it was ever nominated and the selected path carried no packet for [`SILENCE`];
//! 3. with a packet on it, if the selected path is silent, which means for [`SILENCE`] neither packet nor check;
//! 4. without a packet, if the selected path is silent and [`CHECKS`] checks came since it was heard last: a client that
//!    waits for us has nothing to encrypt. A path without a later nomination must wait for [`LONG_SILENCE`], because a
//!    client that only listens may be silent between two consent checks while it also checks other pairs;
//! 5. with the first nomination after an ICE restart under the new credentials (section 9). Until then, checks under the
//!    old ones count as before.
//!
//! Moves are limited ([`MOVES`]), and a path that ends (TCP) is left at once.
//!
//! # Against whom
//!
//! A lite agent sends no checks of its own, so nothing tells it that a path leads to its client but what the client
//! sends (RFC 8445 section 19 and RFC 8656 section 21 describe the attacks on full agents and relays).
//! - A *stranger* can write any source address, and knows no password: nothing that it sends is authentic.
//! - A *replayer* has seen checks and sends them again from any address: their transactions are known, and no rule applies.
//!   Checks older than the filter's memory may count again; they make a path valid, and rules 1 to 3 need a packet,
//!   which the replay windows of SRTP and DTLS let pass once.
//! - A *forwarder* sees each datagram, and sends a copy that arrives before the original from another address. Its checks count.
//!   As long as the client is heard on its own path, no rule applies to them. If it forwards packets, too, the selection
//!   follows them, and returns with the client's next nomination or, by rule 2, within [`SILENCE`]. A forwarder that
//!   suppresses the originals cannot be told from a NAT that changed its mind; it gets what is encrypted for the client.
//! - A *member* that can forge source addresses can send its own downlink to somebody else's (the voice hammer of RFC 5245 section
//!   18.5.1). A lite agent cannot prevent it; it needs a forged check each 30 s, the rate is bounded by the estimate, and
//!   without feedback that falls.

mod transactions;

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use smallvec::SmallVec;

use super::stun::{self, Kind, Message, Writer};
use super::{Path, Protocol};
use crate::limiter::{Limit, Limiter};
use crate::prefetch::prefetch;
use crate::sdp::IceCredentials;
use transactions::Transactions;

/// Paths that are remembered at once. Browsers check a few pairs; the one unchecked for longest makes room.
const MAX_PAIRS: usize = 16;
/// A path that carried nothing for so long may be left. Whoever receives video or sends anything is heard each 100 ms, by
/// media or transport-wide feedback.
const SILENCE: Duration = Duration::from_secs(1);
/// Longer than between two consent checks, which are 4 to 6 s apart (RFC 7675 section 5.1).
const LONG_SILENCE: Duration = Duration::from_millis(6_500);
/// Checks that replace a packet on a path whose client has nothing to encrypt.
const CHECKS: u8 = 2;

/// How often the selected path may change: two networks that come and go need less.
fn moves() -> Limit {
    Limit::every(Duration::from_millis(500), 4)
}

/// What an authentic check did.
pub(super) struct Checked {
    /// The response, to be sent on the path of the check.
    pub(super) response: stun::Bytes,
    /// False for error responses and for a repeated transaction, which change nothing.
    pub(super) accepted: bool,
    /// The selected path is another now.
    pub(super) moved: bool,
    /// The path that was forgotten for this one.
    pub(super) forgotten: Option<Path>,
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

    fn has_ufrag(&self, ufrag: &str) -> bool {
        self.username.split(':').next() == Some(ufrag)
    }
}

struct Pair {
    path: Path,
    checked: Instant,
    /// The number of its latest nomination; 0: never nominated.
    nomination: u32,
    /// Checks since the selected path was heard, and when that was.
    checks: (Option<Instant>, u8),
}

/// The ICE state of one participant.
pub(super) struct IceLite {
    session: Session,
    /// The session before an ICE restart, until the new one nominates a path.
    previous: Option<Box<Session>>,
    pairs: SmallVec<[Pair; 2]>,
    max_tcp: usize,
    selected: Option<Path>,
    /// When the selected path carried something encrypted; `None` before the first DTLS datagram.
    heard: Option<Instant>,
    nominations: u32,
    transactions: Transactions,
    moves: Limiter,
}

impl IceLite {
    /// `max_tcp`: TCP paths that are remembered at once, which keeps their connections open; at least 2, so that a new one
    /// can take over from the selected one.
    pub(super) fn new(local: &IceCredentials, remote: &IceCredentials, max_tcp: usize, now: Instant) -> Self {
        Self {
            session: Session::new(local, remote),
            previous: None,
            pairs: SmallVec::new(),
            max_tcp: max_tcp.max(2),
            selected: None,
            heard: None,
            nominations: 0,
            transactions: Transactions::new(),
            moves: Limiter::new(moves(), now),
        }
    }

    pub(super) fn restart(&mut self, local: &IceCredentials, remote: &IceCredentials) {
        let session = Session::new(local, remote);
        if session.username != self.session.username {
            let old = std::mem::replace(&mut self.session, session);
            // A restart during a restart: what carries media is still the oldest session.
            self.previous.get_or_insert_with(|| Box::new(old));
        }
    }

    /// Whether checks to this user fragment of ours are answered.
    pub(super) fn has_ufrag(&self, ufrag: &str) -> bool {
        self.session.has_ufrag(ufrag) || self.previous.as_ref().is_some_and(|previous| previous.has_ufrag(ufrag))
    }

    /// Where [`Self::selected`] is.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(&self.selected);
    }

    pub(super) fn selected(&self) -> Option<Path> {
        self.selected
    }

    /// The valid paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = Path> {
        self.pairs.iter().map(|pair| pair.path)
    }

    /// Whether a check that counts came on this path.
    pub(super) fn is_valid(&self, path: Path) -> bool {
        self.pair(&path).is_some()
    }

    /// When a check that counts last came on the selected path.
    pub(super) fn last_check(&self) -> Option<Instant> {
        self.selected_pair().map(|pair| pair.checked)
    }

    /// Forgets a path whose TCP connection ended. Returns whether it was the selected one; then the path that was
    /// nominated last takes over, if there is one.
    pub(super) fn close_path(&mut self, now: Instant, path: Path) -> bool {
        self.pairs.retain(|pair| pair.path != path);
        let was_selected = self.selected == Some(path);
        if was_selected {
            let best = self.pairs.iter().filter(|pair| pair.nomination > 0).max_by_key(|pair| pair.nomination);
            self.selected = best.map(|pair| pair.path);
            self.heard = self.heard.map(|_| now);
        }
        was_selected
    }

    /// Something came that the client encrypted and that was authenticated. Returns whether the selected path is another now.
    #[inline]
    pub(super) fn hear(&mut self, now: Instant, path: &Path) -> bool {
        if self.selected.as_ref() == Some(path) {
            self.heard = Some(now);
            return false;
        }
        self.follow_packet(now, path)
    }

    /// A DTLS datagram came on a valid path before the handshake was done. Returns whether the selected path is another now.
    pub(super) fn hear_handshake(&mut self, now: Instant, path: &Path) -> bool {
        self.heard.get_or_insert(now);
        if self.selected.as_ref() == Some(path) {
            self.heard = Some(now);
            return false;
        }
        self.move_to(now, path)
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
            Some(Checked { response, accepted: false, moved: false, forgotten: None })
        };
        if message.unknown_required().is_some() {
            return refuse(420, "Unknown Attribute");
        }
        if message.is_controlled() {
            return refuse(487, "Role Conflict");
        }
        let response = writer(Kind::Success).mapped_address(path.remote).finish(&author.key);
        let mut checked = Checked { response, accepted: false, moved: false, forgotten: None };
        if self.transactions.is_new(&message.transaction()) {
            self.accept(now, path, message.use_candidate(), is_current, &mut checked);
        }
        Some(checked)
    }

    fn accept(&mut self, now: Instant, path: Path, nominates: bool, is_current: bool, checked: &mut Checked) {
        if !self.note(now, path, nominates, &mut checked.forgotten) {
            return;
        }
        checked.accepted = true;
        let ends_restart = nominates && is_current && self.previous.take().is_some();
        checked.moved = match self.selected {
            Some(selected) if selected == path => false,
            None => self.select(now, path),
            Some(_) if ends_restart => self.select(now, path),
            Some(_) if self.heard.is_none() => nominates && self.move_to(now, &path),
            Some(_) => self.follow_checks(now, &path),
        };
    }

    /// Remembers a check; false if there is no room for its path.
    fn note(&mut self, now: Instant, path: Path, nominates: bool, forgotten: &mut Option<Path>) -> bool {
        if nominates {
            self.nominations += 1;
        }
        let nomination = self.nominations;
        if let Some(pair) = self.pairs.iter_mut().find(|pair| pair.path == path) {
            pair.checked = now;
            if nominates {
                pair.nomination = nomination;
            }
            return true;
        }
        let is_tcp = |pair: &Pair| pair.path.protocol == Protocol::Tcp;
        let is_tcp_full =
            path.protocol == Protocol::Tcp && self.pairs.iter().filter(|pair| is_tcp(pair)).count() >= self.max_tcp;
        if is_tcp_full || self.pairs.len() == MAX_PAIRS {
            let others = self.pairs.iter().enumerate().filter(|(_, pair)| Some(pair.path) != self.selected);
            let oldest = others.filter(|(_, pair)| !is_tcp_full || is_tcp(pair)).min_by_key(|(_, pair)| pair.checked);
            let Some(index) = oldest.map(|(index, _)| index) else { return false };
            *forgotten = Some(self.pairs.swap_remove(index).path);
        }
        let nomination = if nominates { nomination } else { 0 };
        self.pairs.push(Pair { path, checked: now, nomination, checks: (None, 0) });
        true
    }

    /// Rules 1 to 3.
    #[cold]
    fn follow_packet(&mut self, now: Instant, path: &Path) -> bool {
        let Some(pair) = self.pair(path) else { return false };
        let selected = self.selected_pair().map_or(0, |pair| pair.nomination);
        let is_idle = self.heard.is_none_or(|heard| now.saturating_duration_since(heard) >= SILENCE);
        let follows = pair.nomination > selected || (pair.nomination > 0 && is_idle) || self.silence(now) >= SILENCE;
        follows && self.move_to(now, path)
    }

    /// Rule 4.
    fn follow_checks(&mut self, now: Instant, path: &Path) -> bool {
        let (silence, last) = (self.silence(now), self.last_heard());
        let selected = self.selected_pair().map_or(0, |pair| pair.nomination);
        let Some(pair) = self.pairs.iter_mut().find(|pair| pair.path == *path) else { return false };
        let before = if pair.checks.0 == last { pair.checks.1 } else { 0 };
        pair.checks = if silence >= SILENCE { (last, before.saturating_add(1)) } else { (last, 0) };
        let waits_for = if pair.nomination > selected { SILENCE } else { LONG_SILENCE };
        let follows = silence >= waits_for && pair.checks.1 >= CHECKS;
        follows && self.move_to(now, path)
    }

    fn move_to(&mut self, now: Instant, path: &Path) -> bool {
        self.moves.admit(now, 1) && self.select(now, *path)
    }

    fn select(&mut self, now: Instant, path: Path) -> bool {
        self.selected = Some(path);
        // What was under way on the old path does not take the selection back.
        self.heard = self.heard.map(|_| now);
        true
    }

    /// For how long nothing of the client came on the selected path.
    fn silence(&self, now: Instant) -> Duration {
        self.last_heard().map_or(Duration::MAX, |at| now.saturating_duration_since(at))
    }

    fn last_heard(&self) -> Option<Instant> {
        self.heard.max(self.last_check())
    }

    fn pair(&self, path: &Path) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.path == *path)
    }

    fn selected_pair(&self) -> Option<&Pair> {
        self.pair(self.selected.as_ref()?)
    }
}
