//! How much of its processor time a process has used up where a cgroup limits it, as Kubernetes' CPU limits do.
//!
//! A worker under a quota is half busy until the quota is spent, and then does not run at all: by its own account it goes from room
//! to spare to none at one step. The share of the quota that all threads together used rises like a load.
//!
//! Follows `Documentation/admin-guide/cgroup-v2.rst` (`cpu.max`) and `scheduler/sched-bwc.rst` (`cpu.cfs_quota_us`) of Linux. Read once:
//! a quota that is changed later is not seen.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// In processors; `None`: no limit, or none that is known.
    processors: Option<f64>,
    /// What the process had used when it was asked last.
    used: Duration,
}

impl Quota {
    /// Of the process that calls.
    pub(super) fn of_this_process() -> Self {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut quota = Self { processors: tightest(&groups, Path::new("/sys/fs/cgroup")), used: Duration::ZERO };
        quota.since_last();
        quota
    }

    /// The processor time that the process used since the last call, where the whole quota is one processor: zero without a
    /// quota. A system call.
    pub(super) fn since_last(&mut self) -> Duration {
        let Some((processors, used)) = self.processors.zip(process_time()) else { return Duration::ZERO };
        used.saturating_sub(std::mem::replace(&mut self.used, used)).div_f64(processors)
    }
}

#[cfg(target_os = "linux")]
fn process_time() -> Option<Duration> {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).ok().map(Duration::from)
}

#[cfg(not(target_os = "linux"))]
fn process_time() -> Option<Duration> {
    None
}

/// The smallest quota of the groups that `/proc/self/cgroup` names, and of those around them. In a container the names may be those
/// of the host, and what is mounted only the container's own: then the mount's root is what counts.
fn tightest(groups: &str, mount: &Path) -> Option<f64> {
    let quotas = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let roots = match controllers {
            "" => vec![mount.to_owned(), mount.join("unified")],
            _ if controllers.split(',').any(|name| name == "cpu") => vec![mount.join(controllers), mount.join("cpu")],
            _ => return None,
        };
        let group = Path::new(group.trim_start_matches('/'));
        let around = move |root: PathBuf| group.ancestors().map(move |group| root.join(group)).collect::<Vec<_>>();
        roots.into_iter().flat_map(around).filter_map(|group| quota_of(&group)).reduce(f64::min)
    });
    quotas.reduce(f64::min)
}

fn quota_of(group: &Path) -> Option<f64> {
    let read = |file: &str| std::fs::read_to_string(group.join(file)).ok();
    let text = read("cpu.max").or_else(|| Some(read("cpu.cfs_quota_us")? + &read("cpu.cfs_period_us")?))?;
    parse(&text)
}

/// Quota and period in microseconds; `max` and -1 are no limit.
fn parse(text: &str) -> Option<f64> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (quota, period) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read() {
        assert_eq!(
            [parse("20000 100000\n"), parse("-1\n100000\n"), parse("max 100000\n"), parse("")],
            [Some(0.2), None, None, None]
        );
    }

    #[test]
    fn the_tightest_of_the_groups_around_counts() {
        let mount = std::env::temp_dir().join(format!("madang-quota-{}", std::process::id()));
        let write = |file: &str, text: &str| {
            let path = mount.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("pods/one/cpu.max", "150000 100000\n");
        write("pods/cpu.max", "50000 100000\n");
        write("cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
        write("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
        assert_eq!(tightest("0::/pods/one\n", &mount), Some(0.5));
        assert_eq!(tightest("0::/elsewhere\n", &mount), None, "no quota at the root");
        assert_eq!(tightest("4:memory:/x\n2:cpu,cpuacct:/kubepods/of-the-host\n", &mount), Some(2.0));
        std::fs::remove_dir_all(&mount).unwrap();
    }

    /// Whoever computes uses up its quota, and twice as fast half of one.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_used_is_a_share_of_the_quota() {
        let mut quota = Quota { processors: Some(0.5), used: Duration::ZERO };
        quota.since_last();
        let before = process_time().unwrap();
        while process_time().unwrap() - before < Duration::from_millis(20) {}
        assert!(quota.since_last() >= Duration::from_millis(40));
        assert_eq!(Quota::default().since_last(), Duration::ZERO, "no quota");
    }
}
