//! From runs to ratios.

use std::fmt::Write;

use serde::Serialize;

use super::Run;
use crate::cli::Opponent;

/// One opponent in one row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The row of the table of goals.
    pub row: u8,
    /// Against whom; Madang: its two runs of each cycle, the control.
    pub against: Opponent,
    /// Median of Madang's CPU, in microseconds per delivered packet.
    pub ours_us: Option<f64>,
    /// Median of the other's.
    pub theirs_us: Option<f64>,
    /// Ours over theirs: the least, the median and the greatest of the cycles.
    pub ratio: Option<[f64; 3]>,
    /// Cycles that counted.
    pub cycles: usize,
    /// Added latency, ours less theirs at the median of runs, p50 and p99, in milliseconds.
    pub added_ms: Option<[f64; 2]>,
    /// The goal for the ratio, at most.
    pub goal: Option<f64>,
    /// What the servers negotiated, where it differs.
    pub srtp: Option<String>,
}

/// All rows, and the runs that they come from.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// By row and opponent.
    pub rows: Vec<Row>,
    /// In the order in which they ran.
    pub runs: Vec<Run>,
}

/// What design says of rows 1 to 3.
fn goal(row: u8, against: Opponent) -> Option<f64> {
    match (row, against) {
        (1, Opponent::Janus) => Some(0.1),
        (1, Opponent::Webrtc) | (3, Opponent::Janus) => Some(0.2),
        (1 | 2, Opponent::Floor) => Some(1.3),
        (3, Opponent::Floor | Opponent::FloorSendto) => Some(1.4),
        _ => None,
    }
}

/// The middle one, or the mean of the two.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted.get(middle).copied(),
        _ => Some((sorted.get(middle.checked_sub(1)?)? + sorted.get(middle)?) / 2.0),
    }
}

impl Summary {
    /// Puts runs into rows.
    pub fn of(runs: Vec<Run>, rows: &[u8]) -> Self {
        let mut summary = Self { rows: Vec::new(), runs };
        for &row in rows {
            let mut opponents: Vec<Opponent> =
                summary.runs.iter().filter(|run| run.row == row).map(|run| run.server).collect();
            opponents.sort_unstable();
            opponents.dedup();
            let found: Vec<Row> = opponents.into_iter().map(|against| summary.row(row, against)).collect();
            summary.rows.extend(found);
        }
        summary
    }

    /// CPU per packet of a server's valid runs in a cycle.
    fn cpu(&self, row: u8, cycle: u32, server: Opponent) -> Vec<f64> {
        let runs = self.runs.iter().filter(|run| (run.row, run.cycle, run.server) == (row, cycle, server));
        runs.filter(|run| run.void.is_empty()).filter_map(|run| run.us_per_packet).collect()
    }

    fn row(&self, row: u8, against: Opponent) -> Row {
        let cycles = self.runs.iter().filter(|run| run.row == row).map(|run| run.cycle + 1).max().unwrap_or(0);
        let ratio = |cycle: u32| -> Option<f64> {
            let ours = self.cpu(row, cycle, Opponent::Madang);
            if against == Opponent::Madang {
                return Some(ours.first()? / ours.get(1)?);
            }
            let theirs = self.cpu(row, cycle, against);
            // Both runs of both: else the order would weigh in.
            (ours.len() == 2 && theirs.len() == 2).then(|| ours.iter().sum::<f64>() / theirs.iter().sum::<f64>())
        };
        let mut ratios: Vec<f64> = (0..cycles).filter_map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let of = |server, figure: fn(&Run) -> Option<f64>| {
            let runs = self.runs.iter().filter(|run| run.row == row && run.server == server && run.void.is_empty());
            median(&runs.filter_map(figure).collect::<Vec<_>>())
        };
        let added = |figure: fn(&Run) -> Option<f64>| Some(of(Opponent::Madang, figure)? - of(against, figure)?);
        Row {
            row,
            against,
            ours_us: of(Opponent::Madang, |run| run.us_per_packet),
            theirs_us: of(against, |run| run.us_per_packet),
            ratio: median(&ratios).map(|median| [ratios[0], median, ratios[ratios.len() - 1]]),
            cycles: ratios.len(),
            added_ms: added(|run| run.p50_ms).zip(added(|run| run.p99_ms)).map(|(p50, p99)| [p50, p99]),
            goal: goal(row, against),
            srtp: self.srtp(row, against),
        }
    }

