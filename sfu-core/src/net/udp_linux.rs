//! UDP on Linux: batches by `recvmmsg` and `sendmmsg`, GRO in, GSO trains out, local addresses by packet info.
//!
//! A train leaves as one message with `UDP_SEGMENT`. Where the path refuses that (`EIO`: the device cannot compute the
//! checksums), GSO is off for the rest of the worker's life; a train that is refused for its own size (`EINVAL`,
//! `EMSGSIZE`) is cut by us and GSO stays. Either way nothing of the train is lost. The order of datagrams to one
//! destination is that of the trains.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrayvec::ArrayVec;
use mio::net::UdpSocket;
use nix::libc;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use super::counters::NetCounters;
use super::sys::{BATCH, Datagrams, ReceiveBatch, SendBatch};
use super::udp::{Age, Readiness};
use crate::Transmit;
use crate::transport::{Path, Protocol};

/// `UDP_MAX_SEGMENTS` of kernels before 6.9.
const MAX_SEGMENTS: usize = 64;

/// The greatest payload that fits an IPv4 packet with its headers.
const MAX_TRAIN: usize = 65_507;

pub(super) struct UdpLinux {
    socket: UdpSocket,
    address: SocketAddr,
    /// Trains leave as one message.
    gso: bool,
    /// The kernel's count of receive drops that was seen last.
    overflow: u32,
    incoming: ReceiveBatch,
    outgoing: SendBatch,
}

impl UdpLinux {
    pub(super) fn new(socket: UdpSocket, address: SocketAddr) -> io::Result<Self> {
        // A dual-stack socket gives packet info of IPv4 datagrams as mapped IPv6 addresses.
        if address.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let gro = setsockopt(&socket, sockopt::UdpGroSegment, &true).is_ok();
        let gso = getsockopt(&socket, sockopt::UdpGsoSegment).is_ok();
        tracing::debug!(%address, gro, gso, "UDP offload");
        let (incoming, outgoing) = (ReceiveBatch::new(), SendBatch::new());
        Ok(Self { socket, address, gso, overflow: 0, incoming, outgoing })
    }

    pub(super) fn socket(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    pub(super) fn receive(
        &mut self,
        counters: &mut NetCounters,
        mut each: impl FnMut(Age, Path, &mut [u8]),
    ) -> Readiness {
        let received = match self.incoming.receive(self.socket.as_fd()) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Readiness::Drained,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Readiness::More,
            Err(error) => return Readiness::Failed(error),
        };
        counters.udp_reads += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for index in 0..received {
            let Some(message) = self.incoming.message(index) else { continue };
            if let Some(overflow) = message.overflow {
                counters.udp_receive_overflow += u64::from(overflow.wrapping_sub(self.overflow));
                self.overflow = overflow;
            }
            let ip = message.local.unwrap_or(self.address.ip());
            let local = SocketAddr::new(ip, self.address.port());
            let path = Path { protocol: Protocol::Udp, local, remote: message.remote };
            counters.udp_bytes_in += message.data.len() as u64;
            let age = message.arrived.map(|at| now.saturating_sub(at));
            for datagram in message.data.chunks_mut(message.segment) {
                counters.udp_in += 1;
                each(age, path, datagram);
            }
        }
        if received < BATCH { Readiness::Drained } else { Readiness::More }
    }

