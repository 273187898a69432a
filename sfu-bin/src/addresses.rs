//! Which addresses answers advertise.
//!
//! Without `media.external_ips` and `media.interfaces`: those of interfaces that clients can be behind. By kind of interface:
//!
//! | Interface | Advertised |
//! |---|---|
//! | network cards, bonds, VLANs, bridges with names of their own, a container's `eth0` | yes |
//! | bridges and pairs of containers, virtual machines and cluster networks ([`INTERNAL`]) | no: they mean nothing outside this host |
//! | VPNs ([`VPN`]) | no: clients outside of it would try in vain; named in `media.interfaces`: yes |
//! | an address for this host alone (/32, /128) on an interface without neighbours (`dummy`, `kube-ipvs0`, tunnels) | no |
//! | loopback | in dev mode only |
//!
//! A /32 by itself says nothing: Google's and Hetzner's machines have one on their card, and Calico's pods on their `eth0`.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use if_addrs::{IfAddr, Interface};
use sfu_core::sdp::Candidate;
use sfu_core::transport::Protocol;

use crate::config::MediaConfig;
use crate::config::fault::Fault;

/// Beginnings of names of interfaces between this host and its containers, virtual machines or pods.
const INTERNAL: &[&str] = &[
    "antrea",
    "azv",
    "br-",
    "cali",
    "cbr0",
    "cilium",
    "cni",
    "docker",
    "flannel",
    "genev_sys",
    "incusbr",
    "kube-",
    "lxc",
    "lxd",
    "nerdctl",
    "nodelocaldns",
    "ovs-system",
    "ovn",
    "podman",
    "tunl",
    "vboxnet",
    "veth",
    "virbr",
    "vmnet",
    "vnet",
    "vxlan",
    "weave",
];

/// Beginnings of names of VPNs' interfaces.
const VPN: &[&str] = &["nebula", "ppp", "tailscale", "tap", "tun", "utun", "wg", "wireguard", "wt", "zt"];

/// More addresses than this only make answers long and checks slow.
const MAX_ADDRESSES: usize = 8;

/// The IP addresses at which clients reach media. `dev` adds loopback, behind the others: stock Firefox ignores it.
pub(crate) fn advertised(config: &MediaConfig, bind: SocketAddr, dev: bool) -> anyhow::Result<Vec<IpAddr>> {
    if !config.external_ips.is_empty() {
        return Ok(config.external_ips.clone());
    }
    let interfaces = if_addrs::get_if_addrs().context("cannot list the network interfaces")?;
    let Selection { addresses, skipped } = select(&interfaces, config, bind, dev);
    anyhow::ensure!(!addresses.is_empty(), "{}", none_to_advertise(&skipped));
    tracing::debug!(?skipped, "interfaces whose addresses are not advertised");
    Ok(addresses)
}

/// What to advertise, and what not.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) addresses: Vec<IpAddr>,
    /// Names of interfaces that only `media.interfaces` would bring in.
    pub(crate) skipped: Vec<String>,
}

/// Nobody could reach media.
pub(crate) fn none_to_advertise(skipped: &[String]) -> Fault {
    let left_out = if skipped.is_empty() { String::new() } else { format!(" (left out: {})", skipped.join(", ")) };
    let reason = format!("no network interface has an address to advertise{left_out}");
    Fault::new(
        "media.external_ips",
        reason,
        "set media.external_ips (--external-ip), or name interfaces in media.interfaces",
    )
}

pub(crate) fn select(interfaces: &[Interface], config: &MediaConfig, bind: SocketAddr, dev: bool) -> Selection {
    let alone = without_neighbours();
    let bound = |interface: &&Interface| {
        let ip = interface.ip();
        if bind.ip().is_unspecified() { ip.is_ipv4() || bind.is_ipv6() } else { ip == bind.ip() }
    };
    let usable = |interface: &&Interface| !interface.is_link_local() && (dev || !interface.is_loopback());
    let wanted = |interface: &&Interface| match config.interfaces.as_slice() {
        [] => interface.is_loopback() || is_outward(interface, &alone),
        names => names.contains(&interface.name) || (dev && interface.is_loopback()),
    };
    let (mut chosen, skipped): (Vec<_>, Vec<_>) = interfaces.iter().filter(bound).filter(usable).partition(wanted);
    // Loopback last, IPv4 first: browsers try in this order.
    chosen.sort_by_key(|interface| (interface.is_loopback(), matches!(interface.addr, IfAddr::V6(_))));
    let mut addresses: Vec<_> = chosen.into_iter().map(Interface::ip).collect();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    let mut skipped: Vec<_> = skipped.into_iter().map(|interface| interface.name.clone()).collect();
    skipped.dedup();
    Selection { addresses, skipped }
}

