//! One run, from the first publisher to the report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::RunArgs;
use crate::events::Events;
use crate::fleet::{Fleet, Member, Role};
use crate::probe::{Probe, Reading, Sample};
use crate::report::{Environment, Report};
use crate::scenario::Scenario;

/// How long receivers may wait for their first keyframe, after the last has joined.
const WARM_UP: Duration = Duration::from_secs(10);
/// Between the last join and the window, so that joins are not measured as forwarding.
const SETTLE: Duration = Duration::from_secs(1);
/// How often threads are looked at, and progress is shown.
const TICK: Duration = Duration::from_millis(200);
/// One sample of the timeline.
const SAMPLE: Duration = Duration::from_secs(1);
/// How long packets, retransmissions among them, may arrive after the window.
const STRAGGLERS: Duration = Duration::from_secs(1);
/// How long after all have left the server's memory is read.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bad seconds in a row that end a run.
const BAD_SECONDS: usize = 3;

/// What a run brought, before it is judged.
pub struct Outcome {
    /// Before anybody joined.
    pub idle: Reading,
    /// After the last join.
    pub joined: Reading,
    /// When the window opened.
    pub start: Reading,
    /// When it closed: CPU and memory count up to here.
    pub end: Reading,
    /// After the stragglers: packets count up to here.
    pub late: Reading,
    /// The server's memory after all have left, in bytes.
    pub left: Option<u64>,
    /// Members during the joins, and the server's memory, in bytes.
    pub growth: Vec<(usize, u64)>,
    /// Second by second.
    pub timeline: Vec<Sample>,
    /// Members at the end.
    pub members: usize,
    /// Receivers that never saw what they came for.
    pub starved: usize,
    /// Members whose connection ended by itself, or never came to be, and the first reason.
    pub failures: (usize, Option<String>),
    /// Join times.
    pub joins: Vec<crate::viewer::JoinTimes>,
    /// Why it ended early, if it did.
    pub stopped: Option<String>,
}

/// Runs the scenario that the flags say.
pub async fn run(args: &RunArgs) -> anyhow::Result<Report> {
    run_scenario(args, args.resolve()?).await
}

/// Runs a scenario; the flags say where.
pub async fn run_scenario(args: &RunArgs, scenario: Scenario) -> anyhow::Result<Report> {
    raise_file_limit();
    // The server's process is looked up first: a wrong one should not cost a run.
    let mut probe = Probe::new(args.server_pid)?;
    let fleet = Arc::new(Fleet::new(args, scenario.clone())?);
    let bar = progress_bar(args.quiet);
    let mut members = Vec::new();
    let idle = probe.read(&fleet, &members).await?;
    let growth = join_all_roles(&fleet, &scenario, &mut members, &mut probe, &bar).await?;
    let joined = probe.read(&fleet, &members).await?;
    bar.set_message("waiting for keyframes");
    let starved = warm_up(&members, &scenario).await;
    tokio::time::sleep(SETTLE).await;

    let mut window = Window::open(&fleet, &mut probe, &members, &bar).await?;
    window.run(&fleet, &mut members, &mut probe, &scenario).await?;
    let Window { start, timeline, stopped, mut joins, mut failures, .. } = window;
    fleet.context().set_measuring(false);
    let end = probe.read(&fleet, &members).await?;
    bar.set_message("stragglers arrive");
    tokio::time::sleep(STRAGGLERS).await;
    let late = probe.read(&fleet, &members).await?;
    for reason in members.iter().filter_map(Member::failure) {
        failures.0 += 1;
        failures.1.get_or_insert(reason);
    }
    joins.extend(members.iter().filter(|member| member.role.receives).map(Member::join_times));
    let environment = environment(args, &fleet, &members).await;
    let count = members.len();
    bar.set_message("leaving");
    join_all(members.into_iter().map(|member| member.leave(&fleet.engine))).await;
    tokio::time::sleep(FAREWELL.min(scenario.duration.0)).await;
    let left = probe.memory();
    bar.finish_and_clear();
    let outcome = Outcome {
        idle,
        joined,
        start,
        end,
        late,
        left,
        growth,
        timeline,
        members: count,
        starved,
        failures,
        joins,
        stopped,
    };
    Ok(Report::new(scenario, environment, &outcome))
}

