//! The control plane as a whole: its rooms, who is in them, and what must happen in time.
//!
//! Locks: a room's lock may be held while an index below is touched, never the other way round.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use sfu_core::control::{Command, Event, WorkerIndex};
use sfu_core::id::{ParticipantId, RoomId, SessionId};
use tokio::sync::{mpsc, watch};
use tokio_websockets::CloseCode;

use crate::body::Budget;
use crate::config::SignalConfig;
use crate::counters::{Counters, Snapshot, add};
use crate::error::{ErrorCode, SignalError};
use crate::media::{MediaLink, MediaPlane};
use crate::participant::{Door, Member};
use crate::protocol::{LeaveReason, RoomEvent};
use crate::room::{Room, RoomState};
use crate::tokens::{Claims, Keyring, unix_now};

/// A token with so many seconds left is refreshed; one that lives long, earlier: in the last fifth of its life.
const TOKEN_MARGIN: u64 = 30;

/// How often sessions and rooms are looked over, and refused commands sent again.
const TICK: Duration = Duration::from_millis(100);

/// How long one room's lock is waited for when all are looked over.
const SWEEP_PATIENCE: Duration = Duration::from_millis(2);

/// A control plane that has not looked at its rooms for so long is stuck. It does so ten times a second.
const STUCK: Duration = Duration::from_secs(10);

/// The control plane.
pub struct Server {
    pub(crate) config: SignalConfig,
    pub(crate) keyring: Keyring,
    pub(crate) media: MediaLink,
    pub(crate) counters: Counters,
    /// HTTP bodies under way.
    pub(crate) bodies: Budget,
    pub(crate) rooms: DashMap<String, Arc<Room>>,
    pub(crate) rooms_by_id: DashMap<RoomId, Arc<Room>>,
    pub(crate) participants: DashMap<ParticipantId, Arc<Room>>,
    pub(crate) sessions: DashMap<SessionId, (Arc<Room>, ParticipantId)>,
    running: AtomicBool,
    draining: watch::Sender<bool>,
    pub(crate) heartbeat: Mutex<Instant>,
    /// What the node is short of.
    short_of: Mutex<Option<&'static str>>,
    #[cfg(debug_assertions)]
    panics: AtomicBool,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("rooms", &self.rooms.len()).finish_non_exhaustive()
    }
}

impl Server {
    /// A control plane over this media plane. It answers once [`Server::run`] runs.
    pub fn new(config: SignalConfig, media: Arc<dyn MediaPlane>) -> Arc<Self> {
        Arc::new(Self {
            keyring: Keyring::new(&config.keys, config.sessions.token_leeway),
            bodies: Budget::new(config.http.body_budget),
            config,
            media: MediaLink::new(media),
            counters: Counters::default(),
            rooms: DashMap::new(),
            rooms_by_id: DashMap::new(),
            participants: DashMap::new(),
            sessions: DashMap::new(),
            running: AtomicBool::new(false),
            draining: watch::Sender::new(false),
            heartbeat: Mutex::new(Instant::now()),
            short_of: Mutex::new(None),
            #[cfg(debug_assertions)]
            panics: AtomicBool::new(false),
        })
    }

    /// The API of port 7880: `/v1/rtc`, `/v1/rooms/{room}/explain`, `/whip`, `/whep`, and `/dev/token` in dev mode.
    pub fn router(self: &Arc<Self>) -> axum::Router {
        crate::http::router(self.clone())
    }

    /// Whether joins are taken.
    pub fn is_ready(&self) -> bool {
        self.running.load(Ordering::Relaxed) && !self.is_draining()
    }

    /// Refuses joins while the node is short of something, which is named in the error; who is there stays. `None`: it is not.
    pub fn set_short_of(&self, resource: Option<&'static str>) {
        *self.short_of.lock() = resource;
    }

    /// Whether joins are taken: not while the node is short of something.
    pub(crate) fn admit_join(&self) -> Result<(), SignalError> {
        if !self.is_ready() {
            return Err(ErrorCode::ShuttingDown.into());
        }
        match *self.short_of.lock() {
            Some(resource) => {
                let text = format!("the server is short of {resource}: try again later, or on another server");
                Err(SignalError::new(ErrorCode::ServerBusy, text))
            }
            None => Ok(()),
        }
    }

    /// The counters now.
    pub fn counters(&self) -> Snapshot {
        self.counters.snapshot(self.rooms.len(), self.participants.len(), self.bodies.used())
    }

    /// The API keys, for minting tokens.
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Resolves when the server stops.
    pub(crate) async fn when_draining(&self) {
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = self.draining.subscribe().wait_for(|draining| *draining).await;
    }

    /// False once [`Server::run`] has done nothing for 10 s: it ended, or hangs.
    pub fn is_alive(&self) -> bool {
        self.heartbeat.lock().elapsed() < STUCK
    }

    /// Lets [`Server::run`] panic, so that tests see what follows from that. Release builds cannot.
    #[cfg(debug_assertions)]
    pub fn panic_soon(&self) {
        self.panics.store(true, Ordering::Relaxed);
    }

