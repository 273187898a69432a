//! `recvmmsg` and `sendmmsg` with control messages of their own for every message.
//!
//! `nix` has both calls, but its `sendmmsg` gives the same control messages to every message of a batch, and a train
//! needs its own source address and segment size; so this file builds the headers. But for one instruction in
//! [`prefetch`](crate::prefetch) it is the only unsafe code of the crate. What holds it together:
//!
//! - Every pointer that the kernel gets is derived anew in the call that uses it, from boxes or slices that outlive it;
//!   nothing between calls reads a stored pointer.
//! - What the kernel wrote is read only up to the lengths that it reported, and those are clamped to what was lent.
//! - All memory is allocated once; a call allocates nothing.

#![allow(unsafe_code)]
// The lengths of control messages are usize with glibc and u32 with musl.
#![allow(clippy::unnecessary_cast)]

use std::io;
use std::mem::{self, size_of};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use nix::libc;

/// Messages of one system call.
pub(super) const BATCH: usize = 32;

/// Bytes lent for one incoming message: GRO merges datagrams up to the greatest IP packet.
const MESSAGE: usize = 65_536;

/// Space for the control messages of one message: the packet info of both families, `UDP_GRO`, `SO_RXQ_OVFL` and
/// `SO_TIMESTAMPNS` take 160 bytes on 64-bit Linux.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 256]);

/// Headers, names and control messages for a batch.
struct Headers {
    messages: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
}

// SAFETY: the pointers in `messages` and `vectors` are written and used within one call, never between calls.
unsafe impl Send for Headers {}

impl Headers {
    fn new() -> Self {
        // SAFETY: all three are plain C structures for which all bits zero is a value.
        let (message, vector, name) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Self {
            messages: vec![message; BATCH].into(),
            vectors: vec![vector; BATCH].into(),
            names: vec![name; BATCH].into(),
            controls: vec![Control([0; 256]); BATCH].into(),
        }
    }

    /// Lets header `index` of `messages` point to the parts of the same index.
    fn link(&mut self, index: usize, data: *mut libc::c_void, len: usize, name_len: usize, control_len: usize) {
        self.vectors[index] = libc::iovec { iov_base: data, iov_len: len };
        let header = &mut self.messages[index].msg_hdr;
        header.msg_name = ptr::from_mut(&mut self.names[index]).cast();
        header.msg_namelen = name_len as _;
        header.msg_iov = ptr::from_mut(&mut self.vectors[index]);
        header.msg_iovlen = 1;
        header.msg_control =
            if control_len == 0 { ptr::null_mut() } else { self.controls[index].0.as_mut_ptr().cast() };
        header.msg_controllen = control_len as _;
        header.msg_flags = 0;
    }
}

/// One incoming message: a datagram, or several of one sender that GRO merged.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// The sender.
    pub remote: SocketAddr,
    /// The address that was asked.
    pub local: Option<IpAddr>,
    /// The size of the merged datagrams, of which the last may be shorter. At least 1.
    pub segment: usize,
    /// How many datagrams the kernel has dropped in the life of this socket because its receive buffer was full.
    pub overflow: Option<u32>,
    /// When the kernel got it, on the system's clock, since its epoch.
    pub arrived: Option<Duration>,
    /// The bytes.
    pub data: &'a mut [u8],
}

/// Receives batches.
pub(super) struct ReceiveBatch {
    headers: Headers,
    buffer: Box<[u8]>,
}

impl ReceiveBatch {
    pub(super) fn new() -> Self {
        Self { headers: Headers::new(), buffer: vec![0; BATCH * MESSAGE].into() }
    }

    /// Receives without waiting; the messages `0..n` can be read by [`Self::message`] until the next call.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let base = self.buffer.as_mut_ptr();
        for index in 0..BATCH {
            // SAFETY: `buffer` has BATCH * MESSAGE bytes.
            let data = unsafe { base.add(index * MESSAGE) };
            let name = size_of::<libc::sockaddr_storage>();
            self.headers.link(index, data.cast(), MESSAGE, name, size_of::<Control>());
        }
        // SAFETY: the BATCH headers were linked just now to memory that `self` owns and nobody else touches meanwhile.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.messages.as_mut_ptr(),
                BATCH as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        if received < 0 { Err(io::Error::last_os_error()) } else { Ok((received as usize).min(BATCH)) }
    }

    /// A message of the last batch; `None` if its sender has no IP address or its datagram was cut.
    pub(super) fn message(&mut self, index: usize) -> Option<Message<'_>> {
        let message = &self.headers.messages[index];
        if message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let remote = read_name(&self.headers.names[index])?;
        let len = (message.msg_len as usize).min(MESSAGE);
        let control_len = message.msg_hdr.msg_controllen as usize;
        let control = &self.headers.controls[index];
        let data = &mut self.buffer[index * MESSAGE..][..len];
        let mut result = Message { remote, local: None, segment: len.max(1), overflow: None, arrived: None, data };
        read_controls(control, control_len, &mut result);
        Some(result)
    }
}

