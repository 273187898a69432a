//! One run, from the first publisher to the report.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::{join_all, try_join_all};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::RunArgs;
use crate::context::Context;
use crate::cpu::CpuMeter;
use crate::media::AUDIO_PACKET_MS;
use crate::peer::local_address_for;
use crate::publisher::{Media, Publisher};
use crate::report::{Environment, Generator, Joins, Measured, Report, Scenario, ServerCpu, Traffic};
use crate::stats::{Histogram, Percentiles};
use crate::token::TokenMint;
use crate::viewer::{JoinTimes, Lines, Viewer};
use crate::whip::Endpoint;

/// How long viewers may wait for their first keyframe, after the last has joined.
const WARM_UP: Duration = Duration::from_secs(10);
/// Between the last join and the window, so that joins are not measured as forwarding.
const SETTLE: Duration = Duration::from_secs(1);
/// How often threads are looked at, and progress is shown.
const TICK: Duration = Duration::from_millis(200);
/// How long packets, retransmissions among them, may arrive after the window.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// CPU time and length of the window.
struct Window {
    length: Duration,
    server: Option<Duration>,
    generator: Duration,
}

/// Runs one scenario.
pub async fn run(args: &RunArgs) -> anyhow::Result<Report> {
    let media = args.media()?;
    // The server's process is looked up first: a wrong one should not cost a run.
    let server = args.server_pid.map(|pid| CpuMeter::of_process(pid).with_context(|| format!("--server-pid {pid}")));
    server.transpose()?;
    let context = Arc::new(context(args)?);
    let bar = progress_bar(args.quiet);

    bar.set_message("publishers join");
    let publishers = start_publishers(&context, args, media).await?;
    let viewers = join_viewers(&context, args, media, &bar).await?;
    bar.set_message("viewers wait for a keyframe");
    let starved = warm_up(&viewers, media).await;
    tokio::time::sleep(SETTLE).await;
    let window = measure(&context, args, &bar).await?;
    bar.set_message("stragglers arrive");
    tokio::time::sleep(STRAGGLERS).await;
    anyhow::ensure!(!publishers.iter().any(Publisher::has_failed), "a publisher could not go on sending");

    let environment = environment(&context, &viewers).await;
    let measured = evaluate(args, media, &publishers, &viewers, &window, starved);
    bar.finish_and_clear();
    leave(publishers, viewers).await;
    Ok(Report::new(scenario(args, media), environment, measured, args.thresholds()))
}

