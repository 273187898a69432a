//! UDP with one system call per datagram, for systems without `recvmmsg`, GRO and GSO.
//!
//! The standard library does not tell which address a datagram was sent to, so [`Path::local`] is the socket's own,
//! which may be the unspecified one, and the system chooses the source of what we send. On a host with one address per
//! family, and so on a developer's machine, that is the same.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::UdpSocket;

use super::counters::NetCounters;
use super::udp::{Age, Readiness};
use crate::Transmit;
use crate::transport::{Path, Protocol};

/// Datagrams that are received in one go.
const BATCH: usize = 32;

pub(super) struct UdpPortable {
    socket: UdpSocket,
    address: SocketAddr,
    buffer: Box<[u8]>,
}

impl UdpPortable {
    pub(super) fn new(socket: UdpSocket, address: SocketAddr) -> Self {
        Self { socket, address, buffer: vec![0; 65_536].into() }
    }

    pub(super) fn socket(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    pub(super) fn receive(
        &mut self,
        counters: &mut NetCounters,
        mut each: impl FnMut(Age, Path, &mut [u8]),
    ) -> Readiness {
        for _ in 0..BATCH {
            match self.socket.recv_from(&mut self.buffer) {
                Ok((len, remote)) => {
                    counters.udp_reads += 1;
                    counters.udp_in += 1;
                    counters.udp_bytes_in += len as u64;
                    each(None, self.path(remote), &mut self.buffer[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Readiness::Drained,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Readiness::Failed(error),
            }
        }
        Readiness::More
    }

    fn path(&self, remote: SocketAddr) -> Path {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let local = match self.address.ip() {
            ip if ip.is_unspecified() && remote.is_ipv4() => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            ip => ip,
        };
        Path { protocol: Protocol::Udp, local: SocketAddr::new(local, self.address.port()), remote }
    }

    pub(super) fn send<'a>(&mut self, counters: &mut NetCounters, trains: impl Iterator<Item = Transmit<'a>>) {
        for train in trains {
            let remote = self.reachable(train.path.remote);
            for datagram in train.data.chunks(train.segment.max(1)) {
                counters.udp_writes += 1;
                match self.socket.send_to(datagram, remote) {
                    Ok(_) => {
                        counters.udp_out += 1;
                        counters.udp_bytes_out += datagram.len() as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => counters.udp_send_dropped += 1,
                    Err(_) => counters.udp_send_errors += 1,
                }
            }
        }
    }

    /// An IPv6 socket reaches IPv4 by mapped addresses.
    fn reachable(&self, remote: SocketAddr) -> SocketAddr {
        match remote.ip() {
            IpAddr::V4(v4) if self.address.is_ipv6() => SocketAddr::new(v4.to_ipv6_mapped().into(), remote.port()),
            _ => remote,
        }
    }
}
