//! How much of what the node gives the process is used: memory of its cgroup, and file descriptors.
//!
//! The kernel ends a process whose cgroup is out of memory, and with it all calls; without descriptors nobody can connect, not
//! even a probe. So joins are refused before ([`Watch`]); who is there stays.
//!
//! Memory: `memory.max` and `memory.current` of cgroup v2, `memory.limit_in_bytes` and `memory.usage_in_bytes` of v1, less the
//! page cache that the kernel can drop at any time, as the kubelet counts it. Each ancestor's limit counts, since each of them
//! can end the process: the fullest decides. Without a limit nothing is known, and nothing refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sfu_core::net::cgroup::{self, Version};
use sfu_signal::Server;

/// How often it is looked. A participant takes some hundred KiB: a storm of joins is noticed within a few MiB.
const INTERVAL: Duration = Duration::from_millis(200);

/// Joins are taken again once the usage is so much below the limit, in shares.
const RELIEF: f64 = 0.05;

/// A limit of cgroup v1 above this is none.
const UNLIMITED: u64 = 1 << 60;

/// What may run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Memory,
    Descriptors,
}

impl Resource {
    pub(crate) const ALL: [Self; 2] = [Self::Memory, Self::Descriptors];

    /// Its name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
        }
    }

    /// Its name in sentences.
    const fn words(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Descriptors => "file descriptors",
        }
    }
}

/// A node, as the files below a root tell of it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    root: PathBuf,
}

impl Node {
    /// The one that this process runs on.
    pub(crate) fn of_this_process() -> Self {
        Self { root: PathBuf::from("/") }
    }

    /// Used share of a resource, 0 to 1; `None`: there is no limit, or it cannot be read.
    pub(crate) fn usage(&self, resource: Resource) -> Option<f64> {
        match resource {
            Resource::Memory => self.memory(),
            Resource::Descriptors => self.descriptors(),
        }
    }

    fn memory(&self) -> Option<f64> {
        let of_group = |(version, group): (Version, PathBuf)| match version {
            Version::V1 => v1(&group),
            Version::V2 => v2(&group),
        };
        cgroup::groups(&self.root, "memory").into_iter().filter_map(of_group).max_by(f64::total_cmp)
    }

