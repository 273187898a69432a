//! Madang beside other servers on one machine, in turns: A B C, C B A, A B C, ..., where A is Madang. Each server gets a
//! fresh process for each run. A ratio is that of two runs of one turn; what is reported is the median over the turns
//! and their range. The ratio of Madang's own runs in neighbouring turns is the control: it shows what is noise.
//!
//! Rows are those of the table of goals (docs/performance.md); what each of them runs and compares is in [`rows`].

pub mod machine;
pub mod rows;
pub mod servers;
pub mod summary;

use std::collections::BTreeMap;

use anyhow::Context as _;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::cli::{Opponent, VersusArgs};
use crate::report::Report;
use machine::{Machine, received_packets};
use rows::{line_up, run_args};
use servers::Running;
pub use summary::{Row, Summary, median};

/// Runs may differ by so much of what they delivered and still be the same work.
const SAME_WORK: f64 = 0.01;

/// One run of one server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// The row of the table of goals.
    pub row: u8,
    /// Which turn.
    pub pair: u32,
    /// Whose.
    pub server: Option<Opponent>,
    /// Server CPU, in microseconds per delivered packet.
    pub us_per_packet: Option<f64>,
    /// Packets delivered.
    pub delivered: u64,
    /// The same per second.
    pub packets_per_second: f64,
    /// In per cent.
    pub loss_percent: f64,
    /// Latency, in milliseconds: p50, p99 and p99.9.
    pub latency_ms: Option<[f64; 3]>,
    /// From the join to the first complete keyframe, the median, in milliseconds.
    pub first_keyframe_ms: Option<f64>,
    /// Datagrams that the server sent per message that the kernel cut up (GSO), in its whole life.
    pub datagrams_per_train: Option<f64>,
    /// Packets that the interface took in while this ran, where it is no loopback.
    pub link_packets: Option<u64>,
    /// What was negotiated.
    pub srtp: Vec<String>,
    /// Why it does not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub void: Vec<String>,
}

/// There and back in turns.
fn order(line_up: &[Opponent], pair: u32) -> Vec<Opponent> {
    let mut order = line_up.to_vec();
    if pair % 2 == 1 {
        order.reverse();
    }
    order
}

/// Runs all rows.
pub async fn versus(args: &VersusArgs, command: String, bar: &ProgressBar) -> anyhow::Result<Summary> {
    let machine = Machine::read(&args.host, command);
    let mut runs = Vec::new();
    let total: usize = args.rows.iter().map(|row| line_up(*row, &args.against).len()).sum();
    bar.set_length(total as u64 * u64::from(args.pairs));
    for row in &args.rows {
        let line_up = line_up(*row, &args.against);
        for pair in 0..args.pairs {
            for server in order(&line_up, pair) {
                bar.set_message(format!("row {row}, pair {}: {}", pair + 1, server.name()));
                let context = || format!("row {row}, {}", server.name());
                // A void run is tried once more.
                for _ in 0..2 {
                    let run = once(args, *row, pair, server).await.with_context(context)?;
                    let is_void = !run.void.is_empty();
                    if bar.is_hidden() {
                        // A log shows no bar.
                        eprintln!("row {row}, pair {}: {}{}", pair + 1, server.name(), run.in_short());
                    }
                    runs.push(run);
                    if !is_void {
                        break;
                    }
                }
                bar.inc(1);
            }
        }
    }
    check_work(&mut runs);
    Ok(Summary::of(machine, runs))
}

async fn once(args: &VersusArgs, row: u8, pair: u32, server: Opponent) -> anyhow::Result<Run> {
    let running = Running::start(server, &args.host).await?;
    let before = received_packets();
    let report = crate::run::run(&run_args(args, row, &running)).await;
    let link_packets = received_packets().zip(before).map(|(after, before)| after.saturating_sub(before));
    let datagrams_per_train = running.datagrams_per_train().await;
    running.stop().await;
    let mut run = Run { row, pair, server: Some(server), datagrams_per_train, ..Run::of(&report?) };
    if args.host.netns.is_some() {
        run.check_link(link_packets);
    }
    Ok(run)
}

impl Run {
    fn of(report: &Report) -> Self {
        let measured = &report.measured;
        Self {
            us_per_packet: measured.server.and_then(|server| server.us_per_packet),
            packets_per_second: measured.packets_per_second,
            loss_percent: measured.loss_percent,
            latency_ms: measured.latency.map(|latency| [latency.p50_ms, latency.p99_ms, latency.p999_ms]),
            first_keyframe_ms: measured.joins.first_keyframe.map(|join| join.p50_ms),
            srtp: report.environment.srtp.clone(),
            void: report.verdict.void.clone(),
            delivered: measured.delivered.packets(),
            ..Self::default()
        }
    }

    fn in_short(&self) -> String {
        match (self.void.first(), self.us_per_packet) {
            (Some(why), _) => format!(" is void: {why}"),
            (None, Some(us)) => format!(": {us:.2} µs per packet"),
            (None, None) => String::new(),
        }
    }

    /// Where segmentation is left to a device, an interface without one sees fewer packets than were delivered.
    fn check_link(&mut self, packets: Option<u64>) {
        self.link_packets = packets;
        if let Some(packets) = packets.filter(|packets| *packets < self.delivered) {
            let delivered = self.delivered;
            self.void
                .push(format!("{packets} packets on the link for {delivered} delivered: segmentation is offloaded"));
        }
    }
}

/// A run that delivered other packets than Madang's runs of its row did is void.
fn check_work(runs: &mut [Run]) {
    let mut ours: BTreeMap<u8, Vec<f64>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.server == Some(Opponent::Madang) && run.void.is_empty()) {
        ours.entry(run.row).or_default().push(run.packets_per_second);
    }
    for run in runs {
        let Some(median) = ours.get(&run.row).and_then(|rates| median(rates)) else { continue };
        let difference = run.packets_per_second / median - 1.0;
        if difference.abs() > SAME_WORK {
            run.void.push(format!("{:+.1} % of the packets that Madang delivers", difference * 100.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_turns_with_every_pair() {
        let line_up = line_up(1, &[Opponent::Floor, Opponent::Janus]);
        assert_eq!(order(&line_up, 0), [Opponent::Madang, Opponent::Floor, Opponent::Janus]);
        assert_eq!(order(&line_up, 3), [Opponent::Janus, Opponent::Floor, Opponent::Madang]);
    }

    #[test]
    fn other_work_is_void() {
        let run =
            |server, packets_per_second| Run { row: 1, server: Some(server), packets_per_second, ..Run::default() };
        let mut runs = [run(Opponent::Madang, 100.0), run(Opponent::Janus, 99.5), run(Opponent::Floor, 90.0)];
        check_work(&mut runs);
        assert_eq!(runs.map(|run| run.void.len()), [0, 0, 1]);
    }

    #[test]
    fn offloaded_segmentation_is_noticed() {
        let mut run = Run { delivered: 1_000, ..Run::default() };
        run.check_link(Some(1_010));
        assert!(run.void.is_empty());
        run.check_link(Some(300));
        assert_eq!(run.void.len(), 1);
    }
}