fn read_name(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    // SAFETY: a `sockaddr_storage` is large enough and aligned for either family; all bits are values of both.
    unsafe {
        match i32::from(name.ss_family) {
            libc::AF_INET => {
                let v4 = &*ptr::from_ref(name).cast::<libc::sockaddr_in>();
                let ip = v4.sin_addr.s_addr.to_ne_bytes();
                Some(SocketAddrV4::new(ip.into(), u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                let v6 = &*ptr::from_ref(name).cast::<libc::sockaddr_in6>();
                let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
                Some(match ip.to_ipv4_mapped() {
                    Some(v4) => SocketAddrV4::new(v4, port).into(),
                    None => SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into(),
                })
            }
            _ => None,
        }
    }
}

fn read_controls(control: &Control, len: usize, message: &mut Message<'_>) {
    let bytes = &control.0[..len.min(size_of::<Control>())];
    let mut offset = 0;
    while let Some(header) = read_at::<libc::cmsghdr>(bytes, offset) {
        let next = offset.saturating_add(header.cmsg_len as usize);
        let data = offset + control_len::<()>();
        if next > bytes.len() || next < data {
            return;
        }
        let value = &bytes[data..next];
        match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                message.local =
                    read_at::<libc::in_pktinfo>(value, 0).map(|info| IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                message.local = read_at::<libc::in6_pktinfo>(value, 0)
                    .map(|info| IpAddr::from(info.ipi6_addr.s6_addr).to_canonical());
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let size = read_at::<libc::c_int>(value, 0).and_then(|size| usize::try_from(size).ok());
                message.segment = size.unwrap_or(message.segment).max(1);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => message.overflow = read_at::<u32>(value, 0),
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                message.arrived = read_at::<libc::timespec>(value, 0).and_then(|at| {
                    Some(Duration::new(
                        u64::try_from(at.tv_sec).ok()?,
                        u32::try_from(at.tv_nsec).ok()?.min(999_999_999),
                    ))
                });
            }
            _ => {}
        }
        offset = next.next_multiple_of(align_of::<libc::cmsghdr>());
    }
}

/// Structures of the kernel in which any bits are a value.
trait Plain: Copy {}
impl Plain for libc::cmsghdr {}
impl Plain for libc::in_pktinfo {}
impl Plain for libc::in6_pktinfo {}
impl Plain for libc::timespec {}
impl Plain for libc::c_int {}
impl Plain for u32 {}
impl Plain for u16 {}

fn read_at<T: Plain>(bytes: &[u8], offset: usize) -> Option<T> {
    let source = bytes.get(offset..)?.get(..size_of::<T>())?;
    // SAFETY: `source` has the size of a `T`, any bits are a `T`, and the read does not ask for alignment.
    Some(unsafe { source.as_ptr().cast::<T>().read_unaligned() })
}

/// One outgoing message: a datagram, or a train that the kernel or the network card cuts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagrams<'a> {
    /// The source address; the unspecified one leaves the choice to the kernel.
    pub local: IpAddr,
    /// The destination.
    pub remote: SocketAddr,
    /// The bytes.
    pub data: &'a [u8],
    /// Where to cut `data`; `None`: nowhere.
    pub segment: Option<u16>,
}

/// Sends batches.
pub(super) struct SendBatch {
    headers: Headers,
}

impl SendBatch {
    pub(super) fn new() -> Self {
        Self { headers: Headers::new() }
    }

