//! The generated part of the document: goals with what was measured beside them, what was missed, and each comparison.

use std::fmt::Write;

use super::{Named, bars, image};
use crate::cli::Opponent;
use crate::goals::Figures;
use crate::versus::summary::{Row, ratio};
use crate::versus::{Summary, rows};

/// The chart of memory.
pub(super) const MEMORY: &str = "memory.svg";

/// Writing to a String cannot fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {{
        let _ = writeln!($out, $($text)*);
    }};
}

/// All of it.
pub(super) fn section(summaries: &Named<Summary>, figures: &Named<Figures>, images: &str) -> String {
    let mut text = String::new();
    if !summaries.is_empty() {
        write_goals(&mut text, summaries);
    }
    for (name, summary) in summaries {
        put!(text, "\n### Runs: {name}\n\n{}.\n", sentence(&summary.machine.describe()));
        put!(text, "`{}`\n", summary.machine.command);
        if bars::has_any(summary) {
            put!(text, "![CPU per packet, {name}]({images}/{})\n", image(name));
        }
        text += &summary.markdown();
    }
    if !figures.is_empty() {
        put!(text, "\n### Capacity, memory and joins\n");
        write_figures(&mut text, figures);
        if figures.iter().any(|(_, found)| !found.memory.is_empty()) {
            put!(text, "\n![Memory over participants]({images}/{MEMORY})");
        }
    }
    text
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// What is compared in a row has a line; each comparison a column.
fn write_goals(text: &mut String, summaries: &Named<Summary>) {
    let found: Vec<(&str, Vec<Row>)> = summaries.iter().map(|(name, it)| (name.as_str(), it.rows())).collect();
    let mut keys: Vec<_> = found.iter().flat_map(|(_, rows)| rows.iter().map(|row| (row.row, row.against))).collect();
    keys.sort_unstable();
    keys.dedup();
    let columns: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    put!(text, "| # | Metric | Against | Goal | {} |", columns.join(" | "));
    put!(text, "|---|---|---|---|{}", "---|".repeat(columns.len()));
    for (row, against) in keys {
        let cells: Vec<String> = found.iter().map(|(_, rows)| cell(rows, row, against)).collect();
        let whom = if against == Opponent::Madang { "itself (control)" } else { against.name() };
        put!(text, "| {row} | {} | {whom} | {} | {} |", rows::name(row), goal(row, against), cells.join(" | "));
    }
    let missed: Vec<String> =
        found.iter().flat_map(|(name, rows)| rows.iter().filter_map(|row| miss(name, row))).collect();
    match missed.len() {
        0 => put!(text, "\nNo goal among these was missed."),
        _ => put!(text, "\nMissed: {}.", missed.join("; ")),
    }
}

fn goal(row: u8, against: Opponent) -> String {
    if let Some([p50, p99, p999]) = rows::latency_goal(row, against) {
        return format!("p50 / p99 / p99.9 <= {p50} / {p99} / {p999} ms more");
    }
    rows::goal(row, against).map_or("-".to_owned(), |goal| format!("<= {goal}"))
}

fn cell(rows: &[Row], row: u8, against: Opponent) -> String {
    let Some(found) = rows.iter().find(|found| (found.row, found.against) == (row, against)) else {
        return "not run".to_owned();
    };
    let verdict = match found.is_met() {
        Some(true) => " met",
        Some(false) => " **missed**",
        None => "",
    };
    measured(found).map_or("no valid pair".to_owned(), |measured| measured + verdict)
}

fn measured(row: &Row) -> Option<String> {
    match (rows::latency_goal(row.row, row.against), row.added_ms) {
        (Some(_), Some([p50, p99, p999])) => Some(format!("{p50:+.2} / {p99:+.2} / {p999:+.2} ms")),
        (Some(_), None) => None,
        (None, _) => row.ratio.map(ratio),
    }
}

fn miss(name: &str, row: &Row) -> Option<String> {
    let goal = goal(row.row, row.against);
    (row.is_met() == Some(false)).then(|| {
        let (measured, against) = (measured(row).unwrap_or_default(), row.against.name());
        format!("row {} against {against}, {name}: {measured}, goal {goal}", row.row)
    })
}

fn write_figures(text: &mut String, figures: &Named<Figures>) {
    put!(text, "| # | Metric | Goal | Measured | |\n|---|---|---|---|---|");
    let mut all: Vec<_> = figures.iter().flat_map(|(_, found)| &found.figures).collect();
    all.sort_by_key(|figure| figure.row);
    for figure in &all {
        let verdict = match figure.is_met() {
            Some(true) => "met: ",
            Some(false) => "**missed**: ",
            None => "",
        };
        let (row, what, goal, measured) = (figure.row, &figure.what, figure.goal(), figure.measured());
        put!(text, "| {row} | {what} | {goal} | {verdict}{measured} | {} |", figure.note);
    }
    for (_, found) in figures {
        put!(text, "\n`{}`: {}.", found.machine.command, found.machine.describe());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::Run;
    use crate::versus::machine::Machine;

    #[test]
    fn losses_are_told() {
        let run = |server, us| Run { row: 1, server: Some(server), us_per_packet: Some(us), ..Run::default() };
        let runs = vec![run(Opponent::Madang, 3.0), run(Opponent::Janus, 20.0), run(Opponent::Floor, 2.5)];
        let machine = Machine { command: "madang-load versus".to_owned(), ..Machine::default() };
        let text = section(&vec![("loopback".to_owned(), Summary::of(machine, runs))], &Vec::new(), "img");
        assert!(text.contains("| Janus | <= 0.1 | 0.150 (0.150 to 0.150) **missed** |"), "{text}");
        assert!(text.contains("| the floor | <= 1.3 | 1.200 (1.200 to 1.200) met |"), "{text}");
        assert!(text.contains("Missed: row 1 against Janus, loopback"), "{text}");
        assert!(text.contains("img/compare-loopback.svg"), "{text}");
    }
}
