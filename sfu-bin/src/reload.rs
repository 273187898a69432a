//! SIGHUP: the certificate and the log's filter are read again, and the log says which other keys changed and wait for a
//! restart. A configuration with faults changes nothing.

use axum_server::tls_rustls::RustlsConfig;
use serde_json::Value;

use crate::cli::ServeArgs;
use crate::config::{Config, TlsConfig};
use crate::logging::Log;
use crate::serve::configure;
use crate::signals::Hangup;
use crate::tls;

/// What can be read again, and where from.
pub(crate) struct Reload {
    pub(crate) args: ServeArgs,
    /// As the server was started with it, with what was read again since.
    pub(crate) config: Config,
    pub(crate) tls: Option<(RustlsConfig, TlsConfig)>,
    pub(crate) log: Log,
}

impl Reload {
    /// Serves one signal after the other.
    pub(crate) async fn run(mut self, mut hangup: Hangup) {
        loop {
            hangup.recv().await;
            self.once().await;
        }
    }

    async fn once(&mut self) {
        let mut done = Vec::new();
        if let Some((config, files)) = &self.tls
            && tls::reload(config, files).await
        {
            done.push("tls");
        }
        // It reads files.
        let args = self.args.clone();
        let loaded = tokio::task::spawn_blocking(move || configure(&args)).await;
        let new = match loaded {
            Ok(Ok(loaded)) => loaded.config,
            Ok(Err(faults)) => {
                tracing::error!(%faults, reloaded = ?done, "SIGHUP: the configuration has faults; the old one stays");
                return;
            }
            Err(error) => return tracing::error!(%error, "SIGHUP: reading the configuration failed"),
        };
        if new.log.filter != self.config.log.filter && self.log.set_filter(&new.log.filter) {
            self.config.log.filter.clone_from(&new.log.filter);
            done.push("log.filter");
        }
        let waiting = changed(&self.config, &new);
        if !waiting.is_empty() {
            tracing::warn!(keys = ?waiting, "SIGHUP: these keys changed and take effect after a restart");
        }
        if done.is_empty() {
            tracing::info!("SIGHUP: there is nothing to read again");
        } else {
            tracing::info!(reloaded = ?done, "SIGHUP: read again");
        }
    }
}

/// Keys whose values differ.
fn changed(old: &Config, new: &Config) -> Vec<String> {
    fn differences(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => {
                let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
                for key in keys {
                    let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let at = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                    differences(&inner, &at(old), &at(new), found);
                }
            }
            _ if old != new => found.push(path.to_owned()),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(new)) {
        differences("", &old, &new, &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_keys_are_named_and_their_values_are_not() {
        let (old, mut new) = (Config::default(), Config::default());
        assert!(changed(&old, &new).is_empty());
        new.ports.http = 8080;
        new.keys.0.insert("prod".to_owned(), "a-secret".to_owned());
        new.media.external_ips.push([203, 0, 113, 7].into());
        assert_eq!(changed(&old, &new), ["keys.prod", "media.external_ips", "ports.http"]);
    }
}
