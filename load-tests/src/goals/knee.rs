//! Row 4: how many packets per second a server delivers on one core before it loses any. Viewers of one stream come step by
//! step; what counts is the last step at which less than 0.1 % was lost, and viewers got what was sent. The server is pinned
//! by `--core`, and so should be this program, to another one (`taskset`): else both want the same.

use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;

use super::Figure;
use crate::cli::{Changes, GoalsArgs, Opponent};
use crate::report::{Report, StepResult};
use crate::scenario::{Scenario, Step, Stop, preset};
use crate::units::Span;
use crate::versus::servers::Running;

/// In per cent.
const MAX_LOSS: f64 = 0.1;
/// In per cent: who withholds video from some loses nothing, and is at its end all the same. A frame more or less within the
/// seconds that are measured is up to 3 %.
const MAX_WITHHELD: f64 = 5.0;
/// Newcomers take a second of it; the others are measured.
const STEP_TIME: Span = Span(Duration::from_secs(3));

/// Two and a half minutes; who is not at their end by then is said not to be.
const MAX_STEPS: u32 = 50;

/// Where a server's knee is.
struct Knee {
    packets: f64,
    note: String,
}

/// Madang's capacity over each other's.
pub(super) async fn measure(args: &GoalsArgs, bar: &ProgressBar) -> anyhow::Result<Vec<Figure>> {
    let ours = knee(args, Opponent::Madang, bar).await?;
    let mut figures = vec![
        Figure::new(4, "packets per second at less than 0.1 % loss, one core", ours.packets, "")
            .note(format!("Madang: {}", ours.note)),
    ];
    for &server in &args.against {
        let theirs = knee(args, server, bar).await?;
        let what = format!("the same against {}", server.name());
        let note = format!("{:.0} packets per second; {}", theirs.packets, theirs.note);
        let figure = Figure::new(4, &what, ours.packets / theirs.packets.max(1.0), "times").note(note);
        figures.push(if server == Opponent::Janus { figure.at_least(8.0) } else { figure });
    }
    Ok(figures)
}

async fn knee(args: &GoalsArgs, server: Opponent, bar: &ProgressBar) -> anyhow::Result<Knee> {
    bar.set_message(format!("capacity of {}", server.name()));
    let running = Running::start(server, &args.host).await?;
    let run_args = running.run_args("knee", Changes::default());
    let report = crate::run::run_scenario(&run_args, scenario(server).context("no such preset")?).await;
    running.stop().await;
    Ok(Knee::of(&report?))
}

/// Steps are a tenth of what is expected, for a server with trains and for one without.
fn scenario(server: Opponent) -> Option<Scenario> {
    let viewers = if matches!(server, Opponent::Madang | Opponent::Floor) { 60 } else { 15 };
    Some(Scenario {
        viewers,
        audio: None,
        join_rate: 60.0,
        // Opening all would cost this program more than the server spends.
        open_every: 64,
        step: Some(Step { viewers, every: STEP_TIME, max: viewers * MAX_STEPS }),
        stop: Stop { loss_percent: Some(1.0), latency_p99_ms: Some(250.0) },
        ..preset("knee")?
    })
}

impl Knee {
    fn of(report: &Report) -> Self {
        let steps = &report.measured.steps;
        let video = report.scenario.media().video;
        let sent = video.map_or(0.0, |video| video.frame_packets() as f64 * f64::from(video.fps));
        let over = |step: &StepResult| step.loss_percent > MAX_LOSS || withheld(step, sent) > MAX_WITHHELD;
        let sound = &steps[..steps.iter().position(over).unwrap_or(steps.len())];
        let best = sound.iter().max_by(|a, b| a.packets.total_cmp(&b.packets));
        let mut note = best.map_or("lost packets at once".to_owned(), |best| {
            let cpu = best.server_cpu.map_or(String::new(), |cpu| format!(", server CPU {cpu:.0} %"));
            let p99 = best.p99_ms.map_or(String::new(), |p99| format!(", p99 {p99:.1} ms"));
            format!("{} members{cpu}{p99}", best.members)
        });
        match (&report.measured.stopped, steps.get(sound.len())) {
            (_, Some(next)) if next.loss_percent > MAX_LOSS => {
                note += &format!("; then {:.2} % lost with {} members", next.loss_percent, next.members);
            }
            (_, Some(next)) => {
                note += &format!("; then {:.0} % withheld with {} members", withheld(next, sent), next.members);
            }
            (Some(reason), None) => note += &format!("; then {reason}"),
            (None, None) => note += "; it was never at its end",
        }
        let generator = report.timeline.iter().map(|sample| sample.generator_cpu).fold(0.0, f64::max);
        note += &format!("; the generator took up to {generator:.0} % of a core");
        let (failed, reason) =
            (report.measured.joins.failed, report.measured.joins.reason.as_deref().unwrap_or_default());
        if failed > 0 {
            note += &format!("; {failed} failed: {reason}");
        }
        for reason in report.verdict.void.iter().filter(|reason| reason.contains("generator")) {
            note += &format!("; {reason}");
        }
        Self { packets: best.map_or(0.0, |best| best.packets), note }
    }
}

/// How much less than `sent` packets per second viewers got, in per cent. The publisher is a member and no viewer.
fn withheld(step: &StepResult, sent: f64) -> f64 {
    let wanted = sent * (step.members as f64 - 1.0);
    if wanted > 0.0 { 100.0 - step.packets * 100.0 / wanted } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_viewers_should_have_got() {
        let step =
            |members, packets| StepResult { members, packets, server_cpu: None, loss_percent: 0.0, p99_ms: None };
        assert_eq!(withheld(&step(11, 2_700.0), 270.0), 0.0);
        assert_eq!(withheld(&step(11, 2_430.0), 270.0), 10.0);
        assert_eq!(withheld(&step(1, 0.0), 270.0), 0.0);
    }
}
