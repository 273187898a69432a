//! `madang-load soak`: hours of what wears a server out, and whether it is then what it was before.
//!
//! The server is started here: its log goes to a full disk, and it may have few descriptors. Each round has a small call that
//! must work, and beside it [`crowd`]: clients that leave without a word, that are stopped, that never read, whose sockets are
//! reset, and more connections than there are descriptors. A round takes some seconds.
//!
//! The [`footprint`] after the first round is the baseline: heaps and threads have then been made. After the last round all
//! must be back at it, within bounds: memory, descriptors, threads, tasks, rooms, participants, WebSockets.

mod crowd;
mod footprint;

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use indicatif::ProgressBar;

use crate::cli::{Changes, RunArgs, SoakArgs};
use crate::fleet::{Fleet, Role};
use crate::scenario::{Audio, Scenario, Video};
use crate::units::Bitrate;
use crate::versus::servers::Running;
use crowd::Crowd;
use footprint::{Bound, Footprint};

/// What is set so that a round is over soon after its last client: else a session lasts for half a minute, a room for five.
const SHORT_LIVES: [(&str, &str); 6] = [
    ("MADANG_SESSIONS__RESUME_GRACE", "1s"),
    ("MADANG_SESSIONS__PING_INTERVAL", "1s"),
    ("MADANG_ROOMS__EMPTY_TIMEOUT", "1s"),
    ("MADANG_MEDIA__CONSENT_TIMEOUT", "5s"),
    ("MADANG_MEDIA__HANDSHAKE_TIMEOUT", "5s"),
    ("MADANG_MEDIA__INTERRUPTION_TIMEOUT", "5s"),
];
/// How many publish in the call of a round, and how many watch.
const CALL: (u32, u32) = (2, 3);
/// A join, and the first picture after it, may take so long: the crowd is there as well.
const PICTURE: Duration = Duration::from_secs(15);
/// By then the server must be back at the baseline.
const SETTLED: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

/// What was found.
#[derive(Debug)]
pub struct Report {
    rounds: u32,
    lasted: Duration,
    bounds: Vec<Bound>,
    /// The most that were open at a time, and how many may be.
    descriptors: (u64, u32),
}

impl Report {
    /// Whether everything is back.
    pub fn is_well(&self) -> bool {
        self.bounds.iter().all(Bound::holds)
    }

    /// As a table.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "Soak: {} rounds in {:.1} minutes; at most {} of {} descriptors were taken.\n\n\
             | What | Baseline | Afterwards | At most | |\n|---|--:|--:|--:|---|\n",
            self.rounds,
            self.lasted.as_secs_f64() / 60.0,
            self.descriptors.0,
            self.descriptors.1,
        );
        for bound in &self.bounds {
            let verdict = if bound.holds() { "ok" } else { "**too much**" };
            let _ =
                writeln!(text, "| {} | {} | {} | {} | {verdict} |", bound.what, bound.before, bound.after, bound.most);
        }
        text
    }
}

/// Runs rounds until the time is over, at least two. Fails if a call fails, or the server ends.
pub async fn soak(args: &SoakArgs, bar: &ProgressBar) -> anyhow::Result<Report> {
    let began = Instant::now();
    let lasts = Duration::from_secs_f64(args.minutes * 60.0);
    let server = Running::start_to_be_hurt(&args.host, args.descriptors, &SHORT_LIVES).await?;
    let mut crowd = Crowd::new(&server, args.descriptors);
    let mut baseline = None;
    let mut rounds = 0;
    while rounds < 2 || began.elapsed() < lasts {
        bar.set_message(format!("round {}", rounds + 1));
        round(&server, &mut crowd, rounds).await.with_context(|| format!("round {}", rounds + 1))?;
        rounds += 1;
        if baseline.is_none() {
            baseline = Some(settled(&server, None).await?);
        }
    }
    bar.set_message("settling");
    let baseline = baseline.context("no round")?;
    let after = settled(&server, Some(&baseline)).await?;
    // Who is back at the baseline must still serve.
    call(&server, rounds).await.context("the call after the last round")?;
    server.stop().await;
    let bounds = Bound::all(&baseline, &after);
    Ok(Report { rounds, lasted: began.elapsed(), bounds, descriptors: (crowd.most_descriptors, args.descriptors) })
}

/// A call amid a crowd, then one after it.
async fn round(server: &Running, crowd: &mut Crowd, number: u32) -> anyhow::Result<()> {
    let crowded = crowd.arrive(server, number).await?;
    call(server, number * 2).await.context("the call amid the crowd")?;
    crowd.exhaust_descriptors(server).await?;
    crowded.vanish().await;
    call(server, number * 2 + 1).await.context("the call after the crowd")?;
    ensure!(server.is_alive().await, "/livez is not 200");
    Ok(())
}

/// Publishers and viewers join, see a picture, and leave as they should.
async fn call(server: &Running, number: u32) -> anyhow::Result<()> {
    let scenario = Scenario {
        publishers: CALL.0,
        viewers: CALL.1,
        video: Some(Video { bitrate: Bitrate(200_000), fps: 10, ..Video::default() }),
        audio: Some(Audio::default()),
        ..Scenario::default()
    };
    let args = RunArgs {
        room: format!("call-{number}"),
        threads: Some(1),
        ..server.run_args("livestream", Changes::default())
    };
    let fleet = Arc::new(Fleet::new(&args, scenario)?);
    let roles = (0..CALL.0).map(|_| Role::PUBLISHER).chain((0..CALL.1).map(|_| Role::VIEWER));
    let mut members = Vec::new();
    for role in roles {
        let joined = tokio::time::timeout(PICTURE, fleet.join(0, role, false)).await;
        members.push(joined.context("a join took too long")??);
    }
    for member in members.iter().filter(|member| member.role == Role::VIEWER) {
        let mut progress = member.parts[0].progress.clone();
        let seen = progress.wait_for(|now| now.first_keyframe.is_some());
        let seen = tokio::time::timeout(PICTURE, seen).await.context("no picture came")?;
        drop(seen.context("its thread has ended")?);
    }
    let leaves = members.into_iter().map(|member| member.leave(&fleet.engine));
    futures_util::future::join_all(leaves).await;
    Ok(())
}

/// Waits until all have gone, and what they took is given back. After [`SETTLED`] it is what it is.
async fn settled(server: &Running, baseline: Option<&Footprint>) -> anyhow::Result<Footprint> {
    let deadline = Instant::now() + SETTLED;
    let mut last = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = Footprint::of(server).await?;
        // The baseline is there once nothing changes any more; the end, once it is within its bounds.
        let is_back = match (baseline, &last) {
            (Some(baseline), _) => Bound::all(baseline, &now).iter().all(Bound::holds),
            (None, Some(before)) => now.is_empty() && now.is_like(before),
            (None, None) => false,
        };
        if is_back || Instant::now() > deadline {
            return Ok(now);
        }
        last = Some(now);
    }
}
