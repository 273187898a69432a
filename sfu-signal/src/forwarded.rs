//! What proxies in front of the server say of a request: its client's address, and the URL by which clients know the server.
//!
//! `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` are believed only of peers in `http.trusted_proxies`: anybody can write them.
//! `http.public_url` needs no proxy's word, and overrides it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::HttpConfig;
use crate::listener::Client;
use crate::server::Server;

/// An address, or a network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        address.or_else(|_| text.parse()).map(Self).map_err(|_| {
            format!("{text:?} is neither an address nor a network; expected e.g. 10.0.0.1, 10.0.0.0/8 or fd00::/8")
        })
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.0.to_string()
    }
}

/// The proxies whose word counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Proxies(pub Vec<Network>);

impl Proxies {
    /// Whether this peer is one of them.
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.0.contains(&peer))
    }

    /// The client's address: the last in `X-Forwarded-For` that no trusted proxy has; what stands before it was written by
    /// others.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
        let hops = lines.iter().flat_map(|line| line.split(',')).rev();
        let mut client = peer.to_canonical();
        for hop in hops {
            if !self.contains(client) {
                break;
            }
            let Some(address) = hop_address(hop) else { break };
            client = address.to_canonical();
        }
        client
    }
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim().trim_matches('"');
    if let Some(bracketed) = hop.strip_prefix('[') {
        return bracketed.split_once(']')?.0.parse().ok();
    }
    hop.parse().ok().or_else(|| hop.split_once(':')?.0.parse().ok())
}

/// `http.public_url`: scheme, host, and perhaps a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl {
    origin: Origin,
    prefix: String,
}

/// Scheme and host of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    secure: bool,
    host: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.host)
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no base URL; expected e.g. https://meet.example.com or https://example.com/sfu");
        let url: Uri = text.parse().map_err(|_| wrong())?;
        let secure = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = url.authority().map(Authority::as_str).filter(|host| !host.contains('@')).ok_or_else(wrong)?;
        let prefix = prefix(url.path()).filter(|_| url.query().is_none()).ok_or_else(wrong)?;
        Ok(Self { origin: Origin { secure, host: host.to_owned() }, prefix })
    }
}

impl From<PublicUrl> for String {
    fn from(url: PublicUrl) -> Self {
        format!("{}{}", url.origin, url.prefix)
    }
}

/// A path before all of ours, without a slash at its end. `None`: it is none.
fn prefix(path: &str) -> Option<String> {
    let path = path.trim_end_matches('/');
    let sound = path.is_empty() || (path.starts_with('/') && !path.starts_with("//"));
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte));
    (sound && plain).then(|| path.to_owned())
}

/// How the client that made a request reaches this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    /// Scheme and host, where somebody said them who knows.
    told: Option<Origin>,
    /// Those of the connection itself.
    own: Origin,
    prefix: String,
}

impl Base {
    pub(crate) fn of(config: &HttpConfig, tls: bool, proxied: bool, uri: &Uri, headers: &HeaderMap) -> Self {
        // HTTP/2 has no `Host`.
        let host = uri.authority().map(Authority::as_str).or_else(|| first(headers, header::HOST.as_str()));
        let own = Origin { secure: tls, host: host.unwrap_or("localhost").to_owned() };
        if let Some(PublicUrl { origin, prefix }) = config.public_url.clone() {
            return Self { told: Some(origin), own, prefix };
        }
        if !proxied {
            return Self { told: None, own, prefix: String::new() };
        }
        let secure = first(headers, "x-forwarded-proto").map(|scheme| matches!(scheme, "https" | "wss"));
        let host = first(headers, "x-forwarded-host").filter(|host| host.parse::<Authority>().is_ok());
        let told = (secure.is_some() || host.is_some()).then(|| Origin {
            secure: secure.unwrap_or(own.secure),
            host: host.map_or_else(|| own.host.clone(), str::to_owned),
        });
        let prefix = first(headers, "x-forwarded-prefix").and_then(prefix).unwrap_or_default();
        Self { told, own, prefix }
    }

    /// What a `Location` says for a path of ours: a whole URL where it is known, else the path alone, which clients resolve
    /// against the URL that they asked.
    pub(crate) fn location(&self, path: &str) -> String {
        let origin = self.told.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{origin}{}{path}", self.prefix)
    }

    /// The server's URL for WebSockets.
    pub(crate) fn websocket(&self) -> String {
        let Origin { secure, host } = self.told.as_ref().unwrap_or(&self.own);
        format!("{}://{host}{}", if *secure { "wss" } else { "ws" }, self.prefix)
    }

    /// Whether a page of this host is one that this server serves.
    pub(crate) fn serves(&self, host: &str) -> bool {
        self.own.host == host || self.told.as_ref().is_some_and(|told| told.host == host)
    }
}

/// The first element of a header that may be a list.
fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
    (!value.is_empty()).then_some(value)
}

