//! Rows of the table of goals that are no comparison of runs: capacity on one core ([`knee`], row 4), memory ([`memory`],
//! row 10) and joins ([`handshakes`] and [`storm`], row 11). Each starts servers of its own.

mod handshakes;
mod knee;
mod memory;
mod storm;

use std::fmt::Write;
use std::path::Path;

use anyhow::Context as _;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::cli::GoalsArgs;
use crate::versus::machine::Machine;

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The row of the table of goals.
    pub row: u8,
    /// What it is.
    pub what: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: String,
    /// The goal, if it is a ceiling.
    pub at_most: Option<f64>,
    /// The goal, if it is a floor.
    pub at_least: Option<f64>,
    /// What belongs to it.
    pub note: String,
}

/// Points of a chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// In the legend.
    pub name: String,
    /// In the order of the first.
    pub points: Vec<(f64, f64)>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Where.
    pub machine: Machine,
    /// In the order of rows.
    pub figures: Vec<Figure>,
    /// The server's memory in MiB over participants.
    pub memory: Vec<Curve>,
}

impl Figure {
    fn new(row: u8, what: &str, value: f64, unit: &str) -> Self {
        let (what, unit) = (what.to_owned(), unit.to_owned());
        Self { row, what, value, unit, at_most: None, at_least: None, note: String::new() }
    }

    fn at_most(self, limit: f64) -> Self {
        Self { at_most: Some(limit), ..self }
    }

    fn at_least(self, limit: f64) -> Self {
        Self { at_least: Some(limit), ..self }
    }

    fn note(self, note: String) -> Self {
        Self { note, ..self }
    }

    /// Whether the goal was met; `None` without one.
    pub fn is_met(&self) -> Option<bool> {
        let ceiling = self.at_most.map(|limit| self.value <= limit);
        ceiling.or_else(|| self.at_least.map(|limit| self.value >= limit))
    }

    /// The goal for people.
    pub fn goal(&self) -> String {
        match (self.at_most, self.at_least) {
            (Some(limit), _) => format!("<= {limit} {}", self.unit).trim_end().to_owned(),
            (None, Some(limit)) => format!(">= {limit} {}", self.unit).trim_end().to_owned(),
            (None, None) => "-".to_owned(),
        }
    }

    /// The value for people.
    pub fn measured(&self) -> String {
        let decimals = if self.value.abs() >= 100.0 { 0 } else { 2 };
        format!("{:.decimals$} {}", self.value, self.unit).trim_end().to_owned()
    }
}

impl Figures {
    /// A table.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| Row | What | Measured | Goal | |\n|---|---|---|---|---|\n");
        for figure in &self.figures {
            let (row, what, note) = (figure.row, &figure.what, &figure.note);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {row} | {what} | {} | {} | {note} |", figure.measured(), figure.goal());
        }
        text
    }

    /// What was written as JSON.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }
}

/// Measures the rows that were asked for.
pub async fn goals(args: &GoalsArgs, command: String, bar: &ProgressBar) -> anyhow::Result<Figures> {
    crate::run::raise_file_limit();
    let machine = Machine::read(&args.host, command);
    let mut found = Figures { machine, figures: Vec::new(), memory: Vec::new() };
    for row in &args.rows {
        match row {
            4 => found.figures.extend(knee::measure(args, bar).await?),
            10 => {
                let (figures, curves) = memory::measure(args, bar).await?;
                found.figures.extend(figures);
                found.memory.extend(curves);
            }
            11 => {
                found.figures.push(handshakes::measure(bar)?);
                found.figures.extend(storm::measure(args, bar).await?);
            }
            other => anyhow::bail!("row {other} is a comparison of runs, or nothing that is measured here"),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_ceilings_or_floors() {
        let figure = Figure::new(10, "slope", 70.25, "KiB");
        assert_eq!(figure.is_met(), None);
        let missed = figure.clone().at_most(64.0);
        assert_eq!(
            (missed.is_met(), missed.goal(), missed.measured()),
            (Some(false), "<= 64 KiB".into(), "70.25 KiB".into())
        );
        assert_eq!(figure.at_least(64.0).is_met(), Some(true));
    }
}
