//! HTTPS: from files that are read again when they change, or with a certificate made at start (`--dev-tls`).

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum_server::tls_rustls::RustlsConfig;

use crate::config::TlsConfig;

/// How often the files are looked at.
const CHECK: Duration = Duration::from_secs(30);

/// Makes rustls use aws-lc, the one provider that is built in.
pub(crate) fn install_provider() {
    // An error says that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Reads the files, and reads them again whenever they change or SIGHUP comes.
pub(crate) async fn from_files(files: TlsConfig) -> anyhow::Result<RustlsConfig> {
    let config = RustlsConfig::from_pem_file(&files.cert, &files.key)
        .await
        .with_context(|| format!("tls.cert {} with tls.key {}", files.cert.display(), files.key.display()))?;
    tokio::spawn(watch(config.clone(), files));
    Ok(config)
}

async fn watch(config: RustlsConfig, files: TlsConfig) {
    let modified = |path: &PathBuf| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    let state = || (modified(&files.cert), modified(&files.key));
    let mut known: (Option<SystemTime>, Option<SystemTime>) = state();
    let mut hangup = Hangup::new();
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(CHECK) => false,
            () = hangup.recv() => true,
        };
        let now = state();
        if asked || now != known {
            // On failure the old certificate stays, and the next look tries again.
            match config.reload_from_pem_file(&files.cert, &files.key).await {
                Ok(()) => {
                    known = now;
                    tracing::info!("the TLS certificate was read again");
                }
                Err(error) => tracing::error!(%error, "the TLS certificate cannot be read; the old one stays"),
            }
        }
    }
}

/// A certificate for this machine, good for trying things out and nothing else.
pub(crate) async fn self_signed(addresses: &[IpAddr]) -> anyhow::Result<RustlsConfig> {
    let names = addresses.iter().map(ToString::to_string).chain(["localhost".to_owned()]).collect::<Vec<_>>();
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names)?;
    Ok(RustlsConfig::from_der(vec![cert.der().to_vec()], signing_key.serialize_der()).await?)
}

/// SIGHUP where there is one.
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    #[cfg(unix)]
    fn new() -> Self {
        Self { signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok() }
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        Self {}
    }

    async fn recv(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}
