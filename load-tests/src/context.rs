//! What the members of a room and the run share: the epoch of all stamps, and whether the run is measuring.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::token::TokenMint;
use crate::whip::Endpoint;

/// How long a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Shared by everybody in a room.
pub struct Context {
    /// Time zero of stamps.
    pub epoch: Instant,
    /// The address that peers bind.
    pub local: IpAddr,
    /// Where publishers go.
    pub whip: Endpoint,
    /// Where viewers go.
    pub whep: Endpoint,
    /// Who signs their tokens.
    pub mint: TokenMint,
    measuring: Arc<AtomicBool>,
}

impl Context {
    /// Not measuring yet; the epoch is now.
    pub fn new(local: IpAddr, whip: Endpoint, whep: Endpoint, mint: TokenMint) -> Self {
        Self { epoch: Instant::now(), local, whip, whep, mint, measuring: Arc::default() }
    }

    /// Another room of the same run: its stamps count from the same time, and it is measured when this one is.
    pub fn with_room(&self, whip: Endpoint, whep: Endpoint, mint: TokenMint) -> Self {
        Self { epoch: self.epoch, local: self.local, whip, whep, mint, measuring: Arc::clone(&self.measuring) }
    }

    /// The switch itself, for threads that look at it per packet.
    pub fn measuring_switch(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.measuring)
    }

    /// Whether frames made now are measured.
    pub fn measuring(&self) -> bool {
        self.measuring.load(Ordering::Relaxed)
    }

    /// Begins or ends measuring, with the next frame of each publisher.
    pub fn set_measuring(&self, measuring: bool) {
        self.measuring.store(measuring, Ordering::Relaxed);
    }

    /// Microseconds since the epoch.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
