//! The media plane, started and wired to the control plane.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use sfu_core::config::{CoreConfig, DataLimits};
use sfu_core::control::{Command, Event, WorkerIndex};
use sfu_core::net::{Buffers, NetConfig, Sockets, TcpLimits, Workers};
use sfu_core::transport::{Certificate, stun_username, worker_of_ufrag};
use sfu_core::{ClockAnchor, Core};
use sfu_signal::config::Limits;
use sfu_signal::tokens::unix_now;
use sfu_signal::{Busy, MediaPlane};
use tokio::sync::mpsc;

use crate::addresses;
use crate::config::Config;

/// Events that may wait for the control plane before workers keep them back.
const EVENTS: usize = 4096;

/// The workers, as the control plane sees them.
#[derive(Clone)]
pub(crate) struct Media(pub(crate) Arc<Workers>);

impl MediaPlane for Media {
    fn send(&self, worker: WorkerIndex, command: Command) -> Result<(), Busy> {
        let handle = self.0.handles().get(usize::from(worker)).ok_or(Busy)?;
        handle.send(command).map_err(|sfu_core::net::Busy| Busy)
    }

    fn pick_worker(&self, except: &[WorkerIndex]) -> Option<WorkerIndex> {
        self.0.least_loaded(except)
    }
}

impl Media {
    /// Binds the sockets and starts the workers.
    pub(crate) fn start(config: &Config, dev: bool) -> anyhow::Result<(Self, mpsc::Receiver<Event>)> {
        let media = &config.media;
        let sockets = Sockets::bind(NetConfig {
            bind: config.bind,
            udp_port: config.ports.udp,
            tcp_port: media.ice_tcp.then_some(config.ports.tcp),
            workers: media.worker_count(),
            buffers: Buffers { receive: media.receive_buffer, send: media.send_buffer },
            tcp: tcp_limits(&config.limits),
            ..NetConfig::default()
        })?;
        let configs = core_configs(config, &sockets, dev)?;
        let engine = move |worker: WorkerIndex| {
            let clock = ClockAnchor { instant: Instant::now(), unix: unix_now() };
            Core::new(configs[usize::from(worker)].clone(), worker, clock, rand::random())
        };
        let (sender, events) = mpsc::channel(EVENTS);
        let workers = sockets.start(engine, &sender, |frame| worker_of_ufrag(stun_username(frame)?))?;
        Ok((Self(Arc::new(workers)), events))
    }
}

fn tcp_limits(limits: &Limits) -> TcpLimits {
    TcpLimits {
        connections: limits.ice_tcp_connections,
        strangers: limits.ice_tcp_strangers,
        strangers_per_address: limits.ice_tcp_strangers_per_address,
        buffer_bytes: limits.ice_tcp_buffer_bytes,
    }
}

fn core_configs(config: &Config, sockets: &Sockets, dev: bool) -> anyhow::Result<Arc<[CoreConfig]>> {
    let certificate = Certificate::generate().context("cannot make a DTLS certificate")?;
    let media = &config.media;
    let first = sockets.udp_addresses().next().context("no worker")?;
    let ips = addresses::advertised(media, first, dev)?;
    tracing::info!(addresses = ?ips, "media is advertised at");
    let core = |udp| CoreConfig {
        certificate: certificate.clone(),
        candidates: addresses::candidates(&ips, udp, sockets.tcp_address()),
        codecs: media.codec_policy(),
        consent_timeout: media.consent_timeout,
        handshake_timeout: media.handshake_timeout,
        interruption_timeout: media.interruption_timeout,
        max_tcp_paths: config.limits.ice_tcp_per_participant,
        retransmission_window: media.retransmission_window,
        media_limits: config.limits.media(),
        loudest: (media.loudest_speakers > 0).then_some(media.loudest_speakers),
        data: DataLimits {
            messages_per_second: config.limits.data_messages_per_second,
            bytes_per_second: config.limits.data_bytes_per_second,
            buffer_bytes: config.limits.data_buffer_bytes,
            stall: config.limits.data_stall,
        },
    };
    Ok(sockets.udp_addresses().map(core).collect())
}
