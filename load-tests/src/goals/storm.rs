//! Row 11, what a storm of joins does to those who watch: their latency while 200 join the same room within a second,
//! beside the same run without the storm, in turns. Newcomers are a fleet of their own, whose packets are not counted: a
//! keyframe reaches them as fast as their path is trusted, not as fast as it can be sent.

use std::time::Duration;

use indicatif::ProgressBar;

use super::Figure;
use crate::cli::{Changes, GoalsArgs, Opponent, RunArgs, Target};
use crate::fleet::{Fleet, Member, Role};
use crate::scenario::preset;
use crate::units::Span;
use crate::versus::median;
use crate::versus::servers::Running;

const PAIRS: u32 = 3;
const DURATION: Span = Span(Duration::from_secs(5));
/// The watchers have joined by then, at 200 per second, have settled for a second, and are measured.
const BEFORE_STORM: Duration = Duration::from_secs(3);
/// Names of newcomers begin here.
const NEWCOMERS: u32 = 10_000;

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

/// Of a run that counts, of those who were there before.
async fn p99(args: &GoalsArgs, storm: u32) -> anyhow::Result<Option<f64>> {
    let Some(mut scenario) = preset("join-storm") else { return Ok(None) };
    (scenario.storm, scenario.duration) = (0, DURATION);
    let server = Running::start(Opponent::Madang, &args.host).await?;
    let run_args = RunArgs { target: Target::Madang, ..server.run_args("join-storm", Changes::default()) };
    let newcomers = Fleet::new(&run_args, scenario.clone())?.numbered_from(NEWCOMERS);
    let (report, joined) =
        tokio::join!(crate::run::run_scenario(&run_args, scenario), join_amid(&newcomers, storm, BEFORE_STORM));
    server.stop().await;
    let (report, _members) = (report?, joined?);
    Ok(report.measured.latency.filter(|_| report.verdict.void.is_empty()).map(|latency| latency.p99_ms))
}

/// All of them begin within a second; their packets count in a fleet of their own.
async fn join_amid(fleet: &Fleet, count: u32, wait: Duration) -> anyhow::Result<Vec<Member>> {
    let joins = (0..count).map(|number| async move {
        tokio::time::sleep(wait + Duration::from_secs(1) * number / count).await;
        fleet.join(0, Role::VIEWER, false).await
    });
    futures_util::future::try_join_all(joins).await
}