/// Thousands of sockets need as many file descriptors as the system allows.
pub(crate) fn raise_file_limit() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
            // Without it, large runs fail with the system's own message.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
    }
}

fn progress_bar(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_bar} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}

/// Who joins, in order: those who only send first, since some servers show a newcomer only what is there.
fn roster(scenario: &Scenario) -> Vec<(usize, Role)> {
    let roles = [
        (Role::PUBLISHER, scenario.publishers),
        (Role::PARTICIPANT, scenario.participants),
        (Role::VIEWER, scenario.viewers),
    ];
    let mut roster = Vec::new();
    for (role, count) in roles {
        for _ in 0..count {
            roster.extend((0..scenario.rooms as usize).map(|room| (room, role)));
        }
    }
    roster
}

/// Spreads peers of the `webrtc` crate evenly among the others.
pub(crate) fn is_webrtc(index: usize, share: f64) -> bool {
    (((index + 1) as f64) * share).floor() > ((index as f64) * share).floor()
}

async fn join_all_roles(
    fleet: &Arc<Fleet>,
    scenario: &Scenario,
    members: &mut Vec<Member>,
    probe: &mut Probe,
    bar: &ProgressBar,
) -> anyhow::Result<Vec<(usize, u64)>> {
    let roster = roster(scenario);
    bar.set_length(roster.len() as u64);
    bar.set_message("joining");
    let (publishers, others) = roster.split_at((scenario.publishers * scenario.rooms) as usize);
    let mut growth = Vec::new();
    for group in [publishers, others] {
        let start = tokio::time::Instant::now();
        let mut joining: FuturesUnordered<_> = group
            .iter()
            .enumerate()
            .map(|(index, &(room, role))| {
                let (fleet, share) = (Arc::clone(fleet), scenario.webrtc_share);
                let begin = start + Duration::from_secs_f64(index as f64 / scenario.join_rate);
                tokio::spawn(async move {
                    tokio::time::sleep_until(begin).await;
                    fleet.join(room, role, is_webrtc(index, share)).await
                })
            })
            .collect();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                joined = joining.next() => match joined {
                    Some(member) => members.push(member??),
                    None => break,
                },
                _ = ticks.tick() => {
                    probe.touch();
                    growth.extend(probe.memory().map(|pss| (members.len(), pss)));
                }
            }
            bar.set_position(members.len() as u64);
        }
    }
    growth.extend(probe.memory().map(|pss| (members.len(), pss)));
    Ok(growth)
}

