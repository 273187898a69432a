//! A worker's UDP socket: binding, buffers, and the choice between the Linux fast path and the portable one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mio::net::UdpSocket;
use socket2::{Domain, Socket, Type};

use super::counters::NetCounters;
#[cfg(target_os = "linux")]
use super::udp_linux::UdpLinux;
use super::udp_portable::UdpPortable;
use crate::Transmit;
use crate::transport::Path;

/// How a worker reads and writes its UDP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UdpMode {
    /// `recvmmsg`, `sendmmsg`, GRO and GSO on Linux; elsewhere the same as `Portable`.
    #[default]
    Fast,
    /// One system call per datagram, and no knowledge of the local address.
    Portable,
}

/// A bound UDP socket, not yet in a worker.
#[derive(Debug)]
pub(super) struct BoundUdp {
    socket: Socket,
    address: SocketAddr,
}

impl BoundUdp {
    /// Binds `ip`; `::` takes both families where the system can, and falls back to `0.0.0.0`. `port` 0 is any.
    pub(super) fn bind(ip: IpAddr, port: u16, buffers: Buffers) -> io::Result<Self> {
        let socket = match bind(ip, port) {
            Err(_) if ip == Ipv6Addr::UNSPECIFIED => bind(Ipv4Addr::UNSPECIFIED.into(), port)?,
            other => other?,
        };
        buffers.apply(&socket, port);
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { socket, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<Socket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if ip == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Wanted sizes of a socket's buffers, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffers {
    /// For what arrives while the worker is busy: 4 MiB hold 30 ms of 1 Gbit/s.
    pub receive: usize,
    /// For trains that the network card has not taken yet.
    pub send: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { receive: 4 << 20, send: 4 << 20 }
    }
}

impl Buffers {
    /// Sets both sizes and says once what the kernel gave instead.
    fn apply(self, socket: &Socket, port: u16) {
        for (name, limit, wanted, given) in [
            ("receive", "net.core.rmem_max", self.receive, {
                let _ = socket.set_recv_buffer_size(self.receive);
                socket.recv_buffer_size()
            }),
            ("send", "net.core.wmem_max", self.send, {
                let _ = socket.set_send_buffer_size(self.send);
                socket.send_buffer_size()
            }),
        ] {
            // Linux reports twice what it was asked for, since it counts its own overhead.
            let usable = given.unwrap_or(0) / if cfg!(target_os = "linux") { 2 } else { 1 };
            if usable < wanted {
                tracing::warn!(port, wanted, usable, "UDP {name} buffer is smaller than wanted; raise {limit}");
            }
        }
    }
}

/// For how long a datagram had been in the socket's queue when its batch was read, where the system tells.
pub(super) type Age = Option<Duration>;

/// What [`Udp::receive`] found.
#[derive(Debug)]
pub(super) enum Readiness {
    /// There may be more.
    More,
    /// Nothing more until the poll says so.
    Drained,
    /// Nothing was read; there may be more.
    Failed(io::Error),
}

/// A worker's UDP socket.
pub(super) enum Udp {
    #[cfg(target_os = "linux")]
    Linux(UdpLinux),
    Portable(UdpPortable),
}

impl Udp {
    pub(super) fn new(bound: BoundUdp, mode: UdpMode) -> io::Result<Self> {
        let socket = UdpSocket::from_std(bound.socket.into());
        #[cfg(target_os = "linux")]
        if mode == UdpMode::Fast {
            return Ok(Self::Linux(UdpLinux::new(socket, bound.address)?));
        }
        let _ = mode;
        Ok(Self::Portable(UdpPortable::new(socket, bound.address)))
    }

    /// For registration with the poll.
    pub(super) fn socket(&mut self) -> &mut UdpSocket {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux(udp) => udp.socket(),
            Self::Portable(udp) => udp.socket(),
        }
    }

    /// Hands one batch of datagrams to `each`.
    pub(super) fn receive(&mut self, counters: &mut NetCounters, each: impl FnMut(Age, Path, &mut [u8])) -> Readiness {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux(udp) => udp.receive(counters, each),
            Self::Portable(udp) => udp.receive(counters, each),
        }
    }

    /// Waits for a datagram, at most `patience`; false if none came, or where the system cannot wait so shortly.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux(udp) => udp.wait(patience),
            Self::Portable(_) => false,
        }
    }

    /// Sends trains; what the kernel does not take is dropped and counted, since a late packet is worth little.
    pub(super) fn send<'a>(&mut self, counters: &mut NetCounters, trains: impl Iterator<Item = Transmit<'a>>) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux(udp) => udp.send(counters, trains),
            Self::Portable(udp) => udp.send(counters, trains),
        }
    }
}
