//! Which processes a server is made of: the one that was started and those below it, as mediasoup's worker is below its
//! Node.js process. From the parents that `/proc/*/stat` names, since few kernels list children.

use std::fs;

/// A process and all that descend from it now, itself first; itself alone without `/proc`.
pub fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))
        })
        .collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&above) = tree.get(next) {
        tree.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid));
        next += 1;
    }
    tree
}

/// `pid (name) state parent ...`; the name may hold spaces and parentheses.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_follows_the_name() {
        assert_eq!(parent("12 (a) b (c)) S 7 12 12 0\n"), Some(7));
        assert_eq!(parent("12 (a"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn children_and_their_children_belong_to_it() {
        use std::io::{BufRead, BufReader};
        use std::process::{Command, Stdio};
        // The inner shell says who it is, and ends with its standard input.
        let mut child = Command::new("sh")
            .args(["-c", "sh -c 'echo $$; read end'; true"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let tree = tree(child.id());
        assert_eq!(tree, [child.id(), line.trim().parse().unwrap()]);
        assert!(super::tree(std::process::id()).ends_with(&tree), "{tree:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
