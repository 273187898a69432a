//! The limit of open files, and who may have how many of them.
//!
//! Shells and service managers start programs with a soft limit of 1,024, which select(2) once needed; the hard limit is what the
//! operator allows. The soft limit is raised to it. What is left after the media threads and files is shared by halves between
//! connections of HTTP and of ICE-TCP: where UDP is blocked, a participant has one of each.

/// Descriptors beside connections: files, the runtime, the operator's listener, the spares of listeners.
const OTHERS: u64 = 64;
/// Descriptors of one media thread.
const PER_WORKER: u64 = 8;
/// Some containers have a hard limit of a billion; nobody needs more than this.
#[cfg(unix)]
const MOST: u64 = 1 << 20;

/// Raises the soft limit to the hard one, says both, and returns it.
#[cfg(unix)]
pub(crate) fn raise() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let wanted = hard.min(MOST).max(soft);
    let raised = wanted == soft || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok();
    let limit = if raised { wanted } else { soft };
    tracing::info!(soft, hard, now = limit, "limit of open files (nofile)");
    limit
}

/// There is no such limit to raise.
#[cfg(not(unix))]
pub(crate) fn raise() -> u64 {
    u64::from(u16::MAX)
}

/// How many connections the HTTP port may have.
pub(crate) fn for_http(limit: u64, workers: usize) -> usize {
    let others = OTHERS + PER_WORKER * workers as u64;
    usize::try_from(limit.saturating_sub(others) / 2).unwrap_or(usize::MAX).max(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_half_of_what_is_left() {
        assert_eq!(for_http(1024, 4), (1024 - 64 - 32) / 2);
        assert_eq!(for_http(64, 64), 16, "a server that can serve nobody would be no use");
    }
}
