//! Row 10: memory as the slope of PSS. Idle participants join by Madang's own protocol, in rooms of ten, with ten pairs of
//! empty slots each, as the SDK offers them. What a subscription takes is the difference between viewers of ten
//! publishers and viewers of one, per further pair. At the end all leave, and what is left is told.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use indicatif::ProgressBar;

use super::{Curve, Figure};
use crate::cli::{Changes, GoalsArgs, Opponent, RunArgs, Target};
use crate::cpu::CpuMeter;
use crate::fleet::{Fleet, Member, Role};
use crate::memory::{pss, slope};
use crate::scenario::{Audio, Scenario, Video};
use crate::units::Bitrate;
use crate::versus::servers::Running;

const KIB: f64 = 1024.0;
const MIB: f64 = KIB * KIB;
const STEPS: u32 = 10;
/// Joins under way at a time.
const AT_ONCE: usize = 20;
/// Buffers that are given back late are given back within this.
const SETTLE: Duration = Duration::from_secs(2);
/// The same after all have left.
const FAREWELL: Duration = Duration::from_secs(5);
/// The room of one publisher, and that of so many.
const PUBLISHERS: usize = 10;
const VIEWERS: u32 = 100;
const ROOM: u32 = 10;

type Found = (Vec<Figure>, Vec<Curve>);

/// Measures on two fresh servers.
pub(super) async fn measure(args: &GoalsArgs, bar: &ProgressBar) -> anyhow::Result<Found> {
    bar.set_message("memory of idle participants");
    let server = Running::start(Opponent::Madang, &args.host).await?;
    let mut found = idle(&server, args.participants).await?;
    server.stop().await;
    bar.set_message("memory of subscriptions");
    let server = Running::start(Opponent::Madang, &args.host).await?;
    let (figure, curves) = subscriptions(&server).await?;
    server.stop().await;
    found.0.push(figure);
    found.1.extend(curves);
    Ok(found)
}

async fn idle(server: &Running, participants: u32) -> anyhow::Result<Found> {
    // The publishers are never there; they say how many slots a viewer offers.
    let scenario = scenario(participants.div_ceil(ROOM), PUBLISHERS as u32);
    let fleet = fleet(server, scenario, "idle")?;
    let mut cpu = CpuMeter::of_tree(server.pid)?;
    let (before, mut used) = (pss(server.pid)?, Duration::ZERO);
    let (mut members, mut points) = (Vec::new(), Vec::new());
    for step in 1..=STEPS {
        let target = participants * step / STEPS;
        let start = cpu.read()?;
        members.extend(join(&fleet, members.len() as u32..target, |number| number / ROOM).await?);
        used += cpu.read()?.saturating_sub(start);
        tokio::time::sleep(SETTLE).await;
        points.push((f64::from(target), pss(server.pid)? as f64));
    }
    let peak = pss(server.pid)?;
    leave(members, &fleet).await;
    tokio::time::sleep(FAREWELL).await;
    let left = pss(server.pid)?;
    let given_back = peak.saturating_sub(left) as f64 / peak.saturating_sub(before).max(1) as f64;
    let figures = vec![
        Figure::new(10, "memory per idle participant", slope(&points).unwrap_or_default() / KIB, "KiB")
            .at_most(64.0)
            .note(format!("slope of PSS from {} to {participants}, ten pairs of slots each", participants / STEPS)),
        Figure::new(10, "given back after all left", given_back * 100.0, "%").note(format!(
            "{:.1} MiB before, {:.1} at the peak, {:.1} after {} s",
            before as f64 / MIB,
            peak as f64 / MIB,
            left as f64 / MIB,
            FAREWELL.as_secs(),
        )),
        Figure::new(11, "whole joins per CPU second", f64::from(participants) / used.as_secs_f64(), "")
            .at_least(1_000.0)
            .note("WebSocket, token, SDP with 20 m-lines, ICE, DTLS, and telling nine others".to_owned()),
    ];
    Ok((figures, vec![curve("idle participants", &points)]))
}

async fn subscriptions(server: &Running) -> anyhow::Result<(Figure, Vec<Curve>)> {
    let mut slopes = Vec::new();
    let mut curves = Vec::new();
    let mut all = Vec::new();
    for publishers in [1, PUBLISHERS] {
        let fleet = fleet(server, scenario(1, publishers as u32), &format!("of-{publishers}"))?;
        let mut members = Vec::new();
        for _ in 0..publishers {
            members.push(fleet.join(0, Role::PUBLISHER, false).await?);
        }
        let mut points = Vec::new();
        for step in 0..STEPS {
            members.extend(join(&fleet, VIEWERS * step / STEPS..VIEWERS * (step + 1) / STEPS, |_| 0).await?);
            tokio::time::sleep(SETTLE).await;
            points.push((f64::from(VIEWERS * (step + 1) / STEPS), pss(server.pid)? as f64));
        }
        slopes.push(slope(&points).unwrap_or_default());
        curves.push(curve(&format!("viewers of {publishers}"), &points));
        all.push((members, fleet));
    }
    for (members, fleet) in all {
        leave(members, &fleet).await;
    }
    let further = 2 * (PUBLISHERS - 1);
    let figure = Figure::new(
        10,
        "memory per further subscription",
        (slopes[1] - slopes[0]) / further as f64 / KIB,
        "KiB",
    )
    .at_most(8.0)
    .note(format!(
        "viewers of {PUBLISHERS} publishers take {:.0} KiB each, of one {:.0} KiB; {further} subscriptions more",
        slopes[1] / KIB,
        slopes[0] / KIB,
    ));
    Ok((figure, curves))
}

fn curve(name: &str, points: &[(f64, f64)]) -> Curve {
    Curve { name: name.to_owned(), points: points.iter().map(|(x, y)| (*x, y / MIB)).collect() }
}

/// Little media, so that the load is none.
fn scenario(rooms: u32, publishers: u32) -> Scenario {
    Scenario {
        rooms,
        publishers,
        viewers: ROOM,
        video: Some(Video { bitrate: Bitrate(40_000), fps: 5, ..Video::default() }),
        audio: Some(Audio { speaking: Some(1), ..Audio::default() }),
        ..Scenario::default()
    }
}

fn fleet(server: &Running, scenario: Scenario, room: &str) -> anyhow::Result<Arc<Fleet>> {
    let args = server.run_args("livestream", Changes::default());
    let args = RunArgs { target: Target::Madang, room: room.to_owned(), ..args };
    Ok(Arc::new(Fleet::new(&args, scenario)?))
}

async fn join(
    fleet: &Arc<Fleet>,
    numbers: std::ops::Range<u32>,
    room: impl Fn(u32) -> u32,
) -> anyhow::Result<Vec<Member>> {
    let joins: Vec<_> = numbers.map(|number| fleet.join(room(number) as usize, Role::VIEWER, false)).collect();
    let mut joining = futures_util::stream::iter(joins).buffer_unordered(AT_ONCE);
    let mut members = Vec::new();
    while let Some(member) = joining.next().await {
        members.push(member?);
    }
    Ok(members)
}

async fn leave(members: Vec<Member>, fleet: &Fleet) {
    futures_util::future::join_all(members.into_iter().map(|member| member.leave(&fleet.engine))).await;
}
