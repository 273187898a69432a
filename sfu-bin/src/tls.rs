//! HTTPS: from files that are read again when they change and on SIGHUP, or with a certificate made at start (`--dev-tls`).

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsConfig;

/// How often the files are looked at.
const CHECK: Duration = Duration::from_secs(30);

/// Makes rustls use aws-lc, the one provider that is built in.
pub(crate) fn install_provider() {
    // An error says that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Whether the files are there, can be read, and belong together.
pub(crate) fn check(files: &TlsConfig) -> anyhow::Result<()> {
    install_provider();
    let (cert, key) = (&files.cert, &files.key);
    let of_cert = || format!("tls.cert {}", cert.display());
    let of_key = || format!("tls.key {}", key.display());
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).with_context(of_cert)?;
    anyhow::ensure!(!chain.is_empty(), "{}: there is no certificate in it", of_cert());
    let private = PrivateKeyDer::from_pem_file(key).with_context(of_key)?;
    // With a chain of which the key is another's, this fails.
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} with {}", of_cert(), of_key()))?;
    Ok(())
}

/// Reads the files, and reads them again whenever they change.
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
    loop {
        tokio::time::sleep(CHECK).await;
        let now = state();
        // On failure the next look tries again.
        if now != known && reload(&config, &files).await {
            known = now;
        }
    }
}

/// Reads the files again; false, and the old certificate stays, if they are not right.
pub(crate) async fn reload(config: &RustlsConfig, files: &TlsConfig) -> bool {
    match config.reload_from_pem_file(&files.cert, &files.key).await {
        Ok(()) => {
            tracing::info!("the TLS certificate was read again");
            true
        }
        Err(error) => {
            tracing::error!(%error, "the TLS certificate cannot be read; the old one stays");
            false
        }
    }
}

/// A certificate for this machine, good for trying things out and nothing else.
pub(crate) async fn self_signed(addresses: &[IpAddr]) -> anyhow::Result<RustlsConfig> {
    let names = addresses.iter().map(ToString::to_string).chain(["localhost".to_owned()]).collect::<Vec<_>>();
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names)?;
    Ok(RustlsConfig::from_der(vec![cert.der().to_vec()], signing_key.serialize_der()).await?)
}
