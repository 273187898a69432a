//! The control groups of this process that have a controller: its own and all above it, since the limit of each counts.

use std::path::{Path, PathBuf};

/// Which of the two interfaces of the kernel a group's files have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller.
    V1,
    /// One hierarchy.
    V2,
}

/// Where the groups of `/proc/self/cgroup` with this controller may be, from the process's own upwards; `root` is that of the file
/// system. In a container the path may be that of the host, and the mount's root the container's own group: not all exist.
pub fn groups(root: &Path, controller: &str) -> Vec<(Version, PathBuf)> {
    let memberships = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    find(&memberships, &root.join("sys/fs/cgroup"), controller)
}

fn find(memberships: &str, root: &Path, controller: &str) -> Vec<(Version, PathBuf)> {
    let mut found = Vec::new();
    for line in memberships.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (version, mut mounts) = match controllers {
            "" => (Version::V2, vec![root.to_owned()]),
            _ if controllers.split(',').any(|name| name == controller) => {
                (Version::V1, vec![root.join(controllers), root.join(controller)])
            }
            _ => continue,
        };
        mounts.dedup();
        for mount in mounts {
            let group = mount.join(path.trim_start_matches('/'));
            let up = group.ancestors().take_while(|group| group.starts_with(&mount));
            found.extend(up.map(|group| (version, group.to_owned())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_may_be_that_of_any_group_above() {
        let memberships = "3:cpu,cpuacct:/pod/box\n2:memory:/other\n0::/a/b\n";
        let found = find(memberships, Path::new("/g"), "cpu");
        let expected = [
            (Version::V1, "/g/cpu,cpuacct/pod/box"),
            (Version::V1, "/g/cpu,cpuacct/pod"),
            (Version::V1, "/g/cpu,cpuacct"),
            (Version::V1, "/g/cpu/pod/box"),
            (Version::V1, "/g/cpu/pod"),
            (Version::V1, "/g/cpu"),
            (Version::V2, "/g/a/b"),
            (Version::V2, "/g/a"),
            (Version::V2, "/g"),
        ];
        assert_eq!(found, expected.map(|(version, group)| (version, PathBuf::from(group))));
        let memory: Vec<_> = find(memberships, Path::new("/g"), "memory").into_iter().map(|(_, group)| group).collect();
        assert_eq!(memory, ["/g/memory/other", "/g/memory", "/g/a/b", "/g/a", "/g"].map(PathBuf::from));
        assert!(find("", Path::new("/g"), "cpu").is_empty());
    }
}
