//! From runs to ratios.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::{Run, rows};
use crate::cli::Opponent;

/// One opponent in one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The row of the table of goals.
    pub row: u8,
    /// Against whom; Madang: itself in neighbouring turns, the control.
    pub against: Opponent,
    /// Median of Madang's figure, in the row's unit.
    pub ours: Option<f64>,
    /// Median of the other's.
    pub theirs: Option<f64>,
    /// Ours over theirs: the least, the median and the greatest of the pairs.
    pub ratio: Option<[f64; 3]>,
    /// Pairs that counted.
    pub pairs: usize,
    /// Latency, ours less theirs, the median of the pairs, in milliseconds: p50, p99 and p99.9.
    pub added_ms: Option<[f64; 3]>,
    /// What the servers negotiated, where it differs.
    pub srtp: Option<String>,
    /// Datagrams per GSO message, ours and theirs, where both count them.
    pub trains: Option<[f64; 2]>,
}

/// All runs, and where they ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Where.
    pub machine: Machine,
    /// In the order in which they ran.
    pub runs: Vec<Run>,
}

/// The middle one, or the mean of the two.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted.get(middle).copied(),
        _ => Some((sorted.get(middle.checked_sub(1)?)? + sorted.get(middle)?) / 2.0),
    }
}

impl Row {
    /// Whether the goal was met; `None` without a goal or a figure.
    pub fn is_met(&self) -> Option<bool> {
        if let (Some(goal), Some(added)) = (rows::latency_goal(self.row, self.against), self.added_ms) {
            return Some(goal.iter().zip(added).all(|(goal, added)| added <= *goal));
        }
        Some(self.ratio?[1] <= rows::goal(self.row, self.against)?)
    }
}

impl Summary {
    /// Puts runs together.
    pub const fn of(machine: Machine, runs: Vec<Run>) -> Self {
        Self { machine, runs }
    }

    /// By row and opponent.
    pub fn rows(&self) -> Vec<Row> {
        let mut keys: Vec<_> = self.runs.iter().filter_map(|run| Some((run.row, run.server?))).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().map(|(row, against)| self.row(row, against)).collect()
    }

    /// A server's runs of a row that count.
    fn valid(&self, row: u8, server: Opponent) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| (run.row, run.server) == (row, Some(server)) && run.void.is_empty())
    }

    /// A figure of a server in a turn; of the first valid run, if one had to be repeated.
    fn of_pair<T>(&self, row: u8, pair: u32, server: Opponent, figure: impl Fn(&Run) -> Option<T>) -> Option<T> {
        figure(self.valid(row, server).find(|run| run.pair == pair)?)
    }

    fn median(&self, row: u8, server: Opponent, figure: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        median(&self.valid(row, server).filter_map(figure).collect::<Vec<_>>())
    }

    fn row(&self, row: u8, against: Opponent) -> Row {
        let (figure, _) = rows::figure(row);
        let pairs = self.runs.iter().filter(|run| run.row == row).map(|run| run.pair + 1).max().unwrap_or(0);
        // Madang is compared with itself one turn later.
        let later = u32::from(against == Opponent::Madang);
        let both = |pair| {
            let ours = self.of_pair(row, pair, Opponent::Madang, figure)?;
            Some(ours / self.of_pair(row, pair + later, against, figure)?)
        };
        let mut ratios: Vec<f64> = (0..pairs).filter_map(both).collect();
        ratios.sort_by(f64::total_cmp);
        let added = |percentile: usize| {
            let of = |pair, server| self.of_pair(row, pair, server, |run| Some(run.latency_ms?[percentile]));
            let pairs = (0..pairs).filter_map(|pair| Some(of(pair, Opponent::Madang)? - of(pair + later, against)?));
            median(&pairs.collect::<Vec<_>>())
        };
        let trains = |server| self.median(row, server, |run| run.datagrams_per_train);
        Row {
            row,
            against,
            ours: self.median(row, Opponent::Madang, figure),
            theirs: self.median(row, against, figure),
            ratio: median(&ratios).map(|median| [ratios[0], median, ratios[ratios.len() - 1]]),
            pairs: ratios.len(),
            added_ms: added(0).zip(added(1)).zip(added(2)).map(|((p50, p99), p999)| [p50, p99, p999]),
            srtp: self.srtp(row, against),
            trains: trains(Opponent::Madang).zip(trains(against)).map(|(ours, theirs)| [ours, theirs]),
        }
    }

    fn srtp(&self, row: u8, against: Opponent) -> Option<String> {
        let of =
            |server| self.runs.iter().find(|run| (run.row, run.server) == (row, Some(server))).map(|run| &run.srtp);
        let (ours, theirs) = (of(Opponent::Madang)?, of(against)?);
        (ours != theirs).then(|| format!("{} and {}", ours.join(" "), theirs.join(" ")))
    }

    /// The table as Markdown, and what did not count.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| Row | Against | Madang | Theirs | Ratio: median (range) | Pairs | Latency p50 / p99 / p99.9, ours less theirs | \
             Datagrams per GSO message, ours / theirs |\n|---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows() {
            write_row(&mut text, row);
        }
        let void: Vec<_> = self.runs.iter().filter(|run| !run.void.is_empty()).collect();
        for run in &void {
            let server = run.server.map_or("?", Opponent::name);
            let _ =
                writeln!(text, "\nVoid: row {}, pair {}, {server}: {}.", run.row, run.pair + 1, run.void.join("; "));
        }
        if !void.is_empty() {
            let _ = writeln!(text, "\n{} of {} runs were void and do not count.", void.len(), self.runs.len());
        }
        text
    }

    /// As JSON, a run per line.
    pub fn json(&self) -> anyhow::Result<String> {
        let runs: Vec<String> = self.runs.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let machine = serde_json::to_string(&self.machine)?;
        Ok(format!("{{\"machine\": {machine},\n\"runs\": [\n{}\n]}}\n", runs.join(",\n")))
    }

    /// What [`Self::json`] wrote.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }
}

