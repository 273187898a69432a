//! The summary in a terminal.

use std::fmt::Write;

use super::{Environment, LossBy, Measured, Report, Server, Traffic};
use crate::publisher::Pacing;
use crate::scenario::Scenario;
use crate::stats::Percentiles;

struct Table(String);

impl Table {
    fn row(&mut self, name: &str, value: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name:<22}{value}");
    }

    fn percentiles(&mut self, name: &str, percentiles: Option<Percentiles>) {
        let Some(Percentiles { p50_ms, p90_ms, p99_ms, p999_ms, max_ms, .. }) = percentiles else {
            return self.row(name, "-");
        };
        let text = format!("p50 {p50_ms:.2}, p90 {p90_ms:.2}, p99 {p99_ms:.2}, p99.9 {p999_ms:.2}, max {max_ms:.2} ms");
        self.row(name, &text);
    }
}

/// The whole of it.
pub(super) fn table(report: &Report) -> String {
    let mut table = Table(String::new());
    heading(&mut table, report);
    traffic(&mut table, &report.measured);
    server(&mut table, report.measured.server.as_ref());
    let joins = &report.measured.joins;
    table.percentiles("join: connected", joins.connected);
    table.percentiles("join: first packet", joins.first_packet);
    table.percentiles("join: first keyframe", joins.first_keyframe);
    table.percentiles("latency", report.measured.latency);
    picture(&mut table, report);
    steps(&mut table, &report.measured);
    for reason in &report.verdict.void {
        table.row("VOID", reason);
    }
    for threshold in &report.verdict.broken {
        table.row("FAILED", threshold);
    }
    if report.exit_code() == 0 {
        table.row("verdict", "valid");
    }
    table.0
}

/// The members in words: `1 -> 50`, `10 meet`, `50 rooms: 4 meet`.
pub(super) fn members(scenario: &Scenario) -> String {
    let rooms = if scenario.rooms == 1 { String::new() } else { format!("{} rooms: ", scenario.rooms) };
    let Scenario { publishers, viewers, participants, .. } = scenario;
    let people = match (publishers, participants, viewers) {
        (0, participants, 0) => format!("{participants} meet"),
        (0, participants, viewers) => format!("{participants} meet, {viewers} watch"),
        (publishers, 0, viewers) => format!("{publishers} -> {viewers}"),
        (publishers, participants, viewers) => format!("{publishers} send, {participants} meet, {viewers} watch"),
    };
    rooms + &people
}

/// What each publisher sends, in words.
pub(super) fn media(scenario: &Scenario) -> String {
    let mut parts = Vec::new();
    if let (Some(video), Some(shape)) = (&scenario.video, scenario.media().video) {
        let pacing = if video.pacing == Pacing::Burst { "burst" } else { "even" };
        parts.push(match &video.file {
            Some(file) => format!("video of {} ({pacing})", file.display()),
            None => format!(
                "video {:.2} Mbps ({} fps, {} packets a frame, {pacing}{})",
                shape.bitrate as f64 / 1e6,
                video.fps,
                shape.frame_packets(),
                if video.simulcast { ", the largest of 3 encodings" } else { "" },
            ),
        });
    }
    if let Some(audio) = &scenario.audio {
        let speaking = audio.speaking.map_or(String::new(), |speaking| format!(", {speaking} speak at a time"));
        parts.push(match &audio.file {
            Some(file) => format!("audio of {}{speaking}", file.display()),
            None => format!("audio {} kbps{speaking}", audio.bitrate.0 / 1_000),
        });
    }
    parts.join(", ")
}

/// Where it ran, in words.
pub(super) fn machine(environment: &Environment) -> String {
    let Environment { cores, is_virtual, loopback, srtp, target, .. } = environment;
    let machine = if *is_virtual { "virtual" } else { "physical" };
    let path = if *loopback { "loopback" } else { "network" };
    format!("{machine}, {cores} cores, {path}; {}; {}", target.name(), srtp.join(", "))
}