    /// See [`Udp::wait`](super::udp::Udp::wait). The poll of the worker counts in milliseconds, `ppoll` does not.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let mut socket = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        ppoll(&mut socket, Some(TimeSpec::from_duration(patience)), None).is_ok_and(|ready| ready > 0)
    }

    pub(super) fn send<'a>(&mut self, counters: &mut NetCounters, trains: impl Iterator<Item = Transmit<'a>>) {
        let (socket, outgoing, v6) = (self.socket.as_fd(), &mut self.outgoing, self.address.is_ipv6());
        let mut sender =
            Sender { gso: &mut self.gso, counters, submit: |batch: &[Datagrams<'_>]| outgoing.send(socket, v6, batch) };
        let mut batch = ArrayVec::<Datagrams<'a>, BATCH>::new();
        for train in trains {
            for datagrams in pieces(train, *sender.gso) {
                if batch.is_full() {
                    sender.flush(&batch);
                    batch.clear();
                }
                batch.push(datagrams);
            }
        }
        sender.flush(&batch);
    }
}

/// The messages that a train becomes: one in most cases, one per datagram without GSO.
fn pieces(train: Transmit<'_>, gso: bool) -> impl Iterator<Item = Datagrams<'_>> {
    let segment = train.segment.clamp(1, MAX_TRAIN);
    let per_message = if gso { (MAX_TRAIN / segment).min(MAX_SEGMENTS) } else { 1 };
    train.data.chunks(segment * per_message).map(move |data| Datagrams {
        local: train.path.local.ip(),
        remote: train.path.remote,
        data,
        segment: if data.len() > segment { u16::try_from(segment).ok() } else { None },
    })
}

/// What happens to a batch, apart from the system call itself.
struct Sender<'s, F> {
    gso: &'s mut bool,
    counters: &'s mut NetCounters,
    submit: F,
}

impl<F: FnMut(&[Datagrams<'_>]) -> io::Result<usize>> Sender<'_, F> {
    fn flush(&mut self, mut batch: &[Datagrams<'_>]) {
        while let Some(first) = batch.first() {
            self.counters.udp_writes += 1;
            let done = match (self.submit)(batch) {
                Ok(sent) => self.count_sent(&batch[..sent.clamp(1, batch.len())]),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => 0,
                    Some(libc::EAGAIN | libc::ENOBUFS) => {
                        self.counters.udp_send_dropped += batch.iter().map(count).sum::<u64>();
                        batch.len()
                    }
                    Some(code @ (libc::EIO | libc::EINVAL | libc::EMSGSIZE)) if first.segment.is_some() => {
                        self.refuse_train(first, code, &error);
                        1
                    }
                    _ => {
                        self.counters.udp_send_errors += count(first);
                        1
                    }
                },
            };
            batch = &batch[done..];
        }
    }

    fn count_sent(&mut self, sent: &[Datagrams<'_>]) -> usize {
        for datagrams in sent {
            self.counters.udp_out += count(datagrams);
            self.counters.udp_bytes_out += datagrams.data.len() as u64;
            self.counters.udp_trains += u64::from(datagrams.segment.is_some());
        }
        sent.len()
    }

    /// Sends a refused train datagram by datagram. The batch behind it may hold further trains, which come here too.
    fn refuse_train(&mut self, train: &Datagrams<'_>, code: i32, error: &io::Error) {
        if code == libc::EIO && *self.gso {
            tracing::warn!(%error, "the path refuses UDP segmentation offload; it is off from now on");
            *self.gso = false;
        }
        let segment = usize::from(train.segment.unwrap_or(u16::MAX));
        for data in train.data.chunks(segment) {
            self.flush(&[Datagrams { data, segment: None, ..*train }]);
        }
    }
}

/// How many datagrams a message becomes.
fn count(datagrams: &Datagrams<'_>) -> u64 {
    match datagrams.segment {
        Some(segment) => datagrams.data.len().div_ceil(usize::from(segment)) as u64,
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(data: &[u8], segment: usize) -> Transmit<'_> {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        Transmit { path: Path { protocol: Protocol::Udp, local: address, remote: address }, data, segment }
    }

    #[test]
    fn a_train_is_one_message_within_the_kernels_limits() {
        let data = vec![0; 150_000];
        let lens = |train, gso| pieces(train, gso).map(|piece| piece.data.len()).collect::<Vec<_>>();
        assert_eq!(lens(train(&data[..3000], 1200), true), [3000]);
        assert_eq!(lens(train(&data[..3000], 1200), false), [1200, 1200, 600]);
        assert_eq!(lens(train(&data[..6500], 100), true), [6400, 100], "at most 64 segments");
        assert!(lens(train(&data, 1200), true).iter().all(|len| *len <= MAX_TRAIN));
        assert_eq!(pieces(train(&data[..1200], 1200), true).next().and_then(|piece| piece.segment), None);
    }

    /// Red if a train is lost, sent twice or out of order where the path refuses GSO.
    #[test]
    fn a_refused_train_is_cut_and_nothing_is_lost() {
        let data: Vec<u8> = (0..90).collect();
        let batch: Vec<_> = [&data[..30], &data[30..60], &data[60..]]
            .into_iter()
            .flat_map(|data| pieces(train(data, 12), true))
            .collect();
        for (code, gso_after) in [(libc::EIO, false), (libc::EINVAL, true)] {
            let (mut gso, mut counters, mut sent) = (true, NetCounters::default(), Vec::new());
            let submit = |batch: &[Datagrams<'_>]| {
                if batch[0].segment.is_some() {
                    return Err(io::Error::from_raw_os_error(code));
                }
                sent.push(batch[0].data.to_vec());
                Ok(1)
            };
            Sender { gso: &mut gso, counters: &mut counters, submit }.flush(&batch);
            assert_eq!(gso, gso_after);
            assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [12, 12, 6, 12, 12, 6, 12, 12, 6]);
            assert_eq!(sent.concat(), data);
            assert_eq!((counters.udp_out, counters.udp_bytes_out), (9, 90));
        }
    }

    #[test]
    fn a_full_socket_drops_and_counts_what_is_left() {
        let data = [0; 30];
        let batch: Vec<_> = (0..3).flat_map(|_| pieces(train(&data, 10), true)).collect();
        let (mut gso, mut counters, mut calls) = (true, NetCounters::default(), 0);
        let submit = |_: &[Datagrams<'_>]| {
            calls += 1;
            if calls == 1 { Ok(1) } else { Err(io::Error::from_raw_os_error(libc::EAGAIN)) }
        };
        Sender { gso: &mut gso, counters: &mut counters, submit }.flush(&batch);
        assert_eq!((counters.udp_out, counters.udp_send_dropped, calls), (3, 6, 2));
    }

    #[test]
    fn an_unreachable_destination_costs_only_its_own() {
        let data = [0; 10];
        let batch: Vec<_> = (0..3).flat_map(|_| pieces(train(&data, 10), true)).collect();
        let (mut gso, mut counters, mut calls) = (true, NetCounters::default(), 0);
        let submit = |batch: &[Datagrams<'_>]| {
            calls += 1;
            if calls == 1 { Err(io::Error::from_raw_os_error(libc::ENETUNREACH)) } else { Ok(batch.len()) }
        };
        Sender { gso: &mut gso, counters: &mut counters, submit }.flush(&batch);
        assert_eq!((counters.udp_out, counters.udp_send_errors), (2, 1));
    }
}
