//! `madang serve`: starts the parts in order, waits for the signal to stop, and stops them in the reverse order.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use axum_server::tls_rustls::RustlsConfig;
use sfu_signal::Server;
use sfu_signal::config::{DEV_KEY, DEV_SECRET};
use sfu_signal::listener::{Listener, Settings, Tls};
use tokio::net::TcpSocket;

use crate::cli::ServeArgs;
use crate::config::fault::{Fault, Faults};
use crate::config::load::{self, Loaded};
use crate::config::{Config, LogConfig, TlsConfig};
use crate::logging::Log;
use crate::media::Media;
use crate::node::{self, Node};
use crate::operator::Operator;
use crate::parts::Parts;
use crate::reload::Reload;
use crate::{addresses, demo, descriptors, logging, signals, tls};

/// Of the time for shutdown, what is left for HTTP requests and media threads once clients were told.
const LISTENERS_END: Duration = Duration::from_secs(1);

/// Runs the server until it is told to stop. Once there is a log, what is wrong stands there.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let log = load::log(&args.sources, args.layer());
    // A filter that is none is a fault of the configuration, of which there may be more.
    let started = logging::start(&log);
    let (log, guard) =
        started.or_else(|_| logging::start(&LogConfig { filter: LogConfig::default().filter, ..log }))?;
    let ended = run_logged(args, log).inspect_err(logging::fatal);
    // Writes what waits.
    drop(guard);
    if !matches!(ended, Ok(true)) {
        // Returning would wait for threads that may hang.
        std::process::exit(1);
    }
    Ok(())
}

/// False if something did not end in time.
fn run_logged(args: &ServeArgs, log: Log) -> anyhow::Result<bool> {
    let loaded = configure(args)?;
    let config = &loaded.config;
    anyhow::ensure!(
        !config.keys.0.is_empty(),
        "no API key: set keys in the configuration file, MADANG_KEYS='ID: SECRET', MADANG_KEYS_FILE, or --keys ID:SECRET; \
         --dev brings one for trying things out"
    );
    for warning in loaded.warnings(args.dev) {
        tracing::warn!("{warning}");
    }
    tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(args, config, log));
    // What hangs is not waited for.
    runtime.shutdown_background();
    ended
}

/// The configuration of all layers, in dev mode with the well-known key.
pub(crate) fn configure(args: &ServeArgs) -> Result<Loaded, Faults> {
    let mut loaded = load::load(&args.sources, args.layer())?;
    if args.dev {
        let keys: Vec<_> = loaded.config.keys.0.keys().cloned().collect();
        if !keys.is_empty() {
            // Else everybody who reaches the port could sign himself in beside those who hold a real key.
            let reason =
                format!("--dev gives a token to anybody who asks, and keys are configured: {}", keys.join(", "));
            let remedy = "leave --dev out, or start without keys (file, MADANG_KEYS, --keys)";
            return Err(Faults(vec![Fault::new("keys", reason, remedy)]));
        }
        loaded.config.keys.0.insert(DEV_KEY.to_owned(), DEV_SECRET.to_owned());
    }
    Ok(loaded)
}

/// Serves until it is told to stop; false if something did not end in time.
async fn serve(args: &ServeArgs, config: &Config, log: Log) -> anyhow::Result<bool> {
    let (mut stop_signal, hangup) = signals::install()?;
    let (media, events) = Media::start(config, args.dev)?;
    let tls = tls_config(args, config).await?;
    let files: Option<(RustlsConfig, TlsConfig)> = tls.clone().zip(config.tls.clone());
    tokio::spawn(Reload { args: args.clone(), config: config.clone(), tls: files, log }.run(hangup));
    let server = Server::new(config.signal(args.dev, tls.is_some()), Arc::new(media.clone()));
    let mut parts = Parts::default();
    let control = Arc::clone(&server).run(events);
    parts.spawn("the control plane", async move {
        control.await;
        Ok::<(), Infallible>(())
    });
    tokio::spawn(crate::trim::run(Arc::clone(&server)));
    let node = Node::of_this_process();
    tokio::spawn(node::watch(node.clone(), Arc::clone(&server), config.limits.node_usage_percent));

    let descriptors = descriptors::for_http(descriptors::raise(), media.0.handles().len());
    let scheme = if tls.is_some() { "https" } else { "http" };
    let public = Arc::new(OnceLock::new());
    let operator =
        Operator { workers: Arc::clone(&media.0), server: Arc::clone(&server), node, public: Arc::clone(&public) };
    let router = operator.clone().mount_health(demo::mount(server.router(), &config.http));
    let sockets = vec![bind(config.operator).context("operator")?];
    let mut operator = Listener::start(sockets, operator.router(args), None, Settings::operator())?;
    parts.spawn("the operator's listener", operator.ended());
    let sockets = bind_http(args, config).context("ports.http")?;
    let tls = tls.map(|tls| -> Tls { Arc::new(move || tls.get_inner()) });
    let settings = Settings::public(&config.http, descriptors);
    tracing::info!(connections = settings.limits.connections, strangers = settings.limits.strangers, "HTTP limits");
    let mut listener = Listener::start(sockets, router, tls, settings)?;
    parts.spawn("the HTTP listener", listener.ended());
    let public = public.get_or_init(|| listener);
    let address = public.addresses()[0];
    tracing::info!(%address, operator = %operator.addresses()[0], scheme, "listening");
    if args.dev {
        announce(config, scheme, address);
    }

    let failed = tokio::select! {
        signal = stop_signal.recv() => {
            tracing::info!(signal, within = ?config.shutdown_timeout, "shutting down");
            None
        }
        ended = parts.ended() => Some(anyhow::anyhow!("{} ended: {}", ended.part, ended.reason)),
    };
    if let Some(error) = &failed {
        tracing::error!(%error, within = ?config.shutdown_timeout, "shutting down");
    }
    let stop = stop(&server, &media, [public, &operator], config.shutdown_timeout);
    let ended = tokio::select! {
        () = stop => true,
        () = tokio::time::sleep(config.shutdown_timeout) => false,
        _ = stop_signal.recv() => false,
    };
    if ended {
        tracing::info!("stopped");
    } else {
        tracing::warn!("not everything ended in time");
    }
    failed.map_or(Ok(ended), Err)
}

