//! What the range of one value cannot show: values that contradict each other, and texts with a grammar of their own.

use std::net::{IpAddr, SocketAddr};

use sfu_signal::config::DEV_SECRET;
use tracing_subscriber::EnvFilter;

use super::fault::Fault;
use super::{Config, IceServerConfig, Ports};

/// The secret that madang.sample.yaml shows.
const SAMPLE_SECRET: &str = "replace-this-by-a-secret-of-32-bytes-or-more";

/// What keeps the server from starting, or from serving anybody.
pub(crate) fn faults(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    listeners(config, &mut faults);
    udp_ports(config, &mut faults);
    faults.extend(config.media.external_ips.iter().filter_map(|ip| external_ip(*ip)));
    let origins = [
        ("http.allowed_origins", &config.http.allowed_origins),
        ("http.frame_ancestors", &config.http.frame_ancestors),
    ];
    for (key, origin) in origins.iter().flat_map(|(key, list)| list.iter().map(move |origin| (*key, origin))) {
        if let Some(why) = wrong_origin(origin) {
            let remedy = "write * or the origin as browsers send it, such as https://meet.example.com";
            faults.push(Fault::new(key, format!("{origin:?}: {why}"), remedy));
        }
    }
    faults.extend(config.ice_servers.iter().flat_map(ice_server));
    if let Some(tls) = &config.tls
        && (tls.cert.as_os_str().is_empty() || tls.key.as_os_str().is_empty())
    {
        faults.push(Fault::new("tls", "only one of the two files is named", "set both tls.cert and tls.key"));
    }
    if let Err(error) = EnvFilter::try_new(&config.log.filter) {
        let reason = format!("{:?}: {error}", config.log.filter);
        let remedy = "write levels (error, warn, info, debug, trace, off), also for one part: info,sfu_signal=debug";
        faults.push(Fault::new("log.filter", reason, remedy));
    }
    faults
}

/// What works and is probably not meant.
pub(crate) fn warnings(config: &Config) -> Vec<Fault> {
    let mut warnings = Vec::new();
    for (id, secret) in &config.keys.0 {
        if [DEV_SECRET, SAMPLE_SECRET].contains(&secret.as_str()) {
            let remedy = "make one of your own: openssl rand -base64 36";
            warnings.push(Fault::new(format!("keys.{id}"), "this secret is public: anybody can mint tokens", remedy));
        }
    }
    let limits = &config.limits;
    for (key, bytes) in [("sdp_bytes", limits.sdp_bytes), ("metadata_bytes", limits.metadata_bytes)] {
        if bytes > limits.message_bytes {
            let reason = format!("{bytes} bytes do not fit into a message of {} bytes", limits.message_bytes);
            let remedy = format!("raise limits.message_bytes, or lower limits.{key}");
            warnings.push(Fault::new(format!("limits.{key}"), reason, remedy));
        }
    }
    if config.http.allowed_origins.len() > 1 && config.http.allowed_origins.iter().any(|origin| origin == "*") {
        let remedy = "leave out *, or everything else";
        warnings.push(Fault::new("http.allowed_origins", "* allows every page, whatever else is listed", remedy));
    }
    let operator = config.operator;
    if !operator.ip().is_loopback() && clients_ports(config).contains(&u32::from(operator.port())) {
        let reason = format!("{} lies among the ports that clients need, and has no authentication", operator.port());
        let remedy = "take a port outside of them, so that no firewall rule opens it by accident";
        warnings.push(Fault::new("operator", reason, remedy));
    }
    let has_v6 = config.media.external_ips.iter().any(IpAddr::is_ipv6);
    if config.bind.is_ipv4() && has_v6 {
        let reason = format!("an IPv6 address is advertised, and {} takes IPv4 only", config.bind);
        warnings.push(Fault::new("media.external_ips", reason, "set bind to \"::\", or leave the address out"));
    }
    if config.media.external_ips.iter().any(IpAddr::is_loopback) {
        let reason = "a loopback address reaches clients on this machine only";
        warnings.push(Fault::new("media.external_ips", reason, "name the address that clients reach"));
    }
    warnings
}

