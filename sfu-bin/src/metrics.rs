//! Metrics, gathered from the parts' plain counters when somebody asks. Names begin with `madang_`.

use std::sync::atomic::Ordering;

use prometheus::{Encoder, GaugeVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use sfu_core::Counters;
use sfu_core::net::{ListenerCounters, NetCounters, WorkerHandle, Workers};
use sfu_signal::CounterSnapshot as Snapshot;
use sfu_signal::listener::Snapshot as HttpSnapshot;

use crate::node::{Node, Resource};

/// A metric of workers: name, help, and where its value is.
type Metric<T> = (&'static str, &'static str, fn(&T) -> u64);

const NET_COUNTERS: &[Metric<NetCounters>] = &[
    ("worker_turns_total", "Turns of a worker's loop", |c| c.turns),
    ("worker_busy_nanoseconds_total", "Time that a worker's own work took, or that a CPU quota took from it", |c| {
        c.busy_ns
    }),
    ("worker_delayed_nanoseconds_total", "Time in which other processes kept a worker from running", |c| c.delayed_ns),
    ("worker_shed_nanoseconds_total", "Time in which a worker withheld video because of its load", |c| c.shed_ns),
    ("worker_commands_total", "Commands that a worker took", |c| c.commands),
    ("worker_events_total", "Events that a worker handed over", |c| c.events),
    ("udp_received_datagrams_total", "UDP datagrams received", |c| c.udp_in),
    ("udp_received_bytes_total", "Bytes of UDP received", |c| c.udp_bytes_in),
    ("udp_receive_calls_total", "System calls that received UDP", |c| c.udp_reads),
    ("udp_sent_datagrams_total", "UDP datagrams sent", |c| c.udp_out),
    ("udp_sent_bytes_total", "Bytes of UDP sent", |c| c.udp_bytes_out),
    ("udp_send_calls_total", "System calls that sent UDP", |c| c.udp_writes),
    ("udp_sent_trains_total", "Trains sent as one message by GSO", |c| c.udp_trains),
    ("udp_receive_errors_total", "System calls that failed to receive UDP", |c| c.udp_receive_errors),
    ("udp_receive_overflow_total", "Datagrams that the kernel dropped before they were read", |c| {
        c.udp_receive_overflow
    }),
    ("udp_send_dropped_total", "Datagrams dropped because the kernel had no room", |c| c.udp_send_dropped),
    ("udp_send_errors_total", "Datagrams that the kernel refused to send", |c| c.udp_send_errors),
    ("tcp_received_frames_total", "ICE-TCP frames received", |c| c.tcp_in),
    ("tcp_sent_frames_total", "ICE-TCP frames sent", |c| c.tcp_out),
    ("tcp_dropped_frames_total", "ICE-TCP frames dropped", |c| c.tcp_dropped),
];

const NET_GAUGES: &[Metric<NetCounters>] = &[
    ("worker_load_permille", "Share of the last second that a worker was busy", |c| c.load_permille),
    ("worker_shed_level", "Share of the video that a worker withholds because of its load, in thousandths", |c| {
        c.shed_level
    }),
    ("worker_event_backlog", "Events that wait for the control plane", |c| c.event_backlog),
    ("tcp_connections", "Open ICE-TCP connections", |c| c.tcp_connections),
];

/// A reason, and how often it was one.
type Reason<T> = (&'static str, fn(&T) -> u64);

/// Why a worker ended an ICE-TCP connection, or did not take it.
const TCP_ENDS: &[Reason<NetCounters>] = &[
    ("refused", |c| c.tcp_refused),
    ("full", |c| c.tcp_full),
    ("orphaned", |c| c.tcp_orphaned),
    ("idle", |c| c.tcp_idle),
    ("stuck", |c| c.tcp_stuck),
];

/// What became of ICE-TCP connections before a worker had them.
const TCP_STRANGERS: &[Reason<ListenerCounters>] = &[
    ("evicted", |c| c.evicted.load(Ordering::Relaxed)),
    ("timed_out", |c| c.timed_out.load(Ordering::Relaxed)),
    ("refused", |c| c.refused.load(Ordering::Relaxed)),
    ("busy", |c| c.busy.load(Ordering::Relaxed)),
];

const CORE_COUNTERS: &[Metric<Counters>] = &[
    ("core_datagrams_total", "Datagrams that the core took", |c| c.datagrams_in),
    ("core_stray_datagrams_total", "Datagrams of no known kind, or of nobody here", |c| c.stray),
    ("core_rejected_packets_total", "SRTP and SRTCP packets that did not authenticate or were replayed", |c| {
        c.rejected
    }),
    ("rtp_discarded_packets_total", "Video packets dropped unopened because a worker lagged behind", |c| c.discarded),
    ("rtp_received_packets_total", "RTP packets opened", |c| c.rtp_in),
    ("rtp_sent_packets_total", "RTP packets sealed, retransmissions included", |c| c.rtp_out),
    ("rtp_sent_bytes_total", "Bytes of them", |c| c.rtp_bytes_out),
    ("rtp_retransmitted_packets_total", "RTP packets sent again", |c| c.retransmitted),
    ("rtp_unsent_packets_total", "RTP packets that had no path to leave on", |c| c.unsent),
    ("rtp_limited_packets_total", "RTP packets beyond a publisher's limits, dropped before they were kept", |c| {
        c.limited
    }),
    ("rtp_oversized_packets_total", "RTP packets dropped because a datagram on most paths is not so large", |c| {
        c.oversized
    }),
    ("rtp_unwanted_packets_total", "RTP packets of participants that may send none, dropped unopened", |c| c.unwanted),
    ("rtcp_limited_total", "RTCP datagrams and NACKs beyond a participant's limits", |c| c.reports_limited),
    ("rtcp_received_packets_total", "RTCP packets read", |c| c.rtcp_in),
    ("data_received_messages_total", "Messages on data channels that arrived", |c| c.data_in),
    ("data_sent_messages_total", "Messages on data channels that were sent", |c| c.data_out),
    ("data_dropped_messages_total", "Messages that a full channel or a missing permission stopped", |c| c.data_dropped),
    ("data_limited_messages_total", "Lossy messages beyond their senders' limits, which were dropped", |c| {
        c.data_limited
    }),
    ("data_shed_messages_total", "Lossy messages dropped because a worker was past its limit", |c| c.data_shed),
    ("data_held_total", "Times that a sender of reliable messages had to wait for its limits", |c| c.data_held),
    ("data_stalled_total", "Times that a receiver of reliable messages read too slowly to be waited for", |c| {
        c.data_stalled
    }),
    ("dtls_handshakes_total", "DTLS handshakes that finished", |c| c.handshakes),
    ("srtp_aead_aes_256_gcm_sessions_total", "Handshakes that agreed on AES-256-GCM for SRTP", |c| c.srtp_gcm_256),
    ("srtp_aead_aes_128_gcm_sessions_total", "Handshakes that agreed on AES-128-GCM for SRTP", |c| c.srtp_gcm_128),
    ("srtp_aes128_cm_sha1_80_sessions_total", "Handshakes that agreed on AES-128-CM with HMAC-SHA1", |c| {
        c.srtp_cm_sha1
    }),
    ("transport_failures_total", "Transports that failed", |c| c.failures),
    ("relay_received_packets_total", "Packets of rooms on several workers that came from another", |c| c.relayed_in),
    ("relay_sent_packets_total", "Packets that went to other workers, each counted for each", |c| c.relayed_out),
    ("relay_dropped_packets_total", "Packets for workers that did not keep up", |c| c.relay_dropped),
];

const SIGNAL_COUNTERS: &[Metric<Snapshot>] = &[
    ("joins_answered_total", "Joins that were answered, whether or not media came", |c| c.joins),
    ("leaves_total", "Participants that left", |c| c.leaves),
    ("resumes_total", "Sessions that were resumed", |c| c.resumes),
    ("client_messages_total", "WebSocket messages from clients", |c| c.messages),
    ("media_limits_total", "Times that a publisher was told of a limit on its media", |c| c.media_limits),
    ("slow_clients_total", "Clients disconnected because they did not read", |c| c.slow_clients),
];

const SIGNAL_GAUGES: &[Metric<Snapshot>] = &[
    ("rooms", "Open rooms", |c| c.rooms),
    ("participants", "Participants, those included whose WebSocket may be resumed", |c| c.participants),
    ("websockets", "Open WebSockets", |c| c.websockets),
    ("http_body_bytes", "Bytes of HTTP request bodies that are being read", |c| c.body_bytes),
];

const HTTP_COUNTERS: &[Metric<HttpSnapshot>] = &[
    ("http_accepted_total", "Connections of the public HTTP port that were let in", |c| c.accepted),
    ("http_evicted_total", "Connections without a valid token that made room for newcomers", |c| c.evicted),
    (
        "http_accept_errors_total",
        "Times that a connection could not be accepted, mostly for want of descriptors",
        |c| c.accept_errors,
    ),
    ("http_rate_limited_total", "HTTP requests over http.requests_per_second", |c| c.rate_limited),
];

const WORKER_COUNTERS: &[Metric<WorkerHandle>] = &[(
    "worker_restarts_total",
    "Panics of a worker that ended its rooms, and after which it went on",
    WorkerHandle::restarts,
)];

const WORKER_GAUGES: &[Metric<WorkerHandle>] =
    &[("worker_in_service", "Whether a worker takes rooms; 0: it panicked too often", |worker| {
        worker.is_in_service().into()
    })];

/// What is of no worker and not the control plane's own.
pub(crate) struct Process<'a> {
    pub(crate) node: &'a Node,
    /// Panics of any thread or task.
    pub(crate) panics: u64,
    /// Tasks of the control plane's runtime.
    pub(crate) tasks: usize,
    /// The public HTTP listener, once it is there.
    pub(crate) http: Option<HttpSnapshot>,
}

/// All metrics in Prometheus' text format.
pub(crate) fn gather(workers: &Workers, signal: &Snapshot, process: &Process<'_>) -> prometheus::Result<Vec<u8>> {
    let registry = Registry::new_custom(Some("madang".to_owned()), None)?;
    let (mut net, mut core, mut handles) = (Vec::new(), Vec::new(), Vec::new());
    for handle in workers.handles() {
        let snapshot = handle.snapshot();
        net.push((vec![handle.index().to_string()], snapshot.net));
        core.push((vec![handle.index().to_string()], snapshot.core));
        handles.push((vec![handle.index().to_string()], handle.clone()));
    }
    counters(&registry, WORKER_COUNTERS, &["worker"], &handles)?;
    gauges(&registry, WORKER_GAUGES, &["worker"], &handles)?;
    tcp(&registry, &net, workers.listener())?;
    counters(&registry, NET_COUNTERS, &["worker"], &net)?;
    gauges(&registry, NET_GAUGES, &["worker"], &net)?;
    counters(&registry, CORE_COUNTERS, &["worker"], &core)?;
    let signal_row = [(vec![], signal.clone())];
    counters(&registry, SIGNAL_COUNTERS, &[], &signal_row)?;
    gauges(&registry, SIGNAL_GAUGES, &[], &signal_row)?;
    let alive = [("control_tasks", "Tasks of the control plane's runtime", (|tasks| *tasks) as fn(&u64) -> u64)];
    gauges(&registry, &alive, &[], &[(vec![], process.tasks as u64)])?;
    let errors = signal.errors.iter().map(|(code, count)| (code.as_str(), *count));
    labelled(&registry, "client_errors_total", "Errors told to clients", "code", errors)?;
    let joins = signal.join_results.iter().map(|(result, count)| (result.as_str(), *count));
    labelled(&registry, "joins_total", "Attempts to join, by what became of them", "result", joins)?;
    limits(&registry, process.node)?;
    let total = IntCounter::new("panics_total", "Panics of any thread or task")?;
    total.inc_by(process.panics);
    registry.register(Box::new(total))?;
    if let Some(http) = &process.http {
        connections(&registry, http)?;
    }
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}

/// The public HTTP listener.
fn connections(registry: &Registry, http: &HttpSnapshot) -> prometheus::Result<()> {
    counters(registry, HTTP_COUNTERS, &[], &[(vec![], http.clone())])?;
    let rows = |rows: &[(&str, u64)]| rows.iter().map(|(label, n)| (vec![(*label).to_owned()], *n)).collect::<Vec<_>>();
    let open: Metric<u64> = ("http_connections", "Open connections by what they have shown", |n| *n);
    gauges(registry, &[open], &["state"], &rows(&http.connections))?;
    let refused: Metric<u64> =
        ("http_refused_total", "Connections that were not let in, by the limit that was reached", |n| *n);
    counters(registry, &[refused], &["reason"], &rows(&http.refused))?;
    let overdue: Metric<u64> =
        ("http_timeouts_total", "Connections closed because something did not come in time", |n| *n);
    counters(registry, &[overdue], &["kind"], &rows(&http.overdue))
}

fn counters<T>(
    registry: &Registry,
    metrics: &[Metric<T>],
    labels: &[&str],
    rows: &[(Vec<String>, T)],
) -> prometheus::Result<()> {
    for (name, help, value) in metrics {
        let vector = IntCounterVec::new(Opts::new(*name, *help), labels)?;
        for (labels, row) in rows {
            vector.get_metric_with_label_values(labels)?.inc_by(value(row));
        }
        registry.register(Box::new(vector))?;
    }
    Ok(())
}

fn gauges<T>(
    registry: &Registry,
    metrics: &[Metric<T>],
    labels: &[&str],
    rows: &[(Vec<String>, T)],
) -> prometheus::Result<()> {
    for (name, help, value) in metrics {
        let vector = IntGaugeVec::new(Opts::new(*name, *help), labels)?;
        for (labels, row) in rows {
            let value = i64::try_from(value(row)).unwrap_or(i64::MAX);
            vector.get_metric_with_label_values(labels)?.set(value);
        }
        registry.register(Box::new(vector))?;
    }
    Ok(())
}

fn tcp(registry: &Registry, net: &[(Vec<String>, NetCounters)], listener: &ListenerCounters) -> prometheus::Result<()> {
    let accepted = IntCounter::new("tcp_accepted_connections_total", "ICE-TCP connections accepted")?;
    accepted.inc_by(listener.accepted.load(Ordering::Relaxed));
    registry.register(Box::new(accepted))?;
    let help = "ICE-TCP connections that ended before they showed a check for a worker";
    let strangers = IntCounterVec::new(Opts::new("tcp_strangers_total", help), &["reason"])?;
    for (reason, count) in TCP_STRANGERS {
        strangers.get_metric_with_label_values(&[*reason])?.inc_by(count(listener));
    }
    registry.register(Box::new(strangers))?;
    let help = "ICE-TCP connections that a worker closed or did not take";
    let ends = IntCounterVec::new(Opts::new("tcp_closed_connections_total", help), &["worker", "reason"])?;
    for (worker, counters) in net {
        for (reason, count) in TCP_ENDS {
            ends.get_metric_with_label_values(&[worker[0].as_str(), *reason])?.inc_by(count(counters));
        }
    }
    registry.register(Box::new(ends))
}

fn labelled<'a>(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
    rows: impl Iterator<Item = (&'a str, u64)>,
) -> prometheus::Result<()> {
    let vector = IntCounterVec::new(Opts::new(name, help), &[label])?;
    for (value, count) in rows {
        vector.get_metric_with_label_values(&[value])?.inc_by(count);
    }
    registry.register(Box::new(vector))
}

/// A resource without a limit is left out.
fn limits(registry: &Registry, node: &Node) -> prometheus::Result<()> {
    let help = "Used share of what the node gives the process";
    let vector = GaugeVec::new(Opts::new("node_limit_ratio", help), &["resource"])?;
    for resource in Resource::ALL {
        if let Some(share) = node.usage(resource) {
            vector.get_metric_with_label_values(&[resource.as_str()])?.set(share);
        }
    }
    registry.register(Box::new(vector))
}