fn context(args: &RunArgs) -> anyhow::Result<Context> {
    let client = reqwest::Client::new();
    let whip = Endpoint::new(client.clone(), &args.url, "whip", &args.room)?;
    let whep = Endpoint::new(client, &args.url, "whep", &args.room)?;
    let mint = TokenMint { key: args.token_key.clone(), secret: args.token_secret.clone(), room: args.room.clone() };
    Ok(Context::new(local_address_for(&args.url)?, whip, whep, mint))
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

async fn start_publishers(context: &Arc<Context>, args: &RunArgs, media: Media) -> anyhow::Result<Vec<Publisher>> {
    // People's cameras do not tick alike: publishers are spread over a frame.
    let phase = Duration::from_secs(1) / args.fps / u32::from(args.publishers);
    let starts = (0..args.publishers).map(|index| Publisher::start(context, index, media, phase * u32::from(index)));
    try_join_all(starts).await.context("publishers")
}

async fn join_viewers(
    context: &Arc<Context>,
    args: &RunArgs,
    media: Media,
    bar: &ProgressBar,
) -> anyhow::Result<Vec<Viewer>> {
    let count = usize::from(args.publishers);
    let lines = Lines {
        audio: if media.audio.is_some() { count } else { 0 },
        video: if media.video.is_some() { count } else { 0 },
    };
    bar.set_length(args.viewers.into());
    bar.set_message("viewers join");
    let start = tokio::time::Instant::now();
    let joins = (0..args.viewers).map(|index| {
        let (context, bar) = (Arc::clone(context), bar.clone());
        let begin = start + Duration::from_secs_f64(f64::from(index) / args.join_rate);
        tokio::spawn(async move {
            tokio::time::sleep_until(begin).await;
            let viewer = Viewer::join(&context, index.into(), lines).await;
            bar.inc(1);
            viewer
        })
    });
    let mut viewers = Vec::new();
    for viewer in join_all(joins).await {
        viewers.push(viewer?.context("viewers")?);
    }
    Ok(viewers)
}

/// Waits until every viewer has what it came for; returns how many have not.
async fn warm_up(viewers: &[Viewer], media: Media) -> usize {
    let is_starved = |viewer: &&Viewer| {
        let tally = viewer.tally();
        if media.video.is_some() { tally.first_keyframe.is_none() } else { tally.first_packet.is_none() }
    };
    let deadline = Instant::now() + WARM_UP;
    loop {
        let starved = viewers.iter().filter(is_starved).count();
        if starved == 0 || Instant::now() > deadline {
            return starved;
        }
        tokio::time::sleep(TICK).await;
    }
}

async fn measure(context: &Context, args: &RunArgs, bar: &ProgressBar) -> anyhow::Result<Window> {
    let mut server = args.server_pid.map(CpuMeter::of_process).transpose().context("the server's process is gone")?;
    let mut generator = CpuMeter::of_self().context("this process's CPU time")?;
    bar.set_message("measuring");
    bar.set_length(args.duration.as_secs());
    bar.set_position(0);
    let start = Instant::now();
    context.set_measuring(true);
    loop {
        let left = args.duration.saturating_sub(start.elapsed());
        tokio::time::sleep(TICK.min(left)).await;
        if left <= TICK {
            context.set_measuring(false);
        }
        let length = start.elapsed();
        let server = server.as_mut().map(CpuMeter::read).transpose().context("the server's process is gone")?;
        let generator = generator.read()?;
        if left <= TICK {
            return Ok(Window { length, server, generator });
        }
        bar.set_position(length.as_secs());
    }
}

fn evaluate(
    args: &RunArgs,
    media: Media,
    publishers: &[Publisher],
    viewers: &[Viewer],
    window: &Window,
    starved_viewers: usize,
) -> Measured {
    let seconds = window.length.as_secs_f64();
    let delivered = delivered(viewers, seconds);
    let sum = |of: fn(&Publisher) -> u64| publishers.iter().map(of).sum::<u64>();
    let video = sum(|publisher| publisher.sent.video.load(Ordering::Relaxed));
    let audio = sum(|publisher| publisher.sent.audio.load(Ordering::Relaxed));
    let bits = sum(|publisher| publisher.sent.bytes.load(Ordering::Relaxed)) * 8;
    let sent = Traffic { video, audio, bitrate: bits as f64 / seconds };
    let expected = sent.packets() * viewers.len() as u64;
    let lost = expected.saturating_sub(delivered.packets());
    Measured {
        seconds,
        sent,
        delivered,
        loss_percent: if expected == 0 { 0.0 } else { lost as f64 * 100.0 / expected as f64 },
        duplicates: viewers.iter().map(|viewer| viewer.tally().duplicates).sum(),
        keyframes: sum(|publisher| publisher.sent.keyframes.load(Ordering::Relaxed)),
        server: window.server.map(|cpu| server_cpu(cpu, window.length, delivered.packets())),
        generator: Generator {
            cpu_share: window.generator.as_secs_f64() / (seconds * cores() as f64),
            sent_share: sent_share(args, media, publishers, seconds),
        },
        joins: joins(viewers),
        latency: latency(viewers),
        starved_viewers,
    }
}

fn delivered(viewers: &[Viewer], seconds: f64) -> Traffic {
    let mut total = Traffic { video: 0, audio: 0, bitrate: 0.0 };
    for viewer in viewers {
        let tally = viewer.tally();
        total.video += tally.video.packets;
        total.audio += tally.audio.packets;
        total.bitrate += (tally.video.bytes + tally.audio.bytes) as f64 * 8.0 / seconds;
    }
    total
}

fn server_cpu(cpu: Duration, length: Duration, packets: u64) -> ServerCpu {
    let seconds = cpu.as_secs_f64();
    ServerCpu {
        seconds,
        percent_of_core: seconds * 100.0 / length.as_secs_f64(),
        us_per_packet: (packets > 0).then(|| seconds * 1e6 / packets as f64),
    }
}

/// Frames and audio packets sent over those that the clock asked for.
fn sent_share(args: &RunArgs, media: Media, publishers: &[Publisher], seconds: f64) -> f64 {
    let mut wanted = 0.0;
    let mut sent = 0;
    for publisher in publishers {
        if media.video.is_some() {
            wanted += (seconds * f64::from(args.fps)).floor();
            sent += publisher.sent.frames.load(Ordering::Relaxed);
        }
        if media.audio.is_some() {
            wanted += (seconds * 1_000.0 / f64::from(AUDIO_PACKET_MS)).floor();
            sent += publisher.sent.audio.load(Ordering::Relaxed);
        }
    }
    if wanted == 0.0 { 1.0 } else { sent as f64 / wanted }
}

fn joins(viewers: &[Viewer]) -> Joins {
    let times: Vec<JoinTimes> = viewers.iter().map(Viewer::join_times).collect();
    let of =
        |pick: fn(&JoinTimes) -> Option<Duration>| Percentiles::of(&times.iter().filter_map(pick).collect::<Vec<_>>());
    Joins {
        connected: of(|times| Some(times.connected)),
        first_packet: of(|times| times.first_packet),
        first_keyframe: of(|times| times.first_keyframe),
    }
}

fn latency(viewers: &[Viewer]) -> Option<Percentiles> {
    let mut all = Histogram::default();
    viewers.iter().for_each(|viewer| all.merge(&viewer.tally().latency));
    all.percentiles()
}

async fn environment(context: &Context, viewers: &[Viewer]) -> Environment {
    let profiles = join_all(viewers.iter().map(|viewer| viewer.peer.srtp_profile())).await;
    let mut srtp: Vec<String> = profiles.into_iter().flatten().collect();
    srtp.sort_unstable();
    srtp.dedup();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let is_virtual = cpuinfo.split_whitespace().any(|flag| flag == "hypervisor");
    Environment { cores: cores(), is_virtual, loopback: context.local.is_loopback(), srtp }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn scenario(args: &RunArgs, media: Media) -> Scenario {
    Scenario {
        url: args.url.to_string(),
        publishers: args.publishers,
        viewers: args.viewers,
        video_bitrate: args.video_bitrate,
        audio_bitrate: args.audio_bitrate,
        fps: args.fps,
        packets_per_frame: media.video.map_or(0, |shape| shape.frame_packets()),
        pacing: args.pacing,
    }
}

/// Everybody leaves. A server that fails at that has still been measured.
async fn leave(publishers: Vec<Publisher>, viewers: Vec<Viewer>) {
    let _ = join_all(viewers.into_iter().map(Viewer::leave)).await;
    let _ = join_all(publishers.into_iter().map(Publisher::stop)).await;
}