/// From the first to the last port of the public listeners.
fn clients_ports(config: &Config) -> std::ops::RangeInclusive<u32> {
    let Ports { http, tcp, udp } = config.ports;
    let last_udp = u32::from(udp) + config.media.worker_count() as u32 - 1;
    let ports = [u32::from(http), u32::from(tcp), u32::from(udp), last_udp];
    ports.into_iter().filter(|port| *port != 0).min().unwrap_or(1)..=ports.into_iter().max().unwrap_or(0)
}

/// No two listeners take the same TCP port of one address.
fn listeners(config: &Config, faults: &mut Vec<Fault>) {
    if config.bind.is_multicast() {
        let reason = format!("{} is a multicast address", config.bind);
        faults.push(Fault::new("bind", reason, "write :: for all addresses, or one of this machine"));
    }
    let Ports { http, tcp, .. } = config.ports;
    let tcp = config.media.ice_tcp.then_some(("ports.tcp", SocketAddr::new(config.bind, tcp)));
    let all = [Some(("ports.http", SocketAddr::new(config.bind, http))), tcp, Some(("operator", config.operator))];
    let all: Vec<_> = all.into_iter().flatten().collect();
    for (place, (key, one)) in all.iter().enumerate() {
        for (other_key, other) in all[..place].iter().filter(|(_, other)| clash(*one, *other)) {
            let reason = format!("{one} is the listener of {other_key} ({other}) already");
            faults.push(Fault::new(*key, reason, format!("give {key} and {other_key} different ports")));
        }
    }
}

fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    // `::` takes IPv4 as well.
    let covers = |wide: IpAddr, ip: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || ip.is_ipv4());
    let same = one.ip() == other.ip() || covers(one.ip(), other.ip()) || covers(other.ip(), one.ip());
    one.port() != 0 && one.port() == other.port() && same
}

fn udp_ports(config: &Config, faults: &mut Vec<Fault>) {
    let (first, workers) = (u32::from(config.ports.udp), config.media.worker_count() as u32);
    let last = first + workers - 1;
    if first != 0 && last > u32::from(u16::MAX) {
        let counted = if config.media.workers == 0 { "one per processor of this machine" } else { "media.workers" };
        let reason = format!("{workers} workers ({counted}) need the ports {first} to {last}, and 65535 is the last");
        let remedy = format!("write at most {}, or fewer media.workers", u32::from(u16::MAX) + 1 - workers);
        faults.push(Fault::new("ports.udp", reason, remedy));
    }
}

fn external_ip(ip: IpAddr) -> Option<Fault> {
    let why = match ip {
        _ if ip.is_unspecified() => "stands for all addresses, and is none that a client can reach",
        _ if ip.is_multicast() => "is a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "is the broadcast address",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "is link-local, which means nothing on another machine",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "is an IPv4 address in IPv6's clothes; browsers skip it",
        _ => return None,
    };
    let remedy = "name the address that clients reach, or leave the list empty for those of the interfaces";
    Some(Fault::new("media.external_ips", format!("{ip} {why}"), remedy))
}

/// Why this is no origin (RFC 6454 section 6.1), in the one form that browsers send.
fn wrong_origin(origin: &str) -> Option<&'static str> {
    if origin == "*" || origin == "null" {
        return None;
    }
    let Some((scheme, rest)) = origin.split_once("://") else {
        return Some("there is no scheme such as https://");
    };
    let (host, port) = host_and_port(rest);
    let letters =
        |text: &str, also: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c));
    if rest.contains(['/', '?', '#', '@']) {
        return Some("an origin has no path, and no slash at its end");
    }
    if rest.contains('*') {
        return Some("* cannot stand for a part; list each origin");
    }
    if scheme.is_empty() || host.is_empty() || !letters(scheme, "+.-") || !letters(host, ".-_[]:") {
        return Some("browsers send lower case letters, digits, dots and hyphens");
    }
    if let Some(port) = port {
        if !port.parse::<u16>().is_ok_and(|number| number != 0 && number.to_string() == port) {
            return Some("the port is none");
        }
        if [("https", "443"), ("http", "80")].contains(&(scheme, port)) {
            return Some("browsers leave out a scheme's own port");
        }
    }
    None
}

