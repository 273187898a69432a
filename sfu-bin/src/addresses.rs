//! Which addresses answers advertise.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use if_addrs::{IfAddr, Interface};
use sfu_core::sdp::Candidate;
use sfu_core::transport::Protocol;

use crate::config::MediaConfig;

/// Interfaces of containers and virtual machines: their addresses mean nothing outside this host.
const BRIDGES: [&str; 5] = ["docker", "veth", "br-", "virbr", "cni"];

/// More addresses than this only make answers long and checks slow.
const MAX_ADDRESSES: usize = 8;

/// The IP addresses at which clients reach media. `dev` adds loopback, behind the others: stock Firefox ignores it.
pub(crate) fn advertised(config: &MediaConfig, bind: SocketAddr, dev: bool) -> anyhow::Result<Vec<IpAddr>> {
    if !config.external_ips.is_empty() {
        return Ok(config.external_ips.clone());
    }
    let interfaces = if_addrs::get_if_addrs().context("cannot list the network interfaces")?;
    let addresses = select(&interfaces, config, bind, dev);
    anyhow::ensure!(
        !addresses.is_empty(),
        "no network interface has an address to advertise: set media.external_ips (--external-ip), or media.interfaces"
    );
    Ok(addresses)
}

fn select(interfaces: &[Interface], config: &MediaConfig, bind: SocketAddr, dev: bool) -> Vec<IpAddr> {
    let named = |interface: &&Interface| match config.interfaces.as_slice() {
        [] => interface.is_loopback() || !BRIDGES.iter().any(|prefix| interface.name.starts_with(prefix)),
        names => names.contains(&interface.name) || (dev && interface.is_loopback()),
    };
    let bound = |interface: &&Interface| {
        let ip = interface.ip();
        if bind.ip().is_unspecified() { ip.is_ipv4() || bind.is_ipv6() } else { ip == bind.ip() }
    };
    let usable = |interface: &&Interface| !interface.is_link_local() && (dev || !interface.is_loopback());
    let mut chosen: Vec<_> = interfaces.iter().filter(named).filter(bound).filter(usable).collect();
    // Loopback last, IPv4 first: browsers try in this order.
    chosen.sort_by_key(|interface| (interface.is_loopback(), matches!(interface.addr, IfAddr::V6(_))));
    let mut addresses: Vec<_> = chosen.into_iter().map(Interface::ip).collect();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// The candidates of a worker.
pub(crate) fn candidates(addresses: &[IpAddr], udp: SocketAddr, tcp: Option<SocketAddr>) -> Vec<Candidate> {
    let all =
        |protocol, port| addresses.iter().map(move |ip| Candidate { protocol, address: SocketAddr::new(*ip, port) });
    let tcp = tcp.into_iter().flat_map(|tcp| all(Protocol::Tcp, tcp.port()));
    all(Protocol::Udp, udp.port()).chain(tcp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use if_addrs::{IfOperStatus, Ifv4Addr};

    fn interface(name: &str, ip: [u8; 4]) -> Interface {
        let addr = Ifv4Addr { ip: ip.into(), netmask: [255, 255, 255, 0].into(), prefixlen: 24, broadcast: None };
        Interface { name: name.to_owned(), addr: IfAddr::V4(addr), index: None, oper_status: IfOperStatus::Up }
    }

    fn selected(interfaces: &[&str], bind: &str, dev: bool) -> Vec<String> {
        let all = [
            interface("lo", [127, 0, 0, 1]),
            interface("docker0", [172, 17, 0, 1]),
            interface("eth0", [192, 0, 2, 5]),
            interface("wlan0", [198, 51, 100, 7]),
        ];
        let config = MediaConfig {
            interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        };
        select(&all, &config, bind.parse().unwrap(), dev).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn bridges_and_loopback_are_left_out_unless_asked_for() {
        assert_eq!(selected(&[], "[::]:1", false), ["192.0.2.5", "198.51.100.7"]);
        assert_eq!(selected(&[], "[::]:1", true), ["192.0.2.5", "198.51.100.7", "127.0.0.1"]);
        assert_eq!(selected(&["docker0"], "[::]:1", false), ["172.17.0.1"]);
        assert_eq!(selected(&["wlan0"], "0.0.0.0:1", true), ["198.51.100.7", "127.0.0.1"]);
        assert_eq!(selected(&[], "192.0.2.5:1", true), ["192.0.2.5"]);
    }
}
