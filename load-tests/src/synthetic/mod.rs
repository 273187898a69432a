//! Light participants: thousands of them in few threads, with real ICE, DTLS and SRTP and real RTP, on `sfu-core`'s
//! sans-IO parts in the client's role.
//!
//! An [`Engine`] owns the threads. Signalling happens elsewhere and ends in a [`Setup`], which an engine turns into
//! packets. One [`participant`] has a [`socket`], a [`session`] (ICE and DTLS), a [`sender`] and a [`receiver`]; the
//! loop of a thread is [`driver`]. What they count is read by [`Engine::collect`] at any time.
//!
//! They speak through the same cryptography and packet formats as the server, so a share of every run should be peers of
//! the `webrtc` crate ([`crate::peer`]), which share nothing with it.

mod driver;
pub mod frames;
pub mod link;
pub mod outgoing;
mod participant;
pub mod receiver;
pub mod sdp;
pub mod sender;
pub mod session;
pub mod socket;
pub mod totals;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::Context as _;
use mio::Waker;
use tokio::sync::oneshot;

use crate::stamp::Kind;
pub use driver::Id;
use driver::{Driver, Request};
pub use participant::{Progress, Receiving, Sending, Setup};
pub use sender::Speech;
pub use session::Identity;
use totals::Totals;

/// What all threads must know.
#[derive(Debug)]
pub struct Settings {
    /// Time zero of stamps.
    pub epoch: Instant,
    /// One packet in so many is opened.
    pub open_every: u16,
    /// Whether the window is open.
    pub measuring: Arc<AtomicBool>,
}

struct Thread {
    requests: mpsc::Sender<Request>,
    waker: Waker,
}

/// The threads. They end when it is dropped.
pub struct Engine {
    threads: Vec<Thread>,
    next: AtomicU32,
    identity: Identity,
}

impl Engine {
    /// Starts `threads` threads.
    pub fn start(threads: usize, settings: Settings) -> anyhow::Result<Self> {
        let (settings, identity) = (Arc::new(settings), Identity::generate()?);
        let thread = |index: usize| -> anyhow::Result<Thread> {
            let (requests, mailbox) = mpsc::channel();
            let (driver, waker) = Driver::new(Arc::clone(&settings), identity.clone(), mailbox)?;
            std::thread::Builder::new().name(format!("participants-{index}")).spawn(move || {
                // Its requests are refused from then on, which ends the run with an error.
                let _ = driver.run();
            })?;
            Ok(Thread { requests, waker })
        };
        let threads = (0..threads.max(1)).map(thread).collect::<anyhow::Result<_>>()?;
        Ok(Self { threads, next: AtomicU32::new(0), identity })
    }

    /// What offers say of our certificate.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Starts a participant.
    pub fn add(&self, setup: Setup) -> anyhow::Result<Id> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.ask(self.thread_of(id), Request::Add(id, Box::new(setup)))?;
        Ok(id)
    }

    /// Ends a participant.
    pub fn remove(&self, id: Id) -> anyhow::Result<()> {
        self.ask(self.thread_of(id), Request::Remove(id))
    }

    /// Stops or starts a track.
    pub fn set_muted(&self, id: Id, kind: Kind, muted: bool) -> anyhow::Result<()> {
        self.ask(self.thread_of(id), Request::Mute(id, kind, muted))
    }

    /// What all threads have counted so far.
    pub async fn collect(&self) -> anyhow::Result<Totals> {
        let mut all = Totals::default();
        for thread in &self.threads {
            let (reply, totals) = oneshot::channel();
            self.ask(thread, Request::Collect(reply))?;
            all.merge(&totals.await.context("a thread of participants has ended")?);
        }
        Ok(all)
    }

    fn thread_of(&self, id: Id) -> &Thread {
        &self.threads[id as usize % self.threads.len()]
    }

    fn ask(&self, thread: &Thread, request: Request) -> anyhow::Result<()> {
        thread.requests.send(request).ok().context("a thread of participants has ended")?;
        Ok(thread.waker.wake()?)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for Thread { requests, waker } in self.threads.drain(..) {
            drop(requests);
            // A thread that cannot be woken looks at its mailbox within half a second.
            let _ = waker.wake();
        }
    }
}
