//! What a server takes of its machine, and what it believes to have.

use std::time::Duration;

use anyhow::Context;

use crate::memory::pss;
use crate::versus::servers::Running;

const MIB: u64 = 1024 * 1024;
/// A look at the metrics may take so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// One look.
#[derive(Debug, Clone)]
pub(super) struct Footprint {
    memory: u64,
    descriptors: u64,
    threads: u64,
    tasks: u64,
    /// Rooms, participants, WebSockets, ICE-TCP connections.
    guests: [u64; 4],
    panics: u64,
}

const GUESTS: [&str; 4] = ["rooms", "participants", "websockets", "tcp_connections"];

impl Footprint {
    /// Of a server that runs.
    pub(super) async fn of(server: &Running) -> anyhow::Result<Self> {
        let metrics = tokio::time::timeout(PATIENCE, server.metrics()).await.context("the metrics took too long")??;
        let metric = |name: &str| metrics.sum(&format!("madang_{name}")) as u64;
        Ok(Self {
            memory: pss(server.pid).context("the server's memory")?,
            descriptors: descriptors(server)?,
            threads: entries(server, "task")?,
            tasks: metric("control_tasks"),
            guests: GUESTS.map(metric),
            panics: metric("panics_total"),
        })
    }

    /// Whether everybody has gone.
    pub(super) fn is_empty(&self) -> bool {
        self.guests.iter().all(|guests| *guests == 0)
    }

    /// Whether nothing changes any more; memory may by a megabyte.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let counts = |this: &Self| (this.descriptors, this.threads, this.tasks);
        counts(self) == counts(other) && self.memory.abs_diff(other.memory) < MIB
    }
}

/// How many it has.
pub(super) fn descriptors(server: &Running) -> anyhow::Result<u64> {
    entries(server, "fd")
}

fn entries(server: &Running, folder: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{}/{folder}", server.pid);
    Ok(std::fs::read_dir(&path).with_context(|| path.clone())?.count() as u64)
}

/// One figure before and after.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) what: &'static str,
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) most: u64,
}

impl Bound {
    pub(super) fn holds(&self) -> bool {
        self.after <= self.most
    }

    pub(super) fn all(before: &Footprint, after: &Footprint) -> Vec<Self> {
        let bound = |what, of: fn(&Footprint) -> u64, more: u64| {
            let before = of(before);
            Self { what, before, after: of(after), most: before + more }
        };
        let none = |what, after| Self { what, before: 0, after, most: 0 };
        let mut bounds = vec![
            // A quarter, since heaps fill in another order each time; a leak of a round's clients is more within minutes.
            Self {
                what: "memory (PSS, MiB)",
                before: before.memory.div_ceil(MIB),
                after: after.memory.div_ceil(MIB),
                most: (before.memory + before.memory / 4).div_ceil(MIB) + 4,
            },
            bound("descriptors", |of| of.descriptors, 2),
            // tokio ends threads for blocking work ten seconds after their last.
            bound("threads", |of| of.threads, 2),
            bound("tasks of the control plane", |of| of.tasks, 2),
        ];
        bounds.extend(GUESTS.into_iter().zip(after.guests).map(|(what, after)| none(what, after)));
        bounds.push(none("panics", after.panics));
        bounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Footprint =
        Footprint { memory: 20 * MIB, descriptors: 30, threads: 6, tasks: 8, guests: [0; 4], panics: 0 };

    #[test]
    fn a_leak_of_anything_breaks_a_bound() {
        assert!(Bound::all(&IDLE, &IDLE).iter().all(Bound::holds));
        let leaks = [
            Footprint { memory: 40 * MIB, ..IDLE },
            Footprint { descriptors: 33, ..IDLE },
            Footprint { threads: 9, ..IDLE },
            Footprint { tasks: 11, ..IDLE },
            Footprint { guests: [0, 1, 0, 0], ..IDLE },
            Footprint { panics: 1, ..IDLE },
        ];
        for leak in leaks {
            assert_eq!(Bound::all(&IDLE, &leak).iter().filter(|bound| !bound.holds()).count(), 1, "{leak:?}");
        }
    }
}
