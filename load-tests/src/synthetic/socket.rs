//! One participant's UDP socket, connected to the server: several datagrams per system call where the kernel merges
//! them (UDP GRO), and the kernel's own time of arrival, so that a late wake-up of this program is not the server's
//! latency.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mio::net::UdpSocket;
use socket2::{Domain, Socket, Type};

/// GRO merges up to the greatest IP packet.
pub const RECEIVE_BUFFER: usize = 65_536;
/// Asked for; the system may give less. A burst of keyframes must fit.
const SOCKET_BUFFER: usize = 1 << 20;

/// Time zero of a run on the clocks of the program and of the kernel's timestamps.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    instant: Instant,
    wall_nanos: u128,
}

impl Epoch {
    /// Both clocks are read for the same moment, given as `instant`.
    pub fn at(instant: Instant) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant, wall_nanos: since.as_nanos().saturating_sub(instant.elapsed().as_nanos()) }
    }

    /// A kernel's timestamp on our clock: not after `now`, and `now` where the wall clock was moved.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux gives timestamps"))]
    fn instant_of(&self, wall_nanos: u128, now: Instant) -> Instant {
        const PLAUSIBLE: std::time::Duration = std::time::Duration::from_secs(2);
        let since = u64::try_from(wall_nanos.saturating_sub(self.wall_nanos)).unwrap_or(u64::MAX);
        let at = self.instant + std::time::Duration::from_nanos(since);
        if at <= now && now.saturating_duration_since(at) < PLAUSIBLE { at } else { now }
    }
}

/// What one system call brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer.
    pub len: usize,
    /// Length of each datagram but the last, which may be shorter.
    pub segment: usize,
    /// When they came.
    pub at: Instant,
}

/// Binds a port on `ip`.
pub fn bind(ip: IpAddr) -> io::Result<std::net::UdpSocket> {
    let address = SocketAddr::new(ip, 0);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    // The system's limit is what we get at most, which is no error.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt};
        setsockopt(&socket, sockopt::UdpGroSegment, &true)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    }
    Ok(socket.into())
}

/// Receives without waiting.
#[cfg(target_os = "linux")]
pub fn receive(socket: &UdpSocket, buffer: &mut [u8], epoch: &Epoch) -> io::Result<Received> {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    use nix::sys::time::TimeSpec;
    use std::os::fd::AsRawFd;

    let mut control = nix::cmsg_space!(i32, TimeSpec);
    let mut vectors = [io::IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut vectors, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let now = Instant::now();
    let mut received = Received { len: message.bytes, segment: message.bytes.max(1), at: now };
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::UdpGroSegments(size) => {
                received.segment = usize::try_from(size).unwrap_or(received.segment).max(1);
            }
            ControlMessageOwned::ScmTimestampns(time) => {
                let nanos = u128::from(time.tv_sec().unsigned_abs()) * 1_000_000_000
                    + u128::from(time.tv_nsec().unsigned_abs());
                received.at = epoch.instant_of(nanos, now);
            }
            _ => {}
        }
    }
    Ok(received)
}

/// Receives without waiting, one datagram, stamped when it was read.
#[cfg(not(target_os = "linux"))]
pub fn receive(socket: &UdpSocket, buffer: &mut [u8], _epoch: &Epoch) -> io::Result<Received> {
    let len = socket.recv(buffer)?;
    Ok(Received { len, segment: len.max(1), at: Instant::now() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The kernel starts to stamp a while after it was first asked to.
    #[test]
    fn a_datagram_has_its_time_of_arrival() {
        const LATE: Duration = Duration::from_millis(20);
        let socket = UdpSocket::from_std(bind([127, 0, 0, 1].into()).unwrap());
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut buffer = vec![0; RECEIVE_BUFFER];
        let is_stamped = (0..100).any(|_| {
            let epoch = Epoch::at(Instant::now());
            sender.send_to(b"hello", socket.local_addr().unwrap()).unwrap();
            std::thread::sleep(LATE);
            let received = receive(&socket, &mut buffer, &epoch).unwrap();
            assert_eq!((&buffer[..received.len], received.segment), (&b"hello"[..], 5));
            received.at.elapsed() >= LATE / 2
        });
        assert!(is_stamped || !cfg!(target_os = "linux"));
    }

    #[test]
    fn a_clock_that_was_moved_is_not_believed() {
        let epoch = Epoch::at(Instant::now());
        let now = Instant::now();
        assert_eq!(epoch.instant_of(epoch.wall_nanos + 3_600_000_000_000, now), now);
        let later = now + Duration::from_secs(10);
        assert_eq!(epoch.instant_of(epoch.wall_nanos, later), later);
    }
}
