//! `madang serve`: starts the parts in order, waits for the signal to stop, and stops them in the reverse order.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use sfu_signal::Server;
use sfu_signal::config::{DEV_KEY, DEV_SECRET};

use crate::cli::ServeArgs;
use crate::config::fault::Faults;
use crate::config::load::{self, Loaded};
use crate::config::{Config, LogConfig, TlsConfig};
use crate::logging::Log;
use crate::media::Media;
use crate::node::{self, Node};
use crate::operator::Operator;
use crate::parts::Parts;
use crate::reload::Reload;
use crate::{addresses, demo, logging, signals, tls};

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
    if args.dev && loaded.config.keys.0.is_empty() {
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

    let operator = Operator { workers: Arc::clone(&media.0), server: Arc::clone(&server), node };
    let operator_handle = Handle::new();
    let (operator, serve) =
        listen(config.operator, operator.router(args), None, operator_handle.clone()).context("operator")?;
    parts.spawn("the operator's listener", serve);
    let public_handle = Handle::new();
    let address = SocketAddr::new(config.bind, config.ports.http);
    let is_tls = tls.is_some();
    let router = demo::mount(server.router(), &config.http);
    let (address, serve) = listen(address, router, tls, public_handle.clone()).context("ports.http")?;
    parts.spawn("the HTTP listener", serve);
    let scheme = if is_tls { "https" } else { "http" };
    tracing::info!(%address, %operator, scheme, "listening");
    if args.dev {
        announce(config, scheme, address.port());
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
    let stop = stop(&server, &media, [public_handle, operator_handle], config.shutdown_timeout);
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

/// What serves a listener until it is told to stop.
type Serving = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Binds at once, so that a taken port ends the start.
fn listen(
    address: SocketAddr,
    router: Router,
    tls: Option<RustlsConfig>,
    handle: Handle<SocketAddr>,
) -> anyhow::Result<(SocketAddr, Serving)> {
    let listener = bind(address)?;
    let address = listener.local_addr()?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving: Serving = match tls {
        Some(tls) => Box::pin(axum_server::from_tcp_rustls(listener, tls)?.handle(handle).serve(service)),
        None => Box::pin(axum_server::from_tcp(listener)?.handle(handle).serve(service)),
    };
    Ok((address, serving))
}

/// `::` takes IPv4 as well; where there is no IPv6, `0.0.0.0` takes its place.
fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let any_v4 = SocketAddr::from(([0, 0, 0, 0], address.port()));
    let listener = match TcpListener::bind(address) {
        Err(error) if address.ip().is_unspecified() && error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind(any_v4)
        }
        other => other,
    };
    let listener = listener.with_context(|| format!("cannot listen on TCP {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Says where to go, to people and so on stdout. Nobody may be reading there, which is no fault.
fn announce(config: &Config, scheme: &str, port: u16) {
    let mut text = format!("\n  Madang is ready: {scheme}://localhost:{port}/\n");
    // Browsers give the camera to pages from other machines only over HTTPS.
    if scheme == "https" {
        for ip in reachable(config).into_iter().filter(|ip| !ip.is_loopback()) {
            text += &format!("  on the network:  {scheme}://{}/\n", SocketAddr::new(ip, port));
        }
    }
    let _ = writeln!(io::stdout(), "{text}");
}

/// Clients are told first, then media and listeners end.
async fn stop(server: &Server, media: &Media, listeners: [Handle<SocketAddr>; 2], timeout: Duration) {
    server.shutdown(timeout.saturating_sub(LISTENERS_END)).await;
    for listener in &listeners {
        listener.graceful_shutdown(Some(LISTENERS_END));
    }
    let workers = Arc::clone(&media.0);
    let _ = tokio::task::spawn_blocking(move || workers.shutdown()).await;
}
