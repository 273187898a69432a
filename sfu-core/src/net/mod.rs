//! The one place with sockets and threads: it drives the sans-IO [`Core`](crate::Core).
//!
//! One thread per worker owns an [`Engine`], a UDP socket and its share of the TCP connections. A room lives on one
//! worker, so that nothing per packet crosses a thread; a large one on several, which relay packets in batches. The control plane reaches a worker by a bounded mailbox
//! ([`WorkerHandle::send`]) and hears of it by a bounded channel; neither can stall media.
//!
//! - `worker`: the loop. `workers`: starting, addressing and stopping them.
//! - `health`: how often a worker panicked, and what follows; `last`: what it was handed before.
//! - `load`: how busy a worker is, and what follows; `schedule` and `quota`: what the kernel says of it; `cgroup`: where its
//!   groups are.
//! - `udp`: the socket; `retry`: what follows from its errors; `udp_linux` with `sys` is the fast path, `udp_portable` runs everywhere.
//! - `lanes`: the queues between workers, and waking each other.
//! - `tcp`: the ICE-TCP listener; `connections`: what a worker does with its connections; `framing`: RFC 4571.

pub mod cgroup;
mod connections;
mod counters;
mod engine;
mod framing;
mod health;
mod lanes;
mod last;
mod linger;
mod load;
mod quota;
mod retry;
mod schedule;
#[cfg(target_os = "linux")]
mod sys;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
#[cfg(target_os = "linux")]
mod udp_linux;
mod udp_portable;
mod worker;
mod workers;

pub use counters::{NetCounters, Snapshot};
pub use engine::Engine;
#[cfg(any(test, feature = "test-support"))]
pub use framing::fuzz as fuzz_framing;
pub use tcp::{ListenerCounters, Route, TcpLimits};
pub use udp::{Buffers, UdpMode};
pub use workers::{Busy, MAX_WORKERS, NetConfig, Sockets, WorkerHandle, Workers, available_workers};