fn write_row(text: &mut String, row: &Row) {
    let (_, unit) = rows::figure(row.row);
    let two = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2} {unit}"));
    let against = match row.against {
        Opponent::Madang => "itself (control)",
        other => other.name(),
    };
    let added =
        row.added_ms.map_or("-".to_owned(), |[p50, p99, p999]| format!("{p50:+.2} / {p99:+.2} / {p999:+.2} ms"));
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "| {} {} | {against}{} | {} | {} | {} | {} | {added} | {} |",
        row.row,
        rows::name(row.row),
        row.srtp.as_ref().map_or(String::new(), |srtp| format!(" ({srtp})")),
        two(row.ours),
        two(row.theirs),
        row.ratio.map_or("-".to_owned(), ratio),
        row.pairs,
        row.trains.map_or("-".to_owned(), |[ours, theirs]| format!("{ours:.1} / {theirs:.1}")),
    );
}

/// Median and range.
pub fn ratio([least, median, greatest]: [f64; 3]) -> String {
    format!("{median:.3} ({least:.3} to {greatest:.3})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pair: u32, server: Opponent, us: f64) -> Run {
        Run {
            row: 1,
            pair,
            server: Some(server),
            us_per_packet: Some(us),
            latency_ms: Some([1.0, us, us]),
            srtp: vec!["X".to_owned()],
            ..Run::default()
        }
    }

    #[test]
    fn ratios_are_those_of_pairs() {
        let pair =
            |pair, ours: f64, theirs: f64| [run(pair, Opponent::Madang, ours), run(pair, Opponent::Janus, theirs)];
        let mut runs = [pair(0, 1.0, 20.0), pair(1, 2.0, 20.0), pair(2, 3.0, 20.0)].concat();
        runs[4].void.push("noise".to_owned());
        let summary = Summary::of(Machine::default(), runs);
        let rows = summary.rows();
        let janus = rows.iter().find(|row| row.against == Opponent::Janus).unwrap();
        let rounded = janus.ratio.unwrap().map(|ratio| (ratio * 1e6).round() / 1e6);
        assert_eq!(rounded, [0.05, 0.075, 0.1], "the third pair lacks a run");
        assert_eq!((janus.pairs, janus.is_met()), (2, Some(true)));
        assert_eq!(janus.added_ms, Some([0.0, -18.5, -18.5]));
        let control = rows.iter().find(|row| row.against == Opponent::Madang).unwrap();
        assert_eq!((control.ratio, control.pairs), (Some([0.5, 0.5, 0.5]), 1), "of one turn and the next");
        assert!(summary.markdown().contains("1 of 6 runs were void"), "{}", summary.markdown());
    }

    #[test]
    fn a_repeated_run_counts_for_the_void_one() {
        let mut void = run(0, Opponent::Madang, 9.0);
        void.void.push("noise".to_owned());
        let runs = vec![void, run(0, Opponent::Madang, 2.0), run(0, Opponent::Floor, 1.0)];
        let rows = Summary::of(Machine::default(), runs).rows();
        assert_eq!(rows[1].ratio, Some([2.0, 2.0, 2.0]));
    }

    #[test]
    fn json_is_read_back() {
        let summary = Summary::of(Machine::default(), vec![run(0, Opponent::Floor, 1.5), run(1, Opponent::Janus, 2.5)]);
        assert_eq!(serde_json::from_str::<Summary>(&summary.json().unwrap()).unwrap(), summary);
        assert_eq!(summary.json().unwrap().lines().count(), 5);
    }

    #[test]
    fn medians() {
        assert_eq!(
            [median(&[]), median(&[3.0]), median(&[1.0, 4.0]), median(&[9.0, 1.0, 2.0])],
            [None, Some(3.0), Some(2.5), Some(2.0)]
        );
    }
}
