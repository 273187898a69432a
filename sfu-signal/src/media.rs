//! The way to the media plane: commands that must arrive, and requests that wait for their event.
//!
//! [`MediaPlane::send`] never blocks and may refuse. A *request* that is refused fails, and its client may try again.
//! What must not be lost (a leave above all) is *posted*: it waits in a backlog, in order per worker, until there is room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;
use sfu_core::control::{Command, Event, RequestId, WorkerIndex};
use tokio::sync::oneshot;

use crate::error::{ErrorCode, SignalError};

/// How long the media plane may take to answer. It answers within its next turn: more than this is a fault.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The media plane as the control plane sees it.
pub trait MediaPlane: Send + Sync {
    /// Hands a command to a worker's mailbox, without blocking.
    fn send(&self, worker: WorkerIndex, command: Command) -> Result<(), Busy>;
    /// The worker for a new room, or for a part of one that is on all of `except`; `None`: there is no other.
    fn pick_worker(&self, except: &[WorkerIndex]) -> Option<WorkerIndex>;
}

/// The worker's mailbox is full; the command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the worker's mailbox is full")]
pub struct Busy;

type Build = Box<dyn Fn() -> Command + Send>;

/// Commands out, answers in.
pub(crate) struct MediaLink {
    plane: Arc<dyn MediaPlane>,
    next_request: AtomicU64,
    pending: DashMap<u64, oneshot::Sender<Event>>,
    backlog: Mutex<VecDeque<(WorkerIndex, Build)>>,
}

impl MediaLink {
    pub(crate) fn new(plane: Arc<dyn MediaPlane>) -> Self {
        Self { plane, next_request: AtomicU64::new(1), pending: DashMap::new(), backlog: Mutex::default() }
    }

    pub(crate) fn pick_worker(&self, except: &[WorkerIndex]) -> Option<WorkerIndex> {
        self.plane.pick_worker(except)
    }

    /// Sends a command that must arrive, now or later.
    pub(crate) fn post(&self, worker: WorkerIndex, build: impl Fn() -> Command + Send + 'static) {
        let mut backlog = self.backlog.lock();
        let waiting = backlog.iter().any(|(other, _)| *other == worker);
        if waiting || self.plane.send(worker, build()).is_err() {
            backlog.push_back((worker, Box::new(build)));
        }
    }

    /// Sends a command that may fail.
    pub(crate) fn send(&self, worker: WorkerIndex, command: Command) -> Result<(), SignalError> {
        let waiting = self.backlog.lock().iter().any(|(other, _)| *other == worker);
        if waiting {
            return Err(ErrorCode::ServerBusy.into());
        }
        self.plane.send(worker, command).map_err(|Busy| ErrorCode::ServerBusy.into())
    }

    /// Sends a command that has an answer.
    pub(crate) fn request(
        &self,
        worker: WorkerIndex,
        build: impl FnOnce(RequestId) -> Command,
    ) -> Result<Answer<'_>, SignalError> {
        let request = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        self.pending.insert(request.0, sender);
        let answer = Answer { link: self, request, receiver };
        self.send(worker, build(request))?;
        Ok(answer)
    }

    /// Hands an answer to whoever waits for it.
    pub(crate) fn complete(&self, request: RequestId, event: Event) {
        if let Some((_, sender)) = self.pending.remove(&request.0) {
            // Whoever asked may have given up.
            let _ = sender.send(event);
        }
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&self) {
        let mut backlog = self.backlog.lock();
        let mut full = 0_u128;
        let waiting = std::mem::take(&mut *backlog);
        for (worker, build) in waiting {
            let bit = 1_u128 << (worker & 127);
            if full & bit != 0 || self.plane.send(worker, build()).is_err() {
                full |= bit;
                backlog.push_back((worker, build));
            }
        }
    }
}

/// An answer to come. Dropped, it is forgotten.
pub(crate) struct Answer<'a> {
    link: &'a MediaLink,
    request: RequestId,
    receiver: oneshot::Receiver<Event>,
}

impl Answer<'_> {
    pub(crate) async fn wait(mut self) -> Result<Event, SignalError> {
        match tokio::time::timeout(ANSWER_TIMEOUT, &mut self.receiver).await {
            Ok(Ok(event)) => Ok(event),
            _ => Err(ErrorCode::MediaTimeout.into()),
        }
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.link.pending.remove(&self.request.0);
    }
}