    /// Handles the media plane's events and what must happen in time, until the media plane ends.
    pub async fn run(self: Arc<Self>, mut events: mpsc::Receiver<Event>) {
        self.running.store(true, Ordering::Relaxed);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.on_event(event),
                    None => break,
                },
                _ = tick.tick() => self.sweep(Instant::now()),
            }
            #[cfg(debug_assertions)]
            assert!(!self.panics.load(Ordering::Relaxed), "a test asked for it");
            *self.heartbeat.lock() = Instant::now();
        }
        self.running.store(false, Ordering::Relaxed);
    }

    /// Takes no more joins, tells every client, ends every session, and returns when all WebSockets are closed or
    /// `deadline` has passed.
    pub async fn shutdown(&self, deadline: Duration) {
        self.draining.send_replace(true);
        let until = Instant::now() + deadline;
        for room in self.all_rooms() {
            self.close_room(&room, &mut room.state.lock(), LeaveReason::ServerShutdown, "the server stops");
        }
        while Instant::now() < until && self.counters().websockets > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The room that a token names. It is created if that is allowed.
    pub(crate) fn room_for(&self, claims: &Claims) -> Result<Arc<Room>, SignalError> {
        let name = claims.joinable_room()?;
        if let Some(room) = self.rooms.get(name) {
            return Ok(room.clone());
        }
        if !self.config.rooms.auto_create && !claims.video.room_create {
            return Err(ErrorCode::RoomNotFound.into());
        }
        let room = self.rooms.entry(name.to_owned()).or_try_insert_with(|| {
            let worker = self.media.pick_worker(&[]).ok_or(ErrorCode::ServerBusy)?;
            let room = Room::new(RoomId::random(&mut rand::rng()), name, worker, Instant::now());
            self.media.send(worker, Command::OpenRoom { room: room.id })?;
            tracing::info!(room = %room.id, worker, "room opened");
            let room = Arc::new(room);
            self.rooms_by_id.insert(room.id, room.clone());
            Ok::<_, SignalError>(room)
        })?;
        Ok(room.clone())
    }

    /// Opens a further part of a room that has outgrown its workers. Where that fails, the room stays as it is.
    pub(crate) async fn widen(&self, room: &Room) {
        let (worker, others) = {
            let mut state = room.state.lock();
            if state.closed || !state.parts.wants_another(self.config.rooms.participants_per_worker) {
                return;
            }
            let used: Vec<_> = state.parts.workers().collect();
            let worker = self.media.pick_worker(&used);
            let Some((worker, others)) = worker.zip(state.parts.begin(worker)) else { return };
            (worker, others)
        };
        let opened = match self.media.request(worker, |request| Command::OpenPart { request, room: room.id, others }) {
            Ok(answer) => answer.wait().await.is_ok(),
            Err(_) => false,
        };
        let mut state = room.state.lock();
        if state.parts.end(worker, opened) {
            tracing::info!(room = %room.id, worker, "room spread to a further worker");
        } else {
            let id = room.id;
            self.media.post(worker, move || Command::CloseRoom { room: id });
        }
    }

    /// A worker lost its rooms: who lived there must join again. A room that has parts elsewhere goes on with those; any other
    /// is closed, so that its name is free for a new room at once.
    pub(crate) fn on_rooms_lost(&self, worker: WorkerIndex) {
        const MESSAGE: &str = "the media thread of the room failed; join again";
        self.media.fail(worker);
        for room in self.all_rooms() {
            let mut state = room.state.lock();
            if !state.parts.lose(worker) {
                continue;
            }
            // What was sent there after the loss is taken back.
            let id = room.id;
            self.media.post(worker, move || Command::CloseRoom { room: id });
            let lived_there = |member: &&Member| member.worker == worker;
            let gone: Vec<_> = state.members.values().filter(lived_there).map(|member| member.id).collect();
            tracing::warn!(room = %id, worker, participants = gone.len(), "the room lost its place on a worker");
            self.remove_all(&room, &mut state, &gone, LeaveReason::MediaRestarted, MESSAGE);
            if state.parts.is_empty() {
                self.close_room(&room, &mut state, LeaveReason::MediaRestarted, MESSAGE);
            }
        }
    }

    /// Removes a participant, here and in the media plane.
    pub(crate) fn remove(&self, room: &Room, id: ParticipantId, reason: LeaveReason, message: &str) -> bool {
        self.remove_locked(room, &mut room.state.lock(), id, reason, message)
    }

    pub(crate) fn remove_locked(
        &self,
        room: &Room,
        state: &mut RoomState,
        id: ParticipantId,
        reason: LeaveReason,
        message: &str,
    ) -> bool {
        let now = Instant::now();
        if reason != LeaveReason::Left {
            state.tell(id, &self.farewell(reason, message), now);
        }
        let Some(member) = state.remove(id, reason, now) else { return false };
        self.participants.remove(&id);
        self.sessions.remove(&member.session.id());
        self.media.post(member.worker, move || Command::Leave { participant: id });
        self.end_link(&member, reason);
        if member.phase == crate::participant::Phase::Present {
            add(&self.counters.leaves, 1);
        }
        if let Some(since) = member.awaits_media {
            self.counters.on_gone_without_media(now.saturating_duration_since(since), reason);
        }
        tracing::info!(participant = %id, room = %room.id, ?reason, why = message, "participant left");
        true
    }

    /// Removes many at once. They are not told of each other: of a thousand that would be a million events.
    fn remove_all(
        &self,
        room: &Room,
        state: &mut RoomState,
        ids: &[ParticipantId],
        reason: LeaveReason,
        message: &str,
    ) {
        let now = Instant::now();
        for id in ids {
            state.tell(*id, &self.farewell(reason, message), now);
            if let Some(member) = state.members.get_mut(id) {
                member.listening = false;
            }
        }
        for id in ids {
            self.remove_locked(room, state, *id, reason, message);
        }
    }

    fn farewell(&self, reason: LeaveReason, message: &str) -> RoomEvent {
        let retry_after_ms = (reason == LeaveReason::ServerShutdown)
            .then(|| u64::try_from(self.config.sessions.retry_after.as_millis()).unwrap_or(u64::MAX));
        RoomEvent::Disconnected { reason, message: message.to_owned(), retry_after_ms }
    }

    fn end_link(&self, member: &Member, reason: LeaveReason) {
        // A client that left waits for the reply to its request: `leave` closes after that.
        let Some(link) = member.session.link().filter(|_| reason != LeaveReason::Left) else { return };
        match reason {
            LeaveReason::ServerShutdown => link.close(CloseCode::GOING_AWAY, "the server stops"),
            LeaveReason::ProtocolError => link.close(CloseCode::POLICY_VIOLATION, "a limit was broken"),
            _ => link.close(CloseCode::NORMAL_CLOSURE, "the session ended"),
        }
    }

    fn close_room(&self, room: &Room, state: &mut RoomState, reason: LeaveReason, message: &str) {
        let members: Vec<_> = state.members.keys().copied().collect();
        self.remove_all(room, state, &members, reason, message);
        state.closed = true;
        let id = room.id;
        for worker in state.parts.workers() {
            self.media.post(worker, move || Command::CloseRoom { room: id });
        }
        self.rooms.remove_if(&room.name, |_, other| other.id == id);
        self.rooms_by_id.remove(&id);
        tracing::info!(room = %id, ?reason, "room closed");
    }

    fn all_rooms(&self) -> Vec<Arc<Room>> {
        self.rooms.iter().map(|entry| entry.value().clone()).collect()
    }

    /// Ends sessions that were not resumed in time, closes rooms that stayed empty, refreshes tokens.
    fn sweep(&self, now: Instant) {
        self.media.flush();
        for room in self.all_rooms() {
            // A room that is busy is looked over with the next tick.
            let Some(mut state) = room.state.try_lock_for(SWEEP_PATIENCE) else { continue };
            add(&self.counters.slow_clients, std::mem::take(&mut state.slow));
            for (id, reason, message) in self.overdue(&state, now) {
                self.remove_locked(&room, &mut state, id, reason, message);
            }
            self.refresh_tokens(&mut state, now);
            state.tell_updated(now);
            state.refresh_live();
            let empty = state.empty_since.is_some_and(|since| now - since >= self.config.rooms.empty_timeout);
            if empty && !state.closed {
                self.close_room(&room, &mut state, LeaveReason::RoomClosed, "the room was empty");
            }
        }
    }

    /// Who must go: by signalling those who have some, by their media path those who have nothing else.
    fn overdue(&self, state: &RoomState, now: Instant) -> Vec<(ParticipantId, LeaveReason, &'static str)> {
        let sessions = &self.config.sessions;
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let overdue = |member: &Member| match member.door {
            Door::WebSocket => {
                let lost = since(member.session.lost_at()).is_some_and(|lost| lost >= sessions.resume_grace);
                lost.then_some((member.id, LeaveReason::SignalLost, "the session was not resumed in time"))
            }
            Door::Whip | Door::Whep => {
                let lost = since(member.interrupted).is_some_and(|lost| lost >= sessions.interruption_grace);
                lost.then_some((member.id, LeaveReason::MediaFailed, "the media path was interrupted"))
            }
        };
        state.members.values().filter_map(overdue).collect()
    }

    /// Sends a fresh token to whoever's is about to expire, so that a client that must join anew can.
    fn refresh_tokens(&self, state: &mut RoomState, now: Instant) {
        let unix = unix_now().as_secs();
        let mut fresh = Vec::new();
        for member in state.members.values_mut().filter(|member| member.listening && member.door == Door::WebSocket) {
            let life = member.token_life;
            let left = member.claims.exp.saturating_sub(unix);
            if left > 0 && left <= (life / 5).max(TOKEN_MARGIN) {
                let exp = unix + life.max(2 * TOKEN_MARGIN);
                let renewed = Claims { nbf: Some(unix), exp, ..member.claims.clone() };
                member.claims.exp = exp;
                fresh.extend(self.keyring.mint(&renewed).ok().map(|token| (member.id, token)));
            }
        }
        for (id, token) in fresh {
            state.tell(id, &RoomEvent::Token { token }, now);
        }
    }
}