    fn descriptors(&self) -> Option<f64> {
        let limits = self.read("proc/self/limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
        let open = fs::read_dir(self.root.join("proc/self/fd")).ok()?.count();
        Some(open as f64 / limit.max(1) as f64)
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }
}

fn v2(group: &Path) -> Option<f64> {
    // Without a limit it says `max`.
    share(number(&group.join("memory.max"))?, number(&group.join("memory.current"))?, group, "inactive_file ")
}

fn v1(group: &Path) -> Option<f64> {
    let limit = number(&group.join("memory.limit_in_bytes"))?;
    share(limit, number(&group.join("memory.usage_in_bytes"))?, group, "total_inactive_file ")
}

fn share(limit: u64, used: u64, group: &Path, cache: &str) -> Option<f64> {
    let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse().ok()).unwrap_or(0);
    (limit > 0 && limit < UNLIMITED).then(|| used.saturating_sub(cached) as f64 / limit as f64)
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Of what the node is short.
#[derive(Debug, Default)]
struct Watch {
    short_of: Option<Resource>,
}

impl Watch {
    /// Takes what is used now; `limit` is the share from which on joins are refused. Returns whether the answer changed.
    fn on_usage(&mut self, usage: impl Fn(Resource) -> Option<f64>, limit: f64) -> bool {
        let is_short = |resource: &Resource| {
            let relief = if self.short_of == Some(*resource) { RELIEF } else { 0.0 };
            usage(*resource).is_some_and(|share| share >= limit - relief)
        };
        let short_of = Resource::ALL.into_iter().find(is_short);
        std::mem::replace(&mut self.short_of, short_of) != short_of
    }
}

/// Lets the server refuse joins while the node is short of something. `percent`: from this usage on; 100: never.
pub(crate) async fn watch(node: Node, server: Arc<Server>, percent: u8) {
    if percent >= 100 {
        return;
    }
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut watch = Watch::default();
    loop {
        ticks.tick().await;
        let look = node.clone();
        // Off the runtime's threads: listing ten thousand descriptors takes milliseconds.
        let looked = tokio::task::spawn_blocking(move || Resource::ALL.map(|resource| look.usage(resource)));
        let Ok(usage) = looked.await else { continue };
        if !watch.on_usage(|resource| usage[resource as usize], f64::from(percent) / 100.0) {
            continue;
        }
        server.set_short_of(watch.short_of.map(Resource::words));
        match watch.short_of {
            Some(resource) => {
                let used = usage[resource as usize];
                tracing::warn!(
                    resource = resource.as_str(),
                    used,
                    "the node is short of a resource; joins are refused"
                );
            }
            None => tracing::info!("the node is short of nothing; joins are taken"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root with these files.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("madang-node-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn usage(&self, resource: Resource) -> Option<f64> {
            Node { root: self.0.clone() }.usage(resource)
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_fullest_ancestor_of_cgroup_v2_decides() {
        let node = Fake::new(
            "v2",
            &[
                ("proc/self/cgroup", "0::/pods/madang/app\n"),
                ("sys/fs/cgroup/pods/memory.max", "1000\n"),
                ("sys/fs/cgroup/pods/memory.current", "300\n"),
                ("sys/fs/cgroup/pods/madang/memory.max", "400\n"),
                ("sys/fs/cgroup/pods/madang/memory.current", "350\n"),
                ("sys/fs/cgroup/pods/madang/memory.stat", "anon 9\ninactive_file 150\nactive_file 7\n"),
                ("sys/fs/cgroup/pods/madang/app/memory.max", "max\n"),
                ("sys/fs/cgroup/pods/madang/app/memory.current", "350\n"),
            ],
        );
        assert_eq!(node.usage(Resource::Memory), Some(0.5), "less what the kernel can drop");
    }

    #[test]
    fn a_container_sees_its_own_cgroup_as_the_root() {
        let node = Fake::new(
            "v1",
            &[
                ("proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1500"),
                ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
            ],
        );
        assert_eq!(node.usage(Resource::Memory), Some(0.7));
    }

    #[test]
    fn without_a_limit_nothing_is_known() {
        let none = [
            ("proc/self/cgroup", "4:memory:/\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1500"),
            ("sys/fs/cgroup/memory.max", "max"),
            ("sys/fs/cgroup/memory.current", "1500"),
        ];
        assert_eq!(Fake::new("none", &none).usage(Resource::Memory), None);
        assert_eq!(Fake::new("empty", &[]).usage(Resource::Memory), None);
        assert_eq!(Fake::new("no-limits", &[]).usage(Resource::Descriptors), None);
    }

    #[test]
    fn descriptors_are_counted_against_the_soft_limit() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            8                    524288               files\n";
        let node = Fake::new(
            "fds",
            &[("proc/self/limits", limits), ("proc/self/fd/0", ""), ("proc/self/fd/1", ""), ("proc/self/fd/2", "")],
        );
        assert_eq!(node.usage(Resource::Descriptors), Some(0.375));
    }

    #[test]
    fn joins_are_refused_from_the_limit_on_and_taken_again_below_it() {
        let mut watch = Watch::default();
        let mut at = |memory: f64, descriptors: f64| {
            let usage = |resource| Some(if resource == Resource::Memory { memory } else { descriptors });
            let changed = watch.on_usage(usage, 0.85);
            (changed, watch.short_of)
        };
        assert_eq!(at(0.84, 0.1), (false, None));
        assert_eq!(at(0.85, 0.1), (true, Some(Resource::Memory)));
        assert_eq!(at(0.81, 0.1), (false, Some(Resource::Memory)));
        assert_eq!(at(0.79, 0.9), (true, Some(Resource::Descriptors)));
        assert_eq!(at(0.79, 0.1), (true, None));
    }
}
