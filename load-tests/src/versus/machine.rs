//! Where something was measured: figures mean nothing without it.

use serde::{Deserialize, Serialize};

use crate::cli::HostArgs;

/// The machine, the network and the command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Its processors, whoever is pinned to which.
    pub cores: usize,
    /// Whether it is a virtual machine.
    pub is_virtual: bool,
    /// The kernel's release.
    pub kernel: String,
    /// What packets went over.
    pub network: String,
    /// What was run.
    pub command: String,
}

impl Machine {
    /// This machine.
    pub fn read(host: &HostArgs, command: String) -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let network = match host.netns {
            Some(_) => "a veth pair between two network namespaces, segmentation offload off",
            None if host.address.is_loopback() => "loopback",
            None => "the machine's own address",
        };
        Self {
            cpu: cpu_name(&cpuinfo).unwrap_or("unknown processor").to_owned(),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count().max(1),
            is_virtual: cpuinfo.split_whitespace().any(|flag| flag == "hypervisor"),
            kernel: release.trim().to_owned(),
            network: network.to_owned(),
            command,
        }
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        let Self { cpu, cores, kernel, network, .. } = self;
        let kind = if self.is_virtual { "virtual machine" } else { "machine" };
        format!("{kind}, {cores} cores ({cpu}), Linux {kernel}, {network}; the generator on the same machine")
    }
}

fn cpu_name(cpuinfo: &str) -> Option<&str> {
    Some(cpuinfo.lines().find(|line| line.starts_with("model name"))?.split_once(':')?.1.trim())
}

/// Packets that all interfaces of this program's network namespace but loopback have taken in.
pub fn received_packets() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/net/dev").ok()?)
}

/// `name: bytes packets errs ...`, after two lines of heading.
fn parse(dev: &str) -> Option<u64> {
    let interfaces = dev.lines().skip(2).filter_map(|line| line.split_once(':'));
    let others = interfaces.filter(|(name, _)| name.trim() != "lo");
    others.map(|(_, fields)| fields.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_read() {
        let dev =
            "Inter-|   Receive\n face |bytes    packets errs\n    lo: 9 8 0 0\n  veth0: 700 12 0 0\neth1: 1 3 0\n";
        assert_eq!(parse(dev), Some(15));
        assert_eq!(cpu_name("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\n"), Some("A CPU @ 2 GHz"));
    }
}