/// Waits until every receiver has what it came for; returns how many have not.
async fn warm_up(members: &[Member], scenario: &Scenario) -> usize {
    let is_starved = |member: &&Member| {
        let times = member.join_times();
        let alone = scenario.senders() == 1 && member.role.sends;
        let waits = member.role.receives && !alone;
        waits && if scenario.video.is_some() { times.first_keyframe.is_none() } else { times.first_packet.is_none() }
    };
    let deadline = Instant::now() + WARM_UP;
    loop {
        let starved = members.iter().filter(is_starved).count();
        if starved == 0 || Instant::now() > deadline {
            return starved;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// The window in which packets are measured.
struct Window {
    start: Reading,
    last: Reading,
    timeline: Vec<Sample>,
    bad: usize,
    stopped: Option<String>,
    /// Of receivers that left within the window.
    joins: Vec<crate::viewer::JoinTimes>,
    failures: (usize, Option<String>),
    bar: ProgressBar,
}

impl Window {
    async fn open(fleet: &Fleet, probe: &mut Probe, members: &[Member], bar: &ProgressBar) -> anyhow::Result<Self> {
        bar.set_message("measuring");
        let start = probe.read(fleet, members).await?;
        fleet.context().set_measuring(true);
        let last = start.clone();
        let bar = bar.clone();
        let (joins, failures) = (Vec::new(), (0, None));
        Ok(Self { start, last, timeline: Vec::new(), bad: 0, stopped: None, joins, failures, bar })
    }

    /// Samples, and lets happen what the scenario says, until the time is over or a stop rule holds.
    async fn run(
        &mut self,
        fleet: &Arc<Fleet>,
        members: &mut Vec<Member>,
        probe: &mut Probe,
        scenario: &Scenario,
    ) -> anyhow::Result<()> {
        let begin = tokio::time::Instant::now();
        let length = scenario.step.as_ref().map_or(scenario.duration.0, |step| {
            let steps = step.max.saturating_sub(scenario.viewers).div_ceil(step.viewers.max(1)) + 1;
            step.every.0 * steps
        });
        self.bar.set_length(length.as_secs());
        let mut events = Events::new(Arc::clone(fleet), scenario, members.len());
        let mut ticks = tokio::time::interval_at(begin + TICK, TICK);
        let mut next_sample = begin + SAMPLE.min(length);
        loop {
            tokio::select! {
                _ = ticks.tick() => probe.touch(),
                _ = tokio::time::sleep_until(next_sample) => {
                    self.sample(fleet, members, probe, scenario).await?;
                    if begin.elapsed() >= length || self.stopped.is_some() {
                        break;
                    }
                    next_sample = (next_sample + SAMPLE).min(begin + length);
                    self.bar.set_position(begin.elapsed().as_secs());
                }
                happened = events.next(members) => happened.context("an event of the scenario")?,
            }
        }
        self.joins.append(&mut events.joins);
        self.failures = (self.failures.0 + events.failures.0, events.failures.1.take());
        events.finish(members).await;
        Ok(())
    }

    async fn sample(
        &mut self,
        fleet: &Fleet,
        members: &[Member],
        probe: &mut Probe,
        scenario: &Scenario,
    ) -> anyhow::Result<()> {
        let reading = probe.read(fleet, members).await?;
        let sample = probe.sample(&self.last, &reading, members.len());
        self.last = reading;
        self.timeline.push(sample);
        self.bar.set_message(format!(
            "{} members, {:.0} packets/s, {:.1} Mbps, loss {:.2} %, p99 {}, server {}",
            sample.members,
            sample.packets,
            sample.bitrate / 1e6,
            sample.loss_percent,
            sample.p99_ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms")),
            sample.server_cpu.map_or("-".to_owned(), |cpu| format!("{cpu:.0} %")),
        ));
        let stop = &scenario.stop;
        let lost = stop.loss_percent.filter(|limit| sample.loss_percent > *limit);
        let late = sample.p99_ms.zip(stop.latency_p99_ms).filter(|(p99, limit)| p99 > limit);
        self.bad = if lost.is_some() || late.is_some() { self.bad + 1 } else { 0 };
        if self.bad >= BAD_SECONDS {
            let why = match lost {
                Some(_) => format!("{:.2} % lost", sample.loss_percent),
                None => format!("p99 {:.0} ms", sample.p99_ms.unwrap_or_default()),
            };
            self.stopped = Some(format!("{why} for {BAD_SECONDS} s, with {} members", sample.members));
        }
        Ok(())
    }
}

async fn environment(args: &RunArgs, fleet: &Fleet, members: &[Member]) -> Environment {
    let profiles = join_all(members.iter().filter(|member| member.role.receives).map(Member::srtp_profile)).await;
    let mut srtp: Vec<String> = profiles.into_iter().flatten().collect();
    srtp.sort_unstable();
    srtp.dedup();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Environment {
        target: args.target,
        url: args.url.to_string(),
        cores: cores(),
        is_virtual: cpuinfo.split_whitespace().any(|flag| flag == "hypervisor"),
        loopback: fleet.context().local.is_loopback(),
        srtp,
    }
}

/// Processors that this program may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_stacks_are_spread_evenly() {
        let picked = |share| (0..10).filter(|index| is_webrtc(*index, share)).collect::<Vec<_>>();
        assert_eq!(picked(0.2), [4, 9]);
        assert!(picked(0.0).is_empty());
        assert_eq!(picked(1.0).len(), 10);
    }

    #[test]
    fn publishers_come_first_and_rooms_fill_alike() {
        let scenario = Scenario { rooms: 2, publishers: 1, viewers: 1, ..Scenario::default() };
        let roles: Vec<_> = roster(&scenario).into_iter().map(|(room, role)| (room, role.sends)).collect();
        assert_eq!(roles, [(0, true), (1, true), (0, false), (1, false)]);
    }
}
