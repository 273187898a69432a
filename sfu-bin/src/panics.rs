//! A panic is one log line, like everything else that is logged, and is counted.
//!
//! The standard library would print several lines to stderr, whatever the log's format is. Where no error is logged, because the
//! log has not begun or a filter keeps errors out, it still does.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Panics of this process so far.
pub(crate) fn count() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Logs and counts panics from now on.
pub(crate) fn install() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        if !tracing::enabled!(tracing::Level::ERROR) {
            return before(info);
        }
        let current = thread::current();
        let thread = current.name().unwrap_or("unnamed");
        let location = info.location().map(ToString::to_string);
        let message = info.payload_as_str().unwrap_or("something that is no text");
        // Captured if RUST_BACKTRACE asks for it.
        let backtrace = Some(Backtrace::capture()).filter(|trace| trace.status() == BacktraceStatus::Captured);
        let backtrace = backtrace.map(|trace| trace.to_string());
        tracing::error!(thread, worker = worker(thread), location, backtrace, "panic: {message}");
    }));
}

/// The index of the worker whose thread has this name.
fn worker(thread: &str) -> Option<u64> {
    thread.strip_prefix("madang-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_known_by_their_threads() {
        assert_eq!([worker("madang-3"), worker("madang-tcp"), worker("tokio-rt-worker")], [Some(3), None, None]);
    }
}
