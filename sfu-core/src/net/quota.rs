//! How long a CPU quota kept this process from running, as its control groups count it (`cpu.stat`).
//!
//! The quota may be that of any group above the process's own: a pod's, a slice's. In groups of version 2 the line is
//! `throttled_usec`, in those of version 1 `throttled_time`, in nanoseconds. Each counts for every processor, so that the sum is
//! an upper bound for one thread. Where there are no groups, there is no quota.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::cgroup;
use super::schedule::read_at_start;

/// Groups that are followed, from the process's own upwards.
const MAX_GROUPS: usize = 16;

/// Follows the groups of this process.
#[derive(Debug, Default)]
pub(super) struct Quota {
    groups: Vec<File>,
    /// What had been counted when it was read last.
    counted: Duration,
}

impl Quota {
    /// Of this process.
    pub(super) fn of_this_process() -> Self {
        let groups = cgroup::groups(Path::new("/"), "cpu").into_iter();
        let groups = groups.filter_map(|(_, path)| File::open(path.join("cpu.stat")).ok()).take(MAX_GROUPS).collect();
        let mut quota = Self { groups, counted: Duration::ZERO };
        quota.throttled();
        quota
    }

    /// For how long the process was throttled since the last call. A system call for each group.
    pub(super) fn throttled(&mut self) -> Duration {
        let groups = self.groups.iter().filter_map(read_at_start);
        let counted: Duration = groups.filter_map(|text| parse(&text)).sum();
        counted.saturating_sub(std::mem::replace(&mut self.counted, counted))
    }
}

/// The throttled time.
fn parse(text: &str) -> Option<Duration> {
    let value = |name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    value("throttled_usec ").map(Duration::from_micros).or_else(|| value("throttled_time ").map(Duration::from_nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttled_time_of_both_versions() {
        let two = "usage_usec 8\nnr_periods 5\nnr_throttled 2\nthrottled_usec 1500\nnr_bursts 0\n";
        assert_eq!(parse(two), Some(Duration::from_micros(1_500)));
        assert_eq!(parse("nr_periods 1\nnr_throttled 1\nthrottled_time 2500\n"), Some(Duration::from_nanos(2_500)));
        assert_eq!(parse("usage_usec 8\n"), None);
    }

    /// A group that throttles is followed by what its file says.
    #[test]
    fn what_a_file_counts_is_told_once() {
        let path = std::env::temp_dir().join(format!("madang-quota-{}", std::process::id()));
        std::fs::write(&path, "throttled_usec 100\n").unwrap();
        let mut quota = Quota { groups: vec![File::open(&path).unwrap()], counted: Duration::ZERO };
        assert_eq!(quota.throttled(), Duration::from_micros(100));
        assert_eq!(quota.throttled(), Duration::ZERO);
        std::fs::write(&path, "throttled_usec 350\n").unwrap();
        assert_eq!(quota.throttled(), Duration::from_micros(250));
        std::fs::remove_file(&path).unwrap();
    }
}
