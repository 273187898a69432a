//! What was found, as JSON and as a table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::Members;
use crate::versus::machine::Machine;

/// Latency may rise to so many times what it is in peace.
const MOST: f64 = 2.0;
/// So much of audio may be lost, in per cent.
const LOSS: f64 = 0.1;
/// Memory may rise by so much, in MiB.
const MEMORY: f64 = 64.0;

/// Some seconds, with or without a hostile member.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Audio's 99th percentile in the large room, in milliseconds.
    pub large_ms: f64,
    /// In the small room on the same worker.
    pub small_ms: f64,
    /// Audio packets that were lost, in both.
    pub lost_percent: f64,
    /// The server's CPU, of one core.
    pub server_cpu: f64,
    /// The generator's.
    pub generator_cpu: f64,
}

/// One hostile member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it did.
    pub attack: String,
    /// Before it came.
    pub idle: Phase,
    /// While it did that.
    pub during: Phase,
    /// How far the server's PSS rose.
    pub memory_mib: f64,
    /// Honest members who were thrown out.
    pub gone: usize,
    /// Codes, limits and reasons that it was told, and how often.
    pub told: BTreeMap<String, u64>,
    /// Counters that rose, and by how much.
    pub counted: Vec<String>,
    /// What else the others noticed.
    pub note: Option<String>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Where.
    pub machine: Machine,
    /// Of the large room.
    pub members: Members,
    /// In the order of attacks.
    pub outcomes: Vec<Outcome>,
}

impl Outcome {
    /// What was missed; empty: nothing.
    pub fn missed(&self) -> Vec<&'static str> {
        let holds = |idle: f64, during: f64| during <= MOST * idle;
        let checks = [
            (holds(self.idle.large_ms, self.during.large_ms), "its room"),
            (holds(self.idle.small_ms, self.during.small_ms), "the other room"),
            (self.during.lost_percent <= LOSS, "loss"),
            (self.memory_mib <= MEMORY, "memory"),
            (self.gone == 0, "members were thrown out"),
        ];
        checks.into_iter().filter(|(held, _)| !held).map(|(_, what)| what).collect()
    }

    /// Cells of a table.
    fn row(&self) -> String {
        let Self { idle, during, .. } = self;
        let list = |items: Vec<String>| if items.is_empty() { "-".to_owned() } else { items.join("<br>") };
        let told = self.told.iter().map(|(what, count)| format!("{what}: {count}")).collect();
        let counted = self.counted.iter().chain(&self.note).cloned().collect();
        let missed = self.missed();
        let verdict = if missed.is_empty() { "met".to_owned() } else { format!("**missed**: {}", missed.join(", ")) };
        format!(
            "| {} | {:.1} -> {:.1} | {:.1} -> {:.1} | {:.2} % | {:+.1} MiB | {:.0} -> {:.0} % | {:.0} -> {:.0} % | {} | {} | {verdict} |",
            self.attack,
            idle.large_ms,
            during.large_ms,
            idle.small_ms,
            during.small_ms,
            during.lost_percent,
            self.memory_mib,
            idle.server_cpu,
            during.server_cpu,
            idle.generator_cpu,
            during.generator_cpu,
            list(told),
            list(counted),
        )
    }
}

impl Table {
    /// For people and for the document.
    pub fn markdown(&self) -> String {
        let Members { speakers, listeners, with_data } = self.members;
        let mut text = format!(
            "A room of {}: {speakers} speak, {listeners} listen, {with_data} listen and have data channels, one is hostile. Audio p99 in ms \
             there, as {speakers} and {listeners} of them hear it, and in a room of 3 on the same worker, in peace and with the hostile member. \
             Goal: at most {MOST} times, at most {LOSS} % of audio lost, at most {MEMORY} MiB more memory, and nobody else thrown out. CPU \
             is of one core.\n\n",
            self.members.all()
        );
        text += "| Hostile member | Its room | The other room | Audio lost | Memory | Server's CPU | Generator's CPU | It is told | Counted | |\n\
                 |---|---|---|---|---|---|---|---|---|---|\n";
        self.outcomes.iter().for_each(|outcome| text += &(outcome.row() + "\n"));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n`{}`: {}.", self.machine.command, self.machine.describe());
        text
    }

    /// Renews the part of a document between two lines with this mark.
    pub fn write_into(&self, document: &Path) -> anyhow::Result<()> {
        let name = || document.display().to_string();
        let text = std::fs::read_to_string(document).with_context(name)?;
        let renewed = crate::publish::replace(&text, "<!-- hostile -->", &self.markdown()).with_context(name)?;
        std::fs::write(document, renewed).with_context(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let idle = Phase { large_ms: 1.0, small_ms: 1.0, lost_percent: 0.0, server_cpu: 20.0, generator_cpu: 30.0 };
        Outcome {
            attack: "x".to_owned(),
            idle,
            during: Phase { large_ms: 2.0, ..idle },
            memory_mib: 64.0,
            gone: 0,
            told: BTreeMap::from([("rate_limited".to_owned(), 3)]),
            counted: Vec::new(),
            note: None,
        }
    }

    #[test]
    fn what_is_missed_is_said() {
        let good = outcome();
        assert!(good.missed().is_empty());
        let during = Phase { large_ms: 2.1, small_ms: f64::NAN, lost_percent: f64::NAN, ..good.during };
        let bad = Outcome { during, memory_mib: 65.0, gone: 1, ..outcome() };
        assert_eq!(bad.missed(), ["its room", "the other room", "loss", "memory", "members were thrown out"]);
        let members = Members { speakers: 3, listeners: 56, with_data: 240 };
        let text = Table { machine: Machine::default(), members, outcomes: vec![good, bad] }.markdown();
        assert!(text.starts_with("A room of 300: 3 speak"), "{text}");
        assert!(text.contains("| rate_limited: 3 | - | met |") && text.contains("**missed**: its room"), "{text}");
    }
}
