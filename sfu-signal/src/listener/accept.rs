//! The accept loop. It goes on whatever happens, and never spins.
//!
//! A process without a free descriptor cannot accept: the kernel keeps the newcomer, and reports an error each time it is asked.
//! Some duplicates of the listening socket are therefore kept as [spare](Spares) descriptors: one of them is closed, and the
//! newcomer is accepted in its place. The listener of the operator's probes serves it; a public one lets its oldest stranger end
//! for it, or refuses it, which is better than to let it hang.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

use super::Stage;
use super::serve::Service;
use super::table::Refusal;

/// Descriptors that a listener keeps for newcomers.
pub(super) const SPARES: usize = 4;

/// How long nothing is accepted after an error that spares did not help against.
const PAUSE: Duration = Duration::from_millis(50);

/// Descriptors that are kept by being used.
#[derive(Debug)]
pub(super) struct Spares {
    original: StdListener,
    held: Mutex<Vec<StdListener>>,
}

impl Spares {
    fn new(original: StdListener) -> Self {
        let spares = Self { original, held: Mutex::default() };
        spares.refill();
        spares
    }

    /// Takes as many as there should be, or as can be had.
    pub(super) fn refill(&self) {
        let mut held = self.held.lock();
        while held.len() < SPARES {
            match self.original.try_clone() {
                Ok(spare) => held.push(spare),
                Err(_) => break,
            }
        }
    }

    /// Closes one. False: there is none.
    fn give(&self) -> bool {
        self.held.lock().pop().is_some()
    }

    fn is_whole(&self) -> bool {
        self.held.lock().len() == SPARES
    }
}

/// One listening socket.
pub(super) struct Acceptor {
    listener: TcpListener,
    spares: Arc<Spares>,
    service: Arc<Service>,
}

impl Acceptor {
    pub(super) fn new(socket: StdListener, service: Arc<Service>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let spares = Arc::new(Spares::new(socket.try_clone()?));
        Ok(Self { listener: TcpListener::from_std(socket)?, spares, service })
    }

    /// Accepts until the listener closes.
    pub(super) async fn run(self) {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.welcome(stream, peer).await,
                    Err(error) => self.on_error(&error).await,
                },
                () = self.service.reached(Stage::Closing) => return,
            }
            // Whoever came before gets to say something before the next one comes.
            tokio::task::yield_now().await;
        }
    }

    async fn welcome(&self, stream: TcpStream, peer: SocketAddr) {
        self.spares.refill();
        // The descriptor of this newcomer was the last but the spares: another stranger ends for it.
        if !self.spares.is_whole() && !self.service.settings().uses_spares && !self.service.gate().relieve() {
            self.service.gate().counters.refused(Refusal::Descriptors);
            return;
        }
        if let Some(ticket) = self.service.admit(peer.ip()).await {
            tokio::spawn(self.service.clone().connection(stream, peer.ip(), ticket, self.spares.clone()));
        }
    }

    async fn on_error(&self, error: &io::Error) {
        // The newcomer is gone already: that is its own affair.
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            return;
        }
        if self.service.gate().counters.accept_error() {
            tracing::warn!(%error, "a connection cannot be accepted; raise the limit of open files (nofile)");
        }
        if self.spares.give() {
            return;
        }
        let freed = self.service.gate().freed.notified();
        self.service.gate().relieve();
        let _ = tokio::time::timeout(PAUSE, freed).await;
        self.spares.refill();
    }
}