fn heading(table: &mut Table, report: &Report) {
    let scenario = &report.scenario;
    let text = format!("{}: {}, {:.1} s", scenario.name, members(scenario), report.measured.seconds);
    table.row("scenario", &text);
    table.row("each publisher", &media(scenario));
    table.row("measured on", &machine(&report.environment));
    if scenario.webrtc_share > 0.0 {
        table
            .row("other stack", &format!("{:.0} % of the peers are the webrtc crate's", scenario.webrtc_share * 100.0));
    }
}

fn traffic(table: &mut Table, measured: &Measured) {
    let text = |traffic: Traffic| {
        format!(
            "{} packets ({} video, {} audio), {:.2} Mbps",
            traffic.packets(),
            traffic.video,
            traffic.audio,
            traffic.bitrate / 1e6
        )
    };
    table.row("sent", &text(measured.sent));
    table.row("delivered", &format!("{}, {:.0} packets/s", text(measured.delivered), measured.packets_per_second));
    let by = match measured.loss_by {
        LossBy::Stamps => "sent and not received",
        LossBy::Sequence => "by sequence numbers",
    };
    let refused = if measured.refused > 0 { format!(", {} not authentic", measured.refused) } else { String::new() };
    let duplicates = measured.duplicates;
    table.row("lost", &format!("{:.3} % ({by}), {duplicates} duplicates{refused}", measured.loss_percent));
    let generator = &measured.generator;
    let opened = if generator.opened < 1.0 {
        format!(", opened {:.1} % of the packets", generator.opened * 100.0)
    } else {
        String::new()
    };
    let in_time = generator.in_time * 100.0;
    let cpu = generator.cpu_share * 100.0;
    table.row("generator", &format!("{cpu:.0} % of the processors, {in_time:.1} % left in time{opened}"));
    if let Some(stopped) = &measured.stopped {
        table.row("ended early", stopped);
    }
}

fn server(table: &mut Table, server: Option<&Server>) {
    let Some(server) = server else { return table.row("server CPU", "not measured (--server-pid)") };
    let per_packet = server.us_per_packet.map_or("-".to_owned(), |cpu| format!("{cpu:.2}"));
    let cpu = format!("{per_packet} µs per delivered packet, {:.1} % of a core", server.percent_of_core);
    table.row("server CPU", &cpu);
    if let Some(joins) = server.joins_per_cpu_second {
        table.row("joins", &format!("{joins:.0} per CPU second"));
    }
    let mib = |bytes: Option<u64>| bytes.map_or("-".to_owned(), |bytes| format!("{:.1}", bytes as f64 / 1_048_576.0));
    let slope = server.pss_per_member.map_or(String::new(), |bytes| format!("; {:.1} KiB per member", bytes / 1_024.0));
    let Server { pss_idle, pss_joined, pss_end, pss_left, .. } = server;
    let text = format!(
        "{} MiB idle, {} joined, {} at the end, {} after all left{slope}",
        mib(*pss_idle),
        mib(*pss_joined),
        mib(*pss_end),
        mib(*pss_left)
    );
    table.row("server memory", &text);
}

fn picture(table: &mut Table, report: &Report) {
    let picture = &report.measured.picture;
    if report.scenario.video.is_some() {
        let text = format!(
            "{} frames shown, {} freezes ({:.1} s), {} keyframes sent, {} asked for by viewers",
            picture.frames, picture.freezes, picture.frozen_seconds, picture.keyframes, picture.plis
        );
        table.row("picture", &text);
    }
    let repair = &report.measured.repair;
    if repair.nacks > 0 {
        table.row("repair", &format!("{} packets asked for, {} came", repair.nacks, repair.repairs));
        table.percentiles("NACK -> RTX", repair.time);
    }
}

fn steps(table: &mut Table, measured: &Measured) {
    for step in &measured.steps {
        let cpu = step.server_cpu.map_or(String::new(), |cpu| format!(", server {cpu:.0} % of a core"));
        let p99 = step.p99_ms.map_or(String::new(), |ms| format!(", p99 {ms:.1} ms"));
        let text = format!("{:.0} packets/s, {:.3} % lost{p99}{cpu}", step.packets, step.loss_percent);
        table.row(&format!("step: {} members", step.members), &text);
    }
}