/// Whether clients may be behind an interface.
fn is_outward(interface: &Interface, alone: &HashSet<String>) -> bool {
    let is_one_of = |names: &[&str]| names.iter().any(|prefix| interface.name.starts_with(prefix));
    let for_this_host_alone = match &interface.addr {
        IfAddr::V4(v4) => v4.prefixlen == 32,
        IfAddr::V6(v6) => v6.prefixlen == 128,
    };
    let is_alone = for_this_host_alone && alone.contains(&interface.name);
    !is_one_of(INTERNAL) && !is_one_of(VPN) && !is_alone
}

/// Interfaces that ask nobody for link-layer addresses (NOARP): dummies, IPVS, tunnels.
#[cfg(target_os = "linux")]
fn without_neighbours() -> HashSet<String> {
    use nix::net::if_::InterfaceFlags;
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let alone = all.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_NOARP));
    alone.map(|interface| interface.interface_name).collect()
}

#[cfg(not(target_os = "linux"))]
fn without_neighbours() -> HashSet<String> {
    HashSet::new()
}

/// The candidates of a worker.
pub(crate) fn candidates(addresses: &[IpAddr], udp: SocketAddr, tcp: Option<SocketAddr>) -> Vec<Candidate> {
    let all =
        |protocol, port| addresses.iter().map(move |ip| Candidate { protocol, address: SocketAddr::new(*ip, port) });
    let tcp = tcp.into_iter().flat_map(|tcp| all(Protocol::Tcp, tcp.port()));
    all(Protocol::Udp, udp.port()).chain(tcp).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use if_addrs::{IfOperStatus, Ifv4Addr};

    pub(crate) fn interface(name: &str, ip: [u8; 4]) -> Interface {
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
        select(&all, &config, bind.parse().unwrap(), dev).addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn bridges_and_loopback_are_left_out_unless_asked_for() {
        assert_eq!(selected(&[], "[::]:1", false), ["192.0.2.5", "198.51.100.7"]);
        assert_eq!(selected(&[], "[::]:1", true), ["192.0.2.5", "198.51.100.7", "127.0.0.1"]);
        assert_eq!(selected(&["docker0"], "[::]:1", false), ["172.17.0.1"]);
        assert_eq!(selected(&["wlan0"], "0.0.0.0:1", true), ["198.51.100.7", "127.0.0.1"]);
        assert_eq!(selected(&[], "192.0.2.5:1", true), ["192.0.2.5"]);
    }

    /// The interfaces of a Kubernetes node with kube-proxy in IPVS mode, several network plugins and a VPN.
    #[test]
    fn cluster_networks_and_vpns_are_left_out_unless_named() {
        let internal = [
            "kube-ipvs0",
            "flannel.1",
            "cilium_host",
            "cni0",
            "cali12ab",
            "vxlan.calico",
            "lxc_health",
            "lxdbr0",
            "podman0",
            "br-0123456789ab",
            "virbr0",
            "veth12",
            "nodelocaldns",
            "tunl0",
            "weave",
            "incusbr0",
        ];
        let vpns = ["tailscale0", "wg0", "tun0", "ztabcdefgh"];
        let outward = ["eth0", "ens4", "enp1s0", "bond0", "br0", "wlan0", "vlan7", "eno1", "wlp2s0"];
        let all: Vec<_> = internal
            .iter()
            .chain(&vpns)
            .chain(&outward)
            .enumerate()
            .map(|(place, name)| interface(name, [192, 0, 2, place as u8]))
            .collect();
        let bind = "[::]:1".parse().unwrap();
        let none = HashSet::new();
        let found: Vec<_> = all
            .iter()
            .filter(|interface| is_outward(interface, &none))
            .map(|interface| interface.name.as_str())
            .collect();
        assert_eq!(found, outward);
        let config = MediaConfig { interfaces: vec!["tailscale0".to_owned()], ..Default::default() };
        assert_eq!(select(&all, &config, bind, false).addresses.len(), 1);
        let skipped = select(&all, &MediaConfig::default(), bind, false).skipped;
        assert!(
            skipped.contains(&"tailscale0".to_owned()) && skipped.contains(&"kube-ipvs0".to_owned()),
            "{skipped:?}"
        );
    }

    #[test]
    fn an_address_for_this_host_alone_counts_only_on_an_interface_with_neighbours() {
        let alone = |name: &str| {
            let addr =
                Ifv4Addr { ip: [203, 0, 113, 9].into(), netmask: [255; 4].into(), prefixlen: 32, broadcast: None };
            Interface { addr: IfAddr::V4(addr), ..interface(name, [0; 4]) }
        };
        let without = HashSet::from(["dummy7".to_owned()]);
        assert!(is_outward(&alone("ens4"), &without), "Google's machines have such an address");
        assert!(!is_outward(&alone("dummy7"), &without));
        assert!(is_outward(&interface("dummy7", [203, 0, 113, 9]), &without), "a network is behind it");
    }
}
