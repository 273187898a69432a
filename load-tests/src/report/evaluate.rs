//! From readings to figures.

use std::time::Duration;

use super::{Generator, Joins, LossBy, Measured, Picture, Repair, Server, StepResult, Traffic};
use crate::media::AUDIO_PACKET_MS;
use crate::memory::slope;
use crate::probe::Sample;
use crate::run::Outcome;
use crate::scenario::Scenario;
use crate::stats::Percentiles;
use crate::synthetic::totals::{SentTotals, Totals};
use crate::viewer::JoinTimes;

/// Fewer joins say little about their cost.
const COUNTED_JOINS: usize = 10;

/// What a run's readings mean.
pub(super) fn evaluate(scenario: &Scenario, cores: usize, outcome: &Outcome) -> Measured {
    let window = outcome.end.at.saturating_duration_since(outcome.start.at);
    let seconds = window.as_secs_f64();
    let totals = &outcome.late.totals;
    let sent = traffic(totals.sent.video.packets, totals.sent.audio.packets, bytes_sent(&totals.sent), seconds);
    let bytes = totals.audio.bytes + totals.video.bytes;
    let delivered = traffic(totals.video.packets, totals.audio.packets, bytes, seconds);
    let (loss_percent, loss_by) = loss(scenario, outcome);
    Measured {
        seconds,
        members: outcome.members,
        sent,
        delivered,
        packets_per_second: delivered.packets() as f64 / seconds,
        loss_percent,
        loss_by,
        duplicates: totals.duplicates,
        refused: totals.refused,
        server: server(outcome, delivered.packets(), window),
        generator: Generator {
            cpu_share: outcome.end.generator.saturating_sub(outcome.start.generator).as_secs_f64()
                / (seconds * cores as f64),
            in_time: in_time(scenario, &totals.sent, seconds),
            opened: share(totals.opened, totals.opened + totals.unopened),
        },
        joins: joins(outcome),
        latency: totals.latency.percentiles(),
        latency_histogram: totals.latency.doubling(),
        picture: Picture {
            frames: totals.frames,
            freezes: totals.freezes,
            frozen_seconds: totals.frozen.as_secs_f64(),
            keyframes: totals.sent.keyframes,
            plis: totals.plis,
        },
        repair: Repair { nacks: totals.nacks, repairs: totals.repairs, time: totals.repair_time.percentiles() },
        starved: outcome.starved,
        steps: steps(scenario, &outcome.timeline),
        stopped: outcome.stopped.clone(),
    }
}

fn traffic(video: u64, audio: u64, bytes: u64, seconds: f64) -> Traffic {
    Traffic { video, audio, bitrate: bytes as f64 * 8.0 / seconds }
}

