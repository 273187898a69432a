//! Row 11, what a storm of joins does to those who watch: their latency while 200 join at once beside the same run without
//! the storm, in turns.

use indicatif::ProgressBar;

use super::Figure;
use crate::cli::{Changes, GoalsArgs, Opponent, RunArgs, Target};
use crate::scenario::preset;
use crate::units::Span;
use crate::versus::median;
use crate::versus::servers::Running;

const PAIRS: u32 = 3;
const DURATION: Span = Span(std::time::Duration::from_secs(5));

/// The 99th percentile with the storm and without.
pub(super) async fn measure(args: &GoalsArgs, bar: &ProgressBar) -> anyhow::Result<Option<Figure>> {
    let mut ratios = Vec::new();
    let mut notes = Vec::new();
    for pair in 0..PAIRS {
        bar.set_message(format!("joins at once, pair {} of {PAIRS}", pair + 1));
        let idle = p99(args, 0).await?;
        let storm = p99(args, 200).await?;
        if let (Some(idle), Some(storm)) = (idle, storm) {
            ratios.push(storm / idle);
            notes.push(format!("{storm:.2} and {idle:.2}"));
        }
    }
    let figure = |ratio| {
        Figure::new(11, "latency p99 while 200 join at once, against none", ratio, "")
            .at_most(2.0)
            .note(format!("ms with and without, per pair: {}", notes.join(", ")))
    };
    Ok(median(&ratios).map(figure))
}

/// Of a run that counts.
async fn p99(args: &GoalsArgs, storm: u32) -> anyhow::Result<Option<f64>> {
    let Some(mut scenario) = preset("join-storm") else { return Ok(None) };
    (scenario.storm, scenario.duration) = (storm, DURATION);
    let server = Running::start(Opponent::Madang, &args.host).await?;
    let run_args = RunArgs { target: Target::Madang, ..server.run_args("join-storm", Changes::default()) };
    let report = crate::run::run_scenario(&run_args, scenario).await;
    server.stop().await;
    let report = report?;
    Ok(report.measured.latency.filter(|_| report.verdict.void.is_empty()).map(|latency| latency.p99_ms))
}