async fn tls_config(args: &ServeArgs, config: &Config) -> anyhow::Result<Option<RustlsConfig>> {
    match &config.tls {
        Some(files) => tls::from_files(files.clone()).await.map(Some),
        None if args.dev_tls => tls::self_signed(&reachable(config)).await.map(Some),
        None => Ok(None),
    }
}

/// Addresses of this machine, for certificates and URLs.
fn reachable(config: &Config) -> Vec<IpAddr> {
    let bind = SocketAddr::new(config.bind, 0);
    addresses::advertised(&config.media, bind, true).unwrap_or_default()
}

/// The sockets of the HTTP port, bound at once, so that a taken port ends the start.
///
/// `--dev` gives tokens to everybody, and so is for this machine alone: on loopback, of both families, since `localhost` may mean
/// either. `--bind`, `bind` and `http.bind` open it further, and so does `--dev-tls`, which is there for phones.
fn bind_http(args: &ServeArgs, config: &Config) -> anyhow::Result<Vec<TcpListener>> {
    let port = config.ports.http;
    let everywhere = args.bind.is_none() && config.bind == Config::default().bind;
    if let Some(ip) = config.http.bind {
        return Ok(vec![bind(SocketAddr::new(ip, port))?]);
    }
    if !(args.dev && !args.dev_tls && everywhere) {
        return Ok(vec![bind(SocketAddr::new(config.bind, port))?]);
    }
    let v4 = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    // Machines without IPv6 do without.
    let v6 = bind(SocketAddr::from((Ipv6Addr::LOCALHOST, v4.local_addr()?.port())));
    Ok([Some(v4), v6.ok()].into_iter().flatten().collect())
}

/// Connections that may wait to be accepted, as far as `net.core.somaxconn` lets them. With the usual 128 a burst of newcomers is told
/// nothing, and tries again after a second.
const BACKLOG: u32 = 4_096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port whose last connections linger may be bound again at once. Elsewhere the option means something else.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// `::` takes IPv4 as well; where there is no IPv6, `0.0.0.0` takes its place.
fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let any_v4 = SocketAddr::from(([0, 0, 0, 0], address.port()));
    let listener = match listen(address) {
        Err(error) if address.ip().is_unspecified() && error.kind() != io::ErrorKind::AddrInUse => listen(any_v4),
        other => other,
    };
    listener.with_context(|| format!("cannot listen on TCP {address}"))
}

/// Says where to go, to people and so on stdout. Nobody may be reading there, which is no fault.
fn announce(config: &Config, scheme: &str, address: SocketAddr) {
    let port = address.port();
    let mut text = format!("\n  Madang is ready: {scheme}://localhost:{port}/\n");
    if !address.ip().is_loopback() {
        text += "  Everybody who reaches this port may join: it listens on more than this machine.\n";
    }
    // Browsers give the camera to pages from other machines only over HTTPS.
    if scheme == "https" && !address.ip().is_loopback() {
        for ip in reachable(config).into_iter().filter(|ip| !ip.is_loopback()) {
            text += &format!("  on the network:  {scheme}://{}/\n", SocketAddr::new(ip, port));
        }
    }
    let _ = writeln!(io::stdout(), "{text}");
}

/// Clients are told first, then media and listeners end.
async fn stop(server: &Server, media: &Media, listeners: [&Listener; 2], timeout: Duration) {
    server.shutdown(timeout.saturating_sub(LISTENERS_END)).await;
    for listener in listeners {
        listener.close(LISTENERS_END);
    }
    let workers = Arc::clone(&media.0);
    let _ = tokio::task::spawn_blocking(move || workers.shutdown()).await;
}
