//! Row 11, what a storm of joins does to those who watch: their latency while 200 join within a second, beside the same run
//! without the storm, in turns. Newcomers join another room, which shows what joins cost, and the same one, where each
//! keyframe that they need goes to eleven times as many. They are a fleet of their own, whose packets are not counted: a
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
const STORM: u32 = 200;

/// Where the storm is.
#[derive(Clone, Copy)]
enum Storm {
    None,
    Elsewhere,
    Here,
}

/// The 99th percentile with a storm, over that without.
pub(super) async fn measure(args: &GoalsArgs, bar: &ProgressBar) -> anyhow::Result<Vec<Figure>> {
    let (mut elsewhere, mut here) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        bar.set_message(format!("joins at once, turn {} of {PAIRS}", pair + 1));
        let Some(idle) = p99(args, Storm::None).await? else { continue };
        elsewhere.extend(p99(args, Storm::Elsewhere).await?.map(|storm| [storm, idle]));
        here.extend(p99(args, Storm::Here).await?.map(|storm| [storm, idle]));
    }
    let apart = figure("latency p99 while 200 join another room, against none", &elsewhere);
    let beside = figure("the same while 200 join the same room", &here);
    Ok(apart.map(|figure| figure.at_most(2.0)).into_iter().chain(beside).collect())
}

fn figure(what: &str, pairs: &[[f64; 2]]) -> Option<Figure> {
    let ratios: Vec<f64> = pairs.iter().map(|[storm, idle]| storm / idle).collect();
    let notes: Vec<String> = pairs.iter().map(|[storm, idle]| format!("{storm:.2} and {idle:.2}")).collect();
    let note = format!("ms with and without, by turn: {}", notes.join(", "));
    Some(Figure::new(11, what, median(&ratios)?, "times").note(note))
}

/// Of a run that counts, of those who were there before.
async fn p99(args: &GoalsArgs, storm: Storm) -> anyhow::Result<Option<f64>> {
    let Some(mut scenario) = preset("join-storm") else { return Ok(None) };
    (scenario.storm, scenario.duration) = (0, DURATION);
    let server = Running::start(Opponent::Madang, &args.host).await?;
    let run_args = RunArgs { target: Target::Madang, ..server.run_args("join-storm", Changes::default()) };
    let elsewhere = RunArgs { room: "elsewhere".to_owned(), ..run_args.clone() };
    let where_to = if matches!(storm, Storm::Here) { &run_args } else { &elsewhere };
    let newcomers = Fleet::new(where_to, scenario.clone())?.numbered_from(NEWCOMERS);
    let count = if matches!(storm, Storm::None) { 0 } else { STORM };
    let (report, joined) = tokio::join!(crate::run::run_scenario(&run_args, scenario), join_amid(&newcomers, count));
    server.stop().await;
    let (report, _members) = (report?, joined?);
    Ok(report.measured.latency.filter(|_| report.verdict.void.is_empty()).map(|latency| latency.p99_ms))
}

/// All of them begin within a second.
async fn join_amid(fleet: &Fleet, count: u32) -> anyhow::Result<Vec<Member>> {
    let joins = (0..count).map(|number| async move {
        tokio::time::sleep(BEFORE_STORM + Duration::from_secs(1) * number / count).await;
        fleet.join(0, Role::VIEWER, false).await
    });
    futures_util::future::try_join_all(joins).await
}