/// What stands before and behind the last colon that is not within an IPv6 address's brackets.
fn host_and_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

/// RFC 7064, RFC 7065, and what browsers demand of them (W3C WebRTC section 4.4.1.5).
fn ice_server(server: &IceServerConfig) -> Vec<Fault> {
    let mut faults: Vec<Fault> = server
        .urls
        .iter()
        .filter_map(|url| {
            let remedy = "write stun:HOST:PORT, turn:HOST:PORT?transport=udp or turns:HOST:PORT?transport=tcp";
            wrong_ice_url(url).map(|why| Fault::new("ice_servers", format!("{url:?}: {why}"), remedy))
        })
        .collect();
    let is_turn = server.urls.iter().any(|url| url.starts_with("turn"));
    if is_turn && (server.username.is_none() || server.credential.is_none()) {
        let reason = format!("{:?}: TURN without username or credential; browsers refuse the whole list", server.urls);
        faults.push(Fault::new("ice_servers", reason, "set username and credential"));
    }
    faults
}

fn wrong_ice_url(url: &str) -> Option<&'static str> {
    let Some((scheme, rest)) = url.split_once(':') else { return Some("there is no scheme") };
    let (address, query) = rest.split_once('?').map_or((rest, None), |(address, query)| (address, Some(query)));
    match (scheme, query) {
        ("stun" | "stuns", None) | ("turn" | "turns", None | Some("transport=udp" | "transport=tcp")) => {}
        ("stun" | "stuns", Some(_)) => return Some("a STUN server's URL has no query"),
        ("turn" | "turns", Some(_)) => return Some("the query can only be transport=udp or transport=tcp"),
        _ => return Some("the scheme is none of stun, stuns, turn, turns"),
    }
    if address.contains('/') {
        return Some("there are no slashes in it");
    }
    let (host, port) = host_and_port(address);
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    if !is_v6 && !is_name {
        return Some("the host is none; an IPv6 address stands in brackets");
    }
    let wrong_port = port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port != 0));
    wrong_port.then_some("the port is none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for right in [
            "*",
            "null",
            "https://meet.example.com",
            "http://localhost:5173",
            "https://[2001:db8::1]:8443",
            "capacitor://localhost",
        ] {
            assert_eq!(wrong_origin(right), None, "{right}");
        }
        for wrong in [
            "meet.example.com",
            "https://a/",
            "https://a/path",
            "https://*.a.com",
            "https://A.com",
            "https://a:443",
            "http://a:80",
            "https://a:0",
            "https://a:99999",
            "https://",
            "://a",
            "https://ä.com",
            "https://u@a",
        ] {
            assert!(wrong_origin(wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn ice_urls_are_as_browsers_take_them() {
        for right in [
            "stun:stun.example.com",
            "stun:192.0.2.1:3478",
            "turn:[2001:db8::1]:3478?transport=tcp",
            "turns:turn.example.com:443",
        ] {
            assert_eq!(wrong_ice_url(right), None, "{right}");
        }
        for wrong in [
            "turn.example.com",
            "turn://turn.example.com",
            "stun:a?transport=udp",
            "turn:a?transport=tls",
            "turn:",
            "turn:a:0",
            "turn:a:port",
            "turn:2001:db8::1",
            "http:a",
            "turn:a b",
        ] {
            assert!(wrong_ice_url(wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn listeners_clash_where_one_address_covers_the_other() {
        let clash = |one: &str, other: &str| clash(one.parse().unwrap(), other.parse().unwrap());
        assert!(clash("[::]:1", "127.0.0.1:1") && clash("0.0.0.0:1", "192.0.2.1:1") && clash("[::1]:1", "[::1]:1"));
        assert!(!clash("0.0.0.0:1", "[::1]:1") && !clash("127.0.0.1:1", "192.0.2.1:1") && !clash("[::]:0", "[::]:0"));
        assert!(!clash("[::]:1", "[::]:2"));
    }
}
