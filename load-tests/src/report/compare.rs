//! Two reports side by side: figure by figure, the ratio, and whether it got worse.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, ensure};

use super::{FORMAT, Measured, Report};

/// Whether more of a figure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Better {
    Lower,
    Higher,
}

type Figure = (&'static str, Better, fn(&Measured) -> Option<f64>);

const FIGURES: [Figure; 15] = [
    ("server CPU, µs per packet", Better::Lower, |m| m.server?.us_per_packet),
    ("delivered packets/s", Better::Higher, |m| Some(m.packets_per_second)),
    ("delivered Mbps", Better::Higher, |m| Some(m.delivered.bitrate / 1e6)),
    ("loss, %", Better::Lower, |m| Some(m.loss_percent)),
    ("latency p50, ms", Better::Lower, |m| Some(m.latency?.p50_ms)),
    ("latency p90, ms", Better::Lower, |m| Some(m.latency?.p90_ms)),
    ("latency p99, ms", Better::Lower, |m| Some(m.latency?.p99_ms)),
    ("latency p99.9, ms", Better::Lower, |m| Some(m.latency?.p999_ms)),
    ("join: first keyframe p50, ms", Better::Lower, |m| Some(m.joins.first_keyframe?.p50_ms)),
    ("join: first keyframe p99, ms", Better::Lower, |m| Some(m.joins.first_keyframe?.p99_ms)),
    ("joins per CPU second", Better::Higher, |m| m.server?.joins_per_cpu_second),
    ("memory per member, KiB", Better::Lower, |m| Some(m.server?.pss_per_member? / 1_024.0)),
    ("memory at the end, MiB", Better::Lower, |m| Some(m.server?.pss_end? as f64 / 1_048_576.0)),
    ("NACK -> RTX p99, ms", Better::Lower, |m| Some(m.repair.time?.p99_ms)),
    ("freezes", Better::Lower, |m| Some(m.picture.freezes as f64)),
];

/// What is different.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// For people.
    pub table: String,
    /// Figures that got worse by more than was allowed.
    pub worse: Vec<String>,
}

/// Reads a report.
pub fn read(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let report: Report = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    ensure!(report.format == FORMAT, "{} has format {}, not {FORMAT}", path.display(), report.format);
    Ok(report)
}

/// Sets `b` beside `a`. `max_worse`: in per cent.
pub fn compare(a: &Report, b: &Report, max_worse: Option<f64>) -> Comparison {
    let mut comparison = Comparison { table: String::new(), worse: Vec::new() };
    // Writing to a String cannot fail.
    let _ = writeln!(comparison.table, "{:<32}{:>12}{:>12}{:>10}", "", "a", "b", "b / a");
    for (name, better, of) in FIGURES {
        let (Some(before), Some(after)) = (of(&a.measured), of(&b.measured)) else { continue };
        let ratio = (before > 0.0).then(|| after / before);
        let text = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        let worse = worsening(better, before, after);
        let is_worse = max_worse.is_some_and(|limit| worse > limit);
        let mark = if is_worse { "  worse" } else { "" };
        let _ = writeln!(comparison.table, "{name:<32}{before:>12.3}{after:>12.3}{text:>10}{mark}");
        if is_worse {
            comparison.worse.push(format!("{name}: {before:.3} -> {after:.3}"));
        }
    }
    for (name, report) in [("a", a), ("b", b)] {
        for reason in &report.verdict.void {
            let _ = writeln!(comparison.table, "{name} is VOID: {reason}");
        }
    }
    if a.scenario != b.scenario {
        comparison.table.push_str("the scenarios differ\n");
    }
    if a.environment.srtp != b.environment.srtp {
        let _ = writeln!(comparison.table, "SRTP differs: {:?} and {:?}", a.environment.srtp, b.environment.srtp);
    }
    comparison
}

/// How much worse, in per cent; negative: better.
fn worsening(better: Better, before: f64, after: f64) -> f64 {
    let (good, bad) = if better == Better::Lower { (before, after) } else { (after, before) };
    match (good > 0.0, bad > 0.0) {
        (true, _) => (bad / good - 1.0) * 100.0,
        (false, true) => f64::INFINITY,
        (false, false) => 0.0,
    }
}
