//! Madang beside other servers on one machine, in turns: A B C C B A, several times, where A is Madang. Each server gets
//! a fresh process for each run. A ratio is that of the two runs of a cycle; what is reported is the median over the
//! cycles and their range. Madang's own two runs of a cycle are the control: their ratio shows what is noise.
//!
//! Rows are those of the table of goals (docs/performance.md): 1 video in bursts, 2 video evenly paced, 3 audio.

pub mod servers;
mod summary;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::cli::{Changes, Opponent, RunArgs, VersusArgs};
use crate::publisher::Pacing;
use crate::report::Report;
use crate::units::Bitrate;
use servers::Running;
pub use summary::{Row, Summary};

/// Runs may differ by so much of what they delivered and still be the same work.
const SAME_WORK: f64 = 0.01;

/// One run of one server.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// The row of the table of goals.
    pub row: u8,
    /// Which cycle.
    pub cycle: u32,
    /// Whose.
    pub server: Opponent,
    /// Server CPU, in microseconds per delivered packet.
    pub us_per_packet: Option<f64>,
    /// Delivered packets per second.
    pub packets_per_second: f64,
    /// In per cent.
    pub loss_percent: f64,
    /// Latency, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Latency, in milliseconds.
    pub p99_ms: Option<f64>,
    /// What was negotiated.
    pub srtp: Vec<String>,
    /// Why it does not count.
    pub void: Vec<String>,
}

/// Who is compared in a row: the goals of rows 1 and 3 name Janus, the plain forwarder and the floor, that of row 2 the
/// floor alone.
fn line_up(row: u8, against: &[Opponent]) -> Vec<Opponent> {
    let is_floor = |opponent: &Opponent| matches!(opponent, Opponent::Floor | Opponent::FloorSendto);
    let wanted = against.iter().copied().filter(|opponent| *opponent != Opponent::Madang);
    let others: Vec<_> = match row {
        2 => wanted.filter(is_floor).collect(),
        3 => wanted.filter(|opponent| *opponent != Opponent::Webrtc).collect(),
        _ => wanted.collect(),
    };
    std::iter::once(Opponent::Madang).chain(others).collect()
}

/// There and back: A B C C B A.
fn order(line_up: &[Opponent]) -> Vec<Opponent> {
    line_up.iter().chain(line_up.iter().rev()).copied().collect()
}

/// Runs all rows.
pub async fn versus(args: &VersusArgs, bar: &ProgressBar) -> anyhow::Result<Summary> {
    let mut runs = Vec::new();
    let total: usize = args.rows.iter().map(|row| line_up(*row, &args.against).len() * 2).sum();
    bar.set_length(total as u64 * u64::from(args.pairs));
    for row in &args.rows {
        for cycle in 0..args.pairs {
            for server in order(&line_up(*row, &args.against)) {
                bar.set_message(format!("row {row}, cycle {}: {server:?}", cycle + 1));
                let run = once(args, *row, cycle, server).await.with_context(|| format!("row {row}, {server:?}"))?;
                bar.inc(1);
                runs.push(run);
            }
        }
    }
    check_work(&mut runs);
    Ok(Summary::of(runs, &args.rows))
}

async fn once(args: &VersusArgs, row: u8, cycle: u32, server: Opponent) -> anyhow::Result<Run> {
    let running = Running::start(server, args).await?;
    let run_args = run_args(args, row, &running);
    let report = crate::run::run(&run_args).await;
    running.stop().await;
    Ok(Run::of(row, cycle, server, &report?))
}

impl Run {
    fn of(row: u8, cycle: u32, server: Opponent, report: &Report) -> Self {
        let measured = &report.measured;
        Self {
            row,
            cycle,
            server,
            us_per_packet: measured.server.and_then(|server| server.us_per_packet),
            packets_per_second: measured.packets_per_second,
            loss_percent: measured.loss_percent,
            p50_ms: measured.latency.map(|latency| latency.p50_ms),
            p99_ms: measured.latency.map(|latency| latency.p99_ms),
            srtp: report.environment.srtp.clone(),
            void: report.verdict.void.clone(),
        }
    }
}

fn run_args(args: &VersusArgs, row: u8, running: &Running) -> RunArgs {
    let base = Changes { duration: Some(args.duration), join_rate: Some(100.0), ..Changes::default() };
    let changes = match row {
        3 => Changes { publishers: Some(10), viewers: Some(args.viewers * 2), ..base },
        _ => Changes {
            viewers: Some(args.viewers),
            // Of video alone, so that a packet is a packet.
            audio_bitrate: Some(Bitrate(0)),
            pacing: Some(if row == 2 { Pacing::Even } else { Pacing::Burst }),
            ..base
        },
    };
    RunArgs {
        scenario: if row == 3 { "audio-room" } else { "livestream" }.to_owned(),
        target: running.target,
        url: running.url.clone(),
        token_key: "devkey".to_owned(),
        token_secret: "secret-for-development-only-do-not-use".to_owned(),
        room: "versus".to_owned(),
        server_pid: Some(running.pid),
        threads: None,
        changes,
        json: None,
        html: None,
        quiet: true,
    }
}

/// A run that delivered other packets than Madang's runs of its row did is void.
fn check_work(runs: &mut [Run]) {
    let mut ours: BTreeMap<u8, Vec<f64>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.server == Opponent::Madang && run.void.is_empty()) {
        ours.entry(run.row).or_default().push(run.packets_per_second);
    }
    for run in runs {
        let Some(median) = ours.get(&run.row).and_then(|rates| summary::median(rates)) else { continue };
        let difference = run.packets_per_second / median - 1.0;
        if difference.abs() > SAME_WORK {
            run.void.push(format!("{:+.1} % of the packets that madang delivers", difference * 100.0));
        }
    }
}

/// How long a server may take until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_a_palindrome_with_madang_at_both_ends() {
        let against = [Opponent::Floor, Opponent::Webrtc, Opponent::Janus];
        let cycle = order(&line_up(1, &against));
        assert_eq!(cycle.len(), 8);
        assert!(cycle.iter().eq(cycle.iter().rev()) && cycle[0] == Opponent::Madang);
        assert_eq!(line_up(2, &against), [Opponent::Madang, Opponent::Floor]);
        assert_eq!(line_up(3, &against), [Opponent::Madang, Opponent::Floor, Opponent::Janus]);
    }
}