impl FromRequestParts<Arc<Server>> for Base {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Self::Rejection> {
        let proxied = parts.extensions.get::<Client>().is_some_and(|client| client.proxied);
        Ok(Self::of(&server.config.http, server.config.tls, proxied, &parts.uri, &parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn proxies(networks: &[&str]) -> Proxies {
        Proxies(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    #[test]
    fn the_client_is_the_last_that_no_trusted_proxy_has() {
        let trusted = proxies(&["10.0.0.0/8", "fd00::/8", "127.0.0.1"]);
        let client = |peer: &str, lines: &[(&'static str, &'static str)]| {
            trusted.client(peer.parse().unwrap(), &headers(lines)).to_string()
        };
        let name = "x-forwarded-for";
        assert_eq!(client("192.0.2.9", &[(name, "198.51.100.1")]), "192.0.2.9", "a stranger's word does not count");
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &[(name, "198.51.100.1")]), "198.51.100.1");
        assert_eq!(client("10.1.2.3", &[(name, "6.6.6.6, 198.51.100.1, 10.9.9.9")]), "198.51.100.1");
        assert_eq!(client("::ffff:10.1.2.3", &[(name, "6.6.6.6"), (name, "198.51.100.1")]), "198.51.100.1");
        assert_eq!(client("fd00::1", &[(name, "[2001:db8::7]:4711")]), "2001:db8::7");
        assert_eq!(client("127.0.0.1", &[(name, "198.51.100.1:80")]), "198.51.100.1");
        assert_eq!(client("127.0.0.1", &[(name, "198.51.100.1, unknown")]), "127.0.0.1");
    }

    #[test]
    fn networks_are_addresses_or_cidr() {
        for (text, shown) in [("192.0.2.1", "192.0.2.1/32"), ("fd00::/8", "fd00::/8"), ("0.0.0.0/0", "0.0.0.0/0")] {
            assert_eq!(String::from(text.parse::<Network>().unwrap()), shown);
        }
        for wrong in ["", "10", "10.0.0.0/33", "proxy.example", "*"] {
            assert!(wrong.parse::<Network>().unwrap_err().contains("10.0.0.0/8"), "{wrong}");
        }
    }

    #[test]
    fn public_urls_are_a_scheme_a_host_and_a_path() {
        for (text, shown) in [
            ("https://meet.example.com", "https://meet.example.com"),
            ("http://[2001:db8::1]:8080/", "http://[2001:db8::1]:8080"),
            ("https://example.com/a/sfu/", "https://example.com/a/sfu"),
        ] {
            assert_eq!(String::from(PublicUrl::try_from(text.to_owned()).unwrap()), shown);
        }
        for wrong in ["", "meet.example.com", "/sfu", "ws://a", "https://a/?x=1", "https://u:p@a", "https://a//b\"c"] {
            assert!(PublicUrl::try_from(wrong.to_owned()).unwrap_err().contains("https://"), "{wrong}");
        }
    }

    fn base(url: Option<&str>, tls: bool, proxied: bool, lines: &[(&'static str, &'static str)]) -> Base {
        let public_url = url.map(|url| PublicUrl::try_from(url.to_owned()).unwrap());
        let config = HttpConfig { public_url, ..HttpConfig::default() };
        Base::of(&config, tls, proxied, &Uri::from_static("/whip/demo"), &headers(lines))
    }

    #[test]
    fn who_asks_directly_gets_paths_and_the_connections_scheme() {
        let base =
            base(None, true, false, &[("host", "a:7880"), ("x-forwarded-host", "evil"), ("x-forwarded-prefix", "/p")]);
        assert_eq!((base.location("/whip/x"), base.websocket()), ("/whip/x".into(), "wss://a:7880".into()));
        assert!(base.serves("a:7880") && !base.serves("evil"));
    }

    #[test]
    fn a_trusted_proxys_word_decides_scheme_host_and_prefix() {
        let lines = [("host", "10.0.0.1:7880"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "meet.example")];
        let whole = base(None, false, true, &[&lines[..], &[("x-forwarded-prefix", "/sfu/")]].concat());
        assert_eq!(whole.location("/whip/x"), "https://meet.example/sfu/whip/x");
        assert_eq!(whole.websocket(), "wss://meet.example/sfu");
        assert!(whole.serves("meet.example"));
        let host_passed = base(None, false, true, &[("host", "meet.example"), ("x-forwarded-proto", "https, http")]);
        assert_eq!(host_passed.location("/whip/x"), "https://meet.example/whip/x");
        let wrong = [("host", "a"), ("x-forwarded-host", "b c"), ("x-forwarded-prefix", "//evil.example")];
        assert_eq!(base(None, false, true, &wrong).location("/whip/x"), "/whip/x");
    }

    #[test]
    fn the_public_url_overrides_everybody() {
        let lines = [("host", "10.0.0.1"), ("x-forwarded-host", "other"), ("x-forwarded-prefix", "/other")];
        for proxied in [false, true] {
            let base = base(Some("https://meet.example/sfu"), false, proxied, &lines);
            assert_eq!(base.location("/whep/x"), "https://meet.example/sfu/whep/x");
            assert_eq!(base.websocket(), "wss://meet.example/sfu");
            assert!(base.serves("10.0.0.1") && base.serves("meet.example"));
        }
    }
}
