//! How a worker fares: how often it lost its rooms to a panic, and whether new rooms may go there.
//!
//! A worker that panicked goes on with an empty engine. For [`PROBATION`] afterwards it is the last choice for new rooms;
//! when it panics [`MOST_PANICS`] times within that time it is out of service for the rest of the process' life, since
//! whatever makes it panic comes back with the rooms.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For so long after a panic other workers are preferred.
const PROBATION: Duration = Duration::from_secs(60);

/// So many panics within [`PROBATION`] take a worker out of service.
const MOST_PANICS: usize = 3;

/// Written by the worker, read by others.
#[derive(Debug, Clone, Default)]
pub(super) struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    restarts: u64,
    /// When it panicked, as far as that is within [`PROBATION`] of the last time.
    panics: VecDeque<Instant>,
    retired: bool,
}

/// What becomes of a worker that panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on with an empty engine.
    Restart,
    /// It is out of service.
    Retire,
}

impl Health {
    /// The worker panicked.
    pub(super) fn on_panic(&self, now: Instant) -> Verdict {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.panics.retain(|at| now.saturating_duration_since(*at) < PROBATION);
        state.panics.push_back(now);
        state.retired |= state.panics.len() >= MOST_PANICS;
        if state.retired {
            return Verdict::Retire;
        }
        state.restarts += 1;
        Verdict::Restart
    }

    /// The worker cannot go on.
    pub(super) fn retire(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retired = true;
    }

    /// How often it went on with an empty engine.
    pub(super) fn restarts(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).restarts
    }

    /// Whether rooms may go there.
    pub(super) fn is_in_service(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).retired
    }

    /// Whether it panicked a short time ago.
    pub(super) fn is_on_probation(&self, now: Instant) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.panics.back().is_some_and(|at| now.saturating_duration_since(*at) < PROBATION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_on_probation_and_out_of_service_when_it_panics_again_and_again() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let health = Health::default();
        assert!(!health.is_on_probation(start) && health.is_in_service());
        assert_eq!(health.on_panic(start), Verdict::Restart);
        assert_eq!(health.on_panic(start + 30 * second), Verdict::Restart);
        assert_eq!(health.on_panic(start + 61 * second), Verdict::Restart, "the first is history");
        assert!(health.is_on_probation(start + 120 * second) && !health.is_on_probation(start + 121 * second));
        assert_eq!((health.restarts(), health.is_in_service()), (3, true));
        assert_eq!(health.on_panic(start + 89 * second), Verdict::Retire);
        assert_eq!(health.on_panic(start + 900 * second), Verdict::Retire, "for good");
        assert_eq!((health.restarts(), health.is_in_service()), (3, false));
    }
}
