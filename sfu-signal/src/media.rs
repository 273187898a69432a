//! The way to the media plane: commands that must arrive, and requests that wait for their event.
//!
//! [`MediaPlane::send`] never blocks and may refuse. A *request* that is refused fails, and its client may try again.
//! What must not be lost (a leave above all) is *posted*: it waits in a backlog, in order per worker, until there is room.
//! A worker that lost its rooms answers nothing of what it was asked before: those requests fail at once.

use std::collections::{BTreeMap, VecDeque};
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
    pending: DashMap<u64, (WorkerIndex, oneshot::Sender<Event>)>,
    /// By worker; none is empty.
    backlog: Mutex<BTreeMap<WorkerIndex, VecDeque<Build>>>,
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
        if backlog.contains_key(&worker) || self.plane.send(worker, build()).is_err() {
            backlog.entry(worker).or_default().push_back(Box::new(build));
        }
    }

    /// Sends a command that may fail.
    pub(crate) fn send(&self, worker: WorkerIndex, command: Command) -> Result<(), SignalError> {
        if self.backlog.lock().contains_key(&worker) {
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
        self.pending.insert(request.0, (worker, sender));
        let answer = Answer { link: self, request, receiver };
        self.send(worker, build(request))?;
        Ok(answer)
    }

    /// Hands an answer to whoever waits for it.
    pub(crate) fn complete(&self, request: RequestId, event: Event) {
        if let Some((_, (_, sender))) = self.pending.remove(&request.0) {
            // Whoever asked may have given up.
            let _ = sender.send(event);
        }
    }

    /// A worker lost its rooms: whoever waits for its answer is told so.
    pub(crate) fn fail(&self, worker: WorkerIndex) {
        // Dropping the sender ends the wait.
        self.pending.retain(|_, (asked, _)| *asked != worker);
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&self) {
        self.backlog.lock().retain(|worker, waiting| {
            while let Some(build) = waiting.front() {
                if self.plane.send(*worker, build()).is_err() {
                    break;
                }
                waiting.pop_front();
            }
            !waiting.is_empty()
        });
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
            Ok(Err(_)) => Err(ErrorCode::MediaRestarted.into()),
            Err(_) => Err(ErrorCode::MediaTimeout.into()),
        }
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.link.pending.remove(&self.request.0);
    }
}

#[cfg(test)]
mod tests {
    use sfu_core::id::ParticipantId;

    use super::*;

    /// A media plane whose workers are full, and what the others took.
    #[derive(Default)]
    struct Plane {
        full: Mutex<Vec<WorkerIndex>>,
        taken: Mutex<Vec<(WorkerIndex, ParticipantId)>>,
    }

    impl MediaPlane for Plane {
        fn send(&self, worker: WorkerIndex, command: Command) -> Result<(), Busy> {
            if self.full.lock().contains(&worker) {
                return Err(Busy);
            }
            if let Command::Leave { participant } = command {
                self.taken.lock().push((worker, participant));
            }
            Ok(())
        }

        fn pick_worker(&self, _: &[WorkerIndex]) -> Option<WorkerIndex> {
            None
        }
    }

    /// Red if what waits for one worker waits for another, whatever their indexes, or changes its order.
    #[test]
    fn what_waits_for_a_worker_holds_up_no_other() {
        let plane = Arc::new(Plane::default());
        let link = MediaLink::new(plane.clone());
        *plane.full.lock() = vec![3, 131];
        let id = |number| ParticipantId::from_bytes([number; 12]);
        for (worker, number) in [(3, 1), (131, 2), (3, 3), (131, 4)] {
            link.post(worker, move || Command::Leave { participant: id(number) });
        }
        *plane.full.lock() = vec![3];
        link.flush();
        assert_eq!(*plane.taken.lock(), [(131, id(2)), (131, id(4))]);
        assert!(link.send(131, Command::Leave { participant: id(5) }).is_ok());
        let refused = link.send(3, Command::Leave { participant: id(6) });
        assert_eq!(refused.unwrap_err().code, ErrorCode::ServerBusy, "it would overtake");
        plane.full.lock().clear();
        link.flush();
        assert_eq!(plane.taken.lock()[3..], [(3, id(1)), (3, id(3))]);
    }

    #[tokio::test]
    async fn requests_to_a_worker_that_lost_its_rooms_fail_at_once() {
        let link = MediaLink::new(Arc::new(Plane::default()));
        let stats = |request| Command::Stats { request, participant: ParticipantId::from_bytes([0; 12]) };
        let (lost, other) = (link.request(0, stats).unwrap(), link.request(1, stats).unwrap());
        link.fail(0);
        let began = std::time::Instant::now();
        assert_eq!(lost.wait().await.unwrap_err().code, ErrorCode::MediaRestarted);
        assert!(began.elapsed() < ANSWER_TIMEOUT / 2);
        link.complete(other.request, Event::PartOpened { request: other.request });
        assert!(other.wait().await.is_ok());
    }
}