    fn srtp(&self, row: u8, against: Opponent) -> Option<String> {
        let of = |server| self.runs.iter().find(|run| run.row == row && run.server == server).map(|run| &run.srtp);
        let (ours, theirs) = (of(Opponent::Madang)?, of(against)?);
        (ours != theirs).then(|| format!("{} and {}", ours.join(" "), theirs.join(" ")))
    }

    /// The table as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| Row | Against | Madang, µs per packet | Theirs | Ratio: median (range) | Goal | Cycles | Latency p50 / p99, ours less theirs |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        let two = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        for row in &self.rows {
            let name = match row.row {
                1 => "1 video, bursts",
                2 => "2 video, evenly paced",
                _ => "3 audio, 10 speakers",
            };
            let against = match row.against {
                Opponent::Madang => "itself (control)".to_owned(),
                other => format!("{other:?}"),
            };
            let ratio = row.ratio.map_or("-".to_owned(), |[least, median, greatest]| {
                format!("{median:.3} ({least:.3} to {greatest:.3})")
            });
            let goal = row.goal.map_or("-".to_owned(), |goal| {
                let met = row.ratio.is_some_and(|[_, median, _]| median <= goal);
                format!("<= {goal}: {}", if met { "met" } else { "missed" })
            });
            let added = row.added_ms.map_or("-".to_owned(), |[p50, p99]| format!("{p50:+.2} / {p99:+.2} ms"));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {name} | {against}{} | {} | {} | {ratio} | {goal} | {} | {added} |",
                row.srtp.as_ref().map_or(String::new(), |srtp| format!(" ({srtp})")),
                two(row.ours_us),
                two(row.theirs_us),
                row.cycles,
            );
        }
        let void = self.runs.iter().filter(|run| !run.void.is_empty()).count();
        if void > 0 {
            let _ = writeln!(text, "\n{void} of {} runs were void and do not count.", self.runs.len());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cycle: u32, server: Opponent, us: f64) -> Run {
        Run {
            row: 1,
            cycle,
            server,
            us_per_packet: Some(us),
            packets_per_second: 100.0,
            loss_percent: 0.0,
            p50_ms: Some(1.0),
            p99_ms: Some(us),
            srtp: vec!["X".to_owned()],
            void: Vec::new(),
        }
    }

    #[test]
    fn ratios_are_those_of_whole_cycles() {
        let cycle = |cycle, ours: f64, theirs: f64| {
            let (madang, janus) = (Opponent::Madang, Opponent::Janus);
            [run(cycle, madang, ours), run(cycle, janus, theirs), run(cycle, janus, theirs), run(cycle, madang, ours)]
        };
        let mut runs = [cycle(0, 1.0, 20.0), cycle(1, 2.0, 20.0), cycle(2, 3.0, 20.0)].concat();
        runs[8].void.push("noise".to_owned());
        let summary = Summary::of(runs, &[1]);
        let janus = summary.rows.iter().find(|row| row.against == Opponent::Janus).unwrap();
        let rounded = janus.ratio.unwrap().map(|ratio| (ratio * 1e6).round() / 1e6);
        assert_eq!(rounded, [0.05, 0.075, 0.1], "the third cycle lacks a run");
        assert_eq!((janus.cycles, janus.goal), (2, Some(0.1)));
        let control = summary.rows.iter().find(|row| row.against == Opponent::Madang).unwrap();
        assert_eq!(control.ratio, Some([1.0, 1.0, 1.0]));
        let text = summary.markdown();
        assert!(text.contains("| 0.075 (0.050 to 0.100) | <= 0.1: met |"), "{text}");
        assert!(text.contains("1 of 12 runs were void"), "{text}");
    }

    #[test]
    fn medians() {
        assert_eq!(
            [median(&[]), median(&[3.0]), median(&[1.0, 4.0]), median(&[9.0, 1.0, 2.0])],
            [None, Some(3.0), Some(2.5), Some(2.0)]
        );
    }
}
