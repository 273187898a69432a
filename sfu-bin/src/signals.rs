//! Signals. Handlers are in place before anything else starts: a signal that comes during the start is kept until somebody
//! asks for it, and SIGHUP ends nobody's call, whether there is something to read again or not.
//!
//! SIGPIPE is ignored by Rust's runtime: writing to a pipe that nobody reads is an error there.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Handlers for all signals that mean something.
pub(crate) fn install() -> io::Result<(Stop, Hangup)> {
    Ok((Stop::install()?, Hangup::install()?))
}

/// SIGTERM, or SIGINT (Ctrl-C).
#[cfg(unix)]
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

#[cfg(unix)]
impl Stop {
    fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and names it.
    pub(crate) async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// SIGHUP: read again what can be read again.
#[cfg(unix)]
pub(crate) struct Hangup(Signal);

#[cfg(unix)]
impl Hangup {
    fn install() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one.
    pub(crate) async fn recv(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
pub(crate) struct Stop;

#[cfg(not(unix))]
impl Stop {
    fn install() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for the next one and names it.
    pub(crate) async fn recv(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
        "Ctrl-C"
    }
}

/// There is none.
#[cfg(not(unix))]
pub(crate) struct Hangup;

#[cfg(not(unix))]
impl Hangup {
    fn install() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for ever.
    pub(crate) async fn recv(&mut self) {
        std::future::pending().await
    }
}
