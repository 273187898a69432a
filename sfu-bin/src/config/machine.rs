//! What is wrong with a configuration on one machine and right on another: interfaces, addresses, limits of the kernel.
//! Told as warnings, since a file may be checked elsewhere than it is used.

use std::net::{IpAddr, SocketAddr};

use if_addrs::Interface;

use super::Config;
use super::fault::Fault;
use crate::addresses::{self, Selection};

/// Fewer descriptors than this are a default of login shells, and no decision.
const FEW_DESCRIPTORS: u64 = 4096;

/// What a configuration meets.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) interfaces: Vec<Interface>,
    /// How many descriptors the process may have.
    pub(crate) descriptors: Option<u64>,
    /// The largest buffers of sockets: to receive, to send.
    pub(crate) buffers: [Option<usize>; 2],
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Self {
        let largest = |name: &str| {
            std::fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok().and_then(|text| text.trim().parse().ok())
        };
        Self {
            interfaces: if_addrs::get_if_addrs().unwrap_or_default(),
            descriptors: descriptors(),
            buffers: [largest("rmem_max"), largest("wmem_max")],
        }
    }
}

#[cfg(target_os = "linux")]
fn descriptors() -> Option<u64> {
    nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

#[cfg(not(target_os = "linux"))]
fn descriptors() -> Option<u64> {
    None
}

/// What will probably not work there. `dev`: for clients on this machine and its network.
pub(crate) fn warnings(config: &Config, machine: &Machine, dev: bool) -> Vec<Fault> {
    let mut warnings = Vec::new();
    let is_local = |ip: IpAddr| machine.interfaces.iter().any(|interface| interface.ip() == ip);
    for (key, ip) in [("bind", config.bind), ("operator", config.operator.ip())] {
        if !ip.is_unspecified() && !ip.is_loopback() && !is_local(ip) {
            let reason = format!("{ip} is no address of this machine, and cannot be bound");
            warnings.push(Fault::new(key, reason, "name one of this machine, or :: for all"));
        }
    }
    interfaces(config, machine, dev, &mut warnings);
    if let Some(descriptors) = machine.descriptors.filter(|descriptors| *descriptors < FEW_DESCRIPTORS) {
        let reason = format!("the process may have {descriptors} descriptors; a participant takes one, over TCP two");
        let remedy = "raise them: ulimit -n 65536, LimitNOFILE= of systemd, --ulimit nofile= of Docker";
        warnings.push(Fault::new("nofile", reason, remedy));
    }
    let wanted = [("receive_buffer", config.media.receive_buffer), ("send_buffer", config.media.send_buffer)];
    for (((key, wanted), sysctl), largest) in wanted.into_iter().zip(["rmem_max", "wmem_max"]).zip(machine.buffers) {
        if let Some(largest) = largest.filter(|largest| *largest < wanted) {
            let reason = format!("{wanted} bytes are more than net.core.{sysctl} ({largest}); the kernel gives fewer");
            let remedy = format!("sysctl -w net.core.{sysctl}={wanted}, or ask for less");
            warnings.push(Fault::new(format!("media.{key}"), reason, remedy));
        }
    }
    warnings
}

fn interfaces(config: &Config, machine: &Machine, dev: bool, warnings: &mut Vec<Fault>) {
    let named = |name: &String| machine.interfaces.iter().any(|interface| interface.name == *name);
    for name in config.media.interfaces.iter().filter(|name| !named(name)) {
        let mut there: Vec<&str> = machine.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        there.dedup();
        let reason = format!("there is no interface {name} with an address on this machine");
        warnings.push(Fault::new("media.interfaces", reason, format!("name one of {}", there.join(", "))));
    }
    let bind = SocketAddr::new(config.bind, 0);
    let Selection { addresses, skipped } = addresses::select(&machine.interfaces, &config.media, bind, dev);
    if dev {
        return;
    }
    let external = &config.media.external_ips;
    let advertised = if external.is_empty() { &addresses } else { external };
    if advertised.is_empty() {
        warnings.push(addresses::none_to_advertise(&skipped));
    } else if advertised.iter().all(|ip| is_private(*ip)) {
        let list: Vec<_> = advertised.iter().map(ToString::to_string).collect();
        let reason = format!("only private addresses are advertised ({})", list.join(", "));
        let remedy = "fine where all clients are in that network; otherwise set media.external_ips (--external-ip) to the \
                      address that clients reach, and forward the media ports to this machine";
        warnings.push(Fault::new("media.external_ips", reason, remedy));
    }
}

/// Not routed on the internet (RFC 1918, RFC 6598, RFC 4193, RFC 3927).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            v4.is_private() || v4.is_link_local() || v4.is_loopback() || shared
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::tests::interface;

    fn told(config: &Config, interfaces: &[(&str, [u8; 4])], dev: bool) -> Vec<String> {
        let interfaces = interfaces.iter().map(|(name, ip)| interface(name, *ip)).collect();
        let machine = Machine { interfaces, descriptors: Some(65_536), buffers: [None, None] };
        warnings(config, &machine, dev).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn private_addresses_alone_are_told_of() {
        let config = Config::default();
        let cloud = [("lo", [127, 0, 0, 1]), ("eth0", [10, 0, 0, 5])];
        let warnings = told(&config, &cloud, false);
        assert!(
            warnings.len() == 1 && warnings[0].contains("only private addresses are advertised (10.0.0.5)"),
            "{warnings:?}"
        );
        assert!(told(&config, &cloud, true).is_empty());
        assert!(told(&config, &[("eth0", [10, 0, 0, 5]), ("eth1", [203, 0, 113, 7])], false).is_empty());
        let mut named = config.clone();
        named.media.external_ips = vec![[203, 0, 113, 7].into()];
        assert!(told(&named, &cloud, false).is_empty());
        named.media.external_ips = vec![[192, 168, 1, 2].into()];
        assert_eq!(told(&named, &cloud, false).len(), 1);
    }

    #[test]
    fn what_is_not_on_this_machine_is_told_of() {
        let mut config = Config::default();
        config.media.interfaces = vec!["ens9".to_owned()];
        config.bind = [192, 0, 2, 99].into();
        let warnings = told(&config, &[("lo", [127, 0, 0, 1]), ("eth0", [192, 0, 2, 5])], false);
        for part in [
            "bind: 192.0.2.99 is no address of this machine",
            "no interface ens9",
            "name one of lo, eth0",
            "no network interface has",
        ] {
            assert!(warnings.iter().any(|warning| warning.contains(part)), "{part}: {warnings:?}");
        }
    }

    #[test]
    fn short_limits_of_the_kernel_are_told_of() {
        let machine = Machine {
            interfaces: vec![interface("eth0", [203, 0, 113, 7])],
            descriptors: Some(1024),
            buffers: [Some(212_992), Some(8 << 20)],
        };
        let warnings: Vec<_> =
            super::warnings(&Config::default(), &machine, false).iter().map(|warning| warning.key.clone()).collect();
        assert_eq!(warnings, ["nofile", "media.receive_buffer"]);
    }
}