fn bytes_sent(sent: &SentTotals) -> u64 {
    sent.audio.bytes + sent.video.bytes
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// Video is known exactly where everybody should get everything; the rest shows as gaps in sequence numbers. Audio is
/// never expected to come whole: a server may leave out those who are silent, without a gap.
fn loss(scenario: &Scenario, outcome: &Outcome) -> (f64, LossBy) {
    let Totals { sequences, video, sent, .. } = &outcome.late.totals;
    let [audio, by_sequence] = [0, 1].map(|kind| sequences[kind].since(outcome.start.totals.sequences[kind]));
    let receivers = match (scenario.publishers, scenario.participants) {
        (_, 0) => Some(scenario.viewers),
        (0, participants) => Some(scenario.viewers + participants - 1),
        _ => None,
    };
    let exact = receivers.filter(|_| scenario.is_static() && scenario.mutes == 0.0 && scenario.video.is_some());
    let (expected, lost, by) = match exact {
        Some(receivers) => {
            let expected = sent.video.packets * u64::from(receivers);
            (expected, expected.saturating_sub(video.packets), LossBy::Stamps)
        }
        None => (by_sequence.expected, by_sequence.lost(), LossBy::Sequence),
    };
    (share(lost + audio.lost(), (expected + audio.expected).max(1)) * 100.0, by)
}

/// Peers of the `webrtc` crate do not say when they were late: they count by how much they sent.
fn in_time(scenario: &Scenario, sent: &SentTotals, seconds: f64) -> f64 {
    if sent.due > 0 {
        return share(sent.in_time, sent.due);
    }
    let senders = f64::from(scenario.senders() * scenario.rooms);
    let frames = scenario.video.as_ref().map_or(0.0, |video| (seconds * f64::from(video.fps)).floor());
    let packets = scenario.audio.as_ref().map_or(0.0, |_| (seconds * 1_000.0 / f64::from(AUDIO_PACKET_MS)).floor());
    let due = (frames + packets) * senders;
    if due == 0.0 { 1.0 } else { ((sent.frames + sent.audio.packets) as f64 / due).min(1.0) }
}

fn server(outcome: &Outcome, delivered: u64, window: Duration) -> Option<Server> {
    let between =
        |earlier: Option<Duration>, later: Option<Duration>| Some(later?.saturating_sub(earlier?).as_secs_f64());
    let cpu_seconds = between(outcome.start.server, outcome.end.server)?;
    let joining = between(outcome.idle.server, outcome.joined.server).filter(|cpu| *cpu > 0.0);
    let joined = outcome.growth.last().map_or(0, |(members, _)| *members);
    let points: Vec<_> = outcome.growth.iter().map(|&(members, pss)| (members as f64, pss as f64)).collect();
    Some(Server {
        cpu_seconds,
        percent_of_core: cpu_seconds * 100.0 / window.as_secs_f64(),
        us_per_packet: (delivered > 0).then(|| cpu_seconds * 1e6 / delivered as f64),
        joins_per_cpu_second: joining.filter(|_| joined >= COUNTED_JOINS).map(|cpu| joined as f64 / cpu),
        pss_idle: outcome.idle.pss,
        pss_joined: outcome.joined.pss,
        pss_end: outcome.end.pss,
        pss_left: outcome.left,
        pss_per_member: slope(&points).filter(|_| joined >= COUNTED_JOINS),
    })
}

fn joins(outcome: &Outcome) -> Joins {
    let times = &outcome.joins;
    let of =
        |pick: fn(&JoinTimes) -> Option<Duration>| Percentiles::of(&times.iter().filter_map(pick).collect::<Vec<_>>());
    Joins {
        connected: of(|times| Some(times.connected)),
        first_packet: of(|times| times.first_packet),
        first_keyframe: of(|times| times.first_keyframe),
        failed: outcome.failures.0,
        reason: outcome.failures.1.clone(),
    }
}

/// Seconds in which nobody came, by the number of members.
fn steps(scenario: &Scenario, timeline: &[Sample]) -> Vec<StepResult> {
    if scenario.step.is_none() {
        return Vec::new();
    }
    let settled = timeline.windows(2).filter(|pair| pair[0].members == pair[1].members).map(|pair| pair[1]);
    let mut steps: Vec<(StepResult, f64)> = Vec::new();
    for sample in settled {
        match steps.last_mut().filter(|(step, _)| step.members == sample.members) {
            Some((step, seconds)) => {
                let mean = |old: f64, new: f64| (old * *seconds + new) / (*seconds + 1.0);
                step.packets = mean(step.packets, sample.packets);
                step.loss_percent = mean(step.loss_percent, sample.loss_percent);
                step.server_cpu = step.server_cpu.zip(sample.server_cpu).map(|(old, new)| mean(old, new));
                step.p99_ms = step.p99_ms.into_iter().chain(sample.p99_ms).reduce(f64::max);
                *seconds += 1.0;
            }
            None => steps.push((StepResult::from(sample), 1.0)),
        }
    }
    steps.into_iter().map(|(step, _)| step).collect()
}

impl From<Sample> for StepResult {
    fn from(sample: Sample) -> Self {
        let Sample { members, packets, server_cpu, loss_percent, p99_ms, .. } = sample;
        Self { members, packets, server_cpu, loss_percent, p99_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::preset;

    fn sample(members: usize, packets: f64, p99: f64) -> Sample {
        Sample {
            at: 0.0,
            members,
            streams: 1,
            packets,
            bitrate: 1.0,
            loss_percent: 0.0,
            p50_ms: None,
            p99_ms: Some(p99),
            server_cpu: Some(10.0),
            server_pss: None,
            generator_cpu: 1.0,
        }
    }

    #[test]
    fn a_step_is_the_seconds_without_joins() {
        let timeline = [sample(51, 9.0, 1.0), sample(51, 10.0, 2.0), sample(51, 20.0, 1.0), sample(101, 1.0, 90.0)];
        let found = steps(&preset("knee").unwrap(), &timeline);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].members, found[0].packets, found[0].p99_ms), (51, 15.0, Some(2.0)));
        assert!(steps(&preset("meeting").unwrap(), &timeline).is_empty());
    }
}