    /// Sends up to [`BATCH`] messages without waiting and returns how many the kernel took. An error is that of the
    /// first message. `v6`: the socket is one of IPv6 and addresses of IPv4 are mapped.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, v6: bool, batch: &[Datagrams<'_>]) -> io::Result<usize> {
        let batch = &batch[..batch.len().min(BATCH)];
        for (index, datagrams) in batch.iter().enumerate() {
            let name_len = write_name(&mut self.headers.names[index], datagrams.remote, v6);
            let control_len = write_controls(&mut self.headers.controls[index], datagrams, v6);
            // The kernel only reads what it sends; the C structure is shared with receiving and so not const.
            let data = datagrams.data.as_ptr().cast_mut().cast();
            self.headers.link(index, data, datagrams.data.len(), name_len, control_len);
        }
        // SAFETY: the headers `0..batch.len()` were linked just now to memory of `self` and of `batch`.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.messages.as_mut_ptr(),
                batch.len() as _,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }
}

fn write_name(name: &mut libc::sockaddr_storage, remote: SocketAddr, v6: bool) -> usize {
    let (ip, scope) = match remote {
        SocketAddr::V4(v4) if !v6 => {
            // SAFETY: a `sockaddr_storage` is large enough and aligned for a `sockaddr_in`.
            let target = unsafe { &mut *ptr::from_mut(name).cast::<libc::sockaddr_in>() };
            target.sin_family = libc::AF_INET as _;
            target.sin_port = v4.port().to_be();
            target.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            return size_of::<libc::sockaddr_in>();
        }
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
        SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
    };
    // SAFETY: a `sockaddr_storage` is large enough and aligned for a `sockaddr_in6`.
    let target = unsafe { &mut *ptr::from_mut(name).cast::<libc::sockaddr_in6>() };
    target.sin6_family = libc::AF_INET6 as _;
    target.sin6_port = remote.port().to_be();
    target.sin6_flowinfo = 0;
    target.sin6_addr.s6_addr = ip.octets();
    target.sin6_scope_id = scope;
    size_of::<libc::sockaddr_in6>()
}

fn write_controls(control: &mut Control, datagrams: &Datagrams<'_>, v6: bool) -> usize {
    let mut len = 0;
    match datagrams.local {
        local if local.is_unspecified() => {}
        IpAddr::V4(ip) if !v6 => {
            let source = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: libc::in_addr { s_addr: 0 } };
            len = write_control(control, len, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        ip => {
            let octets = match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: octets }, ipi6_ifindex: 0 };
            len = write_control(control, len, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
    }
    match datagrams.segment {
        Some(segment) => write_control(control, len, libc::SOL_UDP, libc::UDP_SEGMENT, segment),
        None => len,
    }
}

/// Appends a control message at `offset`, a multiple of the header's alignment, and returns where the next one starts.
fn write_control<T: Plain>(control: &mut Control, offset: usize, level: i32, kind: i32, value: T) -> usize {
    let len = control_len::<T>();
    let end = (offset + len).next_multiple_of(align_of::<libc::cmsghdr>());
    let target = &mut control.0[offset..end];
    target.fill(0);
    // SAFETY: a `cmsghdr` is plain; musl's has private padding, so that it can only be made of zeros.
    let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
    header.cmsg_len = len as _;
    header.cmsg_level = level;
    header.cmsg_type = kind;
    // SAFETY: `target` has room for the header and, behind it, for `value`; the writes do not ask for alignment.
    unsafe {
        target.as_mut_ptr().cast::<libc::cmsghdr>().write_unaligned(header);
        target.as_mut_ptr().add(control_len::<()>()).cast::<T>().write_unaligned(value);
    }
    end
}

/// `CMSG_LEN(size_of::<T>())`.
const fn control_len<T>() -> usize {
    size_of::<libc::cmsghdr>().next_multiple_of(align_of::<libc::cmsghdr>()) + size_of::<T>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Red if a length of a control message is trusted: an index out of bounds, or a loop that never ends.
        #[test]
        fn any_control_bytes_are_read_within_bounds(bytes in prop::collection::vec(any::<u8>(), 256), len in 0..1000_usize) {
            let mut control = Control([0; 256]);
            control.0.copy_from_slice(&bytes);
            let remote = SocketAddr::from(([127, 0, 0, 1], 1));
            let mut message = Message { remote, local: None, segment: 1, overflow: None, arrived: None, data: &mut [] };
            read_controls(&control, len, &mut message);
            prop_assert!(message.segment >= 1);
        }
    }

    #[test]
    fn the_kernel_agrees_on_the_length_of_a_control_message() {
        // SAFETY: CMSG_LEN only computes.
        let expected = unsafe { libc::CMSG_LEN(size_of::<libc::in6_pktinfo>() as _) } as usize;
        assert_eq!(control_len::<libc::in6_pktinfo>(), expected);
    }
}
